# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepfool.plots import DEFAULT_STYLE, PlotStyle, add_experiment_label, styled
from hepfool.plots._style import Experiment


@pytest.mark.parametrize(
    ("label", "data", "status"),
    [
        ("Work in progress", False, "Simulation Work in progress"),
        ("Simulation Preliminary", False, "Simulation Preliminary"),
        ("Preliminary", True, "Preliminary"),
        ("", False, "Simulation"),
    ],
)
def test_simulation_is_said_once_and_not_of_data(label: str, data: bool, status: str) -> None:
    assert PlotStyle(label=label, data=data).status == status


@pytest.mark.parametrize("data", [False, True])
def test_private_work_is_not_that_of_a_collaboration(data: bool) -> None:
    style = PlotStyle(experiment="CMS", data=data)
    with style.context():
        figure = style.figure()
        add_experiment_label(figure.subplots(), style)
    shown = "data/simulation" if data else "simulation"
    written = [text.get_text() for text in figure.findobj(mpl.text.Text) if "CMS" in text.get_text()]
    assert written == [f"Private work (CMS {shown})"]


def test_labels_on_the_left_and_on_the_right_do_not_meet() -> None:
    style = PlotStyle(experiment="CMS", lumi=59.7, energy=13.6)
    with style.context():
        figure = style.figure(width=0.6)
        ax = figure.subplots()
        add_experiment_label(ax, style)
        figure.draw_without_rendering()
        boxes = {text.get_text(): text.get_window_extent() for text in ax.texts if text.get_text()}
    left, right = (next(box for name, box in boxes.items() if part in name) for part in ("CMS", "TeV"))
    assert left.x1 < right.x0


def test_pseudo_data_are_simulation() -> None:
    assert PlotStyle().with_data("Data 2022").data
    assert not PlotStyle().with_data("Pseudo-data").data


def test_text_of_wide_figures_is_not_smaller_on_a_page() -> None:
    style = PlotStyle()
    with style.context():
        single, wide = style.figure(), style.figure(width=3.0)
    assert np.divide(*wide.get_size_inches()) == pytest.approx(3.0 * np.divide(*single.get_size_inches()))
    assert wide.get_figwidth() < 2.0 * single.get_figwidth()


@pytest.mark.parametrize("experiment", ["CMS", "ATLAS", "LHCb", "ALICE", "plain"])
def test_label_names_experiment_status_luminosity_and_energy(experiment: Experiment) -> None:
    style = PlotStyle(experiment=experiment, label="Preliminary", lumi=59.7, energy=13.6)
    with style.context():
        figure = style.figure()
        ax = figure.subplots()
        add_experiment_label(ax, style)
    written = " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))
    assert "Simulation Preliminary" in written
    assert "59.7" in written
    assert "13.6 TeV" in written
    assert (experiment in written) == (experiment != "plain")


def test_left_and_right_label_can_stand_above_different_panels() -> None:
    style = PlotStyle(experiment="CMS", energy=13.6)
    with style.context():
        figure = style.figure()
        first, last = figure.subplots(1, 2)
        add_experiment_label(first, style, right=False)
        add_experiment_label(last, style, left=False)
    written = [" ".join(text.get_text() for text in ax.findobj(mpl.text.Text)) for ax in (first, last)]
    assert "CMS" in written[0]
    assert "TeV" not in written[0]
    assert "CMS" not in written[1]
    assert "TeV" in written[1]


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_a_drawn_figure_has_its_label_above_the_ends_of_the_highest_row(columns: int) -> None:
    @styled
    def draw(*, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, list[list[Axes]]]:
        figure = style.figure()
        return figure, figure.subplots(2, columns, squeeze=False).tolist()

    before = dict(mpl.rcParams)
    _, rows = draw(style=PlotStyle(experiment="CMS", energy=13.6))
    assert dict(mpl.rcParams) == before
    written = [[" ".join(text.get_text() for text in ax.findobj(mpl.text.Text)) for ax in row] for row in rows]
    assert ["CMS" in text for row in written for text in row] == [True] + [False] * (2 * columns - 1)
    assert ["13.6 TeV" in text for text in written[0]] == [False] * (columns - 1) + [True]


def test_a_figure_without_a_style_has_the_default() -> None:
    @styled
    def draw(*, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, PlotStyle]:
        return style.figure(), style

    assert draw()[1] is draw(style=None)[1] is DEFAULT_STYLE  # type: ignore[arg-type]


def test_style_reports_an_unknown_experiment() -> None:
    with pytest.raises(ValueError, match="no style for experiment 'D0'; use one of CMS"):
        PlotStyle(experiment="D0")  # type: ignore[arg-type]


def test_style_needs_three_colours() -> None:
    with pytest.raises(ValueError, match="at least three colours, got 1"):
        PlotStyle(colours=("red",))


def test_a_figure_looks_the_same_whatever_the_global_settings_are() -> None:
    style = PlotStyle()

    def drawn() -> bytes:
        with style.context():
            figure = style.figure(width=0.3, height=0.3)
            figure.subplots().plot([0, 1])
        return saved(figure)

    reference = drawn()
    with mpl.rc_context({"font.size": 40.0, "xtick.direction": "out", "lines.linewidth": 9.0, "savefig.dpi": 33}):
        assert drawn() == reference


def saved(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=30)
    return buffer.getvalue()
