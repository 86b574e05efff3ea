# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import importlib
import importlib.metadata
import json
import pickle
import pkgutil
import subprocess
import sys

import pytest

import hepfool
from hepfool._version import __version__
from hepfool.exceptions import MissingExtraError

HEAVY = ["coffea", "dask", "distributed", "matplotlib", "torch"]
CORE = [
    "hepfool.attacks.base",
    "hepfool.attacks.conserv",
    "hepfool.events",
    "hepfool.features",
    "hepfool.jets",
    "hepfool.statistics",
]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(hepfool.__path__, prefix="hepfool.")
    if not module.name.endswith("__main__")
)


def heavy_after_import(names: list[str]) -> list[str]:
    """Return which heavy libraries a fresh interpreter holds after these imports."""
    program = (
        "import importlib, json, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    found: list[str] = json.loads(done.stdout)
    return found


def test_version_is_that_of_the_distribution() -> None:
    assert importlib.metadata.version("hepfool") == __version__


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_resolves(name: str) -> None:
    module = importlib.import_module(name)
    public = getattr(module, "__all__", ())
    assert len(set(public)) == len(public)
    for attribute in public:
        assert hasattr(module, attribute)


def test_top_level_names_resolve() -> None:
    for attribute in getattr(hepfool, "__all__", ()):
        assert hasattr(hepfool, attribute)


def test_importing_hepfool_loads_no_framework() -> None:
    assert heavy_after_import(["hepfool"]) == []


def test_the_numerical_core_loads_no_framework() -> None:
    core = [name for name in CORE if name in MODULES]
    assert heavy_after_import(core) == []


def test_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtraError("pythia8mc", "samples")
    assert "pip install 'hepfool[samples]'" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_every_extra_in_a_message_exists() -> None:
    declared = importlib.metadata.metadata("hepfool").get_all("Provides-Extra") or []
    assert {"dask", "dev", "inference", "onnx", "samples"} <= set(declared)
