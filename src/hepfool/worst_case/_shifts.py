# SPDX-License-Identifier: BSD-3-Clause
"""What events may be if all of their inputs follow the sources of the analysis, each event with its own shifts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from hepfool.attacks._limits import travel, wrapped
from hepfool.attacks._restarts import Sets
from hepfool.events import EventTable
from hepfool.typing import FloatArray, IntArray

#: Up to so many sources all combinations of signs are looked at.
MOST_SIGNS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shifts:
    r"""
    Values :math:`x + \sum_k \theta_k^+ u_k + \theta_k^- d_k` with :math:`-1\le\theta_k\le 1`.

    Attributes
    ----------
    table : EventTable
        Nominal events.
    sources : tuple of str
        Whose shapes vary.
    up, down : FloatArray, shape (n_events, n_features, n_sources)
        Displacements by one standard deviation.
    """

    table: EventTable
    sources: tuple[str, ...]
    up: FloatArray
    down: FloatArray

    @classmethod
    def of(cls, table: EventTable, sources: tuple[str, ...]) -> Shifts:
        """
        Take the shape variations of a table.

        Parameters
        ----------
        table : EventTable
            With ``<source>_up`` and ``<source>_down``, or one of them.
        sources : tuple of str
            Names.

        Returns
        -------
        Shifts
            Fixed inputs stay, and so do those that are missing in nominal or in the variation.
        """
        known = [name.removesuffix("_up").removesuffix("_down") for name in table.shape_variations]
        for source in sources:
            if source not in known:
                msg = f"no source {source!r} among the shape variations; known are {', '.join(dict.fromkeys(known)) or 'none'}"
                raise ValueError(msg)
        if not sources:
            msg = "coherent= names no source, so that nothing would move; leave it out, or name some"
            raise ValueError(msg)
        up, down = (
            np.stack([_displacement(table, f"{s}_{side}") for s in sources], axis=-1) for side in ("up", "down")
        )
        return cls(table=table, sources=sources, up=up, down=down)

    def select(self, events: IntArray) -> Shifts:
        """Shifts of some events."""
        return replace(self, table=self.table.select(events), up=self.up[events], down=self.down[events])

    @property
    def divisible(self) -> bool:
        """Whether all combinations of signs are looked at."""
        return len(self.sources) <= MOST_SIGNS

    def enclosed(self) -> tuple[IntArray, Sets, tuple[str, ...]]:
        """Enclose all that events may be; say whose the sets are, and what is approximate about them."""
        skew = (self.up + self.down) / 4.0
        spread = np.concatenate([(self.up - self.down) / 2.0, skew], axis=-1)
        sets = Sets(self.table.network_values + skew.sum(axis=-1), spread)
        return np.arange(self.table.n_events), self._unwrapped(sets), self._approximations()

    def at(self, theta: FloatArray) -> FloatArray:
        """Values as the network takes them where all events follow the same shift, of shape (n_sources,)."""
        moved = self.table.network_values + np.where(theta >= 0.0, self.up, -self.down) @ theta
        return wrapped(self.table.features, moved, self.table.missing)

    def orthants(self, events: IntArray) -> tuple[IntArray, Sets]:
        """All that events may be, one set per combination of signs, and positions among the events."""
        nominal, up, down = self.table.network_values[events], self.up[events], self.down[events]
        pieces = []
        for signs in itertools.product((True, False), repeat=len(self.sources)):
            half = np.where(signs, up, down) / 2.0
            pieces.append((nominal + half.sum(axis=-1), half))
        centre, spread = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
        return np.tile(np.arange(len(events)), len(pieces)), self._unwrapped(Sets(centre, spread))

    def orthant(self, rng: np.random.Generator) -> Sets:
        """Everything that one combination of signs, drawn for each event, allows."""
        half = np.where(rng.integers(0, 2, (len(self.up), 1, len(self.sources))) == 1, self.up, self.down) / 2.0
        return self._unwrapped(Sets(self.table.network_values + half.sum(axis=-1), half))

    def _unwrapped(self, sets: Sets) -> Sets:
        """Leave events open of which an angle could pass the end of its period."""
        features, reach = self.table.features, np.abs(sets.spread).sum(axis=-1)
        ends = (sets.centre - reach < features.lower) | (sets.centre + reach > features.upper)
        outside = (ends & (reach > 0.0) & features.of_kind("angle")).any(axis=1)
        return Sets(np.where(outside[:, np.newaxis], np.nan, sets.centre), sets.spread)

    def _approximations(self) -> tuple[str, ...]:
        moved = (self.up != 0.0) | (self.down != 0.0)
        whole = (moved.any(axis=2) & self.table.features.of_kind("integer")).any(axis=1)
        varied = [self.table.shape_variations[name] for name in self.table.shape_variations if self._of(name)]
        lost = np.any([np.isnan(one) != self.table.missing for one in varied], axis=(0, 2))
        sentences = {
            "{} events in which whole numbers change move linearly between them": whole,
            "{} events keep an input that is missing in nominal or in a variation only": lost,
        }
        found = tuple(text.format(int(events.sum())) for text, events in sentences.items() if events.any())
        many = f"more than {MOST_SIGNS} sources: the sizes of their shifts are not tied to their signs"
        return found if self.divisible else (*found, many)

    def _of(self, name: str) -> bool:
        return name.removesuffix("_up").removesuffix("_down") in self.sources


def _displacement(table: EventTable, name: str) -> FloatArray:
    if name not in table.shape_variations:
        return np.zeros_like(table.values)
    change = travel(table.features, table.values, table.shape_variations[name])
    return np.where(np.isnan(change) | table.features.of_kind("fixed"), 0.0, change)
