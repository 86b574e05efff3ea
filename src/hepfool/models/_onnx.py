# SPDX-License-Identifier: BSD-3-Clause
"""Networks in ONNX files as PyTorch modules, whose gradients are exact."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

from hepfool.extras import import_extra

Inputs = list[Any]
Attributes = dict[str, Any]


class UnknownOperatorError(ValueError):
    """A file uses operators that have no counterpart here."""


def read_onnx(path: Path) -> bytes:
    """Read a file with the weights that lie beside it."""
    onnx = import_extra("onnx", "onnx")
    content = path.read_bytes()
    beside = onnx.load_from_string(content)
    if not any(tensor.data_location == tensor.EXTERNAL for tensor in beside.graph.initializer):
        return content
    return bytes(onnx.load(path).SerializeToString())


class OnnxModule(nn.Module):
    """
    A graph of ONNX that copies and pickles like any other module.

    Parameters
    ----------
    blob : bytes
        Content of the file, with its weights.  Several inputs take the columns in turn; of several outputs the one whose name
        begins like "probabilities" is meant, else the first.

    Raises
    ------
    UnknownOperatorError
        If an operator that the output needs has no counterpart here.
    """

    def __init__(self, blob: bytes) -> None:
        super().__init__()
        onnx = import_extra("onnx", "onnx")
        self.blob, graph = blob, onnx.load_from_string(blob).graph
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._names = {name: f"constant{k}" for k, name in enumerate(constants)}
        for name, array in constants.items():
            self.register_buffer(self._names[name], torch.from_numpy(array.copy()))
        inputs = [i for i in graph.input if i.name not in constants]
        self._inputs = [i.name for i in inputs]
        self._widths = [_width(i) for i in inputs]
        self._dtypes = [_DTYPES[i.type.tensor_type.elem_type] for i in inputs]
        nodes, names = _without_dictionary(graph)
        #: Name of the output that is meant.
        self.answer = next((name for name in names if "prob" in name.lower()), names[0])
        self._nodes = _needed(
            [
                (n.op_type, list(n.input), list(n.output), {a.name: _attribute(onnx, a) for a in n.attribute})
                for n in nodes
            ],
            self.answer,
        )
        unknown = sorted({node[0] for node in self._nodes if not _known(node[0], node[3])})
        if unknown:
            msg = f"operators without a counterpart in PyTorch: {', '.join(unknown)}"
            raise UnknownOperatorError(msg)
        #: Input width, all inputs together.
        self.in_features = sum(self._widths)
        last = next((node for node in self._nodes if self.answer in node[2]), None)
        #: Final sigmoid or softmax, which :meth:`forward` leaves out; None if there is none.
        self.activation = last[0] if last and last[0] in _ACTIVATIONS and last[3].get("axis", -1) in {1, -1} else None
        self._logit = last[1][0] if last and self.activation else self.answer

    @property
    def output(self) -> str:
        """What :meth:`forward` returns, "logit" or "probability", as far as the file tells."""
        return "probability" if self.activation is None and "prob" in self.answer.lower() else "logit"

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Run the graph up to its final activation."""
        found = {"": None, **{name: getattr(self, buffer) for name, buffer in self._names.items()}}
        parts = torch.split(values, self._widths, dim=1)
        for name, part, dtype in zip(self._inputs, parts, self._dtypes, strict=True):
            found[name] = part.to(dtype)
        for operator, inputs, outputs, attributes in self._nodes:
            result = _OPERATORS[operator]([found[name] for name in inputs], attributes)
            found.update(zip(outputs, result if isinstance(result, tuple) else (result,), strict=False))
        answer: torch.Tensor = found[self._logit]
        return answer

    def extra_repr(self) -> str:
        """Return a fingerprint of the graph."""
        return f"graph={hashlib.sha256(self.blob).hexdigest()[:16]}"

    def __reduce__(self) -> tuple[type[OnnxModule], tuple[bytes]]:
        return OnnxModule, (self.blob,)


def _known(operator: str, a: Attributes) -> bool:
    """Whether an operator with these settings has a counterpart."""
    settings = {
        "Conv": a.get("auto_pad", b"NOTSET") in {b"NOTSET", b"VALID"},
        "LinearClassifier": a.get("post_transform", b"NONE") in _TRANSFORMS,
    }
    return operator in _OPERATORS and settings.get(operator, True)


