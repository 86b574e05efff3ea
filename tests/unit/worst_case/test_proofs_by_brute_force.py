# SPDX-License-Identifier: BSD-3-Clause
"""No event that is proved changes its class at any point that is tried, whatever the network and the envelope are."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hepfool.events import Envelope, EventTable, Region
from hepfool.exceptions import NotCertifiableError
from hepfool.features import Feature
from hepfool.models import FiniteDifference, FoldedClassifier, PerGroup, TorchClassifier
from hepfool.typing import BoolArray, FloatArray
from hepfool.worst_case import certify
from tests.unit.worst_case.test_certified import ACTIVATIONS, N_INPUTS, free_table, network, small_table

HALF = np.array([0.5, 0.0, 0.5, 0.0])
ENVELOPES: dict[str, Callable[[FloatArray], tuple[FloatArray, FloatArray]]] = {
    "symmetric": lambda x: (x - 0.4, x + 0.4),
    "asymmetric": lambda x: (x - 0.1, x + 0.7),
    "one side only": lambda x: (x, x + 0.6),
    "of no width in two inputs": lambda x: (x - HALF, x + HALF),
    "beside the nominal value": lambda x: (x + 0.2, x + 0.5),
}


def changed_somewhere(classifier: TorchClassifier, table: EventTable, low: FloatArray, high: FloatArray) -> BoolArray:
    """Corners, random points, and descent from all of these with the module's own gradients."""
    rng, classes = np.random.default_rng(5), classifier.predict(table.values)
    changed = np.zeros(table.n_events, dtype=np.bool_)
    corners = [np.where(which, low, high) for which in itertools.product([True, False], repeat=N_INPUTS)]
    drawn = [rng.uniform(low, high) for _ in range(20)]
    for start in (*corners, *drawn):
        at = start
        for step in (0.5, 0.25, 0.1, 0.05, 0.0):
            margin, slope = classifier.margin_and_gradient(at, classes)
            changed |= margin < -1e-4
            at = np.clip(at - step * (high - low) * np.sign(slope), low, high)
    return changed


