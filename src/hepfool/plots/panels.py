# SPDX-License-Identifier: BSD-3-Clause
"""
Parts that several figures share: yields above, what the attack changed below.

Both are the *same* events.  Errors of a ratio cannot be computed as if numerator and denominator were
independent, so it has none; the net change of a bin has the paired error of the events that moved.  The band shows the
statistical precision of the nominal sample, only as a scale for the eye.
"""

from __future__ import annotations

import re
from typing import Any

import mplhep
import numpy as np
from hist import Hist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hepfool.statistics.migration import Migration
from hepfool.typing import FloatArray

__all__ = [
    "band_handle",
    "draw_migration",
    "draw_ratio",
    "events_title",
    "relative_uncertainty",
    "set_headroom",
    "stacked_panels",
    "yield_title",
]

_BAND: dict[str, Any] = {"facecolor": "none", "edgecolor": "0.55", "hatch": "////", "linewidth": 0.0}
#: Bins with a worse relative precision do not stretch the axis.
_PRECISE = 0.25
_SMALLEST_SPAN, _LARGEST_SPAN = 0.05, 0.99
#: A band of up to so many times the largest change is shown as a whole.
_BAND_SHOWN = 3.0


def relative_uncertainty(nominal: Hist[Any]) -> FloatArray:
    r"""
    Relative statistical uncertainty of each bin.

    Parameters
    ----------
    nominal : hist.Hist
        One-dimensional histogram, weighted or not.

    Returns
    -------
    FloatArray, shape (n_bins,)
        :math:`\sqrt{\sum w^2} / \sum w`, dimensionless; NaN in empty bins.

    Examples
    --------
    >>> relative_uncertainty(Hist.new.Reg(2, 0, 2).Double().fill([0.5, 0.5, 0.5, 0.5])).tolist()
    [0.5, nan]
    """
    yields = np.asarray(nominal.values(), dtype=np.float64)
    variances = nominal.variances()
    spread = np.sqrt(np.abs(yields) if variances is None else variances)
    return np.divide(spread, np.abs(yields), out=np.full_like(yields, np.nan), where=yields != 0)


def band_handle() -> Patch:
    """
    Legend entry of the band.

    Returns
    -------
    matplotlib.patches.Patch
        Tells that the band is there for scale only.
    """
    return Patch(**_BAND, label="Nominal stat. unc., for scale (same events)")


def draw_ratio(ax: Axes, nominal: Hist[Any], adversarial: Hist[Any], *, colour: str) -> None:
    """
    Draw adversarial over nominal yields with the precision of the nominal ones.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The panel.
    nominal, adversarial : hist.Hist
        One-dimensional histograms with the same bins.
    colour : str
        Of the ratio.
    """
    edges = nominal.axes[0].edges
    before, after = np.asarray(nominal.values(), float), np.asarray(adversarial.values(), float)
    ratio = np.divide(after, before, out=np.full_like(before, np.nan), where=before != 0)
    relative = relative_uncertainty(nominal)
    width = np.nan_to_num(relative)
    ax.stairs(1.0 + width, edges, baseline=1.0 - width, fill=True, **_BAND)
    ax.axhline(1.0, color="0.3", linewidth=1.5)
    mplhep.histplot(ratio, edges, ax=ax, color=colour, linewidth=2, edges=False, flow="none")
    ax.set_ylim(*_limits(ratio, relative))
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylabel("Adv. / nom.", loc="center")


def draw_migration(ax: Axes, nominal: Hist[Any], migration: Migration, *, colour: str) -> None:
    """
    Draw the net change of each bin with its paired error.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The panel.
    nominal : hist.Hist
        One-dimensional histogram, for bins and band.
    migration : Migration
        In the same bins.
    colour : str
        Of the changes.
    """
    edges = nominal.axes[0].edges
    width = np.nan_to_num(relative_uncertainty(nominal)) * np.abs(np.asarray(nominal.values(), dtype=np.float64))
    ax.stairs(width, edges, baseline=-width, fill=True, **_BAND)
    ax.axhline(0.0, color="0.3", linewidth=1.5)
    ax.stairs(migration.net, edges, baseline=None, color=colour, linewidth=2)
    moved = migration.variance > 0
    centres = 0.5 * (edges[:-1] + edges[1:])
    errors: dict[str, Any] = {"fmt": "none", "ecolor": colour, "elinewidth": 2}
    ax.errorbar(centres[moved], migration.net[moved], yerr=migration.error[moved], **errors)
    largest = float((np.abs(migration.net) + migration.error).max())
    span = max(largest, min(float(width.max()), _BAND_SHOWN * largest)) or float(width.max()) or 1.0
    ax.set_ylim(-1.2 * span, 1.2 * span)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylabel("Adv. \N{MINUS SIGN} nom.", loc="center")


