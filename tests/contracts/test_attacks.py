# SPDX-License-Identifier: BSD-3-Clause
"""What every attack of the package promises, whatever its hyper-parameters."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hepfool.attacks
from hepfool.attacks.adversarial_network import AdversarialNetwork
from hepfool.attacks.base import Attack, AttackResult, Iteration, run_attack
from hepfool.attacks.checkpoint import Checkpointed
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.attacks.gradient import PGD, fgsm
from hepfool.attacks.minifool import MiniFool
from hepfool.attacks.stochastic import RDSA, Noise
from hepfool.events import Envelope
from hepfool.statistics.compatibility import compare
from tests.specimens import SineClassifier, events, perturbation_network

CONSERV: dict[str, Any] = {"n_iterations": 3, "n_bins": 30, "beta": 20.0}

#: One entry per attack of the package, more where hyper-parameters change its kind.
ATTACKS: dict[str, Attack] = {
    "paper": CONSERVAttack(**CONSERV, max_js_distance=0.1, max_correlation_shift=0.1),
    "paper, random candidates": CONSERVAttack(**CONSERV, n_candidates=10, max_js_distance=0.1),
    "paper, even candidates": CONSERVAttack(**CONSERV, n_candidates=10, candidates="even", compete=True),
    "paper, chosen ahead": CONSERVAttack(**CONSERV, n_ahead=16, max_js_distance=0.1, max_correlation_shift=0.1),
    "paper, repaired": CONSERVAttack(**CONSERV, max_js_distance=0.1, optimize_already_fooled=True),
    "paper, distance correlation": CONSERVAttack(
        **CONSERV, dependence="distance", step=0.03, max_js_distance=0.1, max_correlation_shift=0.1
    ),
    "PGD": PGD(step=0.02, n_iterations=3, n_bins=30),
    "PGD, L2": PGD(step=0.1, epsilon=0.2, norm="2", n_iterations=3, n_bins=30),
    "FGSM": fgsm(0.05, n_bins=30),
    "FGSM, mixed units": fgsm(
        (0.1, 0.2, 0.1, 1.0, 0.1, 0.3),
        unit=("relative", "absolute", "absolute", "absolute", "range", "relative"),
        n_bins=30,
    ),
    "uniform noise": Noise(size=0.2, n_bins=30),
    "normal noise": Noise(size=0.2, shape="normal", n_bins=30),
    "RDSA": RDSA(n_features=2, n_tries=3, n_bins=30),
    "MiniFool": MiniFool(sigma=0.1, n_bins=30),
    "adversarial network": AdversarialNetwork(network=perturbation_network(), rho=0.2, n_bins=30),
    "frugal": CONSERVAttack(**CONSERV, strategy="frugal", max_js_distance=0.1, max_correlation_shift=0.1),
}

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
every_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
CLASSIFIER = SineClassifier()


def attacked(attack: Attack, seed: int = 3, **options: Any) -> AttackResult:
    return run_attack(attack, CLASSIFIER, events(500), rng=np.random.default_rng(seed), **options)


def test_every_attack_of_the_package_is_tested_here() -> None:
    found = set()
    for module in pkgutil.iter_modules(hepfool.attacks.__path__, "hepfool.attacks."):
        members = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        found |= {cls for _, cls in members if hasattr(cls, "iterate") and not getattr(cls, "_is_protocol", False)}
    # A wrapper keeps the promises of what it wraps; tests/unit/attacks/test_checkpoint.py compares the two.
    assert found - {Checkpointed} == {type(attack) for attack in ATTACKS.values()}


@every_attack
def test_values_stay_within_ranges_and_regions(attack: Attack) -> None:
    result = attacked(attack)
    before, after = result.nominal, result.adversarial.values
    assert result.fooling_ratio > 0.0
    assert np.array_equal(np.isnan(after), before.missing)
    filled = np.where(before.missing, before.features.lower, after)
    filled = np.where(np.isfinite(filled), filled, 0.0)
    assert (filled >= np.where(np.isfinite(before.features.lower), before.features.lower, -np.inf)).all()
    assert (filled <= before.features.upper).all()
    low = before.region("low_pt").mask
    assert (after[low, 0] < 60.0).all()
    assert (after[~low, 0] >= 60.0).all()
    fixed = before.features.index("charge")
    assert np.array_equal(after[:, fixed], before.values[:, fixed])
    whole = before.features.index("n_jets")
    assert np.array_equal(after[:, whole], np.round(after[:, whole]))
    present = ~before.missing[low]
    limits = np.nanmin(before.values[low], axis=0), np.nanmax(before.values[low], axis=0)
    continuous = [before.features.index(name) for name in ("pt", "eta", "jet_pt")]
    for j in continuous:
        moved = after[low, j][present[:, j]]
        assert limits[0][j] <= moved.min()
        assert moved.max() <= limits[1][j]


@every_attack
def test_input_is_not_written(attack: Attack) -> None:
    table = events(300)
    before = table.values.copy()
    run_attack(attack, CLASSIFIER, table, rng=np.random.default_rng(1))
    assert np.array_equal(table.values, before, equal_nan=True)
    assert not table.values.flags.writeable


@every_attack
def test_only_attacked_events_move(attack: Attack) -> None:
    mask = np.zeros(500, dtype=bool)
    mask[::5] = True
    result = attacked(attack, target=mask)
    assert np.array_equal(result.attacked, mask)
    moved = (result.adversarial.values != result.nominal.values) & ~result.nominal.missing
    assert not moved[~mask].any()


@every_attack
def test_same_seed_same_events_and_another_process_too(attack: Attack) -> None:
    first, second = attacked(attack), attacked(pickle.loads(pickle.dumps(attack)))
    assert np.array_equal(first.adversarial.values, second.adversarial.values, equal_nan=True)


@every_attack
def test_reported_numbers_are_those_of_the_returned_events(attack: Attack) -> None:
    result = attacked(attack)
    again = compare(result.nominal, result.adversarial, result.binning)
    np.testing.assert_allclose(result.compatibility.js_distance, again.js_distance, atol=1e-12)
    assert result.compatibility.correlation_shift == pytest.approx(again.correlation_shift, abs=1e-12)
    classes = [CLASSIFIER.predict(table.network_values) for table in (result.nominal, result.adversarial)]
    fooled = result.attacked & (classes[0] != classes[1])
    weights = result.nominal.weights
    assert np.array_equal(result.fooled, fooled)
    assert result.fooling_ratio == pytest.approx(weights[fooled].sum() / weights[result.attacked].sum())


@every_attack
def test_an_envelope_without_width_moves_nothing(attack: Attack) -> None:
    table = events(200)
    nothing = Envelope.absolute(table, np.zeros(table.n_features))
    result = run_attack(attack, CLASSIFIER, table, rng=np.random.default_rng(1), envelope=nothing)
    assert np.array_equal(result.adversarial.values, table.values, equal_nan=True)


@every_attack
def test_values_stay_within_an_envelope(attack: Attack) -> None:
    table = events(400)
    sigma = np.array([5.0, 0.1, 0.2, 1.0, 0.0, 8.0])
    result = run_attack(
        attack, CLASSIFIER, table, rng=np.random.default_rng(1), envelope=Envelope.absolute(table, sigma)
    )
    travelled = np.nan_to_num(result.adversarial.values - table.values)
    travelled[:, 2] -= 2 * np.pi * np.round(travelled[:, 2] / (2 * np.pi))
    assert (np.abs(travelled) <= sigma + 1e-9).all()
    assert (np.abs(travelled) > 0.5 * sigma).any()


@every_attack
def test_values_are_single_precision_numbers_where_they_moved(attack: Attack) -> None:
    result = attacked(attack)
    moved = (result.adversarial.values != result.nominal.values) & ~result.nominal.missing
    moved[:, result.nominal.features.of_kind("angle")] = False  # wrapping is done in double precision
    values = result.adversarial.values[moved]
    assert np.array_equal(values, values.astype(np.float32).astype(np.float64))


@every_attack
def test_an_interrupt_returns_what_is_done(attack: Attack) -> None:
    done = min(2, attack.n_iterations)

    def stop(iteration: Iteration) -> None:
        if iteration.index == done:
            raise KeyboardInterrupt

    result = attacked(attack, progress=stop)
    assert result.interrupted == (done < attack.n_iterations)
    assert result.iterations_done == len(result.history) == done


@every_attack
def test_repr_says_every_hyper_parameter(attack: Attack) -> None:
    text = repr(attack)
    assert text.startswith(type(attack).__name__)
    for name in type(attack).__dataclass_fields__:  # type: ignore[attr-defined]
        assert f"{name}=" in text


@every_attack
def test_hyper_parameters_cannot_be_changed(attack: Attack) -> None:
    setter: Callable[..., None] = setattr
    with pytest.raises(AttributeError):
        setter(attack, "n_bins", 1)
