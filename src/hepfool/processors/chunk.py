# SPDX-License-Identifier: BSD-3-Clause
"""Attack the events of one chunk and sum what merges with other chunks."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from coffea.processor import accumulate

from hepfool.attacks.base import Attack, run_attack
from hepfool.events import UNLABELLED, Envelope, EventTable
from hepfool.exceptions import LowStatisticsWarning, NetworkWarning
from hepfool.models.probe import check_network, check_scores, require_classifier
from hepfool.models.protocols import Classifier
from hepfool.processors.detection import detector_sums
from hepfool.processors.results import RegionSums, sort_categories
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray, FloatArray

if TYPE_CHECKING:  # which loads PyTorch
    from hepfool.defences.detector import Detector

__all__ = ["ChunkAttack", "attack_table"]

#: Constrained events below which a chunk's attack is much weaker than that of all events.
N_EVENTS_PER_CHUNK = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkAttack:
    """
    How each chunk is attacked.

    Attributes
    ----------
    classifier : Classifier
        The network to fool.
    attack : Attack
        Which attack, with its hyper-parameters.
    binning : Binning
        Bins of the marginals, the same for all chunks.
    seed : int
        Seed of all randomness; each chunk derives its own.
    target : {"correct", "all"} or int
        Which events to attack.
    envelope : callable, optional
        Bounds from the events.
    unblind : bool
        Whether to read unlabelled events (data) in signal regions.
    detector : Detector, optional
        Scores all events beside the attack.
    """

    classifier: Classifier
    attack: Attack
    binning: Binning
    seed: int = 0
    target: Literal["correct", "all"] | int = "correct"
    envelope: Callable[[EventTable], Envelope] | None = None
    unblind: bool = False
    detector: Detector | None = None

    def __post_init__(self) -> None:
        """Check that the network is one."""
        require_classifier(self.classifier)

    def run(self, table: EventTable, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """
        Attack one chunk.

        Parameters
        ----------
        table : EventTable
            Its selected events.
        metadata : mapping
            ``events.metadata``.

        Returns
        -------
        dict
            Mergeable output.
        """
        kept = without_blinded(table, unblind=self.unblind)
        data = kept.labels == UNLABELLED
        parts = []
        if data.any() or not kept.n_events:
            parts.append(nominal_sums(kept.select(data), self.classifier, self.binning, self.detector))
        constrained: dict[str, Any] = {}
        remarks: dict[str, int] = {}
        if not data.all():
            simulated = kept.select(~data)
            remarks = dict.fromkeys(self.remarks(simulated), 1)
            adversarial, attacked, fooled = self.outcome(simulated, chunk_rng(self.seed, metadata))
            marks = (attacked, fooled)
            parts.append(
                attack_sums(simulated, adversarial, marks, self.classifier, self.binning, detector=self.detector)
            )
            chunk = f"{PurePath(metadata.get('filename', '')).name}:{metadata.get('entrystart', 0)}"
            constrained = {
                name: {chunk: int((simulated.constrained & simulated.dataset_mask(name)).sum())}
                for name in simulated.datasets
            }
        return {**accumulate(parts), **bookkeeping(table, metadata), "constrained": constrained, "remarks": remarks}

    def remarks(self, table: EventTable) -> tuple[str, ...]:
        """
        Ask whether the network is what it is taken for, see :func:`hepfool.models.probe.check_network`.

        Parameters
        ----------
        table : EventTable
            Labelled events.

        Returns
        -------
        tuple of str
            To be told once, for all chunks.
        """
        values = table.network_values
        scores, classes = self.classifier.scores(values), self.classifier.predict(values)
        check_scores(scores, table.n_events, self.classifier)
        return check_network(self.classifier, values, table.labels, scores, classes)

    def outcome(self, table: EventTable, rng: np.random.Generator) -> tuple[EventTable, BoolArray, BoolArray]:
        """
        Attack what can be: without constrained events nothing moves and nothing is fooled.

        Parameters
        ----------
        table : EventTable
            Labelled events.
        rng : numpy.random.Generator
            The only source of randomness.

        Returns
        -------
        adversarial : EventTable
            The same events after the attack.
        attacked, fooled : BoolArray, shape (n_events,)
            Events that were attacked, and those among them with a changed class.
        """
        classes = self.classifier.predict(table.network_values)
        attacked: BoolArray = np.ones(table.n_events, dtype=np.bool_)
        if self.target != "all":
            attacked = np.asarray(classes == table.labels)
        if isinstance(self.target, int):
            attacked &= table.labels == self.target
        if not (attacked.any() and table.constrained.any()):
            return table, attacked, np.zeros_like(attacked)
        populated = replace(table, regions=tuple(r for r in table.regions if r.mask.any()))
        with warnings.catch_warnings():
            for said_once_for_all_chunks in (LowStatisticsWarning, NetworkWarning):
                warnings.simplefilter("ignore", said_once_for_all_chunks)
            result = run_attack(
                self.attack,
                self.classifier,
                populated,
                rng=rng,
                target=attacked,
                envelope=self.envelope(populated) if self.envelope else None,
                binning=self.binning,
            )
        return table.with_values(result.adversarial.values), result.attacked, result.fooled


def attack_table(
    table: EventTable,
    classifier: Classifier,
    attack: Attack,
    *,
    binning: Binning,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """
    Attack the events of one chunk, inside an existing ``process``.

    Parameters
    ----------
    table : EventTable
        Selected events of the chunk.
    classifier : Classifier
        The network to fool.
    attack : Attack
        Which attack, with its hyper-parameters.
    binning : Binning
        Bins of the marginals, the same for all chunks.
    metadata : mapping, optional
        ``events.metadata``: gives the chunk's own random numbers and counts what was read.
    **options
        ``seed``, ``target``, ``envelope``, ``unblind`` and ``detector`` as for :class:`ChunkAttack`.

    Returns
    -------
    dict
        To be put into your own output under a key of your choice; coffea merges it.

    Warns
    -----
    LowStatisticsWarning
        If the chunk has few constrained events, as the attack is then weak.
    NetworkWarning
        If the network is probably not what it is said to be.
    """
    settings = ChunkAttack(classifier=classifier, attack=attack, binning=binning, **options)
    out = settings.run(table, metadata or {})
    warn_of_small_chunks(out["constrained"])
    warn_of_network(out["remarks"])
    return out


def attack_sums(
    nominal: EventTable,
    adversarial: EventTable,
    outcome: tuple[BoolArray, BoolArray],
    classifier: Classifier,
    binning: Binning,
    *,
    detector: Detector | None = None,
) -> dict[str, Any]:
    """Sum up nominal, adversarial and systematically varied events."""
    names = ["nominal", "adversarial", *nominal.shape_variations, *nominal.weight_variations]
    sums = RegionSums(nominal, binning, names, _score_classes(classifier))
    attacked, fooled = outcome
    scores = _scores(classifier, nominal)
    classes = _predict(classifier, nominal)
    sums.fill("nominal", nominal, scores, moments=True)
    sums.fill("adversarial", adversarial, _scores(classifier, adversarial), moments=True)
    sums.count("adversarial", attacked, fooled)
    for name in nominal.shape_variations:
        varied = nominal.variation(name)
        sums.fill(name, varied, _scores(classifier, varied))
        sums.count(name, attacked, attacked & (_predict(classifier, varied) != classes))
    for name in nominal.weight_variations:
        sums.fill(name, nominal.variation(name), scores)
    if detector is None:
        return sums.as_dict()
    flags = detector_sums(detector, nominal, binning, adversarial=adversarial, outcome=outcome)
    return {**sums.as_dict(), "detector": flags}


def nominal_sums(
    table: EventTable, classifier: Classifier, binning: Binning, detector: Detector | None = None
) -> dict[str, Any]:
    """Sum up events that are not attacked: data, or none."""
    sums = RegionSums(table, binning, ["nominal"], _score_classes(classifier))
    sums.fill("nominal", table, _scores(classifier, table), moments=True)
    return {**sums.as_dict(), **({} if detector is None else {"detector": detector_sums(detector, table, binning)})}


def _score_classes(classifier: Classifier) -> tuple[int, ...]:
    return (1,) if classifier.n_classes == 2 else tuple(range(classifier.n_classes))


def _scores(classifier: Classifier, table: EventTable) -> FloatArray:
    return classifier.scores(table.network_values) if table.n_events else np.zeros((0, classifier.n_classes))


def _predict(classifier: Classifier, table: EventTable) -> Any:
    return classifier.predict(table.network_values) if table.n_events else np.zeros(0, dtype=np.int64)


def without_blinded(table: EventTable, *, unblind: bool) -> EventTable:
    """Drop data in signal regions."""
    blinded = np.zeros(table.n_events, dtype=np.bool_)
    for region in table.regions:
        if not region.constrained:
            blinded |= region.mask & (table.labels == UNLABELLED)
    return table if unblind or not blinded.any() else table.select(~blinded)


def bookkeeping(table: EventTable, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Count selected and read events by dataset and file."""
    if "filename" not in metadata:
        return {"n_events": {}, "processed": {}}
    dataset, file = str(metadata["dataset"]), str(metadata["filename"])
    read = int(metadata["entrystop"]) - int(metadata["entrystart"])
    return {"n_events": {dataset: {file: table.n_events}}, "processed": {dataset: {file: read}}}


