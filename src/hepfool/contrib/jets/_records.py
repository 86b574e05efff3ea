# SPDX-License-Identifier: BSD-3-Clause
"""
The leading jet of NanoAOD-like events with its constituents.

The constituents of all jets of an event are one collection, ``FatJetPFCands`` by default, with their pt, eta and phi
and with ``jetIdx``, which says to which jet each belongs.  CMS's PFNano keeps the momenta apart: copy them from
``PFCands`` by ``pFCandsIdx`` first.
"""

from __future__ import annotations

from typing import Any, Final

import awkward as ak
import numpy as np

from hepfool.contrib.jets._layout import CONSTITUENTS, COORDINATES
from hepfool.typing import IntArray

JETS: Final = "FatJet"
CANDIDATES: Final = "FatJetPFCands"


def leading_jets(events: Any, *, jets: str = JETS, constituents: str = CANDIDATES) -> Any:
    """
    Pick the jet with the largest pt of each event.

    Parameters
    ----------
    events : awkward.Array or NanoEvents, shape (n_events,)
        One collection of jets and one of constituents.

    Returns
    -------
    awkward.Array, shape (n_events,)
        Jets with all their fields and their ``constituents``.

    Raises
    ------
    ValueError
        If a collection or its ``jetIdx`` is absent, or an event has no jet.
    """
    index = _leading_index(events, jets, constituents)
    candidates = events[constituents]
    members = candidates[candidates["jetIdx"] == index]
    return ak.with_field(events[jets][np.arange(len(index)), index], members, CONSTITUENTS)


def with_leading_jets(events: Any, leading: Any, *, jets: str = JETS, constituents: str = CANDIDATES) -> Any:
    """
    Put changed leading jets and their constituents back into the events.

    Parameters
    ----------
    events : awkward.Array or NanoEvents, shape (n_events,)
        Nominal events, as given to :func:`leading_jets`.
    leading : awkward.Array, shape (n_events,)
        The jets, such as :meth:`hepfool.contrib.jets.ConstituentLayout.write_back` returns them.

    Returns
    -------
    awkward.Array or NanoEvents, shape (n_events,)
        Events with new pt, eta, phi, mass of the leading jet and pt, eta, phi of its constituents.

    Raises
    ------
    ValueError
        If numbers of events or constituents differ.
    """
    index = _leading_index(events, jets, constituents)
    candidates = events[constituents]
    member = candidates["jetIdx"] == index
    n_members = ak.to_numpy(ak.sum(member, axis=1))
    if len(leading) != len(index) or not np.array_equal(ak.to_numpy(ak.num(leading[CONSTITUENTS])), n_members):
        msg = (
            f"{len(leading)} jets do not belong to these {len(index)} events: constituents differ; use the same events"
        )
        raise ValueError(msg)
    flat_member = ak.to_numpy(ak.flatten(member))
    for name in COORDINATES:
        flat = ak.to_numpy(ak.flatten(candidates[name])).copy()
        flat[flat_member] = ak.to_numpy(ak.flatten(leading[CONSTITUENTS][name]))
        candidates = ak.with_field(candidates, ak.unflatten(flat, ak.num(member)), name)
    collection = events[jets]
    first = ak.local_index(collection["pt"], axis=1) == index
    for name in (*COORDINATES, "mass"):
        collection = ak.with_field(collection, ak.where(first, leading[name], collection[name]), name)
    events = ak.with_field(events, collection, jets)
    return ak.with_field(events, candidates, constituents)


def _leading_index(events: Any, jets: str, constituents: str) -> IntArray:
    absent = [name for name in (jets, constituents) if name not in ak.fields(events)]
    if absent:
        msg = f"no collection {', '.join(absent)} in the events; name those that hold jets and constituents"
        raise ValueError(msg)
    if "jetIdx" not in ak.fields(events[constituents]):
        msg = f"{constituents} has no field jetIdx, which says to which jet a constituent belongs; add it"
        raise ValueError(msg)
    without = ak.to_numpy(ak.num(events[jets], axis=1)) == 0
    if without.any():
        msg = (
            f"{int(without.sum())} events have no {jets}, first event {int(np.argmax(without))}; select events with one"
        )
        raise ValueError(msg)
    index = ak.argmax(events[jets]["pt"], axis=1)
    return np.asarray(ak.to_numpy(index, allow_missing=False), dtype=np.int64)
