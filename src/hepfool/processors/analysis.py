# SPDX-License-Identifier: BSD-3-Clause
"""
Interface of an analysis: from NanoEvents to an :class:`~hepfool.events.EventTable`.

An :class:`Analysis` selects events and computes the network's inputs, with the
objects, regions and systematic variations of the real analysis.  It knows no
attack and no network.  ``hepfool.samples.htautau_analysis`` is a complete one
to copy from; :func:`leading` and :func:`feature_matrix` are what it needs
beside awkward.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import awkward as ak
import numpy as np

from hepfool.events import EventTable
from hepfool.events._columns import numbers_of
from hepfool.events._rounding import put_at_limits
from hepfool.features import FeatureSpace
from hepfool.typing import FloatArray


@runtime_checkable
class Analysis(Protocol):
    """
    Selection, regions, features and variations of an analysis.

    An analysis may also have an attribute ``branches``, a list of patterns such
    as ``Tau_*``: :func:`~hepfool.processors.run_processor` then
    opens only these, which is several times faster on wide files.  With
    ``NanoAODSchema`` keep ``run``, ``luminosityBlock``, ``event`` and the counters
    (``nTau``) among them.
    """

    @property
    def features(self) -> FeatureSpace:
        """Inputs of the network, in its order."""
        ...

    def build(self, events: Any) -> EventTable:
        """
        Select events and compute their features.

        Parameters
        ----------
        events : NanoEvents, shape (n_entries,)
            One chunk.  ``events.metadata`` holds ``dataset``, ``filename``,
            ``entrystart``, ``entrystop`` and the fileset's own metadata.

        Returns
        -------
        EventTable
            Selected events with regions, labels, weights and variations; the
            same regions and variations for every chunk, also if no event is
            selected.  Events without a label are taken for collision data.
        """
        ...


def leading(objects: Any, n: int) -> Any:
    """
    Order the objects of each event by transverse momentum and keep ``n`` places.

    Parameters
    ----------
    objects : awkward.Array of records with ``pt``, shape (n_events, var)
        Such as ``events.Jet``.

    Returns
    -------
    awkward.Array, shape (n_events, n)
        Hardest object first, None where an event has fewer.

    Examples
    --------
    >>> jets = ak.Array([[{"pt": 30.0}, {"pt": 50.0}], []])
    >>> leading(jets, 1).pt.tolist()
    [[50.0], [None]]
    """
    ordered = objects[ak.argsort(objects.pt, axis=1, ascending=False)]
    return ak.pad_none(ordered, n, axis=1, clip=True)


def feature_matrix(columns: Mapping[str, Any], features: FeatureSpace) -> FloatArray:
    """
    Put one number per event and feature into a matrix.

    Parameters
    ----------
    columns : mapping of str to array, shape (n_events,)
        One awkward or NumPy column per feature, in any order; None where a
        feature does not exist in an event.
    features : FeatureSpace
        Which columns, in which order.

    Returns
    -------
    FloatArray, shape (n_events, n_features)
        In each feature's unit, NaN where missing.  Angles and values at a limit that rounding took beyond are put at it.

    Raises
    ------
    ValueError
        If columns and features differ in name, or a column holds lists, text, or numbers that double precision rounds.

    Examples
    --------
    >>> feature_matrix({"n_jets": [2, 0], "jet_pt": ak.Array([40.0, None])}, FeatureSpace(["jet_pt", "n_jets"]))
    array([[40.,  2.],
           [nan,  0.]])
    """
    unknown, absent = sorted(set(columns) - set(features.names)), sorted(set(features.names) - set(columns))
    if unknown or absent:
        msg = f"columns and features differ: without a feature {unknown}, without a column {absent}"
        raise ValueError(msg)
    matrix = np.stack([numbers_of(name, columns[name]) for name in features.names], axis=1)
    return put_at_limits(matrix, features)
