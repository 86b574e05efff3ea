# SPDX-License-Identifier: BSD-3-Clause
"""
Parts that several figures share: yields above, adversarial over nominal below.

Both are the *same* events.  Errors of such a ratio cannot be computed as if numerator and denominator were
independent, so it has none.  The band shows the statistical precision of the
nominal sample, only as a scale for the eye.
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

from hepfool.typing import FloatArray

__all__ = ["band_handle", "draw_ratio", "relative_uncertainty", "set_headroom", "stacked_panels", "yield_title"]

_BAND: dict[str, Any] = {"facecolor": "none", "edgecolor": "0.55", "hatch": "////", "linewidth": 0.0}
#: Bins with a worse relative precision do not stretch the axis.
_PRECISE = 0.25
_SMALLEST_SPAN, _LARGEST_SPAN = 0.05, 0.99


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


def _limits(ratio: FloatArray, relative: FloatArray) -> tuple[float, float]:
    shift = np.abs(ratio - 1.0)[np.nan_to_num(relative, nan=np.inf) < _PRECISE]
    span = np.clip(1.3 * shift.max(initial=0.0), _SMALLEST_SPAN, _LARGEST_SPAN)
    return float(1.0 - span), float(1.0 + span)


def stacked_panels(figure: Figure, columns: int = 1) -> tuple[tuple[Axes, Axes], ...]:
    """
    Put a high panel above a low one, once per column.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Empty figure with a constrained layout.
    columns : int
        Number of columns.

    Returns
    -------
    tuple of (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Upper and lower panel of each column; they share their horizontal axis.
    """
    figure.set_layout_engine("constrained", h_pad=0.02, hspace=0.0, wspace=0.03, rect=(0.005, 0.01, 0.99, 0.98))
    grid = figure.subplots(2, columns, sharex="col", squeeze=False, height_ratios=(3, 1))
    figure.align_ylabels(grid)
    return tuple((upper, lower) for upper, lower in zip(*grid, strict=True))


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
    widths = np.diff(histogram.axes[0].edges)
    if not np.allclose(widths, widths[0]):
        return "Events / bin"
    width = f"{widths[0]:.2g}"
    unit = re.search(r"\[(.+)\]$", histogram.axes[0].label)
    if unit:
        return f"Events / {width} {unit.group(1)}"
    return "Events" if width == "1" else f"Events / {width}"
