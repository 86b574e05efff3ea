# SPDX-License-Identifier: BSD-3-Clause
r"""
How much more a network moves within its input uncertainties than ordinary variations tell.

Three kinds of moves within the *same* per-event envelope: ordinary variations, which move all events together to
either end, source by source; random draws; and an attack that preserves marginals and correlations.  The *hidden
sensitivity* is what the attack does in excess of the other two, in fooling ratio and in yield shift.  The question is that of
arXiv:2605.07470, of which only the abstract was read; definitions and numbers here are our own.

The flips of all three are counted on the same events, those that the attack may move; variations and draws move all
events, and so do the two attacks on the yield together.  Several trainings of several networks: :mod:`analysis_examples.papers.hidden_sensitivity.grid`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from analysis_examples.papers.hidden_sensitivity.records import HiddenSensitivity, Preservation, Sensitivity
from hepfool.attacks import Attack, AttackResult, CONSERVAttack, Noise, Target, run_attack, travel
from hepfool.events import Envelope, EventTable
from hepfool.exceptions import ConstraintError
from hepfool.models import Classifier
from hepfool.studies import (
    ALL_EVENTS,
    Contributions,
    Measured,
    Summands,
    attack_contributions,
    completed,
    excess_of,
    excess_over_mean,
    total,
    variation_contributions,
)
from hepfool.typing import BoolArray, FloatArray

__all__ = ["SensitivitySettings", "run_hidden_sensitivity"]

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivitySettings:
    """
    How events are attacked and drawn within their envelope.

    Attributes
    ----------
    attack : Attack
        Its caps are what "marginals and correlations preserved" means.
    target : {"correct", "all"} or int
        Events whose flips count, in the attack that gives the fooling ratio.  The yield shift is the larger one of two
        further attacks, on all selected and on all other events, because flips into and out of a selection cancel.
    draw : Attack
        A random draw that knows nothing of the network; moves beyond an event's envelope end at its limit.
    n_draws : int
        Random draws.
    selected_class : int
        Class that the score selection keeps.
    region : str
        Region whose yield counts.
    proof_seconds : float
        CPU time for a proof of what no move within the envelope can exceed; 0 for none.
    """

    attack: Attack = field(
        default_factory=lambda: CONSERVAttack(
            n_candidates=50,
            candidates="even",
            beta=20.0,
            max_js_distance=0.02,
            max_correlation_shift=0.02,
        )
    )
    target: Target = "correct"
    draw: Attack = field(default_factory=lambda: Noise(size=1.0, unit="envelope"))
    n_draws: int = 10
    selected_class: int = 1
    region: str = ALL_EVENTS
    proof_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Check the number of draws."""
        if self.n_draws < 1:
            msg = f"n_draws must be at least 1, got {self.n_draws}"
            raise ValueError(msg)


class _Moves(NamedTuple):
    """What each event contributes to the effects of the three kinds of moves."""

    varied: tuple[Contributions, ...]
    draws: tuple[Contributions, ...]
    attacks: tuple[Contributions, ...]


def run_hidden_sensitivity(
    classifier: Classifier,
    table: EventTable,
    envelope: Envelope,
    *,
    rng: np.random.Generator,
    settings: SensitivitySettings | None = None,
) -> HiddenSensitivity:
    """
    Move events within their envelope by ordinary variations, at random, and by an attack.

    Parameters
    ----------
    classifier : Classifier
        The network.
    table : EventTable
        Labelled events; their ``shape_variations`` are the ordinary variations, such as those of
        :func:`~hepfool.studies.envelope_variations`.
    envelope : Envelope
        Per-event uncertainties, which no variation exceeds.
    rng : numpy.random.Generator
        For draws and attacks.
    settings : SensitivitySettings, optional
        Attack, targets and draws.

    Returns
    -------
    HiddenSensitivity
        With statistical errors.

    Raises
    ------
    ValueError
        If there is no ordinary variation, one leaves the envelope, or no event is attacked or selected.
    ConstraintError
        If an attack or a draw left the envelope.

    Examples
    --------
    See ``analysis_examples/papers/hidden_sensitivity``.
    """
    settings = SensitivitySettings() if settings is None else settings
    _check_variations(table, envelope)
    targets = (settings.target, *_sides(classifier, table, settings))
    attacks = [
        completed(run_attack(settings.attack, classifier, table, rng=rng, target=target, envelope=envelope))
        for target in targets
    ]
    attacked = attacks[0].attacked
    draws = [
        replace(
            run_attack(settings.draw, classifier, table, rng=rng, target="all", envelope=envelope), attacked=attacked
        )
        for _ in range(settings.n_draws)
    ]
    for result in (*attacks, *draws):
        _check_result(result, envelope)
    moves = _moves(classifier, attacks, draws, settings)
    return HiddenSensitivity(
        flips=_flips(moves),
        yield_shift=_yield_shift(moves, settings),
        attacked=Preservation.worst(result.compatibility for result in attacks),
        drawn=Preservation.worst(result.compatibility for result in draws),
        n_events=table.n_events,
        n_attacked=int(attacked.sum()),
    )


