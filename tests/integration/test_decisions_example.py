# SPDX-License-Identifier: BSD-3-Clause
"""The three studies of ``analysis_examples/decisions`` end as they are named."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

from hepfool.study import Study, judged
from hepfool.study._procedure import run_steps
from hepfool.summary import Summary

FOLDER = Path(__file__).parents[2] / "analysis_examples" / "decisions"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decisions")
    runpy.run_path(str(FOLDER / "events.py"))["write"](folder)
    for study in FOLDER.glob("*.yaml"):
        shutil.copy(study, folder)
    return folder


def summary_of(prepared: Path, name: str) -> Summary:
    study = Study.from_yaml(prepared / f"{name}.yaml")
    measured = run_steps(study)["systematics"]
    return judged(measured.all_sums, investigated=study.investigated).summary


@pytest.mark.slow
@pytest.mark.parametrize("name", ["covered", "investigate", "assign"])
def test_a_study_ends_as_it_is_named(name: str, prepared: Path) -> None:
    summary = summary_of(prepared, name)
    found, systematics = (summary.systematics[of]["flips"]["value"] for of in ("attack", "total"))
    assert (found < systematics) == (name == "covered")
    assert summary.verdict["decision"] == name.upper()
    assert summary.events["converged"]


def test_they_differ_in_what_the_readme_says() -> None:
    covered, investigate, assign = (
        (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").partition("events:")[2]
        for name in ("covered", "investigate", "assign")
    )
    assert covered.replace(", separately: processes", "") == investigate
    assert assign.partition("investigated: true")[0] == investigate
