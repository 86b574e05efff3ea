# SPDX-License-Identifier: BSD-3-Clause
"""Plan of an attack on a fileset, and settings of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hepfool.attacks.base import Attack, AttackResult, Target, run_attack
from hepfool.events import Envelope, EventTable, signal_region_envelope
from hepfool.models._probe import require_classifier
from hepfool.models.protocols import Classifier
from hepfool.processors._handles import LARGE_BYTES
from hepfool.statistics.marginals import Binning

if TYPE_CHECKING:  # which loads PyTorch
    from hepfool.defences._detector import Detector


@dataclass(frozen=True, eq=False)
class AttackPlan:
    """
    How events are attacked, wherever they come from.

    Attributes
    ----------
    attack : Attack
        Which attack, with its hyper-parameters.
    seed : int
        Seed of all randomness; each chunk or partition derives its own.
    target : {"correct", "all"} or int
        Which events to attack, as in :func:`~hepfool.attacks.base.run_attack`.
    envelope : callable, optional
        Bounds from the events; by default their shape variations outside of control and validation regions, see
        :func:`hepfool.events.signal_region_envelope`.  None for no bounds.
    binning : Binning, optional
        Bins of the marginals; those of the attack over all constrained events by default.
    detector : Detector, optional
        Scores all events beside the attack, and counts those that are fooled and not flagged.
    unblind : bool
        Whether to read unlabelled events (data) in signal regions.
    """

    classifier: Classifier
    attack: Attack
    _: KW_ONLY
    seed: int = 0
    target: Literal["correct", "all"] | int = "correct"
    envelope: Callable[[EventTable], Envelope | None] | None = signal_region_envelope
    binning: Binning | None = None
    detector: Detector | None = None
    unblind: bool = False

    def __post_init__(self) -> None:
        """Check what would fail on the workers."""
        require_classifier(self.classifier)

    def attacked(
        self,
        table: EventTable,
        *,
        rng: np.random.Generator | None = None,
        target: Target | None = None,
        resume: str | Path | None = None,
    ) -> AttackResult:
        """
        Attack the events of one table.

        Parameters
        ----------
        rng : numpy.random.Generator, optional
            In place of the seed's.
        target : {"correct", "all"}, int or BoolArray, optional
            In place of the plan's.

        Returns
        -------
        AttackResult
            As of :func:`~hepfool.attacks.base.run_attack`.
        """
        return run_attack(
            self.attack,
            self.classifier,
            table,
            rng=np.random.default_rng(self.seed) if rng is None else rng,
            target=self.target if target is None else target,
            envelope=self.envelope(table) if self.envelope else None,
            binning=self.binning,
            resume=resume,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """
    How to run; none of it changes the result.

    Attributes
    ----------
    threads : int, optional
        Threads of one chunk, for torch, compiled kernels and linear algebra; 1 by default where several chunks are
        processed at a time, else all.
    retries : int
        Further attempts of a pass after workers were lost, beside those of the executor.
    large_bytes : int
        Pickled size in bytes above which a processor travels as a digest.
    uproot_options : mapping
        Passed to the runner.
    patience : float
        Seconds after which a run that waits for lost workers of dask says so.
    """

    threads: int | None = None
    retries: int = 2
    large_bytes: int = LARGE_BYTES
    uproot_options: Mapping[str, Any] = field(default_factory=dict)
    patience: float = 60.0
