# SPDX-License-Identifier: BSD-3-Clause
"""Finished iterations of an attack in a file, from which it goes on with the same bits."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hepfool.attacks._problem import Attack, AttackProblem
from hepfool.identity import identity, table_digest
from hepfool.io._files import remove_leftovers
from hepfool.io._finished import Finished
from hepfool.io._versions import code_version
from hepfool.typing import FloatArray


@dataclass(frozen=True, slots=True)
class Iterations:
    """
    What an attack has done so far.

    Attributes
    ----------
    finished : Finished
        The file.
    problem : AttackProblem
        Events and rules; its ``progress`` is kept too.
    rng : numpy.random.Generator
        Of the attack; its state is kept too.
    """

    finished: Finished
    problem: AttackProblem
    rng: np.random.Generator

    @classmethod
    def of(cls, path: str | Path, attack: Attack, problem: AttackProblem, rng: np.random.Generator) -> Iterations:
        """Name everything that an iteration depends on, once."""
        path, envelope, bounds = Path(path), problem.envelope, problem.bounds
        key = {
            "code": code_version(),
            "attack": repr(attack),
            "network": problem.classifier.digest,
            "events": table_digest(problem.table),
            "target": identity((problem.attacked, problem.classes)),
            "bounds": identity((bounds.lower, bounds.upper, bounds.row)),
            "envelope": "" if envelope is None else identity((envelope.lower, envelope.upper)),
            "binning": identity(problem.binning.edges),
            "seed": str(rng.bit_generator.state),
        }
        if path.parent.is_dir():
            remove_leftovers(path.parent, path.name)
        return cls(Finished(path=path, key=key, what="the attack"), problem, rng)

    def restore(self) -> tuple[FloatArray, int]:
        """Return the events as they are, and the number of finished iterations."""
        return self.finished.load(self._restored) or (self.problem.table.values, 0)

    def save(self, values: FloatArray, done: int) -> None:
        """Keep an iteration."""
        state = {"done": done, "random_state": self.rng.bit_generator.state, "progress": self.problem.progress.record()}
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        self.finished.save(json.dumps(state).encode() + b"\n" + buffer.getvalue())

    def _restored(self, content: bytes) -> tuple[FloatArray, int]:
        line, _, array = content.partition(b"\n")
        state, values = json.loads(line), np.load(io.BytesIO(array), allow_pickle=False)
        self.problem.progress.restore(state["progress"])
        self.rng.bit_generator.state = state["random_state"]
        return values, state["done"]
