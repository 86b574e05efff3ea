# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from matplotlib.axes import Axes

from hepfool.attacks import AttackResult, Noise, run_attack
from hepfool.plots import PlotStyle, plot_detection, plot_verdict, verdict_panels
from hepfool.plots._validation import _CHECKS
from hepfool.statistics._checks import CheckKind, DetectionPower, DetectionTable
from hepfool.statistics._joint_toys import CombinedPower
from hepfool.statistics._toys import Power
from hepfool.summary import Evidence
from hepfool.worst_case import Ladder
from hepfool.worst_case._rungs import Bracket, Rung
from tests.specimens import SineClassifier, events

PLAIN = PlotStyle(experiment="plain")


@pytest.fixture(scope="module")
def result() -> AttackResult:
    table = events(400)
    scaled = {name: table.values.copy() for name in ("tes_up", "tes_down")}
    scaled["tes_up"][:, 0] *= 1.1
    scaled["tes_down"][:, 0] *= 0.8
    table = replace(
        table,
        shape_variations=scaled,
        weight_variations={"norm_up": table.weights * (1.0 + 0.1 * (table.labels == 1)), "norm_down": table.weights},
    )
    return run_attack(Noise(size=0.2, unit="range"), SineClassifier(), table, rng=np.random.default_rng(1))


def ladder(proved: float | None = 0.4) -> Ladder:
    bracket = Bracket(found=0.3, error=0.02, proved=proved)
    rung = Rung(freedom="inputs", label="Every input by itself", fooling=bracket, gain=bracket, loss=bracket)
    return Ladder(rungs=(rung,), events="high_pt", sources=(), n_attacked=1, n_events=1, shift={}, relaxed=(), seed=1)


def checks(comparison: str = "inputs") -> DetectionTable:
    row = DetectionPower(
        check="ks",
        region="low_pt",
        features=("jet_pt",),
        comparison=comparison,
        power=Power(0.97, 0.1),
        n_data=300.0,
        n_simulated=1e3,
        n_toys=100,
    )
    return DetectionTable(rows=(row, replace(row, check="classifier", features=(), n_data=50.0)), level=0.05)


def written(ax: Axes) -> str:
    return " ".join(text.get_text() for text in ax.texts)


def test_numbers_are_those_of_the_signal_region(result: AttackResult) -> None:
    flagged = np.arange(400) % 3 == 0
    sums = result.sums(SineClassifier(), flagged=flagged)
    adaptive = result.sums(SineClassifier(), flagged=~flagged)
    evidence = Evidence.of(sums, adaptive=adaptive)
    (panel,) = verdict_panels(sums, evidence, ladders=[ladder()], decisions={"high_pt": "COVERED"})
    assert panel.decision == "COVERED"
    table, classes = result.nominal, SineClassifier().predict(result.nominal.network_values)
    inside = table.region("high_pt").mask
    attacked = inside & result.attacked
    rows = {row.label: row for row in panel.rows}

    def fraction(changed: np.ndarray) -> float:
        return float(table.weights[attacked & changed].sum() / table.weights[attacked].sum())

    flips = {
        name: fraction(SineClassifier().predict(table.variation(name).network_values) != classes)
        for name in table.shape_variations
    }
    assert list(rows) == [
        "tes",
        "norm",
        "All, in quadrature",
        "Attack",
        "Attack, not flagged",
        "Attack, knows detector",
        r"Any inputs within $\pm 1\sigma$",
    ]
    assert panel.n_attacked == attacked.sum()
    assert "pt > 60" in panel.title
    assert flips["tes_up"] != flips["tes_down"]
    assert rows["tes"].flips.value == pytest.approx(max(flips.values()))  # type: ignore[union-attr]
    assert rows["norm"].flips is None
    assert rows["All, in quadrature"].flips.value == pytest.approx(max(flips.values()))  # type: ignore[union-attr]
    assert rows["Attack"].flips.value == pytest.approx(fraction(result.fooled))  # type: ignore[union-attr]
    remaining = fraction(result.fooled & ~flagged)
    assert rows["Attack, not flagged"].flips.value == pytest.approx(remaining)  # type: ignore[union-attr]
    unflagged = fraction(result.fooled & flagged)
    assert rows["Attack, knows detector"].flips.value == pytest.approx(unflagged)  # type: ignore[union-attr]
    chosen, weights = inside & (classes == 1), table.weight_variations["norm_up"]
    change = weights[chosen].sum() / table.weights[chosen].sum() - 1.0
    assert rows["norm"].shifts[0].value == pytest.approx(change)
    assert rows[r"Any inputs within $\pm 1\sigma$"].limits == (0.4, 0.4, 0.4)


