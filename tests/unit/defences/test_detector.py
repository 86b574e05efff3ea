# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hepfool.attacks import AttackProblem, AttackResult, run_attack
from hepfool.defences import (
    Detector,
    DetectorReport,
    DetectorSettings,
    evaluate,
    read_detector,
    train_detector,
    write_detector,
)
from hepfool.defences import _detector as detector_module
from hepfool.events import EventTable
from hepfool.models import TorchClassifier
from hepfool.studies._systematics import attack_effect
from hepfool.training import TrainingSettings
from hepfool.typing import FloatArray

pytestmark = pytest.mark.torch

SETTINGS = DetectorSettings(
    hidden=(16,),
    clean_efficiency=0.8,
    training=TrainingSettings(max_epochs=8, learning_rate=0.02, batch_size=100),
)


@dataclass(frozen=True)
class Shift:
    """Moves the first feature towards the other class, and a telltale value into the second."""

    size: float
    n_iterations: int = 1
    n_bins: int = 10

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        direction = np.where(problem.classes == 1, -1.0, 1.0)
        moved = problem.bounds.clip(np.stack([values[:, 0] + self.size * direction, 2.0 * direction], axis=1))
        return np.where(problem.attacked[:, None] & ~problem.table.missing, moved, values)


def split(seed: int, n_events: int = 1500) -> EventTable:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n_events)
    values = rng.normal(size=(n_events, 2))
    values[:, 0] += 2.0 * labels - 1.0
    values[rng.random(n_events) < 0.1, 1] = -99.0
    return EventTable.from_arrays(
        values, labels=labels, sentinel=-99.0, features=["x", "y"], weights=rng.uniform(-0.1, 1.0, n_events)
    )


def network() -> TorchClassifier:
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.0]]))
        layer.bias.zero_()
    return TorchClassifier(layer)


