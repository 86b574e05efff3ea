# SPDX-License-Identifier: BSD-3-Clause
"""Detectors in files: parameters and plain JSON, without pickled code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hepfool.defences.detector import Detector
from hepfool.io.files import written_whole
from hepfool.io.verified import read_verified_json, write_verified_json
from hepfool.models.files import load_torch, save_state
from hepfool.models.networks import Standardise, mlp

__all__ = ["read_detector", "write_detector"]

#: Nobody trains wider detectors; a damaged record could ask for all memory.
_WIDEST = 10_000
_STATE_FILE, _RECORD_FILE = "detector.pt", "detector.json"
_FILES = {_STATE_FILE, _RECORD_FILE}


class _Record(BaseModel):
    """What the parameters alone do not tell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: tuple[str, ...] = Field(min_length=1, max_length=_WIDEST)
    hidden: tuple[Annotated[int, Field(gt=0, le=_WIDEST)], ...] = Field(max_length=100)
    threshold: float = Field(ge=0, le=1)
    digest: str
    provenance: dict[str, Any]


def write_detector(detector: Detector, folder: str | Path) -> None:
    """
    Write a detector, completely or not at all.

    Parameters
    ----------
    detector : Detector
        What to keep.
    folder : str or pathlib.Path
        Created, or replaced as a whole if it holds a detector and nothing else.

    Raises
    ------
    FileExistsError
        If it holds anything else.
    """
    folder = Path(folder)
    foreign = sorted({found.name for found in folder.iterdir()} - _FILES) if folder.is_dir() else []
    if foreign:
        msg = f"{folder} holds {foreign[0]}, which is no part of a detector, so it is not replaced; name another folder"
        raise FileExistsError(msg)
    record = _Record(
        features=detector.features,
        hidden=detector.hidden,
        threshold=detector.threshold,
        digest=detector.classifier.digest,
        provenance=dict(detector.provenance),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(folder, force=True) as temporary:
        temporary.mkdir()
        save_state(detector.classifier, temporary / _STATE_FILE)
        write_verified_json(temporary / _RECORD_FILE, record.model_dump(mode="json"))


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
        If the record is damaged, or the parameters are not those that it was written with.
    """
    folder = Path(folder)
    record = _read_record(folder / _RECORD_FILE)
    n_features = len(record.features)
    layer = Standardise(np.zeros(n_features), np.ones(n_features))
    network = mlp(n_features, record.hidden, preprocessing=layer)
    classifier = load_torch(folder / _STATE_FILE, network=network, device=device)
    if classifier.digest != record.digest:
        msg = f"{_STATE_FILE} and {_RECORD_FILE} in {folder} do not belong together; write the detector again"
        raise ValueError(msg)
    return Detector(
        classifier=classifier,
        threshold=record.threshold,
        features=record.features,
        hidden=record.hidden,
        provenance=record.provenance,
    )


def _read_record(path: Path) -> _Record:
    try:
        # Earlier versions wrote no digest; the name of a damaged one is refused as an unknown member.
        content = json.loads(path.read_bytes())
        digest = content.pop("sha256", None) if isinstance(content, dict) else None
        record = _Record.model_validate_json(json.dumps(content))
        if digest is not None:
            read_verified_json(path)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        msg = f"{path} is not a detector's record: {error}; write the detector again"
        raise ValueError(msg) from None
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(str(part) for part in found["loc"]) or "the file"
        msg = f"{path} is not a detector's record: {where}: {found['msg']}; write the detector again"
        raise ValueError(msg) from None
    return record
