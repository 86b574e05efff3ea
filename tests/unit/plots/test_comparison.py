# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import matplotlib as mpl
import pytest

from hepfool.plots import AttackPoint, plot_attack_comparison

POINTS = {
    "CONSERVAttack": [AttackPoint(0.8, 0.02, 0.03), AttackPoint(0.6, 0.005, 0.03)],
    "PGD": [AttackPoint(0.5, 0.1, 0.7), AttackPoint(0.1, 0.01, 0.4)],
}


def test_markers_are_open_where_the_cap_is_broken() -> None:
    _, ax = plot_attack_comparison(POINTS, max_js_distance=0.03)
    markers = [line for line in ax.lines if line.get_linestyle() == "None" or len(line.get_xdata()) == 1]  # type: ignore[arg-type]
    faces = [line.get_markerfacecolor() for line in markers]
    assert faces[:2] == [faces[0]] * 2 != ["white"] * 2
    assert faces[2:] == ["white"] * 2


def test_points_are_joined_in_the_order_of_their_shift() -> None:
    _, ax = plot_attack_comparison(POINTS, max_js_distance=0.03)
    assert list(ax.lines[0].get_xdata()) == [0.005, 0.02]  # type: ignore[arg-type]
    assert list(ax.lines[0].get_ydata()) == [0.6, 0.8]  # type: ignore[arg-type]


def test_global_settings_stay_untouched() -> None:
    before = dict(mpl.rcParams)
    plot_attack_comparison(POINTS, max_js_distance=0.03, floor=0.05, published={"Theirs": AttackPoint(0.5, 0.1, 0.03)})
    assert dict(mpl.rcParams) == before


def test_nothing_to_show_and_shifts_of_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="no run to show"):
        plot_attack_comparison({"PGD": []}, max_js_distance=0.1)
    with pytest.raises(ValueError, match="must be positive"):
        plot_attack_comparison({"PGD": [AttackPoint(0.1, 0.0, 0.0)]}, max_js_distance=0.1)
