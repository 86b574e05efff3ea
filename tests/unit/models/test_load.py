# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import importlib.util
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from hepfool import EventTable, TorchClassifier, load_model
from hepfool.exceptions import MissingExtraError, NetworkWarning, UnreadableFileError
from hepfool.models import CallableClassifier, FiniteDifference, export_program, mlp, save_state
from hepfool.models._load import compare_scores
from hepfool.models._onnx import OnnxModule, UnknownOperatorError
from hepfool.models.blackbox import with_slopes
from hepfool.typing import FloatArray

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.torch

helper = onnx.helper
FLOAT, INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
#: Operator, constant inputs after the first, and attributes.
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    *(
        (name, [], {})
        for name in ("Abs", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Neg")
    ),
    *(
        (name, [], {})
        for name in ("Reciprocal", "Relu", "Selu", "Sigmoid", "Softplus", "Tanh", "LogSoftmax", "Softmax", "Gelu")
    ),
    *(
        (name, [], {})
        for name in ("Ceil", "Celu", "Cos", "Mish", "ReduceL2", "ReduceSumSquare", "Sign", "Sin", "Softsign")
    ),
    *((name, [[0.5, -2.0, 1.5]], {}) for name in ("CastLike", "Mean")),
    ("ThresholdedRelu", [], {"alpha": 0.3}),
    ("Einsum", [[[1.0, 2.0, 3.0], [0.0, 1.0, -1.0]]], {"equation": "ij,kj->ik"}),
    *((name, [[0.5, -2.0, 1.5]], {}) for name in ("Add", "Sub", "Mul", "Div", "PRelu", "Max", "Min", "Sum")),
    ("Pow", [2.0], {}),
    ("Clip", [-0.5, 0.5], {}),
    ("Elu", [], {"alpha": 0.5}),
    ("Gelu", [], {"approximate": "tanh"}),
    ("Gemm", [[[1.0, 2.0, 3.0], [0.0, 1.0, -1.0]], [0.1, 0.2]], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("MatMul", [[[1.0], [2.0], [0.5]]], {}),
    ("BatchNormalization", [[1.0, 2.0, 3.0], [0.1, 0.2, 0.3], [0.0, 1.0, -1.0], [1.0, 4.0, 9.0]], {"epsilon": 1e-3}),
    ("LayerNormalization", [[1.0, 2.0, 3.0], [0.1, 0.2, 0.3]], {"epsilon": 1e-3}),
    ("Flatten", [], {}),
    ("Slice", [[0], [2], [1]], {}),
    ("Slice", [[2], [-9], [1], [-2]], {}),
    ("Gather", [[2, 0]], {"axis": 1}),
    ("Split", [[1, 2]], {"axis": 1}),
    ("Split", [], {"axis": 1, "num_outputs": 3}),
    ("ReduceSum", [[1]], {}),
    ("ReduceMean", [[1]], {}),
    ("ReduceMax", [[1]], {}),
    ("ReduceMin", [[1]], {}),
    ("Reshape", [[0, 3]], {}),
    ("Tile", [[1, 2]], {}),
]


def graph(
    nodes: list[Any], constants: dict[str, Any], *, width: int | str = 3, domains: tuple[str, ...] = ("",)
) -> bytes:
    """A file whose input is x and whose output is y."""
    tensors = [
        helper.make_tensor(name, INT if np.asarray(c).dtype.kind == "i" else FLOAT, np.shape(c), np.ravel(c))
        for name, c in constants.items()
    ]
    inputs = [helper.make_tensor_value_info("x", FLOAT, ["n", width])]
    outputs = [helper.make_tensor_value_info("y", FLOAT, None)]
    made = helper.make_graph(nodes, "g", inputs, outputs, initializer=tensors)
    versions = {"": 20, "ai.onnx.ml": 3}
    opsets = [helper.make_opsetid(name, versions[name]) for name in domains]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=10).SerializeToString())


