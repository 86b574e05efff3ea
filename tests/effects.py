# SPDX-License-Identifier: BSD-3-Clause
"""Effects of systematics and their excess from single events: slow twins of those from sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hepfool.attacks import AttackResult
from hepfool.events import EventTable
from hepfool.models import Classifier
from hepfool.statistics._sources import Correlations
from hepfool.studies import attack_contributions, excess_of, variation_contributions
from hepfool.studies._contributions import SystematicEffect
from hepfool.studies._excess import Excess
from hepfool.typing import BoolArray


def run_systematics(classifier: Classifier, table: EventTable, **options: Any) -> tuple[SystematicEffect, ...]:
    """Measure every variation of a table; options are those of ``variation_contributions``."""
    return tuple(contribution.effect() for contribution in variation_contributions(classifier, table, **options))


def run_excess(
    result: AttackResult,
    classifier: Classifier,
    *,
    flagged: BoolArray | None = None,
    regions: Sequence[str] | None = None,
    correlations: Correlations | None = None,
    others: Iterable[SystematicEffect] = (),
) -> Excess:
    """Compare an attack with the variations of the table that was attacked."""
    varied = list(variation_contributions(classifier, result.nominal, attacked=result.attacked, regions=regions))
    attack = attack_contributions(result, classifier, flagged=flagged, regions=regions)
    return excess_of(attack, varied, correlations=correlations, others=others)
