# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import eagerpy
import foolbox
import numpy as np
import pytest
import torch

from hepfool.attacks import PGD, RDSA, AttackResult, Noise, fgsm, run_attack
from hepfool.events import Envelope, EventTable
from hepfool.features import Derived, Feature
from hepfool.models import TorchClassifier, mlp
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
N_FEATURES = 5


@pytest.fixture
def network() -> TorchClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return TorchClassifier(mlp(N_FEATURES, (16, 8), n_outputs=2, batch_norm=False).eval())


@pytest.fixture
def unit_table(rng: np.random.Generator) -> EventTable:
    """Inputs in [0, 1] of which both ends occur, so that a range is a unit."""
    values = rng.uniform(size=(200, N_FEATURES)).astype(np.float32)
    values[0], values[1] = 0.0, 1.0
    return EventTable.from_arrays(values, features=[Feature(name=f"x{j}", lower=0, upper=1) for j in range(N_FEATURES)])


@pytest.mark.torch
@pytest.mark.parametrize(("steps", "step", "epsilon"), [(1, 0.05, 0.05), (10, 0.01, 0.05)])
def test_steps_are_those_of_foolbox(
    network: TorchClassifier, unit_table: EventTable, steps: int, step: float, epsilon: float
) -> None:
    attack = PGD(step=step, epsilon=epsilon, n_iterations=steps)
    ours = run_attack(attack, network, unit_table, rng=np.random.default_rng(1), target="all").adversarial.values
    library: Any = foolbox
    arrays: Any = eagerpy
    model = library.PyTorchModel(network.module.eval(), bounds=(0, 1), device="cpu")
    theirs = library.attacks.LinfProjectedGradientDescentAttack(abs_stepsize=step, steps=steps, random_start=False)
    inputs = torch.tensor(unit_table.values, dtype=torch.float32)
    labels = torch.as_tensor(network.predict(unit_table.values))
    tensor = arrays.PyTorchTensor
    found = theirs.run(model, tensor(inputs), tensor(labels), epsilon=epsilon).raw.numpy()
    # Where a slope is nearly zero rounding may decide its sign.
    assert (np.abs(ours - found) < 1e-5).mean() > 0.999


def attacked(attack: Any, table: EventTable, **options: Any) -> AttackResult:
    return run_attack(attack, SineClassifier(), table, rng=np.random.default_rng(1), **options)


@pytest.mark.parametrize(("unit", "size"), [("range", 0.02), ("absolute", 1.5), ("relative", 0.1)])
@pytest.mark.parametrize("kind", ["PGD", "noise"])
def test_moves_do_not_exceed_their_size(unit: Any, size: float, kind: str) -> None:
    table = events(400, regions=False)
    attack = PGD(step=size / 4, epsilon=size, unit=unit) if kind == "PGD" else Noise(size=size, unit=unit)
    result = attacked(attack, table)
    edges = result.binning.edges
    limits: dict[str, Any] = {
        "range": size * (edges[:, -1] - edges[:, 0]),
        "absolute": size,
        "relative": size * np.abs(table.values),
    }
    limit = np.broadcast_to(limits[unit], table.values.shape)
    moved = np.abs(result.adversarial.values - table.values)
    for j in (0, 1, 5):
        largest = limit[:, j]
        present = ~table.missing[:, j]
        assert (moved[present, j] <= largest[present] * (1 + 1e-5) + 1e-6).all()
        assert (moved[present, j] > 0.5 * largest[present]).mean() > 0.2


def test_every_feature_may_have_its_own_unit() -> None:
    table = events(300, regions=False)
    step = (0.01, 0.02, 0.03, 1.0, 0.0, 0.02)
    units: dict[str, Any] = {"pt": "relative", "eta": "absolute", "phi": "absolute", "n_jets": "absolute"}
    mixed = tuple(units.get(name, "range") for name in table.features.names)
    moved = attacked(PGD(step=step, unit=mixed), table).adversarial.values
    for name, unit in [*units.items(), ("jet_pt", "range")]:
        j = table.features.index(name)
        alone = tuple(size if k == j else 0.0 for k, size in enumerate(step))
        expected = attacked(fgsm(alone, unit=unit), table).adversarial.values
        single = attacked(fgsm(step, unit=mixed), table).adversarial.values
        assert np.array_equal(single[:, j], expected[:, j], equal_nan=True)
        assert (moved[:, j] != table.values[:, j])[~table.missing[:, j]].any()


