# SPDX-License-Identifier: BSD-3-Clause
"""The tables of what is known of the worst case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hepfool.report._cells import Section, measured, number

_SHOWN: Final = 10
_CARRIERS: Final = 3
#: Found and proved differ by less: absolutely, and as a share of what is found.
_NARROW, _NARROW_SHARE = 1e-3, 0.05
_LADDER_NOTE: Final = (
    "The same events under rising freedom, every source and input within one standard deviation; attacks as their caps allow. Found: "
    "what does happen, with its statistical error. At most: what is proved not to be exceeded on these events. Yields are those after "
    "the score selection."
)
_SHARES_NOTE: Final = {
    "fooled": "Shapley shares over the {n} fooled events: what each input adds on average when all are moved one after the other in random "
    "order. They sum to one.",
    "flagged": "Shapley shares over the {n} nominal events that detectors flag again and again: what each input adds on average when the "
    "inputs of an event that none flags are replaced one after the other in random order. They sum to one.",
}
_COHERENCE_NOTE: Final = (
    "Along the sources ({sources}): share of the squared displacement that shifts of them give, each event with its own; by chance: the "
    "same of random moves of that size. Then the fraction of the fooled events that this part alone fools, and that is still fooled "
    "without it."
)
_ALLOWED_NOTE: Final = (
    "Limits at {level:.0%} CLs on the fraction of an attack that data of control and validation regions contain; 1 where nothing is "
    "excluded. A deviation that acts in the signal region alone is not seen by them."
)
_SIZES_NOTE: Final = "The limit times the full size, which holds only if the assumption of the analysers does."
_TITLES: Final = {"fooled": "Which inputs carry the attack", "flagged": "Which inputs carry repeated flags"}


def worst_case_in_words(record: Mapping[str, Any]) -> list[str]:
    """Say between which numbers the worst case lies, and what the sources of the analysis do of it."""
    said = []
    for ladder in record["ladders"]:
        free = next(rung["fooling"] for rung in ladder["rungs"] if rung["freedom"] == "inputs")
        if free["proved"] is None:
            said.append(
                f"In {ladder['events']}, inputs within their uncertainties can change the class of at least {free['found']:.2%} (found) of "
                "the attacked events; no upper limit is proved."
            )
            continue
        said.append(
            f"In {ladder['events']}, inputs within their uncertainties can change the class of between {free['found']:.2%} (found) and "
            f"{free['proved']:.2%} (proved) of the attacked events. {_undecided(free, ladder['relaxed'])}{ladder['statement']}".rstrip()
        )
    return said + [one["statement"] for one in record["allowed"]]


def _undecided(free: Mapping[str, float], relaxed: list[str]) -> str:
    """Say how much is not known, where that matters, and why."""
    gap = free["proved"] - free["found"]
    if gap <= max(_NARROW, _NARROW_SHARE * free["found"]):
        return ""
    why = (
        "a budget that is too small, or a proof that covers more than the events can do"
        if relaxed
        else "a budget that is too small for this network and these uncertainties"
    )
    return f"Not resolved: of {gap:.2%} neither is known ({why}; max_boxes and seconds set it). "


def worst_case_sections(record: Mapping[str, Any]) -> Iterator[Section]:
    """Show what is known of the worst case."""
    if record["ladders"]:
        yield _ladders(record["ladders"])
    for explanation in record["explanations"]:
        yield _shares(explanation)
        if explanation["parts"][0]["coherence"] is not None:
            yield _coherence(explanation)
    if record["allowed"]:
        yield _allowed(record["allowed"])
    if record["sizes"]:
        rows = [
            (one["transfer"], one["threat_model"], number(one["fraction"]), number(one["full"]), number(one["size"]))
            for one in record["sizes"]
        ]
        header = ("assumption", "attack", "largest fraction", "full size", "size")
        yield Section("Size that data allow", header, rows, _SIZES_NOTE)


def _ladders(ladders: list[Mapping[str, Any]]) -> Section:
    rows = [
        (ladder["events"], rung["label"], *(cell for of in ("fooling", "gain", "loss") for cell in _bracket(rung[of])))
        for ladder in ladders
        for rung in ladder["rungs"]
    ]
    header = ("events", "freedom", "fooling ratio found", "at most", "yield rises", "at most", "yield falls", "at most")
    relaxed = dict.fromkeys(text for ladder in ladders for text in ladder["relaxed"])
    covered = f" The proofs cover more than the events can do: {'; '.join(relaxed)}." if relaxed else ""
    return Section("Worst case", header, rows, f"{_LADDER_NOTE}{covered}")


def _bracket(found: Mapping[str, float | None]) -> tuple[str, str]:
    return measured({"value": found["found"], "error": found["error"]}), number(found["proved"])


def _leading(part: Mapping[str, Any]) -> list[tuple[str, Mapping[str, float | None]]]:
    """Sort the inputs that have a share, the largest first."""
    shares = [(name, share) for name, share in part["shares"].items() if share["value"] or share["error"]]
    return sorted(shares, key=lambda item: -item[1]["value"])


def _shares(explanation: Mapping[str, Any]) -> Section:
    whole = explanation["parts"][0]
    leading = _leading(whole)
    rows = [(name, measured(share)) for name, share in leading[:_SHOWN]]
    if others := leading[_SHOWN:]:
        rows.append((f"{len(others)} others", number(sum(share["value"] or 0.0 for _, share in others))))
    note = _SHARES_NOTE[explanation["of"]].format(n=whole["n_events"])
    return Section(_TITLES[explanation["of"]], ("input", "share"), rows, note)


def _coherence(explanation: Mapping[str, Any]) -> Section:
    rows = [
        (
            part["name"] if part["kind"] == "all" else f"{part['kind']} {part['name']}",
            str(part["n_events"]),
            ", ".join(name for name, _ in _leading(part)[:_CARRIERS]),
            *(measured(part["coherence"][of]) for of in ("share", "chance", "alone", "without")),
        )
        for part in explanation["parts"]
    ]
    header = (
        "events",
        "fooled",
        "largest shares",
        "along the sources",
        "by chance",
        "fool by themselves",
        "fooled without",
    )
    note = _COHERENCE_NOTE.format(sources=", ".join(explanation["sources"]))
    return Section("Is the attack like the systematics", header, rows, note)


def _allowed(limits: list[Mapping[str, Any]]) -> Section:
    rows = [
        (
            one["threat_model"],
            ", ".join(one["regions"]),
            one["observable"],
            str(one["n_data"]),
            *(number(one[of]) for of in ("value", "limit", "expected")),
        )
        for one in limits
    ]
    header = ("attack", "regions", "compared", "data events", "best fit", "largest fraction", "expected")
    said = " ".join(dict.fromkeys(one["statement"] for one in limits))
    return Section("What data allow", header, rows, f"{said} {_ALLOWED_NOTE.format(level=limits[0]['level'])}")