def _without_dictionary(graph: Any) -> tuple[list[Any], list[str]]:
    """Take off a final ``ZipMap``, which names each probability by its class; return nodes and outputs."""
    maps = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "ZipMap"}
    names = [o.name for o in graph.output]
    chosen = next((name for name in names if name in maps), None)
    return [n for n in graph.node if n.op_type != "ZipMap"], names if chosen is None else [maps[chosen]]


def _width(declared: Any) -> int:
    shape = declared.type.tensor_type.shape.dim
    if len(shape) != 2 or not shape[1].dim_value:
        msg = (
            f"input {declared.name!r} has not the shape (n_events, n_features) with a number of features; export it so"
        )
        raise ValueError(msg)
    return int(shape[1].dim_value)


def _attribute(onnx: Any, attribute: Any) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    return torch.from_numpy(onnx.numpy_helper.to_array(value).copy()) if attribute.type == attribute.TENSOR else value


def _needed(nodes: list[Any], answer: str) -> list[Any]:
    """Leave out what the output does not depend on."""
    wanted, kept = {answer}, []
    for node in reversed(nodes):
        if wanted & set(node[2]):
            kept.append(node)
            wanted |= set(node[1])
    return kept[::-1]


def _numbers(tensor: Any) -> list[int]:
    return [int(k) for k in tensor]


def _given(i: Inputs, k: int) -> Any:
    return i[k] if len(i) > k else None


def _axes(i: Inputs, a: Attributes, default: list[int]) -> list[int]:
    given = _given(i, 1)
    return _numbers(given) if given is not None else list(a.get("axes", default))


def _reduced(function: Callable[..., Any]) -> Callable[[Inputs, Attributes], Any]:
    def reduce(i: Inputs, a: Attributes) -> Any:
        return function(i[0], dim=_axes(i, a, list(range(i[0].ndim))), keepdim=bool(a.get("keepdims", 1)))

    return reduce


