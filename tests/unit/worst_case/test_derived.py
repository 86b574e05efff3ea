# SPDX-License-Identifier: BSD-3-Clause
"""Derived inputs lie where their formulas say, at every point of a box."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hepfool.events import Envelope, EventTable
from hepfool.features import Derived, Feature, FeatureSpace
from hepfool.models import TorchClassifier
from hepfool.typing import FloatArray
from hepfool.worst_case import certify
from hepfool.worst_case._derived import followed
from tests.unit.worst_case.test_certified import ACTIVATIONS, network

FORMULAS = (
    "a + 2 * b - c / 4",
    "a * b * c",
    "a / b",
    "hypot(a, b)",
    "sqrt(2 * a * b * (cosh(c) - cos(c)))",
    "sqrt(2 * a * max(hypot(b, c) - b, 0))",
    "hypot(a + b * cos(c), b * sin(c))",
    "max(a, b, 1.2) - min(c, 0.5)",
    "abs(a - b) + exp(-c) * log(a) + tanh(c) + arctan(b) + sinh(c)",
    "3 / a**2 + (a * b) ** 0.5",
)


def space(formula: str) -> FeatureSpace:
    return FeatureSpace(["a", "b", "c", Feature(name="d", derived=Derived.by(formula))])


def boxes(
    rng: np.random.Generator, formula: str, size: float, n: int = 30
) -> tuple[FloatArray, FloatArray, FloatArray]:
    nominal = np.column_stack([rng.uniform(1.0, 3.0, (n, 2)), rng.uniform(-1.0, 1.0, n), np.zeros(n)])
    features = space(formula)
    nominal[:, 3] = features.derive(nominal, 3)
    low, high = (nominal - size * rng.uniform(size=(n, 4)), nominal + size * rng.uniform(size=(n, 4)))
    low[:, 3], high[:, 3] = -1e6, 1e6
    return nominal, low, high


@pytest.mark.parametrize("size", [0.02, 0.4])
@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_lies_within_its_linear_bounds(formula: str, size: float, rng: np.random.Generator) -> None:
    nominal, low, high = boxes(rng, formula, size)
    sets, linear = followed(space(formula), np.arange(30), low, high, nominal)
    assert linear.tolist() == [False, False, False, True]
    widest = 0.0
    for draw in range(60):
        e = rng.uniform(-1.0, 1.0, (30, 3))
        e = np.sign(e) if draw % 2 else e
        at = sets.at(np.column_stack([e, np.zeros(30)]))
        assert (at[:, :3] >= low[:, :3] - 1e-12).all()
        off = np.abs(space(formula).derive(at, 3) - at[:, 3])
        assert (off <= sets.spread[:, 3, 3] + 1e-9).all()
        widest = max(widest, float(off.max()))
    if size < 0.1:  # what is left is of second order
        assert widest <= sets.spread[:, 3, 3].max() <= 0.05


def test_the_remainder_is_needed(rng: np.random.Generator) -> None:
    nominal, low, high = boxes(rng, "a * b", 0.4)
    sets, _ = followed(space("a * b"), np.arange(30), low, high, nominal)
    at = sets.at(np.column_stack([np.ones((30, 3)), np.zeros(30)]))
    assert (np.abs(at[:, 0] * at[:, 1] - at[:, 3]) > 0.5 * sets.spread[:, 3, 3]).any()


def test_rounded_values_of_a_file_are_covered(rng: np.random.Generator) -> None:
    nominal, low, high = boxes(rng, "a * b", 0.02)
    nominal[:, 3] += 0.3
    sets, _ = followed(space("a * b"), np.arange(30), low, high, nominal)
    assert (sets.spread[:, 3, 3] >= 0.29).all()


def curved() -> torch.nn.Sequential:
    """Asks how far d is from a multiple of a + b."""
    first, last = torch.nn.Linear(4, 2), torch.nn.Linear(2, 1)
    with torch.no_grad():
        first.weight[:] = torch.tensor([[-1.0, -1.0, 0.1, 1.4], [1.0, 1.0, -0.1, -1.4]])
        first.bias[:] = 0.0
        last.weight[:], last.bias[:] = torch.tensor([[1.0, -1.0]]), -0.15
    return torch.nn.Sequential(first, torch.nn.ReLU(), last)


def test_what_follows_from_others_is_proved_closer_than_what_is_free(rng: np.random.Generator) -> None:
    values = rng.uniform(0.2, 1.0, (80, 3))
    values = np.column_stack([values, np.hypot(values[:, 0], values[:, 1])])
    tied: list[Feature | str] = ["a", "b", "c", Feature(name="d", derived=Derived.by("hypot(a, b)"))]
    table = EventTable.from_arrays(values, features=tied, labels=np.zeros(80, dtype=int))
    classifier, width = TorchClassifier(curved()), np.array([0.1, 0.1, 0.1, 0.2])
    envelope = Envelope(values - width, values + width)
    certificate = certify(classifier, table, envelope, target="all", max_boxes=300)
    free = EventTable.from_arrays(values, labels=np.zeros(80, dtype=int))
    loose = certify(classifier, free, envelope, target="all", max_boxes=300)
    assert certificate.relaxed == ("derived inputs lie between linear bounds of their formulas: d",)
    assert certificate.found <= certificate.proved < loose.proved
    assert certificate.unresolved < 0.3 * (loose.proved - certificate.found)
    classes, changed = classifier.predict(values), np.zeros(80, dtype=np.bool_)
    for _ in range(400):
        at = values + 0.1 * rng.choice([-1.0, 1.0, rng.uniform(-1.0, 1.0)], (80, 4))
        at[:, 3] = np.hypot(at[:, 0], at[:, 1])
        changed |= classifier.predict(at) != classes
    assert changed.any()
    assert not (changed & (certificate.states == "proved")).any()


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_no_consistent_point_changes_what_is_proved(kind: str, rng: np.random.Generator) -> None:
    n, formula = 40, "sqrt(a * b * (cosh(c) - cos(c)))"
    values = np.column_stack([rng.uniform(0.2, 1.0, (n, 3)), np.zeros(n)])
    features = space(formula)
    values[:, 3] = features.derive(values, 3)
    table = EventTable.from_arrays(values, features=list(features), labels=np.zeros(n, dtype=int))
    module = network(kind, seed=5)
    with torch.no_grad():  # the boundary goes through the events
        module[-1].bias -= module(torch.from_numpy(values).float()).median()
    classifier = TorchClassifier(module)
    width = np.array([0.05, 0.08, 0.06, 1.0])
    certificate = certify(classifier, table, Envelope(values - width, values + width), target="all", max_boxes=40)
    proved, classes = certificate.states == "proved", classifier.predict(values)
    assert 0 < proved.sum() < n
    for draw in range(200):
        e = rng.uniform(-1.0, 1.0, (n, 3))
        at = np.column_stack([values[:, :3] + width[:3] * (np.sign(e) if draw % 2 else e), np.zeros(n)])
        at[:, 3] = features.derive(at, 3)
        changed = classifier.predict(at) != classes
        assert not (changed & proved).any()
