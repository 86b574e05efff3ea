# SPDX-License-Identifier: BSD-3-Clause
"""Attack the events of one chunk and sum what merges with other chunks."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from hepfool.attacks.base import Attack, AttackResult
from hepfool.attacks.checks import in_parts, meant_events
from hepfool.attacks.problem import validation_of
from hepfool.attacks.result import warn_of_ratio
from hepfool.events import UNLABELLED, EventTable
from hepfool.exceptions import DominantEventWarning, LowStatisticsWarning, NetworkWarning
from hepfool.models.probe import check_names, check_network, check_scores
from hepfool.models.protocols import Classifier, inputs_of
from hepfool.processors.collected import without_blinded
from hepfool.processors.plan import AttackPlan
from hepfool.statistics.marginals import Binning
from hepfool.statistics.weights import unusable_sums
from hepfool.sums import AttackSums, data_sums
from hepfool.sums.fill import untouched

#: Constrained events below which a chunk's attack is much weaker than that of all events.
N_EVENTS_PER_CHUNK = 20_000


#: Why events of some regions or processes are not attacked.
_UNCOMPARABLE = "the weights of their region or process do not sum to a positive number, or leave no positive variance"


class NotAttacked(NamedTuple):
    """Events of one chunk that the target means and that were left as they are."""

    reason: str = ""  # without numbers, so that chunks can be counted by it
    n_events: int = 0

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Events and chunks by reason, to be merged with those of other chunks."""
        return {self.reason: {"n_events": self.n_events, "n_chunks": 1}} if self.n_events else {}


class ChunkOutcome(NamedTuple):
    """What an attack did to the events of one chunk."""

    result: AttackResult
    missed: NotAttacked = NotAttacked()


