# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hepfool.events import EventTable
from hepfool.models import Standardise, mlp
from hepfool.training import TrainingSettings, auroc, fit

pytestmark = pytest.mark.torch

NETWORK = functools.partial(mlp, 2, (8,))
QUICK = TrainingSettings(max_epochs=6, learning_rate=0.02, batch_size=50)


def blobs(seed: int, n_events: int = 400, n_classes: int = 2) -> EventTable:
    """Normal distributions, one per class, side by side."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n_events)
    values = rng.normal(size=(n_events, 2))
    values[:, 0] += 3.0 * labels
    return EventTable.from_arrays(values, labels=labels, weights=rng.uniform(0.5, 1.5, n_events))


@pytest.fixture(scope="module")
def train() -> EventTable:
    return blobs(1)


@pytest.fixture(scope="module")
def validation() -> EventTable:
    return blobs(2)


def test_it_learns_and_returns_the_best_epoch(train: EventTable, validation: EventTable) -> None:
    seen: list[tuple[str, float]] = []
    result = fit(NETWORK, train, validation, seed=3, settings=QUICK, progress=lambda *told: seen.append(told))
    assert result.validation_auroc > 0.95
    assert seen == [(str(epoch), epoch.index / QUICK.max_epochs) for epoch in result.history]
    assert re.fullmatch(r"epoch 1: validation loss 0\.\d{4}, AUROC 0\.\d{4}", seen[0][0])
    losses = [epoch.validation_loss for epoch in result.history]
    assert result.best_epoch == 1 + int(np.argmin(losses))
    loss, _ = result.classifier.loss_and_gradient(validation.values, validation.labels)
    class_sums = np.bincount(validation.labels, weights=validation.weights)
    expected = (loss * validation.weights / class_sums[validation.labels]).sum() / 2
    assert min(losses) == pytest.approx(expected, rel=1e-5)
    scores = result.classifier.scores(validation.values)
    assert result.validation_auroc == pytest.approx(auroc(validation.labels, scores, validation.weights), abs=1e-6)


def test_same_seed_same_network(train: EventTable, validation: EventTable) -> None:
    settings = replace(QUICK, max_epochs=2)
    state = torch.random.get_rng_state()
    digests = [fit(NETWORK, train, validation, seed=s, settings=settings).classifier.digest for s in (3, 3, 4)]
    assert digests[0] == digests[1] != digests[2]
    assert torch.equal(state, torch.random.get_rng_state())


def test_checkpoints_are_the_networks_of_shorter_trainings(train: EventTable, validation: EventTable) -> None:
    kept = fit(NETWORK, train, validation, seed=3, settings=replace(QUICK, checkpoints=(1, 3)))
    assert list(kept.checkpoints) == [1, 3]
    shorter = fit(NETWORK, train, validation, seed=3, settings=replace(QUICK, max_epochs=3))
    assert shorter.best_epoch == 3
    assert kept.checkpoints[3].digest == shorter.classifier.digest
    assert kept.classifier.digest != shorter.classifier.digest != kept.checkpoints[1].digest
    with pytest.raises(ValueError, match=r"epochs from 1 to max_epochs=6, got \(7,\)"):
        replace(QUICK, checkpoints=(7,))


def test_training_stops_when_the_validation_loss_stops_improving(train: EventTable) -> None:
    opposite = replace(train, labels=1 - train.labels)
    result = fit(NETWORK, train, opposite, seed=3, settings=replace(QUICK, max_epochs=40, patience=2))
    assert len(result.history) < 40
    assert len(result.history) == result.best_epoch + 2


def test_a_module_is_the_start_of_its_training(train: EventTable, validation: EventTable) -> None:
    module = nn.Sequential(*NETWORK(), nn.Sigmoid())
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    settings = replace(QUICK, max_epochs=1, learning_rate=1e-9)
    result = fit(module, train, validation, seed=3, settings=settings)
    for key, tensor in module.state_dict().items():
        assert torch.equal(before[key], tensor)
        if "running" not in key and "tracked" not in key:
            torch.testing.assert_close(result.classifier.module.state_dict()[key], tensor, atol=1e-6, rtol=0)
    assert result.classifier.output == "logit"


def test_several_classes() -> None:
    train, validation = blobs(1, n_classes=3), blobs(2, n_classes=3)
    result = fit(functools.partial(mlp, 2, (8,), n_outputs=3), train, validation, seed=3, settings=QUICK)
    assert result.classifier.n_classes == 3
    assert result.validation_auroc > 0.9


def test_negative_weights_count_by_their_size(train: EventTable, validation: EventTable) -> None:
    negative = replace(train, weights=np.where(np.arange(400) % 4 == 0, -1.0, 1.0) * train.weights)
    settings = replace(QUICK, max_epochs=2)
    signed = fit(NETWORK, negative, replace(validation, weights=-validation.weights), seed=3, settings=settings)
    plain = fit(NETWORK, train, validation, seed=3, settings=settings)
    assert signed.classifier.digest == plain.classifier.digest
    assert signed.negative_weight_fraction == pytest.approx(train.weights[::4].sum() / train.weights.sum(), rel=1e-12)


def test_classes_count_equally_on_request() -> None:
    """On features without information the best score is the class's share of the weight."""
    rng = np.random.default_rng(5)
    labels = (np.arange(600) % 6 == 0).astype(int)
    table = EventTable.from_arrays(rng.normal(size=(600, 2)) * 1e-6, labels=labels)
    linear = functools.partial(nn.Linear, 2, 1)
    means = {}
    for balanced in (True, False):
        settings = TrainingSettings(max_epochs=60, learning_rate=0.05, batch_size=100, balance_classes=balanced)
        result = fit(linear, table, table, seed=1, settings=settings)
        means[balanced] = result.classifier.scores(table.values)[:, 1].mean()
    assert means[True] == pytest.approx(0.5, abs=0.03)
    assert means[False] == pytest.approx(1 / 6, abs=0.03)


