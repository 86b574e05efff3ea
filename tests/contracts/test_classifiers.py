# SPDX-License-Identifier: BSD-3-Clause
"""What every classifier of the package promises, for one specimen of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from scipy import special
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from torch import nn

from hepfool.contrib.attention import attention_features, attention_jets
from hepfool.contrib.jets import particle_flow_jets
from hepfool.events import EventTable
from hepfool.models import (
    CallableClassifier,
    Classifier,
    FiniteDifference,
    FoldedClassifier,
    Standardise,
    TorchClassifier,
    TreeClassifier,
    mlp,
)
from hepfool.surrogate import Surrogate
from hepfool.testing import ClassifierConformance, GradientConformance
from hepfool.training import TrainingSettings
from hepfool.typing import FloatArray

N_FEATURES = 6
Specimen = Callable[[int], Classifier]

pytestmark = pytest.mark.torch


def network(seed: int, n_outputs: int = 1, *, sigmoid: bool = False) -> nn.Sequential:
    """A network in double precision, so that slopes can be compared with differences."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        standardise = Standardise(np.arange(N_FEATURES), np.ones(N_FEATURES), sentinel=-999.0)
        layers = mlp(N_FEATURES, (16, 8), n_outputs=n_outputs, sigmoid=sigmoid, preprocessing=standardise)
        last = cast("nn.Linear", layers[-2 if sigmoid else -1])
        with torch.no_grad():
            last.weight *= 5.0
            # Events of every class.
            typical = layers[:-1] if sigmoid else layers
            last.bias.sub_(typical.eval()(2.0 * torch.randn(500, N_FEATURES)).median(dim=0).values)
        return layers.double()


def centred(seed: int, build: Callable[[], nn.Sequential]) -> nn.Sequential:
    """A network in double precision with a large last layer, whose typical events are of every class."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = build().double()
        last = cast("nn.Linear", layers[-1])
        with torch.no_grad():
            last.weight *= 10.0
            last.bias.sub_(layers(2.0 * torch.randn(500, N_FEATURES, dtype=torch.float64)).median(dim=0).values)
        return layers


def over_features() -> nn.Sequential:
    """One token per column; missing values are masked."""
    return attention_features(Standardise(np.arange(N_FEATURES), np.ones(N_FEATURES), sentinel=-999.0))


def boosted_trees(seed: int) -> CallableClassifier:
    """Trees of scikit-learn, which have no slope."""
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=2.0, size=(300, N_FEATURES))
    trees = HistGradientBoostingClassifier(max_iter=10, early_stopping=False, random_state=seed)
    return CallableClassifier(trees.fit(values, values.sum(axis=1) > 0), n_features=N_FEATURES)


def guided_trees(seed: int) -> Surrogate:
    """Boosted trees with the slopes of a network that imitates them."""
    table = EventTable.from_arrays(np.random.default_rng(1).normal(scale=2.0, size=(200, N_FEATURES)))
    settings = TrainingSettings(max_epochs=1)
    return Surrogate.of(boosted_trees(seed), table, table, seed=1, hidden=(4,), settings=settings)


class Probabilities(nn.Module):
    """A network whose last activation cannot be taken off."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        raw = self.inner(values)
        return torch.sigmoid(raw) if raw.shape[1] == 1 else torch.softmax(raw, dim=1)


class Logistic:
    """Something with ``predict_proba``, as in scikit-learn."""

    def __init__(self, seed: int, n_classes: int) -> None:
        self.slopes = np.random.default_rng(seed).normal(size=(N_FEATURES, n_classes)) / 4

    def predict_proba(self, values: FloatArray) -> FloatArray:
        return np.asarray(special.softmax(np.asarray(values) @ self.slopes, axis=1))


