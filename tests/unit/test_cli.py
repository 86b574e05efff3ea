# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import joblib
import numpy as np
import pytest
import torch
import uproot
from click.testing import CliRunner, Result
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from hepfool import cli
from hepfool._command_line import PlanCommand
from hepfool._version import __version__
from hepfool.attacks import CONSERVAttack
from hepfool.io import read_store, read_table
from hepfool.models import TorchClassifier, export_program
from hepfool.statistics import js_distance
from hepfool.statistics.marginals import js_divergence_terms
from hepfool.validation import Correlations, Marginals, Validation

pytestmark = pytest.mark.torch

Run = Callable[..., Result]
#: What the options of the fixture below say of the inputs.
INPUTS: dict[str, Any] = {
    "inputs": Marginals(max_js_distance=0.05, n_bins=20),
    "correlations": Correlations(max_shift=0.05),
}


class Ring(nn.Module):
    """Log-odds that grow away from the origin: outside of a ring of radius one is signal."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(8.0))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.slope * (torch.sqrt((values[:, :2] ** 2).sum(dim=1, keepdim=True) + 1e-6) - 1.0)


@pytest.fixture(scope="module")
def donut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with events in ``donut.root`` and a network in ``model.pt2``."""
    folder = tmp_path_factory.mktemp("donut")
    rng = np.random.default_rng(5)
    radius = np.concatenate([rng.normal(0.7, 0.25, 300), rng.normal(1.3, 0.25, 300)])
    angle = rng.uniform(-np.pi, np.pi, 600)
    with uproot.recreate(folder / "donut.root") as file:
        file.mktree(
            "Events",
            {
                "x": radius * np.cos(angle),
                "y": radius * np.sin(angle),
                "noise": rng.normal(size=600),
                "bad": np.where(np.arange(600) < 599, 1.0, np.nan),
                "truth": np.repeat([0, 1], 300),
                "w": rng.uniform(0.5, 1.5, 600),
                "bad_weight": np.full(600, np.inf),
            },
        )
    export_program(TorchClassifier(Ring(), output="logit", n_features=3), folder / "model.pt2")
    return folder


