# SPDX-License-Identifier: BSD-3-Clause
"""
One look for all figures, without touching Matplotlib's global settings, and the parts that several figures share.

A :class:`PlotStyle` says whose figure it is; every ``plot_`` function takes one.
The figures it makes keep their style when they are drawn or saved later, and are
not registered with pyplot: nothing has to be closed.

In panels of yields above and changes below, both histograms are the *same* events.  Errors of a ratio cannot be computed
as if numerator and denominator were independent, so it has none; the net change of a bin has the paired error of the
events that moved.  The band shows the statistical precision of the nominal sample, only as a scale for the eye.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache, wraps
from typing import Any, Final, Literal, ParamSpec, TypeVar, cast, get_args

import matplotlib as mpl
import mplhep
import numpy as np
from cycler import cycler
from hist import Hist
from matplotlib import cbook
from matplotlib import style as mpl_style
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from hepfool.exceptions import PlainTextWarning
from hepfool.statistics._migration import Migration
from hepfool.typing import BoolArray, FloatArray

P = ParamSpec("P")
Drawn = TypeVar("Drawn", bound=tuple[Figure, Any])
Experiment = Literal["CMS", "ATLAS", "LHCb", "ALICE", "plain"]

_PRIVATE: Final = "Private work"
#: How names of data begin that are none.
_SIMULATED: Final = ("pseudo", "toy", "asimov")

#: Wider figures, in units of the style's single one, shrink by this power of their width, and their text does not.
_FULL_WIDTH, _COMPACT = 1.3, 0.65

#: Ten colours that colour-blind readers tell apart (M. Petroff, arXiv:2107.02270).
_PETROFF_10: tuple[str, ...] = tuple(mpl.colors.to_hex(colour) for colour in mpl.color_sequences["petroff10"])


class StyledFigure(Figure):
    """
    A figure that keeps its style wherever it is drawn or saved.

    Matplotlib reads fonts, ticks and file settings when a figure is *drawn*;
    outside of the style's context they would be someone else's.
    """

    def __init__(self, *args: Any, settings: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = dict(settings)

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure in its style."""
        with mpl_style.context(self._settings, after_reset=True):
            self._write_plainly_what_is_no_tex()
            super().draw(renderer)

    def get_tightbbox(self, *args: Any, **kwargs: Any) -> Bbox:
        """Measure the figure in its style."""
        with mpl_style.context(self._settings, after_reset=True):
            self._write_plainly_what_is_no_tex()
            return super().get_tightbbox(*args, **kwargs)

    def _write_plainly_what_is_no_tex(self) -> None:
        texts: list[Any] = self.findobj(Text)
        for text in texts:
            if text.get_parse_math() and not check_labels([text.get_text()]):
                text.set_parse_math(False)

    def _repr_png_(self) -> bytes:
        """Show the figure in a notebook, whatever its back end."""
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=72)
        return content.getvalue()

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Save the figure in its style."""
        with mpl_style.context(self._settings, after_reset=True):
            super().savefig(fname, **kwargs)


def check_labels(labels: Iterable[str]) -> bool:
    """Warn of labels that Matplotlib cannot set as TeX."""
    for label in labels:
        fault = next((found for line in label.split("\n") if (found := _tex_fault(line))), "")
        if fault:
            msg = (
                f"the label {label!r} cannot be set by Matplotlib ({fault}); figures show it as plain text; correct it"
            )
            warnings.warn(msg, PlainTextWarning, stacklevel=2)
            return False
    return True


@lru_cache(maxsize=1024)
def _tex_fault(line: str) -> str:
    """Say what is wrong with the mathematics in a line; nothing if it can be set."""
    if not cbook.is_math_text(line):
        return ""
    try:
        MathTextParser("path").parse(line)
    except Exception as error:  # noqa: BLE001 - of a parser that was given anything
        return " ".join(str(error).split()[-12:]) or type(error).__name__
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotStyle:
    """
    Whose figure it is, and what its label says.

    Attributes
    ----------
    experiment : {"CMS", "ATLAS", "LHCb", "ALICE", "plain"}
        Style and name; ``plain`` has no name.
    label : str
        Status behind the name; approved wording such as ``Preliminary`` is the user's choice.  ``Private work`` stands
        before the name instead, as the collaborations want it of what they have not approved.
    lumi : float, optional
        Integrated luminosity in 1/fb.
    energy : float, optional
        Centre-of-mass energy in TeV.
    data : bool
        Whether collision data are shown beside simulation; the label says ``simulation`` otherwise.
    colours : tuple of str
        Line and fill colours, by default Petroff's ten for colour-blind readers.
    processes : mapping of str to str
        Titles of datasets, such as ``{"WJets": "W + jets"}``; their names by default.

    Examples
    --------
    >>> PlotStyle(experiment="CMS", label="Preliminary").status
    'Simulation Preliminary'
    >>> PlotStyle(experiment="CMS", data=True).status
    'Private work (CMS data/simulation)'
    """

    experiment: Experiment = "plain"
    label: str = _PRIVATE
    lumi: float | None = None
    energy: float | None = None
    data: bool = False
    colours: tuple[str, ...] = _PETROFF_10
    processes: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the experiment and the number of colours."""
        if self.experiment not in get_args(Experiment):
            msg = f"no style for experiment {self.experiment!r}; use one of {', '.join(get_args(Experiment))}"
            raise ValueError(msg)
        if fault := _tex_fault(self.label):
            msg = f"label {self.label!r} cannot be set by Matplotlib ({fault}); correct it, or write it without $"
            raise ValueError(msg)
        for title in self.processes.values():
            if fault := _tex_fault(title):
                msg = f"title {title!r} of a process cannot be set by Matplotlib ({fault}); correct it, or write it without $"
                raise ValueError(msg)
        if len(self.colours) < 3:
            msg = f"a style needs at least three colours, got {len(self.colours)}"
            raise ValueError(msg)

    @property
    def status(self) -> str:
        """Label with ``Simulation`` in front, once, unless data are shown; of private work what it is based on, behind it."""
        if self.label == _PRIVATE:
            name = "" if self.experiment == "plain" else f"{self.experiment} "
            return f"{_PRIVATE} ({name}{'data/simulation' if self.data else 'simulation'})"
        own = self.label.removeprefix("Simulation").strip()
        return self.label if self.data else f"Simulation {own}".strip()

    def with_data(self, label: str = "Data") -> PlotStyle:
        """
        Give the style of a figure that shows data beside simulation.

        Parameters
        ----------
        label : str
            Name of the data; what starts with ``Pseudo`` or ``Toy`` is simulation.

        Returns
        -------
        PlotStyle
            The same otherwise.
        """
        return self if label.lower().startswith(_SIMULATED) else replace(self, data=True)

    def process(self, name: str) -> str:
        """
        Give the title of a dataset.

        Parameters
        ----------
        name : str
            Such as ``WJets``.

        Returns
        -------
        str
            For legends and axes.
        """
        return self.processes.get(name, name)

    @property
    def settings(self) -> dict[str, Any]:
        """Matplotlib settings of the style."""
        name = {"plain": "ROOT", "LHCb": "LHCb2"}.get(self.experiment, self.experiment)
        return {
            **getattr(mplhep.style, name),
            "axes.prop_cycle": cycler(color=self.colours),
            "axes.formatter.use_mathtext": True,
            "axes.unicode_minus": True,
            "pdf.fonttype": 42,
            "svg.hashsalt": "hepfool",
        }

    @property
    def nominal_colour(self) -> str:
        """Colour of nominal events."""
        return self.colours[0]

    @property
    def adversarial_colour(self) -> str:
        """Colour of adversarial events."""
        return self.colours[2]

    @property
    def text_size(self) -> float:
        """Size in points of legends and remarks, a little below that of the tick labels; valid inside of :meth:`context`."""
        return 0.8 * FontProperties(size=mpl.rcParams["xtick.labelsize"]).get_size_in_points()

    def context(self) -> AbstractContextManager[Any]:
        """
        Apply the style for a while.

        Returns
        -------
        context manager
            Restores every Matplotlib setting at its end.
        """
        context: AbstractContextManager[Any] = mpl_style.context(self.settings, after_reset=True)
        return context

    def figure(self, *, width: float = 1.0, height: float = 1.0) -> StyledFigure:
        """
        Make an empty figure; call it and fill the figure inside of :meth:`context`.

        Parameters
        ----------
        width, height : float
            Of what is drawn, in units of the style's single figure.  Wide figures are smaller than that: on a page or slide
            all have the same width, and their text shall be readable there.

        Returns
        -------
        StyledFigure
            Unknown to pyplot; its layout makes room for every label.
        """
        size = _unit(width)
        figure = StyledFigure(figsize=(width * size[0], height * size[1]), settings=self.settings)
        figure.set_layout_engine("constrained", rect=(0.005, 0.01, 0.99, 0.98))
        return figure