def _sides(classifier: Classifier, table: EventTable, settings: SensitivitySettings) -> list[BoolArray]:
    """Mark the selected events, which may leave, and the others, which may enter."""
    selected = classifier.predict(table.network_values) == settings.selected_class
    inside = True if settings.region == ALL_EVENTS else table.region(settings.region).mask
    if not table.weights[selected & inside].sum() > 0:
        msg = (
            f"no event of {settings.region!r} is of class {settings.selected_class}, or their weights do not sum to a "
            "positive number: there is no yield that could shift; choose another class or region"
        )
        raise ValueError(msg)
    return [events for events in (selected, ~selected) if events.any()]


def _moves(
    classifier: Classifier, attacks: list[AttackResult], draws: list[AttackResult], settings: SensitivitySettings
) -> _Moves:
    options = {
        "regions": [] if settings.region == ALL_EVENTS else [settings.region],
        "selected_class": settings.selected_class,
    }
    table, attacked = attacks[0].nominal, attacks[0].attacked
    # Variations of the weights move no input.
    shapes = replace(table, weight_variations={})
    return _Moves(
        varied=tuple(variation_contributions(classifier, shapes, attacked=attacked, **options)),  # type: ignore[arg-type]
        draws=tuple(attack_contributions(result, classifier, **options) for result in draws),  # type: ignore[arg-type]
        attacks=tuple(attack_contributions(result, classifier, **options) for result in attacks),  # type: ignore[arg-type]
    )


def _flips(moves: _Moves) -> Sensitivity:
    attack = moves.attacks[0]
    effects = tuple(c.effect() for c in moves.varied)
    ordinary = total(effects)
    draws = [c.flips for c in moves.draws if c.flips is not None]
    excess = excess_of(attack, moves.varied).flips
    return _sensitivity(attack.flips, ordinary.flips, ordinary.flips_envelope, excess, draws)


def _yield_shift(moves: _Moves, settings: SensitivitySettings) -> Sensitivity:
    region = settings.region
    attack = max(moves.attacks[1:], key=lambda c: abs(c.effect().yield_shift[region].value))
    ordinary = total(c.effect() for c in moves.varied)
    excess = excess_of(attack, moves.varied).yield_shift[region]
    draws = [c.yields[region] for c in moves.draws]
    largest = ordinary.yield_envelope[region]
    return _sensitivity(attack.yields[region], ordinary.yield_shift[region], largest, excess, draws)


def _sensitivity(
    attack: Summands | None, ordinary: Measured, ordinary_largest: float, excess: Measured, draws: Sequence[Summands]
) -> Sensitivity:
    if attack is None:
        msg = "an attack without flips cannot be compared"
        raise ValueError(msg)
    random, above_random = excess_over_mean(attack, draws)
    return Sensitivity(
        ordinary=ordinary,
        ordinary_largest=ordinary_largest,
        random=random,
        random_largest=max(abs(float(a.sum() / b.sum())) for a, b in draws),
        attack=excess_over_mean(attack, [attack])[0],
        above_ordinary=excess,
        above_random=above_random,
    )


def _check_variations(table: EventTable, envelope: Envelope) -> None:
    """Refuse variations that are larger than the uncertainties within which the attack moves."""
    if not table.shape_variations:
        msg = "the table has no shape variation to compare with; add those of envelope_variations, or of the analysis"
        raise ValueError(msg)
    if envelope.lower.shape != table.values.shape:
        msg = f"the envelope has shape {envelope.lower.shape}, the table {table.values.shape}"
        raise ValueError(msg)
    for name, varied in table.shape_variations.items():
        outside = _beyond(table, varied, envelope)
        if outside.any():
            event, j = np.argwhere(outside)[0]
            msg = (
                f"variation {name!r} moves {table.features.names[j]!r} of event {event} to {varied[event, j]:.6g}, beyond its "
                f"envelope [{envelope.lower[event, j]:.6g}, {envelope.upper[event, j]:.6g}]; give both the same uncertainties"
            )
            raise ValueError(msg)


def _check_result(result: AttackResult, envelope: Envelope) -> None:
    """Find out whether an attack broke its promise, angles included."""
    outside = _beyond(result.nominal, result.adversarial.values, envelope)
    if outside.any():
        event, j = np.argwhere(outside)[0]
        msg = f"{result.attack!r} moved {result.nominal.features.names[j]!r} of event {event} out of its envelope"
        raise ConstraintError(msg)


def _beyond(table: EventTable, values: FloatArray, envelope: Envelope) -> BoolArray:
    """Mark moved values outside of their envelope."""
    reached = table.values + travel(table.features, table.values, values)
    slack = _ROUNDING * (1.0 + np.abs(reached))
    outside = (reached < envelope.lower - slack) | (reached > envelope.upper + slack)
    return np.asarray(outside & (values != table.values))
