# SPDX-License-Identifier: BSD-3-Clause
"""What PyTorch modules need before a classifier can hold, copy and send them."""

from __future__ import annotations

import copy
import functools
import hashlib
import io
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import cloudpickle
import torch
from torch import nn

_ACTIVATIONS = (nn.Sigmoid, nn.Softmax)


class ExportedModule(nn.Module):
    """
    A program of ``torch.export`` that copies and pickles like any other module.

    The graph module of an exported program does neither, and refuses ``eval()``;
    its mode was fixed when it was exported.
    """

    def __init__(self, blob: bytes) -> None:
        super().__init__()
        self.blob = blob
        program = torch.export.load(io.BytesIO(blob))
        self.graph = cast("nn.Module", program.module())
        examples = [x for x in (program.example_inputs or ((),))[0] if isinstance(x, torch.Tensor)]
        #: Columns of each input, which take those of one tensor in turn.
        self.widths = [int(x.shape[1]) if x.ndim == 2 else 0 for x in examples]
        #: Input width; 0 if the program does not tell.
        self.in_features = sum(self.widths) if all(self.widths) else 0
        #: Number of events that the program takes; None if any.
        self.n_events = _exported_batch(program)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Run the program."""
        if self.n_events is None:
            return self._answer(values)
        answers = [rows(self._answer(part), self.n_events) for part in _padded(values, self.n_events)]
        return torch.cat(answers)[: len(values)]

    def _answer(self, values: torch.Tensor) -> torch.Tensor:
        several = len(self.widths) > 1 and self.in_features > 0
        return the_output(self.graph(*torch.split(values, self.widths, dim=1)) if several else self.graph(values))

    def train(self, mode: bool = True) -> ExportedModule:
        """Leave the mode as it was exported."""
        self.training = mode
        return self

    def extra_repr(self) -> str:
        """Return a fingerprint of the graph, which the representation of its parts leaves out."""
        return f"graph={hashlib.sha256(str(getattr(self.graph, 'code', '')).encode()).hexdigest()[:16]}"

    def __deepcopy__(self, memo: dict[int, object]) -> ExportedModule:
        return ExportedModule(self.blob)

    def __reduce__(self) -> tuple[type[ExportedModule], tuple[bytes]]:
        return ExportedModule, (self.blob,)


class ScriptedModule(nn.Module):
    """A program of ``torch.jit`` that copies and pickles like any other module."""

    def __init__(self, blob: bytes) -> None:
        super().__init__()
        self.blob = blob
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.program: Any = torch.jit.load(io.BytesIO(blob), map_location="cpu")  # type: ignore[no-untyped-call]
        #: Input width, that of the first layer; 0 if it does not tell.
        self.in_features = next(
            (_scripted_width(layer) for layer in self.program.modules() if _scripted_width(layer)), 0
        )

    @classmethod
    def of(cls, program: torch.jit.ScriptModule) -> ScriptedModule:
        """Take a program from memory."""
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(program, buffer)
        return cls(buffer.getvalue())

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Run the program."""
        return the_output(self.program(values))

    def extra_repr(self) -> str:
        """Return a fingerprint of the code, which the representation of its parts leaves out."""
        return f"code={hashlib.sha256(str(self.program.code).encode()).hexdigest()[:16]}"

    def __deepcopy__(self, memo: dict[int, object]) -> ScriptedModule:
        return ScriptedModule(self.blob)

    def __reduce__(self) -> tuple[type[ScriptedModule], tuple[bytes]]:
        return ScriptedModule, (self.blob,)


def _scripted_width(layer: Any) -> int:
    """Return the width of a linear layer of a program of ``torch.jit``, which keeps its name alone."""
    return int(layer.weight.shape[1]) if getattr(layer, "original_name", "") == "Linear" else 0


def the_output(answer: Any, names: Sequence[str] = ()) -> torch.Tensor:
    """Take the output of a network that returns several: the only one, or the only one that is named like a score."""
    if isinstance(answer, torch.Tensor):
        return answer
    given = isinstance(answer, Mapping)
    found = (
        dict(answer)
        if given
        else dict(zip(names if len(names) == len(answer) else map(str, range(len(answer))), answer, strict=True))
    )
    scores = [name for name in found if len(found) == 1 or re.search("prob|score", name.lower())]
    if len(scores) != 1:
        msg = f"the network has several outputs, {', '.join(found)}; save it with the one that is the score"
        raise ValueError(msg)
    return cast("torch.Tensor", found[scores[0]])


