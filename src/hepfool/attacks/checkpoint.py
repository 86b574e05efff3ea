# SPDX-License-Identifier: BSD-3-Clause
"""
Keep what a long attack has done, and go on from there.

:class:`Checkpointed` wraps any attack.  After each iteration events and random state go to a file;
the same call after a crash or an interrupt skips the finished iterations, and its result is the
same to the last bit as without the interruption.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hepfool.attacks.base import Attack, AttackProblem
from hepfool.attacks.convergence import Progress
from hepfool.io.files import remove_leftovers
from hepfool.io.store import Store, read_store, write_store
from hepfool.io.verified import kept_or_none
from hepfool.io.versions import code_version
from hepfool.typing import FloatArray

__all__ = ["Checkpointed"]


@dataclass(frozen=True, slots=True, repr=False)
class Checkpointed:
    """
    An attack that remembers its iterations.

    Attributes
    ----------
    attack : Attack
        What to run.
    path : str or Path
        File to write and to go on from; delete it to start anew.
    renew : bool
        Start anew, with a warning, where the file is damaged; for names at which nobody else can have put a file.

    Notes
    -----
    Where the file cannot be written, the attack goes on without, and says so once.

    Examples
    --------
    >>> from hepfool.attacks.conserv import CONSERVAttack
    >>> Checkpointed(CONSERVAttack(), "attack.zip").n_iterations
    10
    """

    attack: Attack
    path: str | Path
    renew: bool = False
    #: State of the random numbers at the start, as long as no file tells it.
    _start: dict[str, str] = field(default_factory=dict, init=False, compare=False)

    def __repr__(self) -> str:
        """Say what was run: the file makes no difference to the result."""
        return repr(self.attack)

    @property
    def n_iterations(self) -> int:
        """Iterations of the attack."""
        return self.attack.n_iterations

    @property
    def n_bins(self) -> int:
        """Bins of the attack."""
        return self.attack.n_bins

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        """
        Do one iteration, or take it from the file.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        values : FloatArray, shape (n_events, n_features)
            Events as they are now.
        iteration : int
            From 0.
        rng : numpy.random.Generator
            Source of randomness; where the file holds this iteration, set to the state after it.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            Events after the iteration.

        Raises
        ------
        ValueError
            If the file belongs to another attack, network, table, or seed.
        """
        path, key = Path(self.path), _key(self.attack, problem)
        if iteration == 0:
            self._start["seed"] = str(rng.bit_generator.state)
            if path.parent.is_dir():
                remove_leftovers(path.parent, path.name)
        saved = self._saved(path)
        if saved is not None:
            start = self._start["seed"] if iteration == 0 else saved.key["seed"]
            _check(path, saved.key, {**key, "seed": start})
            if saved.values.shape != values.shape:
                msg = (
                    f"checkpoint {path} holds values of shape {saved.values.shape}, expected {values.shape}; delete it"
                )
                raise ValueError(msg)
            self._start["seed"] = start
            if iteration < saved.iterations_done and not problem.frozen.any():
                rng.bit_generator.state = saved.random_state
                if iteration == saved.iterations_done - 1:
                    problem.progress.restore(saved.progress)
                return values if iteration < saved.iterations_done - 1 else saved.values
        moved = self.attack.iterate(problem, values, iteration, rng)
        metadata = {
            "key": {**key, "seed": self._start["seed"]},
            "iterations_done": iteration + 1,
            "random_state": rng.bit_generator.state,
            "progress": problem.progress.record(),
        }
        self._save(Store(arrays={"values": moved}, metadata=metadata))
        return moved

    def _saved(self, path: Path) -> _Saved | None:
        if self.renew:
            return kept_or_none(_read, path, what="the attack")
        return _read(path) if path.exists() else None

    def _save(self, store: Store) -> None:
        try:
            write_store(self.path, store, force=True)
        except OSError as error:
            if "said" not in self._start:
                self._start["said"] = "yes"
                msg = (
                    f"finished iterations cannot be kept in {self.path} ({error.strerror or error}); the attack goes on, but "
                    "an interrupted one will repeat them"
                )
                warnings.warn(msg, UserWarning, stacklevel=4)


class _Saved(NamedTuple):
    """Content of a checkpoint."""

    key: dict[str, str]
    iterations_done: int
    random_state: Any
    values: FloatArray
    progress: Mapping[str, Any]


def _read(path: Path) -> _Saved:
    store = read_store(path)
    try:
        metadata = store.metadata
        saved = _Saved(
            {str(name): str(text) for name, text in metadata["key"].items()},
            int(metadata["iterations_done"]),
            metadata["random_state"],
            store.arrays["values"],
            metadata["progress"],
        )
        Progress().restore(saved.progress)
        np.random.default_rng(0).bit_generator.state = saved.random_state
        sound = "seed" in saved.key and saved.values.dtype == np.float64
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        msg = f"{path} is no checkpoint of an attack ({type(error).__name__}: {error}); delete it, or name another file"
        raise ValueError(msg) from error
    if not sound:
        msg = f"checkpoint {path} holds {saved.values.dtype} values and no seed or a wrong one; delete it, or name another file"
        raise ValueError(msg)
    return saved


def _key(attack: Attack, problem: AttackProblem) -> dict[str, str]:
    """Name everything that an iteration depends on."""
    table, bounds, envelope = problem.table, problem.bounds, problem.envelope
    arrays = {
        "events": (table.values, table.weights, table.labels, problem.constrained),
        "target": (problem.attacked, problem.classes),
        "bounds": (bounds.lower, bounds.upper, bounds.row),
        "envelope": () if envelope is None else (envelope.lower, envelope.upper),
        "binning": (problem.binning.edges,),
    }
    digests = {
        name: hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()
        for name, parts in arrays.items()
    }
    return {"code": code_version(), "attack": repr(attack), "network": problem.classifier.digest, **digests}


def _check(path: Path, found: Mapping[str, Any], expected: Mapping[str, str]) -> None:
    differing = [name for name in expected if found.get(name) != expected[name]]
    if differing:
        msg = (
            f"checkpoint {path} belongs to another run: {', '.join(differing)} differ; "
            "delete it to start anew, or name another file"
        )
        raise ValueError(msg)
