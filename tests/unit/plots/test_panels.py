# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hist import Hist
from matplotlib.figure import Figure

from hepfool.plots import set_headroom, stacked_panels
from hepfool.plots._style import draw_ratio, relative_uncertainty, yield_title


def histogram(values: list[float], *, label: str = "x") -> Hist[Any]:
    filled: Hist[Any] = Hist.new.Reg(len(values), 0, len(values), label=label).Weight()
    filled.view()["value"] = values  # type: ignore[call-overload]
    filled.view()["variance"] = values  # type: ignore[call-overload]
    return filled


def test_relative_uncertainty_of_weighted_events_follows_the_squared_weights() -> None:
    filled: Hist[Any] = Hist.new.Reg(1, 0, 1).Weight().fill([0.5, 0.5], weight=[3.0, 4.0])
    assert relative_uncertainty(filled).tolist() == pytest.approx([5.0 / 7.0])


def test_ratio_is_unity_for_equal_yields_and_absent_in_empty_bins() -> None:
    ax = Figure().subplots()
    draw_ratio(ax, histogram([4.0, 0.0]), histogram([4.0, 0.0]), colour="red")
    drawn = [patch.get_data().values for patch in ax.patches if hasattr(patch, "get_data")]
    assert any(np.array_equal(values, [1.0, np.nan], equal_nan=True) for values in drawn)


def test_ratio_of_the_same_events_has_no_error_bars() -> None:
    ax = Figure().subplots()
    draw_ratio(ax, histogram([400.0, 100.0]), histogram([380.0, 120.0]), colour="red")
    assert ax.containers == []


@pytest.mark.parametrize(
    ("nominal", "adversarial", "limits"),
    [
        ([1e4, 1e4], [1e4, 1e4], (0.95, 1.05)),
        ([1e4, 1e4], [8e3, 1.2e4], (0.74, 1.26)),
        ([1e4, 1e4], [1e4, 2e4], (0.95, 2.3)),
        ([1e4, 1.0], [1e4, 9.0], (0.95, 1.05)),
        ([1e4, 1e4], [9e4, 0.0], (0.01, 4.0)),
    ],
)
def test_ratio_axis_follows_the_precise_bins(
    nominal: list[float], adversarial: list[float], limits: tuple[float, float]
) -> None:
    ax = Figure().subplots()
    draw_ratio(ax, histogram(nominal), histogram(adversarial), colour="red")
    assert ax.get_ylim() == pytest.approx(limits)


def test_arrows_point_at_what_leaves_the_axis() -> None:
    ax = Figure().subplots()
    draw_ratio(ax, histogram([1e4, 1e4, 1.0]), histogram([1e4, 9e4, 0.0]), colour="red")
    arrows = {line.get_marker(): list(np.asarray(line.get_xdata())) for line in ax.lines if line.get_marker() in "^v"}  # type: ignore[operator]
    assert arrows == {"^": [1.5], "v": [2.5]}


def test_panels_share_their_horizontal_axis() -> None:
    columns = stacked_panels(Figure(), 2)
    assert len(columns) == 2
    columns[0][0].set_xlim(2, 3)
    assert columns[0][1].get_xlim() == (2, 3)
    assert columns[1][1].get_xlim() != (2, 3)


@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize("highest", [0.02, 3.0, 1e6])
def test_headroom_leaves_the_upper_third_free(highest: float, log_y: bool) -> None:
    ax = Figure().subplots()
    set_headroom(ax, highest, log_y=log_y)
    height = ax.transAxes.inverted().transform(ax.transData.transform((0.0, highest)))[1]
    assert height == pytest.approx(2.0 / 3.0)


def test_yields_name_the_bin_width_only_of_equal_bins() -> None:
    unequal: Hist[Any] = Hist.new.Var([0, 1, 3]).Double()
    assert yield_title(histogram([1.0, 1.0], label="$p_T$ [GeV]")) == "Events / 1 GeV"
    assert yield_title(unequal) == "Events / bin"
