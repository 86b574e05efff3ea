# SPDX-License-Identifier: BSD-3-Clause
"""Detectors in files: parameters and plain JSON, without pickled code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hepfool.defences.detector import Detector
from hepfool.io.files import written_whole
from hepfool.models.files import load_torch, save_state
from hepfool.models.networks import Standardise, mlp

__all__ = ["read_detector", "write_detector"]

_STATE_FILE, _RECORD_FILE = "detector.pt", "detector.json"


def write_detector(detector: Detector, folder: str | Path) -> None:
    """
    Write a detector, completely or not at all.

    Parameters
    ----------
    detector : Detector
        What to keep.
    folder : str or pathlib.Path
        Created, or replaced as a whole.
    """
    folder = Path(folder)
    record = {
        "features": detector.features,
        "hidden": detector.hidden,
        "threshold": detector.threshold,
        "digest": detector.classifier.digest,
        "provenance": dict(detector.provenance),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(folder, force=True) as temporary:
        temporary.mkdir()
        save_state(detector.classifier, temporary / _STATE_FILE)
        (temporary / _RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_detector(folder: str | Path, *, device: str = "cpu") -> Detector:
    """
    Read a detector back.

    Parameters
    ----------
    folder : str or pathlib.Path
        Written by :func:`write_detector`.
    device : str
        Where the detector shall run.

    Returns
    -------
    Detector
        With the same scores and flags.

    Raises
    ------
    ValueError
        If the parameters are not those that the record was written with.
    """
    folder = Path(folder)
    record = json.loads((folder / _RECORD_FILE).read_text(encoding="utf-8"))
    n_features = len(record["features"])
    layer = Standardise(np.zeros(n_features), np.ones(n_features))
    network = mlp(n_features, record["hidden"], preprocessing=layer)
    classifier = load_torch(folder / _STATE_FILE, network=network, device=device)
    if classifier.digest != record["digest"]:
        msg = f"{_STATE_FILE} and {_RECORD_FILE} in {folder} do not belong together; write the detector again"
        raise ValueError(msg)
    return Detector(
        classifier=classifier,
        threshold=record["threshold"],
        features=tuple(record["features"]),
        hidden=tuple(record["hidden"]),
        provenance=record["provenance"],
    )
