# SPDX-License-Identifier: BSD-3-Clause
"""
Marginals, dependence and compatibility of data sets, and what one moved event does to them.

Compare two data sets: :func:`compare`, in bins of a :class:`Binning`.  Ask whether the checks of an analysis would notice a
deviation: :func:`run_checks`; how large one could be unnoticed: :func:`max_invisible_distance` and :func:`max_invisible_shift`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.statistics.budget import CorrelationCheck, max_invisible_distance, max_invisible_shift
    from hepfool.statistics.checks import CheckSettings, run_checks
    from hepfool.statistics.compatibility import Compatibility, compare, distance_correlation_shift
    from hepfool.statistics.dependence import correlation_shift
    from hepfool.statistics.distance_correlation import distance_correlation
    from hepfool.statistics.kolmogorov import ks_distance
    from hepfool.statistics.marginals import Binning, js_distance, sampling_floor
    from hepfool.statistics.roc import auroc_with_error
    from hepfool.statistics.two_sample import classifier_power
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "Binning",
    "CheckSettings",
    "Compatibility",
    "CorrelationCheck",
    "auroc_with_error",
    "classifier_power",
    "compare",
    "correlation_shift",
    "distance_correlation",
    "distance_correlation_shift",
    "js_distance",
    "ks_distance",
    "max_invisible_distance",
    "max_invisible_shift",
    "run_checks",
    "sampling_floor",
]
