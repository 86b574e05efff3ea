# SPDX-License-Identifier: BSD-3-Clause
"""What gets installed: by pip from a wheel, by conda from the recipe."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from hepfool._version import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: Packages whose names at conda-forge are others.
CONDA = {"matplotlib": "matplotlib-base", "torch": "pytorch"}
FIRST_NUMBER = """
import numpy as np, hepfool as hf
from hepfool.models import CallableClassifier, FiniteDifference
assert "site-packages" in hf.__file__, hf.__file__
x = np.random.default_rng(7).normal(size=(500, 3))
table = hf.EventTable.from_arrays(x, labels=(x.sum(axis=1) > 0).astype(int))
classifier = FiniteDifference(CallableClassifier(lambda v: 1 / (1 + np.exp(-v.sum(axis=1)))), step=[0.05] * 3)
attack = hf.CONSERVAttack(max_js_distance=0.05, max_correlation_shift=0.05, strategy="frugal", n_iterations=3)
print(hf.run_attack(attack, classifier, table, rng=7).fooling_ratio > 0.5)
"""


def split(requirement: str) -> tuple[str, str]:
    name, version = re.fullmatch(r"([\w-]+)\s*(.*)", requirement).groups()  # type: ignore[union-attr]
    return CONDA.get(name, name), version


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    text = (ROOT / "recipe" / "meta.yaml").read_text(encoding="utf-8")
    known = dict(re.findall(r'\{% set (\w+) = "(.*)" %\}\n', text))
    text = re.sub(r"\{%.*%\}\n", "", text)
    filled = re.sub(r"\{\{ (\w+) \}\}", lambda name: known.get(name[1]) or str(name[1]), text)
    described: dict[str, Any] = yaml.safe_load(filled)
    return described


def test_the_recipe_asks_for_what_the_wheel_asks_for(recipe: dict[str, Any]) -> None:
    python, *packages = recipe["requirements"]["run"]
    assert python == "python >=python_min"
    assert dict(map(split, packages)) == dict(map(split, PROJECT["dependencies"]))
    extras = dict(
        split(one) for name in ("coffea", "parquet", "torch") for one in PROJECT["optional-dependencies"][name]
    )
    constrained = dict(map(split, recipe["requirements"]["run_constrained"]))
    assert constrained == {name: extras[name] for name in constrained}


def test_the_recipe_describes_this_version(recipe: dict[str, Any]) -> None:
    assert recipe["package"] == {"name": PROJECT["name"], "version": __version__}
    assert recipe["about"]["license"] == PROJECT["license"]
    assert recipe["build"]["entry_points"] == [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    (builder,) = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert split(builder) in map(split, recipe["requirements"]["host"])


@pytest.mark.slow
@pytest.mark.network
def test_wheel_and_source_install_without_extras(tmp_path: Path) -> None:
    """In an environment that sees the packages of this one, and hepfool only from its wheel."""
    uv = shutil.which("uv")
    command = [uv, "build"] if uv else [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w"]
    where = ["--out-dir", str(tmp_path), str(ROOT)] if uv else [str(tmp_path), str(ROOT)]
    subprocess.run([*command, *where], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"hepfool/py.typed", "hepfool/samples/study.yaml", "hepfool/cli.py"} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "docs", "analysis_examples"))]
    for source in tmp_path.glob("*.tar.gz"):
        with tarfile.open(source) as archive:
            assert any(name.endswith("recipe/meta.yaml") for name in archive.getnames())
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", wheel], check=True, capture_output=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "others.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n", encoding="utf-8")
    done = subprocess.run([python, "-I", "-c", FIRST_NUMBER], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "True\n"