def attacked(seed: int, size: float = 1.5) -> AttackResult:
    return run_attack(Shift(size), network(), split(seed), rng=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def final_result() -> AttackResult:
    return attacked(3)


@pytest.fixture(scope="module")
def validation_result() -> AttackResult:
    return attacked(2)


@pytest.fixture(scope="module")
def detector(validation_result: AttackResult) -> Detector:
    return train_detector(attacked(1), validation_result, seed=5, settings=SETTINGS)


@pytest.fixture
def report(detector: Detector, final_result: AttackResult) -> DetectorReport:
    return evaluate(detector, final_result)


def test_the_threshold_leaves_the_required_fraction(detector: Detector, validation_result: AttackResult) -> None:
    table = validation_result.nominal
    kept = ~detector.flags(table.network_values)
    sizes = np.abs(table.weights)
    assert sizes[kept].sum() / sizes.sum() == pytest.approx(0.8, abs=0.01)
    assert sizes[kept].sum() / sizes.sum() >= 0.8
    np.testing.assert_array_equal(~kept, detector.score(table.network_values) > detector.threshold)


def test_the_required_fraction_may_be_that_of_one_class(detector: Detector, validation_result: AttackResult) -> None:
    table = validation_result.nominal
    settings = replace(SETTINGS, efficiency_class=1)
    threshold = detector_module._threshold(detector.classifier, table, settings)
    signal = table.labels == 1
    scores, sizes = detector.score(table.network_values)[signal], np.abs(table.weights[signal])
    kept = [sizes[scores <= cut].sum() / sizes.sum() for cut in (threshold, np.nextafter(threshold, 0.0))]
    assert kept[1] < 0.8 <= kept[0]
    assert threshold != detector.threshold
    with pytest.raises(ValueError, match=r"efficiency_class=3 has no nominal validation event.*classes 0, 1"):
        detector_module._threshold(detector.classifier, table, replace(settings, efficiency_class=3))


def test_it_finds_what_gives_the_attack_away(report: DetectorReport) -> None:
    assert report.auroc > 0.9
    assert report.efficiency_fooled > 0.8
    assert report.clean_efficiency == pytest.approx(0.8, abs=0.06)
    assert 0.6 < report.clean_efficiency_signal < 1.0
    assert 0.6 < report.clean_efficiency_background < 1.0
    assert report.corrected_fooling_ratio < 0.3 * report.fooling_ratio


def test_the_corrected_fooling_ratio_is_a_joint_count(
    detector: Detector, final_result: AttackResult, report: DetectorReport
) -> None:
    weights = final_result.nominal.weights
    unflagged = detector.score(final_result.adversarial.network_values) <= detector.threshold
    total = weights[final_result.attacked].sum()
    assert report.corrected_fooling_ratio == pytest.approx(weights[final_result.fooled & unflagged].sum() / total)
    assert report.corrected_fooling_ratio == pytest.approx(report.fooling_ratio * (1 - report.efficiency_fooled))
    assert report.product_fooling_ratio == pytest.approx(
        report.fooling_ratio * weights[final_result.attacked & unflagged].sum() / total
    )
    assert report.n_fooled_unflagged == int((final_result.fooled & unflagged).sum())
    assert report.n_attacked == int(final_result.attacked.sum())


def test_the_error_is_about_binomial(final_result: AttackResult, detector: Detector) -> None:
    unit = np.ones(final_result.nominal.n_events)
    equal = replace(
        final_result,
        nominal=replace(final_result.nominal, weights=unit),
        adversarial=replace(final_result.adversarial, weights=unit),
    )
    report = evaluate(detector, equal)
    p, n = report.corrected_fooling_ratio, report.n_attacked
    assert report.corrected_fooling_ratio_error == pytest.approx(np.sqrt(p * (1 - p) / n), rel=0.2)


def test_the_report_and_the_detector_print_the_same_error(
    final_result: AttackResult, report: DetectorReport, detector: Detector
) -> None:
    flagged = detector.flags(final_result.adversarial.network_values)
    shown = attack_effect(final_result, network(), flagged=flagged).flips
    assert shown is not None
    assert (shown.value, shown.error) == pytest.approx(
        (report.corrected_fooling_ratio, report.corrected_fooling_ratio_error), rel=1e-12
    )


def test_only_fooled_events_count_as_adversarial(validation_result: AttackResult) -> None:
    sample = detector_module._sample("validation", validation_result, split(7, 100))
    fooled = validation_result.adversarial.values[validation_result.fooled]
    assert 0 < len(fooled) < validation_result.attacked.sum()
    np.testing.assert_array_equal(sample.values[sample.labels == 1], fooled)
    np.testing.assert_array_equal(sample.values[sample.labels == 0], split(7, 100).values)


def test_same_seed_same_detector(validation_result: AttackResult) -> None:
    settings = replace(SETTINGS, training=replace(SETTINGS.training, max_epochs=1))
    digests = [
        train_detector(validation_result, validation_result, seed=s, settings=settings).classifier.digest
        for s in (1, 1, 2)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_other_clean_events_may_be_given(
    detector: Detector, final_result: AttackResult, report: DetectorReport
) -> None:
    data = replace(split(9, 200), labels=np.full(200, -1))
    other = evaluate(detector, final_result, clean=data)
    assert other.n_clean == 200
    assert other.clean_efficiency_by_class == {}
    assert np.isnan(other.clean_efficiency_signal)
    assert other.corrected_fooling_ratio == report.corrected_fooling_ratio


def test_it_goes_to_files_and_back(tmp_path: Path, detector: Detector, final_result: AttackResult) -> None:
    write_detector(detector, tmp_path / "detector")
    copy = read_detector(tmp_path / "detector")
    values = final_result.adversarial.network_values
    np.testing.assert_array_equal(copy.score(values), detector.score(values))
    assert (copy.threshold, copy.features, copy.hidden) == (detector.threshold, detector.features, detector.hidden)
    assert copy.provenance == detector.provenance


def test_files_of_two_detectors_are_not_mixed(tmp_path: Path, detector: Detector) -> None:
    write_detector(detector, tmp_path / "one")
    state = {key: 2 * tensor for key, tensor in detector.classifier.module.state_dict().items()}
    torch.save(state, tmp_path / "one" / "detector.pt")
    with pytest.raises(ValueError, match="do not belong together"):
        read_detector(tmp_path / "one")


def test_it_crosses_to_a_worker(detector: Detector, final_result: AttackResult) -> None:
    values = final_result.nominal.network_values
    copy = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(copy.flags(values), detector.flags(values))


def test_an_attack_that_fools_nothing_cannot_train_a_detector(validation_result: AttackResult) -> None:
    nothing = replace(validation_result, fooled=np.zeros_like(validation_result.fooled))
    with pytest.raises(ValueError, match="fooled no training event"):
        train_detector(nothing, validation_result, seed=1)


def test_an_attack_that_fools_nothing_can_be_judged(detector: Detector, final_result: AttackResult) -> None:
    report = evaluate(detector, replace(final_result, fooled=np.zeros_like(final_result.fooled)))
    assert report.corrected_fooling_ratio == report.corrected_fooling_ratio_error == 0.0
    assert np.isnan(report.auroc)
    assert np.isnan(report.efficiency_fooled)


def test_features_must_agree(detector: Detector, final_result: AttackResult) -> None:
    other = EventTable.from_arrays([[0.0, 0.0]], features=["y", "x"])
    with pytest.raises(ValueError, match="in this order"):
        evaluate(detector, final_result, clean=other)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="clean_efficiency"):
        DetectorSettings(clean_efficiency=1.0)
