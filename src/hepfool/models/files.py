# SPDX-License-Identifier: BSD-3-Clause
"""
Networks from files.

An exported program (``.pt2``) needs no code to be read back; a state dictionary
(``.pt``, ``.pth``) holds parameters only and needs the network they belong to.
Neither runs code of whoever wrote the file, unless ``unsafe_pickle`` allows it.
"""

from __future__ import annotations

import copy
import importlib
import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hepfool.io._files import local_path
from hepfool.models._archives import checked_program, read_archive
from hepfool.models._modules import ExportedModule, ScriptedModule, floating_dtype
from hepfool.models._networks import NETWORKS
from hepfool.models.pytorch import TorchClassifier

__all__ = ["export_program", "load_torch", "save_state"]

#: Where the other networks with a name are; looked up when one is asked for, as they build on this package.
_CONTRIBUTED = {
    "attention_jets": "hepfool.contrib.attention",
    "high_level_jets": "hepfool.contrib.jets._networks",
    "particle_flow_jets": "hepfool.contrib.jets._networks",
}
_NAMES = (*NETWORKS, *_CONTRIBUTED)
_PROGRAM_SUFFIX, _STATE_SUFFIXES = ".pt2", (".pt", ".pth")
#: Where checkpoints of trainings have the parameters.
_CHECKPOINTS = ("state_dict", "model_state_dict")
#: Settings of the classifier inside an exported program.
_SETTINGS_FILE = "hepfool.json"


def load_torch(
    path: str | Path, *, network: nn.Module | str | None = None, unsafe_pickle: bool = False, **settings: Any
) -> TorchClassifier:
    """
    Read a network from a file.

    Parameters
    ----------
    path : str or pathlib.Path
        An exported program (``.pt2``), or a state dictionary (``.pt``, ``.pth``).
    network : torch.nn.Module or str, optional
        What a state dictionary belongs to: a module, or a name of :data:`hepfool.models._networks.NETWORKS`
        or of :mod:`hepfool.contrib`: ``attention_jets``, ``high_level_jets``, ``particle_flow_jets``.
    unsafe_pickle : bool
        Whether a ``.pt`` file may hold a whole pickled module, and a ``.pt2`` file more than a plain network.
        Reading such a file runs code of whoever wrote it.
    **settings
        Settings of :class:`TorchClassifier`; those stored by :func:`export_program` are the default.

    Raises
    ------
    ValueError
        If the file is damaged, of another kind, or does not fit to the network.
    """
    path = local_path(path)
    if path.suffix == _PROGRAM_SUFFIX:
        program, stored = _read_program(path, unsafe_pickle=unsafe_pickle)
        _check_unneeded(network, path)
        return TorchClassifier(program, **{**stored, **settings})
    if path.suffix not in _STATE_SUFFIXES:
        msg = f"{path.name} is neither an exported program (.pt2) nor a state dictionary (.pt, .pth)"
        raise ValueError(msg)
    content = _read_state(path, unsafe_pickle=unsafe_pickle)
    if isinstance(content, nn.Module):
        _check_unneeded(network, path)
        return TorchClassifier(content, **settings)
    module = _with_state(network, content, path.name)
    return TorchClassifier(module, **settings)


def _check_unneeded(network: nn.Module | str | None, path: Path) -> None:
    if network is not None:
        name = network if isinstance(network, str) else type(network).__name__
        msg = f"network={name} has no effect: {path.name} holds a whole network, not only its state; leave it out"
        raise ValueError(msg)


def save_state(classifier: TorchClassifier, path: str | Path) -> None:
    """
    Write the parameters, for :func:`load_torch` with the same network.

    Parameters
    ----------
    path : str or pathlib.Path
        File to write, ending in ``.pt`` or ``.pth``.
    """
    torch.save(classifier.module.state_dict(), path)


def export_program(classifier: TorchClassifier, path: str | Path) -> None:
    """
    Write network, parameters and threshold, for :func:`load_torch` without any code.

    Parameters
    ----------
    path : str or pathlib.Path
        File to write, ending in ``.pt2``.

    Raises
    ------
    ValueError
        If the file's name does not end in ``.pt2``.
    """
    if Path(path).suffix != _PROGRAM_SUFFIX:
        msg = f"an exported program needs a name ending in .pt2, got {Path(path).name}"
        raise ValueError(msg)
    if isinstance(classifier.module, ExportedModule):
        Path(path).write_bytes(classifier.module.blob)
        return
    module = copy.deepcopy(classifier.module).cpu()
    example = torch.zeros(2, classifier.n_features, dtype=floating_dtype(module))
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("n_events")},))
    settings = {"output": classifier.output, "threshold": classifier.threshold}
    torch.export.save(program, path, extra_files={_SETTINGS_FILE: json.dumps(settings)})


