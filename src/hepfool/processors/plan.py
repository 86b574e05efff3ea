# SPDX-License-Identifier: BSD-3-Clause
"""What to do with the events of a fileset, and how to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hepfool.attacks.base import Attack
from hepfool.attacks.checkpoint import Checkpointed
from hepfool.events import Envelope, EventTable
from hepfool.models.probe import require_classifier
from hepfool.models.protocols import Classifier
from hepfool.processors.handles import LARGE_BYTES
from hepfool.statistics.marginals import Binning

if TYPE_CHECKING:  # which loads PyTorch
    from hepfool.defences.detector import Detector

__all__ = ["AttackPlan", "RunSettings"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttackPlan:
    """
    What to do with the events.

    Attributes
    ----------
    classifier : Classifier
        The network to fool.
    attack : Attack
        Which attack, with its hyper-parameters.
    scope, seed, binning, target, envelope, unblind, detector
        As for :class:`~hepfool.processors.processor.AttackProcessor`; with ``scope="chunk"`` the binning is that of
        the first pass unless it is given.
    """

    classifier: Classifier
    attack: Attack
    scope: Literal["dataset", "chunk"] = "dataset"
    seed: int = 0
    binning: Binning | None = None
    target: Literal["correct", "all"] | int = "correct"
    envelope: Callable[[EventTable], Envelope] | None = None
    unblind: bool = False
    detector: Detector | None = None

    def __post_init__(self) -> None:
        """Check what would fail on the workers."""
        require_classifier(self.classifier)
        if self.scope == "chunk" and isinstance(self.attack, Checkpointed):
            msg = "scope='chunk' runs the attack many times, one file cannot keep them all; give run_analysis a checkpoint"
            raise ValueError(msg)

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of the processor."""
        rest = ("scope", "seed", "binning", "target", "envelope", "unblind", "detector")
        return {name: getattr(self, name) for name in rest}


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
