# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import pickle
import warnings
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

from hepfool.models import TorchClassifier, mlp

pytestmark = pytest.mark.torch

EVENT = np.array([[0.5, -0.25]])


def logistic(weight: float = 1.0) -> nn.Sequential:
    """One logit, the weighted sum of the two inputs."""
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.fill_(weight)
        layer.bias.zero_()
    return nn.Sequential(layer)


def test_margin_is_the_logit_above_that_of_the_threshold() -> None:
    classifier = TorchClassifier(logistic(), threshold=0.8)
    margin, gradient = classifier.margin_and_gradient(EVENT, np.array([1]))
    assert margin == pytest.approx(0.25 - np.log(4.0), abs=1e-6)
    assert gradient.tolist() == [[1.0, 1.0]]
    margin, gradient = classifier.margin_and_gradient(EVENT, np.array([0]))
    assert margin == pytest.approx(np.log(4.0) - 0.25, abs=1e-6)
    assert gradient.tolist() == [[-1.0, -1.0]]


@pytest.mark.parametrize("nested", [False, True])
def test_gradient_does_not_vanish_where_the_sigmoid_saturates(nested: bool) -> None:
    inner = nn.Sequential(*logistic(200.0), nn.Sigmoid())
    classifier = TorchClassifier(nn.Sequential(nn.Identity(), inner) if nested else inner, output="probability")
    assert classifier.scores(EVENT)[0, 1] == pytest.approx(1.0)
    assert classifier.loss_and_gradient(EVENT, np.array([0]))[1].tolist() == [[200.0, 200.0]]


def test_the_users_module_stays_as_it_is() -> None:
    module = mlp(2, (4,))
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    classifier = TorchClassifier(module)
    classifier.margin_and_gradient(EVENT, np.array([1]))
    assert module.training
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert all(torch.equal(before[key], tensor) for key, tensor in module.state_dict().items())
    digest = classifier.digest
    with torch.no_grad():
        module[0].weight.fill_(7.0)  # type: ignore[operator]
    assert classifier.scores(EVENT).tolist() != TorchClassifier(module).scores(EVENT).tolist()
    assert TorchClassifier(module).digest != digest


def test_gradients_work_where_the_caller_switched_them_off() -> None:
    with torch.no_grad():
        _, gradient = TorchClassifier(logistic()).margin_and_gradient(EVENT, np.array([1]))
    assert gradient.tolist() == [[1.0, 1.0]]


def test_one_process_rebuilds_a_module_once() -> None:
    blob = pickle.dumps(TorchClassifier(logistic()))
    assert pickle.loads(blob).module is pickle.loads(blob).module


def test_a_module_class_of_a_script_travels() -> None:
    scope: dict[str, Any] = {"nn": nn, "__name__": "__main__"}
    exec("class Script(nn.Linear):\n    pass", scope)
    classifier = TorchClassifier(scope["Script"](2, 1))
    copy = pickle.loads(pickle.dumps(classifier))
    assert copy.scores(EVENT).tolist() == classifier.scores(EVENT).tolist()
    assert cloudpickle.loads(cloudpickle.dumps(classifier)).digest == classifier.digest


def test_the_threshold_is_part_of_the_digest() -> None:
    assert TorchClassifier(logistic()).digest != TorchClassifier(logistic(), threshold=0.6).digest


def test_input_width_without_a_linear_layer_must_be_given() -> None:
    with pytest.raises(ValueError, match="pass n_features"):
        TorchClassifier(nn.Softplus())
    assert TorchClassifier(nn.Softplus(), n_features=3).n_classes == 3