def _unit(width: float) -> FloatArray:
    """Size in inches of a single figure in one of some width."""
    return np.asarray(min(1.0, (_FULL_WIDTH / width) ** _COMPACT) * np.array(mpl.rcParams["figure.figsize"]))


def height_of_lines(n_lines: float, *, width: float = 1.0) -> float:
    """Height that lines of tick labels need in a figure of some width, in the units of :meth:`PlotStyle.figure`."""
    size = FontProperties(size=mpl.rcParams["xtick.labelsize"]).get_size_in_points()
    return float(1.25 * size * n_lines / (72.0 * _unit(width)[1]))


def height_of_square() -> float:
    """Height of a square figure, in units of the style's single figure."""
    width, height = mpl.rcParams["figure.figsize"]
    return float(width / height)


#: Style of a figure that is given none.
DEFAULT_STYLE: Final = PlotStyle()


def styled(draw: Callable[P, Drawn]) -> Callable[P, Drawn]:
    """Give a function that draws a figure its style and its experiment label."""

    @wraps(draw)
    def drawn(*args: P.args, **options: P.kwargs) -> Drawn:
        style = options["style"] = cast("PlotStyle", options.get("style") or DEFAULT_STYLE)
        with style.context():
            done = draw(*args, **options)
            places = {ax: place for ax in done[0].axes if (place := ax.get_subplotspec()) and place.is_first_row()}
            for ax, place in places.items():
                if place.is_first_col() or place.is_last_col():
                    add_experiment_label(ax, style, left=place.is_first_col(), right=place.is_last_col())
        return done

    return drawn


