# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hepfool.attacks import PGD, RDSA, Attack, CONSERVAttack, MiniFool, run_attack
from hepfool.defences import DefendedClassifier, Detector, attack_defended
from hepfool.events import EventTable
from hepfool.exceptions import GradientsUnavailableError
from hepfool.models import CallableClassifier, DifferentiableClassifier, FiniteDifference, TorchClassifier
from hepfool.models.protocols import Defended, is_fooled
from hepfool.statistics import Binning
from hepfool.surrogate import Surrogate

pytestmark = pytest.mark.torch

CONSERV = CONSERVAttack(n_iterations=5, n_bins=20, n_candidates=20, max_js_distance=0.3)
ATTACKS: dict[str, Attack] = {
    "pgd": PGD(step=0.03, n_iterations=8),
    "minifool": MiniFool(sigma=0.5, unit="absolute", strength=3.0),
    "rdsa": RDSA(n_features=2, n_tries=10),
    "paper": CONSERV,
    "repairing": replace(CONSERV, optimize_already_fooled=True),
    "frugal": replace(CONSERV, n_candidates=None, strategy="frugal"),
}


class Gate(nn.Module):
    """Log-odds that are high off the parabola on which the nominal events lie."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(4.0, dtype=torch.float64))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.slope * (values[:, 1:] - values[:, :1] ** 2) ** 2 - 2.0


def straight() -> TorchClassifier:
    network = nn.Linear(2, 1, dtype=torch.float64)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[3.0, 0.5]]))
        network.bias.zero_()
    return TorchClassifier(network)


def system(threshold: float = 0.3, weight: float = 1.0) -> DefendedClassifier:
    gate = TorchClassifier(Gate(), n_features=2)
    detector = Detector(classifier=gate, threshold=threshold, features=("x", "y"), hidden=())
    return DefendedClassifier(classifier=straight(), detector=detector, detector_weight=weight)


def events(n_events: int = 400) -> EventTable:
    rng = np.random.default_rng(2)
    x = rng.normal(size=n_events)
    values = np.stack([x, x**2 + 0.3 * rng.normal(size=n_events)], axis=1)
    return EventTable.from_arrays(
        values, labels=straight().predict(values), features=["x", "y"], weights=rng.uniform(0.5, 1.5, n_events)
    )


@pytest.mark.parametrize("weight", [0.5, 1.0, 4.0])
def test_the_margin_is_positive_until_the_event_is_fooled(rng: np.random.Generator, weight: float) -> None:
    values, labels = rng.normal(size=(500, 2)), rng.integers(0, 2, 500)
    defended = system(weight=weight)
    margin, _ = defended.margin_and_gradient(values, labels)
    fooled = defended.fooled(values, labels)
    np.testing.assert_array_equal(fooled, margin <= 0)
    changed, flagged = defended.predict(values) != labels, defended.detector.flags(values)
    np.testing.assert_array_equal(fooled, changed & ~flagged)
    assert all(part.any() for part in (fooled, changed & flagged, ~changed & flagged, ~changed & ~flagged))


@pytest.mark.parametrize("quantity", ["margin_and_gradient", "loss_and_gradient"])
def test_gradients_agree_with_differences(rng: np.random.Generator, quantity: str) -> None:
    values, labels = rng.normal(size=(300, 2)), rng.integers(0, 2, 300)
    evaluate = getattr(system(weight=2.0), quantity)
    _, gradient = evaluate(values, labels)
    step = 1e-6
    wrong = 0
    for j in range(2):
        moved = np.eye(2)[j] * step
        difference = (evaluate(values + moved, labels)[0] - evaluate(values - moved, labels)[0]) / (2 * step)
        wrong += int((np.abs(difference - gradient[:, j]) > 1e-4 * (1 + np.abs(difference))).sum())
    assert wrong <= 1  # where a part begins to count within the step


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_counts_what_is_not_flagged(name: str) -> None:
    defended, table = system(), events()
    assert isinstance(defended, Defended)
    assert isinstance(defended, DifferentiableClassifier)
    result = run_attack(ATTACKS[name], defended, table, rng=np.random.default_rng(1))
    values = result.adversarial.values
    changed = defended.predict(values) != defended.predict(table.values)
    np.testing.assert_array_equal(result.fooled, result.attacked & changed & ~defended.detector.flags(values))
    assert result.fooled.any()


@pytest.mark.parametrize("name", ["pgd", "minifool", "rdsa", "paper", "frugal"])
def test_an_attack_that_knows_the_detector_is_stronger(name: str) -> None:
    found = attack_defended(ATTACKS[name], system(), events(), rng=np.random.default_rng(1))
    assert found.difference > 2 * found.difference_error > 0
    difference = found.adaptive.corrected_fooling_ratio - found.naive.corrected_fooling_ratio
    assert found.difference == pytest.approx(difference)
    assert found.adaptive.corrected_fooling_ratio == pytest.approx(found.adaptive_result.fooling_ratio)
    assert found.naive.n_attacked == found.adaptive.n_attacked
    # The class alone may change for more events than those that get past the detector.
    assert found.adaptive.fooling_ratio >= found.adaptive.corrected_fooling_ratio


def test_a_detector_that_flags_nothing_changes_nothing() -> None:
    found = attack_defended(ATTACKS["pgd"], system(threshold=1.0), events(), rng=np.random.default_rng(1))
    np.testing.assert_array_equal(found.adaptive_result.adversarial.values, found.naive_result.adversarial.values)
    assert (found.difference, found.difference_error) == (0.0, 0.0)


def test_a_detector_that_flags_everything_cannot_be_fooled() -> None:
    found = attack_defended(ATTACKS["pgd"], system(threshold=0.0), events(), rng=np.random.default_rng(1))
    assert found.adaptive.corrected_fooling_ratio == 0.0
    assert found.adaptive.clean_efficiency == 0.0


def test_the_paired_error_is_that_of_the_differences() -> None:
    table, defended = events(), system()
    found = attack_defended(ATTACKS["pgd"], defended, table, rng=np.random.default_rng(1))
    attacked = found.naive_result.attacked
    passed = found.naive_result.fooled & ~defended.detector.flags(found.naive_result.adversarial.values)
    gained, lost = (
        (found.adaptive_result.fooled & ~passed)[attacked],
        (passed & ~found.adaptive_result.fooled)[attacked],
    )
    share = table.weights[attacked] / table.weights[attacked].sum()
    assert found.difference == pytest.approx(share[gained].sum() - share[lost].sum())
    replicas = np.random.default_rng(3).integers(0, attacked.sum(), (2000, attacked.sum()))
    change = gained.astype(float) - lost
    means = (share[replicas] * change[replicas]).sum(axis=1) / share[replicas].sum(axis=1)
    assert found.difference_error == pytest.approx(means.std(), rel=0.1)


def test_a_finished_attack_is_not_repeated() -> None:
    table, defended = events(), system()
    binning = Binning.uniform(table, n_bins=7)
    naive = run_attack(
        ATTACKS["pgd"], defended.classifier, table, rng=np.random.default_rng(1), target=1, binning=binning
    )
    found = attack_defended(ATTACKS["pgd"], defended, table, rng=np.random.default_rng(1), naive=naive)
    assert found.naive_result is naive
    assert found.adaptive_result.binning is binning
    np.testing.assert_array_equal(found.adaptive_result.attacked, naive.attacked)
    with pytest.raises(ValueError, match="other events or another network"):
        attack_defended(ATTACKS["pgd"], defended, events(), rng=np.random.default_rng(1), naive=naive)


def test_a_model_without_gradients_is_wrapped_before_it_is_defended() -> None:
    trees = CallableClassifier(lambda values: straight().scores(values)[:, 1], n_features=2)
    defended = replace(system(), classifier=trees)
    with pytest.raises(GradientsUnavailableError, match="before it is defended"):
        run_attack(PGD(), defended, events(), rng=np.random.default_rng(1))
    with pytest.raises(TypeError, match="wrap the undefended classifier"):
        FiniteDifference(defended, [1e-3, 1e-3])
    with pytest.raises(TypeError, match="wrap the undefended classifier"):
        Surrogate(defended, straight())
    wrapped = replace(defended, classifier=FiniteDifference(trees, [1e-3, 1e-3]))
    first, second = (
        run_attack(ATTACKS["pgd"], d, events(), rng=np.random.default_rng(1)).fooling_ratio for d in (wrapped, system())
    )
    assert first == pytest.approx(second, abs=0.02)


def test_it_has_a_digest_and_crosses_to_a_worker(rng: np.random.Generator) -> None:
    defended = system()
    values, classes = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
    copy = pickle.loads(pickle.dumps(replace(defended, detector=replace(defended.detector, provenance={}))))
    np.testing.assert_array_equal(is_fooled(copy, values, classes), defended.fooled(values, classes))
    assert len({d.digest for d in (system(), system(0.4), system(weight=2.0), system())}) == 3
    assert (defended.n_classes, defended.n_features) == (2, 2)


def test_classifier_and_detector_must_fit() -> None:
    with pytest.raises(ValueError, match="must see the same events"):
        replace(system(), classifier=TorchClassifier(nn.Linear(3, 1)))
    with pytest.raises(ValueError, match="detector_weight"):
        system(weight=0.0)
    with pytest.raises(ValueError, match="in this order"):
        attack_defended(PGD(), system(), EventTable.from_arrays([[0.0, 0.0]]), rng=np.random.default_rng(1))