def by_runtime(blob: bytes, values: FloatArray) -> FloatArray:
    session = onnxruntime.InferenceSession(blob, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": values.astype(np.float32)})[0])


@pytest.fixture
def values(rng: np.random.Generator) -> FloatArray:
    return rng.normal(size=(20, 3))


@pytest.mark.parametrize(("operator", "constants", "attributes"), CASES, ids=[case[0] for case in CASES])
def test_operators_give_what_onnxruntime_gives(
    operator: str, constants: list[Any], attributes: dict[str, Any], values: FloatArray
) -> None:
    names = {f"c{k}": constant for k, constant in enumerate(constants)}
    outputs = ["y", "z", "u"][: 3 if "num_outputs" in attributes else 2 if operator == "Split" else 1]
    blob = graph([helper.make_node(operator, ["x", *names], outputs, **attributes)], names)
    module = OnnxModule(blob)
    found = module(torch.tensor(values, dtype=torch.float32))
    found = (
        torch.sigmoid(found) if operator == "Sigmoid" else torch.softmax(found, 1) if operator == "Softmax" else found
    )
    np.testing.assert_allclose(found.numpy(), by_runtime(blob, values), rtol=2e-5, atol=2e-6)


def test_operators_on_shapes_and_conditions_give_what_onnxruntime_gives(values: FloatArray) -> None:
    node = helper.make_node
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Concat", ["n", "one"], ["shape"], axis=0),
        node("ConstantOfShape", ["shape"], ["empty"], value=helper.make_tensor("v", FLOAT, [1], [0.25])),
        node("Expand", ["half", "shape"], ["wide"]),
        node("Greater", ["x", "half"], ["above"]),
        node("IsNaN", ["x"], ["nan"]),
        node("Or", ["above", "nan"], ["either"]),
        node("Not", ["either"], ["below"]),
        node("Cast", ["below"], ["number"], to=FLOAT),
        node("Where", ["above", "x", "number"], ["chosen"]),
        node("Unsqueeze", ["chosen", "minus"], ["cube"]),
        node("Transpose", ["cube"], ["turned"], perm=[0, 2, 1]),
        node("Squeeze", ["turned", "one"], ["flat"]),
        node("Constant", [], ["shift"], value_float=0.1),
        node("Add", ["flat", "shift"], ["shifted"]),
        node("Concat", ["shifted", "empty", "wide"], ["y"], axis=1),
    ]
    blob = graph(nodes, {"zero": [0], "one": [1], "minus": [-1], "half": [0.5]})
    np.testing.assert_allclose(OnnxModule(blob)(torch.tensor(values)).numpy(), by_runtime(blob, values), rtol=1e-6)


@pytest.fixture
def onnx_file(tmp_path: Path) -> tuple[Path, nn.Module]:
    module = mlp(3, (8, 4), sigmoid=True).eval()
    torch.onnx.export(
        module, (torch.zeros(2, 3),), tmp_path / "m.onnx", dynamo=False, dynamic_axes={"x": {0: "n"}}, input_names=["x"]
    )
    return tmp_path / "m.onnx", module


def test_onnx_has_the_gradients_of_the_network(onnx_file: tuple[Path, nn.Module], values: FloatArray) -> None:
    path, module = onnx_file
    found, expected = load_model(path, threshold=0.4), TorchClassifier(module, output="probability", threshold=0.4)
    assert isinstance(found, TorchClassifier)
    np.testing.assert_allclose(found.scores(values), expected.scores(values), atol=1e-6)
    labels = np.arange(20) % 2
    for a, b in zip(
        found.margin_and_gradient(values, labels), expected.margin_and_gradient(values, labels), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    copy = pickle.loads(pickle.dumps(found))
    assert copy.digest == found.digest
    np.testing.assert_array_equal(copy.scores(values), found.scores(values))


def test_onnx_files_that_do_not_give_what_onnxruntime_gives_are_refused(
    onnx_file: tuple[Path, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules["hepfool.models._onnx"]._OPERATORS, "Relu", lambda i, _: i[0])
    with pytest.raises(ValueError, match=r"scores differ by up to .* from those of onnxruntime, on 100 events"):
        load_model(onnx_file[0])


def test_onnx_outputs_that_contradict_are_refused(onnx_file: tuple[Path, nn.Module], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ends in a Sigmoid, so it returns no logit"):
        load_model(onnx_file[0], output="logit")
    (tmp_path / "several.onnx").write_bytes(graph([helper.make_node("Sigmoid", ["x"], ["y"])], {}))
    with pytest.raises(ValueError, match="a sigmoid for each of 3 classes"):
        load_model(tmp_path / "several.onnx")
    (tmp_path / "free.onnx").write_bytes(graph([helper.make_node("Relu", ["x"], ["y"])], {}, width="d"))
    with pytest.raises(UnreadableFileError, match="has not the shape"):
        load_model(tmp_path / "free.onnx")


def test_onnx_of_something_else_runs_by_onnxruntime(tmp_path: Path, values: FloatArray) -> None:
    leaf = {
        "nodes_treeids": [0] * 3,
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [1, 0, 0],
        "nodes_values": [0.2, 0.0, 0.0],
    }
    leaf |= {
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
    }
    classes = {"class_treeids": [0] * 4, "class_nodeids": [1, 1, 2, 2], "class_ids": [0, 1, 0, 1]}
    node = helper.make_node(
        "TreeEnsembleClassifier", ["x"], ["label", "y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1],
        class_weights=[0.9, 0.1, 0.3, 0.7], post_transform="NONE", **leaf, **classes,
    )  # fmt: skip
    blob = graph([node], {}, domains=("", "ai.onnx.ml"))
    with pytest.raises(UnknownOperatorError, match="TreeEnsembleClassifier"):
        OnnxModule(blob)
    (tmp_path / "trees.onnx").write_bytes(blob)
    with pytest.warns(NetworkWarning, match="TreeEnsembleClassifier: its scores come from onnxruntime"):
        classifier = load_model(tmp_path / "trees.onnx")
    assert isinstance(classifier, CallableClassifier)
    expected = np.where(values[:, 1] <= 0.2, 0.1, 0.7)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(classifier)).scores(values)[:, 1], expected, atol=1e-6)


def test_files_of_pytorch_are_read_by_suffix(tmp_path: Path, values: FloatArray) -> None:
    network = TorchClassifier(mlp(3, (4,)))
    export_program(network, tmp_path / "m.pt2")
    save_state(network, tmp_path / "m.pt")
    (tmp_path / "mine.py").write_text(
        "from hepfool.models._networks import mlp\n\ndef net():\n    return mlp(3, (4,))\n"
    )
    made = f"{tmp_path / 'mine.py'}:net"
    for found in (
        load_model(tmp_path / "m.pt2"),
        load_model(tmp_path / "m.pt", network=mlp(3, (4,))),
        load_model(tmp_path / "m.pt", factory=made),
        load_model(tmp_path / "m.pt", network=made),
    ):
        np.testing.assert_allclose(found.scores(values), network.scores(values), atol=1e-6)


def test_a_factory_of_a_file_pickles_by_value(tmp_path: Path, values: FloatArray) -> None:
    source = "import torch\n\nclass Doubled(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    source += (
        "        self.layer = torch.nn.Linear(3, 1)\n\n    def forward(self, x):\n        return 2 * self.layer(x)\n"
    )
    (tmp_path / "of_a_user.py").write_text(source)
    layer = nn.Linear(3, 1)
    torch.save({f"layer.{name}": tensor for name, tensor in layer.state_dict().items()}, tmp_path / "m.pt")
    classifier = load_model(tmp_path / "m.pt", factory=f"{tmp_path / 'of_a_user.py'}:Doubled")
    content = pickle.dumps(classifier)
    sys.modules.pop("of_a_user")
    expected = 2 * layer(torch.tensor(values, dtype=torch.float32)).detach().numpy()[:, 0]
    np.testing.assert_allclose(
        pickle.loads(content).margin_and_gradient(values, np.ones(20, dtype=np.int64))[0], expected, atol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("m.root", {}, "of an unknown kind; known are .pt2, .pt, .pth, .onnx"),
        ("m.onnx", {"network": "donut"}, "network has no effect"),
        ("m.onnx", {"unsafe_pickle": True}, "unsafe_pickle has no effect"),
        ("m.onnx", {}, "m.onnx cannot be read"),
        ("m.pt", {"factory": "absent.py:net"}, "a file that exists"),
        ("m.pt", {"factory": "{here}:absent"}, "has no function 'absent'"),
        ("m.pt", {"factory": "a.py:net", "network": "donut"}, "leave one out"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"nothing of use")
    (tmp_path / "empty.py").write_text("")
    options = {k: str(v).format(here=tmp_path / "empty.py") if k == "factory" else v for k, v in options.items()}
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path / name, **options)


@pytest.mark.skipif(importlib.util.find_spec("keras") is not None, reason="Keras is installed")
def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"keras is not installed.*hepfool\[keras\]"):
        load_model(tmp_path / "m.keras")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.filterwarnings("ignore")
