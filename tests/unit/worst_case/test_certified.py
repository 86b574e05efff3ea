# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import nn

from hepfool.attacks._restarts import Sets
from hepfool.events import Envelope, EventTable
from hepfool.exceptions import NotCertifiableError
from hepfool.features import Derived, Feature, FeatureSpace
from hepfool.models import Standardise, TorchClassifier
from hepfool.models._folding import folded
from hepfool.models._layers import Folded
from hepfool.typing import FloatArray
from hepfool.worst_case import Certificate, certify
from hepfool.worst_case._branch import Parts, _halves, divided
from hepfool.worst_case._relax import enclosed, linear_bounds, lines
from hepfool.worst_case._splits import _divided, _evaluated, _first, _improved, _leaks, decided_by_signs

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU,
    "LeakyReLU": lambda: nn.LeakyReLU(0.2),
    "Tanh": nn.Tanh,
    "Sigmoid": nn.Sigmoid,
    "SiLU": nn.SiLU,
    "ELU": nn.ELU,
    "ELU of alpha 0.4": lambda: nn.ELU(0.4),
    "GELU": nn.GELU,
    "GELU by tanh": lambda: nn.GELU("tanh"),
    "Softplus": lambda: nn.Softplus(1.5),
}
N_INPUTS = 4


def network(kind: str, seed: int, *, n_outputs: int = 1, hidden: tuple[int, ...] = (7, 6)) -> nn.Sequential:
    """Random, with everything that a layer can be."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = [
            Standardise(np.full(N_INPUTS, 0.3), np.full(N_INPUTS, 0.6), sentinel=-9.0),
            nn.Flatten(),
        ]
        width = N_INPUTS
        for size in hidden:
            norm = nn.BatchNorm1d(size)
            norm.running_mean, norm.running_var = torch.randn(size), torch.rand(size) + 0.5
            nn.init.normal_(norm.weight)
            layers += [nn.Linear(width, size), ACTIVATIONS[kind](), norm, nn.Dropout(0.4)]
            width = size
        return nn.Sequential(nn.Sequential(*layers), nn.Linear(width, n_outputs)).eval()


def some_sets(rng: np.random.Generator, n: int, *, generators: bool, size: float) -> Sets:
    centre = rng.normal(0.3, 0.8, (n, N_INPUTS))
    shape = (n, N_INPUTS, 3) if generators else (n, N_INPUTS)
    return Sets(centre, (rng.normal(0.0, size, shape) if generators else rng.uniform(0.0, size, shape)))


def points(rng: np.random.Generator, sets: Sets, n: int) -> list[FloatArray]:
    """Random points, corners and the middle."""
    shape = (len(sets.centre), sets.spread.shape[-1])
    drawn = [rng.uniform(-1.0, 1.0, shape) for _ in range(n)]
    return [sets.at(e) for e in (*drawn, *map(np.sign, drawn), np.zeros(shape))]


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_a_network_and_its_layers_agree(kind: str, rng: np.random.Generator) -> None:
    module, inputs = network(kind, 3, n_outputs=2), rng.normal(size=(50, N_INPUTS))
    inputs[:5, 1] = -9.0
    layers = folded(module, N_INPUTS)
    answer = module(torch.tensor(inputs, dtype=torch.float32)).detach().numpy()
    assert np.allclose(layers(layers.present(inputs)), answer, atol=1e-5)


@pytest.mark.parametrize("kind", ACTIVATIONS)
@given(st.integers(0, 2**32), st.floats(1e-6, 30.0))
@settings(max_examples=60)
def test_an_activation_lies_between_its_lines(kind: str, seed: int, width: float) -> None:
    activation = folded(nn.Sequential(nn.Linear(1, 1), ACTIVATIONS[kind](), nn.Linear(1, 1)), 1).layers[0].activation
    assert activation is not None
    low = np.random.default_rng(seed).uniform(-width, width, 20)
    high = low + np.random.default_rng(seed + 1).uniform(0.0, width, 20)
    found = lines(activation, low, high)
    for t in np.linspace(0.0, 1.0, 301):
        z = low + t * (high - low)
        middle, half = found.slope * z + found.offset, found.half_slope * z + found.half_offset
        value = activation.value(z)
        assert (value <= middle + half + 1e-9).all()
        assert (value >= middle - half - 1e-9).all()


@pytest.mark.parametrize("kind", ACTIVATIONS)
@given(st.integers(0, 2**32), st.sampled_from([0.01, 0.1, 0.5, 3.0]), st.booleans(), st.sampled_from([1, 3]))
@settings(max_examples=25)
def test_no_input_gives_less_than_the_bound(
    kind: str, seed: int, size: float, generators: bool, n_outputs: int
) -> None:
    rng = np.random.default_rng(seed)
    layers = folded(network(kind, seed % 2**31, n_outputs=n_outputs), N_INPUTS)
    sets = some_sets(rng, 8, generators=generators, size=size)
    rows = rng.normal(size=(8, 2, n_outputs))
    least, slopes = linear_bounds(layers.layers, sets, rows)
    ends, _ = enclosed(layers.layers, sets)
    tight = sets.at(-np.sign(sets.along(slopes)[:, 0]))
    for x in (*points(rng, sets, 40), tight):
        margins = (rows @ layers(x)[..., np.newaxis])[..., 0]
        assert (margins >= least - 1e-9 * (1.0 + np.abs(least))).all()
        value = x
        for layer, (low, high) in zip(layers.layers[:-1], ends, strict=True):
            entering = value @ layer.weight.T + layer.bias
            assert ((entering >= low - 1e-9) & (entering <= high + 1e-9)).all()
            value = entering if layer.activation is None else layer.activation.value(entering)


@pytest.mark.parametrize("kind", ["ReLU", "LeakyReLU"])
@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=40)
def test_any_slopes_and_prices_give_a_bound_where_the_signs_are_as_stated(
    kind: str, seed: int, generators: bool
) -> None:
    rng = np.random.default_rng(seed)
    layers = folded(network(kind, seed % 2**31), N_INPUTS).layers
    sets = some_sets(rng, 6, generators=generators, size=0.6)
    cases = _first(layers, Parts(np.arange(6), sets, np.ones((6, 1, 1))))
    for _ in range(3):
        unknown = (cases.low < 0.0) & (cases.high > 0.0)
        gap = rng.uniform(size=unknown.shape) * unknown
        cases = _divided(replace(cases, gap=gap).select(unknown.any(axis=1)))
    leaks = _leaks(layers)
    slope = leaks + (1.0 - leaks) * rng.uniform(size=cases.low.shape)
    cases = replace(cases, slope=slope, price=rng.exponential(size=slope.shape))
    found, _, _ = _evaluated(layers, cases, (cases.low < 0) & (cases.high > 0), leaks)
    for x in points(rng, Sets(cases.centre, cases.spread), 40):
        value = x
        entering = []
        for layer in layers[:-1]:
            assert layer.activation is not None
            entering.append(value @ layer.weight.T + layer.bias)
            value = layer.activation.value(entering[-1])
        margin = (value @ layers[-1].weight.T + layers[-1].bias)[:, 0]
        agrees = (np.concatenate(entering, axis=1) * cases.sign >= 0.0).all(axis=1)
        assert (margin[agrees] >= found.least[agrees] - 1e-9).all()


@given(st.integers(0, 2**32))
def test_halves_hold_every_whole_number_once_and_every_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.integers(-4, 3, (5, 2)).astype(float)
    high = low + rng.integers(1, 5, (5, 2)).astype(float)
    parts = Parts(np.arange(5), Sets.between(low, high), np.ones((5, 1, 1)))
    column, whole = rng.integers(0, 2, 5), np.array([True, False])
    halves = _halves(parts, column, whole)
    start, end = halves.sets.centre - halves.sets.spread, halves.sets.centre + halves.sets.spread
    for event in range(5):
        mine = halves.owner == event
        for number in range(int(low[event, 0]), int(high[event, 0]) + 1):
            inside = (start[mine, 0] <= number) & (number <= end[mine, 0])
            assert inside.sum() == (1 if column[event] == 0 else 2)
        assert start[mine].min(axis=0).tolist() == low[event].tolist()
        assert end[mine].max(axis=0).tolist() == high[event].tolist()
        assert column[event] == 0 or start[mine, 1].max() == end[mine, 1].min()


def exact_minimum(layers: Folded, low: FloatArray, high: FloatArray, sign: float) -> float:
    """Mixed-integer programme of a network with ReLU, written from its definition with wide constants."""
    size, rows, least, most = 0, [], [], []
    big, kinds = 1e3, list[int]()
    bounds: list[tuple[float, float]] = []

    def add(n: int, lower: FloatArray | float, upper: FloatArray | float, kind: int) -> np.ndarray:
        nonlocal size
        bounds.extend(zip(np.broadcast_to(lower, n), np.broadcast_to(upper, n), strict=True))
        kinds.extend([kind] * n)
        size += n
        return np.arange(size - n, size)

    before = add(len(low), low, high, 0)
    for layer in layers.layers[:-1]:
        n = len(layer.bias)
        z, a, on = add(n, -big, big, 0), add(n, 0.0, big, 0), add(n, 0.0, 1.0, 1)
        for k in range(n):
            rows.append({z[k]: 1.0, **{j: -w for j, w in zip(before, layer.weight[k], strict=True)}})
            least.append(layer.bias[k])
            most.append(layer.bias[k])
            for row, bottom, top in (
                ({a[k]: 1.0, z[k]: -1.0}, 0.0, np.inf),
                ({a[k]: 1.0, z[k]: -1.0, on[k]: big}, -np.inf, big),
                ({a[k]: 1.0, on[k]: -big}, -np.inf, 0.0),
            ):
                rows.append(row)
                least.append(bottom)
                most.append(top)
        before = a
    matrix = np.zeros((len(rows), size))
    for i, row in enumerate(rows):
        matrix[i, list(row)] = list(row.values())
    cost = np.zeros(size)
    cost[before] = sign * layers.layers[-1].weight[0]
    lower, upper = np.array(bounds).T
    answer = milp(
        cost,
        integrality=np.array(kinds),
        bounds=Bounds(lower, upper),
        constraints=LinearConstraint(matrix, least, most),
    )
    return float(answer.fun + sign * layers.layers[-1].bias[0])


@pytest.mark.parametrize("decide", [divided, decided_by_signs])
def test_both_divisions_agree_with_a_mixed_integer_programme(decide: Any, rng: np.random.Generator) -> None:
    states = []
    for seed in range(25):
        layers = folded(network("ReLU", seed, hidden=(5, 4)), N_INPUTS)
        sets = some_sets(rng, 1, generators=False, size=0.5)
        sign = float(np.sign(layers(sets.centre)[0, 0]))
        exact = exact_minimum(layers, sets.centre[0] - sets.spread[0], sets.centre[0] + sets.spread[0], sign)

        hit: list[bool] = []

        def fooled(_: Any, x: FloatArray, layers: Folded = layers, sign: float = sign, hit: list[bool] = hit) -> Any:
            reached = sign * layers(x)[:, 0] <= 0.0
            hit.append(bool(reached.any()))
            return reached

        parts = Parts(np.zeros(1, dtype=np.int64), sets, np.full((1, 1, 1), sign))
        start = _first(layers.layers, parts)
        for steps in (0, 30):
            assert _improved(layers.layers, start, steps, 1e3).least[0] <= exact + 1e-6
        given_ = {"whole": np.zeros(N_INPUTS, dtype=bool)} if decide is divided else {}
        _, left = decide(layers.layers, parts, margin=1e-5, max_boxes=4000, fooled=fooled, stop=lambda: False, **given_)
        state = -1 if any(hit) else int(not len(left))
        assert state != 1 or exact > 0.0
        assert state != -1 or exact <= 1e-6
        assert state != 0 or abs(exact) < 0.1
        states.append(state)
    assert {1, -1} <= set(states)
    assert states.count(0) <= 2


class Threshold:
    """Only scores."""

    n_classes, n_features, digest = 2, N_INPUTS, "1" * 64

    def scores(self, values: FloatArray) -> FloatArray:
        score = np.where(values[:, 0] > 0.0, 0.9, 0.1)
        return np.stack([1.0 - score, score], axis=1)

    def predict(self, values: FloatArray) -> Any:
        return (values[:, 0] > 0.0).astype(np.int64)


FEATURES = (
    Feature(name="pt", lower=-3.0, upper=3.0),
    Feature(name="n_jets", kind="integer", lower=0, upper=6),
    Feature(name="phi", kind="angle"),
    Feature(name="charge", kind="fixed"),
)


def small_table(rng: np.random.Generator, n: int = 120) -> EventTable:
    values = np.stack(
        [rng.uniform(-2.0, 2.0, n), rng.integers(0, 5, n), rng.uniform(-np.pi, np.pi, n), rng.choice([-1.0, 1.0], n)],
        axis=1,
    )
    values[::7, 0] = -9.0
    return EventTable.from_arrays(
        values, features=FEATURES, labels=rng.integers(0, 2, n), weights=rng.uniform(0.5, 2.0, n), sentinel=-9.0
    )


def brute_force(classifier: TorchClassifier, table: EventTable, envelope: Envelope) -> Any:
    """Every event on a fine grid of all that it may be."""
    changed = np.zeros(table.n_events, dtype=np.bool_)
    classes = classifier.predict(table.network_values)
    for i in range(table.n_events):
        low, high = (
            np.maximum(envelope.lower[i], table.features.lower),
            np.minimum(envelope.upper[i], table.features.upper),
        )
        pt = [-9.0] if table.missing[i, 0] else np.linspace(low[0], high[0], 21)
        phi = np.linspace(envelope.lower[i, 2], envelope.upper[i, 2], 21)
        grid = itertools.product(pt, range(int(np.ceil(low[1])), int(np.floor(high[1])) + 1), phi, [table.values[i, 3]])
        at = np.array(list(grid))
        at[:, 2] = (at[:, 2] + np.pi) % (2.0 * np.pi) - np.pi
        changed[i] = (classifier.predict(at) != classes[i]).any()
    return changed


@pytest.mark.parametrize("kind", ["ReLU", "Tanh"])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_events_of_every_kind_are_decided_as_by_brute_force(
    kind: str, n_outputs: int, rng: np.random.Generator
) -> None:
    table = small_table(rng)
    seed = 1 if n_outputs == 1 else 46  # each class has many events
    classifier = TorchClassifier(network(kind, seed, n_outputs=n_outputs), n_features=N_INPUTS)
    envelope = Envelope.absolute(table, [0.3, 1.0, 0.4, 0.2])
    certificate = certify(classifier, table, envelope, target="all")
    changed, states = brute_force(classifier, table, envelope), certificate.states
    assert not (changed & (states == "proved")).any()
    assert not (changed & (states == "open")).any()
    assert (states == "found").sum() - (changed & (states == "found")).sum() <= 2  # between the points of the grid
    assert 10 < changed.sum() < 110
    assert certificate.found <= certificate.proved == pytest.approx(certificate.found + certificate.unresolved)
    found = certificate.counterexamples
    before = table.select(states == "found")
    assert (classifier.predict(found.network_values) != classifier.predict(before.network_values)).all()
    moved = np.nan_to_num(found.values - before.values)
    assert (np.abs(moved[:, 0]) <= 0.3 + 1e-6).all()
    assert np.isin(moved[:, 1], [-1.0, 0.0, 1.0]).all()
    assert not moved[:, 3].any()
    assert np.array_equal(found.missing, before.missing)
    weights = table.weights
    assert certificate.found == pytest.approx(weights[states == "found"].sum() / weights.sum())


def test_events_that_follow_sources_are_decided_as_by_brute_force(rng: np.random.Generator) -> None:
    table = small_table(rng)
    shifts = {f"{s}_{side}": rng.normal(0.0, 0.3, (1, 4)) for s in ("tes", "jes") for side in ("up", "down")}
    varied = {
        name: table.values + shift * [1.0, 0.0, 0.0, 0.0] + [0.0, 0.0, 0.0, 0.0] for name, shift in shifts.items()
    }
    table = replace(table, shape_variations=varied)
    classifier = TorchClassifier(network("ReLU", 1), n_features=N_INPUTS)
    envelope = Envelope.from_variations(table)
    certificate = certify(classifier, table, envelope, coherent=["tes", "jes"], target="all")
    alone = certify(classifier, table, Envelope.absolute(table, [2.0, 0.0, 0.0, 0.0]), target="all")
    assert certificate.sources == ("tes", "jes")
    classes, changed = classifier.predict(table.network_values), np.zeros(table.n_events, dtype=np.bool_)
    inside = np.ones_like(changed)
    for theta in itertools.product(np.linspace(-1.0, 1.0, 21), repeat=2):
        at = table.values.copy()
        for t, source in zip(theta, ("tes", "jes"), strict=True):
            at += abs(t) * (varied[f"{source}_{'up' if t > 0 else 'down'}"] - table.values)
        inside = ~(np.abs(at[:, 0]) > 3.0)
        changed |= inside & (classifier.predict(np.where(table.missing, -9.0, at)) != classes)
    assert not (changed & (certificate.states != "found")).any()
    assert (certificate.states == "found").sum() <= changed.sum() + 1
    assert 0 < certificate.found < alone.found


def test_what_is_not_resolved_is_said(rng: np.random.Generator) -> None:
    table = small_table(rng)
    classifier = TorchClassifier(network("Tanh", 5, hidden=(30, 30)), n_features=N_INPUTS)
    certificate = certify(
        classifier, table, Envelope.absolute(table, [1.0, 2.0, 2.0, 0.0]), max_boxes=1, restarts=1, target="all"
    )
    assert (certificate.states == "open").any()
    assert certificate.unresolved > 0.0
    assert "not resolved" in str(certificate)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(N_INPUTS, 3), nn.PReLU(), nn.Linear(3, 1)),
        nn.Sequential(nn.Linear(N_INPUTS, 3), nn.LayerNorm(3), nn.Linear(3, 1)),
        nn.Sequential(nn.Linear(N_INPUTS, 3), nn.LeakyReLU(2.0), nn.Linear(3, 1)),
        nn.Sequential(nn.Linear(N_INPUTS, 3), nn.Softplus(threshold=1), nn.Linear(3, 1)),
    ],
)
def test_an_unknown_layer_is_refused_with_what_is_supported(module: nn.Sequential, rng: np.random.Generator) -> None:
    table = small_table(rng)
    with pytest.raises(NotCertifiableError, match="nothing can be proved of"):
        certify(TorchClassifier(module), table, Envelope.absolute(table, 0.1), target="all")


def test_what_only_scores_is_refused(rng: np.random.Generator) -> None:
    table = small_table(rng)
    with pytest.raises(NotCertifiableError, match="supported are"):
        certify(Threshold(), table, Envelope.absolute(table, 0.1), target="all")


def test_a_layer_with_a_hook_is_noticed(rng: np.random.Generator) -> None:
    module, table = network("ReLU", 1), small_table(rng)
    module[0][2].register_forward_hook(lambda _module, _inputs, output: output + 1.0)  # type: ignore[index]
    with pytest.raises(NotCertifiableError, match="hooks"):
        certify(TorchClassifier(module, n_features=N_INPUTS), table, Envelope.absolute(table, 0.1), target="all")


def test_the_limits_of_some_events_and_of_negative_weights(rng: np.random.Generator) -> None:
    table = small_table(rng, 4)
    table = replace(table, weights=np.array([2.0, 1.0, -1.0, 2.0]))
    states = np.array(["found", "open", "found", ""])
    nobody = np.zeros(4, dtype=np.int64)
    certificate = Certificate(
        nominal=table, attacked=states != "", states=states, counterexamples=table, boxes=nobody, margin=1e-5
    )
    assert (certificate.found, certificate.proved, certificate.unresolved) == (1.0, 1.5, 0.5)
    assert certificate.limits(np.array([False, True, False, True])) == (0.0, 1.0)
    assert np.isnan(certificate.limits(np.array([False, False, False, True]))).all()


def open_problem(rng: np.random.Generator) -> tuple[TorchClassifier, EventTable, Envelope]:
    """Events of which several groups have to be divided."""
    table = small_table(rng, 300)
    classifier = TorchClassifier(network("Tanh", 5, hidden=(20, 20)), n_features=N_INPUTS)
    return classifier, table, Envelope.absolute(table, [0.6, 1.0, 1.0, 0.0])


def test_an_interrupted_certificate_goes_on_from_what_it_kept(rng: np.random.Generator, tmp_path: Path) -> None:
    classifier, table, envelope = open_problem(rng)
    options: dict[str, Any] = {"target": "all", "max_boxes": 20, "restarts": 1, "rng": 3}
    whole = certify(classifier, table, envelope, **options)
    said: list[str] = []

    def interrupt(step: str, _fraction: float) -> None:
        said.append(step)
        if sum(one.startswith("divided") for one in said) == 2:
            raise KeyboardInterrupt

    half = certify(classifier, table, envelope, resume=tmp_path / "kept", progress=interrupt, **options)
    assert not half.finished
    assert half.unresolved > whole.unresolved
    steps: list[str] = []
    rest = certify(
        classifier, table, envelope, resume=tmp_path / "kept", progress=lambda step, _: steps.append(step), **options
    )
    assert not any(step.startswith(("bounded", "searched")) for step in steps)
    assert 0 < len(steps) < len(said) + len(steps) - 2
    assert rest.finished
    assert np.array_equal(rest.states, whole.states)
    assert np.array_equal(rest.counterexamples.values, whole.counterexamples.values, equal_nan=True)
    with pytest.raises(ValueError, match="settings differ"):
        certify(classifier, table, envelope, resume=tmp_path / "kept", **{**options, "max_boxes": 21})


def test_a_budget_of_no_seconds_leaves_events_open(rng: np.random.Generator) -> None:
    classifier, table, envelope = open_problem(rng)
    certificate = certify(classifier, table, envelope, target="all", seconds=0.0)
    assert not certificate.finished
    assert certificate.unresolved > certify(classifier, table, envelope, target="all", max_boxes=10).unresolved


def test_a_derived_input_may_be_anything_within_its_bounds(rng: np.random.Generator) -> None:
    values = rng.uniform(-1.0, 1.0, (60, 3))
    values = np.column_stack([values, values[:, 0] + values[:, 1]])
    features: list[Feature | str] = ["a", "b", "c", Feature(name="sum", derived=Derived(["a", "b"], np.add))]
    table = EventTable.from_arrays(values, features=features, labels=np.zeros(60, dtype=int))
    classifier = TorchClassifier(network("ReLU", 1), n_features=N_INPUTS)
    envelope = Envelope.absolute(table, 0.3)
    certificate = certify(classifier, table, envelope, target="all", max_boxes=300)
    assert certificate.relaxed == ("derived inputs take any value within their bounds: sum",)
    found = certificate.counterexamples.values
    assert len(found)
    assert np.allclose(found[:, 3], found[:, 0] + found[:, 1], atol=1e-6)
    free = certify(classifier, replace(table, features=FeatureSpace(["a", "b", "c", "sum"])), envelope, target="all")
    assert certificate.found < free.found
    assert np.array_equal(certificate.states == "proved", free.states == "proved")


def followed(table: EventTable, sources: dict[str, FloatArray]) -> EventTable:
    """A table whose inputs follow sources up and, by half as much and sidewards, down."""
    varied = {f"{name}_up": table.values + shift for name, shift in sources.items()}
    varied |= {f"{name}_down": table.values - 0.5 * shift[::-1] for name, shift in sources.items()}
    return replace(table, shape_variations=varied)


def free_table(rng: np.random.Generator, n: int = 60) -> EventTable:
    return EventTable.from_arrays(rng.uniform(-1.5, 1.5, (n, N_INPUTS)), labels=np.zeros(n, dtype=int))


def test_many_sources_are_enclosed_and_that_is_said(rng: np.random.Generator) -> None:
    table = followed(free_table(rng), {f"s{k}": rng.normal(0.0, 0.05, N_INPUTS) for k in range(7)})
    classifier = TorchClassifier(network("ReLU", 1), n_features=N_INPUTS)
    certificate = certify(
        classifier, table, Envelope.from_variations(table), coherent=[f"s{k}" for k in range(7)], target="all"
    )
    assert certificate.relaxed == ("more than 6 sources: the sizes of their shifts are not tied to their signs",)
    classes = classifier.predict(table.values)
    for _ in range(300):
        at = table.values.copy()
        for k in range(7):
            theta = rng.choice([-1.0, 1.0, rng.uniform(-1.0, 1.0)])
            at += abs(theta) * (table.shape_variations[f"s{k}_{'up' if theta > 0 else 'down'}"] - table.values)
        changed = classifier.predict(at) != classes
        assert not (changed & (certificate.states == "proved")).any()
    assert {"proved", "found"} <= set(certificate.states)


def test_an_angle_that_would_pass_its_end_leaves_the_event_open(rng: np.random.Generator) -> None:
    table = small_table(rng)
    table = replace(table, shape_variations={"tilt_up": table.values + np.array([0.1, 0.0, 0.3, 0.0])})
    wrapped = table.values[:, 2] + 0.3 > np.pi
    varied = table.shape_variations["tilt_up"].copy()
    varied[wrapped, 2] -= 2.0 * np.pi
    table = replace(table, shape_variations={"tilt_up": varied})
    classifier = TorchClassifier(network("ReLU", 1), n_features=N_INPUTS)
    certificate = certify(classifier, table, Envelope.from_variations(table), coherent=["tilt"], target="all")
    assert wrapped.sum() > 2
    assert np.array_equal(certificate.states == "open", wrapped)


def test_unknown_sources_are_named(rng: np.random.Generator) -> None:
    table = followed(free_table(rng), {"tes": np.full(N_INPUTS, 0.1)})
    classifier = TorchClassifier(network("ReLU", 1), n_features=N_INPUTS)
    envelope = Envelope.from_variations(table)
    with pytest.raises(ValueError, match="no source 'jes' among the shape variations; known are tes"):
        certify(classifier, table, envelope, coherent=["jes"], target="all")
    with pytest.raises(ValueError, match="names no source"):
        certify(classifier, table, envelope, coherent=[], target="all")


def test_a_value_may_not_become_the_one_that_stands_for_missing(rng: np.random.Generator) -> None:
    values = rng.uniform(-8.9, -7.0, (30, N_INPUTS))
    values[0] = -9.4
    table = EventTable.from_arrays(values, labels=np.zeros(30, dtype=int))
    classifier = TorchClassifier(network("ReLU", 1), n_features=N_INPUTS)
    with pytest.raises(NotCertifiableError, match="x0 may become -9, which the network takes for missing"):
        certify(classifier, table, Envelope.absolute(table, 0.5), target="all")
