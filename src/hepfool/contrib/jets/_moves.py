# SPDX-License-Identifier: BSD-3-Clause
"""
Moves of a jet's constituents that a parton shower or a detector could have made differently.

Jets are arrays of shape (n_jets, n_places, 3) with pt in GeV, eta and phi of massless constituents; a place without a positive
pt is empty and holds zeros.  Every move draws once for each jet and returns the moved jets with a mask of those in which there
was something to move.  Splitting, radiating and merging keep the three-momentum of the jet exactly, up to rounding; its energy, and with
it mass and D2, change by terms of the order of the angle squared times a momentum, or of the soft momentum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from hepfool.typing import BoolArray, FloatArray, IntArray

Move = Literal["split", "radiate", "merge", "turn"]
Moved = tuple[FloatArray, BoolArray]

#: Smallest share of the softer part of a splitting: less is radiation.
_LEAST_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveSizes:
    """How far a move goes."""

    max_angle: float  # distance in (eta, phi) of collinear parts, and by which a constituent turns
    max_soft: float  # pt of soft radiation over that of all constituents
    radius: float  # distance in (eta, phi) of soft radiation from the hardest constituent


def split(jets: FloatArray, sizes: MoveSizes, rng: np.random.Generator) -> Moved:
    """Share the momentum of one constituent, drawn in proportion to pt, between itself and an empty place beside it."""
    share = rng.uniform(_LEAST_SHARE, 1.0 - _LEAST_SHARE, len(jets))
    angle, turn = sizes.max_angle * np.sqrt(rng.random(len(jets))), rng.uniform(0.0, 2.0 * np.pi, len(jets))
    return _divided(jets, _drawn(jets, rng), share, angle, turn)


def radiate(jets: FloatArray, sizes: MoveSizes, rng: np.random.Generator) -> Moved:
    """Let the hardest constituent radiate a soft one into an empty place, at any distance up to the radius, and recoil."""
    free, empty = _empty(jets)
    hardest, rows = jets[..., 0].argmax(axis=1), np.arange(len(jets))
    emitter, total = jets[rows, hardest], jets[..., 0].sum(axis=1)
    # Never more than half of the emitter.
    pt = np.minimum(sizes.max_soft * rng.random(len(jets)) * total, 0.5 * emitter[:, 0])
    soft = np.column_stack([pt, _beside(emitter[:, 1:], sizes.radius, rng)])
    moved = jets.copy()
    moved[rows, hardest] = _collider(_cartesian(emitter) - _cartesian(soft))
    moved[rows, empty] = soft
    possible = free & (pt > 0.0)
    return np.where(possible[:, None, None], moved, jets), possible


def merge(jets: FloatArray, sizes: MoveSizes, rng: np.random.Generator) -> Moved:
    """Join a constituent with its nearest neighbour, if that is collinear, and empty the place of the softer one."""
    rows, first = np.arange(len(jets)), _drawn(jets, rng, evenly=True)
    distance = _distances(jets, jets[rows, first])
    distance[rows, first] = np.inf
    second = distance.argmin(axis=1)
    pair = np.stack([first, second])
    harder, softer = np.take_along_axis(pair, np.argsort(-jets[rows, pair, 0], axis=0), axis=0)
    moved = jets.copy()
    moved[rows, harder] = _collider(_cartesian(jets[rows, first]) + _cartesian(jets[rows, second]))
    moved[rows, softer] = 0.0
    possible = distance[rows, second] <= sizes.max_angle
    return np.where(possible[:, None, None], moved, jets), possible


def turn(jets: FloatArray, sizes: MoveSizes, rng: np.random.Generator) -> Moved:
    """Turn one constituent, drawn in proportion to pt; the jet's momentum turns with it."""
    rows, chosen = np.arange(len(jets)), _drawn(jets, rng)
    moved = jets.copy()
    moved[rows, chosen, 1:] = _beside(jets[rows, chosen, 1:], sizes.max_angle, rng)
    return moved, np.ones(len(jets), dtype=np.bool_)