def test_keras_gives_its_scores_and_gradients(
    suffix: str, n_outputs: int, tmp_path: Path, values: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    layers = [
        keras.layers.Dense(5, activation="relu"),
        keras.layers.Dense(n_outputs, activation="sigmoid" if n_outputs == 1 else "softmax"),
    ]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.save(tmp_path / f"m.{suffix}")
    classifier = load_model(tmp_path / f"m.{suffix}")
    np.testing.assert_allclose(classifier.scores(values)[:, -n_outputs:], model.predict(values, verbose=0), atol=1e-6)
    labels = np.zeros(len(values), dtype=np.int64)
    margin, gradient = classifier.margin_and_gradient(values, labels)  # type: ignore[attr-defined]
    moved = values + np.array([1e-2, 0.0, 0.0])
    difference = (classifier.margin_and_gradient(moved, labels)[0] - margin) / 1e-2  # type: ignore[attr-defined]
    assert np.median(np.abs(difference - gradient[:, 0])) < 1e-2
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(classifier)).scores(values), classifier.scores(values))


def test_another_answer_of_the_native_library_is_refused(values: FloatArray) -> None:
    classifier = CallableClassifier(lambda x: np.full(len(x), 0.5))
    compare_scores(classifier, lambda x: np.full(len(x), 0.50005), values, "lib")
    with pytest.raises(ValueError, match=r"by up to 0\.1 from those of lib"):
        compare_scores(classifier, lambda x: np.full(len(x), 0.6), values, "lib")
    with pytest.raises(ValueError, match="by up to nan"):
        compare_scores(classifier, lambda x: np.full(len(x), np.nan), values, "lib")


def test_slopes_are_added_only_where_there_are_none(values: FloatArray) -> None:
    table, network = EventTable.from_arrays(values), TorchClassifier(mlp(3, (4,)))
    tree = CallableClassifier(DecisionTreeClassifier(max_depth=2).fit(values, values[:, 0] > 0))
    assert with_slopes(network, table) is network
    assert isinstance(with_slopes(tree, table), FiniteDifference)
