# SPDX-License-Identifier: BSD-3-Clause
"""A network's file runs no code unless that is allowed."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hepfool.models import TorchClassifier, export_program, load_torch, mlp
from hepfool.models._archives import checked_program, read_archive

pytestmark = [pytest.mark.torch, pytest.mark.faults]


@pytest.fixture
def program(tmp_path: Path) -> bytes:
    export_program(TorchClassifier(mlp(2, (4,)), output="logit"), tmp_path / "sound.pt2")
    return (tmp_path / "sound.pt2").read_bytes()


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


Change = Callable[[bytes, Path], bytes]


def _changed(program: bytes, changes: dict[str, Change], marker: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in read_archive(program).items():
            change = changes.get(name.partition("/")[2])
            archive.writestr(name, content if change is None else change(content, marker))
    return packed.getvalue()


def _pickled(_: bytes, marker: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Bomb(marker), buffer)
    return buffer.getvalue()


def _json(edit: Callable[[Any, Path], None]) -> Change:
    def change(content: bytes, marker: Path) -> bytes:
        described = json.loads(content)
        edit(described, marker)
        return json.dumps(described).encode()

    return change


def _use_pickle(table: Any, _: Path) -> None:
    next(iter(table["config"].values()))["use_pickle"] = True


def _call_in_size(program: Any, marker: Path) -> None:
    def walk(item: Any) -> None:
        for key, value in list(item.items()) if isinstance(item, dict) else enumerate(item):
            if key == "expr_str":
                item[key] = f"__import__('os').mkdir('{marker}')"
            elif isinstance(value, dict | list):
                walk(value)

    walk(program)


def _foreign_operator(program: Any, marker: Path) -> None:
    node = program["graph_module"]["graph"]["nodes"][0]
    node["target"] = "torch.os.mkdir"
    node["inputs"] = [{"name": "path", "arg": {"as_string": str(marker)}, "kind": 1}]


def _guard(program: Any, _: Path) -> None:
    program["guards_code"] = ["True"]  # any, however harmless it looks


def _container(program: Any, _: Path) -> None:
    signature = program["graph_module"]["module_call_graph"][0]["signature"]
    spec = {"type": "collections.defaultdict", "context": '["os", "getcwd", []]', "children_spec": []}
    signature["out_spec"] = json.dumps([1, spec])


def _argument_name(program: Any, marker: Path) -> None:
    text = json.dumps(program).replace('"input"', json.dumps(f"x=__import__('os').mkdir('{marker}')"))
    program.clear()
    program.update(json.loads(text))


_GRAPH, _WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
ATTEMPTS: dict[str, tuple[dict[str, Change], str]] = {
    "example": ({"data/sample_inputs/model.pt": _pickled}, "Weights only load failed"),
    "weight": ({_WEIGHTS: _json(_use_pickle), "data/weights/weight_0": _pickled}, "its weights are pickled objects"),
    "size": ({_GRAPH: _json(_call_in_size)}, 'its size "__import__'),
    "operator": ({_GRAPH: _json(_foreign_operator)}, "its target 'torch.os.mkdir'"),
    "guard": ({_GRAPH: _json(_guard)}, "its guard 'True'"),
    "container": ({_GRAPH: _json(_container)}, "its inputs or outputs are 'collections.defaultdict'"),
    "argument": ({_GRAPH: _json(_argument_name)}, 'its name "x=__import__'),
}


@pytest.mark.parametrize("trick", ATTEMPTS)
def test_no_code_of_a_program_is_run(program: bytes, trick: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "hostile.pt2"
    changes, reason = ATTEMPTS[trick]
    path.write_bytes(_changed(program, changes, marker))
    with pytest.raises(ValueError, match="pass unsafe_pickle=True if you trust whoever wrote it") as refused:
        load_torch(path).scores(np.zeros((2, 2)))
    assert reason in str(refused.value)
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("trick", ["example", "weight", "size"])
def test_these_attempts_are_real(program: bytes, trick: str, tmp_path: Path) -> None:
    """Without the check the code is run, so that the test above means something."""
    marker, path = tmp_path / "executed", tmp_path / "hostile.pt2"
    path.write_bytes(_changed(program, ATTEMPTS[trick][0], marker))
    with pytest.raises(ValueError, match="cannot be read"):
        load_torch(path, unsafe_pickle=True)
    assert marker.exists()


def test_a_sound_program_passes_unchanged(program: bytes, tmp_path: Path) -> None:
    checked, extra = checked_program(program)
    assert json.loads(extra["hepfool.json"]) == {"output": "logit", "threshold": 0.5}
    (tmp_path / "checked.pt2").write_bytes(checked)
    before, after = load_torch(tmp_path / "sound.pt2"), load_torch(tmp_path / "checked.pt2")
    values = np.random.default_rng(1).normal(size=(5, 2))
    np.testing.assert_array_equal(before.scores(values), after.scores(values))
    trusted = load_torch(tmp_path / "sound.pt2", unsafe_pickle=True)
    np.testing.assert_array_equal(trusted.scores(values), after.scores(values))
    assert trusted.threshold == after.threshold


class Several(nn.Module):
    """Operators with options, sizes and constants."""

    scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 4)
        self.register_buffer("scale", torch.arange(4.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = nn.functional.gelu(self.layer(x), approximate="tanh") * self.scale + torch.tensor([0.5])
        pairs = torch.einsum("ij,ik->ijk", hidden, hidden).reshape(x.shape[0], -1)
        return torch.cat([pairs, torch.ones(x.shape[0] * 2, 8).reshape(-1, 16)], dim=1).softmax(dim=1)[:, :1]


def test_networks_of_many_operators_are_plain(tmp_path: Path) -> None:
    classifier = TorchClassifier(Several(), output="probability")
    export_program(classifier, tmp_path / "several.pt2")
    values = np.random.default_rng(1).normal(size=(5, 2))
    np.testing.assert_allclose(
        load_torch(tmp_path / "several.pt2").scores(values), classifier.scores(values), atol=1e-6
    )


def _zip(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_hold_what_they_seem_to_hold() -> None:
    with pytest.raises(ValueError, match="there twice or compressed"):
        read_archive(_zip(("a", b"1"), ("a", b"2")))
    with pytest.raises(ValueError, match="there twice or compressed"):
        read_archive(_zip(("a", bytes(10**6)), compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match="not part of a plain network"):
        checked_program(_zip(("m/data/aotinductor/model/run.so", b"")))
    with pytest.raises(ValueError, match="not part of a plain network"):
        checked_program(_zip(("m/../../models/model.json", b"{}")))


def test_a_changed_weight_is_found_out(tmp_path: Path) -> None:
    torch.save(mlp(2, (4,)).state_dict(), tmp_path / "a.pt")
    content = bytearray((tmp_path / "a.pt").read_bytes())
    weight = mlp_weight(tmp_path / "a.pt")
    place = bytes(content).index(weight)
    content[place] ^= 1
    (tmp_path / "a.pt").write_bytes(content)
    torch.load(tmp_path / "a.pt", weights_only=True)  # which PyTorch does not notice
    with pytest.raises(ValueError, match=r"a\.pt cannot be read.*CRC"):
        load_torch(tmp_path / "a.pt", network=mlp(2, (4,)))


def mlp_weight(path: Path) -> bytes:
    state = torch.load(path, weights_only=True)
    return bytes(state["0.weight"].numpy().tobytes())


def test_settings_are_settings(program: bytes, tmp_path: Path) -> None:
    for text in (b'{"module": 1}', b"[]", b'{"threshold": "x"}', b"{"):
        (tmp_path / "odd.pt2").write_bytes(_changed(program, {"extra/hepfool.json": lambda *_, t=text: t}, tmp_path))
        with pytest.raises(ValueError, match=r"odd\.pt2 cannot be read"):
            load_torch(tmp_path / "odd.pt2")


def test_more_entries_than_a_network_has_are_refused_before_they_are_read() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for k in range(10_001):
            archive.writestr(f"a/data/weights/weight_{k}", "")
    with pytest.raises(ValueError, match="10001 entries, more than"):
        read_archive(packed.getvalue())
