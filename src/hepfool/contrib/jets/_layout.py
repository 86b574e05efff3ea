# SPDX-License-Identifier: BSD-3-Clause
"""
Columns of a network that takes a jet's constituents.

A jet is a record of ``pt``, ``eta``, ``phi``, ``mass`` and a list
``constituents`` of records with ``pt``, ``eta``, ``phi`` and perhaps ``mass``
(GeV); further fields travel along.  As coffea's, the records may have the
behaviours of ``vector``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from hepfool.events import EventTable
from hepfool.features import Feature, FeatureSpace
from hepfool.typing import BoolArray, FloatArray, IntArray

COORDINATES: Final = ("pt", "eta", "phi")
CONSTITUENTS: Final = "constituents"


@dataclass(frozen=True, slots=True)
class ConstituentLayout:
    """
    The ``n_constituents`` hardest constituents of a jet, three columns each.

    The columns are pt, eta, phi of the hardest constituent, then those of the
    second, and so on.  A jet with fewer constituents leaves its last places
    empty: there a table is *missing* (NaN), so that no attack moves them, and
    networks and observables get 0, the table's sentinel; they take any place
    without a positive pt for empty.

    Raises
    ------
    ValueError
        If there is no place.

    Examples
    --------
    >>> jets = ak.Array([{"constituents": [{"pt": 5.0, "eta": 0.1, "phi": 3.0}, {"pt": 9.0, "eta": 0.2, "phi": -3.0}]}])
    >>> ConstituentLayout(3).pad(jets)
    array([[ 9. ,  0.2, -3. ,  5. ,  0.1,  3. ,  nan,  nan,  nan]])
    """

    n_constituents: int

    def __post_init__(self) -> None:
        """Refuse a layout without places."""
        if self.n_constituents < 1:
            msg = f"n_constituents {self.n_constituents} is below 1; a jet needs a place for a constituent"
            raise ValueError(msg)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns: ``constituent_0_pt``, ``constituent_0_eta``, and so on."""
        return tuple(f"constituent_{i}_{name}" for i in range(self.n_constituents) for name in COORDINATES)

    @property
    def n_features(self) -> int:
        """Number of columns, three per constituent."""
        return len(COORDINATES) * self.n_constituents

    def feature_space(self) -> FeatureSpace:
        """
        Describe the columns.

        Returns
        -------
        FeatureSpace
            pt in GeV and not negative, eta without limits, phi an angle.
        """
        features: list[Feature] = []
        for i in range(self.n_constituents):
            pt, eta, phi = (f"constituent_{i}_{name}" for name in COORDINATES)
            features += [
                Feature(name=pt, label=rf"constituent {i} $p_\mathrm{{T}}$", unit="GeV", lower=0.0),
                Feature(name=eta, label=rf"constituent {i} $\eta$"),
                Feature(name=phi, label=rf"constituent {i} $\phi$", kind="angle"),
            ]
        return FeatureSpace(features)

    def pad(self, jets: Any) -> FloatArray:
        """
        Order each jet's constituents by pt and put the hardest into columns.

        Parameters
        ----------
        jets : awkward.Array, shape (n_events,)
            One jet per event, with its ``constituents``.

        Returns
        -------
        FloatArray, shape (n_events, 3 * n_constituents)
            pt in GeV, eta, phi in [-π, π]; NaN where a jet has fewer constituents.

        Raises
        ------
        ValueError
            If a field is absent, a jet has no constituent with a momentum, or a number is not
            finite or a pt negative.
        """
        constituents = _checked(jets)
        values = np.full((len(constituents), self.n_constituents, len(COORDINATES)), np.nan)
        present, position = self._places(constituents)
        for column, name in enumerate(COORDINATES):
            values[..., column][present] = _flat(constituents[name])[position]
        values[..., 2] = _wrapped(values[..., 2])
        return values.reshape(len(values), self.n_features)

    def table(self, jets: Any, *, free_places: bool = False, **fields: Any) -> EventTable:
        """
        Put jets into a table, ready for training and attacks.

        Parameters
        ----------
        jets : awkward.Array, shape (n_events,)
            One jet per event, with its ``constituents``.
        free_places : bool
            Whether empty places hold zeros that may become a constituent, as :class:`ConstituentMoves` needs them, instead of
            missing values that no attack touches.  Networks get the same numbers.
        **fields
            Arguments of :meth:`hepfool.events.EventTable.from_arrays`: ``labels``, ``weights``, ``regions``, …

        Returns
        -------
        EventTable
            Empty places are missing, unless they are free; its ``network_values`` hold 0 there.
        """
        values = self.pad(jets)
        if free_places:
            return EventTable.from_arrays(np.nan_to_num(values), features=self.feature_space(), **fields)
        # Not as from_arrays(sentinel=0): a true eta or phi of zero is not missing.
        table = EventTable.from_arrays(values, features=self.feature_space(), **fields)
        return replace(table, sentinel=0.0)

    def write_back(self, jets: Any, values: FloatArray) -> Any:
        """
        Put attacked columns back into the jets they came from.

        A constituent that moved takes its new pt, eta, phi and keeps its mass; all others stay as they
        are to the last bit.  The jet's momentum changes by the sum of its constituents' changes: for a
        jet that is the sum of its constituents, it is their sum again; one that is calibrated, or
        whose softest constituents are not kept, stays so.  The order of the constituents is that of ``jets``; :meth:`pad`
        orders them by their new pt.

        Parameters
        ----------
        jets : awkward.Array, shape (n_events,)
            Nominal jets, as given to :meth:`pad`.
        values : FloatArray, shape (n_events, 3 * n_constituents)
            Columns as :meth:`pad` made them, with attacked numbers; a pt of NaN or 0 in empty places.

        Returns
        -------
        awkward.Array, shape (n_events,)
            The jets with new ``constituents``, ``pt``, ``eta``, ``phi`` and ``mass``, of the same types.

        Raises
        ------
        ValueError
            If shapes differ, a number is not finite, a pt is negative, or an empty place was filled.
        """
        _require(jets, (*COORDINATES, "mass"), "a jet")
        nominal = self.pad(jets)
        if np.shape(values) != nominal.shape:
            msg = f"values have shape {np.shape(values)}, the jets {nominal.shape} in this layout; use the same jets"
            raise ValueError(msg)
        _check_values(values, nominal)
        before = jets[CONSTITUENTS]
        after = self._with_columns(before, values, nominal)
        total = _total_change(before, after)
        moved = np.any(total != 0.0, axis=1)
        momentum = _cartesian(*(_plain(jets[name]) for name in (*COORDINATES, "mass"))) + total
        for name, new in zip((*COORDINATES, "mass"), _collider(momentum), strict=True):
            old = ak.to_numpy(jets[name])
            jets = ak.with_field(jets, np.where(moved, new.astype(old.dtype), old), name)
        return ak.with_field(jets, after, CONSTITUENTS)

    def _places(self, constituents: Any) -> tuple[BoolArray, IntArray]:
        """Which places are taken, shape (n_events, n_constituents), and by which entry of the flat list."""
        counts = ak.to_numpy(ak.num(constituents, axis=1))
        order = ak.argsort(constituents["pt"], axis=1, ascending=False, stable=True)
        position = (order + (np.cumsum(counts) - counts))[:, : self.n_constituents]
        present = np.arange(self.n_constituents) < counts[:, None]
        return present, np.asarray(ak.to_numpy(ak.flatten(position)), dtype=np.int64)

    def _with_columns(self, constituents: Any, values: FloatArray, nominal: FloatArray) -> Any:
        present, position = self._places(constituents)
        shape = (len(values), self.n_constituents, len(COORDINATES))
        new, old = np.reshape(values, shape)[present], nominal.reshape(shape)[present]
        for column, name in enumerate(COORDINATES):
            flat = ak.to_numpy(ak.flatten(constituents[name])).copy()
            moved = new[:, column] != old[:, column]
            flat[position[moved]] = new[moved, column]
            constituents = ak.with_field(constituents, ak.unflatten(flat, ak.num(constituents, axis=1)), name)
        return constituents


