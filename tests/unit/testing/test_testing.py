# SPDX-License-Identifier: BSD-3-Clause
"""An attack and a classifier of somebody else inherit the conformance tests."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

ATTACK = """
from dataclasses import dataclass

import numpy as np
import pytest

from hepfool.attacks._limits import admissible
from hepfool.testing import AttackConformance


@dataclass(frozen=True)
class Jitter:
    size: float = 0.5
    n_iterations: int = 1
    n_bins: int = 30

    def iterate(self, problem, values, iteration, rng):
        step = self.size * np.nanstd(values, axis=0) * rng.normal(size=values.shape)
        return admissible(problem, values, values + step)


class TestJitter(AttackConformance):
    @pytest.fixture
    def attack(self):
        return Jitter()
"""

CLASSIFIER = """
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import special

from hepfool.testing import ClassifierConformance, GradientConformance


@dataclass(frozen=True)
class Linear:
    seed: int
    n_classes: int = 2
    n_features: int = 3

    @property
    def digest(self):
        return str(self.seed)

    def _slopes(self):
        return np.random.default_rng(self.seed).normal(size=self.n_features)

    def scores(self, values):
        score = special.expit(values @ self._slopes())
        return np.stack([1.0 - score, score], axis=1)

    def predict(self, values):
        return (self.scores(values)[:, 1] > 0.5).astype(np.int64)

    def margin_and_gradient(self, values, labels):
        sign = np.where(labels == 1, 1.0, -1.0)
        return sign * (values @ self._slopes()), sign[:, None] * self._slopes()

    def loss_and_gradient(self, values, labels):
        margin, gradient = self.margin_and_gradient(values, labels)
        return np.logaddexp(0.0, -margin), -special.expit(-margin)[:, None] * gradient


class TestLinear(ClassifierConformance, GradientConformance):
    @pytest.fixture
    def build(self):
        return Linear
"""
N_ATTACK, N_CLASSIFIER = 11, 10
#: What is written instead, and the tests that notice it.
BROKEN_ATTACKS = {
    "seed": ("rng.normal(", "np.random.default_rng().normal(", {"same_seed_same_events_and_another_process_too"}),
    "frozen": ("(frozen=True)", "", {"hyper_parameters_cannot_be_changed"}),
    "repr": ("(frozen=True)", "(frozen=True, repr=False)", {"repr_says_every_hyper_parameter"}),
    "precision": (
        "values + step)",
        "values + step) * (1.0 - 1e-12 * np.outer(problem.attacked, np.arange(6) == 1))",
        {"values_are_single_precision_numbers_where_they_moved", "an_envelope_without_width_moves_nothing"},
    ),
}
BROKEN_CLASSIFIERS = {
    "digest": ("return str(self.seed)", 'return "same"', {"digest_tells_parameters_apart"}),
    "scores": ("[1.0 - score, score]", "[score, score]", {"scores_are_probabilities", "loss_is_the_cross_entropy"}),
    "threshold": ("> 0.5)", "> 0.4)", {"classes_follow_from_the_scores", "margin_is_positive_for_the_predicted_class"}),
    "slopes": ("sign[:, None] * self", "sign[:, None] * -self", {"gradient_agrees_with_differences"}),
}


@pytest.fixture(autouse=True)
def without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the time goes to plugins that are not needed here."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def failures(pytester: pytest.Pytester, sources: dict[str, str]) -> tuple[dict[str, set[str]], dict[str, int]]:
    """Tests that fail in each file, and how many there were of which outcome."""
    pytester.makepyfile(**{f"test_{name}": source for name, source in sources.items()})
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rf")
    failed: dict[str, set[str]] = {name: set() for name in sources}
    for line in result.outlines:
        if match := re.match(r"FAILED test_(\w+)\.py::\w+::test_(\w+)", line):
            failed[match[1]].add(match[2])
    return failed, result.parseoutcomes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "broken", "n_tests"), [(ATTACK, BROKEN_ATTACKS, N_ATTACK), (CLASSIFIER, BROKEN_CLASSIFIERS, N_CLASSIFIER)]
)
def test_what_conforms_passes_and_a_broken_promise_is_noticed(
    pytester: pytest.Pytester, right: str, broken: dict[str, tuple[str, str, set[str]]], n_tests: int
) -> None:
    sources = {name: right.replace(old, new) for name, (old, new, _) in broken.items()}
    assert right not in sources.values()
    failed, outcomes = failures(pytester, {"right": right, **sources})
    assert failed == {"right": set(), **{name: tests for name, (_, _, tests) in broken.items()}}
    assert outcomes["passed"] + outcomes["failed"] == n_tests * len(failed)


def test_a_class_without_its_fixture_says_what_to_override(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "from hepfool.testing import AttackConformance\n\n\nclass TestNothing(AttackConformance): ...\n"
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=N_ATTACK)
    result.stdout.fnmatch_lines(["*TestNothing has nothing to test; override its fixture attack*"])


def test_a_failure_shows_its_values(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(CLASSIFIER.replace("return str(self.seed)", 'return "same"'))
    result = pytester.runpytest_subprocess("-k", "digest")
    result.stdout.fnmatch_lines(["*AssertionError: assert 'same' != 'same'*"])


def test_without_pytest_the_message_says_what_to_install() -> None:
    program = "import sys; sys.modules['pytest'] = None; import hepfool.testing"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'hepfool[testing]'" in done.stderr
