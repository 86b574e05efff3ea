# SPDX-License-Identifier: BSD-3-Clause
"""
Attack from a processor that exists: collect what was selected, attack it when the run is over.

Neither coffea nor awkward is imported here, so that it works with every version of both.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from hepfool.attacks.base import Attack, AttackResult
from hepfool.events import UNLABELLED, Envelope, EventTable, Region, signal_region_envelope
from hepfool.events._columns import plain
from hepfool.events._frames import named_columns
from hepfool.exceptions import LowStatisticsWarning
from hepfool.features import Feature, FeatureSpace
from hepfool.models.protocols import Classifier
from hepfool.processors._filesets import canonical
from hepfool.processors._plan import AttackPlan
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray
from hepfool.validation import Validation

#: Of the records in :class:`Collected`, which may be read from a file by a later version.
_FORMAT = 1


@dataclass(frozen=True, eq=False, repr=False)
class Collected:
    """
    Selected events of some chunks, which can be added.

    Attributes
    ----------
    chunks : tuple of dict
        Plain arrays of each chunk with its dataset, file and entries, in no particular order.
    """

    chunks: tuple[Mapping[str, Any], ...]

    def __add__(self, other: Collected) -> Collected:
        """Put the chunks of two workers together."""
        return Collected(self.chunks + other.chunks)

    def __repr__(self) -> str:
        """Count, and print no array."""
        datasets = sorted({chunk["dataset"] for chunk in self.chunks})
        n_events = sum(len(chunk["labels"]) for chunk in self.chunks)
        return f"Collected({n_events} events of {', '.join(datasets)} from {len(self.chunks)} chunks)"


def collect(  # noqa: PLR0913 - all that an event has
    metadata: Mapping[str, Any],
    inputs: Any,
    *,
    label: Any = None,
    weights: Any = None,
    weight_variations: bool | Mapping[str, Any] = False,
    selection: Any = None,
    selected: Any = None,
    regions: Mapping[str, Any] | None = None,
    features: FeatureSpace | Iterable[Feature | str] | None = None,
    variations: Mapping[str, Mapping[str, Any]] | None = None,
    sentinel: float | None = None,
    unblind: bool = False,
    **spectators: Any,
) -> Collected:
    """
    Collect the selected events of one chunk, inside an existing ``process``.

    Columns are NumPy or awkward arrays with one entry per event; None, NaN, a masked entry or ``sentinel`` is a missing input.

    Parameters
    ----------
    metadata : mapping
        ``events.metadata``: ``dataset``, ``filename``, ``entrystart`` and ``entrystop`` say which events these are, so that
        none can count twice.
    inputs : mapping of str to array
        Inputs of the network by name, in its order or in that of ``features``.
    label : int or array, optional
        Class from 0; left out for data.
    weights : coffea.analysis_tools.Weights or array, optional
        Event weights; 1 by default.
    weight_variations : bool or mapping of str to array
        True takes all variations of the ``Weights``, such as ``pileup_up`` of its ``pileupUp``; a mapping gives arrays.
    selection : coffea.analysis_tools.PackedSelection, optional
        Cuts to which regions refer by name.  Without regions and ``selected`` the events that pass all of them are taken.
    selected : array of bool, or name or names of cuts, optional
        Which events of the chunk the inputs are of.  Columns, weights and cuts of all events are cut down to these.
    regions : mapping of str, optional
        Role (``control``, ``validation`` or ``signal``) by name of the region, which is the name of a cut; or a tuple of the
        role and what defines the region: names of cuts, a mask, or intervals of inputs such as ``{"met": (None, 60)}``, at
        which attacked events stay on their side.  Events outside of all regions are left out; regions may overlap.
    features : FeatureSpace or iterable of Feature or str, optional
        Units, ranges, kinds and derived inputs; the names of the inputs by default.
    variations : mapping of str to mapping of str to array, optional
        Inputs that move under each systematic variation, such as ``{"jes_up": {"jet_pt": ...}}``.
    sentinel : float, optional
        What the network gets, and the inputs may hold, for a missing value.
    unblind : bool
        Whether to collect data in signal regions.
    **spectators
        Further columns that travel along, such as ``fold=events.event % 4``.

    Returns
    -------
    Collected
        To be put into the output under a key of your choice; coffea adds it up.

    Raises
    ------
    ValueError
        If the metadata do not say which events these are, or a column does not have one entry per event.

    Examples
    --------
    >>> chunk = {"dataset": "ttbar", "filename": "a.root", "entrystart": 0, "entrystop": 3}
    >>> found = collect(chunk, {"met": [30.0, 90.0, 70.0]}, label=1, regions={"low": ("control", {"met": (None, 80)})})
    >>> found
    Collected(2 events of ttbar from 1 chunks)
    >>> table_of(found, scale={"ttbar": 0.5}).weights.tolist()
    [0.5, 0.5]
    """
    record = _source(metadata)
    columns: Mapping[str, Any] | None = named_columns(inputs)
    if not columns:
        msg = (
            f"inputs are a {type(inputs).__name__} without named columns; give a dict such as {{'met': events.MET.pt}}"
        )
        raise ValueError(msg)
    space = features if isinstance(features, FeatureSpace) else FeatureSpace(columns if features is None else features)
    unknown = sorted({*columns, *(name for moved in (variations or {}).values() for name in moved)} - set(space.names))
    if unknown:
        msg = f"columns {', '.join(unknown)} are not features; declare them in features=, or pass them by keyword as spectators"
        raise ValueError(msg)
    if selection is not None and selected is None and not regions:
        selected = tuple(selection.names)
    _check_selection(selection, selected, regions or {})
    chosen = _mask("selected", selected, selection)
    rows = _Rows(len(next(iter(columns.values()))) if chosen is None else int(chosen.sum()), chosen)
    columns = {name: rows.cut(name, column) for name, column in columns.items()}
    shapes = {
        name: {**columns, **{key: rows.cut(key, column) for key, column in moved.items()}}
        for name, moved in (variations or {}).items()
    }
    nominal, varied = _weights(weights, weight_variations)
    table = EventTable.from_arrays(
        columns,
        features=space,
        labels=None if label is None else rows.cut("label", label),
        weights=None if nominal is None else rows.cut("weights", nominal),
        sentinel=sentinel,
        dataset=record["dataset"],
        shape_variations=shapes,
        weight_variations={name: rows.cut(f"weight {name!r}", column) for name, column in varied.items()},
        spectators={name: rows.cut(name, column) for name, column in spectators.items()},
    )
    table = replace(
        table, regions=tuple(_region(name, given, table, rows, selection) for name, given in (regions or {}).items())
    )
    if regions:
        table = table.select(np.logical_or.reduce([region.mask for region in table.regions]))
    return Collected(({**record, **_arrays(without_blinded(table, unblind=unblind))},))


def attack_collected(  # noqa: PLR0913 - options of run_attack
    collected: Collected,
    classifier: Classifier,
    attack: Attack,
    *,
    seed: int = 0,
    target: Literal["correct", "all"] | int = "correct",
    envelope: Callable[[EventTable], Envelope | None] | None = signal_region_envelope,
    binning: Binning | None = None,
    scale: Mapping[str, float] | None = None,
    validation: Validation | None = None,
) -> AttackResult:
    """
    Attack all simulated events that were collected, at once.

    Parameters
    ----------
    collected : Collected
        Output of all chunks, as the runner returns it.
    scale : mapping of str to float, optional
        See :func:`table_of`.
    validation : Validation, optional
        In place of the attack's own.

    Returns
    -------
    AttackResult
        The same for every size and order of the chunks, and as from an ``AttackProcessor`` on the same events.

    Raises
    ------
    ValueError
        If no event, no simulated event or only one class was collected, or as for :func:`table_of`.
    """
    if validation is not None and not hasattr(attack, "validation"):
        msg = f"{type(attack).__name__} keeps no validation; use CONSERVAttack, or leave validation out"
        raise ValueError(msg)
    table = joined(dict(enumerate(_tables(collected, scale))), labelled=True)
    labels = np.unique([] if table is None else table.labels)
    if table is None or len(labels) < 2:
        raise ValueError(_not_attackable(collected, labels))
    if validation is not None:
        attack = replace(attack, validation=validation)  # type: ignore[type-var]
    plan = AttackPlan(classifier, attack, seed=seed, target=target, envelope=envelope, binning=binning)
    return plan.attacked(table)


def table_of(collected: Collected, *, scale: Mapping[str, float] | None = None) -> EventTable:
    """
    Put collected events into one table, for a study or to train a network.

    Parameters
    ----------
    collected : Collected
        Output of all chunks, as the runner returns it.
    scale : mapping of str to float, optional
        Factor of the weights of each simulated dataset, such as cross section times luminosity over the sum of its weights.

    Returns
    -------
    EventTable
        Simulation and data in the order of dataset, file and entry; a variation that is absent from a dataset has its nominal values.

    Raises
    ------
    ValueError
        If nothing was collected, an event would count twice, or ``scale`` does not fit the datasets.
    """
    return EventTable.concatenate(_tables(collected, scale))


def joined(tables: Mapping[Any, EventTable], *, labelled: bool) -> EventTable | None:
    """Join the events with, or without, a label in the order of the chunks; None if there are none."""
    parts = [tables[chunk].select((tables[chunk].labels != UNLABELLED) == labelled) for chunk in sorted(tables)]
    populated = [part for part in parts if part.n_events]
    return EventTable.concatenate(populated) if populated else None


def without_blinded(table: EventTable, *, unblind: bool) -> EventTable:
    """Drop data in signal regions."""
    blinded = np.zeros(table.n_events, dtype=np.bool_)
    for region in table.regions:
        if not region.constrained:
            blinded |= region.mask & (table.labels == UNLABELLED)
    return table if unblind or not blinded.any() else table.select(~blinded)


class _Rows(NamedTuple):
    """Which events of a chunk are collected."""

    n_events: int
    chosen: BoolArray | None

    def cut(self, name: str, column: Any) -> Any:
        """One entry per collected event, masked where missing."""
        array, missing = plain(name, column)
        if not array.ndim:
            array, missing = (np.full(self.n_events, one) for one in (array, missing))
        if self.chosen is not None and len(array) == len(self.chosen):
            array, missing = array[self.chosen], missing[self.chosen]
        if len(array) != self.n_events:
            msg = (
                f"{name} has {len(array)} entries for {self.n_events} events; give one per event, and say with selected= "
                "which events of the chunk the inputs are of"
            )
            raise ValueError(msg)
        return np.ma.MaskedArray(array, mask=missing) if missing.any() else array


def _source(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Say which events a chunk holds."""
    absent = [key for key in ("dataset", "filename", "entrystart", "entrystop") if metadata.get(key) is None]
    if absent:
        msg = (
            f"metadata do not hold {', '.join(absent)}, without which events could count twice unnoticed; pass events.metadata of "
            "coffea's Runner, or add them"
        )
        raise ValueError(msg)
    uuid = metadata.get("fileuuid", metadata.get("uuid", ""))
    return {
        "format": _FORMAT,
        "dataset": str(metadata["dataset"]),
        "file": str(metadata["filename"]),
        "tree": str(metadata.get("treename", "")),
        "uuid": uuid.hex() if isinstance(uuid, bytes) else str(uuid or ""),
        "start": int(metadata["entrystart"]),
        "stop": int(metadata["entrystop"]),
    }