def attack_chunk(plan: AttackPlan, table: EventTable, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Attack the selected events of one chunk, and sum up what merges with other chunks."""
    kept = without_blinded(table, unblind=plan.unblind)
    data = kept.labels == UNLABELLED
    parts, missed = [], NotAttacked()
    if data.any() or not kept.n_events:
        parts.append(sums_of_data(plan, kept.select(data)))
    constrained: dict[str, Any] = {}
    remarks: dict[str, int] = {}
    if not data.all():
        simulated = kept.select(~data)
        remarks = dict.fromkeys(network_remarks(plan.classifier, simulated), 1)
        outcome = attack_what_can_be(plan, simulated, chunk_rng(plan.seed, metadata))
        missed = outcome.missed
        parts.append(outcome.result.sums(plan.classifier, detector=plan.detector))
        chunk = f"{PurePath(metadata.get('filename', '')).name}:{metadata.get('entrystart', 0)}"
        constrained = {
            name: {chunk: int((simulated.constrained & simulated.dataset_mask(name)).sum())}
            for name in simulated.datasets
        }
    counts = {"constrained": constrained, "not_attacked": missed.as_dict(), "remarks": remarks}
    return {"sums": sum(parts[1:], parts[0]), **bookkeeping(table, metadata), **counts}


def network_remarks(classifier: Classifier, table: EventTable) -> tuple[str, ...]:
    """Check the network once for all chunks."""
    check_names(classifier, table.features.names)
    values = inputs_of(classifier, table)
    scores, classes = classifier.scores(values), classifier.predict(values)
    check_scores(scores, table.n_events, classifier)
    return check_network(classifier, values, table.labels, scores, classes)


def attack_what_can_be(plan: AttackPlan, table: EventTable, rng: np.random.Generator) -> ChunkOutcome:
    """
    Attack labelled events unless their sums of weights are unusable, see :func:`~hepfool.statistics.weights.unusable_sums`.

    Nothing moves then, no event counts as attacked, and the outcome says why.
    """
    attacked = meant_events(plan.target, table, plan.classifier.predict(inputs_of(plan.classifier, table)))
    reason = unusable_sums(table, binning_of(plan), attacked) if attacked.any() else None
    reason = reason or _refused(plan, table)
    validation = validation_of(plan.attack)
    out = attacked & in_parts(table, [] if validation is None else validation.unusable(table))
    reason = reason or (_UNCOMPARABLE if attacked.any() and (out == attacked).all() else None)
    if reason is not None or not attacked.any():
        missed = NotAttacked() if reason is None else NotAttacked(reason, int(attacked.sum()))
        return ChunkOutcome(untouched(table, plan.classifier, plan.attack, binning_of(plan)), missed)
    populated = replace(table, regions=tuple(r for r in table.regions if r.mask.any()))
    with warnings.catch_warnings():
        # Said once for all chunks; and of a few events there is always one that dominates.
        for said_once in (LowStatisticsWarning, NetworkWarning, DominantEventWarning):
            warnings.simplefilter("ignore", said_once)
        result = plan.attacked(populated, rng=rng, target=attacked)
    moved = table.with_values(result.adversarial.values)
    missed = NotAttacked(_UNCOMPARABLE, int(out.sum()))
    return ChunkOutcome(replace(result, nominal=table, adversarial=moved), missed)


def sums_of_data(plan: AttackPlan, table: EventTable) -> AttackSums:
    """Sum up data, from which blinded events were taken before."""
    return data_sums(table, plan.classifier, binning_of(plan), detector=plan.detector, unblind=True)


def _refused(plan: AttackPlan, table: EventTable) -> str | None:
    """Say why the events give no bins or caps to what the attack has to keep."""
    kept = validation_of(plan.attack)
    if kept is None or not table.constrained.any():
        return None
    try:
        # The bins and caps of the score follow from any events.
        list(replace(kept, score=None).comparisons(table, table, binning=plan.binning))
    except ValueError:
        return "no bins or caps of the validation follow from so few events"
    return None


def binning_of(plan: AttackPlan) -> Binning:
    """Return the bins that all chunks share."""
    if plan.binning is None:
        msg = (
            "chunks need the binning of all events, or they could not be merged; "
            "run RangeProcessor(analysis) first and pass binning=out['ranges'].binning(attack.n_bins)"
        )
        raise ValueError(msg)
    return plan.binning


def attack_table(
    table: EventTable,
    classifier: Classifier,
    attack: Attack,
    *,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """
    Attack the events of one chunk, inside an existing ``process``.

    Parameters
    ----------
    table : EventTable
        Selected events of the chunk.
    attack : Attack
        Which attack, with its hyper-parameters.
    metadata : mapping, optional
        ``events.metadata``: gives the chunk's own random numbers and counts what was read.
    **options
        Of :class:`~hepfool.processors.plan.AttackPlan`, with the ``binning`` that all chunks share.

    Returns
    -------
    dict
        To be put into your own output under a key of your choice; coffea merges it.  ``sums`` are the
        :class:`~hepfool.sums.AttackSums`, of which :func:`hepfool.study.judged` makes a report; ``not_attacked`` counts
        events and chunks that could not be attacked, by reason.

    Warns
    -----
    LowStatisticsWarning
        If the chunk has few constrained events, as the attack is then weak, or too few to be attacked at all.
    NetworkWarning
        If the network is probably not what it is said to be.
    """
    out = attack_chunk(AttackPlan(classifier, attack, **options), table, metadata or {})
    warn_of_small_chunks(out["constrained"])
    warn_of_network(out["remarks"])
    warn_of_unattacked(out)
    return out


def bookkeeping(table: EventTable, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Count selected and read events by dataset and file."""
    if "filename" not in metadata:
        return {"n_events": {}, "processed": {}}
    dataset, file = str(metadata["dataset"]), str(metadata["filename"])
    read = int(metadata["entrystop"]) - int(metadata["entrystart"])
    return {"n_events": {dataset: {file: table.n_events}}, "processed": {dataset: {file: read}}}


def finished_in_place(accumulator: dict[str, Any], out: Mapping[str, Any]) -> dict[str, Any]:
    """Put what ``postprocess`` returns into the accumulator: coffea before 2025.10 gives its caller nothing else."""
    accumulator.clear()
    accumulator.update(out)
    return accumulator


def chunk_rng(seed: int, metadata: Mapping[str, Any]) -> np.random.Generator:
    """Random numbers of a chunk, the same on every worker and in every folder."""
    names = [str(metadata.get("dataset", "")), PurePath(metadata.get("filename", "")).name]
    words = [*names, metadata.get("entrystart", 0), metadata.get("entrystop", 0)]
    identity = hashlib.sha256("|".join(map(str, words)).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(identity, dtype=np.uint32).tolist()])


def warn_of_network(remarks: Mapping[str, int]) -> None:
    """Warn with the most frequent remark of the chunks."""
    if remarks:
        said = max(sorted(remarks), key=remarks.__getitem__)
        warnings.warn(f"{said} (said of {sum(remarks.values())} chunks)", NetworkWarning, stacklevel=3)


def warn_of_small_chunks(constrained: Mapping[str, Mapping[str, int]]) -> None:
    """Warn of chunks with so few events that their attack is weak."""
    counts = [n for chunks in constrained.values() for n in chunks.values()]
    small = [n for n in counts if n < N_EVENTS_PER_CHUNK]
    if small:
        warnings.warn(
            f"{len(small)} of {len(counts)} chunks have fewer than {N_EVENTS_PER_CHUNK} constrained events (smallest "
            f"{min(small)}): their attack is weaker than that of all events; raise chunksize, or collect the events and attack all at once",
            LowStatisticsWarning,
            stacklevel=3,
        )


def warn_of_unattacked(
    out: Mapping[str, Any],
    *,
    what: str = "chunks",
    repair: str = "raise chunksize, or collect the events and attack all at once",
) -> None:
    """Say which events were left as they are, and of a fooling ratio outside [0, 1]."""
    for reason, counts in sorted(out["not_attacked"].items()):
        warnings.warn(
            f"{counts['n_events']} events in {counts['n_chunks']} {what} were not attacked: {reason}; they are at nominal and not "
            f"part of the fooling ratio; {repair}",
            LowStatisticsWarning,
            stacklevel=3,
        )
    warn_of_ratio(out["sums"].counts())
