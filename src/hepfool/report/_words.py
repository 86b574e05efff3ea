# SPDX-License-Identifier: BSD-3-Clause
"""The verdict in sentences, for a reader who has never heard of adversarial attacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hepfool.inference._templates import LOWER_LIMIT
from hepfool.report._cells import furthest_moved
from hepfool.report._detection import NOTICED, noticed
from hepfool.summary import Summary

#: What a decisive criterion that is not fulfilled means, by its name and status.
_OPEN: Final = {
    (
        "FoolingWithinSystematics",
        "failed",
    ): "a deviation within the limits of the search could change more of the network's answers than the assigned uncertainties "
    "allow for",
    (
        "FoolingWithinSystematics",
        "not evaluated",
    ): "it is not decided whether the assigned uncertainties allow for as many changed answers of the network",
    (
        "YieldsWithinSystematics",
        "failed",
    ): "a deviation within the limits of the search could shift the yield after the score selection further than the assigned "
    "uncertainties",
    (
        "YieldsWithinSystematics",
        "not evaluated",
    ): "it is not decided whether the assigned uncertainties allow for as large a shift of the selected yield",
    (
        "DetectorPrice",
        "failed",
    ): "the detector flags so much of the selected signal that an analysis could hardly do without its flagged events",
    (
        "DetectorPrice",
        "not evaluated",
    ): "it is not decided how much of the selected signal the detector flags",
    (
        "FlaggedFractionsAgree",
        "failed",
    ): "the detector flags different fractions of data and simulation, so that either the data hold deviations that the simulation "
    "does not have, or the detector does not work in data",
    (
        "FlaggedFractionsAgree",
        "not evaluated",
    ): "it is not known whether a detector of attacks flags as many data events as simulated ones",
    (
        "DataAgree",
        "failed",
    ): "data disagree with the simulation in a control or validation region beyond its systematics",
    (
        "DataAgree",
        "not evaluated",
    ): "no data of a control or validation region were compared with the simulation",
    (
        "AttackConverged",
        "not evaluated",
    ): "it is not known whether a longer search would find more",
}
_CAPS: Final = {
    "max_js_distance": "the Jensen-Shannon distance of every input",
    "max_js_change": "the change of one distribution by one move",
    "max_observable_distance": "that of every observable",
    "max_score_distance": "that of the network's score",
    "max_correlation_change": "the change of the correlations by one move",
    "max_correlation_shift": "the shift of all correlations",
}
#: Of an attack that no cap limits.
UNCAPPED: Final = (
    "Warning: no cap constrained what the search did to distributions and correlations, so its size says nothing about what a "
    "validation would miss; set caps."
)
_WORST_CASE: Final = "None of this says that the data hold such a deviation: the search is for the worst case."
_ADVICE: Final = (
    "The analysers should find out which events and inputs are behind it, and add a check that would notice it, or make the network "
    "less sensitive; if the excess stays, its uncovered part becomes an uncertainty."
)
_TIGHTEN: Final = "The limits were too generous: the search should be repeated with tighter ones before anything is concluded from its size."
_COVERED: Final = (
    "So a deviation of this kind, if there were one, would change no more predicted classes, and no larger a yield, than the assigned "
    "uncertainties cover. This is why the verdict is COVERED."
)


def verdict_in_words(summary: Summary) -> tuple[str, ...]:
    """Explain what was found and why the verdict follows from it."""
    return (_attack(summary), " ".join(_comparison(summary)), " ".join(_decision(summary)))


def _attack(summary: Summary) -> str:
    events, constrained = summary.events, summary.compatibility[0]
    _, distance, floor = furthest_moved(constrained)
    return (
        f"Of {events['n_attacked']} attacked events, {events['n_fooled']} were given another class by the network: "
        f"{_percent(summary.systematics['attack']['flips'])} of their weight. {caps_in_words(summary)} Where data are "
        f"compared with simulation, no input's distribution moved further than a Jensen-Shannon distance of "
        f"{_plain(distance)} (chance alone: typically {_plain(floor)}), and the correlations changed by "
        f"{_plain(constrained['correlation_shift'])} (chance alone: typically {_plain(constrained['correlation_floor'])})."
        f"{_elsewhere(events)}"
    )


def caps_in_words(summary: Summary) -> str:
    """Say what the attack was not allowed to exceed, and at which value."""
    caps = summary.provenance.get("caps", {})
    if not caps:
        return UNCAPPED
    return f"The search was capped: {', '.join(f'{_CAPS[name]} at {value:.3g}' for name, value in caps.items())}."


def _elsewhere(events: Mapping[str, Any]) -> str:
    free = events["n_events"] - events["n_constrained"]
    if not free:
        return ""
    return f" The distributions of the {free} events elsewhere, such as in a signal region, were not limited; single events may have bounds."


def _comparison(summary: Summary) -> Iterator[str]:
    systematics = summary.systematics
    remaining, added = systematics["remaining"]["flips"], systematics["total"]
    if systematics["remaining"] != systematics["attack"]:
        yield f"A second network that was trained to recognise such events flags some of them; {_percent(remaining)} are left."
    if systematics.get("adaptive") is not None:
        adaptive = _percent(systematics["adaptive"]["flips"])
        yield f"If the search also tries to escape this detector, {adaptive} are left."
    if added is None:
        yield "No physics systematic was given to compare with."
        return
    moving, covered = flipping_sources(systematics), added["flips"]
    if moving:
        sources = ", ".join(name.replace("_", " ") for name in moving)
        yield (
            f"The uncertainties that the analysis assigns already and that move inputs ({sources}) together change the class of "
            f"{_percent(covered)} of the same events."
        )
    if others := _yield_shifts(systematics):
        yield f"The others change weights or yields, and no event's class: {', '.join(others)} (largest yield shift of a region)."
    left, known = remaining["value"], covered["value"]
    if left and known:
        yield f"What is left of the attack is {left / known:.2g} times as much."


def flipping_sources(systematics: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the systematic sources that can change an event's class."""
    return tuple(dict.fromkeys(_source(effect) for effect in systematics["effects"] if effect["flips"] is not None))