SPECIMENS: dict[str, Specimen] = {
    "torch, one logit": lambda seed: TorchClassifier(network(seed)),
    "torch, one logit, other threshold": lambda seed: TorchClassifier(network(seed), threshold=0.4),
    "torch, sigmoid": lambda seed: TorchClassifier(network(seed, sigmoid=True), output="probability"),
    "torch, one probability": lambda seed: TorchClassifier(Probabilities(network(seed)), output="probability"),
    "torch, two logits": lambda seed: TorchClassifier(network(seed, 2), threshold=0.45),
    "torch, three logits": lambda seed: TorchClassifier(network(seed, 3)),
    "torch, three probabilities": lambda seed: TorchClassifier(Probabilities(network(seed, 3)), output="probability"),
    "torch, attention over features": lambda seed: TorchClassifier(centred(seed, over_features)),
    "torch, attention over constituents": lambda seed: TorchClassifier(
        centred(seed, lambda: attention_jets(N_FEATURES // 3, pt_scale=1.0, angle_scale=1.0))
    ),
    "torch, particle flow": lambda seed: TorchClassifier(
        centred(seed, lambda: particle_flow_jets(N_FEATURES // 3, pt_scale=1.0))
    ),
    "boosted trees": boosted_trees,
    "surrogate of boosted trees": guided_trees,
    "function of class 1": lambda seed: CallableClassifier(
        lambda values: special.expit(np.asarray(values) @ np.linspace(-1, seed, N_FEATURES))
    ),
    "predict_proba of three": lambda seed: CallableClassifier(Logistic(seed, 3), 3, n_features=N_FEATURES),
    "differences of two": lambda seed: FiniteDifference(
        CallableClassifier(Logistic(seed, 2), threshold=0.6), np.full(N_FEATURES, 1e-3)
    ),
    "differences of three": lambda seed: FiniteDifference(
        CallableClassifier(Logistic(seed, 3), 3), np.full(N_FEATURES, 1e-4)
    ),
}
DIFFERENTIABLE = [name for name in SPECIMENS if "torch" in name or "differences" in name]


def read_only(rng: np.random.Generator) -> FloatArray:
    """Values as a table has them: double precision and read-only."""
    array = rng.normal(scale=2.0, size=(50, N_FEATURES))
    array.flags.writeable = False
    return array


class TestClassifiers(ClassifierConformance):
    @pytest.fixture(params=SPECIMENS.values(), ids=list(SPECIMENS))
    def build(self, request: pytest.FixtureRequest) -> Callable[[int], Classifier]:
        build: Callable[[int], Classifier] = request.param
        return build

    @pytest.fixture
    def values(self, rng: np.random.Generator) -> FloatArray:
        return read_only(rng)


class TestGradients(GradientConformance):
    @pytest.fixture(params=DIFFERENTIABLE)
    def build(self, request: pytest.FixtureRequest) -> Callable[[int], Classifier]:
        return SPECIMENS[request.param]

    @pytest.fixture
    def values(self, rng: np.random.Generator) -> FloatArray:
        return read_only(rng)


def read_trees(seed: int, n_classes: int, kind: type, **settings: float) -> TreeClassifier:
    """Trees of scikit-learn, read."""
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=2.0, size=(300, N_FEATURES))
    labels = np.digitize(values.sum(axis=1), np.linspace(-2.0, 2.0, n_classes + 1)[1:-1])
    return TreeClassifier.of(kind(random_state=seed, **settings).fit(values, labels))


TREES: dict[str, Specimen] = {
    "boosted trees": lambda seed: read_trees(seed, 2, HistGradientBoostingClassifier, max_iter=10),
    "boosted trees of three": lambda seed: read_trees(seed, 3, HistGradientBoostingClassifier, max_iter=10),
    "forest": lambda seed: read_trees(seed, 2, RandomForestClassifier, n_estimators=9, min_samples_leaf=40),
    "forest of three": lambda seed: read_trees(seed, 3, RandomForestClassifier, n_estimators=9, max_depth=4),
}


class TestTrees(ClassifierConformance):
    @pytest.fixture(params=TREES.values(), ids=list(TREES))
    def build(self, request: pytest.FixtureRequest) -> Callable[[int], Classifier]:
        build: Callable[[int], Classifier] = request.param
        return build

    @pytest.fixture
    def values(self, rng: np.random.Generator) -> FloatArray:
        return read_only(rng)

    test_margin_is_positive_for_the_predicted_class = (
        GradientConformance.test_margin_is_positive_for_the_predicted_class
    )
    test_loss_is_the_cross_entropy = GradientConformance.test_loss_is_the_cross_entropy

    @pytest.fixture
    def differentiable(self, build: Callable[[int], Classifier]) -> Classifier:
        return build(3)


FOLDED: dict[str, Specimen] = {
    "folds of torch": lambda seed: FoldedClassifier([TorchClassifier(network(seed + k)) for k in range(3)]),
    "folds of three classes": lambda seed: FoldedClassifier([TorchClassifier(network(seed + k, 3)) for k in range(3)]),
    "differences of folds": lambda seed: FiniteDifference(
        FoldedClassifier([CallableClassifier(Logistic(seed + k, 2), n_features=N_FEATURES) for k in range(3)]),
        np.full(N_FEATURES, 1e-3),
    ),
}


class TestFolds(ClassifierConformance, GradientConformance):
    """Classifiers that are given a spectator behind the inputs."""

    @pytest.fixture(params=FOLDED.values(), ids=list(FOLDED))
    def build(self, request: pytest.FixtureRequest) -> Callable[[int], Classifier]:
        build: Callable[[int], Classifier] = request.param
        return build

    @pytest.fixture
    def values(self, rng: np.random.Generator) -> FloatArray:
        array = np.column_stack([read_only(rng), np.arange(50) % 3])
        array.flags.writeable = False
        return array


@pytest.mark.parametrize("output", ["logit", "probability"])
def test_batches_do_not_matter(rng: np.random.Generator, output: str) -> None:
    values = read_only(rng)
    module = network(3, sigmoid=output == "probability").float()
    labels = np.ones(len(values), dtype=np.int64)
    whole = TorchClassifier(module, output=output)  # type: ignore[arg-type]
    parts = TorchClassifier(module, output=output, batch_size=7)  # type: ignore[arg-type]
    np.testing.assert_allclose(parts.scores(values), whole.scores(values), atol=1e-6)
    for one, other in zip(
        parts.margin_and_gradient(values, labels), whole.margin_and_gradient(values, labels), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
