# SPDX-License-Identifier: BSD-3-Clause
"""
Write ROOT files that coffea's ``NanoAODSchema`` reads.

The events go into a TTree ``Events`` (not an RNTuple, which the schema does
not read), one entry of the TTree ``Runs`` holds the number of generated
events and the sum of their weights, as in NanoAOD.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import awkward as ak
import numpy as np
import uproot
from numpy.typing import NDArray

from hepfool.identity import file_digest
from hepfool.samples import Entry, Manifest

__all__ = ["RunSummary", "round_collections", "rounded", "store", "write_nanoaod"]

MANTISSA_BITS: Final = 12
FLOAT32_MANTISSA: Final = 23
EVENTS_PER_LUMINOSITY_BLOCK: Final = 1000
COMPRESSION_LEVEL: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """
    Normalisation of one file.

    Attributes
    ----------
    run : int
        Run number of all events in the file.
    n_generated : int
        Number of events before any selection; 0 for data.
    sum_weights : float
        Sum of their weights before any selection; 0 for data.
    """

    run: int
    n_generated: int = 0
    sum_weights: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be written."""
        if self.run < 1 or self.n_generated < 0:
            msg = f"run {self.run} and n_generated {self.n_generated} must be >= 1 and >= 0; count from one"
            raise ValueError(msg)

    @property
    def is_data(self) -> bool:
        """Whether the file holds (pseudo-)data, without weights."""
        return self.n_generated == 0


def rounded(values: ak.Array, bits: int = MANTISSA_BITS) -> ak.Array:
    """
    Single-precision numbers with a shorter mantissa, which compress better.

    Parameters
    ----------
    values : awkward.Array
        Floating-point numbers of any structure.
    bits : int
        Bits of the mantissa to keep, 1 to 23; the relative change is at most
        ``2 ** -(bits + 1)``.

    Returns
    -------
    awkward.Array
        ``float32`` values rounded to nearest.

    Raises
    ------
    ValueError
        If ``bits`` is not in [1, 23].

    Examples
    --------
    >>> rounded(ak.Array([1.0, 1.0001, 3.14159])).to_list()
    [1.0, 1.0, 3.1416015625]
    """
    if not 1 <= bits <= FLOAT32_MANTISSA:
        msg = f"bits {bits} is not in [1, {FLOAT32_MANTISSA}]; a float32 mantissa has {FLOAT32_MANTISSA} bits"
        raise ValueError(msg)
    return ak.transform(lambda layout, **_: _round_leaf(layout, bits), values)


def _round_leaf(layout: ak.contents.Content, bits: int) -> ak.contents.Content | None:
    if not layout.is_numpy:
        return None
    mantissa, exponent = np.frexp(np.asarray(layout.data, dtype=np.float64))
    scale = 2.0 ** (bits + 1)
    shortened = np.ldexp(np.rint(mantissa * scale) / scale, exponent)
    return ak.contents.NumpyArray(shortened.astype(np.float32))


def round_collections(events: ak.Array) -> ak.Array:
    """
    Events with rounded momenta, as they shall be written.

    Parameters
    ----------
    events : awkward.Array, shape (n_events,)
        One field per collection.

    Returns
    -------
    awkward.Array, shape (n_events,)
        Floating-point fields of collections to 12 bits of mantissa; integers,
        flags, and single numbers per event as they are.
    """
    return ak.zip({name: _round_collection(events[name]) for name in ak.fields(events)}, depth_limit=1)


def _round_collection(values: ak.Array) -> ak.Array:
    for field in ak.fields(values):
        leaf = ak.to_numpy(ak.flatten(values[field], axis=None)).dtype
        if np.issubdtype(leaf, np.floating):
            values = ak.with_field(values, rounded(values[field]), field)
    return values


def write_nanoaod(path: Path, events: ak.Array, *, summary: RunSummary) -> None:
    """
    Write events as a NanoAOD-like file, replacing what lies there.

    Parameters
    ----------
    path : Path
        File to write.
    events : awkward.Array, shape (n_events,)
        One field per collection, jagged (``Muon``) or one record per event
        (``PuppiMET``); or one number per event (``genWeight``).
    summary : RunSummary
        Normalisation for the tree ``Runs``.
    """
    content = {**_identity(len(events), summary.run), **_columns(events)}
    types = {name: _branch_type(values) for name, values in content.items()}
    with uproot.recreate(path, compression=uproot.LZMA(COMPRESSION_LEVEL)) as file:
        tree = file.mktree(
            "Events",
            types,
            counter_name=lambda collection: f"n{collection}",
            field_name=lambda outer, inner: f"{outer}_{inner}" if outer else inner,
        )
        tree.extend(content)
        runs = _runs(summary)
        file.mktree("Runs", {name: values.dtype for name, values in runs.items()}).extend(runs)


def store(manifest: Manifest, name: str, events: ak.Array, *, summary: RunSummary, **entry: Any) -> None:
    """
    Write one dataset and its entry in the manifest; an interruption leaves no half of it.

    Parameters
    ----------
    manifest : Manifest
        Of the folder to write to.
    name : str
        Key in the manifest and stem of the file.
    events : awkward.Array, shape (n_events,)
        As for :func:`write_nanoaod`.
    summary : RunSummary
        Normalisation for the tree ``Runs``.
    **entry
        Further fields of :class:`hepfool.samples.Entry`.
    """
    path = manifest.folder / f"{name}.root"
    partial = path.with_suffix(".partial")
    write_nanoaod(partial, events, summary=summary)
    partial.replace(path)
    manifest.add(name, Entry(file=path.name, sha256=file_digest(path), n_events=len(events), **entry))


def _identity(n_events: int, run: int) -> dict[str, NDArray[Any]]:
    number = np.arange(n_events)
    return {
        "run": np.full(n_events, run, dtype=np.uint32),
        "luminosityBlock": (number // EVENTS_PER_LUMINOSITY_BLOCK + 1).astype(np.uint32),
        "event": (number + 1).astype(np.uint64),
    }


def _runs(summary: RunSummary) -> dict[str, NDArray[Any]]:
    runs: dict[str, NDArray[Any]] = {"run": np.array([summary.run], dtype=np.uint32)}
    if not summary.is_data:
        runs["genEventCount"] = np.array([summary.n_generated], dtype=np.int64)
        runs["genEventSumw"] = np.array([summary.sum_weights], dtype=np.float64)
    return runs


def _columns(events: ak.Array) -> dict[str, Any]:
    """Branches by name: jagged records as they are, flat records field by field."""
    columns: dict[str, Any] = {}
    for name in ak.fields(events):
        values = events[name]
        if not ak.fields(values):
            columns[name] = ak.to_numpy(values)
        elif values.ndim == 1:
            columns |= {f"{name}_{field}": ak.to_numpy(values[field]) for field in ak.fields(values)}
        else:
            columns[name] = ak.zip({field: values[field] for field in ak.fields(values)})
    return columns


def _branch_type(values: Any) -> Any:
    return values.dtype if isinstance(values, np.ndarray) else ak.type(values).content
