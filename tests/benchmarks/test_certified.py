# SPDX-License-Identifier: BSD-3-Clause
"""How far found and proved are apart, what that costs, and whether anything is ever found beyond what is proved."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from hepfool.attacks._restarts import Sets
from hepfool.demo import demo_steps
from hepfool.events import Envelope, EventTable, signal_region_envelope
from hepfool.features import FeatureSpace
from hepfool.models import CallableClassifier, TorchClassifier, mlp
from hepfool.models._folding import folded
from hepfool.typing import BoolArray
from hepfool.worst_case import Certificate, certify
from hepfool.worst_case._relax import linear_bounds
from tests.benchmarks.conftest import Record
from tests.unit.worst_case.test_certified import ACTIVATIONS, N_INPUTS, network, some_sets

SIGNAL_REGION = "low_mt"
N_POINTS = 8_000_000


@lru_cache(maxsize=1)
def of_the_demo() -> tuple[EventTable, EventTable, TorchClassifier]:
    """Training and test events of the demo, and its network."""
    steps = demo_steps(until="attack")
    simulation = steps["events"].simulation
    return simulation["train"], simulation["test"], steps["baseline"].classifier


def attacked(table: EventTable, classifier: TorchClassifier | CallableClassifier) -> BoolArray:
    right = classifier.predict(table.network_values) == table.labels
    return np.asarray(table.region(SIGNAL_REGION).mask & right)


def note(record: Record, name: str, certificate: Certificate, *, gap: str, seconds: str) -> None:
    n = int(certificate.attacked.sum())
    record(f"{name}: found", certificate.found, remark=f"{n} events")
    record(f"{name}: proved - found", certificate.unresolved, target=gap)
    record(f"{name}: CPU s", certificate.seconds, target=seconds)


def test_the_signal_region_of_the_demo(record: Record) -> None:
    _, table, classifier = of_the_demo()
    envelope, target = signal_region_envelope(table), attacked(table, classifier)
    assert envelope is not None
    certificate = certify(classifier, table, envelope, target=target, max_boxes=20_000)
    note(record, "demo, within the uncertainties", certificate, gap="<= 0.001", seconds="<= 60")
    sources = ("tau_energy", "jet_energy", "unclustered_energy")
    followed = certify(classifier, table, envelope, target=target, coherent=sources)
    note(record, "demo, following the sources", followed, gap="<= 0.001", seconds="<= 40")
    assert certificate.unresolved <= 1e-3
    assert followed.proved < certificate.found


def test_boosted_trees_are_exact(record: Record) -> None:
    train, table, _ = of_the_demo()
    trees = HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=15, early_stopping=False, random_state=0)
    classifier = CallableClassifier(trees.fit(train.network_values, train.labels))
    envelope = signal_region_envelope(table)
    assert envelope is not None
    # Trees take derived inputs as free, of which nothing is exact.
    alone = FeatureSpace(replace(feature, derived=None) for feature in table.features)
    table = replace(table, features=alone, shape_variations={})
    certificate = certify(classifier, table, envelope, target=attacked(table, classifier))
    per_event = certificate.seconds / certificate.attacked.sum()
    record("100 trees: proved - found", certificate.unresolved, target="0")
    record("100 trees: CPU s per 1000 events", 1000.0 * per_event, target="<= 0.2")
    assert certificate.unresolved == 0.0


@pytest.mark.parametrize(("width", "n_events", "gap"), [(0.003, 400, 0.003), (0.01, 400, 0.05), (0.0005, 8750, 0.0)])
def test_wide_networks_within_a_share_of_the_ranges(
    width: float, n_events: int, gap: float, reference_data: Path, record: Record
) -> None:
    arrays = np.load(reference_data / "higgs2014.npz")
    weights = np.load(reference_data / "higgs2014_weights.npz")
    module = mlp(30)
    module.load_state_dict(
        {name: torch.tensor(weights[name]) for name in module.state_dict() if name in weights}, strict=False
    )
    table = EventTable.from_arrays(arrays["X"], labels=arrays["y"].astype(np.int64))
    spans = np.ptp(table.values, axis=0)
    target = np.arange(table.n_events) < n_events
    certificate = certify(TorchClassifier(module), table, Envelope.absolute(table, width * spans), target=target)
    name = f"higgs2014, {n_events} events, {width:.2%} of the ranges"
    note(record, name, certificate, gap=f"<= {gap}", seconds=f"<= {n_events / 100:g}")
    assert certificate.unresolved <= gap + 1e-12


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_no_point_of_millions_lies_below_a_bound(kind: str, record: Record) -> None:
    rng = np.random.default_rng(7)
    n_networks, n_sets = 8, 400
    n_draws = N_POINTS // len(ACTIVATIONS) // n_networks // n_sets
    closest, n_points, start = np.inf, 0, time.process_time()
    for seed in range(n_networks):
        module = network(kind, seed).double()
        layers = folded(module, N_INPUTS)
        for generators, size in ((False, 0.05), (False, 0.8), (True, 0.3), (True, 2.0)):
            sets = some_sets(rng, n_sets // 4, generators=generators, size=size)
            sign = np.sign(layers(sets.centre)[:, 0])
            least = linear_bounds(layers.layers, sets, sign[:, np.newaxis, np.newaxis])[0][:, 0]
            shape = (n_sets // 4, sets.spread.shape[-1])
            for draw in range(n_draws - 20):
                e = rng.uniform(-1.0, 1.0, shape)
                margin = sign * layers(sets.at(np.sign(e) if draw % 2 else e))[:, 0]
                closest = min(closest, float((margin - least).min()))
            closest = min(closest, _descended(module, sets, sign, least, rng.uniform(-1.0, 1.0, shape)))
            n_points += n_draws * len(sign)
    record(f"{kind}: smallest distance to the bound", closest, target=">= 0", remark=f"{n_points:_} points")
    record(f"{kind}: CPU s", time.process_time() - start)
    assert closest >= -1e-9


def _descended(module: nn.Module, sets: Sets, sign: np.ndarray, least: np.ndarray, e: np.ndarray) -> float:
    """Twenty steps of projected gradient descent, by the network itself."""
    closest = np.inf
    for step in range(20):
        x = torch.tensor(sets.at(e), requires_grad=True)
        margin = torch.tensor(sign) * module(x)[:, 0]
        (slope,) = torch.autograd.grad(margin.sum(), x)
        closest = min(closest, float((margin.detach().numpy() - least).min()))
        e = np.clip(e - 0.5 * (1.0 - step / 21.0) * np.sign(sets.along(slope.numpy()[:, np.newaxis])[:, 0]), -1.0, 1.0)
    return closest
