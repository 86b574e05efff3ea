# SPDX-License-Identifier: BSD-3-Clause
"""
Merge chunks so that the last bit does not depend on who finished first.

Floating-point sums depend on their order, and the order on workers, executors
and interruptions.  :class:`OrderedSum` adds chunk 0 to chunk 1, chunk 2 to chunk 3,
their sums to each other, and so on, whatever order the parts arrive in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coffea.processor import accumulate


@dataclass(frozen=True, slots=True, eq=False)
class OrderedSum:
    """
    Output of some chunks, merged along a fixed binary tree.

    Two sums of disjoint chunks can be added in any order; neighbours merge as soon as both are there.

    Examples
    --------
    >>> values = [0.1, 0.2, 0.3]
    >>> first, second, third = (OrderedSum.of(k, value) for k, value in enumerate(values))
    >>> (first + second + third).total() == (third + first + second).total() == (0.1 + 0.2) + 0.3
    True
    """

    parts: dict[tuple[int, int], Any]  # output by level and position: of chunks position * 2**level up to the next

    @classmethod
    def of(cls, index: int, out: Any) -> OrderedSum:
        """Begin with one chunk."""
        return cls({(0, index): out})

    def __add__(self, other: OrderedSum) -> OrderedSum:
        """Unite disjoint chunks."""
        parts = {**self.parts, **other.parts}
        if len(parts) < len(self.parts) + len(other.parts):
            twice = sorted(self.parts.keys() & other.parts.keys())
            msg = f"chunks {twice} (level, position) were merged twice; every chunk counts once"
            raise ValueError(msg)
        for key in list(other.parts):
            _climb(parts, key)
        return OrderedSum(parts)

    def total(self) -> Any:
        """Merge what is left, from the first chunk to the last."""
        ordered = sorted(self.parts, key=lambda part: part[1] << part[0])
        return accumulate([self.parts[key] for key in ordered])


def _climb(parts: dict[tuple[int, int], Any], key: tuple[int, int]) -> None:
    """Merge a part with its neighbour, in place, as long as that is there."""
    level, position = key
    while (level, position) in parts and (level, position ^ 1) in parts:
        left, right = (parts.pop((level, k)) for k in (position & ~1, position | 1))
        level, position = level + 1, position >> 1
        parts[level, position] = accumulate([left, right])
