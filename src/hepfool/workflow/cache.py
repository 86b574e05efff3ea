# SPDX-License-Identifier: BSD-3-Clause
"""
Finished steps in a folder, by a digest of everything that they depend on.

Results are pickled: they are the package's own, in a folder of the user.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
from numpy.typing import NDArray

from hepfool._version import __version__
from hepfool.events import EventTable
from hepfool.io.files import written_whole

__all__ = ["StepCache", "file_digest", "step_key", "table_digest"]

_SHOWN = 16


def file_digest(path: Path) -> str:
    """
    Fingerprint of a file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        SHA-256 of its content.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def table_digest(table: EventTable) -> str:
    """
    Fingerprint of events.

    Parameters
    ----------
    table : EventTable
        The events.

    Returns
    -------
    str
        SHA-256 of features, values, labels, weights, datasets, regions and variations.
    """
    features = [(f.name, f.unit, f.lower, f.upper, f.kind, f.derived and f.derived.inputs) for f in table.features]
    regions = [(region.name, region.role, sorted(region.cuts.items())) for region in table.regions]
    sha = hashlib.sha256(repr((features, regions, table.datasets, table.sentinel)).encode())
    columns: dict[str, NDArray[Any]] = {"values": table.values, "labels": table.labels, "weights": table.weights}
    columns |= {"datasets": table.dataset_index, **{f"region {r.name}": r.mask for r in table.regions}}
    for name, array in (*columns.items(), *table.shape_variations.items(), *table.weight_variations.items()):
        sha.update(f"{name} {array.shape} {array.dtype}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def step_key(name: str, configuration: Mapping[str, Any], inputs: Iterable[str]) -> str:
    """
    Fingerprint of everything that a step depends on.

    Parameters
    ----------
    name : str
        Of the step.
    configuration : mapping
        The part of the configuration that it reads, as plain values.
    inputs : iterable of str
        Digests of files, and keys of earlier steps.

    Returns
    -------
    str
        SHA-256, also of the version of the package.
    """
    content = json.dumps([__version__, name, configuration, list(inputs)], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class StepCache:
    """
    A folder of finished steps.

    Attributes
    ----------
    folder : Path
        Made when first written to.
    """

    folder: Path

    def holds(self, name: str, key: str) -> bool:
        """
        Tell whether a step is finished.

        Parameters
        ----------
        name, key : str
            Of the step.

        Returns
        -------
        bool
            Whether its result can be loaded.
        """
        return self._path(name, key, "json").is_file() and self._path(name, key, "pkl").is_file()

    def load(self, name: str, key: str) -> Any:
        """
        Read the result of a finished step.

        Parameters
        ----------
        name, key : str
            Of the step.

        Returns
        -------
        object
            What :meth:`save` was given.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        path = self._path(name, key, "pkl")
        try:
            return pickle.loads(path.read_bytes())  # noqa: S301 - our own results
        except (pickle.UnpicklingError, EOFError, AttributeError, ImportError) as error:
            msg = f"{path} cannot be read ({error}); delete it, and the step is done again"
            raise ValueError(msg) from error

    def save(self, name: str, key: str, result: Any, **record: Any) -> None:
        """
        Keep the result of a step, completely or not at all.

        Parameters
        ----------
        name, key : str
            Of the step.
        result : object
            What can be pickled.
        **record
            Plain values about it, such as ``seconds``.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_whole(self._path(name, key, "pkl"), force=True) as temporary:
            temporary.write_bytes(cloudpickle.dumps(result))
        # The record comes last: with it the step counts as finished.
        with written_whole(self._path(name, key, "json"), force=True) as temporary:
            temporary.write_text(json.dumps({"step": name, "key": key, **record}, indent=1), encoding="utf-8")

    def record(self, name: str, key: str | None = None) -> dict[str, Any] | None:
        """
        Look up what is known about a step.

        Parameters
        ----------
        name : str
            Of the step.
        key : str, optional
            Of the step; the most recent record of the same name when left out.

        Returns
        -------
        dict or None
            None if it was never finished.
        """
        paths = [self._path(name, key, "json")] if key else self.folder.glob(f"{name}-*.json")
        found = sorted((path for path in paths if path.is_file()), key=lambda path: path.stat().st_mtime)
        return dict(json.loads(found[-1].read_text(encoding="utf-8"))) if found else None

    def scratch(self, name: str, key: str, suffix: str) -> Path:
        """
        Name a file for the unfinished state of a step.

        Parameters
        ----------
        name, key : str
            Of the step.
        suffix : str
            End of the name, such as ``-test.zip``.

        Returns
        -------
        Path
            In the folder, which exists.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"unfinished-{name}-{key[:_SHOWN]}{suffix}"

    def _path(self, name: str, key: str, suffix: str) -> Path:
        return self.folder / f"{name}-{key[:_SHOWN]}.{suffix}"
