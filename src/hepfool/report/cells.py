# SPDX-License-Identifier: BSD-3-Clause
"""What every table of a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Section(NamedTuple):
    """
    One table of a report.

    Attributes
    ----------
    title : str
        Heading.
    header : sequence of str
        Names of the columns.
    rows : sequence of sequence of str
        Cells.
    note : str
        What a reader should know, in one or two sentences.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def furthest_moved(compared: Mapping[str, Any]) -> tuple[str, float | None, float | None]:
    """
    Find the input whose distribution moved furthest.

    Parameters
    ----------
    compared : mapping
        One region of ``Summary.compatibility``.

    Returns
    -------
    name : str
        Of the feature.
    js_distance, js_floor : float or None
        Its distance, and the typical distance of two independent samples.
    """
    name, moved = max(compared["features"].items(), key=lambda item: item[1]["js_distance"] or 0.0)
    return name, moved["js_distance"], moved["js_floor"]


def interval(record: Mapping[str, float | None]) -> str:
    """
    Show an asymmetric uncertainty.

    Parameters
    ----------
    record : mapping
        ``down`` and ``up``, both positive.

    Returns
    -------
    str
        Both sides.

    Examples
    --------
    >>> interval({"down": 0.5, "up": None})
    '-0.5000 / +–'
    """
    return f"-{number(record['down'])} / +{number(record['up'])}"


def measured(value: Mapping[str, float | None] | None) -> str:
    """
    Show a number with its error.

    Parameters
    ----------
    value : mapping, optional
        ``value`` and ``error``.

    Returns
    -------
    str
        A dash if there is none.

    Examples
    --------
    >>> measured({"value": 0.25, "error": 0.01}), measured(None)
    ('0.2500 ± 0.0100', '–')
    """
    if value is None or value["value"] is None:
        return "–"
    return number(value["value"]) + ("" if value["error"] is None else f" ± {number(value['error'])}")


def number(value: float | None) -> str:
    """
    Show a number.

    Parameters
    ----------
    value : float, optional
        Dimensionless.

    Returns
    -------
    str
        With four decimals; a dash if there is none.

    Examples
    --------
    >>> number(0.25), number(None)
    ('0.2500', '–')
    """
    return "–" if value is None else f"{value:.4f}"
