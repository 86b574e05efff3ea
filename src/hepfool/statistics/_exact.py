# SPDX-License-Identifier: BSD-3-Clause
r"""
Sums whose last bit does not depend on the order in which they were added.

Floating-point addition rounds, so that :math:`(a+b)+c \ne a+(b+c)`, and what many workers add up depends on who finished first.
:class:`ExactSum` cuts every number into *windows* of 32 bits: in window :math:`k` stand multiples of :math:`2^{32k}` below
:math:`2^{32(k+1)}`.  A double has 53 bits, so that two million of them add up in their window without any rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from hepfool.typing import FloatArray

#: Bits of a window; the other 21 of a double are room for two million summands.
_BITS: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class ExactSum:
    """
    Array of sums, to which arrays of the same shape can be added in any order.

    Attributes
    ----------
    shape : tuple of int
        Of the array.
    windows : mapping of int to FloatArray
        Part of every number by window; without those that are zero everywhere.

    Examples
    --------
    >>> a, b, c = (ExactSum.of(x) for x in (0.1, 0.2, 0.3))
    >>> (0.1 + 0.2) + 0.3 == 0.1 + (0.2 + 0.3), (a + b) + c == a + (b + c)
    (False, True)
    """

    shape: tuple[int, ...]
    windows: Mapping[int, FloatArray]

    @classmethod
    def of(cls, values: ArrayLike) -> ExactSum:
        """
        Begin with one summand.

        Parameters
        ----------
        values : array_like
            Finite numbers.

        Returns
        -------
        ExactSum
            Exactly these numbers.

        Raises
        ------
        ValueError
            If a number is not finite.
        """
        rest = np.array(values, dtype=np.float64)
        if not np.isfinite(rest).all():
            msg = f"{int((~np.isfinite(rest)).sum())} of {rest.size} numbers to be added are not finite; look at weights and scores"
            raise ValueError(msg)
        windows: dict[int, FloatArray] = {}
        while rest.any():
            window = int(np.frexp(np.abs(rest).max())[1] - 1) // _BITS
            part = np.ldexp(np.trunc(np.ldexp(rest, -_BITS * window)), _BITS * window)
            windows[window] = part
            rest = rest - part
        return cls(rest.shape, windows)

    def __add__(self, other: ExactSum) -> ExactSum:
        """Add number by number, without rounding."""
        if self.shape != other.shape:
            msg = f"sums of shape {self.shape} and {other.shape} cannot be added; they are of other bins or features"
            raise ValueError(msg)
        windows = dict(self.windows)
        for window, part in other.windows.items():
            windows[window] = windows[window] + part if window in windows else part
        return ExactSum(self.shape, {k: windows[k] for k in sorted(windows) if windows[k].any()})

    def __radd__(self, other: int) -> ExactSum:
        """Let ``sum`` start from zero."""
        return self if other == 0 else NotImplemented

    def __eq__(self, other: object) -> bool:
        """Whether the same numbers were added, in whatever order."""
        if not isinstance(other, ExactSum) or self.shape != other.shape:
            return False
        same = self.windows.keys() == other.windows.keys()
        return same and all(np.array_equal(part, other.windows[k]) for k, part in self.windows.items())

    __hash__ = None  # type: ignore[assignment]

    @property
    def value(self) -> FloatArray:
        """The sums in double precision, largest windows last."""
        total = np.zeros(self.shape)
        for window in sorted(self.windows):
            total = total + self.windows[window]
        return total
