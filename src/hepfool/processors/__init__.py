# SPDX-License-Identifier: BSD-3-Clause
"""
Attacks inside coffea.

Write an :class:`~hepfool.processors.analysis.Analysis`, hand it with your network
and an attack to :class:`~hepfool.processors.processor.AttackProcessor`, and run
that with your own runner through
:func:`~hepfool.processors.completeness.run_processor`; or let
:func:`~hepfool.processors.driver.run_analysis` make all passes of a long run, and
go on after an interruption.
"""