def _checked(jets: Any) -> Any:
    """Constituents of sound jets."""
    _require(jets, (CONSTITUENTS,), "a jet")
    constituents = jets[CONSTITUENTS]
    _require(constituents, COORDINATES, "a constituent")
    for name in COORDINATES:
        bad = ~np.isfinite(_flat(constituents[name]))
        if name == "pt":
            bad |= _flat(constituents[name]) < 0.0
        if bad.any():
            event = int(np.repeat(np.arange(len(constituents)), ak.to_numpy(ak.num(constituents)))[np.argmax(bad)])
            msg = (
                f"{int(bad.sum())} constituents have a {name} that is not finite or negative, first "
                f"{_flat(constituents[name])[bad][0]} in event {event}; drop or repair them"
            )
            raise ValueError(msg)
    empty = ak.to_numpy(ak.sum(constituents["pt"], axis=1)) <= 0.0
    if empty.any():
        msg = (
            f"{int(empty.sum())} jets have no constituent with a momentum, first in event {int(np.argmax(empty))}; "
            "select jets with constituents"
        )
        raise ValueError(msg)
    return constituents


def _require(records: Any, names: tuple[str, ...], what: str) -> None:
    absent = [name for name in names if name not in ak.fields(records)]
    if absent:
        msg = f"{what} needs the field {', '.join(absent)}, there are: {', '.join(ak.fields(records)) or 'none'}"
        raise ValueError(msg)


