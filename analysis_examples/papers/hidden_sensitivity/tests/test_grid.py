# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from analysis_examples.papers.hidden_sensitivity.grid import Architecture, Task, run_sensitivity_grid
from analysis_examples.papers.hidden_sensitivity.measure import SensitivitySettings, run_hidden_sensitivity
from hepfool.attacks import PGD
from hepfool.events import Envelope, EventTable
from hepfool.models import Classifier, Standardise, TorchClassifier
from hepfool.studies import envelope_variations
from tests.specimens import SineClassifier, events

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")]

SETTINGS = SensitivitySettings(attack=PGD(step=1.0, unit="envelope", n_iterations=1, n_bins=20), n_draws=2)


class Trainings:
    """Remembers what was trained."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def __call__(self, train: EventTable, validation: EventTable, seed: int) -> Classifier:
        assert (train.n_events, validation.n_events) == (100, 50)
        self.seeds.append(seed)
        return SineClassifier(offset=-1.6 + 0.2 * np.random.default_rng(seed).normal())


def task(*architectures: Architecture, name: str = "first", seed: int = 1, sigma: float = 1.0, **fields: Any) -> Task:
    test = events(300, seed, regions=False)
    envelope = Envelope.absolute(test, sigma * np.array([4.0, 0.1, 0.1, 1.0, 0.5, 5.0]))
    return Task(
        name=name,
        train=events(100, 7, regions=False),
        validation=events(50, 8, regions=False),
        test=replace(test, shape_variations=envelope_variations(test, envelope)),
        envelope=envelope,
        architectures=architectures,
        **{"settings": SETTINGS, **fields},
    )


def test_cells_hold_one_measurement_per_training() -> None:
    trained = Trainings()
    mlp, pfn = Architecture(name="MLP", train=trained), Architecture(name="PFN", train=trained)
    calls: list[tuple[str, float]] = []
    grid = run_sensitivity_grid(
        [task(mlp, pfn), task(mlp, name="second", seed=2, absent={"PFN": "no constituents"})],
        seed=3,
        n_trainings=3,
        progress=lambda *told: calls.append(told),
    )
    assert [done for _, done in calls] == [k / 9 for k in range(1, 10)]
    assert calls[0][0] == "MLP on first"
    assert (grid.tasks, grid.architectures) == (("first", "second"), ("MLP", "PFN"))
    assert grid.absent == {("second", "PFN"): "no constituents"}
    runs = grid.cells["first", "MLP"]
    assert [run.seed for run in runs] == trained.seeds[:3] == trained.seeds[3:6]
    assert len(set(trained.seeds)) == 3
    expected = task(mlp)
    for run in runs:
        classifier = trained(expected.train, expected.validation, run.seed)
        rng = np.random.default_rng(run.seed)
        found = run_hidden_sensitivity(classifier, expected.test, expected.envelope, rng=rng, settings=SETTINGS)
        assert run.found == found
    values = [run.found.flips.attack.value for run in runs]
    assert grid.values("first", "MLP", "flips", "attack") == tuple(values)
    mean = grid.mean("first", "MLP", "flips", "attack")
    assert mean.value == pytest.approx(np.mean(values))
    assert mean.error == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    assert mean.error > 0
    largest = grid.mean("first", "MLP", "yield_shift", "random_largest").value
    assert largest == pytest.approx(np.mean([run.found.yield_shift.random_largest for run in runs]))
    assert np.isnan(grid.mean("second", "PFN", "flips", "attack").value)


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.NetworkWarning")
def test_what_cannot_be_exceeded_is_proved_where_it_can_be(tmp_path: Path) -> None:
    def linear(train: EventTable, validation: EventTable, seed: int) -> Classifier:
        torch.manual_seed(seed)
        first = nn.Linear(train.n_features, 4)
        network = nn.Sequential(Standardise.of(train), first, nn.ReLU(), nn.Linear(4, 1))
        with torch.no_grad():  # as many events on either side
            network[-1].bias -= network(torch.from_numpy(train.network_values).float()).median()
        return TorchClassifier(network, n_features=train.n_features)

    kinds = Architecture(name="MLP", train=linear), Architecture(name="other", train=Trainings())
    settings = replace(SETTINGS, proof_seconds=20.0)
    runs = [
        run_sensitivity_grid([task(*kinds, settings=settings)], seed=3, n_trainings=2, folder=tmp_path) for _ in "12"
    ]
    assert runs[0].cells == runs[1].cells
    for run in runs[0].cells["first", "MLP"]:
        assert run.limits is not None
        # The attack is one step to the ends of the envelope, which is part of what the proof covers.
        for attack, (low, high) in (
            (run.found.flips.attack, run.limits.flips),
            (run.found.yield_shift.attack, run.limits.yield_shift),
        ):
            assert abs(attack.value) <= high + 1e-12
            assert 0.0 < low <= high < 1.0
    for quantity in ("flips", "yield_shift"):
        found, proved = (runs[0].limit("first", "MLP", quantity, side) for side in ("found", "proved"))
        assert found.value <= proved.value
    assert [run.limits for run in runs[0].cells["first", "other"]] == [None, None]
    assert np.isnan(runs[0].limit("first", "other", "flips", "proved").value)


def test_finished_trainings_are_not_repeated(tmp_path: Path) -> None:
    trained = Trainings()
    mlp = Architecture(name="MLP", train=trained)
    first = run_sensitivity_grid([task(mlp)], seed=3, n_trainings=2, folder=tmp_path / "kept")
    assert len(trained.seeds) == 2
    again = run_sensitivity_grid([task(mlp)], seed=3, n_trainings=3, folder=tmp_path / "kept")
    assert len(trained.seeds) == 3
    assert again.cells["first", "MLP"][:2] == first.cells["first", "MLP"]
    fresh = run_sensitivity_grid([task(mlp)], seed=3, n_trainings=3)
    assert fresh.cells == again.cells
    assert len(list((tmp_path / "kept").iterdir())) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"sigma": 1.1},
        {"seed": 2},
        {"settings": replace(SETTINGS, n_draws=3)},
        {"architecture": Architecture(name="MLP", train=Trainings(), settings="deeper")},
        {"architecture": Architecture(name="PFN", train=Trainings())},
        {"study": 4},
    ],
)
def test_what_depends_on_something_else_is_measured_anew(tmp_path: Path, other: dict[str, Any]) -> None:
    first = Trainings()
    mlp = Architecture(name="MLP", train=first)
    run_sensitivity_grid([task(mlp)], seed=3, n_trainings=2, folder=tmp_path)
    architecture = other.pop("architecture", mlp)
    architecture.train.seeds.clear()
    study = other.pop("study", 3)
    run_sensitivity_grid([task(architecture, **other)], seed=study, n_trainings=2, folder=tmp_path)
    assert len(architecture.train.seeds) == 2
    assert len(list(tmp_path.iterdir())) == 4


def test_variations_belong_to_the_name_of_a_result() -> None:
    found = task(Architecture(name="MLP", train=Trainings()))
    moved = {"pt_up": found.test.shape_variations["pt_up"]}
    assert replace(found, test=replace(found.test, shape_variations=moved)).digest != found.digest


@pytest.mark.parametrize("damage", ["", "[]", '{"seed": 1}', "bit"])
def test_a_damaged_file_is_named_and_its_training_done_again(tmp_path: Path, damage: str) -> None:
    mlp = Architecture(name="MLP", train=Trainings())
    first = run_sensitivity_grid([task(mlp)], seed=3, n_trainings=2, folder=tmp_path)
    path = min(tmp_path.iterdir())
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content if damage == "bit" else damage.encode())
    with pytest.warns(UserWarning, match=rf"{path.name} is damaged .*; training of 'MLP' on '.*' is repeated"):
        again = run_sensitivity_grid([task(mlp)], seed=3, n_trainings=2, folder=tmp_path)
    assert again.cells == first.cells


def test_an_interrupted_training_leaves_nothing_behind(tmp_path: Path) -> None:
    trained = Trainings()

    def interrupted(train: EventTable, validation: EventTable, seed: int) -> Classifier:
        if trained.seeds:
            raise KeyboardInterrupt
        return trained(train, validation, seed)

    with pytest.raises(KeyboardInterrupt):
        run_sensitivity_grid([task(Architecture(name="MLP", train=interrupted))], seed=3, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    run_sensitivity_grid([task(Architecture(name="MLP", train=trained))], seed=3, folder=tmp_path)
    assert len(trained.seeds) == 3


def test_errors_name_their_cell() -> None:
    def broken(train: EventTable, validation: EventTable, seed: int) -> Classifier:
        msg = "no events"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="no events") as caught:
        run_sensitivity_grid([task(Architecture(name="MLP", train=broken))], seed=3)
    assert caught.value.__notes__[0].startswith("in 'MLP' on 'first', seed ")


def test_impossible_grids_are_refused() -> None:
    mlp = Architecture(name="MLP", train=Trainings())
    with pytest.raises(ValueError, match="at least one task and two trainings"):
        run_sensitivity_grid([], seed=1)
    with pytest.raises(ValueError, match=r"errors from their spread; got 1 and 1"):
        run_sensitivity_grid([task(mlp)], seed=1, n_trainings=1)
    for tasks in ([task(mlp, mlp)], [task(mlp), task(mlp)], [task(mlp, absent={"MLP": "why"})]):
        with pytest.raises(ValueError, match="'MLP' occurs twice in task 'first'"):
            run_sensitivity_grid(tasks, seed=1)
    grid = run_sensitivity_grid([task(mlp)], seed=1, n_trainings=2)
    with pytest.raises(ValueError, match="no number 'size' of 'flips'; choose one of ordinary"):
        grid.values("first", "MLP", "flips", "size")
    with pytest.raises(ValueError, match="of flips or yield_shift"):
        grid.values("first", "MLP", "score", "attack")  # type: ignore[arg-type]
