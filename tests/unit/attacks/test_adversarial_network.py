# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from hepfool.attacks import (
    AdversarialNetwork,
    AdversarySettings,
    MoveUnit,
    Noise,
    Observable,
    TrainedAdversary,
    run_attack,
    train_adversary,
)
from hepfool.attacks._adversarial_network import PerturbationNetwork
from hepfool.attacks._adversary_training import _Trainer
from hepfool.events import EventTable
from hepfool.exceptions import GradientsUnavailableError
from hepfool.features import Derived, Feature
from hepfool.models import Standardise, TorchClassifier, mlp
from tests.specimens import FEATURES, SineClassifier, events, perturbation_network

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")]
SETTINGS = AdversarySettings(
    hidden=(32, 32), rho=0.1, response_limit=0.1, max_epochs=8, batch_size=100, learning_rate=1e-2
)

LONGER = replace(SETTINGS, max_epochs=20)


def two_clusters(seed: int, n_events: int = 600, **options: Any) -> EventTable:
    """Background at -1, signal at +1 in x; y is the same for both."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, size=n_events)
    x = rng.normal(size=n_events) * 0.7 + 2.0 * labels - 1.0
    y = rng.normal(size=n_events)
    return EventTable.from_arrays(np.stack([x, y], axis=1), labels=labels, features=["x", "y"], **options)


def judge_of_x() -> TorchClassifier:
    module = nn.Linear(2, 1)
    with torch.no_grad():
        module.weight[:] = torch.tensor([[2.0, 0.5]])
        module.bias[:] = 0.0
    return TorchClassifier(module)


def total(values: torch.Tensor) -> torch.Tensor:
    return values.sum(dim=1)


CLASSIFIER, TRAIN, VALIDATION = judge_of_x(), two_clusters(1), two_clusters(2)
TOTAL = Observable(name="total", function=total, limit=0.1)


def trained(**options: Any) -> TrainedAdversary:
    chosen: dict[str, Any] = {"seed": 3, "observables": [TOTAL], "settings": SETTINGS, **options}
    return train_adversary(CLASSIFIER, TRAIN, VALIDATION, **chosen)


@pytest.fixture(scope="module")
def adversary() -> TrainedAdversary:
    return trained(settings=LONGER)


def test_best_epoch_fools_most_within_the_limits(adversary: TrainedAdversary) -> None:
    assert adversary.best_epoch is not None
    best = adversary.history[adversary.best_epoch - 1]
    assert best.admissible
    assert best.fooling_ratio == max(epoch.fooling_ratio for epoch in adversary.history if epoch.admissible) > 0.1
    for epoch in adversary.history:
        assert epoch.admissible == (epoch.ks["total"] <= 0.1 and epoch.ks["response"] <= 0.1)
    assert f"epoch {best.index} of {len(adversary.history)} fools" in adversary.summary


def test_reported_numbers_are_those_of_the_attack(adversary: TrainedAdversary) -> None:
    best = adversary.history[cast("int", adversary.best_epoch) - 1]
    result = run_attack(adversary.attack, CLASSIFIER, VALIDATION, rng=np.random.default_rng(1), target="all")
    background = VALIDATION.labels == 0
    before, after = result.nominal.values[background], result.adversarial.values[background]
    ks = stats.ks_2samp(before.sum(axis=1), after.sum(axis=1), method="asymp").statistic
    assert best.ks["total"] == pytest.approx(ks, abs=0.5 / background.sum())  # sums are taken in single precision
    first, second = (scores[background, 1] for scores in (result.nominal_scores, result.adversarial_scores))
    expected = stats.ks_2samp(first, second, method="asymp").statistic
    assert best.ks["response"] == pytest.approx(expected, abs=1e-9)
    signal = ~background & (CLASSIFIER.predict(VALIDATION.values) == 1)
    fooled = CLASSIFIER.predict(result.adversarial.values)[signal] == 0
    assert best.fooling_ratio == pytest.approx(fooled.mean())
    assert best.fooling_ratio_error == pytest.approx(fooled.std() / np.sqrt(signal.sum()))
    assert (adversary.n_signal, adversary.n_background) == (signal.sum(), background.sum())


def test_other_events_are_fooled_more_than_by_noise(adversary: TrainedAdversary) -> None:
    test = two_clusters(4, 2000)
    attack = adversary.attack
    noise = Noise(size=attack.rho, unit=attack.unit)
    signal = test.labels == 1
    found = [
        run_attack(a, CLASSIFIER, test, rng=np.random.default_rng(1), target="all").counts(signal).fooling_ratio
        for a in (attack, noise)
    ]
    assert found[0] > 3.0 * found[1] > 0.0


def test_moves_do_not_exceed_rho(adversary: TrainedAdversary) -> None:
    values = run_attack(
        adversary.attack, CLASSIFIER, VALIDATION, rng=np.random.default_rng(1), target="all"
    ).adversarial
    largest = np.abs(values.values - VALIDATION.values).max(axis=0)
    limit = 0.1 * np.ptp(TRAIN.values, axis=0)
    assert adversary.attack.unit == ("absolute", "absolute")
    np.testing.assert_allclose(adversary.attack.rho, limit)
    assert (largest <= limit * (1 + 1e-5)).all()
    assert (largest > 0.5 * limit).any()


def test_same_seed_same_network_and_other_random_numbers_are_undisturbed(adversary: TrainedAdversary) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    again, other = trained(settings=LONGER), trained(seed=4)
    assert torch.equal(torch.rand(3), expected)
    assert again.attack.network.digest == adversary.attack.network.digest
    assert repr(again.attack) == repr(adversary.attack)
    assert other.attack.network.digest != adversary.attack.network.digest


def test_a_trained_attack_is_the_same_in_another_process(adversary: TrainedAdversary) -> None:
    sent = pickle.loads(pickle.dumps(adversary))
    moved = [
        run_attack(a.attack, CLASSIFIER, VALIDATION, rng=np.random.default_rng(1)).adversarial.values
        for a in (adversary, sent)
    ]
    assert np.array_equal(moved[0], moved[1])
    assert repr(sent.attack) == repr(adversary.attack)


def test_without_strengths_nothing_is_preserved() -> None:
    careless = replace(SETTINGS, response_strength=0.0, response_limit=1.0)
    free = trained(observables=[replace(TOTAL, strength=0.0, limit=1.0)], settings=careless)
    kept = trained(observables=[replace(TOTAL, limit=1.0)], settings=replace(careless, growth=1.0))
    assert free.admissible
    assert free.history[-1].ks["total"] > 3.0 * kept.history[-1].ks["total"]
    assert free.history[-1].ks["response"] > 0.1


def test_limits_that_are_never_met_give_a_clear_result() -> None:
    careless = replace(SETTINGS, response_strength=0.0, response_limit=1e-6, growth=1.0, patience=3)
    result = trained(observables=[replace(TOTAL, strength=0.0, limit=0.001)], settings=careless)
    assert not result.admissible
    assert result.best_epoch is None
    assert result.found is None
    assert len(result.history) == 3
    assert "no admissible adversary in 3 epochs; the closest was epoch 1 with total" in result.summary
    assert "> 0.001, response" in result.summary
    with pytest.raises(ValueError, match="no admissible adversary in 3 epochs"):
        _ = result.attack


def test_strengths_follow_the_limits() -> None:
    fixed, growing = (
        trained(
            observables=[replace(TOTAL, strength=1.0)],
            settings=replace(LONGER, response_strength=1.0, growth=growth, patience=20),
        )
        for growth in (1.0, 2.0)
    )
    assert not fixed.admissible
    assert fixed.history[-1].ks["response"] > 0.15
    assert growing.history[cast("int", growing.best_epoch) - 1].fooling_ratio > 0.25


@pytest.mark.parametrize(("penalty", "expected"), [("event", 2.0), ("marginal", 0.0)])
def test_exchanged_events_keep_the_marginals(penalty: Any, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, penalty=penalty, response_strength=0.0)
    trainer = _Trainer(CLASSIFIER, TRAIN, [replace(TOTAL, strength=1.0)], settings)
    monkeypatch.setattr(trainer, "_perturbed", lambda chosen: trainer.values[chosen.roll(1)])
    loss = trainer._background_loss(trainer.pools[1])
    assert float(loss) == pytest.approx(expected, abs=0.25)  # twice the variance for independent events
    assert penalty == "event" or float(loss) < 1e-10


def test_every_kind_of_feature_weight_and_region() -> None:
    train, validation = events(500, seed=5, negative=0.1), events(400, seed=6, negative=0.1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = mlp(6, (8,), preprocessing=Standardise.of(train), batch_norm=False)
    classifier = TorchClassifier(module)
    train, validation = (replace(t, labels=classifier.predict(t.network_values)) for t in (train, validation))
    unit: tuple[MoveUnit, ...] = ("relative", "absolute", "absolute", "absolute", "range", "relative")
    settings = AdversarySettings(
        rho=(0.2, 0.3, 0.3, 1.0, 0.1, 0.2), unit=unit, hidden=(8,), response_limit=1.0, max_epochs=3, batch_size=200
    )
    pt = Observable(name="pt", function=lambda values: values[:, 0], limit=1.0)
    result = train_adversary(classifier, train, validation, seed=1, observables=[pt], settings=settings)
    assert result.attack.unit == ("relative", "absolute", "absolute", "absolute", "absolute", "relative")
    assert result.n_background == ((validation.labels == 0) & validation.constrained).sum()
    after = run_attack(result.attack, classifier, validation, rng=np.random.default_rng(1), target="all").adversarial
    moved = np.abs(after.values - validation.values)
    assert np.nanmax(moved[:, 0] / validation.values[:, 0]) <= 0.2 * (1 + 1e-5)
    assert (moved[:, 0] > 0).mean() > 0.9
    assert not moved[:, 4].any()


def test_several_classes() -> None:
    def tables(seed: int) -> EventTable:
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 3, size=450)
        values = rng.normal(size=(450, 2)) * 0.4 + np.array([[0, 0], [1.5, 0], [0, 1.5]])[labels]
        return EventTable.from_arrays(values, labels=labels)

    module = nn.Linear(2, 3)
    with torch.no_grad():
        module.weight[:] = torch.tensor([[-2.0, -2.0], [2.0, 0.0], [0.0, 2.0]])
        module.bias[:] = torch.tensor([1.5, 0.0, 0.0])
    settings = replace(LONGER, response_limit=0.2, rho=0.2)
    result = train_adversary(TorchClassifier(module), tables(1), tables(2), seed=1, settings=settings)
    best = result.history[cast("int", result.best_epoch) - 1]
    assert best.fooling_ratio > 0.3
    assert best.ks["response"] <= 0.2


def test_an_interrupt_returns_the_finished_epochs() -> None:
    def stop(found: str, fraction: float) -> None:
        if fraction >= 2 / SETTINGS.max_epochs:
            raise KeyboardInterrupt

    result = trained(progress=stop)
    assert len(result.history) == 2
    admissible = [epoch.index for epoch in result.history if epoch.admissible]
    assert result.best_epoch == max(admissible, key=lambda index: result.history[index - 1].fooling_ratio)
    assert result.history[0].loss == result.history[0].signal_loss + result.history[0].background_loss


def test_training_starts_from_the_network_that_moves_nothing() -> None:
    attack = _Trainer(CLASSIFIER, TRAIN, [], SETTINGS).attack()
    after = run_attack(attack, CLASSIFIER, TRAIN, rng=np.random.default_rng(1), target="all").adversarial
    assert np.array_equal(after.values, TRAIN.values)


def test_training_events_stay_within_their_bounds_and_missing_values_missing() -> None:
    table = events(300, seed=5)
    classifier = TorchClassifier(mlp(6, (4,), preprocessing=Standardise.of(table), batch_norm=False))
    trainer = _Trainer(classifier, replace(table, labels=np.arange(300) % 2), [], replace(SETTINGS, rho=0.5))
    for sign in (1.0, -1.0):
        trainer.module = nn.Sequential(nn.Linear(6, 6), _Constant(sign))
        moved = trainer._perturbed(torch.arange(300)).detach().numpy()
        assert (moved[table.missing] == table.sentinel).all()
        assert np.array_equal(moved[:, 4], table.values[:, 4])
        low = table.region("low_pt").mask
        assert moved[low, 0].max() < 60.0 <= moved[~low, 0].min()
        assert np.abs(moved[:, 0] - table.values[:, 0]).max() > 20.0


class _Constant(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return 0.0 * values + self.value


def test_batches_follow_the_weights() -> None:
    weights = np.where(np.arange(600) % 3 == 0, -2.0, np.where(np.arange(600) % 3 == 1, 0.0, 4.0))
    trainer = _Trainer(CLASSIFIER, replace(TRAIN, weights=weights), [], SETTINGS)
    drawn = torch.cat([torch.cat(batch) for _ in range(10) for batch in trainer._batches()])
    frequency = np.bincount(drawn.numpy() % 3, minlength=3) / len(drawn)
    np.testing.assert_allclose(frequency, [1 / 3, 0.0, 2 / 3], atol=0.03)
    signal = TRAIN.labels[drawn.numpy()].mean()
    assert signal == 0.5


def by_numpy(values: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(values.numpy().sum(axis=1))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (by_numpy, "'o' does not take a tensor .* that requires a gradient: Can't call numpy"),
        (lambda values: total(values.detach()), "'o' is not differentiable: compute it with PyTorch"),
        (lambda values: torch.round(values[:, 0]), "'o' does not change with its inputs"),
        (lambda values: values, r"'o' returned \(64, 2\) for 64 events"),
        (lambda values: 1.0, "'o' returned float for 64 events"),
        (lambda values: torch.sqrt(values[:, 0] - 10.0), "the value of observable 'o' is not finite"),
        (lambda values: torch.sqrt(values[:, 0] * 0.0) + values[:, 1], "the gradient of observable 'o' is not finite"),
        (lambda values: values[:, 7], "'o' does not take a tensor of shape"),
        (lambda values: values[:, 0] * 0.0 + values[:, 1] ** 2 * 1e-30, "has variance 0.0 for background"),
    ],
)
def test_what_cannot_be_preserved_is_refused(function: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trained(observables=[Observable(name="o", function=function)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "response"}, "needs a name other than 'response'"),
        ({"name": ""}, "needs a name"),
        ({"strength": (1.0, 2.0)}, r"strength of o must be one number, .* got \(1.0, 2.0\)"),
        ({"strength": -1.0}, "strength of o must be one number, finite and not negative"),
        ({"limit": 0.0}, "limit of o must lie above 0"),
        ({"limit": np.nan}, "limit of o must be one number"),
    ],
)
def test_impossible_observables_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Observable(**{"name": "o", "function": total, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": -0.1}, "rho must not be negative"),
        ({"rho": (0.1, 0.1), "unit": ("range",) * 3}, "rho has 2 sizes and 3 units"),
        ({"unit": "envelope"}, "cannot know the envelope of other events"),
        ({"penalty": "none"}, "penalty must be 'event' or 'marginal'"),
        ({"response_limit": 0.0}, "response_limit must lie above 0"),
        ({"response_strength": -1.0}, "response_strength be finite and not negative"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"growth": 0.5}, "growth at least 1"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdversarySettings(**options)


def unlabelled(table: EventTable) -> EventTable:
    return replace(table, labels=np.full(table.n_events, -1))


def without(table: EventTable, label: int) -> EventTable:
    return table.select(table.labels != label)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": replace(SETTINGS, rho=(0.1, 0.1, 0.1))}, "3 sizes for 2 features"),
        ({"settings": replace(SETTINGS, background=2)}, "background class 2 is none of the network's 2 classes"),
        ({"observables": [TOTAL, TOTAL]}, "names of observables must be unique, repeated: total"),
        ({"train": unlabelled(TRAIN)}, "600 training events have no label"),
        ({"validation": unlabelled(VALIDATION)}, "600 validation events have no label"),
        ({"train": without(TRAIN, 1)}, "the training events hold no positive weight of signal"),
        ({"validation": without(VALIDATION, 0)}, "validation events hold no positive weight of constrained background"),
        ({"validation": events(50)}, "training and validation events differ in their features"),
        ({"validation": replace(VALIDATION, labels=1 - VALIDATION.labels)}, None),
    ],
)
def test_events_and_settings_that_do_not_fit_are_refused(change: dict[str, Any], message: str | None) -> None:
    chosen: dict[str, Any] = {"train": TRAIN, "validation": VALIDATION, "settings": SETTINGS, **change}
    tables = chosen.pop("train"), chosen.pop("validation")
    if message is None:
        far = tables[1].select((tables[1].labels == 0) | (tables[1].values[:, 0] < -0.5))
        tables, message = (tables[0], far), "the classifier gets no validation signal right"
    with pytest.raises(ValueError, match=message):
        train_adversary(CLASSIFIER, *tables, seed=1, **chosen)


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    calls: list[int] = []

    def breaking(values: torch.Tensor) -> torch.Tensor:
        calls.append(len(values))
        return total(values) * (1.0 if len(calls) < 10 else float("nan"))

    with pytest.raises(ValueError, match="the loss of epoch 1 is not finite; lower the learning rate"):
        trained(observables=[Observable(name="o", function=breaking)])


def test_derived_features_are_refused_in_training() -> None:
    features = [Feature(name="x"), Feature(name="y", derived=Derived(["x"], np.negative))]
    table = replace(TRAIN, values=np.stack([TRAIN.values[:, 0], -TRAIN.values[:, 0]], axis=1))
    table = EventTable.from_arrays(table.values, labels=table.labels, features=features)
    with pytest.raises(ValueError, match="derived features cannot be followed in training: y"):
        train_adversary(CLASSIFIER, table, table, seed=1)


def test_pytorch_must_see_through_the_classifier() -> None:
    with pytest.raises(GradientsUnavailableError, match="SineClassifier is no TorchClassifier"):
        train_adversary(cast("Any", SineClassifier()), events(100), events(100), seed=1)


def test_perturbing_networks_keep_shape_and_bounds() -> None:
    with pytest.raises(ValueError, match=r"returned shape \(2, 3\); it must keep the shape"):
        PerturbationNetwork(nn.Linear(2, 3), n_features=2)
    network = PerturbationNetwork(nn.Linear(2, 2), n_features=2)
    with pytest.raises(ValueError, match="end it in a Tanh"):
        network.directions(np.full((3, 2), 1e6))
    with pytest.raises(ValueError, match="takes 6 features, the table has 2"):
        run_attack(
            AdversarialNetwork(network=perturbation_network(), rho=0.1),
            CLASSIFIER,
            VALIDATION,
            rng=np.random.default_rng(1),
        )
    for options, message in (({"rho": -1.0}, "rho must not be"), ({"rho": 0.1, "n_bins": 0}, "n_bins must be")):
        with pytest.raises(ValueError, match=message):
            AdversarialNetwork(network=network, **options)  # type: ignore[arg-type]
    assert len(FEATURES) == perturbation_network().n_features