def add_experiment_label(ax: Axes, style: PlotStyle, *, left: bool = True, right: bool = True) -> None:
    """Write experiment and status above an axes on the left, luminosity and energy on the right."""
    # The distance between name and status is fixed on paper: the layout must be known.
    if left and isinstance(figure := ax.get_figure(root=True), Figure):
        figure.draw_without_rendering()
    label = mplhep.label.exp_label if style.experiment == "plain" else getattr(mplhep, style.experiment.lower()).label
    texts: dict[str, Any] = {"llabel": style.status if left else ""}
    if not left or style.label == _PRIVATE:
        texts["exp"] = ""
    texts["rlabel"] = None if right else ""
    before = set(ax.texts)
    label(ax=ax, loc=0, data=style.data, lumi=style.lumi, com=style.energy, scilocator_adjust=False, **texts)
    added = [text for text in ax.texts if text not in before and text.get_text()]
    if left and not right and (style.lumi or style.energy):
        # Longer than a narrow panel; the label on the right makes the room above.
        for text in added:
            text.set_in_layout(False)
    if left and right:
        _fit_in_one_line(ax, added)


def _fit_in_one_line(ax: Axes, texts: list[Text]) -> None:
    """Make the texts above an axes smaller where those on the left would meet those on the right."""
    boxes = [(text.get_window_extent(), text.get_horizontalalignment() == "right") for text in texts]
    start, end = ax.get_window_extent().intervalx
    last = max((box.x1 for box, right in boxes if not right), default=start)
    first = min((box.x0 for box, right in boxes if right), default=end)
    needed = (last - start) + (end - first)
    if needed > _FILLED * (end - start):
        for text in texts:
            text.set_fontsize(float(text.get_fontsize()) * _FILLED * (end - start) / needed)


def measured_text(value: float, error: float = math.nan) -> str:
    r"""
    Write a number to the digit of its error.

    Examples
    --------
    >>> measured_text(0.0231, 0.0029)
    '0.023 $\\pm$ 0.003'
    """
    if not (math.isfinite(error) and error > 0.0):
        return f"{value:.2g}"
    digits = max(0, -math.floor(math.log10(error)))
    return f"{value:.{digits}f} $\\pm$ {error:.{digits}f}"


#: Part of a line that texts on the left and on the right may fill together.
_FILLED = 0.95
_BAND: dict[str, Any] = {"facecolor": "none", "edgecolor": "0.55", "hatch": "////", "linewidth": 0.0}
#: Bins with a worse relative precision do not stretch the axis.
_PRECISE = 0.25
_SMALLEST_SPAN, _LARGEST_DOWN, _LARGEST_UP = 0.05, 0.99, 3.0
#: Room above the largest distance from one.
_ROOM = 1.3
#: A band of up to so many times the largest change is shown as a whole.
_BAND_SHOWN = 3.0


def relative_uncertainty(nominal: Hist[Any]) -> FloatArray:
    r"""Relative statistical uncertainty of each bin, :math:`\sqrt{\sum w^2} / \sum w`; NaN in empty bins."""
    yields = np.asarray(nominal.values(), dtype=np.float64)
    variances = nominal.variances()
    spread = np.sqrt(np.abs(yields) if variances is None else variances)
    return np.divide(spread, np.abs(yields), out=np.full_like(yields, np.nan), where=yields != 0)


