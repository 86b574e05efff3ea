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

from hepfool._shown import Displayed, Shown
from hepfool.attacks.base import FoolingCounts
from hepfool.io._versions import installed_versions
from hepfool.statistics._checks import STANDARD_CHECKS, DetectionTable
from hepfool.statistics._comparisons import Figure, Validated
from hepfool.statistics._compatibility import Compatibility
from hepfool.summary._evidence import Evidence
from hepfool.summary._verdict import Verdict
from hepfool.sums import AttackSums
from hepfool.worst_case._caps import CAP_NAMES

if TYPE_CHECKING:  # which loads PyTorch
    from hepfool.defences._detector import DetectorReport


Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Summary(Displayed):
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
        Fooling ratio in all, per dataset and per region, each with its counts, and what exchanges of events of opposite class allow.
    compatibility : list
        Distances with their sampling floors, per compared region.
    systematics : mapping
        Every variation, their total, and the attack in the same units.
    detector : mapping, optional
        Report of the detector.
    verdict : mapping
        Decision, of each signal region too, reasons, criteria, and how it depends on the thresholds.
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
    observed : mapping, optional
        Data against nominal and attacked simulation, and their flagged fractions; None without data.
    robustness : mapping, optional
        The same study with one thing changed at a time, see :func:`hepfool.summary.robustness_record`.
    about : mapping, optional
        For the head of a report: analysis, author, date and network; None where nobody said.
    worst_case : mapping, optional
        How much any deviation can do, what carries it and what data allow, see :func:`hepfool.summary.worst_case_record`.
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
    worst_case: Json | None = None
    observed: Json | None = None
    robustness: Json | None = None
    about: Json | None = None
    format: str = "hepfool-summary"
    format_version: int = 1

    def _shown(self) -> Shown:
        effects = self.systematics
        numbers = {
            "fooling ratio": effects["attack"]["flips"],
            "not flagged by the detector": effects["remaining"]["flips"] if self.detector else None,
            "by an attack that knows the detector": (effects["adaptive"] or {}).get("flips"),
            "flipped by the physics systematics": (effects["total"] or {}).get("flips"),
        }
        events = self.events
        return Shown(
            f"{self.verdict['decision']}: {self.verdict['meaning']}",
            ("fraction of the attacked events", "value", "error"),
            [(name, _rounded(n["value"]), _rounded(n["error"])) for name, n in numbers.items() if n],
            (
                f"attacked {events['n_attacked']} of {events['n_events']} events, fooled {events['n_fooled']}",
                *self.verdict["reasons"],
            ),
        )

    def to_json(self) -> str:
        """
        Write the summary as text.

        Returns
        -------
        str
            Indented JSON; numbers that do not exist are ``null``.
        """
        return json.dumps({f.name: getattr(self, f.name) for f in fields(self)}, indent=2, allow_nan=False) + "\n"