def _check_selection(selection: Any, selected: Any, regions: Mapping[str, Any]) -> None:
    """Refuse a selection none of whose cuts is named."""
    conditions = [selected]
    for name, given in regions.items():
        conditions += [name] if isinstance(given, str) or len(given) == 1 else list(given)[1:]
    if selection is not None and not any(
        isinstance(one, str) or (isinstance(one, list | tuple) and any(isinstance(cut, str) for cut in one))
        for one in conditions
    ):
        msg = f"selection has no effect: neither selected= nor a region names one of its cuts ({', '.join(selection.names)})"
        raise ValueError(msg)


def _mask(what: str, where: Any, selection: Any) -> BoolArray | None:
    """Evaluate a mask, or names of cuts."""
    if where is None:
        return None
    names = (where,) if isinstance(where, str) else where
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        known = () if selection is None else tuple(selection.names)
        unknown = [name for name in names if name not in known]
        if unknown:
            msg = (
                f"{what}: there is no cut {', '.join(map(repr, unknown))}; selection= has {', '.join(known) or 'none'}"
            )
            raise ValueError(msg)
        return np.asarray(selection.all(*names), dtype=np.bool_)
    array, missing = plain(what, where)
    if array.dtype.kind != "b" or array.ndim != 1 or missing.any():
        msg = (
            f"{what} is {array.dtype} of shape {array.shape}, not True or False for each event; fill gaps, or name cuts"
        )
        raise ValueError(msg)
    return array