def _limits(ratio: FloatArray, relative: FloatArray) -> tuple[float, float]:
    shift = np.abs(ratio - 1.0)[np.nan_to_num(relative, nan=np.inf) < _PRECISE]
    span = np.clip(1.3 * shift.max(initial=0.0), _SMALLEST_SPAN, _LARGEST_SPAN)
    return float(1.0 - span), float(1.0 + span)


def stacked_panels(figure: Figure, columns: int = 1, n_pairs: int | None = None) -> tuple[tuple[Axes, Axes], ...]:
    """
    Put a high panel above a low one, once per column, in as many rows as are needed.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Empty figure with a constrained layout.
    columns : int
        Number of columns.
    n_pairs : int, optional
        Number of such pairs; one row by default.

    Returns
    -------
    tuple of (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Upper and lower panel of each pair, row by row; they share their horizontal axis.
    """
    figure.set_layout_engine("constrained", h_pad=0.02, hspace=0.0, wspace=0.03, rect=(0.005, 0.01, 0.99, 0.98))
    wanted = columns if n_pairs is None else n_pairs
    n_rows = -(-wanted // columns)
    grid = figure.add_gridspec(2 * n_rows, columns, height_ratios=(3, 1) * n_rows)
    pairs = []
    for k in range(wanted):
        row, column = 2 * (k // columns), k % columns
        lower = figure.add_subplot(grid[row + 1, column])
        upper = figure.add_subplot(grid[row, column], sharex=lower)
        upper.tick_params(labelbottom=False)
        pairs.append((upper, lower))
    figure.align_ylabels()
    return tuple(pairs)


def set_headroom(ax: Axes, highest: float, *, log_y: bool) -> None:
    """
    Leave the upper third of an axes to legend and remarks.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes with yields or densities.
    highest : float
        Largest value.
    log_y : bool
        Logarithmic, over at least three decades.
    """
    if log_y:
        lowest = min(0.5, 1e-3 * highest)
        ax.set_yscale("log")
        ax.set_ylim(lowest, lowest * (highest / lowest) ** 1.5)
    else:
        ax.set_ylim(0.0, 1.5 * highest)
        # A common power of ten stands left of the experiment label.
        ax.yaxis.get_offset_text().set(x=-0.02, horizontalalignment="right")


def yield_title(histogram: Hist[Any]) -> str:
    """
    Name the yields with the bin width.

    Parameters
    ----------
    histogram : hist.Hist
        One-dimensional; the unit is taken from brackets at the end of the axis label.

    Returns
    -------
    str
        Such as ``Events / 5 GeV``.

    Examples
    --------
    >>> yield_title(Hist.new.Reg(10, 0, 50, label="MET [GeV]").Double())
    'Events / 5 GeV'
    """
    return events_title(histogram.axes[0].edges, histogram.axes[0].label)


def events_title(edges: FloatArray, label: str) -> str:
    """
    Name yields with the bin width.

    Parameters
    ----------
    edges : FloatArray, shape (n_bins + 1,)
        Of the bins.
    label : str
        Axis title; the unit is taken from brackets at its end.

    Returns
    -------
    str
        ``Events / bin`` where widths differ.

    Examples
    --------
    >>> events_title(np.array([0.0, 0.05, 0.1]), "Score")
    'Events / 0.05'
    """
    widths = np.diff(edges)
    if not np.allclose(widths, widths[0]):
        return "Events / bin"
    width = f"{widths[0]:.2g}"
    unit = re.search(r"\[(.+)\]$", label)
    if unit:
        return f"Events / {width} {unit.group(1)}"
    return "Events" if width == "1" else f"Events / {width}"