def _read_state(path: Path, *, unsafe_pickle: bool) -> Any:
    content = path.read_bytes()
    if _is_script(content):
        if unsafe_pickle:
            return ScriptedModule(content)
        msg = (
            f"{path.name} is a TorchScript program, which runs code when it is read: pass unsafe_pickle=True if you trust whoever "
            "wrote it, or save the module with torch.export.save(torch.export.export(...), 'network.pt2')"
        )
        raise ValueError(msg)
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            read_archive(content)  # PyTorch does not compare check sums
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=not unsafe_pickle)
    except pickle.UnpicklingError as error:
        msg = f"{path.name} holds pickled code; save module.state_dict() instead, or pass unsafe_pickle=True"
        raise ValueError(msg) from error
    except Exception as error:
        # A damaged file can fail anywhere inside PyTorch, with any error.
        msg = f"{path.name} cannot be read; is the file complete? ({_said(error)})"
        raise ValueError(msg) from error


def _is_script(content: bytes) -> bool:
    """Recognise an archive of ``torch.jit.save``."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any("/code/__torch__" in name for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False  # read_archive says what is wrong


def _read_program(path: Path, *, unsafe_pickle: bool) -> tuple[ExportedModule, dict[str, Any]]:
    content = path.read_bytes()
    # Asked first, because PyTorch logs a page about a file that is cut short.
    if not zipfile.is_zipfile(io.BytesIO(content)):
        msg = f"{path.name} cannot be read as an exported program; is the file complete?"
        raise ValueError(msg)
    extra = {_SETTINGS_FILE: ""}
    try:
        if unsafe_pickle:
            torch.export.load(io.BytesIO(content), extra_files=extra)
        else:
            content, extra = checked_program(content)
        return ExportedModule(content), _settings(extra.get(_SETTINGS_FILE) or "{}")
    except Exception as error:
        # A damaged file can fail anywhere inside PyTorch, with any error.
        msg = (
            f"{path.name} cannot be read as an exported program ({_said(error)}); export it again, "
            "or pass unsafe_pickle=True if you trust whoever wrote it"
        )
        raise ValueError(msg) from error


def _settings(text: str) -> dict[str, Any]:
    settings = json.loads(text)
    known = isinstance(settings, dict) and settings.keys() <= {"output", "threshold"}
    if not known or not isinstance(settings.get("threshold", 0.5), int | float):
        msg = f"{_SETTINGS_FILE} holds {text[:80]!r}, not output and threshold"
        raise ValueError(msg)
    return dict(settings)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _named(name: str) -> nn.Module:
    if name in NETWORKS:
        return NETWORKS[name]()
    module: nn.Module = getattr(importlib.import_module(_CONTRIBUTED[name]), name)()
    return module


def _with_state(network: nn.Module | str | None, state: Mapping[str, torch.Tensor], name: str) -> nn.Module:
    if network is None:
        msg = f"{name} holds parameters only; pass the network, one of {', '.join(_NAMES)} or a module"
        raise ValueError(msg)
    if isinstance(network, str) and network not in _NAMES:
        msg = f"no network named {network!r}; known are {', '.join(_NAMES)}"
        raise ValueError(msg)
    module = _named(network) if isinstance(network, str) else copy.deepcopy(network)
    try:
        module.load_state_dict(_of_checkpoint(state, module))
    except Exception as error:
        # Of a file with other content, whatever that is.
        msg = f"{name} does not fit to the network: {error}"
        raise ValueError(msg) from error
    return module


def _of_checkpoint(content: Mapping[str, Any], module: nn.Module) -> Mapping[str, Any]:
    """Find the parameters in the checkpoint of a training, such as that of Lightning, where the network is ``model.``."""
    state = next((content[name] for name in _CHECKPOINTS if isinstance(content.get(name), Mapping)), content)
    own = module.state_dict().keys()
    first = next(iter(own), "")
    found = [name.removesuffix(first) for name in state if name.endswith(f".{first}")]
    if own <= state.keys() or len(found) != 1:
        return state
    return {name.removeprefix(found[0]): value for name, value in state.items() if name.startswith(found[0])}