def _weights(weights: Any, varied: bool | Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """Nominal and varied weights, of a coffea Weights or of arrays."""
    full = hasattr(weights, "weight") and hasattr(weights, "variations")
    if isinstance(varied, Mapping):
        return weights.weight() if full else weights, varied
    if varied and not full:
        msg = "weight_variations=True takes them from coffea's Weights; with an array give a mapping of arrays"
        raise ValueError(msg)
    if varied:
        from hepfool.studies._variations import weight_variations  # noqa: PLC0415 - loads hist

        varied = weight_variations(weights)
    return weights.weight() if full else weights, varied or {}


def _region(name: str, given: Any, table: EventTable, rows: _Rows, selection: Any) -> Region:
    """Region of a role, alone or with what defines it."""
    role, *conditions = (given,) if isinstance(given, str) else given
    if not isinstance(role, str):
        msg = f"region {name!r} has no role; write {{{name!r}: 'control'}}, or ('control', mask or names of cuts)"
        raise TypeError(msg)
    mask = np.ones(table.n_events, dtype=np.bool_)
    cuts: dict[str, tuple[float, float]] = {}
    for condition in conditions or [name]:
        if isinstance(condition, Mapping):
            cuts |= {k: (-np.inf if a is None else a, np.inf if b is None else b) for k, (a, b) in condition.items()}
        else:
            mask &= rows.cut(f"region {name!r}", _mask(f"region {name!r}", condition, selection))
    for feature, (lower, upper) in cuts.items():
        mask &= (table.column(feature) >= lower) & (table.column(feature) < upper)
    return Region(name, mask, role, cuts)  # type: ignore[arg-type]


def _arrays(table: EventTable) -> dict[str, Any]:
    """Plain content of a table of one dataset, which no later version of the class fails to read."""
    return {
        "regions": {region.name: (region.role, region.mask, dict(region.cuts)) for region in table.regions},
        **{name: getattr(table, name) for name in ("features", "sentinel", "values", "labels", "weights")},
        **{name: dict(getattr(table, name)) for name in ("shape_variations", "weight_variations", "spectators")},
    }


def _tables(collected: Collected, scale: Mapping[str, float] | None) -> list[EventTable]:
    """Scaled tables of the chunks, in their order."""
    if not getattr(collected, "chunks", ()):
        msg = f"nothing was collected in {collected!r:.80}; pass what the runner returned where collect() was put"
        raise ValueError(msg)
    chunks = sorted(collected.chunks, key=lambda chunk: [chunk[key] for key in ("dataset", "file", "start", "stop")])
    newer = [chunk["format"] for chunk in chunks if chunk["format"] != _FORMAT]
    if newer:
        msg = f"events were collected in format {newer[0]}, this version reads {_FORMAT}; use the version that collected them"
        raise ValueError(msg)
    _check_counted_once(chunks)
    factors = dict.fromkeys({chunk["dataset"] for chunk in chunks}, 1.0) | _checked(scale, chunks)
    shapes, weights = (
        sorted({name for chunk in chunks for name in chunk[kind]}) for kind in ("shape_variations", "weight_variations")
    )
    return [_table(chunk, factors[chunk["dataset"]], shapes, weights) for chunk in chunks]


def _table(chunk: Mapping[str, Any], factor: float, shapes: Sequence[str], weights: Sequence[str]) -> EventTable:
    values = chunk["values"]
    return EventTable(
        features=chunk["features"],
        values=values,
        labels=chunk["labels"],
        weights=factor * chunk["weights"],
        missing=np.isnan(values),
        sentinel=chunk["sentinel"],
        datasets=(chunk["dataset"],),
        dataset_index=np.zeros(len(values), dtype=np.int64),
        regions=tuple(Region(name, mask, role, cuts) for name, (role, mask, cuts) in chunk["regions"].items()),
        shape_variations={name: chunk["shape_variations"].get(name, values) for name in shapes},
        weight_variations={name: factor * chunk["weight_variations"].get(name, chunk["weights"]) for name in weights},
        spectators=chunk["spectators"],
    )


def _check_counted_once(chunks: Iterable[Mapping[str, Any]]) -> None:
    """Refuse events that would count twice."""
    files, copies = defaultdict(list), defaultdict(set)
    for chunk in chunks:
        name = canonical(chunk["file"])
        if chunk["stop"] > chunk["start"]:
            files[name, chunk["tree"]].append(chunk)
        if chunk["uuid"]:
            copies[chunk["uuid"], chunk["tree"]].add(name)
    for (name, _), parts in files.items():
        datasets = sorted({part["dataset"] for part in parts})
        if len(datasets) > 1:
            msg = f"{name} is in the datasets {', '.join(datasets)}, so its events would count twice; take it out of all but one"
            raise ValueError(msg)
        for a, b in pairwise(sorted(parts, key=lambda part: (part["start"], part["stop"]))):
            if b["start"] < a["stop"]:
                msg = (
                    f"entries {a['start']} to {a['stop']} and {b['start']} to {b['stop']} of {name} in {datasets[0]} overlap, so events "
                    "would count twice; call collect once per chunk, and add each output once"
                )
                raise ValueError(msg)
    for names in copies.values():
        if len(names) > 1:
            msg = f"{', '.join(sorted(names))} are copies of one file (equal UUID), whose events would count twice; keep one"
            raise ValueError(msg)


def _checked(scale: Mapping[str, float] | None, chunks: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Refuse factors that do not fit the datasets."""
    if scale is None:
        return {}
    kinds: dict[str, set[bool]] = defaultdict(set)
    sums: dict[str, float] = defaultdict(float)
    for chunk in chunks:
        kinds[chunk["dataset"]] |= set(np.unique(chunk["labels"] != UNLABELLED).tolist())
        sums[chunk["dataset"]] += float(chunk["weights"].sum())
    data = {name for name, found in kinds.items() if found == {False}}
    rules = {
        "was not collected": set(scale) - set(kinds),
        "is data": set(scale) & data,
        "is simulated and has no factor": {name for name, found in kinds.items() if True in found} - set(scale),
    }
    for rule, names in rules.items():
        if names:
            msg = f"scale: {', '.join(sorted(names))} {rule}; give one factor for each of {', '.join(sorted(set(kinds) - data))}"
            raise ValueError(msg)
    for name, factor in scale.items():
        if not (np.isfinite(factor) and factor > 0):
            msg = f"scale of {name!r} is {factor}; it needs a positive number, cross section times luminosity over the sum of weights"
            raise ValueError(msg)
        if kinds[name] and not sums[name] > 0:
            msg = f"the weights of the collected events of {name!r} sum to {sums[name]:g}: a negative yield; check the weights"
            warnings.warn(msg, LowStatisticsWarning, stacklevel=4)
    return {name: float(factor) for name, factor in scale.items()}


def _not_attackable(collected: Collected, labels: Any) -> str:
    n_read = sum(chunk["stop"] - chunk["start"] for chunk in collected.chunks)
    n_events = sum(len(chunk["labels"]) for chunk in collected.chunks)
    if not n_events:
        return f"no event was collected among {n_read} read; look at selected= and regions="
    if not len(labels):
        return f"all {n_events} collected events are data, and only simulation is attacked; pass label= for simulated datasets"
    return f"all collected simulation has the label {labels[0]}; collect signal and background, each with its label="
