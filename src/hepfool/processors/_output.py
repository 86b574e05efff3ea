# SPDX-License-Identifier: BSD-3-Clause
"""Write a finished run to one archive that outlives the code."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepfool.io._store import Store, write_store
from hepfool.sums import AttackSums

if TYPE_CHECKING:
    from hepfool.processors._driver import AnalysisRun


def write_run(path: str | Path, run: AnalysisRun, *, force: bool = False) -> None:
    """
    Write histograms, moments, counts and provenance, completely or not at all.

    Parameters
    ----------
    path : str or Path
        File to write, to be read with :func:`hepfool.io.read_store`.
    force : bool
        Replace an existing file.

    Notes
    -----
    Histograms are named ``marginal_`` and the feature, and ``score_`` and the class.  Array ``sum_k`` is that of the key ``k`` of
    ``sums`` in the metadata, see :class:`~hepfool.sums.Key`.

    Raises
    ------
    FileExistsError
        If the file exists and ``force`` is False.
    OSError
        If it cannot be written; nothing is left then.
    """
    sums: AttackSums = run.out["sums"]
    classes = [1] if sums.facts["n_classes"] == 2 else range(sums.facts["n_classes"])
    histograms = {_entry("marginal", name): sums.histogram(name) for name in sums.features}
    histograms |= {_entry("score", k): sums.scores(k) for k in classes}
    metadata = {
        "provenance": run.provenance,
        "digest": run.digest,
        "sums": [list(key) for key in sums.sums],
        "validated": [asdict(figure) for figure in run.validated.figures],
        "converged": run.converged,
        "n_events": run.out["n_events"],
        "processed": run.out["processed"],
    }
    arrays = {f"sum_{k}": one.value for k, one in enumerate(sums.sums.values())}
    write_store(path, Store(histograms=histograms, arrays=arrays, metadata=metadata), force=force)


def _entry(kind: str, name: Any) -> str:
    return f"{kind}_{re.sub(r'[^A-Za-z0-9_]', '_', str(name))}"
