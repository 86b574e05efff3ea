# SPDX-License-Identifier: BSD-3-Clause
"""Networks of Keras as PyTorch modules: Keras has to run on PyTorch."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from hepfool.exceptions import UnreadableFileError
from hepfool.extras import import_extra
from hepfool.models._modules import the_output
from hepfool.typing import FloatArray

_ACTIVATIONS: Final = {"sigmoid", "softmax"}
_TOLERANCE: Final = 1e-3


class KerasModule(nn.Module):
    """
    A model that takes the columns of one tensor in all its inputs, and returns one of its outputs.

    Parameters
    ----------
    model : keras.Model
        Its inputs take the columns in turn, in the order of ``model.inputs``; several dimensions of one input in that of C.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
        if any(size is None for shape in self.shapes for size in shape):
            msg = f"the inputs have shapes {self.shapes}, without a number of features; save the model with one"
            raise ValueError(msg)
        self.widths = [math.prod(shape) for shape in self.shapes]
        #: Input width, all inputs together.
        self.in_features = sum(self.widths)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Run the model."""
        parts = torch.split(values, self.widths, dim=1)
        shaped = [part.reshape(len(values), *shape) for part, shape in zip(parts, self.shapes, strict=True)]
        tree = import_extra("keras", "keras").tree
        # A Sequential has neither.
        structure, names = getattr(self.model, "input", self.model.inputs[0]), getattr(self.model, "output_names", ())
        answer: Any = self.model(tree.pack_sequence_as(structure, shaped))
        return the_output(answer, names)


def read_keras(path: Path) -> KerasModule:
    """Read a file of Keras 3 or of TensorFlow."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = import_extra("keras", "keras")
    if keras.backend.backend() != "torch":
        msg = (
            f"Keras runs on {keras.backend.backend()} here, without gradients for PyTorch: set KERAS_BACKEND=torch before Keras is "
            "imported; files written with TensorFlow are read as well"
        )
        raise ValueError(msg)
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        # A damaged file can fail anywhere inside Keras, with any error.
        msg = f"{path.name} cannot be read by Keras ({type(error).__name__}: {error}); is the file complete?"
        raise UnreadableFileError(msg) from error
    return KerasModule(model)


def answers(module: KerasModule, values: FloatArray) -> FloatArray:
    """Call a model as it is."""
    with torch.no_grad():
        found = module(torch.from_numpy(values.astype(np.float32)))
    return np.asarray(found.cpu().double().numpy()).reshape(len(values), -1)


def are_probabilities(raw: FloatArray) -> bool:
    """Judge by the answers to far-off events, which leave no doubt."""
    sound = (raw.shape[1] == 1) | (np.abs(raw.sum(axis=1) - 1.0) <= _TOLERANCE).all()
    return bool(sound and ((raw >= 0.0) & (raw <= 1.0)).all())


def strip(module: KerasModule) -> bool:
    """Take off a final activation, through which gradients vanish; say whether there was one."""
    layer = module.model
    while getattr(layer, "layers", None):
        layer = layer.layers[-1]
    if getattr(getattr(layer, "activation", None), "__name__", "") not in _ACTIVATIONS:
        return False
    layer.activation = import_extra("keras", "keras").activations.linear
    return True
