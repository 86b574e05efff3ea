# SPDX-License-Identifier: BSD-3-Clause
"""The studies of the CONSERVAttack paper, as far as they are not only calls of the package."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepfool import EventTable, best_single_cut
from hepfool.contrib.jets import topodnn_table

pytestmark = pytest.mark.torch
FOLDER = Path(__file__).parents[1]
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """What a script defines."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for shared in ("common", "inputs"):
        monkeypatch.delitem(sys.modules, shared, raising=False)
    return lambda script: runpy.run_path(str(FOLDER / f"{script}.py"))


def test_the_control_region_is_the_background_side_of_the_best_cut(
    names: Callable[[str], dict[str, Any]], rng: np.random.Generator
) -> None:
    labels = rng.integers(0, 2, 400)
    values = np.stack([rng.normal(size=400), rng.normal(-2.0 * labels)], axis=1)
    values[::10, 1] = np.nan
    table = EventTable.from_arrays(values, labels=labels, features=["mass", "mt"])
    cut = best_single_cut(table)
    assert (cut.feature, cut.signal_above) == ("mt", False)
    divided = names("higgs")["with_regions"](table, cut)
    control, signal = (divided.region(name) for name in ("control", "signal"))
    assert (control.constrained, signal.constrained) == (True, False)
    np.testing.assert_array_equal(control.mask, ~signal.mask)
    # The side of the cut on which a missing value fails is that of the signal here.
    np.testing.assert_array_equal(control.mask, values[:, 1] >= cut.threshold)
    assert labels[control.mask].mean() < 0.35 < labels[signal.mask].mean()
    assert control.cuts == {"mt": (cut.threshold, np.inf)}


def test_jets_are_read_from_arrays_with_empty_places(
    names: Callable[[str], dict[str, Any]], rng: np.random.Generator, tmp_path: Path
) -> None:
    counts = np.array([30, 3, 12])
    padded = np.zeros((3, 30, 3), dtype=np.float32)
    for jet, n in enumerate(counts):
        padded[jet, :n] = np.stack([np.sort(rng.uniform(1, 90, n))[::-1], *rng.normal(0, 0.3, (2, n))], axis=1)
    path = tmp_path / "jets.npz"
    np.savez(path, constituents=padded, label=np.array([1, 0, 1], dtype=np.int8))
    table = names("inputs")["jet_events"](path)
    flat = np.concatenate([padded[jet, :n] for jet, n in enumerate(counts)]).astype(float)
    constituents = ak.unflatten(ak.zip(dict(zip(("pt", "eta", "phi"), flat.T, strict=True))), counts)
    expected = topodnn_table(ak.zip({"constituents": constituents}, depth_limit=1), labels=[1, 0, 1])
    np.testing.assert_array_equal(table.values, expected.values)
    assert table.labels.tolist() == [1, 0, 1]
    assert table.missing[1].sum() == 3 * 27


