# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from hepfool.attacks import AttackResult, Noise, run_attack
from hepfool.events import UNLABELLED
from hepfool.sums import data_sums, scan_thresholds
from hepfool.typing import FloatArray
from tests.specimens import SineClassifier, events


@dataclass(frozen=True)
class ByFirstInput:
    """A detector whose score rises with the first input."""

    threshold: float = 0.4

    def score(self, values: FloatArray) -> FloatArray:
        return np.asarray(np.clip(values[:, 0] / 100.0, 0.0, 1.0))


@pytest.fixture(scope="module")
def result() -> AttackResult:
    return run_attack(Noise(size=0.2), SineClassifier(), events(400), rng=np.random.default_rng(1))


def test_a_scan_counts_what_the_detector_does_at_every_threshold(result: AttackResult) -> None:
    detector: Any = ByFirstInput()
    thresholds = np.array([0.7, 0.2, 0.4])
    sums = result.sums(SineClassifier(), detector=detector)
    scan = scan_thresholds(sums, thresholds=thresholds)
    assert scan.thresholds.tolist() == [0.2, 0.4, 0.7]
    assert scan.own == 0.4
    assert scan.checks == ()
    weights = result.nominal.weights
    for k, threshold in enumerate(scan.thresholds):
        flagged = detector.score(result.adversarial.network_values) > threshold
        remaining = weights[result.fooled & ~flagged].sum() / weights[result.attacked].sum()
        assert scan.corrected[k].value == pytest.approx(remaining)
        clean = weights[detector.score(result.nominal.network_values) > threshold].sum() / weights.sum()
        assert scan.nominal[k].value == pytest.approx(clean)
        high = detector.score(result.nominal.network_values) > threshold
        for label, (_, price) in enumerate(scan.by_class):
            own = result.nominal.labels == label
            assert price[k].value == pytest.approx(weights[own & high].sum() / weights[own].sum())
    assert [name for name, _ in scan.by_class] == ["background", "signal"]
    values = [number.value for number in scan.corrected]
    assert values == sorted(values)
    assert values[-1] <= result.fooling_ratio


def test_data_are_compared_where_they_may_be(result: AttackResult) -> None:
    data = replace(events(100, seed=5, weighted=False), labels=np.full(100, UNLABELLED))
    detector: Any = ByFirstInput()
    network = SineClassifier()
    alone = result.sums(network, detector=detector)
    sums = alone + data_sums(data, network, result.binning, detector=detector)
    scan = scan_thresholds(sums, regions=["low_pt"])
    (check,) = scan.checks
    assert len(check.data) == len(scan.thresholds) == len(scan.corrected)
    assert check.n_data == data.region("low_pt").mask.sum()
    chosen = data.region("low_pt").mask
    above = detector.score(data.network_values)[chosen] > scan.thresholds[20]
    assert check.data[20].value == pytest.approx(above.mean())
    assert check.data[20].error == pytest.approx(above.std() / np.sqrt(chosen.sum()))
    with pytest.raises(ValueError, match="is a signal region"):
        scan_thresholds(sums, regions=["high_pt"])
    with pytest.raises(ValueError, match="'low_pt' holds no data event that the detector scored"):
        scan_thresholds(alone, regions=["low_pt"])
    with pytest.raises(ValueError, match=r"threshold 0\.123457 lies within a bin"):
        scan_thresholds(sums, thresholds=np.array([0.5, 0.123457]))
