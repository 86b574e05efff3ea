# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons that an attack had to preserve, their changes, and what was not compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hepfool.report._cells import Section, number

#: More parts than these are counted, not named.
_MAX_NAMED = 4
_TITLES: Final = {"score and flag": "score and flag together"}
NOT_COMPARED: Final = {
    "inputs": "the distributions of the inputs were not constrained",
    "score": "the score was not constrained",
    "correlations": "the correlations of the inputs were not constrained",
}
_NOTE: Final = (
    "Recomputed from the attacked events: of each comparison the figure that comes closest to its cap, a Jensen-Shannon distance, for "
    "correlations the shift."
)


def validated_in_words(record: Mapping[str, Any] | None) -> str:
    """Say how far the comparisons of a validation moved, in which parts, and which were not made."""
    if record is None or not record["largest"]:
        return ""
    sentences = []
    for separately in dict.fromkeys(row["separately"] for row in record["largest"]):
        rows = [row for row in record["largest"] if row["separately"] == separately]
        names = dict.fromkeys(row["part"] for row in record["figures"] if row["separately"] == separately)
        shown = "; ".join(f"{_name(row)} {_figure(row)}{_of(row, len(names))}" for row in rows)
        sentences.append(f"Largest changes {_where(separately, list(names))}: {shown}.")
    broken = [row for row in record["largest"] if not row["kept"]]
    if broken:
        sentences.append(f"Beyond its cap: {', '.join(_name(row) for row in broken)}.")
    if record["not_compared"]:
        text = "; ".join(NOT_COMPARED[name] for name in record["not_compared"])
        sentences.append(f"{text[0].upper()}{text[1:]}: comparing it may reveal the attack.")
    return " ".join(sentences)


def _name(row: Mapping[str, Any]) -> str:
    name = str(row["comparison"])
    return _TITLES.get(name, name)


def _figure(row: Mapping[str, Any]) -> str:
    cap = "no cap" if row["cap"] is None else f"cap {number(row['cap'])}"
    return f"{number(row['value'])} ({cap})"


def _of(row: Mapping[str, Any], n_parts: int) -> str:
    """Name what moved most, and where."""
    column = row["column"] if row["column"] not in {"", row["comparison"], "flagged"} else ""
    return (f" of {column}" if column else "") + (f" in {row['part']}" if n_parts > 1 else "")


def _where(separately: str, parts: Sequence[str]) -> str:
    if separately == "union" or parts == ["constrained"]:
        return "in all validated events together"
    if len(parts) == 1:
        return f"in {parts[0]}"
    kind = "for each process of each region" if separately == "processes" else "in each region"
    return f"{kind} ({', '.join(parts) if len(parts) <= _MAX_NAMED else f'{len(parts)} of them'})"


def validated_section(record: Mapping[str, Any]) -> Section:
    """Tabulate the figures beside their caps, one row per comparison and part."""
    best: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in record["figures"]:
        key = row["comparison"], row["part"]
        if key not in best or _used(row) > _used(best[key]):
            best[key] = row
    rows = [
        (_name(row), row["part"], row["column"] or "all inputs", number(row["value"]), _cap(row), _kept(row))
        for row in best.values()
    ]
    rows += [(name, "–", "–", "–", "–", "not compared") for name in record["not_compared"]]
    header = ("comparison", "events", "of", "largest figure", "cap", "kept")
    return Section("What the attack had to preserve", header, rows, _NOTE)


def _used(row: Mapping[str, Any]) -> float:
    if row["value"] is None:
        return float("inf")
    return float(row["value"]) / (1.0 if row["cap"] is None else max(float(row["cap"]), 1e-7))


def _cap(row: Mapping[str, Any]) -> str:
    return "none" if row["cap"] is None else number(row["cap"])


def _kept(row: Mapping[str, Any]) -> str:
    return "–" if row["cap"] is None else "yes" if row["kept"] else "no"
