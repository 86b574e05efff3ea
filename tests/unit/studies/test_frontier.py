# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepfool.attacks import AttackProblem, CONSERVAttack, run_attack
from hepfool.events import Envelope, EventTable
from hepfool.statistics import Binning, CheckSettings
from hepfool.studies import OperatingPoint, run_frontier
from hepfool.studies import _frontier as frontier
from hepfool.studies._frontier import FrontierPoint, scaled_caps
from hepfool.typing import FloatArray
from hepfool.validation import Marginals, Validation
from tests.specimens import SineClassifier, events

SETTINGS = CheckSettings(n_data=2000.0, checks=("chi2", "correlations"), n_toys=60)
ATTACK = CONSERVAttack(n_bins=20, n_iterations=3, beta=20.0, max_js_distance=0.03, max_correlation_shift=0.05)

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")


@pytest.fixture
def table() -> EventTable:
    return events(500, regions=False)


def test_looser_caps_fool_more_and_are_noticed_more(table: EventTable) -> None:
    kept = Validation(score=None, inputs=Marginals(n_bins=20, n_quantiles=0))
    attack = CONSERVAttack(n_iterations=3, validation=kept, beta=1.0)
    found = run_frontier(scaled_caps(attack, [1.0, 0.05, 0.2]), SineClassifier(), table, SETTINGS, seed=3)
    assert [point.factor for point in found.points] == [0.05, 0.2, 1.0]
    for tight, loose in pairwise(found.points):
        assert loose.fooling.value > tight.fooling.value
        assert loose.power.value >= tight.power.value
        assert loose.max_js_distance > tight.max_js_distance
    for point in found.points:
        assert point.max_js_distance <= 0.03 * point.factor + 1e-12
        assert point.check.endswith("standard checks together")
        assert point.fooling.error > 0.0
    assert found.operating_point is found.points[2]
    assert found.unnoticed(1.0) is found.points[2]
    assert found.unnoticed(0.0) is None


@pytest.fixture(scope="module")
def operating() -> OperatingPoint:
    """An attack on part of the events, within bounds and in bins of its own."""
    table = events(500, regions=False)
    envelope = Envelope.relative(table, 0.05)
    binning = Binning.uniform(table, n_bins=10).united(Binning.quantiles(table, n_bins=30))
    target = table.labels == 1
    result = run_attack(
        ATTACK,
        SineClassifier(),
        table,
        rng=np.random.default_rng(9),
        target=target,
        envelope=envelope,
        binning=binning,
    )
    checks = result.checks(SETTINGS, rng=np.random.default_rng(8))
    return OperatingPoint(result=result, checks=checks, envelope=envelope)