def test_missing_values_reach_the_network_as_its_sentinel() -> None:
    values = np.random.default_rng(1).normal(size=(200, 2))
    labels = np.arange(200) % 2
    values[labels == 1, 1] = -999.0
    table = EventTable.from_arrays(values, labels=labels, sentinel=-999.0)
    network = functools.partial(mlp, 2, (8,), preprocessing=Standardise.of(table))
    assert np.isfinite(fit(network, table, table, seed=1, settings=QUICK).validation_auroc)


def test_a_last_batch_of_one_event_is_left_out(train: EventTable) -> None:
    part = train.select(np.arange(101))
    assert len(fit(NETWORK, part, part, seed=1, settings=replace(QUICK, max_epochs=1)).history) == 1


def test_an_interrupt_keeps_the_finished_epochs(train: EventTable, validation: EventTable) -> None:
    def interrupt(found: str, fraction: float) -> None:
        if fraction >= last / QUICK.max_epochs:
            raise KeyboardInterrupt

    last = 3
    result = fit(NETWORK, train, validation, seed=3, settings=QUICK, progress=interrupt)
    assert len(result.history) == 3
    assert result.best_epoch <= 3
    assert result.interrupted
    assert not fit(NETWORK, train, validation, seed=3, settings=replace(QUICK, max_epochs=3)).interrupted
    last = 1
    with pytest.raises(KeyboardInterrupt):
        fit(NETWORK, train, validation, seed=3, settings=QUICK, progress=interrupt)


@pytest.mark.parametrize(
    ("labels", "rule"), [([-1] * 400, "no label from 0 to 1"), ([0] * 400, "class 1"), ([0, 2] * 200, "no label")]
)
def test_labels_must_fit_to_the_network(train: EventTable, labels: list[int], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        fit(NETWORK, replace(train, labels=np.array(labels)), train, seed=1)


def test_diverging_training_is_an_error(train: EventTable) -> None:
    with pytest.raises(ValueError, match="lower the learning rate"):
        fit(NETWORK, train, train, seed=1, settings=replace(QUICK, max_epochs=2, learning_rate=1e30))


@pytest.mark.parametrize("wrong", [{"max_epochs": 0}, {"learning_rate": 0.0}, {"weight_decay": -1.0}])
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingSettings(**wrong)


def test_one_class_has_no_roc_curve() -> None:
    with pytest.raises(ValueError, match="two classes"):
        auroc(np.zeros(3, dtype=np.int64), np.zeros(3))
