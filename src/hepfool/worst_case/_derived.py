# SPDX-License-Identifier: BSD-3-Clause
r"""
Enclose derived inputs over boxes by linear functions of those that they follow from (affine arithmetic).

A quantity is :math:`c + \sum_k g_k e_k + r` with the coordinates :math:`|e_k|\le 1` of the box and a remainder :math:`|r|\le\rho`, so that
a derived input moves with the others up to what is not linear in its formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hepfool._formula import Formula
from hepfool.attacks._restarts import Sets
from hepfool.features import FeatureSpace
from hepfool.typing import BoolArray, FloatArray, IntArray

#: Points at which a function is compared with its chord.
_POINTS: Final = 33
#: Of the size of a number: more than the rounding of a step of a formula.
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
    """Centre of shape (n_boxes,), slopes along the coordinates (n_boxes, n_coordinates) and remainder (n_boxes,)."""

    centre: FloatArray
    slopes: FloatArray
    rest: FloatArray

    __array_ufunc__ = None  # NumPy leaves arithmetic with a form to the form

    @property
    def half(self) -> FloatArray:
        """How far it goes from its centre."""
        return np.asarray(np.abs(self.slopes).sum(axis=1) + self.rest)

    def __neg__(self) -> _Form:
        return _Form(-self.centre, -self.slopes, self.rest)

    def __pos__(self) -> _Form:
        return self

    def __add__(self, other: _Form | float) -> _Form:
        if not isinstance(other, _Form):
            return _Form(self.centre + other, self.slopes, self.rest)
        return _rounded(self.centre + other.centre, self.slopes + other.slopes, self.rest + other.rest)

    def __sub__(self, other: _Form | float) -> _Form:
        return self + (-other)

    def __radd__(self, other: _Form | float) -> _Form:
        return self + other

    def __rsub__(self, other: _Form | float) -> _Form:
        return -self + other

    def __mul__(self, other: _Form | float) -> _Form:
        if not isinstance(other, _Form):
            return _rounded(other * self.centre, other * self.slopes, abs(other) * self.rest)
        slopes = self.centre[:, np.newaxis] * other.slopes + other.centre[:, np.newaxis] * self.slopes
        rest = np.abs(self.centre) * other.rest + np.abs(other.centre) * self.rest + self.half * other.half
        return _rounded(self.centre * other.centre, slopes, rest)

    def __rmul__(self, other: _Form | float) -> _Form:
        return self * other

    def __truediv__(self, other: _Form | float) -> _Form:
        return self * _inverse(other) if isinstance(other, _Form) else self * (1.0 / other)

    def __rtruediv__(self, other: _Form | float) -> _Form:
        return _inverse(self) * other

    def __pow__(self, power: float) -> _Form:
        if power in _POWERS:
            return _POWERS[power](self)
        raise NotImplementedError


def _rounded(centre: FloatArray, slopes: FloatArray, rest: FloatArray) -> _Form:
    size = np.abs(centre) + np.abs(slopes).sum(axis=1)
    return _Form(centre, slopes, rest * (1.0 + _ROUNDING) + _ROUNDING * size)


def _along(form: _Form, slope: FloatArray, lowest: FloatArray, highest: FloatArray) -> _Form:
    """Enclose what lies between two lines of the same slope over a form."""
    centre = slope * form.centre + (lowest + highest) / 2.0
    rest = np.abs(slope) * form.rest + (highest - lowest) / 2.0
    return _rounded(centre, slope[:, np.newaxis] * form.slopes, rest)


def _ends(form: _Form) -> tuple[FloatArray, FloatArray]:
    return form.centre - form.half, form.centre + form.half


def _slope(low: FloatArray, high: FloatArray, at: tuple[FloatArray, FloatArray]) -> FloatArray:
    width = high - low
    return np.divide(at[1] - at[0], width, out=np.zeros_like(width), where=width > _ROUNDING * np.abs(high))


def _chord(
    form: _Form,
    function: Callable[[FloatArray], FloatArray],
    curvature: Callable[[FloatArray, FloatArray], FloatArray],
    kink: float = 0.0,
) -> _Form:
    """Enclose a function of which no second derivative between two ends is larger, but for a kink."""
    low, high = _ends(form)
    slope = _slope(low, high, (function(low), function(high)))
    points = low + (high - low) * np.linspace(0.0, 1.0, _POINTS)[:, np.newaxis]
    above, step = function(points) - slope * points, (high - low) / (_POINTS - 1)
    between = curvature(low, high) * step**2 / 8.0 + kink * step / 4.0
    return _along(form, slope, above.min(axis=0) - between, above.max(axis=0) + between)


def _root(form: _Form) -> _Form:
    """Enclose a concave function, furthest from its chord where the slopes agree; what is below 0 has no root and no value."""
    low, high = (np.maximum(end, 0.0) for end in _ends(form))
    root = np.sqrt(low), np.sqrt(high)
    slope = np.divide(1.0, root[0] + root[1], out=np.zeros_like(high), where=root[1] > 0.0)
    least = root[0] - slope * low
    most = np.where(slope > 0.0, 0.25 / np.where(slope > 0.0, slope, 1.0), root[1])
    return _along(form, slope, least, np.maximum(most, least))


def _square(form: _Form) -> _Form:
    return _chord(form, np.square, lambda low, _: np.full_like(low, 2.0))


def _inverse(form: _Form) -> _Form:
    """Enclose the inverse of what does not reach 0."""
    low, high = _ends(form)
    clear = (low > 0.0) | (high < 0.0)
    nearest = np.where(clear, np.minimum(np.abs(low), np.abs(high)), np.nan)
    return _chord(form, lambda z: 1.0 / np.where(clear, z, np.nan), lambda *_: 2.0 / nearest**3)


def _largest(low: FloatArray, high: FloatArray) -> FloatArray:
    return np.maximum(np.abs(low), np.abs(high))


def _absolute(form: _Form) -> _Form:
    return _chord(form, np.abs, lambda low, _: np.zeros_like(low), 2.0)


def _maximum(*forms: Any) -> Any:
    first, *others = forms
    for other in others:
        first = (first + other + _absolute(first - other if isinstance(first, _Form) else other - first)) * 0.5
    return first


def _minimum(*forms: Any) -> Any:
    return -_maximum(*[-form for form in forms])


def _logarithm(form: _Form) -> _Form:
    low, _ = _ends(form)
    positive = np.where(low > 0.0, low, np.nan)
    return _chord(form, lambda z: np.log(np.where(low > 0.0, z, np.nan)), lambda *_: 1.0 / positive**2)


def _ones(low: FloatArray, _high: FloatArray) -> FloatArray:
    return np.ones_like(low)


_POWERS: Final[Mapping[float, Callable[[_Form], _Form]]] = {2: _square, 0.5: _root, -1: _inverse}
#: Functions of a formula for forms.
_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "abs": _absolute,
    "sqrt": _root,
    "exp": lambda z: _chord(z, np.exp, lambda _, high: np.exp(high)),
    "log": _logarithm,
    "sin": lambda z: _chord(z, np.sin, _ones),
    "cos": lambda z: _chord(z, np.cos, _ones),
    "sinh": lambda z: _chord(z, np.sinh, lambda low, high: np.cosh(_largest(low, high))),
    "cosh": lambda z: _chord(z, np.cosh, lambda low, high: np.cosh(_largest(low, high))),
    "tanh": lambda z: _chord(z, np.tanh, lambda low, _: np.full_like(low, 0.77)),
    "arctan": lambda z: _chord(z, np.arctan, lambda low, _: np.full_like(low, 0.65)),
    "hypot": lambda x, y: _root(_square(x) + _square(y)),
    "max": _maximum,
    "min": _minimum,
}


def followed(
    features: FeatureSpace, owner: IntArray, low: FloatArray, high: FloatArray, nominal: FloatArray
) -> tuple[Sets, BoolArray]:
    """
    Let derived inputs follow from those that move.

    Parameters
    ----------
    features : FeatureSpace
        Some of them derived.
    owner : IntArray, shape (n_boxes,)
        Event of each box.
    low, high : FloatArray, shape (n_boxes, n_features)
        Ends of boxes.
    nominal : FloatArray, shape (n_events, n_features)
        Values of the events, which may differ from the formulas by rounding.

    Returns
    -------
    sets : Sets
        One coordinate for each input that moves, and one for what is left of each derived one.
    linear : BoolArray, shape (n_features,)
        Derived inputs that follow a formula in some box.
    """
    derived = np.isin(np.arange(len(features)), features.derived)
    moving = (high > low).any(axis=0)
    free = np.flatnonzero(moving & ~derived)
    centre, half = (low + high) / 2.0, np.where(high > low, (high - low) / 2.0, 0.0)
    spread = np.zeros((*centre.shape, len(free) + int((moving & derived).sum())))
    spread[:, free, np.arange(len(free))] = half[:, free]
    linear = np.zeros(len(features), dtype=np.bool_)
    for k, d in enumerate(np.flatnonzero(moving & derived), start=len(free)):
        form = _form(features, int(d), free, centre, half)
        found = np.zeros(len(low), dtype=np.bool_)
        if form is not None:
            start = np.divide(
                (nominal[owner] - centre)[:, free],
                half[:, free],
                out=np.zeros((len(low), len(free))),
                where=half[:, free] > 0,
            )
            off = np.abs(nominal[owner, d] - form.centre - (form.slopes * start).sum(axis=1))
            rest = np.maximum(form.rest, off)
            found = np.isfinite(form.centre + form.slopes.sum(axis=1) + rest) & (rest < half[:, d])
            centre[found, d], spread[found, d, : len(free)] = form.centre[found], form.slopes[found]
            spread[found, d, k] = rest[found]
        spread[~found, d, k] = half[~found, d]
        linear[d] = found.any()
    return Sets(centre, spread), linear


def _form(features: FeatureSpace, d: int, free: IntArray, centre: FloatArray, half: FloatArray) -> _Form | None:
    """Enclose the formula of a feature; None if there is none, or it holds a function that is not enclosed here."""
    rule = features[d].derived
    if rule is None or not isinstance(rule.function, Formula):
        return None
    given = {}
    for name in rule.inputs:
        j, slopes = features.index(name), np.zeros((len(centre), len(free)))
        slopes[:, free == j] = half[:, [j]] if (free == j).any() else 0.0
        given[name] = _Form(centre[:, j], slopes, np.zeros(len(centre)))
    with np.errstate(all="ignore"):
        try:
            form = rule.function.over(given, _FUNCTIONS)
        except (KeyError, NotImplementedError, AttributeError, ArithmeticError):
            return None
    return form if isinstance(form, _Form) else None
