# SPDX-License-Identifier: BSD-3-Clause
"""Everything that goes to ``summary.json``, as plain values."""

from __future__ import annotations

import importlib.resources
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hepfool.attacks.base import AttackResult, FoolingCounts
from hepfool.io.versions import installed_versions
from hepfool.statistics.checks import STANDARD_CHECKS, DetectionTable
from hepfool.statistics.comparisons import Figure, Validated
from hepfool.statistics.compatibility import Compatibility
from hepfool.summary.evidence import Evidence
from hepfool.summary.verdict import Verdict
from hepfool.worst_case.caps import attack_caps

if TYPE_CHECKING:  # which loads PyTorch
    from hepfool.defences.detector import DetectorReport

__all__ = ["Summary", "detection_record", "plain_values", "summarise", "summary_schema"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """
    A finished study in plain JSON types.

    Attributes
    ----------
    versions : mapping
        Versions of Python and of the packages that matter to the numbers.
    provenance : mapping
        Attack, seed, state of the random generator, digest of the network, input files.
    events : mapping
        Numbers of all, constrained, attacked, moved and fooled events; accuracy and area under the ROC curve of the
        network before the attack, with event weights by their size.
    fooling : mapping
        Fooling ratio in all, per dataset and per region, each with its counts, and what the classes of the events alone allow.
    compatibility : list
        Distances with their sampling floors, per compared region.
    systematics : mapping
        Every variation, their total, and the attack in the same units.
    detector : mapping, optional
        Report of the detector.
    verdict : mapping
        Decision, reasons, criteria, and how it depends on the thresholds.
    detection : mapping, optional
        Which check would have caught the attack.
    impact : mapping, optional
        What the attack costs in the statistical model, see :func:`hepfool.inference.impact_record`.
    frontier : mapping, optional
        The attack with tighter and looser caps, see :func:`hepfool.summary.frontier_record`.
    spread : mapping, optional
        The same study of repeated trainings, see :func:`hepfool.summary.spread_record`.
    validation : mapping, optional
        Every comparison that the attack had to pass, beside its cap; None for an attack that keeps nothing.
    format : str
        Marks the file.
    format_version : int
        Counts changes that a reader of the file has to know of.
    """

    versions: Json
    provenance: Json
    events: Json
    fooling: Json
    compatibility: list[Json]
    systematics: Json
    detector: Json | None
    verdict: Json
    detection: Json | None = None
    impact: Json | None = None
    frontier: Json | None = None
    spread: Json | None = None
    validation: Json | None = None
    format: str = "hepfool-summary"
    format_version: int = 1

    def to_json(self) -> str:
        """
        Write the summary as text.

        Returns
        -------
        str
            Indented JSON; numbers that do not exist are ``null``.
        """
        return json.dumps({f.name: getattr(self, f.name) for f in fields(self)}, indent=2, allow_nan=False) + "\n"


def summarise(
    result: AttackResult,
    evidence: Evidence,
    verdict: Verdict,
    *,
    detector: DetectorReport | None = None,
    detection: DetectionTable | None = None,
    seed: int | None = None,
) -> Summary:
    """
    Collect a finished study.

    Parameters
    ----------
    result : AttackResult
        The attack.
    evidence : Evidence
        Effects that the verdict rests on.
    verdict : Verdict
        From :func:`hepfool.summary.decide`.
    detector : DetectorReport, optional
        What the detector does on these events.
    detection : DetectionTable, optional
        From :func:`hepfool.statistics.checks.run_checks`.
    seed : int, optional
        Seed of the random generator.

    Returns
    -------
    Summary
        Plain values.
    """
    table = result.nominal
    constrained = [region.name for region in table.regions if region.constrained]
    return Summary(
        versions=dict(installed_versions()),
        provenance=_provenance(result, seed),
        events=_events(result),
        fooling=_fooling(result, evidence),
        compatibility=[
            _compatibility(c) for c in (result.compatibility, *(result.compare(name) for name in constrained))
        ],
        systematics=_systematics(evidence),
        detector=None if detector is None else plain_values(detector),
        verdict=_verdict(verdict),
        detection=None if detection is None else detection_record(detection),
        validation=None if result.validation is None else _validation(result.validated),
    )


def _provenance(result: AttackResult, seed: int | None) -> Json:
    table = result.nominal
    record: Json = plain_values(
        {
            **result.provenance,
            "caps": attack_caps(result.attack, result.validated),
            "seed": seed,
            "classifier": result.classifier_digest,
            "input": dict(table.metadata),
            "features": list(table.features.names),
        }
    )
    return record


def _validation(validated: Validated) -> Json:
    def rows(figures: Iterable[Figure]) -> list[Json]:
        return [{**plain_values(figure), "kept": figure.kept} for figure in figures]

    return {
        "figures": rows(validated.figures),
        "largest": rows(validated.largest()),
        "not_compared": list(validated.not_compared),
    }


def _events(result: AttackResult) -> Json:
    record: Json = plain_values(
        {
            "n_events": result.nominal.n_events,
            "n_constrained": int(result.nominal.constrained.sum()),
            "n_attacked": int(result.attacked.sum()),
            "n_moved": int(result.moved.sum()),
            "n_fooled": int(result.fooled.sum()),
            "n_helpers": int(result.helpers.sum()),
            "weight_helpers": float(result.nominal.weights[result.helpers].sum()),
            "not_attacked": result.not_attacked,
            "accuracy": result.accuracy,
            "auroc": result.auroc,
            "iterations_done": result.iterations_done,
            "interrupted": result.interrupted,
            "converged": result.converged,
        }
    )
    return record


def _fooling(result: AttackResult, evidence: Evidence) -> Json:
    table = result.nominal
    masks = {name: table.dataset_mask(name) for name in table.datasets}
    record: Json = plain_values(
        {
            "fooling_ratio": evidence.attack.flips,
            "datasets": {name: _counts(result.counts(mask)) for name, mask in masks.items() if mask.any()},
            "regions": {region.name: _counts(result.counts(region.mask)) for region in table.regions},
            "compositions": evidence.compositions,
        }
    )
    return record


def _systematics(evidence: Evidence) -> Json:
    record: Json = plain_values(
        {
            "effects": evidence.effects,
            "total": evidence.total,
            "attack": evidence.attack,
            "remaining": evidence.remaining,
            "adaptive": evidence.adaptive,
            "excess": evidence.excess,
            "correlations": [{"sources": pair, "coefficient": value} for pair, value in evidence.correlations.items()],
        }
    )
    return record


def detection_record(table: DetectionTable) -> Json:
    """
    Turn the checks into plain values.

    Parameters
    ----------
    table : DetectionTable
        From :func:`hepfool.statistics.checks.run_checks`.

    Returns
    -------
    dict
        Level, all rows, and the strongest one that an analysis looks at anyway.
    """
    rows = [{**plain_values(row), "title": row.title} for row in table.rows]
    standard = [row for row in rows if row["check"] in STANDARD_CHECKS]
    return {"level": table.level, "strongest_standard": standard[0] if standard else None, "rows": rows}


def summary_schema() -> Json:
    """
    Read the JSON schema of ``summary.json``.

    Returns
    -------
    dict
        Draft 2020-12.

    Examples
    --------
    >>> summary_schema()["title"]
    'Summary of an adversarial validation'
    """
    schema: Json = json.loads(
        importlib.resources.files("hepfool.summary").joinpath("summary.schema.json").read_text("utf-8")
    )
    return schema


def _counts(counts: FoolingCounts) -> Json:
    return {**asdict(counts), "fooling_ratio": counts.fooling_ratio}


def _compatibility(compared: Compatibility) -> Json:
    per_feature = zip(compared.features, compared.js_distance, compared.js_floor, strict=True)
    plain: Json = plain_values(
        {
            "region": compared.region,
            "n_events": compared.n_events,
            "n_effective": compared.n_effective,
            "max_js_distance": compared.max_js_distance,
            "mean_js_distance": compared.mean_js_distance,
            "features": {name: {"js_distance": d, "js_floor": floor} for name, d, floor in per_feature},
            "correlation_shift": compared.correlation_shift,
            "correlation_floor": compared.correlation_floor,
            "n_merged_bins": compared.n_merged_bins,
        }
    )
    return plain


def _verdict(verdict: Verdict) -> Json:
    plain: Json = plain_values(
        {
            "decision": verdict.decision,
            "meaning": verdict.meaning,
            "reasons": verdict.reasons,
            "stability": verdict.stability,
            "sensitivity": verdict.sensitivity,
            "adaptive": verdict.adaptive,
            "size_flips": verdict.size_flips,
            "size_yields": verdict.size_yields,
            "criteria": [
                {
                    "name": type(criterion).__name__,
                    "sentence": criterion.sentence,
                    "decisive": criterion.decisive,
                    "status": criterion.status,
                    "numbers": criterion.numbers,
                    "values": criterion,
                }
                for criterion in verdict.criteria
            ],
        }
    )
    return plain


def plain_values(value: Any) -> Any:
    """
    Turn records, arrays and numbers into what JSON knows.

    Parameters
    ----------
    value : object
        Records, mappings, sequences, arrays and numbers, in any depth.

    Returns
    -------
    object
        The same as dictionaries, lists and plain values; numbers that do not exist become None.

    Examples
    --------
    >>> plain_values({1: np.array([0.5, np.nan])})
    {'1': [0.5, None]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain_values(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain_values(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_values(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