@pytest.mark.parametrize(("file", "task"), [("jets.npz", "jets"), (".", "jets"), ("events.csv.gz", "higgs")])
def test_the_path_says_what_it_holds(
    names: Callable[[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, task: str
) -> None:
    task_events = names("inputs")["task_events"]
    table = EventTable.from_arrays(np.zeros((1200, 2)), labels=np.arange(1200) % 2)
    read: list[Path] = []

    def reader(path: Path, **_: Any) -> EventTable:
        read.append(path)
        return table

    for name in ("jet_events", "higgs_events"):
        monkeypatch.setitem(task_events.__globals__, name, reader)
    found, events = task_events(tmp_path / file, quick=True)
    assert (found, read) == (task, [tmp_path / file])
    assert events.n_events == (1000 if task == "jets" else 1200)


@pytest.mark.parametrize(
    ("task", "table", "steps"), [("higgs", "table_4", (0.006, 0.01)), ("jets", "table_13", (0.02, 0.1))]
)
def test_augmentation_takes_the_table_of_its_task(
    names: Callable[[str], dict[str, Any]], task: str, table: str, steps: tuple[float, float]
) -> None:
    attacks = names("augmentation")["attacks"](task, "move", quick=False)
    assert list(attacks) == [table, "frugal", "pgd"]
    assert (attacks[table].step, attacks[table].max_js_change) == steps


@pytest.mark.parametrize(("task", "iterations", "batch"), [("higgs", 4, 1024), ("jets", 5, 256)])
def test_adversarial_training_draws_from_the_ranges_of_its_task(
    names: Callable[[str], dict[str, Any]], rng: np.random.Generator, task: str, iterations: int, batch: int
) -> None:
    script = names("adversarial_training")
    settings = script["settings"](task, None, quick=False)
    assert (settings.n_iterations, settings.training.batch_size) == (iterations, batch)
    per_move, from_nominal = (script["drawn"](task, caps)(rng) for caps in ("move", "nominal"))
    assert 0.005 <= per_move.max_js_change <= 0.03
    assert 0.005 <= from_nominal.max_js_distance <= 0.03
    assert from_nominal.max_js_change == np.inf


def test_few_events_take_other_tables_for_test_events(names: Callable[[str], dict[str, Any]]) -> None:
    script = names("limited_data")
    study = script["published"](script["plan"](2500, 5, "move", quick=False), 2500, "move", quick=False)
    assert study.n_events == (2500, 1000, 1000)
    assert {name: attack.max_js_change for name, attack in study.attacks.items()} == {
        "Pearson": 0.02,
        "Distance correlation": 0.07,
    }
    assert {name: attack.max_js_change for name, attack in study.test_attacks.items()} == {"Distance correlation": 0.01}


def test_published_numbers_stand_below_ours(
    names: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    common = names("common")
    first = common["Trainings"]("first", {"A": [0.5, 0.7], "B": [1.0, 3.0]}, {"A": 0.89})
    second = common["Trainings"]("second", {"A": [0.1, 0.1]}, {})
    common["show_trainings"]("Title", [first, second])
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if row] == [
        ["first", "0.6000 ± 0.1414", "2.0000 ± 1.4142"],
        ["published", "0.89", ""],
        ["second", "0.1000 ± 0.0000", ""],
    ]
    left, _ = common["plot_trainings"]([first, second], "note").axes
    (line,) = (line for line in left.lines if line.get_linestyle() == "--" and len(line.get_xdata()))
    assert list(line.get_ydata()) == [0.89, 0.89]


def test_only_momenta_of_pseudo_data_are_scaled(names: Callable[[str], dict[str, Any]]) -> None:
    columns = ["constituent_0_pt", "constituent_1_phi"]
    table = EventTable.from_arrays([[100.0, 0.1], [np.nan, -0.2]], features=columns)
    moved = names("clean_jets")["scaled"](table, 1.03)
    np.testing.assert_allclose(moved.values, [[103.0, 0.1], [np.nan, -0.2]])


def test_the_map_of_augmentation_gathers_its_seeds(names: Callable[[str], dict[str, Any]]) -> None:
    script = names("augmentation_map")
    n_parts = len(script["PARTS"])
    seeds = [
        {"baseline": [0.8], "weak": [0.0], "strong": [0.5, *np.full(n_parts, 0.01)]},
        {"baseline": [0.8], "weak": [0.1, *np.full(n_parts, 0.2)], "strong": [0.7, *np.full(n_parts, 0.03)]},
        {"baseline": [0.8], "weak": [0.3, *np.full(n_parts, 0.1)], "strong": [0.6, *np.full(n_parts, 0.02)]},
    ]
    cells = script["collected"](script["regimes"](quick=True)[0], seeds)
    assert [cell.attack for cell in cells] == ["weak"] * n_parts + ["strong"] * n_parts
    weak, strong = cells[0], cells[-1]
    # A seed at which nothing was fooled has no part to add.
    assert (weak.fooled, weak.gains.tolist()) == (pytest.approx(0.2), [0.2, 0.1])
    assert (strong.mean, strong.error) == (pytest.approx(0.02), pytest.approx(0.01 / np.sqrt(3)))
    assert strong.stands_out
    assert not strong._replace(gains=strong.gains - 0.01).stands_out


def test_successes_near_the_boundary_come_first(names: Callable[[str], dict[str, Any]]) -> None:
    scores = np.array([0.9, 0.55, 0.2, 0.6])
    result = SimpleNamespace(
        adversarial_scores=np.stack([1.0 - scores, scores], axis=1),
        fooled=scores > 0.5,
        threshold=0.5,
    )
    assert names("augmentation_map")["nearest"](result).tolist() == [1, 2, 0]


@pytest.mark.slow
def test_the_donut_runs_to_its_figures(tmp_path: Path) -> None:
    command = [sys.executable, "donut.py", "--quick", "-o", str(tmp_path)]
    done = subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, text=True)
    assert "corrected_fooling_ratio" in done.stdout
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "donut_clouds.png",
        "donut_cross_runs.png",
        "donut_misclassification.png",
    }


def test_every_script_and_figure_is_in_the_readme() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(SCRIPTS) == 9
    for script in SCRIPTS:
        assert f"{script}.py" in text
    for figure in (FOLDER / "figures").iterdir():
        assert f"figures/{figure.name}" in text
