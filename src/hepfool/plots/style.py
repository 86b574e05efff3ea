# SPDX-License-Identifier: BSD-3-Clause
"""
One look for all figures, without touching Matplotlib's global settings.

A :class:`PlotStyle` says whose figure it is; every ``plot_`` function takes one.
The figures it makes keep their style when they are drawn or saved later, and are
not registered with pyplot: nothing has to be closed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, Final, Literal, ParamSpec, TypeVar, cast, get_args

import matplotlib as mpl
import mplhep
from cycler import cycler
from matplotlib import cbook
from matplotlib import style as mpl_style
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from hepfool.exceptions import PlainTextWarning

__all__ = ["DEFAULT_STYLE", "Experiment", "PlotStyle", "StyledFigure", "add_experiment_label", "check_labels", "styled"]

P = ParamSpec("P")
Drawn = TypeVar("Drawn", bound=tuple[Figure, Any])
Experiment = Literal["CMS", "ATLAS", "LHCb", "ALICE", "plain"]

#: Ten colours that colour-blind readers tell apart (M. Petroff, arXiv:2107.02270).
_PETROFF_10: tuple[str, ...] = tuple(mpl.colors.to_hex(colour) for colour in mpl.color_sequences["petroff10"])


class StyledFigure(Figure):
    """
    A figure that keeps its style wherever it is drawn or saved.

    Matplotlib reads fonts, ticks and file settings when a figure is *drawn*;
    outside of the style's context they would be someone else's.

    Parameters
    ----------
    *args
        Passed to :class:`matplotlib.figure.Figure`.
    settings : mapping of str to object
        Matplotlib settings on top of the library's defaults.
    **kwargs
        Passed to :class:`matplotlib.figure.Figure`.
    """

    def __init__(self, *args: Any, settings: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = dict(settings)

    def draw(self, renderer: RendererBase) -> None:
        """
        Draw the figure in its style.

        Parameters
        ----------
        renderer : matplotlib.backend_bases.RendererBase
            Where to draw.
        """
        with mpl_style.context(self._settings, after_reset=True):
            self._write_plainly_what_is_no_tex()
            super().draw(renderer)

    def get_tightbbox(self, *args: Any, **kwargs: Any) -> Bbox:
        """
        Measure the figure in its style.

        Parameters
        ----------
        *args, **kwargs
            As for :meth:`matplotlib.figure.Figure.get_tightbbox`.

        Returns
        -------
        matplotlib.transforms.Bbox
            What a notebook shows, in inches.
        """
        with mpl_style.context(self._settings, after_reset=True):
            self._write_plainly_what_is_no_tex()
            return super().get_tightbbox(*args, **kwargs)

    def _write_plainly_what_is_no_tex(self) -> None:
        texts: list[Any] = self.findobj(Text)
        for text in texts:
            if text.get_parse_math() and not check_labels([text.get_text()]):
                text.set_parse_math(False)

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """
        Save the figure in its style.

        Parameters
        ----------
        fname : str, path or file
            As for :meth:`matplotlib.figure.Figure.savefig`.
        **kwargs
            As for :meth:`matplotlib.figure.Figure.savefig`.
        """
        with mpl_style.context(self._settings, after_reset=True):
            super().savefig(fname, **kwargs)


def check_labels(labels: Iterable[str]) -> bool:
    """
    Tell which labels Matplotlib cannot set.

    Parameters
    ----------
    labels : iterable of str
        Texts with or without TeX, such as the titles of features.

    Returns
    -------
    bool
        Whether all of them can be set.

    Warns
    -----
    PlainTextWarning
        Of the first that cannot; figures show it without interpreting its TeX.

    Examples
    --------
    >>> check_labels(["$p_T$ [GeV]", "price in $"])
    True
    """
    for label in labels:
        fault = next((found for line in label.split("\n") if (found := _tex_fault(line))), "")
        if fault:
            msg = f"the label {label!r} is no TeX that Matplotlib can set ({fault}); figures show it as it is, mend it"
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
        Status behind the name; approved wording such as ``Preliminary`` is the user's choice.
    lumi : float, optional
        Integrated luminosity in 1/fb.
    energy : float, optional
        Centre-of-mass energy in TeV.
    data : bool
        Whether collision data are shown; ``Simulation`` is added to the label otherwise.
    colours : tuple of str
        Line and fill colours, by default Petroff's ten for colour-blind readers.

    Examples
    --------
    >>> PlotStyle(label="Preliminary", energy=13.6).status
    'Simulation Preliminary'
    """

    experiment: Experiment = "CMS"
    label: str = "Private work"
    lumi: float | None = None
    energy: float | None = None
    data: bool = False
    colours: tuple[str, ...] = _PETROFF_10

    def __post_init__(self) -> None:
        """Check the experiment and the number of colours."""
        if self.experiment not in get_args(Experiment):
            msg = f"no style for experiment {self.experiment!r}; use one of {', '.join(get_args(Experiment))}"
            raise ValueError(msg)
        if fault := _tex_fault(self.label):
            msg = f"label {self.label!r} is no TeX that Matplotlib can set ({fault}); write it without $ or mend it"
            raise ValueError(msg)
        if len(self.colours) < 3:
            msg = f"a style needs at least three colours, got {len(self.colours)}"
            raise ValueError(msg)

    @property
    def status(self) -> str:
        """Label with ``Simulation`` in front, once, unless data are shown."""
        own = self.label.removeprefix("Simulation").strip()
        return self.label if self.data else f"Simulation {own}".strip()

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
            In units of the style's single figure.

        Returns
        -------
        StyledFigure
            Unknown to pyplot; its layout makes room for every label.
        """
        size = mpl.rcParams["figure.figsize"]
        figure = StyledFigure(figsize=(width * size[0], height * size[1]), settings=self.settings)
        figure.set_layout_engine("constrained", rect=(0.005, 0.01, 0.99, 0.98))
        return figure


#: Style of a figure that is given none.
DEFAULT_STYLE: Final = PlotStyle()


def styled(draw: Callable[P, Drawn]) -> Callable[P, Drawn]:
    """
    Give a function that draws a figure its style and its experiment label.

    Parameters
    ----------
    draw : callable
        Takes a keyword ``style``, returns ``(figure, axes)``; it runs inside of :meth:`PlotStyle.context`.

    Returns
    -------
    callable
        The same with experiment and status above the first axes of the highest row, luminosity and energy above its last.
    """

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
    """
    Write experiment and status above an axes on the left, luminosity and energy on the right.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes below the label.
    style : PlotStyle
        What to write.
    left, right : bool
        Which of both; in a row of panels the first has the left and the last has the right label.
    """
    # The distance between name and status is fixed on paper: the layout must be known.
    if left and isinstance(figure := ax.get_figure(root=True), Figure):
        figure.draw_without_rendering()
    label = mplhep.label.exp_label if style.experiment == "plain" else getattr(mplhep, style.experiment.lower()).label
    texts: dict[str, Any] = {} if left else {"exp": "", "llabel": ""}
    if left:
        texts["llabel"] = style.status
    texts["rlabel"] = None if right else ""
    label(ax=ax, loc=0, data=style.data, lumi=style.lumi, com=style.energy, scilocator_adjust=False, **texts)
