# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from hepfool.attacks.base import AttackResult, run_attack
from hepfool.attacks.stochastic import Noise
from hepfool.defences import _detector_curves as module
from hepfool.defences._detector_curves import DetectorCurves, detector_curves
from hepfool.defences.detector import Detector, evaluate
from hepfool.events import EventTable
from hepfool.models.blackbox import CallableClassifier
from hepfool.typing import FloatArray


def flags_distance(values: FloatArray) -> FloatArray:
    return np.asarray(special.expit(2.0 * np.abs(values[:, 0]) - 2.0))


@pytest.fixture
def detector() -> Detector:
    classifier: object = CallableClassifier(flags_distance)
    return Detector(classifier=classifier, threshold=0.5, features=("x", "y"), hidden=())  # type: ignore[arg-type]


@pytest.fixture
def attacked(rng: np.random.Generator) -> AttackResult:
    values = rng.normal(size=(600, 2))
    labels = (values[:, 1] > 0).astype(int)
    table = EventTable.from_arrays(
        values, labels=labels, features=["x", "y"], weights=rng.uniform(-0.2, 1.0, len(values))
    )
    sign = CallableClassifier(lambda values: special.expit(4.0 * values[:, 1]))
    return run_attack(Noise(size=(3.0, 1.0), unit="absolute"), sign, table, rng=rng)


@pytest.fixture
def curves(detector: Detector, attacked: AttackResult) -> DetectorCurves:
    return detector_curves(detector, attacked)


def test_the_area_is_that_of_scikit_learn(detector: Detector, attacked: AttackResult, curves: DetectorCurves) -> None:
    fooled = attacked.fooled
    scores = np.concatenate(
        [detector.score(attacked.nominal.values), detector.score(attacked.adversarial.values[fooled])]
    )
    weights = np.concatenate([attacked.nominal.weights, attacked.nominal.weights[fooled]])
    labels = np.repeat([0, 1], [600, fooled.sum()])
    assert curves.auroc == pytest.approx(roc_auc_score(labels, scores, sample_weight=np.abs(weights)))
    assert (curves.n_nominal, curves.n_fooled) == (600, int(fooled.sum()))
    assert 0.0 < curves.auroc_error < 0.05


def test_the_threshold_lies_on_the_curve(detector: Detector, attacked: AttackResult, curves: DetectorCurves) -> None:
    positive = replace(attacked.nominal, weights=np.abs(attacked.nominal.weights))
    attacked = replace(attacked, nominal=positive, adversarial=replace(attacked.adversarial, weights=positive.weights))
    report = evaluate(detector, attacked)
    assert curves.working_point == pytest.approx((1.0 - report.clean_efficiency, report.efficiency_fooled))
    first = int(np.argmax(curves.thresholds <= detector.threshold))
    nominal, fooled = curves.working_point
    assert curves.flagged_nominal[first - 1] - 1e-9 <= nominal <= curves.flagged_nominal[first] + 1e-9
    assert curves.flagged_fooled[first - 1] - 1e-9 <= fooled <= curves.flagged_fooled[first] + 1e-9


def test_unit_weights_give_the_curve_of_scikit_learn(rng: np.random.Generator) -> None:
    scores = rng.uniform(size=20_000)
    labels = (rng.uniform(size=20_000) < scores).astype(np.int64)
    found = module._calibration(labels, scores, np.ones(20_000), 10)
    fraction, mean = calibration_curve(labels, scores, n_bins=10)
    np.testing.assert_allclose(found.fraction, fraction)
    np.testing.assert_allclose(found.mean_score, mean)
    assert found.n_events.sum() == 20_000
    assert found.expected_error < 0.015
    inside = (found.lower <= found.mean_score) & (found.mean_score <= found.upper)
    assert inside.sum() >= 5
    assert module._calibration(labels, scores**3, np.ones(20_000), 10).expected_error > 0.15


def test_empty_bins_are_left_out() -> None:
    found = module._calibration(np.array([0, 1, 1]), np.array([0.05, 0.95, 1.0]), np.ones(3), 10)
    np.testing.assert_allclose(found.mean_score, [0.05, 0.975])
    np.testing.assert_allclose(found.fraction, [0.0, 1.0])
    assert found.upper[0] > 0.5
    assert found.n_events.tolist() == [1, 2]


def test_other_clean_events_may_be_given(detector: Detector, attacked: AttackResult) -> None:
    assert detector_curves(detector, attacked, clean=attacked.nominal.select(np.arange(50))).n_nominal == 50
    with pytest.raises(ValueError, match="in this order"):
        detector_curves(detector, attacked, clean=EventTable.from_arrays([[0.0, 0.0]]))


def test_nothing_fooled_is_refused(detector: Detector, attacked: AttackResult) -> None:
    with pytest.raises(ValueError, match="fooled no test event"):
        detector_curves(detector, replace(attacked, fooled=np.zeros_like(attacked.fooled)))
