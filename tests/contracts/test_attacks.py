# SPDX-License-Identifier: BSD-3-Clause
"""What every attack of the package promises, whatever its hyper-parameters."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import numpy as np
import pytest

import hepfool.attacks
from hepfool.attacks import PGD, RDSA, AdversarialNetwork, Attack, CONSERVAttack, MiniFool, Noise, fgsm, run_attack
from hepfool.events import Envelope
from hepfool.testing import AttackConformance
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


def test_every_attack_of_the_package_is_tested_here() -> None:
    found = set()
    for module in pkgutil.iter_modules(hepfool.attacks.__path__, "hepfool.attacks."):
        members = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        found |= {cls for _, cls in members if hasattr(cls, "iterate") and not getattr(cls, "_is_protocol", False)}
    # A wrapper keeps the promises of what it wraps; tests/unit/attacks/test_checkpoint.py compares the two.
    assert found == {type(attack) for attack in ATTACKS.values()}


class TestAttacks(AttackConformance):
    @pytest.fixture(params=ATTACKS.values(), ids=list(ATTACKS))
    def attack(self, request: pytest.FixtureRequest) -> Attack:
        attack: Attack = request.param
        return attack


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_the_whole_envelope_is_used(attack: Attack) -> None:
    table = events(400)
    sigma = np.array([5.0, 0.1, 0.2, 1.0, 0.0, 8.0])
    envelope = Envelope.absolute(table, sigma)
    result = run_attack(attack, SineClassifier(), table, rng=np.random.default_rng(1), envelope=envelope)
    assert (np.abs(np.nan_to_num(result.adversarial.values - table.values)[:, [0, 1]]) > 0.5 * sigma[:2]).any()