def _rounded(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def summarise(
    sums: AttackSums,
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
    sums : AttackSums
        Of the attack, from ``AttackResult.sums`` or a processor.
    evidence : Evidence
        Effects that the verdict rests on.
    verdict : Verdict
        From :func:`hepfool.summary.decide`.
    detector : DetectorReport, optional
        What the detector does on these events; by default what the sums say of it.
    detection : DetectionTable, optional
        From :func:`hepfool.statistics.run_checks`.
    seed : int, optional
        Seed of the random generator.
    """
    constrained = [name for name, role in sums.facts["regions"] if role != "signal"]
    detector = detector_report(sums) if detector is None else detector
    return Summary(
        versions=dict(installed_versions()),
        provenance=_provenance(sums, seed),
        events=_events(sums),
        fooling=_fooling(sums, evidence),
        compatibility=[
            _compatibility(c) for c in (evidence.compatibility, *(sums.compatibility(name) for name in constrained))
        ],
        systematics=_systematics(evidence),
        detector=None if detector is None else plain_values(detector),
        verdict=_verdict(verdict),
        detection=None if detection is None else detection_record(detection),
        validation=_validation(sums.validated) if "not_compared" in sums.facts else None,
        observed=_observed(evidence) if evidence.observed or evidence.fractions else None,
    )


def detector_report(sums: AttackSums) -> DetectorReport | None:
    """Judge the detector by the events that it scored beside the attack."""
    if "detector_threshold" not in sums.facts:
        return None
    from hepfool.defences._detector import DetectorReport  # noqa: PLC0415 - which loads PyTorch

    def kept(**of: str) -> float:
        flagged, events = (sums.count(name, variation="nominal", **of) for name in ("flagged", "events"))
        return 1.0 - flagged.of(events).value

    attacked, fooled, remaining = (sums.count(name) for name in ("attacked", "fooled", "unflagged"))
    caught, hit = sums.count("flagged attacked"), sums.count("flagged fooled")
    missed = attacked.weight - fooled.weight
    corrected = remaining.of(attacked)
    labels = [label for label in sums.names("count", "label", variation="nominal") if int(label) >= 0]
    return DetectorReport(
        n_clean=sums.count("events", variation="nominal").n,
        n_attacked=attacked.n,
        n_fooled=fooled.n,
        n_fooled_unflagged=remaining.n,
        threshold=sums.facts["detector_threshold"],
        clean_efficiency=kept(),
        clean_efficiency_by_class={int(label): kept(label=label) for label in labels},
        efficiency_fooled=hit.of(fooled).value,
        efficiency_unfooled=(caught.weight - hit.weight) / missed if attacked.n > fooled.n and missed else math.nan,
        efficiency_adversarial=caught.of(attacked).value,
        fooling_ratio=sums.fooling_ratio,
        corrected_fooling_ratio=corrected.value,
        corrected_fooling_ratio_error=corrected.error,
        product_fooling_ratio=sums.fooling_ratio * (1.0 - caught.of(attacked).value),
        auroc=sums.separation,
    )


def _provenance(sums: AttackSums, seed: int | None) -> Json:
    record: Json = plain_values(
        {
            "attack": sums.facts["attack"],
            **(sums.provenance or {}),
            "caps": {name: sums.caps[name] for name in CAP_NAMES if name in sums.caps},
            "seed": seed,
            "classifier": sums.facts["classifier"],
            "input": dict(sums.metadata or {}),
            "features": list(sums.features),
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


def _events(sums: AttackSums) -> Json:
    record: Json = plain_values(
        {
            "n_events": sums.count("events").n,
            "n_constrained": sums.count("events", region="constrained").n,
            "n_attacked": sums.count("attacked").n,
            "n_moved": sums.count("moved").n,
            "n_fooled": sums.count("fooled").n,
            "n_helpers": sums.count("helpers").n,
            "weight_helpers": sums.count("helpers").weight,
            "not_attacked": sums.left_out,
            "accuracy": sums.accuracy,
            "auroc": sums.auroc,
            "iterations_done": sums.iterations_done,
            "interrupted": sums.interrupted,
            "converged": sums.converged,
        }
    )
    return record


def _fooling(sums: AttackSums, evidence: Evidence) -> Json:
    record: Json = plain_values(
        {
            "fooling_ratio": evidence.attack.flips,
            "datasets": {name: _counts(sums.counts(dataset=name)) for name in sums.attacked_datasets},
            "regions": {name: _counts(sums.counts(name)) for name, _ in sums.facts["regions"]},
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
            "adaptive": None if evidence.adaptive is None else evidence.adaptive.remaining,
            "excess": evidence.excess,
            "correlations": [{"sources": pair, "coefficient": value} for pair, value in evidence.correlations.items()],
        }
    )
    return record


def _observed(evidence: Evidence) -> Json:
    record: Json = plain_values({"checks": evidence.observed, "flagged_fractions": evidence.fractions})
    return record


def detection_record(table: DetectionTable) -> Json:
    """
    Turn the checks into plain values.

    Parameters
    ----------
    table : DetectionTable
        From :func:`hepfool.statistics.run_checks`.

    Returns
    -------
    dict
        Level, all rows, the strongest standard one, and all standard checks together.
    """
    rows = [{**plain_values(row), "title": row.title} for row in table.rows]
    standard = [row for row in rows if row["check"] in STANDARD_CHECKS]
    combined = None if table.combined is None else plain_values(table.combined)
    return {
        "level": table.level,
        "combined": combined,
        "strongest_standard": standard[0] if standard else None,
        "rows": rows,
        "notes": list(table.notes),
    }


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
            "regions": [
                {
                    "region": one.region,
                    "decision": one.decision,
                    "size_flips": one.size_flips,
                    "size_yield": one.size_yield,
                }
                for one in verdict.regions
            ],
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
    """Turn records, arrays and numbers into what JSON knows."""
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
