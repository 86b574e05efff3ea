# SPDX-License-Identifier: BSD-3-Clause
"""
Describe the network's inputs: names, units, physical ranges and kinds.

A :class:`Feature` is one input column; a :class:`FeatureSpace` is the ordered
list of all of them.  Attacks read from here what may move, how, and how far.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from hepfool.typing import BoolArray, FloatArray

__all__ = ["Feature", "FeatureKind", "FeatureSpace"]

FeatureKind = Literal["continuous", "integer", "angle", "fixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    r"""
    One network input and the physical range it may take.

    Attributes
    ----------
    name : str
        Column name in the input table, such as ``lead_jet_pt``.
    label : str
        Axis title in LaTeX without its unit, such as ``leading jet $p_\mathrm{T}$``;
        the name when left empty.
    unit : str
        ``GeV``, ``rad``, or empty for a dimensionless quantity.
    lower, upper : float
        Allowed range in ``unit``; no attack may leave it.  For an angle they
        delimit the period and default to :math:`[-\pi, \pi]`.
    kind : {"continuous", "integer", "angle", "fixed"}
        ``integer`` moves on whole numbers, ``angle`` wraps around its range,
        ``fixed`` never moves.
    """

    name: str
    label: str = ""
    unit: str = ""
    lower: float = -math.inf
    upper: float = math.inf
    kind: FeatureKind = "continuous"

    def __post_init__(self) -> None:
        """Check the range and fill in the defaults that depend on other fields."""
        if not self.name:
            msg = "a feature needs a non-empty name"
            raise ValueError(msg)
        if self.kind not in get_args(FeatureKind):
            msg = f"{self.name}: kind {self.kind!r} is unknown; use one of {', '.join(get_args(FeatureKind))}"
            raise ValueError(msg)
        if self.kind == "angle" and math.isinf(self.lower) and math.isinf(self.upper):
            object.__setattr__(self, "lower", -math.pi)
            object.__setattr__(self, "upper", math.pi)
            if not self.unit:
                object.__setattr__(self, "unit", "rad")
        if not self.lower < self.upper:
            msg = f"{self.name}: empty range [{self.lower}, {self.upper}] {self.unit}; lower must be below upper"
            raise ValueError(msg)
        if self.kind == "angle" and not math.isfinite(self.upper - self.lower):
            msg = f"{self.name}: an angle needs a finite period, got [{self.lower}, {self.upper}]"
            raise ValueError(msg)
        if not self.label:
            object.__setattr__(self, "label", self.name)

    @property
    def title(self) -> str:
        """Axis title with its unit in brackets, as mplhep and ROOT users write it."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """
    The ordered inputs of a network.

    Parameters
    ----------
    features : iterable of Feature or of str
        One per input column, in the order the network expects.  A bare name
        stands for a continuous feature without limits.

    Examples
    --------
    >>> space = FeatureSpace([Feature(name="tau_pt", unit="GeV", lower=0.0), "tau_eta"])
    >>> space.names
    ('tau_pt', 'tau_eta')
    >>> space.index("tau_eta")
    1
    """

    features: tuple[Feature, ...]

    def __init__(self, features: Iterable[Feature | str]) -> None:
        items = tuple(Feature(name=f) if isinstance(f, str) else f for f in features)
        if not items:
            msg = "a feature space needs at least one feature"
            raise ValueError(msg)
        names = [f.name for f in items]
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            msg = f"feature names must be unique, repeated: {', '.join(repeated)}"
            raise ValueError(msg)
        object.__setattr__(self, "features", items)

    def __len__(self) -> int:
        """Return the number of features."""
        return len(self.features)

    def __iter__(self) -> Iterator[Feature]:
        """Iterate over the features in network order."""
        return iter(self.features)

    def __getitem__(self, key: int | str) -> Feature:
        """Return a feature by position or by name."""
        return self.features[self.index(key) if isinstance(key, str) else key]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in network order."""
        return tuple(f.name for f in self.features)

    def index(self, name: str) -> int:
        """
        Return the column of a feature.

        Parameters
        ----------
        name : str
            Feature name.

        Returns
        -------
        int
            Position in network order.

        Raises
        ------
        ValueError
            If there is no such feature; the message suggests close names.
        """
        try:
            return self.names.index(name)
        except ValueError:
            close = difflib.get_close_matches(name, self.names, n=3)
            hint = f"did you mean {', '.join(close)}?" if close else f"known are {', '.join(self.names)}"
            msg = f"no feature named {name!r}; {hint}"
            raise ValueError(msg) from None

    @property
    def lower(self) -> FloatArray:
        """Lower limits, shape (n_features,), each in its feature's unit."""
        return np.array([f.lower for f in self.features], dtype=np.float64)

    @property
    def upper(self) -> FloatArray:
        """Upper limits, shape (n_features,), each in its feature's unit."""
        return np.array([f.upper for f in self.features], dtype=np.float64)

    def of_kind(self, kind: FeatureKind) -> BoolArray:
        """
        Mark the features of one kind.

        Parameters
        ----------
        kind : {"continuous", "integer", "angle", "fixed"}
            The kind asked for.

        Returns
        -------
        BoolArray, shape (n_features,)
            True where the feature is of that kind.
        """
        return np.array([f.kind == kind for f in self.features], dtype=np.bool_)
