# SPDX-License-Identifier: BSD-3-Clause
r"""
What the composition of a region alone says about its fooling ratio.

From below: two events of opposite class that swap all their values are both fooled, and the joint distribution of the region
stays exactly what it was.  No comparison of whole data sets can see that, so that pairs of equal weight, :func:`exchangeable`,
come for nothing.  From above: where the score is kept, hardly more weight may cross the threshold upwards than downwards, so
that the smaller class limits how many events of the larger one can be fooled, :func:`most_fooled`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import rel_entr

from hepfool._parts import Part
from hepfool.attacks._bounds import Bounds
from hepfool.attacks._conserv import CONSERVAttack
from hepfool.attacks._search.exchange import alike
from hepfool.attacks.base import AttackResult
from hepfool.models.protocols import Classifier, Defended
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.validation import Marginals, Validation

__all__ = ["Composition", "compositions"]

#: Rounding of the divergence, in bits.
_ROUNDING: Final = 1e-15
#: An attack that keeps no score has no limit.
_NOT_KEPT: Final = "the attack does not keep the score here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """
    What the classes of some events say about their fooling ratio.

    Attributes
    ----------
    name : str
        ``all``, or a region.
    fooling_ratio : float
        What the attack found; dimensionless, as all that follow.
    opposite : float
        Twice the smaller class fraction of the attacked events: what exchanges could fool if all weights were equal.
    exchange : float
        What exchanges fool with the weights, missing and fixed values that there are; 0 where every comparison of the attack
        holds one class only, or an envelope keeps values from changing places.
    limit : float, optional
        No more is possible while the score is kept; attacked events whose score is not compared count as fooled.
    cap : float, optional
        Largest distance of the score that the limit allows for.
    reason : str
        Why there is no limit.
    """

    name: str
    fooling_ratio: float
    opposite: float
    exchange: float
    limit: float | None = None
    cap: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """
    Weights below and above the threshold of the score.

    Attributes
    ----------
    attacked, helping, total : (float, float)
        Of the attacked events, of the others that may move, and of all.
    """

    attacked: tuple[float, float]
    helping: tuple[float, float]
    total: tuple[float, float]


def reach(share: float, cap: float) -> tuple[float, float]:
    r"""
    By how much the share of events above the threshold can change while the score is kept.

    Parameters
    ----------
    share : float
        Nominal share, between 0 and 1.
    cap : float
        Jensen-Shannon distance (base 2) by which the distribution may differ.

    Returns
    -------
    down, up : float
        Largest decrease and increase.

    Notes
    -----
    Joining bins never increases the divergence, so that the two bins on either side of the threshold obey
    :math:`\mathrm{JSD}((p,1-p),(q,1-q))\le d^2` if all bins do.  The left side grows with :math:`|q-p|`.

    Examples
    --------
    >>> reach(0.5, 0.0337)
    (0.03965, 0.03965)
    """
    if not 0.0 <= share <= 1.0 or not cap >= 0.0:
        msg = f"a share lies between 0 and 1 and a cap is not negative, got {share} and {cap}"
        raise ValueError(msg)

    def excess(other: float) -> float:
        p, q = np.array([share, 1.0 - share]), np.array([other, 1.0 - other])
        middle = 0.5 * (p + q)
        bits = 0.5 * (rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / math.log(2.0)
        return float(bits) - cap * cap - _ROUNDING

    def furthest(end: float) -> float:
        if excess(end) <= 0.0:
            return abs(end - share)
        return min(abs(float(brentq(excess, share, end, xtol=1e-15)) - share) + 1e-14, abs(end - share))

    return furthest(0.0), furthest(1.0)


def most_fooled(sides: Sides, cap: float) -> float:
    r"""
    Bound the weight of fooled events where the score is kept.

    Parameters
    ----------
    sides : Sides
        Non-negative weights of the events whose score is compared.
    cap : float
        Largest distance of the distribution of the score, with a bin edge at the threshold.

    Returns
    -------
    float
        No attack fools more weight.

    Notes
    -----
    Fooled events cross the threshold.  Of the weight :math:`W`, let :math:`u\le A_0` attacked and :math:`u_h\le H_0` other weight
    go up, :math:`v\le A_1` and :math:`v_h\le H_1` down; the share above changes by :math:`(u+u_h-v-v_h)/W\in[-\delta_-,\delta_+]`.
    Hence :math:`u\le\min(A_0,v+H_1+\delta_+W)` and :math:`v\le\min(A_1,u+H_0+\delta_-W)`, and :math:`u+v` is at most the least of
    :math:`A_0+A_1`, :math:`2A_1+H_1+\delta_+W` and :math:`2A_0+H_0+\delta_-W`.
    Without others that move, all attacked, this is twice the smaller class and :math:`\delta W`.

    Examples
    --------
    >>> alone = Sides(attacked=(900.0, 100.0), helping=(0.0, 0.0), total=(900.0, 100.0))
    >>> most_fooled(alone, 0.0), most_fooled(alone, 0.03)
    (200.000, 222.183)
    """
    whole = sum(sides.total)
    if whole <= 0.0:
        return sum(sides.attacked)
    down, up = (change * whole for change in reach(min(sides.total[1] / whole, 1.0), cap))
    below, above = sides.attacked
    return min(below + above, 2.0 * above + sides.helping[1] + up, 2.0 * below + sides.helping[0] + down)


def exchangeable(kinds: IntArray, classes: IntArray, weights: FloatArray) -> float:
    """
    Weight that exchanges fool: pairs of different class among events of the same kind, of which all weights are equal.

    Parameters
    ----------
    kinds : IntArray, shape (n_attacked,)
        From :func:`hepfool.attacks._search.exchange.alike`.
    classes : IntArray, shape (n_attacked,)
        Class that the network gives the attacked events.
    weights : FloatArray, shape (n_attacked,)
        Their weights; pairs of negative weight are left alone.

    Returns
    -------
    float
        Of both partners; with more than two classes the commonest is matched with the others.

    Examples
    --------
    >>> exchangeable(np.zeros(5, dtype=int), np.array([0, 0, 0, 1, 1]), np.ones(5))
    4.0
    """
    if not len(kinds):
        return 0.0
    _, column = np.unique(classes, return_inverse=True)
    counts = np.zeros((int(kinds.max()) + 1, int(column.max()) + 1))
    np.add.at(counts, (kinds, column.reshape(-1)), 1.0)
    weight = np.zeros(len(counts))
    weight[kinds] = weights
    common = counts.max(axis=1)
    pairs = np.minimum(common, counts.sum(axis=1) - common)
    return float((2.0 * pairs * np.maximum(weight, 0.0)).sum())


def compositions(result: AttackResult, classifier: Classifier) -> tuple[Composition, ...]:
    """
    Say what the classes alone allow, of all attacked events and in each region.

    Parameters
    ----------
    result : AttackResult
        A finished attack.
    classifier : Classifier
        The attacked network.

    Returns
    -------
    tuple of Composition
        All attacked events first; regions without attacked events are left out.  Empty for an attack that looks at single
        events only, and keeps nothing of the data set.
    """
    weights, caps = composition_weights(result, classifier)
    return composed(["all", *(region.name for region in result.nominal.regions)], weights, caps)


#: Sums of weights by the name of the events and by what they are.
Weights = Mapping[tuple[str, str], FloatArray]

#: Cap of the score by part, and why it gives no limit; empty if it gives one.
Caps = Mapping[str, tuple[float, str]]


def composition_weights(result: AttackResult, classifier: Classifier) -> tuple[Weights, Caps]:
    """
    Sum up what :func:`composed` needs; weights of several attacks add up.

    Parameters
    ----------
    result : AttackResult
        A finished attack.
    classifier : Classifier
        The attacked network.

    Returns
    -------
    weights : mapping of (str, str) to FloatArray
        Empty for an attack that keeps nothing of the data set.
    caps : mapping of str to (float, str)
        By part in which the score is compared.
    """
    attack: Any = result.attack
    if not isinstance(attack, CONSERVAttack) or len(result.classes) != result.nominal.n_events:
        return {}, {}
    table = result.nominal
    kinds, limits = _kinds(result, classifier, attack.kept), _limits(result, classifier, attack)
    names = {"all": np.ones(table.n_events, dtype=np.bool_), **{region.name: region.mask for region in table.regions}}
    weights = {("", f"sides of {limit.name}"): np.array(limit.sides) for limit in limits}
    for name, events in names.items():
        found = _weights(result, result.attacked & events, kinds, limits)
        weights |= {(name, what): np.array(numbers) for what, numbers in found.items()}
    return weights, {limit.name: (limit.cap, limit.reason) for limit in limits}


def composed(names: Iterable[str], weights: Weights, caps: Caps) -> tuple[Composition, ...]:
    """
    Say what sums of weights allow.

    Parameters
    ----------
    names : iterable of str
        ``all``, then regions.
    weights, caps : mapping
        From :func:`composition_weights`, added up.

    Returns
    -------
    tuple of Composition
        As :func:`compositions`.
    """
    found = [_composed(name, {w: n for (of, w), n in weights.items() if of in {name, ""}}, caps) for name in names]
    return () if not found or found[0] is None else tuple(one for one in found if one is not None)


class _Limit(NamedTuple):
    """Events whose score is compared, and what lies on either side of the threshold; or why that says nothing."""

    name: str
    events: BoolArray
    cap: float
    sides: tuple[float, ...]
    reason: str


def _weights(
    result: AttackResult, attacked: BoolArray, kinds: IntArray, limits: list[_Limit]
) -> dict[str, tuple[float, ...]]:
    weights, classes = result.nominal.weights, result.classes
    able = attacked & (kinds >= 0)
    free = attacked & ~np.logical_or.reduce([np.zeros_like(attacked), *(limit.events for limit in limits)])
    own = {f"within {one.name}": one.events & attacked for one in limits if (one.events & attacked).any()}
    by_class = {f"class {c}": attacked & (classes == c) for c in np.unique(classes[attacked])}
    events = {"attacked": attacked, "fooled": attacked & result.fooled, "free": free, **own, **by_class}
    return {
        "negative": (float((weights[free] < 0.0).sum()),),
        "exchange": (exchangeable(kinds[able], classes[able], weights[able]),),
        **{what: (float(weights[chosen].sum()),) for what, chosen in events.items()},
    }


def _composed(name: str, weights: Mapping[str, FloatArray], caps: Caps) -> Composition | None:
    number = {what: float(found[0]) for what, found in weights.items()}
    total = number.get("attacked", 0.0)
    if not total > 0.0:
        return None
    largest = max(weight for what, weight in number.items() if what.startswith("class "))
    limit, cap, reason = _joined(number, weights, caps)
    return Composition(
        name=name,
        fooling_ratio=number["fooled"] / total,
        opposite=2.0 * max(min(largest, total - largest), 0.0) / total,
        exchange=number["exchange"] / total,
        limit=None if limit is None else min(limit / total, 1.0),
        cap=cap,
        reason=reason,
    )


def _kinds(result: AttackResult, classifier: Classifier, validation: Validation) -> IntArray:
    """Sort events into kinds that can change places without a trace; -1 where none can."""
    table = result.nominal
    if isinstance(classifier, Defended):  # which may notice the partner's values
        return np.full(table.n_events, -1)
    comparisons = [validation.inputs, validation.score, *validation.observables.values(), validation.correlations]
    parts = [p.events for c in comparisons if c is not None for p in validation.parts(table, c)]
    membership = np.stack([*parts, *(region.mask for region in table.regions), table.constrained], axis=1)
    # Events within the same cuts and ranges may take each other's values.
    kinds = alike(table, np.column_stack([membership, Bounds.of(table).row]))
    return np.where(result.enveloped, -1, kinds) if len(result.enveloped) else kinds


def _limits(result: AttackResult, classifier: Classifier, attack: CONSERVAttack) -> list[_Limit]:
    validation, table = attack.kept, result.nominal
    if validation.score is None or math.isinf(validation.score.cap(1.0)):
        return []
    threshold = float(getattr(classifier, "threshold", 0.5))
    helping = attack.helping(table, result.classes) & ~result.attacked
    found = []
    for part in validation.parts(table, validation.score):
        reason = _obstacle(result, classifier, part, validation, threshold)
        sides: tuple[float, ...] = (0.0,) * 6
        if not reason:
            above = result.nominal_scores[:, 1] > threshold
            groups = (part.events & chosen for chosen in (result.attacked, helping, np.True_))
            sides = tuple(side for events in groups for side in _by_side(table.weights, events, above))
        found.append(_Limit(part.name, part.events, validation.score.cap(part.share), sides, reason))
    return found


def _by_side(weights: FloatArray, events: BoolArray, above: BoolArray) -> tuple[float, float]:
    return float(weights[events & ~above].sum()), float(weights[events & above].sum())


def _obstacle(
    result: AttackResult, classifier: Classifier, part: Part, validation: Validation, threshold: float
) -> str:
    """Say which condition of the limit fails; empty if all hold."""
    scores, events, kept = result.nominal_scores, part.events, validation.score or Marginals()
    if classifier.n_classes != 2:
        return f"the network has {classifier.n_classes} classes, so that no single threshold separates them"
    if (result.nominal.weights[events] < 0.0).any():
        return f"events of negative weight in {part.name} can make room for any number of others"
    if threshold not in validation.score_edges(scores[:, 1], result.nominal.constrained, threshold):
        return f"no edge of the {kept.n_bins} bins of the score lies at the threshold {threshold:g}"
    if ((scores[:, 1] > threshold) != (result.classes == 1))[events].any():
        return f"the network's class is not which side of {threshold:g} its score lies on"
    return ""


def _joined(
    number: Mapping[str, float], weights: Mapping[str, FloatArray], caps: Caps
) -> tuple[float | None, float | None, str]:
    """Add the limits of everything that is compared by itself; the rest counts as fooled."""
    own = {part: caps[part] for part in caps if f"within {part}" in number}
    if not own:
        return None, None, _NOT_KEPT
    reason = next((reason for _, reason in own.values() if reason), "")
    if reason:
        return None, None, reason
    if number["negative"]:
        return None, None, "events of negative weight are attacked where the score is not compared"
    limit = number["free"]
    for part, (cap, _) in own.items():
        a, b, c, d, e, f = weights[f"sides of {part}"].tolist()
        most = most_fooled(Sides(attacked=(a, b), helping=(c, d), total=(e, f)), cap)
        limit += min(most, number[f"within {part}"])
    return limit, max(cap for cap, _ in own.values()), ""