@pytest.fixture
def run(donut: Path, tmp_path: Path) -> Run:
    """Call ``hepfool attack`` with sound arguments, except for those given."""

    def call(*extra: str, **changes: str | None) -> Result:
        options: dict[str, str | None] = {
            "--features": "x,y,noise",
            "--label": "truth",
            "--model": str(donut / "model.pt2"),
            "-o": str(tmp_path / "out"),
            "--n-iterations": "2",
            "--n-bins": "20",
            "--step": "0.05",
            "--min-change": "0.05",
            "--max-js-distance": "0.05",
            "--max-correlation-shift": "0.05",
            "--beta": "20",
        }
        files = changes.pop("files", str(donut / "donut.root"))
        options |= {
            ("-o" if key == "output" else "--" + key.replace("_", "-")): value for key, value in changes.items()
        }
        arguments = [text for key, value in options.items() if value is not None for text in (key, value)]
        return CliRunner().invoke(cli.main, ["attack", str(files), *arguments, *extra])

    return call


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out, which take most of the time."""
    monkeypatch.setattr("hepfool.study._outcome.draw_study", lambda _, **__: {})


def test_version() -> None:
    result = CliRunner().invoke(cli.main, ["--version"])
    assert (result.exit_code, result.output) == (0, f"hepfool, version {__version__}\n")


def options_of_attack() -> dict[str, click.Option]:
    """Options that set a field of the attack itself, by the name of the field."""
    command = cli.main.commands["attack"]
    assert isinstance(command, PlanCommand)
    options = {option.name: option for option in command.get_params(click.Context(command))}
    of_attack = {name: path.removeprefix("attack.") for name, path in command.paths.items()}
    fields = {field.name for field in dataclasses.fields(CONSERVAttack)}
    return {field: options[name] for name, field in of_attack.items() if field in fields}  # type: ignore[misc]


def test_every_field_of_the_attack_is_an_option_with_its_default() -> None:
    options = options_of_attack()
    stated = {"validation", "n_bins", "max_js_distance", "max_correlation_shift", "dependence"}
    fields = dataclasses.fields(CONSERVAttack)
    assert {*options, *stated} == {field.name for field in fields}
    for field in fields:
        if field.name in options and isinstance(field.default, float) and math.isfinite(field.default):
            assert f"[default: {field.default}]" in str(options[field.name].help)


def test_caps_are_those_of_the_validation() -> None:
    shown = " ".join(CliRunner().invoke(cli.main, ["attack", "--help"]).output.split())
    assert "Cap on each marginal's Jensen-Shannon distance. [default: 0.03]" in shown
    assert "Seed of all randomness. [default: 1]" in shown


@pytest.mark.usefixtures("undrawn")
@pytest.mark.filterwarnings("default:the events of 1 files are missing")
def test_missing_files_are_allowed_and_named_in_the_report(run: Run, donut: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.root"
    bad.write_bytes((donut / "donut.root").read_bytes()[:500])
    refused = run(str(bad))
    assert refused.exit_code == 2
    assert "bad.root cannot be read" in refused.stderr
    result = run(str(bad), "--allow-missing")
    assert result.exit_code == 0, result.output
    assert "Warning: the events of 1 files are missing" in result.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary["provenance"]["input"]["missing"]) == [str(bad)]


def test_from_a_root_file_to_a_report(run: Run, donut: Path, tmp_path: Path) -> None:
    result = run(weight="w")
    assert result.exit_code == 0, result.output
    assert "INCOMPLETE" in result.stdout
    assert "give physics systematics that vary the inputs" in " ".join(result.stdout.replace("│", "").split())
    out = tmp_path / "out"
    summary = json.loads((out / "summary.json").read_text())
    assert summary["events"]["n_events"] == 600
    assert 0.05 < summary["fooling"]["fooling_ratio"]["value"] < 1.0
    assert summary["compatibility"][0]["max_js_distance"] <= 0.05
    assert summary["compatibility"][0]["correlation_shift"] <= 0.05
    assert summary["provenance"]["seed"] == 1
    assert {p.name for p in (out / "figures").iterdir()} == {
        f"{name}.{kind}"
        for name in ("verdict", "marginals", "correlations", "score", "fooling", "regions", "projection")
        for kind in ("pdf", "png")
    }
    assert set(read_store(out / "histograms.zip").histograms) == {"x", "y", "noise"}
    nominal = read_table(donut / "donut.root", features=["x", "y", "noise"], label="truth")
    adversarial = read_table(
        out / "adversarial.root", features=["x", "y", "noise"], label="label", spectators=["fooled", "attacked"]
    )
    fooled = adversarial.spectators["fooled"]
    assert fooled.sum() == summary["events"]["n_fooled"] > 0
    moved = np.any(~np.isclose(adversarial.values, nominal.values, rtol=1e-5), axis=1)
    assert moved[fooled].all()
    assert not moved[~adversarial.spectators["attacked"]].any()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.usefixtures("undrawn")
def test_the_same_seed_gives_the_same_report(run: Run, tmp_path: Path) -> None:
    assert run(seed="3", max_events="200", output=str(tmp_path / "a")).exit_code == 0
    assert run(seed="3", max_events="200", output=str(tmp_path / "b")).exit_code == 0
    first, second = ((tmp_path / name / "summary.json").read_text() for name in "ab")
    assert first == second
    assert json.loads(first)["events"]["n_events"] == 200


@pytest.mark.usefixtures("undrawn")
def test_data_events_add_the_checks(run: Run, tmp_path: Path) -> None:
    result = run(n_data="50", weight="w")
    assert result.exit_code == 0, result.output
    assert "All standard checks of the inputs and the score together notice this attack" in " ".join(
        result.stdout.replace("│", "").split()
    )
    detection = json.loads((tmp_path / "out" / "summary.json").read_text())["detection"]
    assert {row["n_data"] for row in detection["rows"]} == {50.0}
    assert {row["check"] for row in detection["rows"]} == {"chi2", "ks", "correlations", "projection", "classifier"}


@pytest.mark.usefixtures("undrawn")
def test_a_scan_of_the_caps_resumes_from_its_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "add --n-data" in run("--frontier").stderr
    options = {"n_data": "50", "work": str(tmp_path / "work"), "max_events": "200", "n_iterations": "1"}
    assert run("--frontier", **options).exit_code == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    points = summary["frontier"]["points"]
    assert [point["factor"] for point in points] == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert points[2]["fooling"] == pytest.approx(summary["fooling"]["fooling_ratio"])
    monkeypatch.setattr("hepfool.studies._frontier._point", None)
    assert run("--frontier", "--force", **options).exit_code == 0
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    assert (tmp_path / "work").is_dir()


@pytest.mark.usefixtures("undrawn")
def test_features_come_from_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "features.txt").write_text("# of the donut\nx\ny  # second\n\nnoise:fixed\n")
    result = run(features=f"@{tmp_path / 'features.txt'}")
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["provenance"]["features"] == ["x", "y", "noise"]
    assert summary["compatibility"][0]["features"]["noise"]["js_distance"] == 0.0


@pytest.mark.usefixtures("undrawn")
def test_an_earlier_report_is_replaced_only_by_force(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text("{}")
    refused = run()
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "exists already" in refused.stderr
    assert "summary.json, not written by a report" in run("--force").stderr
    assert (tmp_path / "out" / "summary.json").read_text() == "{}"
    (tmp_path / "out" / "summary.json").unlink()
    assert run("--force").exit_code == 0
    assert run("--force").exit_code == 0
    assert (tmp_path / "out" / "adversarial.root").exists()


@pytest.mark.faults
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": "absent.root"}, "no such file"),
        ({"files": "absent*.root"}, "no file matches"),
        ({"files": "{donut}/model.pt2"}, "unknown kind of file"),
        ({"tree": "mini"}, "no tree 'mini'; there are: Events"),
        ({"features": "x,y,nois"}, "no branch 'nois'; did you mean noise?"),
        ({"features": "x,y"}, "takes 3 inputs but the table has 2 features"),
        ({"features": "x,y,bad"}, "'bad' is 1 in every event"),
        ({"features": "x,x,y"}, "must be unique"),
        ({"features": ","}, "files need features"),
        ({"features": "x,y,noise:wobbly"}, "features.2.kind: Input should be 'continuous'"),
        ({"features": "@absent.txt"}, "No such file"),
        ({"label": "truths"}, "no branch 'truths'"),
        ({"label": "x"}, "is not a class"),
        ({"label": "w"}, "is not a class"),
        ({"classes": "0=0"}, "'1' belongs to no class"),
        ({"classes": "0:0,1:1"}, "is not NAME=NUMBER"),
        ({"classes": "0=0,1=7"}, "label 7 is outside of the network's 2 classes"),
        ({"classes": "0=1,1=1", "max_events": "0"}, "Invalid value for '--max-events': 0 is not in the range x>=1"),
        ({"weight": "bad_weight"}, "600 event weights are not finite"),
        ({"model": "absent.pt2"}, "No such file"),
        ({"model": "{donut}/donut.root"}, "is of an unknown kind"),
        ({"model": "{broken}"}, "cannot be read"),
        ({"output_type": "probability"}, "not probabilities"),
        ({"seed": "-1"}, "Invalid value for '--seed': -1 is not in the range x>=0"),
        ({"variation": "scale:x"}, "--variation 'scale:x' is not SOURCE:COLUMN=UP[,DOWN]"),
        ({"variation": "scale:x=up,down"}, "no branch 'up'"),
        ({"derived": "r=x + y"}, "--derived r is none of the features"),
        ({"derived": "noise=x +"}, "features.2.derived: formula 'x +' cannot be read"),
        ({"derived": "noise=x + y"}, "nominal 'noise' of event 0"),
        ({"column": "z"}, "--column 'z' is not NAME=FORMULA"),
        ({"column": "z=x + y"}, "--column z has no effect"),
        ({"region": "sr:signal:x=0"}, "is not NAME:ROLE:COLUMN=LOW..HIGH"),
        ({"region": "sr:hidden:x=0.."}, "regions.sr.role: Input should be 'control', 'validation' or 'signal'"),
        ({"region": "sr:signal:x=low.."}, "regions.sr.cuts.x.0: Input should be a valid number"),
        ({"region": "sr:signal:x=2..1"}, "lower must be below upper"),
        ({"features": "x,,y"}, "has an empty name between its commas"),
        ({"features": "@nowhere"}, "nowhere: No such file or directory"),
        ({"classes": "0=0,1=1,0=1"}, "names a value twice"),
        ({"n_iterations": "0"}, "--n-iterations must be at least 1, got 0"),
        ({"alpha": "-1"}, "--alpha must not be negative"),
        ({"n_data": "0"}, "--n-data must be positive, got 0"),
        ({"alpha": "much"}, "'much' is not a valid float"),
        ({"strategy": "frugal"}, "--step 0.05 has no effect with --strategy frugal"),
        ({"at_power": "0.1"}, "--at-power asks how easily a change is noticed; add --n-data"),
        ({"at_power": "0.1", "n_data": "9"}, "--max-js-distance has no effect beside --at-power"),
        ({"correlations": "none"}, "--max-correlation-shift 0.05 has no effect with --correlations none"),
        ({"correlations": "none", "max_correlation_shift": None, "beta": "2"}, "--beta 2.0 has no effect where no"),
        ({"separately": "region"}, "'region' is not one of"),
        ({"max_score_distance": "-1"}, "must not be negative"),
        ({"n_candidates": "7"}, "--step 0.05 has no effect where the number of candidates is fixed"),
        (
            {"network": "conservattack_higgs"},
            "--network conservattack_higgs has no effect: model.pt2 holds a whole network",
        ),
        ({"files": "{csv}", "tree": "Events"}, "--tree Events has no effect: none of the files is a ROOT file"),
        ({"label_text": r"$\frac{1$"}, "cannot be set by Matplotlib"),
        ({"label": None}, "Missing option '--label'"),
        ({"output": "absent/out"}, "does not exist"),
    ],
)
def test_bad_input_ends_with_one_line(
    changes: dict[str, str | None], message: str, run: Run, donut: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.pt2").write_bytes(b"PK\x03\x04 no program")
    (donut / "events.csv").write_text("x,y,noise,truth\n1,2,3,0\n2,1,4,1\n")
    places = {"donut": str(donut), "csv": str(donut / "events.csv"), "broken": str(tmp_path / "broken.pt2")}
    result = run(
        **{
            key: value and re.sub(r"\{(donut|csv|broken)\}", lambda found: places[found[1]], value)
            for key, value in changes.items()
        }
    )
    assert result.exit_code == 2, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last
    assert result.stdout == ""
    assert [p.name for p in tmp_path.iterdir()] == ["broken.pt2"]


@pytest.mark.faults
def test_pickled_networks_need_to_be_trusted(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(5)  # some untrained networks are warned of
    torch.save(nn.Linear(3, 1), tmp_path / "module.pt")
    refused = run(model=str(tmp_path / "module.pt"))
    assert refused.exit_code == 2
    assert "holds pickled code" in refused.stderr
    trusted = run("--unsafe-pickle", model=str(tmp_path / "module.pt"), output_type="logit", n_iterations="1")
    assert trusted.exit_code == 0, trusted.output


@pytest.mark.parametrize("model", [HistGradientBoostingClassifier(max_iter=10), KNeighborsClassifier()])
def test_trees_and_models_that_only_give_scores_are_attacked(model: Any, run: Run, donut: Path, tmp_path: Path) -> None:
    with uproot.open(donut / "donut.root") as file:
        columns = file["Events"].arrays(["x", "y", "noise", "truth"], library="np")
    joblib.dump(
        model.fit(np.stack([columns[n] for n in ("x", "y", "noise")], axis=1), columns["truth"]), tmp_path / "m.joblib"
    )
    options = {"strategy": "frugal", "step": None, "n_iterations": "4"}
    result = run("--unsafe-pickle", "--no-score", model=str(tmp_path / "m.joblib"), **options)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["fooling"]["fooling_ratio"]["value"] > 0.1


@pytest.mark.parametrize("error", [RuntimeError("bug"), ValueError("bug"), KeyError("bug"), TypeError("bug")])
def test_a_bug_keeps_its_traceback(error: Exception, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("hepfool.study._procedure.run_steps", broken)
    result = run()
    assert result.exception is error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("function", "expected"), [(js_distance, True), (js_divergence_terms, False)])
def test_an_error_of_numpy_inside_of_the_package_is_a_bug(function: Callable[..., Any], expected: bool) -> None:
    with pytest.raises(ValueError, match=r"shape|binning") as caught:
        function(np.ones((1, 2)), np.ones((1, 3)))
    assert cli._raised_on_purpose(caught.value) is expected


def test_an_interrupt_writes_no_report(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CONSERVAttack, "iterate", interrupted)
    result = run()
    assert result.exit_code == 130
    assert f"no report was written, what is finished is kept in {tmp_path / 'out-work'}; go on with:" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out-work"]


@pytest.mark.usefixtures("undrawn")
def test_the_same_command_goes_on_after_an_interrupt(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    iterate = CONSERVAttack.iterate

    def interrupted(self: CONSERVAttack, problem: Any, values: Any, iteration: int, rng: Any) -> Any:
        if iteration == 1:
            raise KeyboardInterrupt
        return iterate(self, problem, values, iteration, rng)

    with monkeypatch.context() as patch:
        patch.setattr(CONSERVAttack, "iterate", interrupted)
        assert run().exit_code == 130
    done: list[int] = []

    def watched(self: CONSERVAttack, problem: Any, values: Any, iteration: int, rng: Any) -> Any:
        done.append(iteration)
        return iterate(self, problem, values, iteration, rng)

    monkeypatch.setattr(CONSERVAttack, "iterate", watched)
    assert run().exit_code == 0
    assert done == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert run(output=str(tmp_path / "whole")).exit_code == 0
    first, second = ((tmp_path / name / "summary.json").read_text() for name in ("out", "whole"))
    assert first == second


@pytest.mark.usefixtures("undrawn")
def test_without_caps_those_of_the_help_hold_and_the_report_names_them(run: Run, tmp_path: Path) -> None:
    result = run(max_js_distance=None, max_correlation_shift=None)
    assert result.exit_code == 0, result.output
    assert "capped: the Jensen-Shannon distance of every input at 0.03" in " ".join(
        result.stdout.replace("│", "").split()
    )
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["provenance"]["caps"] == {
        "max_js_distance": 0.03,
        "max_score_distance": 0.03,
        "max_correlation_shift": 0.03,
    }
    assert 0.0 < summary["compatibility"][0]["max_js_distance"] <= 0.03
    assert "0.03" in CliRunner().invoke(cli.main, ["attack", "--help"]).output


@pytest.mark.usefixtures("undrawn")
@pytest.mark.filterwarnings("default:no cap constrains")
def test_an_attack_that_nothing_constrains_says_so(run: Run, tmp_path: Path) -> None:
    result = run("--no-score", max_js_distance="inf", max_correlation_shift="inf", n_iterations="1")
    assert result.exit_code == 0, result.output
    assert "Warning: no cap constrains this attack" in result.stderr
    for name in ("report.html", "summary.md"):
        assert "no cap constrained what the search did" in (tmp_path / "out" / name).read_text()
    assert "no cap constrained" in " ".join(result.stdout.replace("│", "").split())


@pytest.mark.usefixtures("undrawn")
@pytest.mark.filterwarnings("default:(max_events|missing_value|classes)")
def test_options_that_the_events_do_not_need_are_remarked_on(run: Run) -> None:
    result = run(max_events="5000", missing_value="-999", classes="0=0,1=1,7=2", n_iterations="1")
    assert result.exit_code == 0, result.output
    assert "--max-events 5000 changes nothing: there are 600 events" in result.stderr
    assert "--missing-value -999 changes nothing" in result.stderr
    assert "no event has the class of 7" in result.stderr
    assert "changes nothing" not in run("--force", max_events="600", n_iterations="1").stderr


@pytest.mark.filterwarnings("default::hepfool.exceptions.LowStatisticsWarning")
@pytest.mark.usefixtures("undrawn")
def test_warnings_are_one_line(run: Run) -> None:
    result = run(max_events="25")
    assert result.exit_code == 0, result.output
    assert any(line.startswith("Warning: only 25 constrained events") for line in result.stderr.splitlines())


#: Another value of each option of the attack, and options that it needs beside it.
_TRIED: dict[str, tuple[str, dict[str, str | None]]] = {
    "--min-change": ("0.3", {}),
    "--step": ("0.3", {}),
    "--n-candidates": ("3", {"step": None}),
    "--n-iterations": ("1", {}),
    "--n-bins": ("7", {}),
    "--alpha": ("400", {}),
    "--beta": ("0", {}),
    "--max-js-distance": ("0.01", {}),
    "--max-correlation-change": ("1e-5", {}),
    "--max-correlation-shift": ("0.003", {}),
    "--strategy": ("frugal", {"step": None}),
    "--direction": ("loss", {}),
    "--step-unit": ("absolute", {}),
    "--candidates": ("even", {"step": None, "n_candidates": "7"}),
    "--max-js-change": ("1e-3", {}),
    "--n-ahead": ("50", {}),
    "--reward": ("1", {}),
    "--start": ("exchange", {}),
}
#: The same of switches; those that a strategy sets unless told otherwise have tests of their own.
_SWITCHES: dict[str, dict[str, str | None]] = {
    "--no-use-no-change": {"max_correlation_change": "1e-4"},
    "--compete": {},
    "--optimize-already-fooled": {"n_iterations": "6", "alpha": "400"},
}


def test_every_option_of_the_attack_is_tried() -> None:
    tried = {name.replace("--no-", "--") for name in (*_TRIED, *_SWITCHES)}
    options = {option.opts[0] for option in options_of_attack().values()} - {"--converge", "--helpers"}
    assert tried - {"--max-js-distance", "--n-bins", "--max-correlation-shift"} == options


@pytest.mark.parametrize("strategy", ["paper", "frugal"])
@pytest.mark.parametrize("option", [*_TRIED, *_SWITCHES])
def test_an_option_of_the_attack_changes_it_or_is_refused(
    option: str, strategy: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []

    def write(outcome: Any, *_: Any, **__: Any) -> None:
        found.append(outcome.result.adversarial.values)
        raise KeyboardInterrupt

    monkeypatch.setattr("hepfool.study._procedure.write_study", write)
    value, others = _TRIED[option] if option in _TRIED else ("", _SWITCHES[option])
    base: dict[str, str | None] = {"max_events": "300", **others}
    base |= {"strategy": strategy, "step": None} if strategy == "frugal" else {}
    name = option.removeprefix("--").replace("-", "_")
    if base.get(name) == value or (option, strategy) == ("--start", "frugal"):
        pytest.skip("this is the strategy, or what it does anyway")
    if run(**base).exit_code == 2:
        pytest.skip("the option that this one needs is refused with the strategy")
    result = run(option, **base) if option in _SWITCHES else run(**{**base, name: value})
    if result.exit_code == 2:
        assert "has no effect" in result.stderr
        assert option.replace("--no-", "--") in result.stderr
    else:
        assert not np.array_equal(*found)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("extra", "changes", "kept"),
    [
        ((), {}, Validation(**INPUTS)),
        (("--no-score",), {"separately": "processes"}, Validation(**INPUTS, score=None, separately="processes")),
        (
            (),
            {"max_score_distance": "0.1", "separately": "union"},
            Validation(**INPUTS, score=Marginals(max_js_distance=0.1, n_bins=25, n_quantiles=25), separately="union"),
        ),
        (
            (),
            {"correlations": "distance", "n_quantiles": "5"},
            Validation(
                inputs=Marginals(max_js_distance=0.05, n_bins=20, n_quantiles=5),
                correlations=Correlations(max_shift=0.05, kind="distance"),
            ),
        ),
        (
            (),
            {"correlations": "none", "max_correlation_shift": None, "beta": None},
            Validation(inputs=INPUTS["inputs"], correlations=None),
        ),
        (
            (),
            {"at_power": "0.2", "n_data": "500", "max_js_distance": None, "max_correlation_shift": None},
            Validation.at_power(0.2, n_data=500.0, inputs=Marginals(n_bins=20)),
        ),
    ],
)
def test_options_state_what_the_attack_keeps(
    extra: tuple[str, ...], changes: dict[str, str | None], kept: Validation, run: Run, tmp_path: Path
) -> None:
    result = run(*extra, **changes)
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["provenance"]["attack"].count(f"validation={kept!r}") == 1
    assert summary["validation"]["figures"] != []
    assert all(row["kept"] for row in summary["validation"]["figures"])
    printed = " ".join(result.stdout.split())
    if kept.score is None:
        assert "The score was not constrained" in printed
    elif kept.correlations is None:
        assert "The correlations of the inputs were not constrained" in printed
    else:
        assert "score" in {row["comparison"] for row in summary["validation"]["largest"]}
        assert "was not constrained" not in printed


@pytest.mark.usefixtures("undrawn")
@pytest.mark.filterwarnings("default:--separately regions changes nothing")
def test_validation_options_without_effect_are_said(run: Run) -> None:
    refused = run("--no-score", max_score_distance="0.1")
    assert refused.exit_code == 2
    assert "--max-score-distance 0.1 has no effect with --no-score" in refused.stderr
    told = run(separately="regions")
    assert told.exit_code == 0, told.output
    assert "--separately regions changes nothing" in told.stderr
