# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hepfool.models import TorchClassifier, export_program, load_torch, mlp, save_state
from hepfool.typing import FloatArray

pytestmark = pytest.mark.torch


@pytest.fixture
def values(rng: np.random.Generator) -> FloatArray:
    return rng.normal(size=(20, 2))


@pytest.fixture
def classifier() -> TorchClassifier:
    return TorchClassifier(mlp(2, (5,), sigmoid=True), output="probability", threshold=0.3)


def test_state_goes_to_a_file_and_back(tmp_path: Path, classifier: TorchClassifier, values: FloatArray) -> None:
    save_state(classifier, tmp_path / "network.pt")
    network = mlp(2, (5,))
    before = network[0].weight.clone()  # type: ignore[operator]
    copy = load_torch(tmp_path / "network.pt", network=network, threshold=0.3)
    np.testing.assert_array_equal(copy.scores(values), classifier.scores(values))
    assert copy.digest == classifier.digest
    assert torch.equal(before, network[0].weight)  # type: ignore[arg-type]


def test_program_needs_no_code_and_remembers_its_settings(
    tmp_path: Path, classifier: TorchClassifier, values: FloatArray
) -> None:
    export_program(classifier, tmp_path / "network.pt2")
    copy = load_torch(tmp_path / "network.pt2")
    assert copy.threshold == 0.3
    assert copy.n_features == 2
    labels = np.ones(len(values), dtype=np.int64)
    np.testing.assert_allclose(copy.scores(values), classifier.scores(values), atol=1e-6)
    np.testing.assert_allclose(
        copy.margin_and_gradient(values, labels)[1], classifier.margin_and_gradient(values, labels)[1], atol=1e-6
    )
    again = pickle.loads(pickle.dumps(copy))
    assert again.digest == copy.digest
    np.testing.assert_array_equal(again.scores(values), copy.scores(values))
    export_program(again, tmp_path / "again.pt2")
    assert load_torch(tmp_path / "again.pt2").threshold == 0.3


def test_named_network(tmp_path: Path) -> None:
    torch.save(mlp(2, (32, 16)).state_dict(), tmp_path / "donut.pth")
    assert load_torch(tmp_path / "donut.pth", network="donut").n_features == 2
    with pytest.raises(ValueError, match="known are"):
        load_torch(tmp_path / "donut.pth", network="doughnut")
    with pytest.raises(ValueError, match="does not fit"):
        load_torch(tmp_path / "donut.pth", network="conservattack_higgs")
    with pytest.raises(ValueError, match="pass the network"):
        load_torch(tmp_path / "donut.pth")


def test_pickled_modules_are_read_only_on_request(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 1), tmp_path / "module.pt")
    with pytest.raises(ValueError, match="unsafe_pickle=True"):
        load_torch(tmp_path / "module.pt")
    assert load_torch(tmp_path / "module.pt", unsafe_pickle=True).n_features == 2


def test_other_files_are_refused(tmp_path: Path, classifier: TorchClassifier) -> None:
    with pytest.raises(ValueError, match="neither"):
        load_torch(tmp_path / "network.h5")
    with pytest.raises(ValueError, match=r"\.pt2"):
        export_program(classifier, tmp_path / "network.pt")


@pytest.mark.faults
@pytest.mark.parametrize(
    ("name", "content"), [("a.pt2", b"PK\x03\x04 cut"), ("a.pt", b""), ("a.pt", b"PK\x03\x04 cut")]
)
def test_damaged_files_are_named(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} cannot be read"):
        load_torch(tmp_path / name, network="donut")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_script_is_recognised_and_read_only_on_request(tmp_path: Path, values: FloatArray) -> None:
    module = mlp(2, (5,)).eval()
    scripted = torch.jit.script(module)
    torch.jit.save(scripted, tmp_path / "script.pt")
    with pytest.raises(ValueError, match=r"script.pt is a TorchScript program.* torch.export.save"):
        load_torch(tmp_path / "script.pt")
    expected = TorchClassifier(module).scores(values)
    for classifier in (load_torch(tmp_path / "script.pt", unsafe_pickle=True), TorchClassifier(scripted)):
        copy = pickle.loads(pickle.dumps(classifier))
        assert copy.digest == classifier.digest
        np.testing.assert_allclose(copy.scores(values), expected, atol=1e-6)