@pytest.mark.parametrize(
    ("module", "settings", "rule"),
    [
        (nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()), {}, "output='probability'"),
        (nn.Linear(2, 1), {"output": "score"}, "unknown"),
        (nn.Linear(2, 1), {"threshold": 1.0}, "between 0 and 1"),
        (nn.Linear(2, 3), {"threshold": 0.7}, "no meaning for 3 classes"),
        (nn.Linear(2, 1), {"batch_size": 0}, "at least 1"),
        (nn.Linear(2, 1), {"n_features": 5}, "check n_features"),
        (nn.Unflatten(1, (1, 2)), {"n_features": 2}, "returned shape"),
    ],
)
def test_wrong_settings_are_refused(module: nn.Module, settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        TorchClassifier(module, **settings)


def test_other_models_are_pointed_to_their_wrapper() -> None:
    with pytest.raises(TypeError, match="CallableClassifier"):
        TorchClassifier(np.tanh)  # type: ignore[arg-type]


def test_outputs_that_are_not_probabilities_are_refused() -> None:
    classifier = TorchClassifier(logistic(10.0), output="probability")
    with pytest.raises(ValueError, match="output='logit'"):
        classifier.scores(EVENT)


def test_wrong_inputs_are_refused() -> None:
    classifier = TorchClassifier(logistic())
    with pytest.raises(ValueError, match=r"expects \(n_events, 2\)"):
        classifier.scores(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="found -1"):
        classifier.loss_and_gradient(EVENT, np.array([-1]))
    with pytest.raises(ValueError, match="one per event"):
        classifier.loss_and_gradient(EVENT, np.array([0, 1]))


class Inside(nn.Module):
    """The same network in a module that hides its last layer."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.module(values))


@pytest.mark.parametrize(
    ("n_outputs", "last", "stripped"),
    [
        (1, nn.Sigmoid(), True),
        (2, nn.Sigmoid(), False),
        (3, nn.Sigmoid(), False),
        (2, nn.Softmax(dim=1), True),
        (3, nn.Softmax(dim=-1), True),
        (3, nn.Softmax(dim=None), True),
        (1, nn.Softmax(dim=1), False),
        (2, nn.Softmax(dim=0), False),
    ],
)
def test_a_last_activation_is_taken_off_only_where_the_scores_stay(
    n_outputs: int, last: nn.Module, stripped: bool
) -> None:
    values = np.random.default_rng(1).normal(size=(5, 2))
    module = nn.Sequential(nn.Linear(2, n_outputs), last)
    classifier = TorchClassifier(module, output="probability")
    assert (classifier.output == "logit") == stripped
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a softmax without an axis
        expected = TorchClassifier(Inside(module), output="probability").scores(values)
    np.testing.assert_allclose(classifier.scores(values), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_precision_gives_scores_and_slopes(dtype: torch.dtype) -> None:
    classifier = TorchClassifier(logistic(2.0).to(dtype))
    assert classifier.scores(EVENT)[0, 1] == pytest.approx(1 / (1 + np.exp(-0.5)), abs=1e-2)
    assert classifier.margin_and_gradient(EVENT, np.array([1]))[1].tolist() == [[2.0, 2.0]]
    assert pickle.loads(pickle.dumps(classifier)).digest == classifier.digest


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_weights_that_hooks_compute_are_copied() -> None:
    for normed in (nn.utils.weight_norm, nn.utils.parametrizations.weight_norm):
        module = normed(nn.Linear(2, 1))
        expected = torch.sigmoid(module(torch.tensor(EVENT, dtype=torch.float32))).item()
        assert TorchClassifier(module).scores(EVENT)[0, 1] == pytest.approx(expected, abs=1e-6)


def test_a_layer_without_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="call it once, and train it"):
        TorchClassifier(nn.Sequential(nn.LazyLinear(8), nn.Linear(8, 1)))


def test_log_sigmoid_is_refused() -> None:
    with pytest.raises(ValueError, match="neither a logit nor a probability"):
        TorchClassifier(nn.Sequential(*logistic(), nn.LogSigmoid()), output="probability")


def test_an_event_without_a_score_has_no_class() -> None:
    classifier = TorchClassifier(logistic())
    with pytest.raises(ValueError, match="NaN for 1 of 2 events"):
        classifier.predict(np.array([[0.5, np.nan], [0.5, 0.5]]))
