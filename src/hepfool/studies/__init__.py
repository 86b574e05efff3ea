# SPDX-License-Identifier: BSD-3-Clause
"""
Studies that put numbers beside an attack.

What physics systematics do in the same units: ``systematics``.  Whether data and simulation are flagged alike:
``data_check``.  Networks and detectors of several trainings, each against each: ``cross_run``.  Whether
these detectors flag the same clean events: ``misclassification``.  What a constraint on the correlations costs
where events are few: ``limited_data``.  What networks hide within the uncertainties of their inputs:
``hidden_sensitivity``, and ``sensitivity_runs`` for several architectures.
"""

from __future__ import annotations
