# SPDX-License-Identifier: BSD-3-Clause
"""Cells and sections of the tables of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Section(NamedTuple):
    """One table of a report."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""  # what a reader should know, in one or two sentences


def furthest_moved(compared: Mapping[str, Any]) -> tuple[str, float | None, float | None]:
    """Find the input whose distribution moved furthest."""
    name, moved = max(compared["features"].items(), key=lambda item: item[1]["js_distance"] or 0.0)
    return name, moved["js_distance"], moved["js_floor"]


def goodness(fit: Mapping[str, Any]) -> str:
    """Show a test of the goodness of fit, small probabilities too."""
    tested = "–" if fit["p_value"] is None else f"{fit['p_value']:.2g}"
    return f"p = {tested}, χ² {number(fit['chi2'])} for {fit['n_dof']} degrees of freedom"


def interval(record: Mapping[str, float | None]) -> str:
    """Show an asymmetric uncertainty."""
    return f"-{number(record['down'])} / +{number(record['up'])}"


def measured(value: Mapping[str, float | None] | None) -> str:
    """Show a number with its error."""
    if value is None or value["value"] is None:
        return "–"
    return number(value["value"]) + ("" if value["error"] is None else f" ± {number(value['error'])}")


def number(value: float | None) -> str:
    """Show a number."""
    return "–" if value is None else f"{value:.4f}"