def test_the_scan_goes_through_the_attack_that_was_run(
    operating: OperatingPoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, ran = operating.result, []

    def watched(attack: CONSERVAttack, *arguments: Any, **options: Any) -> Any:
        ran.append(attack)
        assert options["target"] is result.attacked
        assert options["binning"] is result.binning
        assert options["envelope"] is operating.envelope
        return run_attack(attack, *arguments, **options)

    monkeypatch.setattr(frontier, "run_attack", watched)
    scan = scaled_caps(ATTACK, [0.2, 1.0, 2.0])
    options: dict[str, Any] = {"seed": 3, "operating": operating, "resume": tmp_path / "scan.json"}
    found = run_frontier(scan, SineClassifier(), result.nominal, SETTINGS, **options)
    assert ran == [scan[0.2], scan[2.0]]
    own = found.operating_point
    assert own is not None
    assert own.fooling.value == pytest.approx(result.fooling_ratio)
    assert own.max_js_distance == result.compatibility.max_js_distance
    assert operating.checks.combined is not None
    assert own.power.value == operating.checks.combined.power.value
    # Of the attacked events alone, so that other events cannot dilute it.
    assert (
        result.attacked.sum() < (SineClassifier().predict(result.nominal.network_values) == result.nominal.labels).sum()
    )
    assert run_frontier(scan, SineClassifier(), result.nominal, SETTINGS, **options) == found
    assert len(ran) == 2
    wider = replace(operating, envelope=Envelope.relative(result.nominal, 0.1))
    with pytest.raises(ValueError, match="belongs to another run: operating point differ"):
        run_frontier(scan, SineClassifier(), result.nominal, SETTINGS, **{**options, "operating": wider})


def test_an_operating_point_of_another_attack_is_refused(operating: OperatingPoint, table: EventTable) -> None:
    for classifier, events_, attack, message in (
        (SineClassifier(), table, ATTACK, "another table or network"),
        (SineClassifier(digest="b" * 64), operating.result.nominal, ATTACK, "another table or network"),
        (SineClassifier(), operating.result.nominal, replace(ATTACK, n_bins=7), "scale its own caps"),
    ):
        with pytest.raises(ValueError, match=message):
            run_frontier(scaled_caps(attack, [1.0]), classifier, events_, SETTINGS, seed=1, operating=operating)


def test_an_operating_point_knows_its_attack_with_caps_at_a_power(operating: OperatingPoint) -> None:
    attack = CONSERVAttack(validation=Validation.at_power(n_data=500.0))
    scan = scaled_caps(attack, [0.5, 1.0])
    point = replace(operating, result=replace(operating.result, attack=attack))
    assert point.ran(scan[1.0])
    assert not point.ran(scan[0.5])
    assert not point.ran(ATTACK)


def test_finished_points_are_not_run_again(table: EventTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scan.json"
    whole = run_frontier(scaled_caps(ATTACK, [0.5, 1.0]), SineClassifier(), table, SETTINGS, seed=3)
    first = run_frontier(scaled_caps(ATTACK, [1.0]), SineClassifier(), table, SETTINGS, seed=3, resume=path)
    assert first.points == whole.points[1:]
    ran: list[float] = []
    original = frontier._point

    def count(factor: float, *arguments: Any) -> FrontierPoint:
        ran.append(factor)
        return original(factor, *arguments)

    monkeypatch.setattr(frontier, "_point", count)
    shown: list[tuple[str, float]] = []
    again = run_frontier(
        scaled_caps(ATTACK, [0.5, 1.0]),
        SineClassifier(),
        table,
        SETTINGS,
        seed=3,
        resume=path,
        progress=lambda *told: shown.append(told),
    )
    assert again == whole
    assert ran == [0.5]
    assert [(text.partition(":")[0], done) for text, done in shown] == [("caps × 0.5", 0.5), ("caps × 1", 1.0)]
    # Another attack at the same factor is another point.
    other = scaled_caps(replace(ATTACK, n_iterations=1), [1.0])
    assert run_frontier(other, SineClassifier(), table, SETTINGS, seed=3, resume=path).points != whole.points[1:]
    assert ran == [0.5, 1.0]
    assert n_kept(path) == 3


def test_a_file_of_another_scan_is_refused(table: EventTable, tmp_path: Path) -> None:
    path, attacks = tmp_path / "scan.json", scaled_caps(replace(ATTACK, n_iterations=1), [1.0])
    quick = replace(SETTINGS, checks=("chi2",))
    run_frontier(attacks, SineClassifier(), table, quick, seed=3, resume=path)
    lighter = EventTable.from_arrays(table.values[:400], labels=table.labels[:400], features=table.features)
    for changed, name in (
        ((SineClassifier(digest="b" * 64), table, quick, 3), "network"),
        ((SineClassifier(), lighter, quick, 3), "events"),
        ((SineClassifier(), table, replace(quick, n_data=3.0), 3), "validation"),
        ((SineClassifier(), table, quick, 4), "seed"),
    ):
        *arguments, seed = changed
        with pytest.raises(ValueError, match=f"belongs to another run: {name} differ"):
            run_frontier(attacks, *arguments, seed=seed, resume=path)  # type: ignore[arg-type]


def n_kept(path: Path) -> int:
    """Points in a file of a scan."""
    return len(json.loads(path.read_bytes().splitlines()[-1]))


class Interrupted(CONSERVAttack):
    """Ctrl-C in the second iteration."""

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        if iteration == 1:
            raise KeyboardInterrupt
        return values


def test_an_interrupted_attack_is_not_a_point_of_a_scan(table: EventTable, tmp_path: Path) -> None:
    path = tmp_path / "scan.json"
    quick = replace(SETTINGS, checks=("chi2",))
    attacks = {0.5: replace(ATTACK, n_iterations=1), 1.0: Interrupted(n_bins=20, n_iterations=2)}
    with pytest.raises(KeyboardInterrupt):
        run_frontier(attacks, SineClassifier(), table, quick, seed=3, resume=path)
    assert n_kept(path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["scan.json"]


def test_impossible_scans_are_refused(table: EventTable) -> None:
    with pytest.raises(ValueError, match="no cap to scale; set one of max_js_distance, max_correlation_shift"):
        scaled_caps(CONSERVAttack(), [1.0])
    with pytest.raises(ValueError, match="max_js_distance must not be negative"):
        scaled_caps(ATTACK, [-1.0])
    for attacks, checks in (({}, ("chi2",)), (scaled_caps(ATTACK, [1.0]), ("classifier",))):
        with pytest.raises(ValueError, match="at least one attack, and one of the checks chi2, ks, correlations"):
            run_frontier(attacks, SineClassifier(), table, replace(SETTINGS, checks=checks), seed=1)  # type: ignore[arg-type]
