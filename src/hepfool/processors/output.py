# SPDX-License-Identifier: BSD-3-Clause
"""Write a finished run to one archive that outlives the code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepfool.io.store import Store, write_store

if TYPE_CHECKING:
    from hepfool.processors.driver import AnalysisRun

__all__ = ["write_run"]


def write_run(path: str | Path, run: AnalysisRun, *, force: bool = False) -> None:
    """
    Write histograms, moments, counts and provenance, completely or not at all.

    Parameters
    ----------
    path : str or Path
        File to write, to be read with :func:`hepfool.io.store.read_store`.
    run : AnalysisRun
        What came out.
    force : bool
        Replace an existing file.

    Notes
    -----
    Histograms are named ``marginal_`` and the feature, ``score_`` and the class, and ``detector``.  Row ``k`` of the
    arrays ``moments_...`` belongs to dataset, region and variation ``k`` of ``moments`` in the metadata and holds the
    sums of :class:`~hepfool.processors.results.MaskedMoments`.

    Raises
    ------
    FileExistsError
        If the file exists and ``force`` is False.
    OSError
        If it cannot be written; nothing is left then.
    """
    out = run.out
    histograms = {_entry("marginal", name): histogram for name, histogram in out["histograms"].items()}
    histograms |= {_entry("score", name): histogram for name, histogram in out["scores"].items()}
    if "detector" in out:
        histograms["detector"] = out["detector"]["scores"]
    places = list(_moments(out["moments"]))
    sums = [moments.sums for _, moments in places]
    arrays = {
        f"moments_{part}": np.array([getattr(one, part) for one in sums])
        for part in ("sum_weights", "origin", "first", "second")
    }
    metadata = {
        "provenance": run.provenance,
        "digest": run.digest,
        "moments": [list(place) for place, _ in places],
        "fooling": _plain(out["fooling"]),
        "validated": [_plain(figure) for figure in run.validated.figures],
        "converged": run.converged,
        "n_events": out["n_events"],
        "processed": out["processed"],
        **({k: _plain(out["detector"][k]) for k in ("flags", "corrected")} if "detector" in out else {}),
    }
    write_store(path, Store(histograms=histograms, arrays=arrays, metadata=metadata), force=force)


def _entry(kind: str, name: Any) -> str:
    return f"{kind}_{re.sub(r'[^A-Za-z0-9_]', '_', str(name))}"


def _moments(moments: Mapping[str, Any]) -> Iterable[tuple[tuple[str, str, str], Any]]:
    for dataset, regions in moments.items():
        for region, variations in regions.items():
            for variation, value in variations.items():
                yield (dataset, region, variation), value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
