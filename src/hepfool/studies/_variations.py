# SPDX-License-Identifier: BSD-3-Clause
"""
Add the systematics of an analysis to a table, or beside it.

You have coffea ``Weights``: :func:`weight_variations`.  You have corrections of correctionlib with up and down:
:func:`correction_variations`.  Both give ``EventTable.weight_variations``.  Inputs that change, such as with an energy
scale, are ``EventTable.shape_variations``: compute them in ``Analysis.build``.  You have per-event uncertainties of the
inputs: :func:`envelope_variations`.  You have finished histograms only: :func:`yield_effects`; they give how yields
shift, but not which events change their class.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from hist import Hist
from numpy.typing import ArrayLike

from hepfool.attacks._bounds import Bounds
from hepfool.events import Envelope, EventTable
from hepfool.features import FeatureSpace
from hepfool.studies._contributions import Measured, SystematicEffect
from hepfool.typing import FloatArray

_SIDE = re.compile(r"_?(up|down)$", re.IGNORECASE)
_ALIGNED = 1e-9


def weight_variations(weights: Any) -> dict[str, FloatArray]:
    """
    Take every variation of the event weights.

    Parameters
    ----------
    weights : coffea.analysis_tools.Weights
        Weights with variations such as ``pileupUp`` and ``pileupDown``.

    Returns
    -------
    dict of str to FloatArray, shape (n_events,)
        By ``<source>_up`` and ``<source>_down``, as a table wants them.

    Examples
    --------
    >>> from coffea.analysis_tools import Weights
    >>> weights = Weights(2)
    >>> weights.add("pileup", np.array([1.0, 2.0]), np.array([1.5, 2.0]), np.array([0.5, 2.0]))
    >>> weight_variations(weights)["pileup_up"]
    array([1.5, 2. ])
    """
    return {_side_last(name): np.asarray(weights.weight(name), dtype=np.float64) for name in sorted(weights.variations)}


def correction_variations(
    correction: Any,
    inputs: Mapping[str, ArrayLike],
    weights: ArrayLike,
    *,
    source: str,
    systematic: str = "systematic",
    keys: tuple[str, str, str] = ("nominal", "up", "down"),
) -> dict[str, FloatArray]:
    """
    Vary the event weights by a correction of correctionlib.

    Parameters
    ----------
    correction : correctionlib.highlevel.Correction
        One of its inputs is the name of the variation.
    inputs : mapping of str to array_like, shape (n_events,) or single values
        All other inputs by name.
    weights : array_like, shape (n_events,)
        Event weights that hold the nominal correction already.
    systematic : str
        Name of the input that chooses the variation, often ``systematic`` or ``ValType``.
    keys : (str, str, str)
        What that input is for nominal, up and down.

    Returns
    -------
    dict of str to FloatArray, shape (n_events,)
        ``<source>_up`` and ``<source>_down``.

    Raises
    ------
    ValueError
        If the inputs are not those of the correction, or the nominal correction is zero for an event that counts.
    """
    names = [variable.name for variable in correction.inputs]
    given = {*inputs, systematic}
    if given != set(names):
        msg = f"{source}: the correction takes {', '.join(names)}, got {', '.join(sorted(given))}"
        raise ValueError(msg)
    nominal, *varied = (
        np.asarray(
            correction.evaluate(*(key if name == systematic else inputs[name] for name in names)), dtype=np.float64
        )
        for key in keys
    )
    weights = np.asarray(weights, dtype=np.float64)
    lost = (np.broadcast_to(nominal, weights.shape) == 0.0) & (weights != 0.0)
    if lost.any():
        msg = (
            f"{source}: the nominal correction is 0 for {int(lost.sum())} events of other weight; "
            "pass weights that hold the correction"
        )
        raise ValueError(msg)
    safe = np.where(nominal == 0.0, 1.0, nominal)
    return {f"{source}_{side}": weights * value / safe for side, value in zip(("up", "down"), varied, strict=True)}


def envelope_variations(
    table: EventTable, envelope: Envelope, sources: Mapping[str, Iterable[str]] | None = None
) -> dict[str, FloatArray]:
    """
    Move all events together to either end of their envelopes, source by source.

    Fixed and missing values stay, integers go to the last whole number, derived features follow.  As an attack, a variation
    does not leave the range of the nominal events.

    Parameters
    ----------
    sources : mapping of str to iterable of str, optional
        Features that each source moves; every feature by itself by default, except for fixed and derived ones.

    Returns
    -------
    dict of str to FloatArray, shape (n_events, n_features)
        By ``<source>_up`` and ``<source>_down``, for ``EventTable.shape_variations``.

    Raises
    ------
    ValueError
        If there is no source or one without features, a feature is unknown or cannot move, or the envelope does not bound it.

    Examples
    --------
    >>> table = EventTable.from_arrays([[100.0, 0.5], [400.0, 2.0]], features=["jet_pt", "jet_eta"])
    >>> varied = envelope_variations(table, Envelope.relative(table, [0.1, 0.0]), {"scale": ["jet_pt"]})
    >>> varied["scale_up"].tolist(), varied["scale_down"].tolist()
    ([[110.0, 0.5], [400.0, 2.0]], [[100.0, 0.5], [360.0, 2.0]])
    """
    features = table.features
    free = ~features.of_kind("fixed")
    free[list(features.derived)] = False
    names = [features.names[j] for j in np.flatnonzero(free)]
    chosen = {n: (n,) for n in names} if sources is None else {s: tuple(moved) for s, moved in sources.items()}
    bounds = Bounds.of(table, envelope)
    varied = {}
    for source, moved in chosen.items():
        columns = _movable_columns(source, moved, names, features)
        _check_bounded(table, envelope, columns)
        for side, ends in (("up", bounds.upper[bounds.row]), ("down", bounds.lower[bounds.row])):
            varied[f"{source}_{side}"] = _moved_to(table, ends, columns)
    if not varied:
        msg = "no source of uncertainty; name the features of each, or leave sources out"
        raise ValueError(msg)
    return varied


def _movable_columns(source: str, moved: tuple[str, ...], names: list[str], features: FeatureSpace) -> list[int]:
    if not moved:
        msg = f"source {source!r} moves no feature; name at least one"
        raise ValueError(msg)
    for name in moved:
        if name not in names:
            msg = f"source {source!r} cannot move {name!r}, which is unknown, fixed or derived; choose from {', '.join(names)}"
            raise ValueError(msg)
    return [features.index(name) for name in moved]


def _check_bounded(table: EventTable, envelope: Envelope, columns: list[int]) -> None:
    for j in columns:
        present = ~table.missing[:, j]
        if not np.isfinite([envelope.lower[present, j], envelope.upper[present, j]]).all():
            msg = f"the envelope does not bound {table.features.names[j]!r} in every event, so it gives no uncertainty for it"
            raise ValueError(msg)


def _moved_to(table: EventTable, ends: FloatArray, columns: list[int]) -> FloatArray:
    features, values = table.features, table.values.copy()
    present = ~table.missing
    for j in columns:
        kind, events = features[j].kind, present[:, j]
        end = ends[events, j]
        if kind == "integer":
            end = np.where(end >= values[events, j], np.floor(end), np.ceil(end))
        elif kind == "angle":
            lower, upper = features[j].lower, features[j].upper
            end = np.where((end < lower) | (end > upper), lower + np.mod(end - lower, upper - lower), end)
        values[events, j] = end
    for d in features.derived:
        derived = features.derive(values, d)
        values[present[:, d], d] = derived[present[:, d]]
    return values


def yield_effects(
    histograms: Mapping[str, Hist[Any]], nominal: Mapping[str, str], *, above: float | None = None
) -> tuple[SystematicEffect, ...]:
    """Take yield shifts from finished histograms."""
    shifts: dict[str, dict[str, Measured]] = {}
    for region, name in nominal.items():
        if name not in histograms:
            msg = f"no histogram {name!r} for region {region!r}, only {', '.join(histograms)}"
            raise ValueError(msg)
        before = _yield(histograms[name], above, name)
        for other, histogram in histograms.items():
            source = other.removeprefix(f"{name}_")
            if source != other and _SIDE.search(source):
                after = _yield(histogram, above, other)
                shifts.setdefault(_side_last(source), {})[region] = _relative(before, after)
    if not shifts:
        msg = f"no varied histogram such as {next(iter(nominal.values()), 'name')}_jesUp beside the nominal ones"
        raise ValueError(msg)
    return tuple(
        SystematicEffect(name=name, kind="yield", flips=None, yield_shift=shift) for name, shift in shifts.items()
    )


def _side_last(name: str) -> str:
    """Write ``pileupUp`` as ``pileup_up``."""
    return _SIDE.sub(lambda match: f"_{match[1].lower()}", name)


def _yield(histogram: Hist[Any], above: float | None, name: str) -> tuple[float, float]:
    """Content and variance."""
    if histogram.ndim != 1:
        msg = f"histogram {name!r} has {histogram.ndim} axes; project it on one"
        raise ValueError(msg)
    counted = slice(None)
    axis: Any = histogram.axes[0]
    if above is not None:
        edges = np.asarray(axis.edges)
        nearest = int(np.argmin(np.abs(edges - above)))
        if abs(edges[nearest] - above) > _ALIGNED * max(1.0, abs(above)):
            msg = f"{above:g} is not a bin edge of histogram {name!r}; the nearest is {edges[nearest]:g}"
            raise ValueError(msg)
        counted = slice(nearest + int(axis.traits.underflow), None)
    contents = histogram.values(flow=True)
    variances = histogram.variances(flow=True)
    return float(contents[counted].sum()), float((contents if variances is None else variances)[counted].sum())


def _relative(before: tuple[float, float], after: tuple[float, float]) -> Measured:
    if before[0] == 0.0:
        return Measured(math.nan, math.nan)
    ratio = after[0] / before[0]
    return Measured(ratio - 1.0, math.sqrt(after[1] + ratio**2 * before[1]) / abs(before[0]))
