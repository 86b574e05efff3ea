# SPDX-License-Identifier: BSD-3-Clause
"""Coverage of the limit on the fraction of an attack, by toys with independent simulation and data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hepfool.attacks.base import AttackResult
from hepfool.defences.detector import Detector
from hepfool.demo import demo_steps
from hepfool.events import EventTable
from hepfool.models.protocols import Classifier
from hepfool.typing import IntArray
from tests.benchmarks.conftest import Record
from tests.toys_of_fractions import Truth, small_truth

FRACTIONS = (0.0, 0.1, 0.2, 0.5)
N_TOYS, N_DATA, TARGET = 300, 1112.0, 0.93
N_BINS = 10


def demo_truth() -> Truth:
    """Control regions of all of the demo's simulation; toys have half of it, as the demo does beside its training part."""
    steps = demo_steps(until="adaptive")
    classifier, detector = steps["baseline"].classifier, steps["detector"]
    return _joined([_truth(result, classifier, detector) for result in steps["attack"].values()])


def _truth(result: AttackResult, classifier: Classifier, detector: Detector) -> Truth:
    table, region = result.nominal, result.nominal.constrained

    def bins(of: EventTable) -> IntArray:
        values = of.network_values[region]
        score = np.minimum((N_BINS * classifier.scores(values)[:, 1]).astype(np.int64), N_BINS - 1)
        return np.asarray(score + N_BINS * detector.flags(values))

    names = dict.fromkeys(name.removesuffix("_up").removesuffix("_down") for name in table.shape_variations)
    sources = {name: (bins(table.variation(f"{name}_up")), bins(table.variation(f"{name}_down"))) for name in names}
    return Truth(table.weights[region], bins(table), bins(result.adversarial), sources, share=0.5, n_parts=2)


def _joined(parts: list[Truth]) -> Truth:
    weights, before, after = (np.concatenate([getattr(p, k) for p in parts]) for k in ("weights", "before", "after"))
    sources = {
        name: (np.concatenate([p.sources[name][0] for p in parts]), np.concatenate([p.sources[name][1] for p in parts]))
        for name in parts[0].sources
    }
    return Truth(weights * N_DATA / weights.sum(), before, after, sources, parts[0].share, parts[0].n_parts)


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("six bins, as many simulated events as data", lambda: small_truth(np.random.default_rng(1), n_events=300)),
        pytest.param("demo's control regions", demo_truth, marks=pytest.mark.slow),
    ],
)
def test_coverage(record: Record, name: str, truth: Callable[[], Truth]) -> None:
    rng, made = np.random.default_rng(2), truth()
    for fraction in FRACTIONS:
        covered = made.coverage(fraction, N_TOYS, rng)
        error = np.sqrt(covered * (1.0 - covered) / N_TOYS)
        remark = f"± {error:.3f}, {N_TOYS} toys, {name}"
        record(f"coverage of the 95 % limit at {fraction}", covered, target=f">= {TARGET}", remark=remark)
        assert covered + 2.0 * error >= TARGET
