# SPDX-License-Identifier: BSD-3-Clause
"""Effect of adversarial training on test events, against attacks with and without knowledge of the new network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hepfool.attacks._transfer import transferred
from hepfool.attacks.base import Attack, AttackResult, run_attack
from hepfool.defences._adversarial_training import AdversarialTraining, auroc_loss
from hepfool.models.protocols import Classifier
from hepfool.typing import FloatArray


class Ratio(NamedTuple):
    """A weighted fraction of events."""

    value: float
    error: float  # standard error for events drawn anew; the networks stay the same


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Robustness:
    """
    Fooling ratios before and after adversarial training.

    Attributes
    ----------
    before : Ratio
        Fooling ratio of the given attacks on the first network.
    by_iteration : tuple of Ratio
        Fooling ratio of the same adversarial events on the network of each accepted iteration.
    mean_iteration : Ratio
        Mean over the accepted iterations; iterations share events, so the error is not that of independent ones.
    best_iteration : Ratio
        On the network that was best on *validation* events; choosing it on these events would flatter it.
    best : int
        Which iteration that is, from 1.
    white_box_before, white_box_after : Ratio
        Fooling ratio of an attack repeated on the first and on the best network, which knows the defence.
    auroc_loss, auroc_loss_error : float
        Area under the ROC curve of clean test events that the best network has lost.
    n_events, n_attacks : int
        Test events, and attacks on them whose ratios are averaged.
    """

    before: Ratio
    by_iteration: tuple[Ratio, ...]
    mean_iteration: Ratio
    best_iteration: Ratio
    best: int
    white_box_before: Ratio
    white_box_after: Ratio
    auroc_loss: float
    auroc_loss_error: float
    n_events: int
    n_attacks: int


def judge_robustness(
    training: AdversarialTraining, attacks: Sequence[AttackResult], *, attack: Attack, rng: np.random.Generator
) -> Robustness:
    """
    Judge on test events.

    Parameters
    ----------
    attacks : sequence of AttackResult
        Attacks on the same test events, made on networks of other trainings (grey-box, as in the paper) or on
        the first network.
    attack : Attack
        Repeated on the first and on the best network.

    Raises
    ------
    ValueError
        If there is no attack, the attacks are not on the same events, or no iteration was accepted.
    """
    best = training.best
    if best is None:
        msg = "no iteration was accepted; allow a larger loss of the area under the ROC curve, or use a weaker attack"
        raise ValueError(msg)
    if not attacks or any(result.nominal is not attacks[0].nominal for result in attacks):
        msg = f"need attacks on one and the same table, got {len(attacks)} attacks"
        raise ValueError(msg)
    table = attacks[0].nominal
    grey = [_mean([_influence(result, it.classifier) for result in attacks]) for it in training.accepted]
    position = training.accepted.index(best)
    white = [
        _ratio(_own_influence(run_attack(attack, network, table, rng=rng, target=training.settings.target)))
        for network in (training.initial, best.classifier)
    ]
    loss, error = auroc_loss(table, training.initial, best.classifier)
    return Robustness(
        before=_ratio(_mean([_influence(result, training.initial) for result in attacks])),
        by_iteration=tuple(map(_ratio, grey)),
        mean_iteration=_ratio(_mean(grey)),
        best_iteration=_ratio(grey[position]),
        best=best.index,
        white_box_before=white[0],
        white_box_after=white[1],
        auroc_loss=loss,
        auroc_loss_error=error,
        n_events=table.n_events,
        n_attacks=len(attacks),
    )


class _Influence(NamedTuple):
    """A ratio and what each event adds to it, so that errors of means over the same events follow."""

    value: float
    events: FloatArray


def _influence(result: AttackResult, classifier: Classifier) -> _Influence:
    return _own_influence(transferred(result, classifier))


def _own_influence(result: AttackResult) -> _Influence:
    weights = result.nominal.weights * result.attacked
    value = result.fooling_ratio
    return _Influence(value, weights * (result.fooled - value) / weights.sum())


def _mean(parts: Sequence[_Influence]) -> _Influence:
    return _Influence(float(np.mean([part.value for part in parts])), np.mean([part.events for part in parts], axis=0))


def _ratio(influence: _Influence) -> Ratio:
    return Ratio(influence.value, float(np.sqrt((influence.events**2).sum())))