#: By name.
MOVES: Final[Mapping[str, Callable[[FloatArray, MoveSizes, np.random.Generator], Moved]]] = MappingProxyType(
    {"split": split, "radiate": radiate, "merge": merge, "turn": turn}
)


def _divided(jets: FloatArray, chosen: IntArray, share: FloatArray, angle: FloatArray, turn_: FloatArray) -> Moved:
    r"""Divide :math:`p` into :math:`zp + k` and :math:`(1-z)p - k` with :math:`k \perp p`, at most the angle apart."""
    possible, empty = _empty(jets)
    rows = np.arange(len(jets))
    parent = _cartesian(jets[rows, chosen])
    size = np.linalg.norm(parent, axis=1)
    # An angle in space is one in (eta, phi) over cosh(eta).
    opening = angle / np.cosh(jets[rows, chosen, 1])
    across = _across(parent, turn_) * (opening * share * (1.0 - share) * size)[:, None]
    moved = jets.copy()
    moved[rows, chosen] = _collider(share[:, None] * parent + across)
    moved[rows, empty] = _collider((1.0 - share)[:, None] * parent - across)
    return np.where(possible[:, None, None], moved, jets), possible


def _across(momentum: FloatArray, turn_: FloatArray) -> FloatArray:
    """Find unit vectors at right angles to momenta, turned around them."""
    direction = momentum / np.linalg.norm(momentum, axis=1)[:, None]
    along = np.zeros_like(direction)
    along[np.arange(len(along)), np.abs(direction).argmin(axis=1)] = 1.0
    first = np.cross(direction, along)
    first /= np.linalg.norm(first, axis=1)[:, None]
    return np.asarray(np.cos(turn_)[:, None] * first + np.sin(turn_)[:, None] * np.cross(direction, first))


def _drawn(jets: FloatArray, rng: np.random.Generator, *, evenly: bool = False) -> IntArray:
    """Draw one present constituent of each jet, in proportion to its pt or all alike."""
    sizes = (jets[..., 0] > 0.0) * 1.0 if evenly else jets[..., 0]
    reached = sizes.cumsum(axis=1)
    wanted = (1.0 - rng.random(len(jets))) * reached[:, -1]  # above 0, so that no empty place is drawn
    return np.asarray((reached < wanted[:, None]).sum(axis=1), dtype=np.int64)


def _empty(jets: FloatArray) -> tuple[BoolArray, IntArray]:
    """Whether there is an empty place, and the first one."""
    empty = ~(jets[..., 0] > 0.0)
    return np.asarray(empty.any(axis=1)), np.asarray(empty.argmax(axis=1), dtype=np.int64)


def _beside(direction: FloatArray, radius: float, rng: np.random.Generator) -> FloatArray:
    """Draw directions evenly in a disc around given ones."""
    distance, turn_ = radius * np.sqrt(rng.random(len(direction))), rng.uniform(0.0, 2.0 * np.pi, len(direction))
    eta, phi = direction[:, 0] + distance * np.cos(turn_), direction[:, 1] + distance * np.sin(turn_)
    return np.column_stack([eta, _wrapped(phi)])


def _distances(jets: FloatArray, reference: FloatArray) -> FloatArray:
    """Distance in (eta, phi) of every constituent from one of its jet; infinite for empty places."""
    eta, phi = jets[..., 1] - reference[:, None, 1], _wrapped(jets[..., 2] - reference[:, None, 2])
    return np.where(jets[..., 0] > 0.0, np.hypot(eta, phi), np.inf)


def _wrapped(phi: FloatArray) -> FloatArray:
    return np.asarray(phi - 2.0 * np.pi * np.round(phi / (2.0 * np.pi)))


def _cartesian(constituents: FloatArray) -> FloatArray:
    pt, eta, phi = np.moveaxis(constituents, -1, 0)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=-1)


def _collider(momentum: FloatArray) -> FloatArray:
    px, py, pz = np.moveaxis(momentum, -1, 0)
    pt = np.hypot(px, py)
    return np.stack([pt, np.arcsinh(pz / np.where(pt > 0.0, pt, 1.0)), np.arctan2(py, px)], axis=-1)
