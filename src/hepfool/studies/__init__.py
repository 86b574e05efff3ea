# SPDX-License-Identifier: BSD-3-Clause
"""
Studies that put numbers beside an attack.

What physics systematics do in the same units: ``systematics``.  What a detector does at every threshold, and whether data and
simulation are flagged alike: ``threshold_scan``.  Networks and detectors of several trainings, each against each: ``cross_run``.  Whether
these detectors flag the same clean events: ``misclassification``.  Studies of a single paper are in
``analysis_examples/papers``.
"""

from __future__ import annotations
