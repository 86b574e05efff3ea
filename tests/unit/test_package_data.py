# SPDX-License-Identifier: BSD-3-Clause
"""What a wheel holds beside code: the build takes every file of the package that git does not ignore."""

from __future__ import annotations

import importlib.resources
import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from jinja2 import PackageLoader

from hepfool.study import Study
from hepfool.summary import summary_schema

ROOT = Path(__file__).parents[2]
DATA = {
    "py.typed",
    "report/templates/report.css",
    "report/templates/report.html",
    "report/templates/report.js",
    "summary/summary.schema.json",
    "samples/data/manifest.json",
    "samples/study.yaml",
    "_starter/study/study.yaml",
    *(f"samples/data/{name}.root" for name in ("TTbar", "VBFH", "WJets", "ZTauTau", "ggH", "pseudodata")),
}


def test_the_installed_package_finds_its_data() -> None:
    package = importlib.resources.files("hepfool")
    for name in DATA:
        assert package.joinpath(*name.split("/")).is_file(), name
    assert PackageLoader("hepfool.report", "templates").list_templates() == ["report.css", "report.html", "report.js"]
    manifest = json.loads(package.joinpath("samples", "data", "manifest.json").read_text(encoding="utf-8"))
    assert manifest
    # The schema of studies is made from their records, that of summaries is a file.
    assert summary_schema()["$id"] == "urn:hepfool:summary:1"
    assert Study.json_schema()["properties"]["spread"]


def test_the_wheel_takes_the_data_along() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["build-system"]["build-backend"] == "hatchling.build"
    # Nothing but the folder is named: hatchling then takes all that git does not ignore.
    assert settings["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["src/hepfool"]}
    assert "exclude" not in settings["tool"]["hatch"]["build"]
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("no checkout to ask which files git ignores")
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard", "src/hepfool"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    taken = {name.removeprefix("src/hepfool/") for name in listed}
    assert taken >= DATA
    assert {name for name in taken if not name.endswith(".py")} == DATA, "name new data above"