def _exported_batch(program: torch.export.ExportedProgram) -> int | None:
    """Return the number of events that a program was exported for; None for any number."""
    inputs = set(program.graph_signature.user_inputs)
    values = (node.meta.get("val") for node in program.graph.nodes if node.name in inputs)
    sizes = [value.shape[0] for value in values if isinstance(value, torch.Tensor) and value.ndim]
    return sizes[0] if sizes and isinstance(sizes[0], int) else None


def _padded(values: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Cut into parts of one size, the last filled up with its last event."""
    missing = -len(values) % size if len(values) else size
    filler = values[-1:].expand(missing, -1) if len(values) else values.new_zeros(missing, values.shape[1])
    return list(torch.split(torch.cat([values, filler]), size))


def rows(raw: torch.Tensor, n_events: int) -> torch.Tensor:
    """Give the answer of a module one row per event, also after ``squeeze()``; other shapes are left as they are."""
    if raw.numel() == n_events and all(size in {1, n_events} for size in raw.shape):
        return raw.reshape(n_events, 1)
    return raw.reshape(1, -1) if n_events == 1 and raw.ndim == 1 else raw


def private_copy(module: nn.Module) -> nn.Module:
    """Copy a module, whatever it is wrapped in."""
    module = unwrapped(module)
    if isinstance(module, torch.jit.ScriptModule):
        return ScriptedModule.of(module)
    if any(nn.parameter.is_lazy(tensor) for tensor in (*module.parameters(), *module.buffers())):
        msg = "the module has a layer without parameters, whose width is not known yet; call it once, and train it"
        raise ValueError(msg)
    try:
        return copy.deepcopy(module)
    except RuntimeError:  # of weights that hooks compute, such as those of nn.utils.weight_norm
        return cast("nn.Module", pickle.loads(cloudpickle.dumps(module)))  # noqa: S301  (written by the same line)


def unwrapped(module: nn.Module) -> nn.Module:
    """Find the module inside of ``DataParallel`` and ``torch.compile``."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while (inner := module.module if isinstance(module, parallel) else getattr(module, "_orig_mod", None)) is not None:
        module = cast("nn.Module", inner)
    return module


def last_layer(module: nn.Module) -> nn.Module:
    """Find what acts last in a ``Sequential``."""
    while isinstance(module, nn.Sequential) and len(module):
        module = module[-1]
    return module


def strip_activation(module: nn.Module, n_features: int) -> nn.Module:
    """Take a final ``Sigmoid`` of one output, or ``Softmax`` over the classes, off a ``Sequential``."""
    last, stripped = last_layer(module), _without_last(module)
    if not isinstance(last, _ACTIVATIONS) or isinstance(last_layer(stripped), _ACTIVATIONS):
        return module
    tensor = next(iter((*module.parameters(), *module.buffers())), torch.empty(0))
    mode = module.training
    with torch.no_grad():
        shape = stripped.eval()(torch.zeros(2, n_features, dtype=floating_dtype(module), device=tensor.device)).shape
    stripped.train(mode)
    one = shape in {(2,), (2, 1)}
    over_classes = isinstance(last, nn.Softmax) and last.dim in {None, 1, -1} and len(shape) == 2 and not one
    return stripped if over_classes or (one and isinstance(last, nn.Sigmoid)) else module


def _without_last(module: nn.Module) -> nn.Module:
    if not isinstance(module, nn.Sequential) or not len(module):
        return module
    *first, last = module
    inner = [_without_last(last)] if isinstance(last, nn.Sequential) and len(last) else []
    return nn.Sequential(*first, *inner)


def floating_dtype(module: nn.Module) -> torch.dtype:
    """Precision that a module computes in."""
    tensors = (*module.parameters(), *module.buffers())
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)


def module_digest(module: nn.Module, *settings: object) -> str:
    """Fingerprint of a module."""
    digest = hashlib.sha256(" ".join([repr(module), *map(str, settings)]).encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # As bytes, because NumPy has no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def to_bytes(module: nn.Module) -> bytes:
    """Pickle a module on the CPU, by value where workers could not import its class."""
    on_cpu = all(t.device.type == "cpu" for t in (*module.parameters(), *module.buffers()))
    return bytes(cloudpickle.dumps(module if on_cpu else copy.deepcopy(module).cpu()))


@functools.lru_cache(maxsize=32)
def from_bytes(blob: bytes, device: str) -> nn.Module:
    """Rebuild a module, once per process: coffea unpickles its processor for every chunk."""
    module: nn.Module = pickle.loads(blob)  # noqa: S301  (only reached while an outer pickle is read)
    return module.to(device)
