# SPDX-License-Identifier: BSD-3-Clause
"""
Finished steps in a folder, by a digest of everything that they depend on.

Results are pickled: they are the package's own, in a folder of the user.  A damaged file is found by its digest before
it is unpickled, and its step is done again.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from hepfool.exceptions import UnreadableFileError
from hepfool.io.files import check_writable_folder, remove_leftovers
from hepfool.io.verified import kept_or_none, read_verified, read_verified_json, write_verified, write_verified_json
from hepfool.io.versions import code_version

__all__ = ["StepCache", "step_key"]

_SHOWN = 16
#: Seconds after which the unfinished state of a step with other settings is given up.
_STALE = 7 * 86_400.0


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
        SHA-256, also of the package as it is installed.
    """
    content = json.dumps([code_version(), name, configuration, list(inputs)], sort_keys=True, default=str)
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

    def prepare(self) -> None:
        """
        Make the folder, before the work whose results it shall keep, and remove what killed processes left in it.

        Raises
        ------
        PermissionError
            If nothing can be written there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        check_writable_folder(self.folder)
        remove_leftovers(self.folder)

    def holds(self, name: str, key: str) -> bool:
        """
        Tell whether a step is finished, by its files and not by their content.

        Parameters
        ----------
        name, key : str
            Of the step.

        Returns
        -------
        bool
            Whether its result was written.
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
            What :meth:`save` was given; None if the step is not finished, or its file is damaged.

        Warns
        -----
        UserWarning
            If the file is damaged.
        """
        if not self.holds(name, key):
            return None
        return kept_or_none(_unpickled, self._path(name, key, "pkl"), what=f"the step {name!r}")

    def save(self, name: str, key: str, result: Any, **record: Any) -> None:
        """
        Keep the result of a step, completely or not at all; go on without where it cannot be written.

        Parameters
        ----------
        name, key : str
            Of the step.
        result : object
            What can be pickled.
        **record
            Plain values about it, such as ``seconds``.

        Warns
        -----
        UserWarning
            If there is no space, or the folder is gone.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_verified(self._path(name, key, "pkl"), cloudpickle.dumps(result))
            # The record comes last: with it the step counts as finished.
            write_verified_json(self._path(name, key, "json"), {"step": name, "key": key, **record})
        except OSError as error:
            msg = (
                f"finished steps cannot be kept in {self.folder} ({error.strerror or error}); the run goes on, but if it is "
                "interrupted it starts again from the steps that are kept"
            )
            warnings.warn(msg, UserWarning, stacklevel=2)

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
        for path in reversed(found):
            try:
                return read_verified_json(path)
            except UnreadableFileError:  # only times are read from it
                continue
        return None

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

    def tidy(self, name: str | None = None, key: str = "") -> None:
        """
        Remove the unfinished state of a step that is finished now, or of steps that nobody went on with for a week.

        Parameters
        ----------
        name, key : str, optional
            Of the finished step; without it old state of all steps.
        """
        pattern = "unfinished-*" if name is None else f"{self.scratch(name, key, '').name}*"
        newest = time.time() - (_STALE if name is None else 0.0)
        for path in self.folder.glob(pattern):
            if name is not None or path.stat().st_mtime < newest:
                path.unlink(missing_ok=True)

    def _path(self, name: str, key: str, suffix: str) -> Path:
        return self.folder / f"{name}-{key[:_SHOWN]}.{suffix}"


def _unpickled(path: Path) -> Any:
    content = read_verified(path)
    try:
        return pickle.loads(content)  # noqa: S301 - our own results, with the digest that we gave them
    except Exception as error:
        # Any error: classes of the user may have changed.
        msg = f"{path} cannot be read ({type(error).__name__}: {error})"
        raise UnreadableFileError(msg) from error
