# SPDX-License-Identifier: BSD-3-Clause
"""
Attack the events of an :class:`~hepfool.processors.analysis.Analysis` with any executor.

All events fit into memory (a million of 30 features are 240 MB): :class:`AttackProcessor`, the attack sees them all at
once.  They do not: :class:`ChunkProcessor` attacks each chunk alone, more weakly, in the bins of a first pass with
:class:`~hepfool.processors.passes.RangeProcessor`.  You have a processor of your own: see
:mod:`hepfool.processors._collected`.

The output of both holds, for the categories ``nominal``, ``adversarial`` and every systematic variation:
``histograms`` by feature and ``scores`` by class, with the axes dataset, region and variation; ``moments`` and
``fooling`` by dataset, region and variation; ``n_events`` (selected) and ``processed`` (read) by dataset and file; with a
detector ``detector``, see :func:`~hepfool.processors.detection.detector_sums`; ``not_attacked`` counts events and
chunks that could not be attacked, by reason.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from coffea.processor import ProcessorABC

from hepfool.attacks.base import Attack
from hepfool.models.protocols import Classifier
from hepfool.processors._chunk import (
    attack_chunk,
    binning_of,
    finished_in_place,
    sums_of_data,
    warn_of_network,
    warn_of_small_chunks,
    warn_of_unattacked,
)
from hepfool.processors._collected import joined
from hepfool.processors._plan import AttackPlan
from hepfool.processors.analysis import Analysis
from hepfool.processors.passes import TableProcessor


class AttackProcessor(ProcessorABC):  # type: ignore[misc]
    """
    Gather the selected events of all chunks, and attack them all at once.

    Parameters
    ----------
    analysis : Analysis
        The user's selection, features, regions and variations.
    classifier : Classifier
        The network to fool; it stays where the runner was called.
    attack : Attack
        Which attack, with its hyper-parameters.
    **options
        Of :class:`~hepfool.processors.AttackPlan`: ``seed``, ``target``, ``envelope``, ``binning``, ``detector``,
        ``unblind``.

    Attributes
    ----------
    resume : str or Path, optional
        File of finished iterations, from which the attack resumes.

    Notes
    -----
    The final output also holds the ``result`` (:class:`~hepfool.attacks.base.AttackResult`).
    """

    def __init__(self, analysis: Analysis, classifier: Classifier, attack: Attack, **options: Any) -> None:
        self.plan: AttackPlan | None = AttackPlan(classifier, attack, **options)
        self.tables = TableProcessor(analysis, unblind=self.plan.unblind)
        self.resume: str | Path | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Keep the network from workers, which only select events."""
        return {"plan": None, "tables": self.tables, "resume": None}

    def process(self, events: Any) -> dict[str, Any]:
        """Select the events of one chunk."""
        return self.tables.process(events)

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Attack all events."""
        if self.plan is None:
            msg = "this processor was sent to a worker without its network; call postprocess of the original one"
            raise ValueError(msg)
        labelled, data = (joined(accumulator["tables"], labelled=labelled) for labelled in (True, False))
        if labelled is None:
            read = sum(sum(files.values()) for files in accumulator["processed"].values())
            msg = f"no labelled event was selected among {read} read; nothing can be attacked. Check the selection"
            raise ValueError(msg)
        result = self.plan.attacked(labelled, resume=self.resume)
        plan = replace(self.plan, binning=result.binning)
        sums = result.sums(plan.classifier, detector=plan.detector)
        if data is not None:
            sums += sums_of_data(plan, data)
        rest = {k: accumulator[k] for k in ("n_events", "processed")}
        return finished_in_place(accumulator, {"sums": sums, **rest, "not_attacked": {}, "result": result})


class ChunkProcessor(ProcessorABC):  # type: ignore[misc]
    """
    Attack each chunk of events alone, where all of them do not fit into memory.

    Parameters
    ----------
    analysis : Analysis
        The user's selection, features, regions and variations.
    classifier : Classifier
        The network to fool, sent to each worker.
    attack : Attack
        Which attack, with its hyper-parameters.
    **options
        Options of :class:`AttackProcessor`; ``binning`` is needed.
    """

    def __init__(self, analysis: Analysis, classifier: Classifier, attack: Attack, **options: Any) -> None:
        self.analysis, self.plan = analysis, AttackPlan(classifier, attack, **options)
        binning_of(self.plan)

    def process(self, events: Any) -> dict[str, Any]:
        """Select and attack the events of one chunk."""
        return attack_chunk(self.plan, self.analysis.build(events), events.metadata)

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Say what was weak or left out."""
        warn_of_small_chunks(accumulator["constrained"])
        warn_of_network(accumulator["remarks"])
        warn_of_unattacked(accumulator)
        return accumulator