def chunk_rng(seed: int, metadata: Mapping[str, Any]) -> np.random.Generator:
    """Random numbers of a chunk, the same on every worker and in every folder."""
    names = [str(metadata.get("dataset", "")), PurePath(metadata.get("filename", "")).name]
    words = [*names, metadata.get("entrystart", 0), metadata.get("entrystop", 0)]
    identity = hashlib.sha256("|".join(map(str, words)).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(identity, dtype=np.uint32).tolist()])


def in_order(out: dict[str, Any]) -> dict[str, Any]:
    ordered: dict[str, Any] = {
        k: {name: sort_categories(h) for name, h in out[k].items()} for k in ("histograms", "scores")
    }
    if "detector" in out:
        ordered["detector"] = {**out["detector"], "scores": sort_categories(out["detector"]["scores"])}
    return {**out, **ordered}


def warn_of_network(remarks: Mapping[str, int]) -> None:
    """Tell the most frequent remark of the chunks."""
    if remarks:
        said = max(sorted(remarks), key=remarks.__getitem__)
        warnings.warn(f"{said} (said of {sum(remarks.values())} chunks)", NetworkWarning, stacklevel=3)


def warn_of_small_chunks(constrained: Mapping[str, Mapping[str, int]]) -> None:
    counts = [n for chunks in constrained.values() for n in chunks.values()]
    small = [n for n in counts if n < N_EVENTS_PER_CHUNK]
    if small:
        warnings.warn(
            f"{len(small)} of {len(counts)} chunks have fewer than {N_EVENTS_PER_CHUNK} constrained events (smallest "
            f"{min(small)}): their attack is weaker than that of all events; raise chunksize or use scope='dataset'",
            LowStatisticsWarning,
            stacklevel=3,
        )