def ends(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Every kind of envelope in turns, and of which kind each event has one."""
    kinds = np.arange(len(values)) % len(ENVELOPES)
    sides = [envelope(values) for envelope in ENVELOPES.values()]
    low, high = (np.choose(kinds[:, np.newaxis], [side[k] for side in sides]) for k in (0, 1))
    return low, high


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_no_point_of_an_envelope_changes_the_class_of_a_proved_event(kind: str, rng: np.random.Generator) -> None:
    table = free_table(rng, 40)
    n_outputs = 1 + 2 * (len(kind) % 2)
    classifier = TorchClassifier(network(kind, 1, n_outputs=n_outputs, hidden=(6, 5, 4)), n_features=N_INPUTS)
    low, high = ends(table.values)
    certificate = certify(classifier, table, Envelope(low, high), target="all", max_boxes=100)
    low, high = np.minimum(low, table.values), np.maximum(high, table.values)  # an event may stay where it is
    changed, states = changed_somewhere(classifier, table, low, high), certificate.states
    assert not (changed & (states == "proved")).any()
    assert (changed & (states == "found")).sum() >= 0.9 * changed.sum()
    found = certificate.counterexamples.values
    assert (found >= low[states == "found"] - 1e-6).all()
    assert (found <= high[states == "found"] + 1e-6).all()
    assert (states == "open").sum() <= 10


def test_an_event_may_go_where_no_other_event_is() -> None:
    module = torch.nn.Linear(1, 1)
    torch.nn.init.ones_(module.weight)
    torch.nn.init.constant_(module.bias, -1.2)
    table = EventTable.from_arrays(np.linspace(0.0, 1.0, 5)[:, np.newaxis], labels=np.zeros(5, dtype=int))
    certificate = certify(TorchClassifier(module), table, Envelope.absolute(table, 0.3))
    assert certificate.states.tolist() == ["proved"] * 4 + ["found"]
    limited = EventTable.from_arrays(table.values, features=[Feature(name="x", upper=1.1)], labels=table.labels)
    certificate = certify(TorchClassifier(module), limited, Envelope.absolute(table, 0.3))
    assert certificate.states.tolist() == ["proved"] * 5


def test_an_input_without_a_bound_is_refused_unless_it_has_limits_of_its_own(rng: np.random.Generator) -> None:
    table, classifier = small_table(rng, 40), TorchClassifier(network("ReLU", 1), n_features=N_INPUTS)
    width = np.array([0.1, np.inf, np.inf, np.inf])  # limits, a period, fixed
    certify(classifier, table, Envelope.absolute(table, width), target="all", max_boxes=1)
    free = free_table(rng, 10)
    for envelope in (
        Envelope.absolute(free, width),
        Envelope(free.values - 1.0, np.where(width > 1.0, np.inf, free.values)),
    ):
        with pytest.raises(ValueError, match="nothing bounds 'x1' of 10 attacked events"):
            certify(classifier, free, envelope, target="all")


def folds_of(rng: np.random.Generator) -> tuple[FoldedClassifier, EventTable]:
    parts = [TorchClassifier(network(kind, 1), n_features=N_INPUTS) for kind in ("ReLU", "LeakyReLU", "Tanh")]
    table = small_table(rng, 45)
    table = EventTable.from_arrays(
        table.network_values,
        features=table.features,
        labels=table.labels,
        weights=table.weights,
        sentinel=-9.0,
        spectators={"fold": np.arange(45) * 7 % 3},
    )
    return FoldedClassifier(parts), table


def test_the_networks_of_a_k_fold_training_are_proved_fold_by_fold(rng: np.random.Generator) -> None:
    classifier, table = folds_of(rng)
    envelope = Envelope.absolute(table, [0.3, 1.0, 0.4, 0.2])
    options: dict[str, Any] = {"target": "all", "restarts": 2}
    certificate = certify(classifier, table, envelope, **options)
    for k, part in enumerate(classifier.classifiers):
        mine = table.spectators["fold"] == k
        alone = certify(part, table.select(mine), envelope.select(mine), **options)
        assert np.array_equal(certificate.states[mine], alone.states)
        assert {"found", "proved"} <= set(alone.states)
    swapped = certify(
        FoldedClassifier([*classifier.classifiers[1:], classifier.classifiers[0]]), table, envelope, **options
    )
    assert not np.array_equal(swapped.states, certificate.states)
    guided = FoldedClassifier([FiniteDifference.of(part, table) for part in classifier.classifiers])
    assert np.array_equal(certify(guided, table, envelope, **options).states, certificate.states)


def test_folds_that_follow_sources(rng: np.random.Generator) -> None:
    classifier, table = folds_of(rng)
    shift = np.array([0.4, 0.0, 0.0, 0.0])
    table = EventTable.from_arrays(
        table.network_values,
        features=table.features,
        labels=table.labels,
        sentinel=-9.0,
        spectators=dict(table.spectators),
        shape_variations={"tes_up": table.values + shift, "tes_down": table.values - shift},
    )
    envelope = Envelope.from_variations(table)
    certificate = certify(classifier, table, envelope, coherent=["tes"], target="all")
    for k, part in enumerate(classifier.classifiers):
        mine = table.spectators["fold"] == k
        alone = certify(part, table.select(mine), envelope.select(mine), coherent=["tes"], target="all")
        assert np.array_equal(certificate.states[mine], alone.states)


def test_a_choice_among_the_rows_of_an_event_is_refused(rng: np.random.Generator) -> None:
    table = EventTable.from_arrays(
        rng.normal(size=(20, N_INPUTS)), labels=np.zeros(20, dtype=int), spectators={"event": np.arange(20) // 2}
    )
    grouped = PerGroup(TorchClassifier(network("ReLU", 1), n_features=N_INPUTS))
    with pytest.raises(NotCertifiableError, match="nothing can be proved of a PerGroup"):
        certify(grouped, table, Envelope.absolute(table, 0.1), target="all")


class Skipping(torch.nn.Module):
    """Adds its input to what a layer makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = torch.nn.Linear(N_INPUTS, N_INPUTS), torch.nn.Linear(N_INPUTS, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.last(x + torch.relu(self.inner(x)))


def test_skip_connections_are_refused_with_what_is_supported(rng: np.random.Generator) -> None:
    table = free_table(rng, 20)
    for module in (Skipping(), torch.nn.Sequential(Skipping())):
        with pytest.raises(NotCertifiableError, match="supported are Linear, BatchNorm1d"):
            certify(TorchClassifier(module, n_features=N_INPUTS), table, Envelope.absolute(table, 0.1), target="all")


def test_no_event_leaves_its_region_by_a_cut(rng: np.random.Generator) -> None:
    table = free_table(rng, 60)
    inside = table.values[:, 0] > 0.0
    table = EventTable.from_arrays(
        table.values,
        labels=table.labels,
        regions=[Region("high", inside, role="signal", cuts={"x0": (0.0, np.inf)})],
    )
    classifier = TorchClassifier(network("ReLU", 1), n_features=N_INPUTS)
    envelope = Envelope.absolute(table, 0.5)
    found = certify(classifier, table, envelope, target="all").counterexamples
    assert np.array_equal(found.values[:, 0] >= 0.0, found.region("high").mask)
    assert found.region("high").mask.any()
