# SPDX-License-Identifier: BSD-3-Clause
"""
Judge an attack against the physics systematics of the same analysis.

:class:`Evidence` collects the numbers, :func:`decide` applies every criterion
and gives the :class:`Verdict`, and :func:`summarise` writes it all down as plain
values for ``summary.json``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.settings import Thresholds
    from hepfool.summary.allowed_fraction import AllowedFraction, ControlYields, scaled_size
    from hepfool.summary.evidence import Evidence, flagged_fractions
    from hepfool.summary.observed import observed_checks
    from hepfool.summary.record import Summary, summarise, summary_schema
    from hepfool.summary.robustness import other_choices, robustness
    from hepfool.summary.verdict import Verdict, decide
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "AllowedFraction",
    "ControlYields",
    "Evidence",
    "Summary",
    "Thresholds",
    "Verdict",
    "decide",
    "flagged_fractions",
    "observed_checks",
    "other_choices",
    "robustness",
    "scaled_size",
    "summarise",
    "summary_schema",
]
