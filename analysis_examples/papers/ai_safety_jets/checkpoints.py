# SPDX-License-Identifier: BSD-3-Clause
"""
What an attack costs networks that were trained for a shorter time.

``TrainingSettings(checkpoints=...)`` keeps them; each is attacked on its own, and
its loss of significance stands beside its AUROC (arXiv:1910.08606, fig. 4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from analysis_examples.papers.ai_safety_jets.significance import (
    SignificanceSettings,
    SignificanceStudy,
    compare_significance,
    optimal_threshold,
)
from hepfool.events import EventTable
from hepfool.models import Classifier
from hepfool.training import auroc

__all__ = ["CheckpointRecord", "scan_checkpoints"]

_AnyClassifier = TypeVar("_AnyClassifier", bound=Classifier)

#: Name of the attacked scores in each study.
ADVERSARIAL = "adversarial"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckpointRecord:
    """
    One network of the scan.

    Attributes
    ----------
    epoch : int
        Finished epochs of its training.
    auroc : float
        Area under the ROC curve of the nominal events.
    significance : SignificanceStudy
        Nominal against ``adversarial`` scores of the same events, at this network's own optimum.
    """

    epoch: int
    auroc: float
    significance: SignificanceStudy


def scan_checkpoints(
    checkpoints: Mapping[int, _AnyClassifier],
    table: EventTable,
    attack: Callable[[_AnyClassifier], EventTable],
    *,
    rng: np.random.Generator,
    validation: EventTable | None = None,
    settings: SignificanceSettings | None = None,
) -> tuple[CheckpointRecord, ...]:
    """
    Attack every checkpoint and measure what it costs.

    Parameters
    ----------
    checkpoints : mapping of int to Classifier
        Networks by epoch, such as ``TrainingResult.checkpoints``.
    table : EventTable
        Nominal events with labels 1 for signal and 0 for background.
    attack : callable
        Takes a network and returns the table's events after an attack on that network, in the same order.
    rng : numpy.random.Generator
        For the bootstrap.
    validation : EventTable, optional
        Other nominal events, on which the optimal thresholds are found; ``table`` by default.
    settings : SignificanceSettings, optional
        Thresholds, minimum background and bootstrap.

    Returns
    -------
    tuple of CheckpointRecord
        By epoch.

    Raises
    ------
    ValueError
        If there is no checkpoint, or the attack returned other events.

    Examples
    --------
    See ``analysis_examples/papers/ai_safety_jets``.
    """
    if not checkpoints:
        msg = "no checkpoint to scan; train with TrainingSettings(checkpoints=...)"
        raise ValueError(msg)
    records = []
    for epoch, classifier in sorted(checkpoints.items()):
        adversarial = attack(classifier)
        if adversarial.values.shape != table.values.shape:
            msg = f"the attack returned {adversarial.n_events} events of {table.n_events}; it must keep all in their order"
            raise ValueError(msg)
        nominal, attacked = (classifier.scores(events.network_values)[:, 1] for events in (table, adversarial))
        chosen = table if validation is None else validation
        threshold = optimal_threshold(
            chosen.labels,
            classifier.scores(chosen.network_values)[:, 1],
            weights=chosen.weights,
            settings=settings,
        )
        study = compare_significance(
            table.labels,
            nominal,
            {ADVERSARIAL: attacked},
            rng=rng,
            weights=table.weights,
            threshold=threshold,
            settings=settings,
        )
        area = auroc(table.labels, nominal, table.weights)
        records.append(CheckpointRecord(epoch=epoch, auroc=area, significance=study))
    return tuple(records)