def test_without_regions_all_events_are_shown_and_nothing_is_proved_by_a_search() -> None:
    result = run_attack(
        Noise(size=0.2, unit="range"), SineClassifier(), events(200, regions=False), rng=np.random.default_rng(1)
    )
    sums = result.sums(SineClassifier())
    (panel,) = verdict_panels(sums, Evidence.of(sums), ladders=[replace(ladder(None), events="all events")])
    assert panel.title == "All events"
    assert [row.kind for row in panel.rows] == ["attack", "worst"]
    assert panel.rows[-1].limits == ()
    figure, axes = plot_verdict([panel], style=PLAIN)
    figure.draw_without_rendering()
    assert len(axes) == 2
    assert "Proved" not in str([text.get_text() for text in figure.legends[0].get_texts()])


def test_a_reader_sees_what_is_covered_proved_and_not_looked_at(result: AttackResult) -> None:
    sums = result.sums(SineClassifier())
    panels = verdict_panels(sums, Evidence.of(sums), ladders=[ladder()])
    figure, (left, right, powers) = plot_verdict(
        panels, checks(), decision="INVESTIGATE", labels=sums.labels, style=PLAIN
    )
    added = next(row for row in panels[0].rows if row.kind == "total")
    assert added.flips is not None
    bands = [patch.get_extents().transformed(left.transData.inverted()).x1 for patch in left.patches]
    assert any(end == pytest.approx(100.0 * added.flips.value) for end in bands)
    assert "no event" in written(left)
    assert r"($\leq$ 40.0)" in written(left)
    assert {line.get_xdata()[0] for line in right.lines} >= {40.0, -40.0}  # type: ignore[index]
    assert "KS of jet pt" in written(powers) or "KS of jet_pt" in written(powers)
    assert "classifier test (50 events)" in written(powers)
    assert "score is not checked" in written(powers)
    assert "300 data events" in powers.get_xlabel()
    assert "INVESTIGATE" in figure.legends[0].get_title().get_text()
    _, (_, _, looked) = plot_verdict(panels, checks("score"), style=PLAIN)
    assert "not checked" not in written(looked)


def test_errors_of_powers_end_where_powers_do(result: AttackResult) -> None:
    sums = result.sums(SineClassifier())
    _, (*_, powers) = plot_verdict(verdict_panels(sums, Evidence.of(sums)), checks(), style=PLAIN)
    ends = [bar.lines[2][0].get_segments()[0][:, 0].tolist() for bar in powers.containers if hasattr(bar, "lines")]
    assert ends[0] == pytest.approx([0.87, 1.0])


def test_nothing_to_show_is_refused() -> None:
    with pytest.raises(ValueError, match="no region to show"):
        plot_verdict([])


def test_all_standard_checks_together_stand_above_each_of_them() -> None:
    together = CombinedPower(
        power=Power(0.6, 0.05), uncorrected=0.4, n_checks=58, n_data=300.0, n_simulated=1e3, n_toys=100
    )
    figure, ax = plot_detection(replace(checks(), combined=together), labels={"jet_pt": "jet $p_T$"}, style=PLAIN)
    names = [text.get_text() for text in ax.texts[:3]]
    assert names == ["all 58 standard checks together", "KS of jet $p_T$", "classifier test (50 events)"]
    assert [bar.get_width() for bar in ax.patches] == [0.6, 0.97, 0.97]  # type: ignore[attr-defined]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["All standard checks", "Standard check", "Further check", "Type-I error 0.05"]


def test_every_check_has_a_name_on_figures() -> None:
    assert set(_CHECKS) == set(get_args(CheckKind))


def test_names_of_checks_do_not_overlap(result: AttackResult) -> None:
    long = {"features": ("the momentum of the leading jet", "the momentum of all of them"), "check": "projection"}
    short = [{"features": (name,), "check": "chi2"} for name in ("pt", "eta", "phi", "mass")]
    rows = tuple(
        DetectionPower(region="a", power=Power(0.3, 0.02), n_data=70.0, n_simulated=600.0, n_toys=9, **one)  # type: ignore[arg-type]
        for one in (short[0], long, *short[1:], {"features": (), "check": "correlations"})
    )
    sums = result.sums(SineClassifier())
    figure, axes = plot_verdict(
        verdict_panels(sums, Evidence.of(sums)), DetectionTable(rows=rows, level=0.05), style=PLAIN
    )
    figure.draw_without_rendering()
    inside = [text for text in axes[-1].texts if text.get_transform() is axes[-1].transData]
    boxes = sorted((text.get_window_extent() for text in inside), key=lambda box: -box.y0)
    assert len(boxes) == len(rows) + 1
    assert boxes[0].y1 < axes[-1].get_window_extent().y1
    assert all(lower.y1 < upper.y0 for upper, lower in pairwise(boxes))
