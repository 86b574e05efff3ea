# SPDX-License-Identifier: BSD-3-Clause
"""Files as analyses have them: fixed numbers of events, several inputs and outputs, named inputs, weights beside the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hepfool import CONSERVAttack, EventTable, TorchClassifier, load_model, run_attack
from hepfool.exceptions import NetworkWarning
from hepfool.models import TreeClassifier
from hepfool.models._load import _Session
from hepfool.models._modules import the_output
from hepfool.typing import FloatArray

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.torch

helper, node = onnx.helper, onnx.helper.make_node
FLOAT = onnx.TensorProto.FLOAT
TREES = Path(__file__).parent / "trees"
WEIGHT, BIAS = [[0.5, -1.0], [1.0, 0.3], [-0.7, 0.2]], [0.1, -0.2]


def written(path: Path, nodes: list[Any], n_events: int | str = "n", outputs: tuple[str, ...] = ("y",)) -> Path:
    """A file whose input is x, with the weights above."""
    constants = [onnx.numpy_helper.from_array(np.array(v, np.float32), k) for k, v in (("w", WEIGHT), ("b", BIAS))]
    inputs = [helper.make_tensor_value_info("x", FLOAT, [n_events, 3])]
    named = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
    if outputs[0] == "maps":
        probabilities = helper.make_map_type_proto(onnx.TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, []))
        named = [helper.make_value_info("maps", helper.make_sequence_type_proto(probabilities))]
    made = helper.make_graph(nodes, "g", inputs, named, initializer=constants)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=10), path)
    return path


SOFTMAX = [node("Gemm", ["x", "w", "b"], ["z"]), node("Softmax", ["z"], ["y"])]


@pytest.fixture
def values(rng: np.random.Generator) -> FloatArray:
    return rng.normal(size=(11, 3))


@pytest.fixture
def expected(values: FloatArray) -> FloatArray:
    odds = np.exp(values @ WEIGHT + BIAS)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("n_events", [1, 4])
def test_a_file_for_a_fixed_number_of_events(
    n_events: int, tmp_path: Path, values: FloatArray, expected: FloatArray
) -> None:
    path = written(tmp_path / "m.onnx", SOFTMAX, n_events)
    np.testing.assert_allclose(load_model(path).scores(values), expected, atol=1e-6)
    np.testing.assert_allclose(_Session(path.read_bytes(), "probability")(values), expected, atol=1e-6)


def test_weights_beside_the_file(tmp_path: Path, values: FloatArray, expected: FloatArray) -> None:
    path = written(tmp_path / "m.onnx", SOFTMAX)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    assert (tmp_path / "m.onnx.data").exists()
    np.testing.assert_allclose(load_model(path).scores(values), expected, atol=1e-6)


def test_probabilities_by_the_names_of_their_classes(tmp_path: Path, values: FloatArray, expected: FloatArray) -> None:
    named = node("ZipMap", ["y"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    classifier = load_model(written(tmp_path / "m.onnx", [*SOFTMAX, named], outputs=("maps",)))
    assert isinstance(classifier, TorchClassifier)
    np.testing.assert_allclose(classifier.scores(values), expected, atol=1e-6)


def test_a_linear_model(tmp_path: Path, values: FloatArray) -> None:
    linear = node(
        "LinearClassifier", ["x"], ["label", "y"], domain="ai.onnx.ml", coefficients=[0.5, 1.0, -0.7, -0.5, -1.0, 0.7],
        intercepts=[0.1, -0.1], classlabels_ints=[0, 1], post_transform="LOGISTIC",
    )  # fmt: skip
    norm = node("Normalizer", ["y"], ["probabilities"], domain="ai.onnx.ml", norm="L1")
    classifier = load_model(written(tmp_path / "m.onnx", [linear, norm], outputs=("probabilities",)))
    score = 1.0 / (1.0 + np.exp(values @ [0.5, 1.0, -0.7] + 0.1))
    assert isinstance(classifier, TorchClassifier)
    np.testing.assert_allclose(classifier.scores(values)[:, 1], score, atol=1e-6)


def test_a_convolution(tmp_path: Path, values: FloatArray) -> None:
    kernel = onnx.numpy_helper.from_array(np.array([[[1.0, -0.5]], [[0.3, 2.0]]], np.float32))
    axes, shape = (onnx.numpy_helper.from_array(np.array(v)) for v in ([1], [0, -1]))
    nodes = [
        *(node("Constant", [], [name], value=v) for name, v in (("k", kernel), ("one", axes), ("flat", shape))),
        node("Unsqueeze", ["x", "one"], ["wide"]),
        node("Conv", ["wide", "k"], ["c"], pads=[2, 0], strides=[3], dilations=[1]),
        node("Reshape", ["c", "flat"], ["z"]),
        node("Softmax", ["z"], ["y"]),
    ]
    path = written(tmp_path / "m.onnx", nodes)
    classifier = load_model(path)  # compared with onnxruntime
    assert isinstance(classifier, TorchClassifier)
    np.testing.assert_allclose(classifier.scores(values), _Session(path.read_bytes(), "probability")(values), atol=1e-6)
    automatic = [*nodes[:-3], node("Conv", ["wide", "k"], ["c"], auto_pad="SAME_UPPER"), *nodes[-2:]]
    with pytest.warns(NetworkWarning, match=r"Conv: its scores come from onnxruntime and its slopes from differences"):
        load_model(written(tmp_path / "m.onnx", automatic))


@pytest.mark.parametrize("name", ["xgboost_two.json", "lightgbm_two.txt"])
def test_trees_know_their_inputs_by_name(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    text = (TREES / name).read_text(encoding="utf-8")
    n_features = load_model(TREES / name).n_features
    assert n_features is not None
    names = [f"f{k}" for k in range(n_features)]
    if name.endswith(".json"):
        content = json.loads(text)
        content["learner"]["feature_names"] = names
        text = json.dumps(content)
    else:
        header, rest = text.split("feature_names=", 1)
        text = f"{header}feature_names={' '.join(names)}\n{rest.partition(chr(10))[2]}"
    (tmp_path / name).write_text(text, encoding="utf-8")
    classifier = load_model(tmp_path / name)
    assert isinstance(classifier, TreeClassifier)
    assert classifier.feature_names == tuple(names)
    table = EventTable.from_arrays(rng.normal(size=(20, n_features)), features=names[::-1])
    with pytest.raises(ValueError, match="put the columns in the order of the training"):
        run_attack(CONSERVAttack(n_iterations=1), classifier, table, rng=rng)


class _TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 1), nn.Linear(3, 1)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"score": self.a(a) - self.b(b)}


def test_an_exported_program_with_several_inputs(tmp_path: Path, rng: np.random.Generator) -> None:
    module, n = _TwoInputs().eval(), torch.export.Dim("n")
    program = torch.export.export(module, (torch.zeros(4, 2), torch.zeros(4, 3)), dynamic_shapes=({0: n}, {0: n}))
    torch.export.save(program, tmp_path / "m.pt2")
    x = rng.normal(size=(7, 5))
    classifier = load_model(tmp_path / "m.pt2")
    a, b = torch.split(torch.tensor(x, dtype=torch.float32), [2, 3], dim=1)
    assert classifier.n_features == 5
    np.testing.assert_allclose(
        classifier.scores(x)[:, 1], torch.sigmoid(module(a, b)["score"]).detach().numpy()[:, 0], atol=1e-6
    )


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_traced_program_tells_its_width(tmp_path: Path, values: FloatArray) -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).eval()
    torch.jit.save(torch.jit.trace(module, torch.zeros(2, 3)), tmp_path / "m.pt")  # type: ignore[no-untyped-call]
    classifier = load_model(tmp_path / "m.pt", unsafe_pickle=True)
    assert classifier.n_features == 3
    np.testing.assert_allclose(classifier.scores(values), TorchClassifier(module).scores(values), atol=1e-6)


@pytest.mark.parametrize("state", ["state_dict", "model_state_dict"])
def test_a_checkpoint_of_a_training(state: str, tmp_path: Path, values: FloatArray) -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    prefixed = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    torch.save({state: {**prefixed, "loss.weight": torch.ones(1)}, "epoch": 3}, tmp_path / "m.pt")
    empty = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    found = load_model(tmp_path / "m.pt", network=empty)
    np.testing.assert_allclose(found.scores(values), TorchClassifier(module).scores(values), atol=1e-6)


def test_the_output_of_several() -> None:
    one, two = torch.zeros(2, 1), torch.ones(2, 1)
    assert the_output(one) is one
    assert the_output((one,)) is one
    assert the_output({"mass": one, "Score": two}) is two
    assert the_output([one, two], ["mass", "probability"]) is two
    with pytest.raises(ValueError, match="several outputs, mass, charge; save it with the one that is the score"):
        the_output({"mass": one, "charge": two})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["inputs", "jagged", "dictionary", "softmax", "nested", "logits"])
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_models_of_keras(
    kind: str, suffix: str, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    layers = keras.layers
    whole, x = keras.Input((5,)), rng.normal(size=(7, 5))
    given: Any = x
    if kind == "inputs":
        inputs = [keras.Input((2,)), keras.Input((3,))]
        model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Concatenate()(inputs)))
        given = [x[:, :2], x[:, 2:]]
    elif kind == "jagged":
        objects, given = keras.Input((5, 1)), x[:, :, np.newaxis]
        pooled = layers.GlobalMaxPooling1D()(layers.Dense(4, activation="tanh")(objects))
        model = keras.Model(objects, layers.Dense(1, activation="sigmoid")(pooled))
    elif kind == "dictionary":
        model = keras.Model(whole, {"score": layers.Dense(1, activation="sigmoid", name="score")(whole)})
    elif kind == "softmax":
        model = keras.Model(whole, layers.Softmax()(layers.Dense(3)(whole)))
    elif kind == "nested":
        inner = keras.Sequential([keras.Input((5,)), layers.Dense(1, activation="sigmoid")])
        model = keras.Model(whole, inner(layers.Rescaling(0.5)(whole)))
    else:
        model = keras.Model(whole, layers.Dense(1)(whole))
    model.save(tmp_path / f"m.{suffix}")
    answer = model.predict(given, verbose=0)
    expected: FloatArray = np.asarray(next(iter(answer.values())) if isinstance(answer, dict) else answer)
    expected = 1.0 / (1.0 + np.exp(-expected)) if kind == "logits" else expected
    classifier = load_model(tmp_path / f"m.{suffix}")
    assert classifier.n_features == 5
    np.testing.assert_allclose(classifier.scores(x)[:, -expected.shape[1] :], expected, atol=1e-6)
