# SPDX-License-Identifier: BSD-3-Clause
"""
Hyper-parameters of published studies, and ranges to draw them from.

The numbers of ``PRESETS`` and ``RANGES`` are those of appendix A of arXiv:2603.13970, with
inputs scaled to [0, 1].  What they keep is ``attack.kept``: a :class:`~hepfool.validation.Validation` without the score, of all
events together.  The caps are those of the paper's Table 2, on what a *single move* does to a marginal and to the correlations;
nothing caps what all moves together do.  :func:`from_nominal` reads the former as a cap on the distance from nominal instead, the
stricter of two readings, under which the published distances cannot be reached.

Caps on a distance or on one move depend on the number of events: one
event of 1000 is a larger step than one of 100 000.  :func:`scaled_to` converts them.
:func:`constituent_fgsm` has the numbers of arXiv:1910.08606.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from hepfool.attacks._conserv import CONSERVAttack
from hepfool.attacks._gradient import PGD
from hepfool.attacks._limits import MoveUnit


def _attack(
    move: tuple[float, float], n_bins: int, alpha: float, caps: tuple[float, float], **more: Any
) -> CONSERVAttack:
    return CONSERVAttack(
        min_change=move[0],
        step=move[1],
        n_bins=n_bins,
        alpha=alpha,
        max_js_change=caps[0],
        max_correlation_change=caps[1],
        **more,
    )


#: By data set and study; the table of the paper stands behind each.
PRESETS: Final[Mapping[str, CONSERVAttack]] = MappingProxyType(
    {
        "higgs": _attack((0.0005, 0.0005), 200, 4.0, (0.006, 0.0002)),  # 3
        "higgs_augmentation": _attack((0.002, 0.006), 200, 6.5, (0.01, 0.001)),  # 4
        "higgs_detector": _attack((0.003, 0.02), 100, 6.0, (0.01, 0.0003)),  # 5
        "higgs_retraining_test": _attack((0.003, 0.01), 100, 8.0, (0.01, 0.0003)),  # 7
        "higgs_distance": _attack((0.015, 0.06), 30, 4.0, (0.02, 0.0003), dependence="distance"),  # 8
        "higgs_distance_detector_train": _attack((0.07, 0.08), 30, 4.0, (0.07, 0.0025), dependence="distance"),  # 9
        "higgs_distance_detector_test": _attack((0.01, 0.05), 30, 4.0, (0.01, 0.00015), dependence="distance"),  # 10
        "higgs_limited_data": _attack((0.005, 0.02), 30, 6.0, (0.02, 0.002)),  # 11
        "jets": _attack((0.005, 0.01), 200, 6.5, (0.003, 0.003)),  # 12
        "jets_augmentation": _attack((0.003, 0.02), 100, 6.5, (0.1, 0.1)),  # 13
        "jets_detector": _attack((0.01, 0.01), 100, 6.0, (0.01, 0.03), use_no_change=False),  # 14
        "jets_retraining_test": _attack((0.002, 0.005), 100, 8.0, (0.01, 0.0001)),  # 16
        "donut": _attack((0.001, 0.0005), 70, 6.0, (0.005, 0.05), n_candidates=150),  # 17
        "donut_detector": _attack((0.001, 0.0005), 60, 6.0, (0.005, 0.05), n_candidates=150),  # 18
    }
)


def from_nominal(attack: CONSERVAttack) -> CONSERVAttack:
    """
    Read the published cap on single moves as one on the distance of a marginal from nominal.

    Parameters
    ----------
    attack : CONSERVAttack
        A preset, whose ``max_js_change`` is the published ``max_jsd_single_change``.

    Returns
    -------
    CONSERVAttack
        With this number as ``max_js_distance``, and no cap on what a single move does to a marginal.

    Raises
    ------
    ValueError
        If there is no such cap.

    Examples
    --------
    >>> attack = from_nominal(PRESETS["higgs"])
    >>> attack.max_js_distance, attack.max_js_change
    (0.006, inf)
    """
    if not math.isfinite(attack.max_js_change):
        msg = f"{attack!r} has no max_js_change to be read as a cap on the distance from nominal; take one of PRESETS"
        raise ValueError(msg)
    return replace(attack, max_js_distance=attack.max_js_change, max_js_change=math.inf)


def scaled_to(attack: CONSERVAttack, n_events: int, *, published_n_events: int) -> CONSERVAttack:
    r"""
    Convert published caps to another number of events.

    Parameters
    ----------
    attack : CONSERVAttack
        A preset.
    n_events : int
        Constrained events of the own data set.
    published_n_events : int
        Those of the published study; 63 000 for Table 3.

    Returns
    -------
    CONSERVAttack
        Distances scale like their sampling floor, :math:`1/\sqrt n`, the change of one move like :math:`1/n`.  A distance above
        1, the largest there is, becomes no cap, of one move too.

    Examples
    --------
    >>> round(scaled_to(from_nominal(PRESETS["higgs"]), 2000, published_n_events=63000).max_js_distance, 4)
    0.0337
    """
    if n_events < 1 or published_n_events < 1:
        msg = f"numbers of events must be positive, got {n_events} and {published_n_events}"
        raise ValueError(msg)
    ratio = published_n_events / n_events
    distance, change = attack.max_js_distance * math.sqrt(ratio), attack.max_js_change * ratio
    return replace(
        attack,
        validation=None if attack.validation is None else attack.validation.scaled(math.sqrt(ratio)),
        max_js_distance=distance if distance <= 1.0 else math.inf,
        max_js_change=change if change <= 1.0 else math.inf,
        max_correlation_change=attack.max_correlation_change * ratio,
    )


def constituent_fgsm(
    n_constituents: int = 64,
    *,
    epsilon_pt: float = 0.001,
    epsilon_omega: float = 0.001,
    n_iterations: int = 10,
    n_bins: int = 200,
) -> PGD:
    r"""
    Follow gradient signs on the constituents of a jet (arXiv:1910.08606, sec. III A).

    Columns are :math:`p_\mathrm{T}, \eta, \phi` of the first constituent, then those of the second, and so on.
    The paper attacks signal only: pass ``target=1`` to :func:`~hepfool.attacks.base.run_attack`.

    Parameters
    ----------
    n_constituents : int
        Constituents per jet; those that a jet lacks are missing values and stay so.
    epsilon_pt : float
        Step of each momentum relative to its nominal value.
    epsilon_omega : float
        Step of each angle and pseudorapidity.
    n_iterations : int
        Steps; ten bound the moves by 0.01.
    n_bins : int
        Bins in which the marginals are compared.

    Returns
    -------
    PGD
        For tables with three columns per constituent.

    Raises
    ------
    ValueError
        If there is no constituent.

    Examples
    --------
    >>> constituent_fgsm(1).unit
    ('relative', 'absolute', 'absolute')
    """
    if n_constituents < 1:
        msg = f"n_constituents must be at least 1, got {n_constituents}"
        raise ValueError(msg)
    unit: tuple[MoveUnit, ...] = ("relative", "absolute", "absolute")
    step = (epsilon_pt, epsilon_omega, epsilon_omega)
    return PGD(step=step * n_constituents, unit=unit * n_constituents, n_iterations=n_iterations, n_bins=n_bins)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackRanges:
    """
    An attack of which some hyper-parameters are drawn anew each time.

    Attributes
    ----------
    attack : CONSERVAttack
        All other hyper-parameters.
    ranges : mapping of str to (float, float)
        Lower and upper end by name; uniform in between.

    Examples
    --------
    >>> ranges = AttackRanges(attack=CONSERVAttack(), ranges={"alpha": (3.0, 10.0)})
    >>> 3.0 <= ranges.draw(np.random.default_rng(1)).alpha <= 10.0
    True
    """

    attack: CONSERVAttack
    ranges: Mapping[str, tuple[float, float]]

    def __post_init__(self) -> None:
        """Check names and order."""
        numbers = {field.name for field in fields(CONSERVAttack) if "float" in str(field.type)}
        for name, (low, high) in self.ranges.items():
            if name not in numbers:
                msg = f"{name!r} is no number among the hyper-parameters of CONSERVAttack; use for example 'alpha'"
                raise ValueError(msg)
            if not low <= high:
                msg = f"range of {name} is ({low}, {high}); its lower end must not exceed its upper one"
                raise ValueError(msg)
            for end in (low, high):
                ends: dict[str, Any] = {name: end}
                replace(self.attack, **ends)

    def draw(self, rng: np.random.Generator) -> CONSERVAttack:
        """
        Draw one attack.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        CONSERVAttack
            With one value of each range.
        """
        drawn: dict[str, Any] = {name: float(rng.uniform(low, high)) for name, (low, high) in self.ranges.items()}
        return replace(self.attack, **drawn)


_RETRAINING: Final = {
    "min_change": (0.001, 0.005),
    "step": (0.005, 0.03),
    "alpha": (3.0, 10.0),
    "beta": (0.5, 2.5),
    "max_js_change": (0.005, 0.03),
    "max_correlation_change": (0.0001, 0.001),
}

#: By data set and study; the table of the paper stands behind each.
RANGES: Final[Mapping[str, AttackRanges]] = MappingProxyType(
    {
        "higgs_retraining": AttackRanges(attack=CONSERVAttack(n_bins=100), ranges=_RETRAINING),  # 6
        "jets_retraining": AttackRanges(attack=CONSERVAttack(n_bins=100), ranges=_RETRAINING),  # 15
    }
)
