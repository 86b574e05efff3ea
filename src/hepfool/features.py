# SPDX-License-Identifier: BSD-3-Clause
"""
Describe the network's inputs: names, units, physical ranges and kinds.

A :class:`Feature` is one input column; a :class:`FeatureSpace` is the ordered
list of all of them.  Attacks read from here what may move, how, and how far.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self, cast, get_args

import numpy as np

from hepfool._formula import Formula
from hepfool.typing import BoolArray, FloatArray

__all__ = ["Derived", "Feature", "FeatureKind", "FeatureSpace"]

FeatureKind = Literal["continuous", "integer", "angle", "fixed"]


#: Of a derived feature, relative to its size.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, repr=False)
class Derived:
    """
    How a feature follows from others.

    Attributes
    ----------
    inputs : sequence of str
        Features that the function takes, none of them derived itself.
    function : callable
        Takes one array per input and returns an array, element by element; NaN where an input that
        matters is NaN.  Importable by name, so that tables can be sent to workers.
    tolerance : float
        By how much the values of a table may differ from the function, in the feature's unit,
        for example because a file holds rounded numbers.

    Examples
    --------
    >>> ratio = Derived(["lepton_pt", "tau_pt"], np.divide, tolerance=1e-3)
    >>> ratio.inputs
    ('lepton_pt', 'tau_pt')
    """

    inputs: Sequence[str]
    function: Callable[..., FloatArray]
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        """Check that there are inputs."""
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if not self.inputs or not self.tolerance >= 0:
            msg = f"a derived feature needs inputs and a tolerance of at least 0, got {self.inputs}, {self.tolerance}"
            raise ValueError(msg)

    @classmethod
    def by(cls, formula: str, tolerance: float = 1e-6) -> Self:
        """
        State the function as a formula.

        Parameters
        ----------
        formula : str
            Of features, as :class:`hepfool._formula.Formula` reads it.
        tolerance : float
            See :class:`Derived`.

        Returns
        -------
        Derived
            The function of the features in the formula.

        Examples
        --------
        >>> Derived.by("lepton_pt / tau_pt").inputs
        ('lepton_pt', 'tau_pt')
        """
        function = Formula(formula)
        return cls(function.inputs, function, tolerance)

    def __repr__(self) -> str:
        """Name the function, and its code where it has any: the same in every process, so that a checkpoint is found again."""
        return f"Derived({list(self.inputs)}, {_named(self.function)}, tolerance={self.tolerance:g})"


def _shaped(name: str, found: Any, wanted: tuple[int, ...]) -> FloatArray:
    result: FloatArray = np.asarray(found)
    if result.shape != wanted:
        msg = f"the function of {name} returned shape {result.shape} for {wanted[0]} events"
        raise ValueError(msg)
    return result


#: Events for which it costs less to repeat their values than to let them be broadcast.
_FEW: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class Following:
    """
    A derived feature as a function of one of its inputs.

    A formula computes once per event what does not depend on that input.

    Attributes
    ----------
    name : str
        Of the derived feature.
    derived : Derived
        How it follows.
    inputs : tuple of int
        Columns of its inputs.
    moved : int
        The column that takes other values.
    """

    name: str
    derived: Derived
    inputs: tuple[int, ...]
    moved: int

    def __call__(self, values: FloatArray, candidates: FloatArray) -> FloatArray:
        """
        Compute it.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Values of all features.
        candidates : FloatArray, shape (n_events, n_candidates)
            Values of the input that moves, NaN for none.

        Returns
        -------
        FloatArray, shape (n_events, n_candidates)
            NaN where it does not exist.
        """
        function, n_candidates = self.derived.function, candidates.shape[1]
        if isinstance(function, Formula) and len(values) > _FEW:
            given = [candidates if k == self.moved else values[:, k, np.newaxis] for k in self.inputs]
            return np.broadcast_to(function(*given), candidates.shape)
        flat = candidates.reshape(-1)
        given = [flat if k == self.moved else np.repeat(values[:, k], n_candidates) for k in self.inputs]
        return _shaped(self.name, function(*given), flat.shape).reshape(candidates.shape)


def _named(function: Callable[..., FloatArray]) -> str:
    if isinstance(function, Formula):
        return repr(function.text)
    name = f"{getattr(function, '__module__', None) or ''}.{getattr(function, '__qualname__', type(function).__name__)}"
    code = getattr(function, "__code__", None)
    if code is None:
        return name
    constants = [constant for constant in code.co_consts if isinstance(constant, int | float | str)]
    content = repr((code.co_code, code.co_names, constants))
    return f"{name}#{hashlib.sha256(content.encode()).hexdigest()[:8]}"


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
    derived : Derived, optional
        The function of other features that this one is: it moves with them, never by itself.
    """

    name: str = field(kw_only=False)
    label: str = ""
    unit: str = ""
    lower: float = -math.inf
    upper: float = math.inf
    kind: FeatureKind = "continuous"
    derived: Derived | None = None

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
        if self.derived is not None and self.kind != "continuous":
            msg = f"{self.name}: a derived feature must be continuous, got kind {self.kind!r}"
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
        odd = [item for item in items if not isinstance(cast("object", item), Feature)]
        if odd:
            msg = f"features are names or Feature(...), got {odd[0]!r}"
            raise TypeError(msg)
        if not items:
            msg = "a feature space needs at least one feature"
            raise ValueError(msg)
        names = [f.name for f in items]
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            msg = f"feature names must be unique, repeated: {', '.join(repeated)}"
            raise ValueError(msg)
        object.__setattr__(self, "features", items)
        primary = {f.name for f in items if f.derived is None}
        for feature in items:
            unknown = sorted(set(feature.derived.inputs) - primary) if feature.derived else []
            if unknown:
                msg = f"{feature.name} is derived from {', '.join(unknown)}, which is absent or derived itself"
                raise ValueError(msg)

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

        Raises
        ------
        ValueError
            If there is no such feature; the message suggests close names.
        """
        for j, feature in enumerate(self.features):  # attacks ask many thousand times
            if feature.name == name:
                return j
        close = difflib.get_close_matches(name, self.names, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else f"known are {', '.join(self.names)}"
        msg = f"no feature named {name!r}; {hint}"
        raise ValueError(msg)

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

        Returns
        -------
        BoolArray, shape (n_features,)
            True where the feature is of that kind.
        """
        return np.array([f.kind == kind for f in self.features], dtype=np.bool_)

    @property
    def derived(self) -> tuple[int, ...]:
        """Columns of the derived features."""
        return tuple(j for j, feature in enumerate(self.features) if feature.derived is not None)

    def derive(self, values: FloatArray, column: int) -> FloatArray:
        """
        Compute one derived feature.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Values of all features.

        Returns
        -------
        FloatArray, shape (n_events,)
            In the feature's unit, NaN where it does not exist.

        Raises
        ------
        ValueError
            If the feature is not derived, or its function returns another shape.

        Examples
        --------
        >>> total = Feature(name="sum_pt", derived=Derived(["tau_pt", "lepton_pt"], np.add))
        >>> space = FeatureSpace(["tau_pt", "lepton_pt", total])
        >>> space.derive(np.array([[30.0, 40.0, 0.0]]), 2)
        array([70.])
        """
        derived = self._derivation(column)
        found = derived.function(*(values[:, self.index(name)] for name in derived.inputs))
        return _shaped(self.features[column].name, found, (len(values),))

    def following(self, column: int, moved: int) -> Following:
        """
        Prepare the computation of a derived feature for several values of one of its inputs.

        Parameters
        ----------
        column : int
            The derived feature.
        moved : int
            The input that takes other values.

        Returns
        -------
        Following
            A function of all values and of those that the input takes.

        Raises
        ------
        ValueError
            If the feature is not derived.

        Examples
        --------
        >>> total = Feature(name="sum_pt", derived=Derived.by("tau_pt + lepton_pt"))
        >>> space = FeatureSpace(["tau_pt", "lepton_pt", total])
        >>> space.following(2, 0)(np.array([[30.0, 40.0, 70.0]]), np.array([[31.0, 32.0]]))
        array([[71., 72.]])
        """
        derived = self._derivation(column)
        return Following(self.features[column].name, derived, tuple(map(self.index, derived.inputs)), moved)

    def _derivation(self, column: int) -> Derived:
        derived = self.features[column].derived
        if derived is None:
            msg = f"{self.features[column].name} is not derived"
            raise ValueError(msg)
        return derived

    def departs(self, values: FloatArray, column: int) -> BoolArray:
        """
        Find the events in which a derived feature is not what follows from the others.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Values of all features.

        Returns
        -------
        BoolArray, shape (n_events,)
            True where it differs by more than its tolerance, or is missing in one of both.

        Examples
        --------
        >>> total = Feature(name="sum_pt", derived=Derived(["tau_pt", "lepton_pt"], np.add))
        >>> FeatureSpace(["tau_pt", "lepton_pt", total]).departs(np.array([[30.0, 40.0, 70.0], [30.0, 40.0, 7.0]]), 2)
        array([False,  True])
        """
        derived, expected, found = self.features[column].derived, self.derive(values, column), values[:, column]
        tolerance = 0.0 if derived is None else derived.tolerance
        differing = np.abs(expected - found) > tolerance + _ROUNDING * np.abs(expected)
        return np.asarray(differing | (np.isnan(expected) != np.isnan(found)))