def band_handle() -> Patch:
    """Legend entry of the band, which is drawn for scale only."""
    return Patch(**_BAND, label="Stat. unc., for scale")


def draw_ratio(ax: Axes, nominal: Hist[Any], adversarial: Hist[Any], *, colour: str) -> None:
    """Draw adversarial over nominal yields, in the same bins, with the precision of the nominal ones."""
    edges = nominal.axes[0].edges
    before, after = np.asarray(nominal.values(), float), np.asarray(adversarial.values(), float)
    ratio = np.divide(after, before, out=np.full_like(before, np.nan), where=before != 0)
    relative = relative_uncertainty(nominal)
    width = np.nan_to_num(relative)
    ax.stairs(1.0 + width, edges, baseline=1.0 - width, fill=True, **_BAND)
    ax.axhline(1.0, color="0.3", linewidth=1.5)
    mplhep.histplot(ratio, edges, ax=ax, color=colour, linewidth=2, edges=False, flow="none")
    ax.set_ylim(*ratio_limits([ratio], np.nan_to_num(relative, nan=np.inf) < _PRECISE, smallest=_SMALLEST_SPAN))
    draw_arrows(ax, 0.5 * (edges[:-1] + edges[1:]), ratio, colour)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylabel("Ratio", loc="center")


def draw_migration(ax: Axes, nominal: Hist[Any], migration: Migration, *, colour: str) -> None:
    """Draw the net change of each bin with its paired error; the nominal histogram is for bins and band."""
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
    ax.set_ylabel("Change", loc="center")


def ratio_limits(ratios: Iterable[FloatArray], shown: BoolArray, *, smallest: float) -> tuple[float, float]:
    """Limits of an axis that hold the ratios of some bins, and one, up to a largest distance; arrows point at the others."""
    reach = np.concatenate([np.ones(1), *(ratio[shown & np.isfinite(ratio)] for ratio in ratios)]) - 1.0
    up, down = (_ROOM * float(side.max()) for side in (reach, -reach))
    return 1.0 - np.clip(down, smallest, _LARGEST_DOWN), 1.0 + np.clip(up, smallest, _LARGEST_UP)


def stacked_panels(figure: Figure, columns: int = 1, n_pairs: int | None = None) -> tuple[tuple[Axes, Axes], ...]:
    """Put a high panel above a low one, once per column and in as many rows as ``n_pairs`` need; a pair shares its horizontal axis."""
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


def draw_arrows(ax: Axes, places: FloatArray, values: FloatArray, colour: str) -> None:
    """Point at values that are above or below the limits of an axis."""
    low, high = ax.get_ylim()
    for outside, edge, marker in ((values > high, 0.92, "^"), (values < low, 0.08, "v")):
        options: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "linestyle": "none", "zorder": 5}
        n_outside = np.count_nonzero(outside)
        ax.plot(places[outside], np.full(n_outside, edge), marker=marker, color=colour, markersize=8, **options)


def set_headroom(ax: Axes, highest: float, *, log_y: bool, free: float = 1.0 / 3.0) -> None:
    """Leave a part of the axis above the largest value to legend and remarks; logarithmic axes have at least three decades."""
    if log_y:
        lowest = min(0.5, 1e-3 * highest)
        ax.set_yscale("log")
        ax.set_ylim(lowest, lowest * (highest / lowest) ** (1.0 / (1.0 - free)))
    else:
        ax.set_ylim(0.0, highest / (1.0 - free))
        # A common power of ten stands left of the experiment label.
        ax.yaxis.get_offset_text().set(x=-0.02, horizontalalignment="right")


def yield_title(histogram: Hist[Any]) -> str:
    """Name the yields of a histogram with the bin width, such as ``Events / 5 GeV``; the unit stands in brackets in its label."""
    return events_title(histogram.axes[0].edges, histogram.axes[0].label)


def events_title(edges: FloatArray, label: str) -> str:
    """Name yields with the bin width; ``Events / bin`` where widths differ.  The unit stands in brackets at the end of the label."""
    widths = np.diff(edges)
    if not np.allclose(widths, widths[0]):
        return "Events / bin"
    width = f"{widths[0]:.2g}"
    unit = re.search(r"\[(.+)\]$", label)
    if unit:
        return f"Events / {width} {unit.group(1)}"
    return "Events" if width == "1" else f"Events / {width}"
