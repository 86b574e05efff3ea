# SPDX-License-Identifier: BSD-3-Clause
"""The tables of a report, the same in every form of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hepfool.inference._impact import CONSTRAINED
from hepfool.inference._templates import LOWER_LIMIT
from hepfool.report._cells import Section, furthest_moved, goodness, interval, measured, number
from hepfool.report._detection import detection_section, observed_section
from hepfool.report._on_demand import frontier_section, robustness_section, spread_sections
from hepfool.report._validated import validated_in_words, validated_section
from hepfool.report._worst_case import worst_case_in_words, worst_case_sections
from hepfool.summary import Summary

#: Pulls that the sentence on the fit names.
_MAX_PULLS = 3

_FOOLING_NOTE = "Attacked events are those that the network had classified correctly, unless another target is stated."
_COMPOSITION_NOTE = (
    "By exchange: the fooling ratio if events of opposite class swap all values, which no comparison of whole data sets can see. "
    "At most: the upper limit while the score distribution is kept; events whose score is not compared count as fooled."
)
_EXCHANGING = "Exchanging events of opposite class, which no comparison of whole data sets can see"
_COMPATIBILITY_NOTE = (
    "Distances between the same events before and after the attack. The floor is what two independent samples of "
    "this size typically show: a smaller distance is not significant in these bins. The floor of the distance is that of the "
    "input that moved furthest."
)
_EFFECTS_NOTE = "All are the same quantities, measured on the same events."
_FOREIGN_NOTE = " Yield shifts from given histograms are those of other events, and have no flip fraction."
_DETECTOR_NOTE = "The detector separates attacked from nominal events; it was trained on independent events."
_DETECTOR_ROWS = {
    "n_clean": "nominal events",
    "n_attacked": "attacked events",
    "n_fooled": "fooled events",
    "n_fooled_unflagged": "fooled events that are not flagged",
    "threshold": "score above which an event is flagged",
    "clean_efficiency": "fraction of nominal events that is not flagged",
    "clean_efficiency_by_class": "the same by true class",
    "efficiency_fooled": "fraction of fooled events that is flagged",
    "efficiency_unfooled": "fraction flagged of events that were attacked without success",
    "efficiency_adversarial": "fraction of all attacked events that is flagged",
    "corrected_fooling_ratio_error": "its error",
    "product_fooling_ratio": "fooling ratio times unflagged fraction, as if independent",
    "auroc": "area under the ROC curve, nominal against fooled",
}
_SIZE_NOTE = "In quadrature with the assigned systematics these sizes cover the shift by the attack."
_CRITERIA_NOTE = "The verdict is based on the decisive criteria; the others are for information."


def opening(summary: Summary) -> str:
    """Summary of what was attacked, and the performance of the network before."""
    events = summary.events
    quality = {"accuracy": events.get("accuracy"), "AUROC": events.get("auroc")}
    shown = ", ".join(f"{name} {value:.3f}" for name, value in quality.items() if value is not None)
    sentence = f"Attacked {events['n_attacked']} of {events['n_events']} events"
    if shown:
        sentence += f"; the network before the attack: {shown}"
    if events.get("n_moved") == 0:
        sentence += ". No event could be moved, so the fooling ratio says nothing about the network"
    compared = validated_in_words(summary.validation)
    said = [f"{sentence}.", *_beside(events), *_convergence(events), compared, *composition_in_words(summary)]
    said += [] if summary.worst_case is None else worst_case_in_words(summary.worst_case)
    said += [] if summary.impact is None else fit_in_words(summary.impact)
    return " ".join(text for text in said if text)


def _beside(events: Mapping[str, Any]) -> list[str]:
    """Events that moved without being attacked, and events left out."""
    said = []
    if events.get("n_helpers"):
        said.append(
            f"{events['n_helpers']} misclassified events of weight {events['weight_helpers']:.4g} moved as well, to compensate "
            "others; they do not enter the fooling ratio."
        )
    parts = [
        f"{p['name']} ({p['n_events']} events of weight {p['weight']:.4g})" for p in events.get("not_attacked", ())
    ]
    if parts:
        said.append(f"Not attacked, because their weights do not sum to a positive yield: {'; '.join(parts)}.")
    return said


def _convergence(events: Mapping[str, Any]) -> list[str]:
    """Whether the search converged, if it was to."""
    converged, done = events.get("converged"), events["iterations_done"]
    if converged is None or events["interrupted"]:
        return []
    if converged:
        return [f"The search converged: its last iterations, of {done}, gained less than the statistical error."]
    return [f"The search had not converged after {done} iterations, so a longer search would probably find more."]


def composition_in_words(summary: Summary) -> list[str]:
    """Fooling ratio that exchanges of events allow."""
    if not summary.fooling.get("compositions"):
        return []
    found = summary.fooling["compositions"][0]
    parts: list[str] = []
    exchange, limit = found["exchange"], found["limit"]
    if exchange > found["fooling_ratio"]:
        parts.append(f"{_EXCHANGING}, alone gives a fooling ratio of {exchange:.3f}, more than the search found")
    elif exchange > 0.0:
        by = f"{_EXCHANGING[0].lower()}{_EXCHANGING[1:]}"
        parts.append(f"Of the fooling ratio of {found['fooling_ratio']:.3f}, {exchange:.3f} is reached by {by} alone")
    if limit is not None and limit < 1.0:
        kept = f"with the score kept within a distance of {found['cap']:.3g}, no more than {limit:.3f} is possible"
        parts.append(kept if parts else f"W{kept[1:]}")
    return [f"{'; '.join(parts)}."] if parts else []


def sections(summary: Summary) -> list[Section]:
    """Collect the tables of a report, once for every way to show them."""
    found = [_fooling(summary), *(() if summary.worst_case is None else worst_case_sections(summary.worst_case))]
    if summary.validation is not None:
        found.append(validated_section(summary.validation))
    found.append(_compatibility(summary))
    if summary.detection is not None:
        found.append(detection_section(summary.detection))
    if summary.observed is not None:
        found.append(observed_section(summary.observed))
    if summary.frontier is not None:
        found.append(frontier_section(summary.frontier))
    found.append(_effects(summary))
    if summary.spread is not None:
        found += spread_sections(summary.spread)
    if summary.impact is not None:
        found.append(_impact(summary.impact))
    if summary.detector is not None:
        rows = [(_DETECTOR_ROWS.get(name, name.replace("_", " ")), _text(v)) for name, v in summary.detector.items()]
        found.append(Section("Detector", ("quantity", "value"), [row for row in rows if row[1]], _DETECTOR_NOTE))
    if summary.verdict["decision"] == "ASSIGN":
        regions = summary.verdict["regions"]
        sizes = [(one["region"], number(one["size_flips"]), number(one["size_yield"])) for one in regions]
        found.append(Section("Size to assign", ("region", "flip fraction", "yield"), sizes, _SIZE_NOTE))
    if summary.robustness is not None:
        found.append(robustness_section(summary))
    criteria = [
        (c["status"], c["sentence"] + ("" if c["decisive"] else " (informs)"), c["numbers"])
        for c in summary.verdict["criteria"]
    ]
    note = f"{_CRITERIA_NOTE} {summary.verdict['stability']}"
    return [*found, Section("Criteria", ("status", "criterion", "numbers"), criteria, note)]


def _fooling(summary: Summary) -> Section:
    everything = (
        "all",
        str(summary.events["n_attacked"]),
        str(summary.events["n_fooled"]),
        measured(summary.fooling["fooling_ratio"]),
    )
    rows = [everything]
    # A single dataset says no more than the row of all events.
    kinds = ("datasets", "regions") if len(summary.fooling["datasets"]) > 1 else ("regions",)
    for kind in kinds:
        for name, counts in summary.fooling[kind].items():
            shown = str(counts["n_attacked"]), str(counts["n_fooled"]), number(counts["fooling_ratio"])
            rows.append((f"{kind[:-1]} {name}", *shown))
    header = ("events", "attacked", "fooled", "fooling ratio")
    found = summary.fooling.get("compositions")
    if not found:
        return Section("Fooling", header, rows, _FOOLING_NOTE)
    bounds = {"all": found[0], **{f"region {c['name']}": c for c in found[1:]}}
    unknown = {"exchange": None, "limit": None}
    more = [(number(c["exchange"]), number(c["limit"])) for c in (bounds.get(row[0], unknown) for row in rows)]
    joined = [(*row, *two) for row, two in zip(rows, more, strict=True)]
    reasons = dict.fromkeys(c["reason"] for c in found if c["reason"])
    note = " ".join([_FOOLING_NOTE, _COMPOSITION_NOTE, *(f"No limit is given where {reason}." for reason in reasons)])
    return Section("Fooling", (*header, "by exchange", "at most"), joined, note)


def _compatibility(summary: Summary) -> Section:
    rows = [
        (
            region["region"],
            str(region["n_events"]),
            number(region["mean_js_distance"]),
            number(region["max_js_distance"]),
            number(furthest_moved(region)[2]),
            number(region["correlation_shift"]),
            number(region["correlation_floor"]),
        )
        for region in summary.compatibility
    ]
    header = ("region", "events", "mean JSD", "max JSD", "its floor", "correlation shift", "its floor")
    return Section("What the validation would see", header, rows, _COMPATIBILITY_NOTE)


def _effects(summary: Summary) -> Section:
    systematics = summary.systematics
    attack, remaining = systematics["attack"], systematics["remaining"]
    rows = [attack, *([] if remaining == attack else [{**remaining, "name": f"{remaining['name']}, not flagged"}])]
    if systematics.get("adaptive") is not None:
        name = systematics["adaptive"]["name"]
        rows.append({**systematics["adaptive"], "name": f"{name} that knows the detector, not flagged"})
    rows += systematics["effects"]
    if systematics["total"] is not None:
        name = "systematics with their correlations" if systematics.get("correlations") else "systematics in quadrature"
        rows.append({**systematics["total"], "name": name})
        rows.append(_envelope(systematics["total"]))
    if systematics.get("excess") is not None:
        rows.append({**systematics["excess"], "name": "excess of the attack over the systematics"})
    regions = tuple(attack["yield_shift"])
    shown = [
        (
            row["name"],
            measured(row["flips"]),
            *(measured(row["yield_shift"].get(region)) for region in regions),
        )
        for row in rows
    ]
    header = ("source", "flip fraction", *(f"yield shift, {region}" for region in regions))
    foreign = any(row["kind"] == "yield" for row in systematics["effects"])
    note = _EFFECTS_NOTE + (_FOREIGN_NOTE if foreign else "")
    return Section("Attack and physics systematics", header, shown, f"{note} {LOWER_LIMIT}")


def _envelope(added: Mapping[str, Any]) -> dict[str, Any]:
    """Largest single variation, which has no error of its own."""
    return {
        "name": "largest systematic",
        "flips": {"value": added["flips_envelope"], "error": None},
        "yield_shift": {region: {"value": v, "error": None} for region, v in added["yield_envelope"].items()},
    }


def _impact(impact: Mapping[str, Any]) -> Section:
    bias = impact["bias"]
    rows = [
        ("uncertainty without the attack", interval(impact["before"])),
        ("uncertainty with the attack", interval(impact["after"])),
        ("relative increase", number(impact["increase"])),
        ("added in quadrature", number(impact["added"])),
        ("bias: data follow the attack, the model does not", f"{number(bias['shift'])}, {number(bias['n_sigma'])} σ"),
        ("goodness of that fit", goodness(bias)),
    ]
    n_ranked = len(impact["ranking"])
    for place, entry in enumerate(impact["ranking"], start=1):
        if entry["adversarial"]:
            shift = f"{number(entry['down'])} with the parameter down, {number(entry['up'])} up"
            rows.append((f"{entry['name']}, rank {place} of {n_ranked} nuisance parameters", shift))
            rows.append(
                (
                    f"{entry['name']}, post-fit uncertainty",
                    f"{interval(entry['interval'])}, pre-fit {number(entry['prior'])}",
                )
            )
    return Section("Expected uncertainty and bias of the fit", ("", impact["parameter"]), rows, impact["statement"])


def fit_in_words(impact: Mapping[str, Any]) -> list[str]:
    """Bias without the attack in the model, whether the fit would notice it, and how much the fit learns of the attack."""
    bias, parameter = impact["bias"], impact["parameter"]
    said = f"Data that follow the attack, fitted without it, shift {parameter} by {number(bias['shift'])}"
    if bias["n_sigma"] is not None:
        said += f", {abs(bias['n_sigma']):.2f} of its expected uncertainty"
    if bias["power"] is None:
        said += "; no bin is left for a test of the goodness of fit"
    else:
        said += f"; the goodness of fit rejects them at the level 0.05 with a probability of {bias['power']:.2f}"
    pulls = sorted(bias["pulls"].items(), key=lambda item: -abs(item[1] or 0.0))[:_MAX_PULLS]
    if pulls:
        said += f"; the largest pulls are {', '.join(f'{name} {pull or 0.0:+.2f}' for name, pull in pulls)}"
    return [f"{said}."] + [
        f"The fit constrains {e['name']} to {e['constraint']:.2f} of its pre-fit uncertainty, so that the uncertainty with the "
        "attack is that of an attack of exactly this shape."
        for e in impact["ranking"]
        if e["adversarial"] and e["constraint"] is not None and e["constraint"] < CONSTRAINED
    ]


def _text(value: Any) -> str:
    """Show a short value of a detector's report, and nothing for arrays."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, float):
        return number(value)
    return str(value) if isinstance(value, str | int) else ""
