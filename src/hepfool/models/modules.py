# SPDX-License-Identifier: BSD-3-Clause
"""What PyTorch modules need before a classifier can hold, copy and send them."""

from __future__ import annotations

import copy
import functools
import hashlib
import io
import pickle
from typing import cast

import cloudpickle
import torch
from torch import nn

__all__ = ["ExportedModule", "floating_dtype", "from_bytes", "module_digest", "strip_activation", "to_bytes"]

_ACTIVATIONS = (nn.Sigmoid, nn.Softmax)


class ExportedModule(nn.Module):
    """
    A program of ``torch.export`` that copies and pickles like any other module.

    The graph module of an exported program does neither, and refuses ``eval()``;
    its mode was fixed when it was exported.

    Parameters
    ----------
    blob : bytes
        Content of a ``.pt2`` file.
    """

    def __init__(self, blob: bytes) -> None:
        super().__init__()
        self.blob = blob
        program = torch.export.load(io.BytesIO(blob))
        self.graph = cast("nn.Module", program.module())
        shape = next((tuple(x.shape) for x in (program.example_inputs or ((),))[0] if isinstance(x, torch.Tensor)), ())
        #: Input width; 0 if the program does not tell.
        self.in_features = int(shape[1]) if len(shape) == 2 else 0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """
        Run the program.

        Parameters
        ----------
        values : torch.Tensor, shape (n_events, n_features)
            Network inputs.

        Returns
        -------
        torch.Tensor
            What the exported module returned.
        """
        return cast("torch.Tensor", self.graph(values))

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


def strip_activation(module: nn.Module) -> nn.Module:
    """
    Take a final ``Sigmoid`` or ``Softmax`` off a ``Sequential``.

    Parameters
    ----------
    module : torch.nn.Module
        Any module.

    Returns
    -------
    torch.nn.Module
        A ``Sequential`` of the same layers without the last, or the module itself if there is nothing to strip.
    """
    if not isinstance(module, nn.Sequential) or not len(module):
        return module
    *first, last = module
    if isinstance(last, _ACTIVATIONS):
        return nn.Sequential(*first)
    inner = strip_activation(last)
    return module if inner is last else nn.Sequential(*first, inner)


def floating_dtype(module: nn.Module) -> torch.dtype:
    """
    Tell the precision that a module computes in.

    Parameters
    ----------
    module : torch.nn.Module
        Any module.

    Returns
    -------
    torch.dtype
        That of its first floating-point parameter; ``float32`` without parameters.
    """
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)


def module_digest(module: nn.Module, *settings: object) -> str:
    """
    Fingerprint of a module.

    Parameters
    ----------
    module : torch.nn.Module
        Any module.
    *settings : object
        Whatever else its answers depend on.

    Returns
    -------
    str
        SHA-256 of structure, settings, parameters and buffers, hexadecimal.
    """
    digest = hashlib.sha256(" ".join([repr(module), *map(str, settings)]).encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def to_bytes(module: nn.Module) -> bytes:
    """
    Pickle a module on the CPU, by value where workers could not import its class.

    Parameters
    ----------
    module : torch.nn.Module
        Any module.

    Returns
    -------
    bytes
        For :func:`from_bytes`.
    """
    on_cpu = all(t.device.type == "cpu" for t in (*module.parameters(), *module.buffers()))
    return bytes(cloudpickle.dumps(module if on_cpu else copy.deepcopy(module).cpu()))


@functools.lru_cache(maxsize=32)
def from_bytes(blob: bytes, device: str) -> nn.Module:
    """
    Rebuild a module, once per process: coffea unpickles its processor for every chunk.

    Parameters
    ----------
    blob : bytes
        From :func:`to_bytes`.
    device : str
        Where the module shall run.

    Returns
    -------
    torch.nn.Module
        Shared between all callers with the same arguments; not to be changed.
    """
    module: nn.Module = pickle.loads(blob)  # noqa: S301  (only reached while an outer pickle is read)
    return module.to(device)
