# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot
from click.testing import CliRunner
from matplotlib.figure import Figure

from hepfool import cli
from hepfool._parts import parts_of
from hepfool.attacks import AttackProblem, CONSERVAttack, run_attack
from hepfool.defences import DetectorSettings, train_detector
from hepfool.events import UNLABELLED, EventTable, Region
from hepfool.inference import expected_impact
from hepfool.inference._impact import impact_record
from hepfool.io import WorkFolder, read_table
from hepfool.io._owners import claimed
from hepfool.models import Standardise, export_program, mlp
from hepfool.study import Study
from hepfool.study._figures import further_figures
from hepfool.study._outcomes import Baseline, EventParts, SystematicsOutcome
from hepfool.study._steps import _of_own_datasets
from hepfool.sums import data_sums
from hepfool.training import TrainingSettings, fit
from hepfool.typing import FloatArray
from tests.specimens import FEATURES, SineClassifier, events

pytestmark = pytest.mark.torch

STEPS = ("events", "baseline", "attack", "detector", "adaptive", "systematics", "checks", "report")


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out, which take most of the time."""
    monkeypatch.setattr("hepfool.study._outcome.draw_study", lambda _, **__: {})
    monkeypatch.setattr("hepfool.study._procedure.further_figures", lambda *_, **__: {})


@pytest.fixture(scope="module")
def table() -> EventTable:
    """Simulation with a shape and a weight variation, and data."""
    simulation, data = events(1200, seed=3), events(300, seed=4, weighted=False)
    both = EventTable.concatenate(
        [simulation, dataclasses.replace(data, labels=np.full(300, UNLABELLED), datasets=("data",))]
    )
    shifted = both.values.copy()
    shifted[:, 0] *= 1.02
    return dataclasses.replace(
        both,
        shape_variations={"pt_scale_up": shifted},
        weight_variations={"pileup_up": 1.05 * both.weights},
    )


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Study]:
    """A configuration with few iterations, and changes of it."""

    def configure(**changes: Any) -> Study:
        content = {
            "output": tmp_path / "report",
            "seed": 5,
            "attack": {"n_iterations": 2, "n_bins": 20, "max_js_distance": 0.05, "beta": 20.0},
            "detector": {"hidden": [8], "training": {"max_epochs": 2}},
            "checks": {"n_data": 200, "checks": ["chi2", "correlations"], "n_toys": 20},
        }
        return Study.model_validate({**content, **changes})

    return configure


def steps_done(configuration: Study, table: EventTable, **options: Any) -> tuple[list[str], Any]:
    """Run, and tell which steps were not taken from the folder."""
    started: list[str] = []
    names = {step.title: step.name for step in configuration.steps(table=table)}

    def tell(title: str, fraction: float) -> None:
        if fraction == 0.0:
            started.append(names[title])

    summary = configuration.run(table=table, classifier=SineClassifier(), force=True, progress=tell, **options)
    return started, summary


def test_the_whole_procedure_ends_in_a_report(settings: Callable[..., Study], table: EventTable) -> None:
    configuration = settings()
    started, summary = steps_done(configuration, table)
    assert tuple(started) == STEPS
    record = json.loads((configuration.output / "summary.json").read_text())
    assert record == json.loads(summary.to_json())
    # A quarter of the simulation is judged, and no data.
    assert record["events"]["n_events"] == 300
    assert record["systematics"]["total"]["sources"] == ["pt_scale", "pileup"]
    assert record["systematics"]["excess"]["flips"]["error"] > 0
    flips = record["systematics"]["remaining"]["flips"]["value"] - record["systematics"]["total"]["flips"]["value"]
    assert record["systematics"]["excess"]["flips"]["value"] == pytest.approx(flips)
    assert record["systematics"]["adaptive"]["flips"]["value"] >= 0
    assert "If the attack knows the detector" in record["verdict"]["stability"]
    assert record["detection"]["strongest_standard"]["power"]["value"] >= 0.05
    (criterion,) = (c for c in record["verdict"]["criteria"] if c["name"] == "FlaggedFractionsAgree")
    assert len(criterion["values"]["fractions"]) == 1
    assert {check["region"] for check in record["observed"]["checks"]} == {"low_pt"}
    assert criterion["numbers"].startswith("low_pt: data ")
    assert record["compatibility"][0]["max_js_distance"] <= 0.05
    kept = json.loads((configuration.output / "study.json").read_text())
    assert list(kept["steps"]) == list(STEPS[:-1])
    assert 0.5 < kept["auroc_test"] <= 1.0
    assert not list(configuration.work_folder.glob("unfinished*"))


def test_only_what_depends_on_a_change_is_done_again(settings: Callable[..., Study], table: EventTable) -> None:
    first = steps_done(settings(), table)[1]
    done, again = steps_done(settings(), table)
    assert done == ["report"]
    assert again.to_json() == first.to_json()
    assert steps_done(settings(thresholds={"max_systematics_ratio": 9.0}), table)[0] == ["report"]
    checks = {"n_data": 100, "checks": ["chi2"]}
    # Data are compared in the same checks, with the systematics.
    assert steps_done(settings(checks=checks), table)[0] == ["systematics", "checks", "report"]
    correlated = {"correlations": [{"sources": ["pt_scale", "pileup"], "coefficient": 0.5}]}
    assert steps_done(settings(systematics=correlated), table)[0] == ["systematics", "report"]
    # What was kept for the first settings is still there.
    assert steps_done(settings(), table)[0] == ["report"]
    assert steps_done(settings(), table, from_step="systematics")[0] == [
        "systematics",
        "checks",
        "report",
    ]
    moved = table.with_values(np.where(np.isnan(table.values), np.nan, table.values * np.array([1.01, *[1] * 5])))
    assert steps_done(settings(), moved)[0][0] == "events"
    with pytest.raises(ValueError, match="no step 'frontier' in this configuration, only events"):
        steps_done(settings(), table, from_step="frontier")


@pytest.mark.faults
@pytest.mark.parametrize("stop", [1, 4, 5, 7])
def test_an_interrupted_run_goes_on_with_the_same_result(
    stop: int, settings: Callable[..., Study], table: EventTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    iterate, calls = CONSERVAttack.iterate, 0

    def counted(
        self: CONSERVAttack, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        nonlocal calls
        if calls == limit:
            raise KeyboardInterrupt
        calls += 1
        return iterate(self, problem, values, iteration, rng)

    monkeypatch.setattr(CONSERVAttack, "iterate", counted)
    # Two iterations on three parts, and two more on the defended network.
    limit = 8
    whole = steps_done(settings(), table)[1]
    assert calls == limit
    other = settings(output=settings().output.with_name("other"))
    calls, limit = 0, stop
    with pytest.raises(KeyboardInterrupt):
        steps_done(other, table)
    assert not other.output.exists()
    calls, limit = 0, 8
    resumed = steps_done(other, table)[1]
    assert calls == 8 - stop
    assert resumed.to_json() == whole.to_json()
    written = [
        read_table(folder / "adversarial.root", features=FEATURES, missing_value=-999.0).values
        for folder in (settings().output, other.output)
    ]
    np.testing.assert_array_equal(written[0], written[1])


def test_a_plan_tells_what_is_finished_and_how_long_the_rest_takes(
    settings: Callable[..., Study], table: EventTable
) -> None:
    classifier = SineClassifier()
    before = {step.name: step for step in settings().steps(table=table, classifier=classifier)}
    assert tuple(before) == STEPS
    assert {(step.finished, step.basis) for step in before.values()} == {(False, "estimate")}
    unknown = settings().steps()
    assert {(step.seconds, step.basis) for step in unknown} == {(None, "unknown")}
    assert not settings().work_folder.exists()
    steps_done(settings(), table)
    after = settings().steps(table=table, classifier=classifier)
    assert [step.name for step in after if not step.finished] == ["report"]
    assert {step.basis for step in after} == {"recorded"}
    attack = next(step for step in after if step.name == "attack")
    stored = WorkFolder(settings().work_folder).record("attack")
    assert stored is not None
    assert attack.seconds == stored["seconds"] > 0
    again = settings().steps(table=table, classifier=classifier, from_step="adaptive")
    assert [step.name for step in again if step.finished] == ["events", "baseline", "attack", "detector"]


@pytest.mark.faults
def test_a_damaged_step_is_done_again(settings: Callable[..., Study], table: EventTable) -> None:
    _, first = steps_done(settings(), table)
    (kept,) = settings().work_folder.glob("attack-*")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    with pytest.warns(UserWarning, match=r"attack-\w* is damaged .*; the step 'attack' is repeated"):
        done, again = steps_done(settings(), table)
    assert done == ["attack", "report"]
    assert again.to_json() == first.to_json()


def test_a_full_disk_costs_only_what_is_kept(
    settings: Callable[..., Study], table: EventTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    plain = settings(detector=None, checks=None)
    with monkeypatch.context() as patch:
        patch.setattr("hepfool.io._finished.written_whole", full)
        with pytest.warns(UserWarning, match=r"cannot be kept in .*report-work.* \(No space left on device\)") as said:
            _, first = steps_done(plain, table)
    assert len([one for one in said if "cannot be kept" in str(one.message)]) == 1
    assert not list(plain.work_folder.glob("attack-*"))
    assert steps_done(plain, table)[1].to_json() == first.to_json()


def test_two_runs_do_not_share_a_work_folder(settings: Callable[..., Study], table: EventTable) -> None:
    plain = settings(detector=None, checks=None)
    plain.work_folder.mkdir(parents=True)
    with claimed(plain.work_folder), pytest.raises(ValueError, match=rf"is in use by process {os.getpid()} on "):
        steps_done(plain, table)
    steps_done(plain, table)


def test_without_a_detector_there_is_less_to_do(settings: Callable[..., Study], table: EventTable) -> None:
    done, summary = steps_done(settings(detector=None, checks=None, split={"train": 0, "validation": 0}), table)
    assert done == ["events", "baseline", "attack", "systematics", "report"]
    assert summary.events["n_events"] == 1200
    assert summary.detector is None
    assert "knows the detector" not in summary.verdict["stability"]


def test_quantile_bins_constrain_what_uniform_bins_do_not_see(
    settings: Callable[..., Study], table: EventTable
) -> None:
    changes = {"detector": None, "split": {"train": 0, "validation": 0}, "checks": {"n_data": 200, "checks": ["ks"]}}
    strict = {"n_iterations": 2, "n_bins": 5, "max_js_distance": 0.01, "beta": 20.0, "validation": None}
    powers = []
    for bins in (None, 60):
        summary = steps_done(settings(attack=strict, quantile_bins=bins, **changes), table)[1]
        assert summary.detection is not None
        of_inputs = (row for row in summary.detection["rows"] if row["comparison"] == "inputs")
        powers.append(next(of_inputs)["power"]["value"])
    assert powers[1] < powers[0]


def test_a_dataset_of_data_is_not_taken_for_a_process() -> None:
    values = np.random.default_rng(1).normal(size=(60, 2))
    labels, datasets = np.repeat([0, 1, UNLABELLED], 20), np.repeat(["data", "simulation"], [20, 40])[::-1]
    simulated = EventTable.from_arrays(values, labels=labels, dataset=datasets).select(labels != UNLABELLED)
    assert [part.name for part in parts_of(simulated, "processes")] == ["constrained, simulation"]
    chosen = _of_own_datasets(simulated)
    assert chosen.datasets == ("simulation",)
    assert [part.name for part in parts_of(chosen, "processes")] == ["constrained, class 0", "constrained, class 1"]
    several = dataclasses.replace(simulated, datasets=("data", "simulation", "more"), dataset_index=labels[:40] + 1)
    again = _of_own_datasets(several)
    assert [again.dataset_mask(name).sum() for name in again.datasets] == [20, 20]


def test_a_network_is_trained_where_none_is_given(settings: Callable[..., Study], table: EventTable) -> None:
    network = {"hidden": [8], "training": {"max_epochs": 8, "batch_size": 100}}
    configuration = settings(network=network, detector=None, checks=None)
    configuration.run(table=table)
    kept = json.loads((configuration.output / "study.json").read_text())
    assert kept["auroc_test"] > 0.6
    with pytest.raises(ValueError, match="split: a network needs training"):
        settings(detector=None, split={"train": 0.0}).run(table=table, force=True)


@pytest.mark.filterwarnings("ignore:no upper limit of the worst case is proved")
def test_the_worst_case_is_bracketed_explained_and_limited_on_demand(
    settings: Callable[..., Study], table: EventTable
) -> None:
    pytest.importorskip("pyhf")
    control = table.column("pt") < np.nanmedian(table.column("pt"))
    table = dataclasses.replace(table, regions=(Region("low_pt", control), Region("high_pt", ~control, role="signal")))
    worst = {"threat_model": "inputs within the caps", "transfer": "the same scales in both regions"}
    done, summary = steps_done(settings(worst_case=worst, checks=None, envelope="none"), table)
    assert done[-2:] == ["worst_case", "report"]
    record = summary.worst_case
    assert record is not None
    assert summary.detector is not None
    assert summary.systematics is not None
    (ladder,) = record["ladders"]
    assert ladder["events"] == "high_pt"
    assert [rung["freedom"] for rung in ladder["rungs"]] == ["sources", "one shift", "inputs", "attack"]
    assert record["explanations"][0]["parts"][0]["n_events"] == summary.detector["n_fooled"]
    (allowed,), (size,) = record["allowed"], record["sizes"]
    assert allowed["regions"] == ["low_pt"]
    assert allowed["observable"] == "score and flag"
    shift = summary.systematics["attack"]["yield_shift"]["high_pt"]["value"]
    assert size["full"] == pytest.approx(abs(shift))
    assert size["size"] == pytest.approx(allowed["limit"] * abs(shift))
    assert steps_done(settings(worst_case=worst, checks=None, envelope="none"), table)[0] == ["report"]


def test_a_transfer_needs_a_threat_model(settings: Callable[..., Study]) -> None:
    with pytest.raises(ValueError, match="transfer scales a size to what data allow of an attack; say of which"):
        settings(worst_case={"transfer": "the same scales"})


def test_a_frontier_and_a_fit_are_added_on_demand(
    settings: Callable[..., Study], table: EventTable, tmp_path: Path
) -> None:
    pytest.importorskip("pyhf")
    samples = [
        {"name": "events", "data": [100.0, 50.0], "modifiers": []},
        {"name": "signal", "data": [5.0, 20.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
    ]
    workspace = {
        "channels": [{"name": "SR", "samples": samples}],
        "observations": [{"name": "SR", "data": [105.0, 70.0]}],
        "measurements": [{"name": "strength", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }
    (tmp_path / "workspace.json").write_text(json.dumps(workspace))
    fit = {"workspace": tmp_path / "workspace.json", "channel": "SR", "n_bins": 2, "optimizer": "scipy"}
    attack = {"n_iterations": 2, "n_bins": 20, "max_js_distance": 0.05, "beta": 20.0, "validation": None}
    own = {"attack": attack, "envelope": "variations", "target": 1, "quantile_bins": 30}
    configuration = settings(**own, fit=fit, frontier={"factors": [0.5, 1.0]}, report={"events": []})
    done, summary = steps_done(configuration, table)
    assert done[-3:] == ["frontier", "fit", "report"]
    # The scan goes through the attack of the report, with its bins, bounds and target.
    assert summary.frontier is not None
    tight, point = summary.frontier["points"]
    assert tight["max_js_distance"] <= 0.025 + 1e-12
    assert point["fooling"] == pytest.approx(summary.fooling["fooling_ratio"])
    assert point["max_js_distance"] == pytest.approx(summary.compatibility[0]["max_js_distance"])
    assert summary.detection is not None
    assert point["power"]["value"] == summary.detection["combined"]["power"]["value"]
    assert summary.impact is not None
    assert summary.impact["ranking"][0]["name"] == "adversarial"
    assert summary.impact["after"]["up"] > summary.impact["before"]["up"]
    patch = json.loads((configuration.output / "patch.json").read_text())
    assert [entry["op"] for entry in patch] == ["test", "test", "add"]
    assert "If the attack may be noticed more easily" in (configuration.output / "summary.md").read_text()
    again = impact_record(expected_impact(workspace, patch, optimizer="scipy"))
    assert json.loads((configuration.output / "summary.json").read_text())["impact"] == again
    text = (configuration.output / "report.html").read_text()
    for part in ("Expected uncertainty and bias of the fit", "Bias of mu", "fitted without it, shift mu by"):
        assert part in text


def test_other_choices_are_tried_on_demand(settings: Callable[..., Study], table: EventTable) -> None:
    attack = {"n_iterations": 2, "max_js_distance": 0.1}
    configuration = settings(attack=attack, detector=None, checks=None, robustness={"n_seeds": 0})
    done, summary = steps_done(configuration, table)
    assert done[-2:] == ["robustness", "report"]
    assert summary.robustness is not None
    rows = {(row["changed"], row["value"]): row for row in summary.robustness["rows"]}
    assert set(rows) == {
        ("strategy", "frugal"),
        ("score in the validation", "without"),
        ("compared separately", "union"),
        ("compared separately", "processes"),
    }
    assert rows["strategy", "frugal"]["fooling"]["value"] > summary.fooling["fooling_ratio"]["value"]
    # Everything but the attack is that of the study.
    assert steps_done(configuration, table)[0] == ["report"]


@pytest.mark.filterwarnings("ignore:the network's accuracy:hepfool.exceptions.NetworkWarning")  # hardly trained
def test_trainings_are_repeated_on_demand(
    settings: Callable[..., Study], table: EventTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = {"hidden": [8], "training": {"max_epochs": 2, "batch_size": 100}}
    attack = {"n_iterations": 2, "n_bins": 20, "max_js_distance": 0.05, "beta": 20.0, "validation": None}
    own = {"attack": attack, "envelope": "variations", "quantile_bins": 30, "checks": None, "report": {"events": []}}
    attacked: list[dict[str, Any]] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        attacked.append(options)
        return run_attack(*arguments, **options)

    monkeypatch.setattr("hepfool.studies._runs.run_attack", watched)
    configuration = settings(network=network, spread={"n_runs": 2}, **own)
    summary = configuration.run(table=table)
    # Two trainings, each attacked on three parts, and with knowledge of its detector; the bins are those of the workflow.
    # The attack on the test part is asked for again, and taken from the folder.
    assert len(attacked) == 8
    assert {options["binning"].n_bins for options in attacked} == {20 + 30 - 1}
    assert all(options["envelope"] is not None for options in attacked)
    assert summary.spread is not None
    assert summary.spread["n_runs"] == 2
    assert summary.spread["n_test"] == 300
    assert {row["knowledge"] for row in summary.spread["rows"]} == {"white_box", "grey_box", "adaptive"}
    text = (configuration.output / "summary.md").read_text()
    assert "Spread over repeated trainings" in text
    assert "2 trainings" in (configuration.output / "report.html").read_text()
    # More trainings take those that are there.
    attacked.clear()
    more = settings(network=network, spread={"n_runs": 3}, **own).run(table=table, force=True)
    assert more.spread is not None
    assert np.array(more.spread["auroc"])[:, :2].tolist() == summary.spread["auroc"]
    with pytest.raises(ValueError, match="leave spread or the passed network out"):
        configuration.run(table=table, classifier=SineClassifier(), force=True)


def test_a_detector_is_drawn(settings: Callable[..., Study], table: EventTable) -> None:
    data, simulation = table.select(table.labels == UNLABELLED), table.select(table.labels != UNLABELLED)
    attack = CONSERVAttack(n_iterations=2, n_bins=20, max_js_distance=0.05, beta=20.0)
    result = run_attack(attack, SineClassifier(), simulation, rng=np.random.default_rng(1))
    quick = DetectorSettings(hidden=(8,), training=TrainingSettings(max_epochs=2))
    detector = train_detector(result, result, seed=1, settings=quick)
    parts = EventParts(simulation={}, data=data)
    seen = data_sums(data, SineClassifier(), result.binning, detector=detector)
    results: dict[str, Any] = {
        "baseline": Baseline(classifier=SineClassifier(), auroc=0.9),
        "systematics": SystematicsOutcome(sums=result.sums(SineClassifier(), detector=detector), data=seen),
        "detector": detector,
        "attack": {"test": result},
        "events": parts,
    }
    drawn = further_figures(settings(), results)
    of_attack = {"regions", "projection", "fooling"}
    assert set(drawn) == {"detector", "thresholds", *of_attack}
    assert "Corrected" in _texts(drawn["fooling"]) or "not flagged" in _texts(drawn["fooling"])
    assert len(drawn["thresholds"].axes) == 2
    alone = {**results, "systematics": dataclasses.replace(results["systematics"], data=None)}
    assert len(further_figures(settings(), alone)["thresholds"].axes) == 1
    missed = dataclasses.replace(result, fooled=np.zeros_like(result.fooled))
    nothing = SystematicsOutcome(sums=missed.sums(SineClassifier(), detector=detector))
    assert (
        set(further_figures(settings(), {**results, "attack": {"test": missed}, "systematics": nothing})) == of_attack
    )


def _texts(figure: Figure) -> str:
    texts = [text for ax in figure.axes if (legend := ax.get_legend()) for text in legend.get_texts()]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    return " ".join(text.get_text() for text in texts)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with simulation and data in Parquet files, a network, and a configuration."""
    simulation, data = events(900, seed=3), events(200, seed=4)
    for name, part in (("simulation", simulation), ("data", data)):
        columns = dict(zip(FEATURES.names, part.network_values.T, strict=True))
        if name == "simulation":
            columns |= {"truth": part.labels, "w": part.weights}
        pyarrow.parquet.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    trained = fit(
        lambda: mlp(len(FEATURES), (8,), preprocessing=Standardise.of(simulation)),
        simulation,
        simulation,
        seed=1,
        settings=TrainingSettings(max_epochs=10, batch_size=100),
    )
    export_program(trained.classifier, tmp_path / "model.pt2")
    (tmp_path / "study.yaml").write_text(
        """\
output: report
events:
  files: [simul*.parquet]
  data_files: [data.parquet]
  features: [pt, eta, phi:angle, n_jets:integer, charge:fixed, jet_pt]
  label: truth
  weight: w
  missing_value: -999
  max_events: 800
  regions:
    low_pt: {cuts: {pt: [null, 60]}}
    high_pt: {role: signal, cuts: {pt: [60, null]}}
network: {file: model.pt2}
attack: {n_iterations: 1, n_bins: 20, max_js_distance: 0.05}
target: all
detector: {hidden: [8], training: {max_epochs: 2}}
adaptive: false
"""
    )
    return tmp_path


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_the_command_goes_from_files_to_a_report(files: Path) -> None:
    def call(*arguments: str) -> Any:
        return CliRunner(env={"COLUMNS": "120"}).invoke(cli.main, ["workflow", *arguments])

    path = str(files / "study.yaml")
    plan = call(path, "--dry-run")
    assert plan.exit_code == 0, plan.output
    assert "to do" in plan.output
    assert "estimate" in plan.output
    assert not (files / "report-work").exists()
    done = call(path)
    assert done.exit_code == 0, done.output
    record = json.loads((files / "report" / "summary.json").read_text())
    assert record["events"]["n_events"] == 200
    assert record["events"]["n_attacked"] == 200
    assert set(record["fooling"]["regions"]) == {"low_pt", "high_pt"}
    (criterion,) = (c for c in record["verdict"]["criteria"] if c["name"] == "FlaggedFractionsAgree")
    assert criterion["numbers"].startswith("low_pt: data ")
    assert "finished" in call(path, "--dry-run").output
    refused = call(path)
    assert (refused.exit_code, "exists already" in refused.stderr) == (2, True)
    assert call(path, "--force", "--from-step", "report").exit_code == 0
    (files / "study.yaml").write_text((files / "study.yaml").read_text().replace("n_iterations: 1", "n_iterations: 0"))
    wrong = call(path, "--force")
    assert wrong.exit_code == 2
    assert "line 14, column 10: attack: n_iterations must be at least 1, got 0" in wrong.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("model.pt2", "absent.pt2"), "no such file"),
        (("model.pt2", "simulation.parquet"), "is of an unknown kind; known are .pt2"),
        (
            ("file: model.pt2", "file: model.pt2, network: conservattack_higgs"),
            "has no effect: model.pt2 holds a whole network",
        ),
        (("n_jets:integer", "njets:integer"), "has no column 'njets'; did you mean n_jets"),
        (("label: truth", "label: truths"), "has no column 'truths'; did you mean truth?"),
        (("weight: w", "weight: weights"), "has no column 'weights'"),
        (("[pt, eta,", "[pt,"), "takes 6 inputs, but there are 5 features"),
        (("[data.parquet]", "[data.root]"), "has no tree 'Events'; there are: mini"),
        (("[data.parquet]", "[broken.root]"), "cannot be read, is it complete?"),
        (("[data.parquet]", "[broken.parquet]"), "cannot be read, is it complete?"),
        (("adaptive: false", "fit: {workspace: fit.json, channel: SR, n_bins: 5}"), "has no channel 'SR'"),
        (("weight: w", "weight: w\n  tree: mini"), "tree=mini has no effect"),
        (("{file: model.pt2}", "{output: logit}"), "output has no effect without a file of the network"),
        (("{file: model.pt2}", "{file: model.pt2, hidden: [3]}"), "hidden has no effect beside a file of the network"),
        (("  data_files: [data.parquet]\n", "  max_events: 700\n"), "stands here for the second"),
        (("adaptive: false", "envelope: variations"), "envelope: variations has none"),
        (("adaptive: false", "data_regions: [low_pt]"), ""),
        (("n_iterations: 1", "strategy: frugal, step: 0.1"), "step=0.1 has no effect with strategy="),
    ],
)
def test_a_dry_run_opens_everything(change: tuple[str, str], message: str, files: Path) -> None:
    with uproot.recreate(files / "data.root") as file:
        file.mktree("mini", {"pt": np.ones(3)})
    (files / "broken.root").write_bytes((files / "data.root").read_bytes()[:300])
    (files / "broken.parquet").write_bytes((files / "data.parquet").read_bytes()[:300])
    (files / "fit.json").write_text('{"channels": [{"name": "CR"}]}')
    text = (files / "study.yaml").read_text()
    assert change[0] in text
    (files / "study.yaml").write_text(text.replace(*change))
    found = CliRunner(env={"COLUMNS": "120"}).invoke(cli.main, ["workflow", str(files / "study.yaml"), "--dry-run"])
    assert found.exit_code == (2 if message else 0), found.output
    assert message in found.stderr
    assert not (files / "report-work").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detector": None, "adaptive": True}, "adaptive has no effect without a detector"),
        ({"detector": None, "data_regions": ["low_pt"]}, "data_regions has no effect without a detector"),
    ],
)
def test_settings_that_no_step_reads_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        Study(output=tmp_path / "report", **change)


def test_the_command_prints_its_schema() -> None:
    shown = CliRunner().invoke(cli.main, ["workflow", "--schema"])
    assert json.loads(shown.stdout)["title"] == "Study"
    assert "name a configuration file" in CliRunner().invoke(cli.main, ["workflow"]).stderr
