# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from hepfool.attacks import AttackResult, CONSERVAttack
from hepfool.events import EventTable, signal_region_envelope
from hepfool.models import Classifier, FiniteDifference
from hepfool.statistics import CheckSettings
from hepfool.studies import OperatingPoint, run_frontier
from hepfool.studies._frontier import scaled_caps
from hepfool.study import draw_study, judged, thin, write_study
from hepfool.study._outcome import check_shown
from tests.judged import judged_attack
from tests.specimens import SineClassifier, events


@pytest.fixture
def varied(shifted_result: AttackResult) -> EventTable:
    """Events with a shape and a weight variation."""
    table = shifted_result.nominal
    return dataclasses.replace(
        table,
        shape_variations={"jes_up": table.values + np.array([0.05, 0.0]), "jes_down": table.values - 0.01},
        weight_variations={"pileup_up": 1.1 * table.weights},
    )


def test_systematics_are_measured_on_the_attacked_events(
    varied: EventTable, shifted_result: AttackResult, sign_classifier: Classifier
) -> None:
    study = judged_attack(varied, sign_classifier, shifted_result.attack, seed=7, target=0)
    assert study.result is not None
    np.testing.assert_array_equal(study.result.attacked, varied.labels == 0)
    effects = {effect.name: effect for effect in study.evidence.effects}
    assert list(effects) == ["jes_up", "jes_down", "pileup_up"]
    up = (varied.values[:, 0] + 0.05 > 0) & (varied.labels == 0)
    assert up.any()
    assert effects["jes_up"].flips is not None
    assert effects["jes_up"].flips.value == pytest.approx(up.sum() / (varied.labels == 0).sum())
    assert study.summary.systematics["total"]["sources"] == ["jes", "pileup"]
    excess = study.sums.fooling_ratio - study.summary.systematics["total"]["flips"]["value"]
    assert study.summary.systematics["excess"]["flips"]["value"] == pytest.approx(excess)
    # In the signal region the attack can do what the variations do, and no more.
    (fooling,) = (c for c in study.summary.verdict["criteria"] if c["name"] == "FoolingWithinSystematics")
    assert fooling["values"]["effect"]["value"] == pytest.approx(fooling["values"]["systematics"]["value"])
    assert study.summary.verdict["decision"] == "INCOMPLETE"


def test_an_investigated_excess_is_assigned(
    varied: EventTable, shifted_result: AttackResult, sign_classifier: Classifier
) -> None:
    free = dataclasses.replace(varied, shape_variations={"jes_up": varied.values + np.array([0.05, 0.0])}, regions=())
    study = judged_attack(free, sign_classifier, shifted_result.attack, seed=7, investigated=True)
    assert study.summary.verdict["decision"] == "ASSIGN"
    (region,) = study.summary.verdict["regions"]
    assert 0 < region["size_flips"] < study.sums.fooling_ratio


def test_names_that_could_not_be_written_are_refused(shifted_result: AttackResult) -> None:
    nominal = shifted_result.nominal
    table = EventTable.from_arrays(
        nominal.values, labels=nominal.labels, features=["pt", "met"], spectators={"pt": nominal.weights}
    )
    with pytest.raises(ValueError, match="two columns would be called pt"):
        check_shown(table)


def test_a_study_is_drawn_and_written(
    varied: EventTable, shifted_result: AttackResult, sign_classifier: Classifier, tmp_path: Path
) -> None:
    settings = CheckSettings(n_data=300.0, checks=("chi2",))
    checked = judged_attack(varied, sign_classifier, shifted_result.attack, seed=7, checks=settings)
    folder = write_study(checked, tmp_path / "out", figures={"impacts": Figure()})
    names = {path.stem for path in (folder / "figures").iterdir()}
    assert names == {"verdict", "marginals", "correlations", "score", "fooling", "detection", "impacts"}
    assert len(list((folder / "figures").iterdir())) == 14
    assert "How far each nuisance parameter of the fit" in (folder / "report.html").read_text()


def test_checks_go_to_summary_and_figures(
    varied: EventTable, shifted_result: AttackResult, sign_classifier: Classifier
) -> None:
    settings = CheckSettings(n_data=300.0, checks=("chi2", "ks", "projection"), n_toys=50)
    checked = judged_attack(varied, sign_classifier, shifted_result.attack, seed=7, checks=settings)
    assert checked.detection is not None
    record = checked.summary.detection
    assert record is not None
    assert record["strongest_standard"]["features"] == ["lead_jet_pt"]
    assert [row["power"]["value"] for row in record["rows"]] == [row.power.value for row in checked.detection.rows]


def test_a_scan_of_the_caps_goes_to_summary_and_figures(
    shifted_result: AttackResult, sign_classifier: Classifier
) -> None:
    attack = CONSERVAttack(n_iterations=1, n_bins=10, max_js_distance=0.05)
    settings = CheckSettings(n_data=300.0, checks=("chi2",))
    table, classifier = shifted_result.nominal, FiniteDifference(sign_classifier, [0.05, 0.05])
    own = judged_attack(table, classifier, attack, seed=7, checks=settings)
    assert own.result is not None
    assert own.detection is not None
    point = OperatingPoint(result=own.result, checks=own.detection)
    scan = run_frontier(scaled_caps(attack, [0.5, 1.0]), classifier, table, settings, seed=1, operating=point)
    found = judged(own.sums, result=own.result, frontier=scan)
    assert found.summary.frontier is not None
    assert [point["factor"] for point in found.summary.frontier["points"]] == [0.5, 1.0]
    assert found.summary.frontier["points"][1]["fooling"]["value"] == pytest.approx(own.sums.fooling_ratio)
    assert "frontier" in draw_study(found)


def test_thinning_keeps_the_order_and_the_seed(shifted_result: AttackResult) -> None:
    table = shifted_result.nominal
    part = thin(table, 100, seed=3)
    positions = [int(np.flatnonzero((table.values == row).all(axis=1))[0]) for row in part.values]
    assert positions == sorted(set(positions))
    np.testing.assert_array_equal(thin(table, 100, seed=3).values, part.values)
    assert thin(table, None, seed=3) is thin(table, 10**6, seed=3) is table
    with pytest.raises(ValueError, match="at least 1, got 0"):
        thin(table, 0, seed=3)


def test_sums_alone_are_written_without_events(
    shifted_result: AttackResult, sign_classifier: Classifier, tmp_path: Path
) -> None:
    study = judged(shifted_result.sums(sign_classifier), seed=7)
    folder = write_study(study, tmp_path / "out")
    assert (folder / "histograms.zip").is_file()
    assert not (folder / "adversarial.root").exists()


def test_variations_bound_the_events_of_a_signal_region_and_no_others() -> None:
    table = events(400)
    shifted = table.values.copy()
    shifted[:, 0] *= 1.01
    varied = dataclasses.replace(table, shape_variations={"scale_up": shifted})
    study = judged_attack(varied, SineClassifier(), CONSERVAttack(n_iterations=1), seed=1)
    assert study.result is not None
    moved = study.result.adversarial.values
    free = varied.constrained
    low, high = (np.fmin(table.values, shifted) - 1e-3, np.fmax(table.values, shifted) + 1e-3)
    beyond = np.asarray((moved < low) | (moved > high)).any(axis=1)
    assert np.any(beyond & free)
    assert not np.any(beyond & ~free)
    assert signal_region_envelope(table) is None
