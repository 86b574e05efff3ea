# SPDX-License-Identifier: BSD-3-Clause
r"""
Decide about a network of straight pieces by the signs of what enters its activations (:math:`\beta`-CROWN, arXiv:2103.06624).

An activation of known sign is straight, so that nothing is lost there.  The slopes of the lines below the others, and a multiplier
for every known sign, are improved by gradient ascent: whatever they are, the bound holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np

from hepfool.attacks._restarts import Sets
from hepfool.models._layers import Layer
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.worst_case._branch import Parts, batch_size
from hepfool.worst_case._relax import enclosed

#: Steps of the ascent at first and after each division, and their lengths, which shrink by a factor.
_STEPS: Final = (40, 10)
_SLOPE_STEP: Final = 0.25
_PRICE_STEP: Final = 0.2
_SHRINK: Final = 0.97
#: Cases that are divided at a time.
_CASES: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class _Cases:
    """Sets with known signs; arrays have one row per case, and one column per neuron where nothing else is said."""

    part: IntArray
    centre: FloatArray
    spread: FloatArray
    row: FloatArray  # of the outputs
    low: FloatArray
    high: FloatArray
    sign: FloatArray
    slope: FloatArray
    price: FloatArray
    gap: FloatArray  # what the lines lose where the bound is reached
    point: FloatArray  # of the inputs, there
    least: FloatArray  # (n_cases,)

    def __len__(self) -> int:
        return len(self.part)

    def select(self, chosen: Any) -> _Cases:
        return _Cases(*(getattr(self, f.name)[chosen] for f in fields(self)))

    def joined(self, other: _Cases) -> _Cases:
        return _Cases(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))


def decided_by_signs(
    layers: Sequence[Layer],
    parts: Parts,
    *,
    margin: float,
    max_boxes: int,
    fooled: Callable[[IntArray, FloatArray], BoolArray],
    stop: Callable[[], bool],
) -> tuple[IntArray, Parts]:
    """
    Decide whether the margin of events can reach 0; see :func:`hepfool.worst_case._branch.divided`.

    Parameters
    ----------
    layers : sequence of Layer
        A network whose activations are straight on either side of 0.
    parts : Parts
        All that the events may be; owners from 0.
    margin : float
        A proof leaves at least this.
    max_boxes : int
        Most cases per event.
    fooled : callable
        Takes owners and points, says where the class is another one.
    stop : callable
        Whether to give up.

    Returns
    -------
    boxes : IntArray, shape (n_events,)
        Cases that were bounded.
    left : Parts
        Of events whose class is nowhere another one, those of which nothing is proved; none if all are.
    """
    n_parts = np.bincount(parts.owner)
    most = np.maximum(max_boxes // n_parts[parts.owner], 1)
    new = _improved(layers, _first(layers, parts), _STEPS[0], margin)
    rest, used = new.select(slice(0, 0)), np.bincount(new.part, minlength=len(parts))
    open_, hit = used.copy(), np.zeros(len(n_parts), dtype=np.bool_)
    while len(new) and not stop():
        owner = parts.owner[new.part]
        hit[owner[fooled(owner, new.point)]] = True
        safe = (new.least > margin) | (new.low > new.high).any(axis=1)
        np.add.at(open_, new.part[safe], -1)
        rest = rest.joined(new.select(~safe & (new.gap > 0.0).any(axis=1)))
        rest = rest.select(~hit[parts.owner[rest.part]] & (used[rest.part] < most[rest.part]))
        nearest = np.argsort(-rest.least)
        new, rest = rest.select(nearest[:_CASES]), rest.select(nearest[_CASES:])
        np.add.at(open_, new.part, 1)
        new = _improved(layers, _divided(new), _STEPS[1], margin)
        np.add.at(used, new.part, 1)
    boxes = np.bincount(parts.owner, weights=used).astype(np.int64)
    return boxes, parts.select((open_ > 0) & ~hit[parts.owner])


def _first(layers: Sequence[Layer], parts: Parts) -> _Cases:
    """One case for every function that must not reach 0, with bounds of all neurons and no sign known."""
    ends, size = [], batch_size(layers)
    for start in range(0, len(parts), size):
        found, _ = enclosed(layers, parts.sets.select(slice(start, start + size)))
        ends.append([np.concatenate(side, axis=1) for side in zip(*found, strict=True)])
    low, high = (np.concatenate(side) for side in zip(*ends, strict=True))
    part, function = np.nonzero(np.ones(parts.rows.shape[:2], dtype=np.bool_))
    low, high, centre = low[part], high[part], parts.sets.centre[part]
    slope = np.where(high > -low, 1.0, _leaks(layers))
    nothing = np.zeros_like(low)
    least = np.full(len(part), -np.inf)
    spread, rows = parts.sets.spread[part], parts.rows[part, function]
    return _Cases(part, centre, spread, rows, low, high, nothing, slope, nothing, nothing, centre, least)


def _divided(cases: _Cases) -> _Cases:
    """Either sign of the neuron at which the lines lose most."""
    each, neuron = np.arange(len(cases)), cases.gap.argmax(axis=1)
    low, high, above, below = cases.low.copy(), cases.high.copy(), cases.sign.copy(), cases.sign.copy()
    low[each, neuron], high[each, neuron], above[each, neuron], below[each, neuron] = 0.0, 0.0, 1.0, -1.0
    return replace(cases, low=low, sign=above).joined(replace(cases, high=high, sign=below))


def _leaks(layers: Sequence[Layer]) -> FloatArray:
    return np.concatenate([np.full(len(one.bias), one.activation.leak) for one in layers if one.activation is not None])


def _improved(layers: Sequence[Layer], cases: _Cases, n_steps: int, margin: float) -> _Cases:
    """Better slopes and prices, and what they give, by ascent with normalised steps (Adam)."""
    leaks = _leaks(layers)
    unknown = (cases.low < 0.0) & (cases.high > 0.0)
    slope, price, best = cases.slope, cases.price, replace(cases, least=np.full(len(cases), -np.inf))
    moments = [np.zeros((2, *slope.shape)), np.zeros((2, *slope.shape))]
    for step in range(n_steps + 1):
        now, gradients, scale = _evaluated(layers, replace(cases, slope=slope, price=price), unknown, leaks)
        best = _better(best, now)
        if step == n_steps or (best.least > margin).all():
            break
        direction = [_direction(m, g, step) for m, g in zip(moments, gradients, strict=True)]
        length = _SHRINK**step
        slope = np.clip(slope + _SLOPE_STEP * length * direction[0], leaks, 1.0)
        price = np.maximum(price + _PRICE_STEP * length * scale * direction[1], 0.0)
    return best


def _direction(moments: FloatArray, gradient: FloatArray, step: int) -> FloatArray:
    moments[0] += 0.1 * (gradient - moments[0])
    moments[1] += 0.001 * (gradient**2 - moments[1])
    size = np.sqrt(moments[1] / (1.0 - 0.999 ** (step + 1)))
    return np.asarray(moments[0] / (1.0 - 0.9 ** (step + 1)) / (size + 1e-12))


def _better(best: _Cases, now: _Cases) -> _Cases:
    more = now.least > best.least
    chosen = (
        np.where(more.reshape(-1, *(1,) * (getattr(now, f.name).ndim - 1)), getattr(now, f.name), getattr(best, f.name))
        for f in fields(now)
    )
    return _Cases(*chosen)


def _evaluated(
    layers: Sequence[Layer], cases: _Cases, unknown: BoolArray, leaks: FloatArray
) -> tuple[_Cases, tuple[FloatArray, FloatArray], FloatArray]:
    """Bounds, their derivatives by slopes and prices, and the size of a price."""
    below, above = np.minimum(cases.low, 0.0), np.maximum(cases.high, 0.0)
    upper = (above - leaks * below) / np.maximum(above - below, 1e-300)
    upper = np.where(unknown, upper, np.where(cases.low >= 0.0, 1.0, leaks))
    offset = np.where(unknown, above * (1.0 - upper), 0.0)
    lower = np.where(unknown, cases.slope, upper)
    ends = np.cumsum([0, *(len(layer.bias) for layer in layers[:-1])])
    columns = [slice(a, b) for a, b in pairwise(ends)]

    row, constant = cases.row @ layers[-1].weight, cases.row @ layers[-1].bias
    factors = np.empty_like(lower)
    for layer, column in zip(layers[-2::-1], columns[::-1], strict=True):
        factors[:, column] = row
        constant = constant + (np.minimum(row, 0.0) * offset[:, column]).sum(axis=1)
        row = row * np.where(row > 0.0, lower[:, column], upper[:, column])
        row = row - cases.sign[:, column] * cases.price[:, column]
        constant = constant + row @ layer.bias
        row = row @ layer.weight
    sets = Sets(cases.centre, cases.spread)
    least = sets.least(row[:, np.newaxis], constant[:, np.newaxis])[:, 0]
    point = sets.at(-np.sign(sets.along(row[:, np.newaxis])[:, 0]))

    # The same lines forwards, where the bound is reached: what enters and leaves every activation.
    entering, leaving, value = np.empty_like(lower), np.empty_like(lower), point
    for layer, column in zip(layers[:-1], columns, strict=True):
        entering[:, column] = value @ layer.weight.T + layer.bias
        low_line = entering[:, column] * lower[:, column]
        value = np.where(factors[:, column] > 0.0, low_line, entering[:, column] * upper[:, column] + offset[:, column])
        leaving[:, column] = value
    true = np.where(entering > 0.0, entering, leaks * entering)
    gap = np.where(unknown, np.abs(factors * (leaving - true)), 0.0)
    gradients = np.where(unknown & (factors > 0.0), factors * entering, 0.0), -cases.sign * entering
    counted = unknown | (cases.sign != 0.0)
    scale = (np.abs(factors) * counted).sum(axis=1, keepdims=True) / np.maximum(counted.sum(axis=1, keepdims=True), 1)
    return replace(cases, least=least, point=point, gap=gap), gradients, scale