def _slice(i: Inputs, a: Attributes) -> torch.Tensor:
    x: torch.Tensor = i[0]
    starts, ends = (_numbers(i[1]), _numbers(i[2])) if len(i) > 1 else (a["starts"], a["ends"])
    axes, steps = _given(i, 3), _given(i, 4)
    axes = a.get("axes", range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else _numbers(steps)
    for start, end, axis, step in zip(starts, ends, _numbers(axes), steps, strict=True):
        places = torch.tensor(range(x.shape[axis])[start:end:step], dtype=torch.int64, device=x.device)
        x = x.index_select(axis, places)
    return x


def _gemm(i: Inputs, a: Attributes) -> torch.Tensor:
    x, weight = (i[k].t() if a.get(name) else i[k] for k, name in ((0, "transA"), (1, "transB")))
    product: torch.Tensor = a.get("alpha", 1.0) * (x @ weight)
    return product if _given(i, 2) is None else product + a.get("beta", 1.0) * i[2]


def _squeeze(i: Inputs, a: Attributes) -> torch.Tensor:
    return torch.squeeze(i[0], tuple(_axes(i, a, [k for k, size in enumerate(i[0].shape) if size == 1])))


def _unsqueeze(i: Inputs, a: Attributes) -> torch.Tensor:
    axes = _axes(i, a, [])
    x: torch.Tensor = i[0]
    for axis in sorted(k % (x.ndim + len(axes)) for k in axes):
        x = x.unsqueeze(axis)
    return x


def _reshape(i: Inputs, a: Attributes) -> torch.Tensor:
    keep = not a.get("allowzero", 0)
    sizes = [i[0].shape[k] if size == 0 and keep else size for k, size in enumerate(_numbers(i[1]))]
    return torch.reshape(i[0], sizes)


def _gather(i: Inputs, a: Attributes) -> torch.Tensor:
    axis, places = a.get("axis", 0) % i[0].ndim, i[1].long() % i[0].shape[a.get("axis", 0)]
    shape = (*i[0].shape[:axis], *places.shape, *i[0].shape[axis + 1 :])
    return torch.index_select(i[0], axis, places.reshape(-1)).reshape(shape)


def _split(i: Inputs, a: Attributes) -> tuple[torch.Tensor, ...]:
    axis, sizes = a.get("axis", 0), _given(i, 1)
    given = a.get("split") if sizes is None else _numbers(sizes)
    return torch.split(i[0], given or -(-i[0].shape[axis] // a["num_outputs"]), axis)


def _clip(i: Inputs, a: Attributes) -> torch.Tensor:
    low, high = (_given(i, 1), _given(i, 2)) if len(i) > 1 else (a.get("min"), a.get("max"))
    return i[0] if low is None and high is None else torch.clamp(i[0], low, high)


def _divide(i: Inputs, _: Attributes) -> torch.Tensor:
    return torch.div(i[0], i[1], rounding_mode=None if i[0].is_floating_point() else "trunc")


def _constant(_: Inputs, a: Attributes) -> torch.Tensor:
    value = next(a[name] for name in ("value", "value_float", "value_int", "value_floats", "value_ints") if name in a)
    return torch.as_tensor(value)


def _expand(i: Inputs, _: Attributes) -> Any:
    return i[0] * torch.ones(_numbers(i[1]), dtype=i[0].dtype, device=i[0].device)


def _normalised(i: Inputs, a: Attributes) -> torch.Tensor:
    norms = {
        "MAX": lambda x: x.abs().amax(1, True),
        "L1": lambda x: x.abs().sum(1, True),
        "L2": lambda x: x.norm(dim=1, keepdim=True),
    }
    kind = a.get("norm", b"MAX").decode()
    return torch.as_tensor(i[0] / norms[kind](i[0]))


def _layer_norm(i: Inputs, a: Attributes) -> torch.Tensor:
    shape = i[0].shape[a.get("axis", -1) :]
    return functional.layer_norm(i[0], shape, i[1], _given(i, 2), a.get("epsilon", 1e-5))


def _convolved(i: Inputs, a: Attributes) -> Any:
    n = i[0].ndim - 2
    pads = a.get("pads", [0] * 2 * n)
    # ONNX lists all beginnings, then all ends; PyTorch both of each dimension, from the last one on.
    padded = functional.pad(i[0], [p for k in reversed(range(n)) for p in (pads[k], pads[k + n])])
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[n - 1]
    return convolve(padded, i[1], _given(i, 2), a.get("strides", 1), 0, a.get("dilations", 1), a.get("group", 1))


def _linear(i: Inputs, a: Attributes) -> tuple[Any, Any]:
    """Class and scores of a linear model of scikit-learn."""
    offsets = i[0].new_tensor(a["intercepts"])
    raw = i[0] @ i[0].new_tensor(a["coefficients"]).reshape(len(offsets), -1).t() + offsets
    return raw.argmax(1), _TRANSFORMS[a.get("post_transform", b"NONE")](raw)


def _plain(function: Callable[..., Any]) -> Callable[[Inputs, Attributes], Any]:
    """Make an operator of a function without settings."""
    return lambda i, _: function(*i)


def _folded(function: Callable[[Any, Any], Any]) -> Callable[[Inputs, Attributes], Any]:
    """Make an operator of any number of inputs."""

    def fold(i: Inputs, _: Attributes) -> Any:
        result = i[0]
        for other in i[1:]:
            result = function(result, other)
        return result

    return fold


#: Numbers of ``onnx.TensorProto``.
_DTYPES: Final = {
    1: torch.float32,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
}
_ACTIVATIONS: Final = {"Sigmoid", "Softmax"}
#: What a linear model does with its sums.
_TRANSFORMS: Final[dict[bytes, Callable[[Any], Any]]] = {
    b"NONE": lambda x: x,
    b"LOGISTIC": torch.sigmoid,
    b"SOFTMAX": lambda x: torch.softmax(x, 1),
}
_OPERATORS: Final[dict[str, Callable[[Inputs, Attributes], Any]]] = {
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "And": _plain(torch.logical_and),
    "ArgMax": lambda i, a: torch.argmax(i[0], a.get("axis", 0), bool(a.get("keepdims", 1))),
    "BatchNormalization": lambda i, a: functional.batch_norm(i[0], i[3], i[4], i[1], i[2], eps=a.get("epsilon", 1e-5)),
    "Cast": lambda i, a: i[0].to(_DTYPES[a["to"]]),
    "CastLike": lambda i, _: i[0].to(i[1].dtype),
    "Ceil": _plain(torch.ceil),
    "Celu": lambda i, a: functional.celu(i[0], a.get("alpha", 1.0)),
    "Clip": _clip,
    "Concat": lambda i, a: torch.cat(i, a["axis"]),
    "Constant": _constant,
    "ConstantOfShape": lambda i, a: torch.full(_numbers(i[0]), a["value"].item() if "value" in a else 0.0),
    "Conv": _convolved,
    "Cos": _plain(torch.cos),
    "Div": _divide,
    "Dropout": lambda i, _: i[0],
    "Einsum": lambda i, a: torch.einsum(a["equation"].decode(), *i),
    "Elu": lambda i, a: functional.elu(i[0], a.get("alpha", 1.0)),
    "Equal": _plain(torch.eq),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Expand": _expand,
    "Flatten": lambda i, a: i[0].flatten(a.get("axis", 1)),
    "Floor": _plain(torch.floor),
    "Gather": _gather,
    "Gelu": lambda i, a: functional.gelu(i[0], approximate=a.get("approximate", b"none").decode()),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda i, _: i[0].mean(dim=list(range(2, i[0].ndim)), keepdim=True),
    "Greater": _plain(torch.gt),
    "GreaterOrEqual": _plain(torch.ge),
    "HardSigmoid": lambda i, a: (a.get("alpha", 0.2) * i[0] + a.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": _plain(functional.hardswish),
    "Identity": lambda i, _: i[0],
    "IsNaN": _plain(torch.isnan),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda i, a: functional.leaky_relu(i[0], a.get("alpha", 0.01)),
    "Less": _plain(torch.lt),
    "LessOrEqual": _plain(torch.le),
    "LinearClassifier": _linear,
    "Log": _plain(torch.log),
    "LogSoftmax": lambda i, a: torch.log_softmax(i[0], a.get("axis", -1)),
    "MatMul": _plain(torch.matmul),
    "Max": _folded(torch.maximum),
    "Mean": lambda i, a: _folded(torch.add)(i, a) / len(i),
    "Min": _folded(torch.minimum),
    "Mish": _plain(functional.mish),
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "Normalizer": _normalised,
    "Not": _plain(torch.logical_not),
    "Or": _plain(torch.logical_or),
    "PRelu": lambda i, _: torch.where(i[0] > 0, i[0], i[0] * i[1]),
    "Pow": _plain(torch.pow),
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceL2": _reduced(lambda x, dim, keepdim: torch.linalg.vector_norm(x, dim=dim, keepdim=keepdim)),
    "ReduceMax": _reduced(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "ReduceMin": _reduced(torch.amin),
    "ReduceSum": _reduced(torch.sum),
    "ReduceSumSquare": _reduced(lambda x, dim, keepdim: x.square().sum(dim=dim, keepdim=keepdim)),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Scaler": lambda i, a: (i[0] - i[0].new_tensor(a["offset"])) * i[0].new_tensor(a["scale"]),
    "Selu": _plain(functional.selu),
    "Shape": lambda i, _: torch.tensor(i[0].shape),
    "Sigmoid": _plain(torch.sigmoid),
    "Sign": _plain(torch.sign),
    "Sin": _plain(torch.sin),
    "Slice": _slice,
    "Softmax": lambda i, a: torch.softmax(i[0], a.get("axis", -1)),
    "Softplus": _plain(functional.softplus),
    "Softsign": _plain(functional.softsign),
    "Split": _split,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "Sum": _folded(torch.add),
    "Swish": lambda i, a: i[0] * torch.sigmoid(a.get("alpha", 1.0) * i[0]),
    "Tanh": _plain(torch.tanh),
    "ThresholdedRelu": lambda i, a: torch.where(i[0] > a.get("alpha", 1.0), i[0], 0.0),
    "Tile": lambda i, _: i[0].repeat(*_numbers(i[1])),
    "Transpose": lambda i, a: i[0].permute(*a.get("perm", range(i[0].ndim)[::-1])),
    "Unsqueeze": _unsqueeze,
    "Where": _plain(torch.where),
}