def _check_values(values: FloatArray, nominal: FloatArray) -> None:
    empty, is_pt = np.isnan(nominal), np.arange(values.shape[1]) % len(COORDINATES) == 0
    for what, bad, repair in (
        ("are not finite", ~empty & ~np.isfinite(values), "repair them"),
        ("are a negative pt", ~empty & is_pt & (values < 0.0), "keep pt at least 0"),
        ("fill an empty place", empty & is_pt & (values > 0.0), "leave NaN or 0 there"),
    ):
        if bad.any():
            event, column = np.argwhere(bad)[0]
            msg = f"{int(bad.sum())} values {what}, first {values[event, column]} in event {event}; {repair}"
            raise ValueError(msg)


def _total_change(before: Any, after: Any) -> FloatArray:
    """Change of the summed momentum px, py, pz, E in GeV, shape (n_events, 4)."""
    counts = ak.to_numpy(ak.num(before, axis=1))
    mass = _flat(before["mass"]) if "mass" in ak.fields(before) else np.zeros(counts.sum())
    new, old = (_cartesian(_flat(c["pt"]), _flat(c["eta"]), _flat(c["phi"]), mass) for c in (after, before))
    event = np.repeat(np.arange(counts.size), counts)
    return np.stack([np.bincount(event, weights=d, minlength=counts.size) for d in (new - old).T], axis=1)


def _cartesian(pt: FloatArray, eta: FloatArray, phi: FloatArray, mass: FloatArray) -> FloatArray:
    """Components px, py, pz, E along the last axis."""
    pz = pt * np.sinh(eta)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pz, np.sqrt(pt**2 + pz**2 + mass**2)], axis=-1)


def _collider(momentum: FloatArray) -> tuple[FloatArray, ...]:
    """Coordinates pt, eta, phi, mass of rows px, py, pz, E."""
    px, py, pz, energy = momentum.T
    pt = np.hypot(px, py)
    mass_squared = energy**2 - pt**2 - pz**2
    return pt, np.arcsinh(pz / pt), np.arctan2(py, px), np.sqrt(np.maximum(mass_squared, 0.0))


def _wrapped(phi: FloatArray) -> FloatArray:
    """Angles in [-π, π]; those inside stay as they are."""
    outside = np.abs(phi) > np.pi
    return np.where(outside, phi - 2.0 * np.pi * np.round(phi / (2.0 * np.pi)), phi)


def _flat(values: Any) -> FloatArray:
    return _plain(ak.flatten(values))


def _plain(values: Any) -> FloatArray:
    array: NDArray[Any] = ak.to_numpy(values, allow_missing=False)
    return array.astype(np.float64)