def _yield_shifts(systematics: Mapping[str, Any]) -> list[str]:
    """Each source that flips nothing, with its largest yield shift."""
    largest: dict[str, float] = {}
    for effect in systematics["effects"]:
        if effect["flips"] is None:
            sizes = [abs(shift["value"]) for shift in effect["yield_shift"].values() if shift["value"] is not None]
            largest[_source(effect)] = max([largest.get(_source(effect), 0.0), *sizes])
    return [f"{name.replace('_', ' ')} {size:.1%}" for name, size in largest.items()]


def _source(effect: Mapping[str, Any]) -> str:
    return str(effect["name"]).removesuffix("_up").removesuffix("_down")


def _decision(summary: Summary) -> Iterator[str]:
    verdict = summary.verdict
    if len(verdict["regions"]) > 1:
        named = (f"{one['region']} {one['decision']}" for one in verdict["regions"])
        yield f"By region: {', '.join(named)}."
    if verdict["decision"] == "COVERED":
        yield _COVERED
        return
    criteria = [c for c in verdict["criteria"] if c["decisive"] and c["status"] not in {"passed", "not needed"}]
    reasons = [_OPEN.get((c["name"], c["status"]), c["sentence"]) for c in criteria]
    yield f"This is why the verdict is {verdict['decision']}: {'; '.join(dict.fromkeys(reasons))}."
    if verdict["decision"] == "INCOMPLETE":
        yield f"{verdict['meaning'].capitalize()}."
    elif verdict["decision"] == "INVESTIGATE":
        yield from (_WORST_CASE, *_advice(summary))
    else:
        sizes = [f"{one['size_flips']:.1%} in {one['region']}" for one in verdict["regions"] if one["size_flips"]]
        share = f" ({', '.join(sizes)} of the events)" if sizes else ""
        yield (
            f"The analysers state that they have looked into it. What the assigned uncertainties leave uncovered{share} is to be "
            f"added as an uncertainty, with the sizes given below. {LOWER_LIMIT}"
        )


def _advice(summary: Summary) -> Iterator[str]:
    """Say whether the validation would notice, and what to do then."""
    if summary.detection is None or not (said := noticed(summary.detection, detector=summary.detector is not None)):
        yield "Whether the validation would have noticed it was not measured."
        yield _ADVICE
        return
    yield said[0]
    yield _TIGHTEN if said[1] > NOTICED else _ADVICE


def _percent(number: Mapping[str, float | None] | None) -> str:
    value = None if number is None else number["value"]
    return "an unknown fraction" if value is None else f"{value:.1%}"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
