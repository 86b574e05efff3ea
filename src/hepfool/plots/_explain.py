# SPDX-License-Identifier: BSD-3-Clause
"""What carries an attack, and which fraction of it data allow."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hepfool.events._labels import class_name
from hepfool.explain import Coherence, ExplainedPart, Explanation
from hepfool.plots._style import DEFAULT_STYLE, PlotStyle, height_of_lines, styled
from hepfool.studies._contributions import Measured
from hepfool.summary.allowed_fraction import AllowedFraction

_BAR: Final = 0.6
_MARKERS: Final = "os^D"
#: Directions with so few events are not drawn.
_FEWEST: Final = 10
_LINE_WIDTH: Final = 36


@styled
def plot_explanation(
    explanation: Explanation,
    *,
    part: ExplainedPart | None = None,
    labels: Mapping[str, str] | None = None,
    n_shown: int = 10,
    style: PlotStyle = DEFAULT_STYLE,
) -> tuple[Figure, tuple[Axes, ...]]:
    """
    Draw the leading inputs, and beside them the coherent part of the attack with what random moves would give.

    Parameters
    ----------
    part : ExplainedPart, optional
        Events to show, such as those of a signal region; all by default, with their directions.
    labels : mapping of str to str, optional
        What inputs and regions are called, such as ``AttackSums.labels``; their names by default.
    n_shown : int
        Inputs that are drawn.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of matplotlib.axes.Axes
        One or, with a coherent part, two panels.
    """
    shown = explanation.whole if part is None else part
    leading = shown.leading[:n_shown]
    two = shown.coherence is not None
    width = 1.8 if two else 1.15
    figure = style.figure(width=width, height=max(0.8, height_of_lines(1.7 * len(leading) + 4.0, width=width)))
    axes: tuple[Axes, ...] = tuple(figure.subplots(1, 1 + two, width_ratios=(1.15, 1.0)[: 1 + two], squeeze=False)[0])
    ax = axes[0]
    known = labels or {}
    _draw_bars(ax, [(known.get(name, name.replace("_", " ")), share) for name, share in leading], style)
    if part is None:
        _draw_directions(ax, explanation, [name for name, _ in leading])
    rest = 1.0 - sum(share.value for _, share in leading)
    others = len(shown.leading) - len(leading)
    remark = f"{shown.n_events} {explanation.of} events" + (
        "" if shown.kind == "all" else f", {known.get(shown.name, shown.name.replace('_', ' '))}"
    )
    remark += f"; {others} further inputs: {rest:.2f}" if others else ""
    handles, _ = ax.get_legend_handles_labels()
    size = style.text_size
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=2,
        fontsize=size,
        title=remark,
        title_fontsize=size,
        alignment="left",
    )
    ax.set_xlabel("Share of the fooling" if explanation.of == "fooled" else "Share of the flags")
    if shown.coherence is not None:
        _draw_coherence(axes[1], shown.coherence, explanation.sources, style)
    return figure, axes


def _draw_bars(ax: Axes, rows: list[tuple[str, Measured]], style: PlotStyle) -> None:
    places = np.arange(len(rows))
    values, errors = ([getattr(share, kind) for _, share in rows] for kind in ("value", "error"))
    ax.barh(places, values, height=_BAR, color=style.adversarial_colour)
    ax.errorbar(values, places, xerr=errors, fmt="none", ecolor="black", elinewidth=2, capsize=4)
    _name_rows(ax, [name for name, _ in rows])
    ax.set_xlim(min(0.0, *values), 1.3 * max(value + error for value, error in zip(values, errors, strict=True)))


def _name_rows(ax: Axes, names: list[str]) -> None:
    ax.set_yticks(np.arange(len(names)), names, fontsize=mpl.rcParams["xtick.labelsize"])
    ax.tick_params(axis="y", which="both", length=0, pad=10)
    ax.set_ylim(len(names) - 0.4, -0.6)


def _draw_directions(ax: Axes, explanation: Explanation, names: list[str]) -> None:
    parts = [one for one in explanation.parts if one.kind == "direction" and one.n_events >= _FEWEST]
    if len(parts) < 2:  # the bars show it
        return
    n_classes = 1 + max(int(label) for one in parts for label in one.name.split(" → "))
    for k, one in enumerate(parts[: len(_MARKERS)]):
        label = f"{_direction(one.name, n_classes)} ({one.n_events} events)"
        values = [one.shares[name].value for name in names]
        options: dict[str, Any] = {
            "markersize": 9,
            "markeredgecolor": "black",
            "color": ("white", "black", "0.6", "0.3")[k],
        }
        ax.plot(values, np.arange(len(names)), _MARKERS[k], label=label, linestyle="none", **options)


def _direction(name: str, n_classes: int) -> str:
    """Name the class before and after."""
    return " to ".join(class_name(int(label), n_classes) for label in name.split(" → "))


def _draw_coherence(ax: Axes, found: Coherence, sources: tuple[str, ...], style: PlotStyle) -> None:
    rows = [
        ("moves along\nthe variations", found.share, style.nominal_colour),
        ("the same of\nrandom moves", found.chance, "0.7"),
        ("fooled by this\npart alone", found.alone, style.colours[1]),
        ("fooled\nwithout it", found.without, style.adversarial_colour),
    ]
    for row, (_, share, colour) in enumerate(rows):
        ax.barh(row, share.value, height=_BAR, color=colour)
        ax.errorbar(share.value, row, xerr=share.error, color="black", elinewidth=2, capsize=4)
        end, text = share.value + share.error, f"{share.value:.2f} $\\pm$ {share.error:.2f}"
        ax.annotate(text, (end, row), (8, 0), textcoords="offset points", va="center", fontsize=style.text_size)
    _name_rows(ax, [name for name, *_ in rows])
    ax.set_ylim(top=-1.2)
    ax.axhline(1.5, color="0.5", linewidth=1.5, linestyle=":")
    ax.set_xlim(0.0, 1.25)
    ax.set_xticks(np.linspace(0.0, 1.0, 6))
    ax.set_xlabel("Fraction")
    shown = ", ".join(name.replace("_", " ") for name in sources[:3])
    more = "" if len(sources) <= 3 else f" and {len(sources) - 3} more"
    text = textwrap.fill(f"Variations: {shown}{more}", _LINE_WIDTH)
    ax.text(0.97, 0.96, text, transform=ax.transAxes, ha="right", va="top", fontsize=style.text_size)


@styled
def plot_allowed_fraction(
    allowed: AllowedFraction, *, labels: Mapping[str, str] | None = None, style: PlotStyle = DEFAULT_STYLE
) -> tuple[Figure, Axes]:
    """
    Draw CLs against the fraction of the attack.

    Parameters
    ----------
    allowed : AllowedFraction
        From :func:`hepfool.summary.allowed_fraction.allowed_fraction`.
    labels : mapping of str to str, optional
        What regions are called, such as ``AttackSums.labels``; their names by default.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, matplotlib.axes.Axes
        Observed and expected; what is excluded is shaded.
    """
    fractions, observed, expected = (np.array(column) for column in zip(*allowed.scan, strict=True))
    figure = style.figure(width=1.15)
    ax = figure.subplots()
    ax.plot(
        fractions, expected, color="0.4", linestyle="--", linewidth=2, label=f"Expected, limit {allowed.expected:.2f}"
    )
    limit = f"limit {allowed.limit:.2f}" if allowed.excludes else "no limit"
    ax.plot(fractions, observed, color=style.nominal_colour, marker="o", markersize=7, label=f"Observed, {limit}")
    ax.axhline(1.0 - allowed.level, color="0.3", linestyle=":", linewidth=2)
    ax.text(
        0.98, 1.08 * (1.0 - allowed.level), f"{allowed.level:.0%} CL", ha="right", va="bottom", fontsize=style.text_size
    )
    if allowed.excludes:
        ax.axvspan(allowed.limit, 1.0, color=style.adversarial_colour, alpha=0.15, linewidth=0.0)
    handles = [*ax.get_legend_handles_labels()[0]]
    if allowed.excludes:
        handles.append(Patch(color=style.adversarial_colour, alpha=0.15, label="Excluded"))
    ax.set_yscale("log")
    ax.set_xlim(0.0, 1.0)
    ax.set_ylim(1e-3, 30.0)
    ax.set_yticks([1e-3, 1e-2, 1e-1, 1.0])
    ax.set_xlabel(r"Fraction $\alpha$ of the attack")
    ax.set_ylabel(r"CL$_\mathrm{s}$")
    regions = ", ".join((labels or {}).get(name, name.replace("_", " ")) for name in allowed.regions)
    title = f"{allowed.n_data} data events in {regions}, {allowed.observable}\n{allowed.threat_model}"
    ax.legend(
        handles=handles,
        loc="upper right",
        title=title,
        title_fontsize=style.text_size,
        fontsize=style.text_size,
        alignment="left",
    )
    return figure, ax
