# SPDX-License-Identifier: BSD-3-Clause
"""Divide the sets of inputs for which a linear bound decides nothing, until one of the parts, or all of them, are decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from hepfool.attacks._restarts import Sets
from hepfool.models._layers import Layer
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.worst_case._relax import linear_bounds

#: Numbers that a batch of sets may hold at a time, so that they stay in the cache.
_BATCH: Final = 2**19
_MOST: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """
    Sets of inputs, and whose they are.

    Attributes
    ----------
    owner : IntArray, shape (n_parts,)
        Position of the event.
    sets : Sets
        What it may be.
    rows : FloatArray, shape (n_parts, n_functions, n_outputs)
        Functions of the outputs of which none may reach 0, or the class changes.
    """

    owner: IntArray
    sets: Sets
    rows: FloatArray

    def __len__(self) -> int:
        return len(self.owner)

    def select(self, chosen: IntArray | BoolArray | slice) -> Parts:
        """Return some of the parts."""
        return Parts(self.owner[chosen], self.sets.select(chosen), self.rows[chosen])

    def joined(self, other: Parts) -> Parts:
        """Append others."""
        centre = np.concatenate([self.sets.centre, other.sets.centre])
        spread = np.concatenate([self.sets.spread, other.sets.spread])
        rows = np.concatenate([self.rows, other.rows])
        return Parts(np.concatenate([self.owner, other.owner]), Sets(centre, spread), rows)


def batch_size(layers: Sequence[Layer]) -> int:
    """
    Choose how many bounds are computed at a time.

    Parameters
    ----------
    layers : sequence of Layer
        The network.

    Returns
    -------
    int
        Number of sets.
    """
    widest = max((len(after.bias) * len(layer.bias) for layer, after in pairwise(layers)), default=1)
    return int(np.clip(_BATCH // (2 * widest), 1, _MOST))


def bounded(layers: Sequence[Layer], parts: Parts) -> tuple[FloatArray, FloatArray]:
    """
    Bound the margin over each part.

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    parts : Parts
        Where.

    Returns
    -------
    least : FloatArray, shape (n_parts,)
        The margin is nowhere smaller.
    slopes : FloatArray, shape (n_parts, n_coordinates)
        Of the linear function below the smallest margin, along the coordinates of the set.
    """
    least, slopes = np.empty(len(parts)), np.empty((len(parts), parts.sets.spread.shape[-1]))
    size = batch_size(layers)
    for start in range(0, len(parts), size):
        some = parts.select(slice(start, start + size))
        found, along = linear_bounds(layers, some.sets, some.rows)
        smallest = found.argmin(axis=1)
        each = np.arange(len(some))
        least[start : start + size] = found[each, smallest]
        slopes[start : start + size] = some.sets.along(along)[each, smallest]
    return np.where(np.isnan(least), -np.inf, least), slopes


def divided(
    layers: Sequence[Layer],
    parts: Parts,
    *,
    whole: BoolArray,
    margin: float,
    max_boxes: int,
    fooled: Callable[[IntArray, FloatArray], BoolArray],
    stop: Callable[[], bool],
) -> tuple[IntArray, Parts]:
    """
    Decide whether the margin of events can reach 0.

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    parts : Parts
        All that the events may be; owners from 0.
    whole : BoolArray, shape (n_features,)
        Inputs that are whole numbers, in boxes.
    margin : float
        A proof leaves at least this.
    max_boxes : int
        Most parts per event.
    fooled : callable
        Takes owners and points, says where the class is another one.
    stop : callable
        Whether to give up.

    Returns
    -------
    boxes : IntArray, shape (n_events,)
        Parts that were bounded.
    left : Parts
        Of events whose class is nowhere another one, those of which nothing is proved; none if all are.
    """
    boxes = np.zeros(int(parts.owner.max(initial=-1)) + 1, dtype=np.int64)
    hit = np.zeros(len(boxes), dtype=np.bool_)
    left, size = parts.select(slice(0, 0)), batch_size(layers)
    while len(parts) and not stop():
        now, parts = parts.select(slice(-size, None)), parts.select(slice(None, -size))
        now = now.select(~hit[now.owner])
        spent = np.asarray(boxes[now.owner] >= max_boxes)
        left, now = left.joined(now.select(spent)), now.select(~spent)
        least, slopes = bounded(layers, now)
        np.add.at(boxes, now.owner, 1)
        unsafe = np.flatnonzero(~(least > margin))
        now, slopes = now.select(unsafe), slopes[unsafe]
        hit[now.owner[fooled(now.owner, now.sets.at(-np.sign(slopes)))]] = True
        stuck = np.asarray(~(np.abs(slopes) > 0.0).any(axis=1))
        left, now, slopes = left.joined(now.select(stuck)), now.select(~stuck), slopes[~stuck]
        parts = parts.joined(_halves(now, np.abs(slopes).argmax(axis=1), whole))
    left = left.joined(parts)
    return boxes, left.select(~hit[left.owner])


def _halves(parts: Parts, column: IntArray, whole: BoolArray) -> Parts:
    """Cut every part in two, along one of its coordinates; whole numbers between two of them."""
    sets, each = parts.sets, np.arange(len(parts))
    if sets.spread.ndim == 3:
        spread = sets.spread.copy()
        spread[each, :, column] /= 2.0
        shift = spread[each, :, column]
        return _both(parts, Sets(sets.centre - shift, spread), Sets(sets.centre + shift, spread))
    centre, half, integer = sets.centre[each, column], sets.spread[each, column], whole[column]
    below = np.where(integer, np.floor(centre), centre)
    above = np.where(integer, below + 1.0, centre)
    return _both(parts, narrowed(sets, column, centre - half, below), narrowed(sets, column, above, centre + half))


def narrowed(sets: Sets, column: int | IntArray, low: FloatArray, high: FloatArray) -> Sets:
    """Boxes with other ends in one column, the same or one per box."""
    each = np.arange(len(low))
    centre, spread = sets.centre.copy(), sets.spread.copy()
    centre[each, column], spread[each, column] = (low + high) / 2.0, (high - low) / 2.0
    return Sets(centre, spread)


def _both(parts: Parts, first: Sets, second: Sets) -> Parts:
    return Parts(parts.owner, first, parts.rows).joined(Parts(parts.owner, second, parts.rows))
