# SPDX-License-Identifier: BSD-3-Clause
"""
The 87 inputs of the TopoDNN top tagger (arXiv:1704.02124), and the way back.

A jet's 30 hardest constituents are moved such that the hardest lies in the
origin of (eta, phi), turned around it such that the second lies at eta = 0 and
negative phi, and mirrored such that the sum of pt times eta is not negative.  Three of the 90 numbers
are then zero for every jet; the network gets the other 87.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from hepfool.contrib.jets._layout import COORDINATES, ConstituentLayout
from hepfool.events import EventTable
from hepfool.features import FeatureSpace
from hepfool.typing import BoolArray, FloatArray

#: The 30 hardest constituents.
LAYOUT: Final = ConstituentLayout(30)

_CONSTANT: Final = ("constituent_0_eta", "constituent_0_phi", "constituent_1_eta")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TopoDNNFrame:
    """
    Where a jet's constituents are moved, turned and mirrored to.

    Attributes
    ----------
    eta, phi : FloatArray, shape (n_events,)
        Hardest constituent.
    angle : FloatArray, shape (n_events,)
        Rotation in the plane of y and z, in rad.
    sign : FloatArray, shape (n_events,)
        -1 where eta is mirrored, else 1.
    """

    eta: FloatArray
    phi: FloatArray
    angle: FloatArray
    sign: FloatArray

    @classmethod
    def of(cls, values: FloatArray) -> TopoDNNFrame:
        """
        Find the frame of each jet.

        A jet with a single constituent is not turned.

        Parameters
        ----------
        values : FloatArray, shape (n_events, 90)
            Columns as ``LAYOUT.pad`` makes them: pt in GeV, eta, phi of 30 constituents in falling pt,
            NaN where a jet has fewer.

        Raises
        ------
        ValueError
            If the shape is another, a number is not finite, a jet has no constituent, or the constituents are not in falling pt.
        """
        _check_columns(values)
        pt, eta, phi = _coordinates(values)
        px, py, pz = _cartesian(pt, eta - eta[:, :1], phi - phi[:, :1])
        angle = np.nan_to_num(np.arctan2(py[:, 1], pz[:, 1]) + 0.5 * np.pi)
        new_pt, new_eta, _ = _collider(px, *_rotated(py, pz, angle))
        sign = np.where(np.nansum(new_pt * new_eta, axis=1) < 0.0, -1.0, 1.0)
        return cls(eta=eta[:, 0].copy(), phi=phi[:, 0].copy(), angle=angle, sign=sign)

    def inputs(self, values: FloatArray) -> FloatArray:
        """
        Express constituents in this frame.

        Parameters
        ----------
        values : FloatArray, shape (n_events, 90)
            Columns as ``LAYOUT.pad`` makes them.

        Returns
        -------
        FloatArray, shape (n_events, 87)
            Inputs of the network, described by :func:`topodnn_features`; NaN where a jet has fewer constituents.
        """
        _check_shape(values)
        pt, eta, phi = _coordinates(values)
        px, py, pz = _cartesian(pt, eta - self.eta[:, None], phi - self.phi[:, None])
        pt, eta, phi = _collider(px, *_rotated(py, pz, self.angle))
        rows = np.stack([pt, self.sign[:, None] * eta, phi], axis=2)
        return rows.reshape(len(rows), LAYOUT.n_features)[:, _varying()]

    def constituents(self, inputs: FloatArray) -> FloatArray:
        """
        Undo :meth:`inputs`, for attacked inputs too.

        Parameters
        ----------
        inputs : FloatArray, shape (n_events, 87)
            Inputs in this frame.

        Returns
        -------
        FloatArray, shape (n_events, 90)
            Columns for :meth:`hepfool.contrib.jets.ConstituentLayout.write_back`.

        Raises
        ------
        ValueError
            If the shape is another.
        """
        _check_shape(inputs, int(_varying().sum()))
        values = np.zeros((len(inputs), LAYOUT.n_features))
        values[:, _varying()] = inputs
        pt, eta, phi = _coordinates(values)
        px, py, pz = _cartesian(pt, self.sign[:, None] * eta, phi)
        py, pz = _rotated(py, pz, -self.angle)
        pt, eta, phi = _collider(px, py, pz)
        phi = np.arctan2(np.sin(phi + self.phi[:, None]), np.cos(phi + self.phi[:, None]))
        return np.stack([pt, eta + self.eta[:, None], phi], axis=2).reshape(values.shape)


def topodnn_features() -> FeatureSpace:
    """
    Describe the 87 inputs.

    Returns
    -------
    FeatureSpace
        Named as the columns of ``LAYOUT``; phi is the angle from the hardest constituent and has the limits ±π.

    Examples
    --------
    >>> topodnn_features().names[:4]
    ('constituent_0_pt', 'constituent_1_pt', 'constituent_1_phi', 'constituent_2_pt')
    """
    return FeatureSpace(
        replace(feature, kind="continuous", label=feature.label.replace("phi", r"Delta\phi"))
        if feature.kind == "angle"
        else feature
        for feature in LAYOUT.feature_space()
        if feature.name not in _CONSTANT
    )


def topodnn_table(jets: Any, **fields: Any) -> EventTable:
    """
    Put jets into a table of TopoDNN inputs.

    Parameters
    ----------
    jets : awkward.Array, shape (n_events,)
        One jet per event, with its ``constituents``.
    **fields
        Arguments of :meth:`hepfool.events.EventTable.from_arrays`: ``labels``, ``weights``, ``regions``, …

    Returns
    -------
    EventTable
        Empty places are missing; its ``network_values`` hold 0 there.
    """
    values = LAYOUT.pad(jets)
    table = EventTable.from_arrays(TopoDNNFrame.of(values).inputs(values), features=topodnn_features(), **fields)
    return replace(table, sentinel=0.0)


def _varying() -> BoolArray:
    return np.array([name not in _CONSTANT for name in LAYOUT.columns])


def _check_shape(values: FloatArray, n_columns: int = LAYOUT.n_features) -> None:
    if np.ndim(values) != 2 or np.shape(values)[1] != n_columns:
        msg = f"values have shape {np.shape(values)}, expected (n_events, {n_columns})"
        raise ValueError(msg)


def _check_columns(values: FloatArray) -> None:
    _check_shape(values)
    pt = values[:, :: len(COORDINATES)]
    bad = ~np.isfinite(values) & np.repeat(~np.isnan(pt), len(COORDINATES), axis=1)
    if bad.any():
        event, column = np.argwhere(bad)[0]
        msg = f"{LAYOUT.columns[column]} of event {event} is {values[event, column]}; drop or repair such jets"
        raise ValueError(msg)
    empty = ~(pt[:, 0] > 0.0)
    if empty.any():
        msg = f"{int(empty.sum())} jets have no constituent, first in event {int(np.argmax(empty))}; drop them"
        raise ValueError(msg)
    unordered = (np.diff(pt, axis=1) > 0.0).any(axis=1) | (np.diff(np.isnan(pt).astype(int), axis=1) < 0).any(axis=1)
    if unordered.any():
        msg = (
            f"the constituents of {int(unordered.sum())} jets are not in falling pt, first in event "
            f"{int(np.argmax(unordered))}; order them, as ConstituentLayout.pad does"
        )
        raise ValueError(msg)


def _coordinates(values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    pt, eta, phi = np.moveaxis(np.reshape(values, (len(values), -1, len(COORDINATES))), 2, 0)
    return pt, eta, phi


def _cartesian(pt: FloatArray, eta: FloatArray, phi: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    return pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)


def _rotated(py: FloatArray, pz: FloatArray, angle: FloatArray) -> tuple[FloatArray, FloatArray]:
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return py * cosine - pz * sine, pz * cosine + py * sine


def _collider(px: FloatArray, py: FloatArray, pz: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    pt = np.hypot(px, py)
    eta = np.arcsinh(np.divide(pz, pt, out=np.zeros_like(pz), where=pt != 0.0))
    return pt, eta, np.arctan2(py, px)