def test_half_the_width_of_the_envelope_is_a_unit() -> None:
    table = events(300, regions=False)
    sigma = np.random.default_rng(3).uniform(0.5, 2.0, size=table.values.shape) * [5.0, 0.1, 0.2, 1.0, 1.0, 8.0]
    envelope = Envelope.absolute(table, sigma, n_sigma=2.0)
    moved = np.abs(attacked(fgsm(0.25, unit="envelope"), table, envelope=envelope).adversarial.values - table.values)
    present = ~table.missing[:, 0]
    np.testing.assert_allclose(np.quantile(moved[:, 0] / sigma[:, 0], [0.3, 0.5]), 0.5, rtol=1e-4)
    assert (moved[present, 0] <= 0.5 * sigma[present, 0] * (1 + 1e-4)).all()


def test_euclidean_steps_stay_within_the_ball(unit_table: EventTable, network: TorchClassifier) -> None:
    attack = PGD(step=0.05, epsilon=0.1, norm="2")
    result = run_attack(attack, network, unit_table, rng=np.random.default_rng(1), target="all")
    length = np.linalg.norm(result.adversarial.values - unit_table.values, axis=1)
    assert length.max() <= 0.1 * (1 + 1e-5)
    assert np.median(length) > 0.09


def test_pgd_fools_more_than_noise_of_the_same_size() -> None:
    table = events(600, regions=False)
    pgd, noise = (attacked(attack, table).fooling_ratio for attack in (PGD(step=0.02), Noise(size=0.2)))
    assert pgd > 2.0 * noise > 0.0
    assert fgsm(0.2).step == 0.2


def test_redrawn_values_come_from_the_marginals_and_few_at_once() -> None:
    table = events(500, regions=False)
    result = attacked(RDSA(n_features=2, n_tries=20), table)
    changed = (result.adversarial.values != table.values) & ~table.missing
    assert result.fooling_ratio > 0.5
    assert changed.sum(axis=1).max() <= 2
    assert not changed[~result.fooled].any()
    for j in (0, 1, 3):
        drawn = result.adversarial.values[changed[:, j], j]
        distance = np.abs(drawn[:, np.newaxis] - table.values[:, j]).min(axis=1)
        assert (distance <= 1e-6 * (1.0 + np.abs(drawn))).all()  # single precision


def test_derived_features_follow_any_attack(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 300))
    features = [Feature(name="x"), Feature(name="y"), Feature(name="xy", derived=Derived(["x", "y"], np.multiply))]
    labels = (x > 0).astype(int)
    table = EventTable.from_arrays(np.stack([x, y, x * y], axis=1), features=features, labels=labels)
    classifier = SineClassifier(weights=np.ones(3), scales=np.ones(3), offset=0.0)
    for attack in (PGD(step=0.02), Noise(size=0.1), RDSA(n_features=1, n_tries=5)):
        after = run_attack(attack, classifier, table, rng=rng, target="all").adversarial.values
        assert (after[:, 2] != table.values[:, 2]).sum() > 50
        np.testing.assert_allclose(after[:, 2], after[:, 0] * after[:, 1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PGD(step=-1.0), "step must not be negative"),
        (lambda: PGD(epsilon=np.nan), "epsilon must not be negative"),
        (lambda: PGD(norm="1"), "norm must be"),  # type: ignore[arg-type]
        (lambda: PGD(unit="sigma"), "unit must be one of range, absolute, relative, envelope, got 'sigma'"),  # type: ignore[arg-type]
        (lambda: PGD(unit=("range", "sigma")), "got 'sigma'"),  # type: ignore[arg-type]
        (lambda: PGD(epsilon=(0.1, 0.1), unit=("range",) * 3), "epsilon has 2 sizes and 3 units"),
        (lambda: Noise(size=0.1, shape="flat"), "shape must be"),  # type: ignore[arg-type]
        (lambda: RDSA(n_features=0), "n_features must be at least 1"),
    ],
)
def test_impossible_hyper_parameters_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_sizes_are_one_or_one_per_feature() -> None:
    with pytest.raises(ValueError, match="2 sizes for 6 features"):
        attacked(PGD(step=(0.1, 0.2)), events(100))
    with pytest.raises(ValueError, match="2 units for 6 features"):
        attacked(PGD(unit=("range", "absolute")), events(100))
