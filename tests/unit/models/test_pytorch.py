# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

from hepfool.models.networks import mlp
from hepfool.models.pytorch import TorchClassifier

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


def test_outputs_that_are_no_probabilities_are_refused() -> None:
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
