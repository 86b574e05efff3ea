# SPDX-License-Identifier: BSD-3-Clause
"""
Attack a network inside coffea: with our processor, or inside yours.

You have an :class:`~hepfool.processors.analysis.Analysis`: run
:class:`AttackProcessor` with any executor.  All events fit into memory (a
million of 30 features are 240 MB): keep ``scope="dataset"``, the attack sees
them all at once.  They do not: ``scope="chunk"`` attacks each chunk alone, in the
bins of a first pass with :class:`~hepfool.processors.passes.RangeProcessor`.  You
have a processor of your own: call :func:`~hepfool.processors.chunk.attack_table`
in its ``process``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from coffea.processor import ProcessorABC, accumulate

from hepfool.attacks.base import Attack, run_attack
from hepfool.events import Envelope, EventTable
from hepfool.models.probe import require_classifier
from hepfool.models.protocols import Classifier
from hepfool.processors.analysis import Analysis
from hepfool.processors.chunk import (
    ChunkAttack,
    attack_sums,
    in_order,
    nominal_sums,
    warn_of_network,
    warn_of_small_chunks,
    warn_of_unattacked,
)
from hepfool.processors.collected import joined
from hepfool.processors.passes import TableProcessor
from hepfool.statistics.marginals import Binning

if TYPE_CHECKING:  # which loads PyTorch
    from hepfool.defences.detector import Detector

__all__ = ["AttackProcessor"]


@dataclass(frozen=True)
class AttackProcessor(ProcessorABC):  # type: ignore[misc]
    """
    Attack the events of a fileset.

    Parameters
    ----------
    analysis : Analysis
        The user's selection, features, regions and variations.
    classifier : Classifier
        The network to fool.
    attack : Attack
        Which attack, with its hyper-parameters.
    scope : {"dataset", "chunk"}
        ``dataset`` gathers the selected columns and attacks all events at once in
        ``postprocess``, where coffea merges; ``chunk`` attacks each chunk alone.
    seed : int
        Seed of all randomness; each chunk derives its own from its dataset, file and entries.
    binning : Binning, optional
        Bins of the marginals.  Needed by ``scope="chunk"``: pass 1 with :class:`~hepfool.processors.passes.RangeProcessor`
        gives ``out["ranges"].binning(attack.n_bins)``.
    target : {"correct", "all"} or int
        Which events to attack, as in :func:`~hepfool.attacks.base.run_attack`.
    envelope : callable, optional
        Bounds from the events, such as :meth:`Envelope.from_variations`.
    unblind : bool
        Whether to read unlabelled events (data) in signal regions.
    detector : Detector, optional
        Scores all events beside the attack, and counts those that are fooled and not flagged.

    Notes
    -----
    The output holds, for the categories ``nominal``, ``adversarial`` and every systematic variation:
    ``histograms`` by feature and ``scores`` by class, with the axes dataset, region and variation;
    ``moments`` and ``fooling`` by dataset, region and variation; ``n_events`` (selected) and ``processed``
    (read) by dataset and file; with a detector ``detector``, see
    :func:`~hepfool.processors.detection.detector_sums`; with ``scope="dataset"`` also the ``result`` itself;
    ``not_attacked`` counts events and chunks that could not be attacked, by reason, and none with ``scope="dataset"``.
    """

    analysis: Analysis
    classifier: Classifier
    attack: Attack
    _: KW_ONLY
    scope: Literal["dataset", "chunk"] = "dataset"
    seed: int = 0
    binning: Binning | None = None
    target: Literal["correct", "all"] | int = "correct"
    envelope: Callable[[EventTable], Envelope] | None = None
    unblind: bool = False
    detector: Detector | None = None

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the workers."""
        require_classifier(self.classifier)
        if self.scope not in {"dataset", "chunk"}:
            msg = f"scope {self.scope!r} is unknown; use 'dataset' or 'chunk'"
            raise ValueError(msg)
        if self.scope == "chunk" and self.binning is None:
            msg = (
                "scope='chunk' needs the binning of all events, or chunks could not be merged; "
                "run RangeProcessor(analysis) first and pass binning=out['ranges'].binning(attack.n_bins)"
            )
            raise ValueError(msg)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the network at home where workers only select events."""
        at_home = {"classifier": None, "attack": None, "detector": None} if self.scope == "dataset" else {}
        return {**self.__dict__, **at_home}

    def process(self, events: Any) -> dict[str, Any]:
        """
        Select, and with ``scope="chunk"`` attack, the events of one chunk.

        Parameters
        ----------
        events : NanoEvents
            The chunk.

        Returns
        -------
        dict
            Mergeable output.
        """
        if self.scope == "dataset":
            return TableProcessor(self.analysis, unblind=self.unblind).process(events)
        return self._chunk_attack.run(self.analysis.build(events), events.metadata)

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """
        Finish the merged output in the driver.

        Parameters
        ----------
        accumulator : dict
            Merged output of all chunks.

        Returns
        -------
        dict
            Final output, independent of executor and order.

        Raises
        ------
        ValueError
            If no labelled event was selected, or the attack refuses its input.
        """
        if "tables" in accumulator:
            return self._attack_dataset(accumulator)
        warn_of_small_chunks(accumulator["constrained"])
        warn_of_network(accumulator["remarks"])
        warn_of_unattacked(accumulator)
        return in_order(accumulator)

    def _attack_dataset(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        if self.__dict__["classifier"] is None:
            msg = "this processor was sent to a worker without its network; call postprocess of the original one"
            raise ValueError(msg)
        labelled, data = joined(accumulator["tables"], labelled=True), joined(accumulator["tables"], labelled=False)
        if labelled is None:
            read = sum(sum(files.values()) for files in accumulator["processed"].values())
            msg = f"no labelled event was selected among {read} read; nothing can be attacked. Check the selection"
            raise ValueError(msg)
        result = run_attack(
            self.attack,
            self.classifier,
            labelled,
            rng=np.random.default_rng(self.seed),
            target=self.target,
            envelope=self.envelope(labelled) if self.envelope else None,
            binning=self.binning,
        )
        marks = (result.attacked, result.fooled, result.attacked)
        settings = self.classifier, result.binning
        parts = [attack_sums(labelled, result.adversarial, marks, *settings, detector=self.detector)]
        if data is not None:
            parts.append(nominal_sums(data, *settings, self.detector))
        rest = {k: accumulator[k] for k in ("n_events", "processed")}
        return in_order({**accumulate(parts), **rest, "not_attacked": {}, "result": result})

    @property
    def _chunk_attack(self) -> ChunkAttack:
        if self.binning is None:
            msg = "scope='chunk' needs a binning"
            raise ValueError(msg)
        return ChunkAttack(
            classifier=self.classifier,
            attack=self.attack,
            binning=self.binning,
            seed=self.seed,
            target=self.target,
            envelope=self.envelope,
            unblind=self.unblind,
            detector=self.detector,
        )
