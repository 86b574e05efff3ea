# SPDX-License-Identifier: BSD-3-Clause
"""What a reader has to know of a study, in five answers: attacked, found, proved, covered, to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from hepfool.report._validated import NOT_COMPARED
from hepfool.report._words import flipping_sources
from hepfool.summary import Summary

#: So many inputs are named that carry an attack.
_CARRIERS: Final = 3
_LOWER: Final = "a search gives a lower limit of the worst case"
_TO_DO: Final = {
    "COVERED": "Nothing before approval: the assigned uncertainties cover a deviation of this kind.",
    "ASSIGN": "Add what the assigned uncertainties leave uncovered as an uncertainty.",
    "INCOMPLETE": "Provide what is missing, and repeat the study",
}


#: Of a decisive criterion that is not fulfilled.
_EXCESS: Final = "explain which events and inputs are behind the excess, add a check that would notice it, or make the network less sensitive"
_OPEN: Final = {
    "FoolingWithinSystematics": _EXCESS,
    "YieldsWithinSystematics": _EXCESS,
    "DetectorPrice": "choose a detector that flags less of the selected signal, or do without its flags",
    "FlaggedFractionsAgree": "find out why the detector flags other fractions of data and of simulation",
    "DataAgree": "find out why data and simulation disagree",
}


class Answer(NamedTuple):
    """One of the five."""

    question: str
    text: str


def answers(summary: Summary) -> tuple[Answer, ...]:
    """Say what was attacked, how much was found, what is proved, what the analysis covers, and what to do."""
    region = deciding_region(summary)
    parts = {
        "Attacked": _attacked(summary),
        "Found": _found(summary, region),
        "Proved": _proved(summary, region),
        "Covered": _covered(summary, region),
        "To do": _to_do(summary),
    }
    return tuple(Answer(question, " ".join(text)) for question, text in parts.items())


def deciding_region(summary: Summary) -> str:
    """Name the region whose decision is that of the whole, the one with the largest effect if there are several."""
    verdict, flips = summary.verdict, summary.systematics["remaining"].get("region_flips") or {}
    names = [one["region"] for one in verdict["regions"] if one["decision"] == verdict["decision"]]
    return str(max(names, key=lambda name: (flips.get(name) or {}).get("value") or 0.0))


def _attacked(summary: Summary) -> Iterator[str]:
    events = summary.events
    quality = [
        f"{name} {events[of]:.3f}"
        for name, of in (("accuracy", "accuracy"), ("AUROC", "auroc"))
        if events[of] is not None
    ]
    network = f"a network ({', '.join(quality)})" if quality else "a network"
    yield f"{events['n_attacked']} of {events['n_events']} simulated events of {network}."
    if events.get("n_moved") == 0:
        yield "No event could be moved, so the fooling ratio says nothing about the network."
    if summary.validation is None or not summary.validation["figures"]:
        yield "No comparison with data limited the search."
        return
    figures = summary.validation["figures"]
    kept = list(dict.fromkeys(row["comparison"] for row in figures if row["cap"] is not None))
    parts = list(dict.fromkeys(row["part"] for row in figures))
    where = "all of these events together" if parts == ["constrained"] else _listed([_plain(part) for part in parts])
    if kept:
        yield f"Where data are compared ({where}), the search had to keep {_listed(kept)}."
    yield from (
        f"{text[0].upper()}{text[1:]}." for text in (NOT_COMPARED[n] for n in summary.validation["not_compared"])
    )


def _found(summary: Summary, region: str) -> Iterator[str]:
    systematics, events = summary.systematics, summary.events
    attack, remaining, adaptive = (_flips(systematics.get(of), region) for of in ("attack", "remaining", "adaptive"))
    of = "" if region == "all_events" else f" in {_plain(region)}"
    said = f"At least {_percent(attack)} of the attacked events{of} change class"
    if systematics["remaining"] != systematics["attack"]:
        said += f"; {_percent(remaining)} are not flagged by the detector"
    if systematics.get("adaptive") is not None:
        said += f", {_percent(adaptive)} if the attack knows the detector"
    yield f"{said}."
    if events["interrupted"]:
        yield f"The attack was interrupted after {events['iterations_done']} iterations."
    elif events.get("converged") is False:
        yield "The search had not converged: a longer one would probably find more."


def _proved(summary: Summary, region: str) -> Iterator[str]:
    record = summary.worst_case or {"ladders": [], "allowed": []}
    shown = False
    for ladder in record["ladders"]:
        free = next((rung["fooling"] for rung in ladder["rungs"] if rung["freedom"] == "inputs"), {"proved": None})
        if free["proved"] is None:
            continue
        yield f"No more than {free['proved']:.1%} of the attacked events of {_plain(ladder['events'])} can change class while each input stays within its uncertainty."
        shown = True
    known = [c for c in summary.fooling.get("compositions") or () if c["limit"] is not None]
    limits = {c["name"]: c["limit"] for c in known if c["limit"] < 1.0}
    named = next((name for name in (region, "all") if name in limits), None)
    if not shown and named is not None:
        of = "all attacked events" if named == "all" else f"the attacked events of {_plain(named)}"
        yield f"No more than {limits[named]:.1%} of {of} can change class while the score is kept within its cap."
        shown = True
    for one in record["allowed"]:
        if one["limit"] is not None and one["limit"] < 1.0:
            yield f"Data of {_listed([_plain(name) for name in one['regions']])} allow at most {one['limit']:.0%} of the attack ({one['level']:.0%} CLs)."
    if not shown:
        yield f"No upper limit: {_LOWER}."


def _covered(summary: Summary, region: str) -> Iterator[str]:
    systematics = summary.systematics
    added, left = _flips(systematics["total"], region), _flips(systematics["remaining"], region)
    sources = [name.replace("_", " ") for name in flipping_sources(systematics)]
    if not sources:
        yield "No physics systematic that moves inputs was given."
    else:
        of = "" if region == "all_events" else f" in {_plain(region)}"
        said = f"The assigned systematics ({_listed(sources)}) change the class of {_percent(added)} of the same events{of}"
        if left and added and left["value"] and added["value"] is not None:
            said += f": {added['value'] / left['value']:.0%} of what is left of the attack"
        yield f"{said}."
    shift, own = (_shift(systematics[of], region) for of in ("remaining", "total"))
    if shift is not None:
        assigned = "" if own is None else f", the systematics by {abs(own):.1%}"
        yield f"The selected yield shifts by {abs(shift):.1%} under the attack{assigned}."


def _to_do(summary: Summary) -> Iterator[str]:
    verdict = summary.verdict
    if verdict["decision"] == "INCOMPLETE":
        lacking = verdict["meaning"].partition("; give ")[2]
        yield f"{_TO_DO['INCOMPLETE']}{': ' + lacking if lacking else ''}."
        return
    if verdict["decision"] == "INVESTIGATE":
        yield f"Before approval: {'; '.join(_steps(verdict['criteria']))}."
    else:
        yield _TO_DO[verdict["decision"]]
    if verdict["decision"] == "ASSIGN":
        for one in verdict["regions"]:
            sizes = [
                f"{one[of]:.1%} {what}"
                for of, what in (("size_flips", "of the events"), ("size_yield", "of the selected yield"))
                if one[of]
            ]
            if sizes:
                yield f"{_plain(one['region'])}: {_listed(sizes)}."
    elif verdict["decision"] == "INVESTIGATE" and (carriers := _carriers(summary)):
        yield f"Inputs that carry most: {carriers}."


def _steps(criteria: list[Mapping[str, Any]]) -> Iterator[str]:
    """Say what each decisive criterion asks for that is not fulfilled, or not evaluated."""
    decisive = [one for one in criteria if one["decisive"]]
    yield from dict.fromkeys(_OPEN[one["name"]] for one in decisive if one["status"] == "failed")
    lacking = [one["name"] for one in decisive if one["status"] == "not evaluated"]
    if "AttackConverged" in lacking:
        yield "repeat the attack with more iterations"
    if set(lacking) - {"AttackConverged"}:
        yield "provide what the criteria lack that are not evaluated"


def _carriers(summary: Summary) -> str:
    explanations = (summary.worst_case or {}).get("explanations") or []
    fooled: Mapping[str, Any] = next((one["parts"][0]["shares"] for one in explanations if one["of"] == "fooled"), {})
    leading = sorted(fooled.items(), key=lambda item: -(item[1]["value"] or 0.0))[:_CARRIERS]
    return _listed([f"{_plain(name)} ({share['value']:.0%})" for name, share in leading if share["value"]])


def _flips(effect: Mapping[str, Any] | None, region: str) -> Mapping[str, float | None] | None:
    if effect is None:
        return None
    found = (effect.get("region_flips") or {}).get(region) or effect["flips"]
    return None if found is None else dict(found)


def _shift(effect: Mapping[str, Any] | None, region: str) -> float | None:
    found = None if effect is None else effect["yield_shift"].get(region)
    return None if found is None else found["value"]


def _percent(number: Mapping[str, float | None] | None) -> str:
    if number is None or number["value"] is None:
        return "an unknown fraction"
    error = "" if number["error"] is None else f" ± {number['error']:.1%}"
    return f"{number['value']:.1%}{error}"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
