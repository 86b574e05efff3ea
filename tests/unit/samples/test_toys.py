# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest

from hepfool.samples.toys import donut


def test_half_of_the_events_are_signal(rng: np.random.Generator) -> None:
    values, labels = donut(10_001, rng=rng)
    assert values.shape == (10_001, 2)
    assert np.bincount(labels).tolist() == [5001, 5000]


def test_signal_is_a_gaussian_in_the_middle(rng: np.random.Generator) -> None:
    values, labels = donut(40_000, rng=rng, sigma=0.4)
    signal = values[labels == 1]
    assert np.allclose(signal.mean(axis=0), 0.0, atol=0.012)
    assert np.allclose(signal.std(axis=0), 0.4, rtol=0.03)


def test_background_is_a_ring(rng: np.random.Generator) -> None:
    values, labels = donut(40_000, rng=rng, sigma=0.2, ring_radius=3.0)
    ring = values[labels == 0]
    radius = np.hypot(ring[:, 0], ring[:, 1])
    assert radius.mean() == pytest.approx(3.0, abs=0.01)
    assert radius.std() == pytest.approx(0.2, rel=0.03)
    assert np.allclose(ring.mean(axis=0), 0.0, atol=0.08)


def test_classes_are_in_random_order(rng: np.random.Generator) -> None:
    _, labels = donut(10_000, rng=rng)
    assert abs(labels[:5000].sum() - 2500) < 250


def test_same_seed_same_events() -> None:
    first, _ = donut(100, rng=np.random.default_rng(3))
    second, _ = donut(100, rng=np.random.default_rng(3))
    assert np.array_equal(first, second)


def test_too_few_events_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="n_events 1 is below 2"):
        donut(1, rng=rng)


@pytest.mark.parametrize(("sigma", "ring_radius"), [(0.0, 1.8), (0.5, -1.0), (float("nan"), 1.8)])
def test_lengths_must_be_positive(rng: np.random.Generator, sigma: float, ring_radius: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        donut(10, rng=rng, sigma=sigma, ring_radius=ring_radius)
