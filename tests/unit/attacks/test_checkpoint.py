# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepfool.attacks.base import AttackResult, Iteration, run_attack
from hepfool.attacks.checkpoint import Checkpointed
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.attacks.gradient import PGD
from hepfool.events import Envelope
from hepfool.io.store import Store, read_store, write_store
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
ATTACK = CONSERVAttack(n_iterations=4, n_bins=25, n_candidates=10, max_js_distance=0.1)


def run(attack: Any, *, seed: int = 1, n_events: int = 200, **options: Any) -> AttackResult:
    return run_attack(attack, SineClassifier(), events(n_events), rng=np.random.default_rng(seed), **options)


def interrupted(after: int) -> Any:
    def stop(iteration: Iteration) -> None:
        if iteration.index == after:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("strategy", ["paper", "frugal"])
def test_going_on_gives_the_same_bits(tmp_path: Path, after: int, strategy: str) -> None:
    attack = ATTACK if strategy == "paper" else replace(ATTACK, strategy="frugal", n_candidates=None)
    expected = run(attack).adversarial.values
    path = tmp_path / "attack.zip"
    part = run(Checkpointed(attack, path), progress=interrupted(after))
    assert part.iterations_done == after
    assert not np.array_equal(part.adversarial.values, expected, equal_nan=True)
    whole = run(Checkpointed(attack, path))
    assert np.array_equal(whole.adversarial.values, expected, equal_nan=True)
    assert np.array_equal(run(Checkpointed(attack, path)).adversarial.values, expected, equal_nan=True)


def test_the_result_says_which_attack_it_was(tmp_path: Path) -> None:
    assert run(Checkpointed(ATTACK, tmp_path / "attack.zip")).provenance == run(ATTACK).provenance


def test_finished_iterations_are_not_repeated(tmp_path: Path) -> None:
    class Counting(SineClassifier):
        calls = 0

        def margin_and_gradient(self, *arguments: Any) -> Any:
            Counting.calls += 1
            return super().margin_and_gradient(*arguments)

    attack = Checkpointed(ATTACK, tmp_path / "attack.zip")
    for expected in (4, 4):
        run_attack(attack, Counting(), events(200), rng=np.random.default_rng(1))
        assert Counting.calls == expected


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"attack": replace(ATTACK, alpha=5.0)}, "attack differ"),
        ({"seed": 2}, "seed differ"),
        ({"n_events": 199}, "events, target"),
        ({"target": 1}, "target differ"),
    ],
)
def test_a_foreign_checkpoint_is_refused_by_name(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = tmp_path / "attack.zip"
    run(Checkpointed(ATTACK, path))
    attack = changed.pop("attack", ATTACK)
    with pytest.raises(ValueError, match=f"belongs to another run: {message}"):
        run(Checkpointed(attack, path), **changed)


def test_an_envelope_that_is_a_unit_belongs_to_the_run(tmp_path: Path) -> None:
    """Far beyond the ranges it changes no bound, but the length of the steps."""
    attack = Checkpointed(PGD(step=1e-6, unit="envelope"), tmp_path / "attack.zip")
    sigma = np.array([1e6, 1e6, 0.1, 1e6, 1e6, 1e6])
    run(attack, envelope=Envelope.absolute(events(200), sigma))
    sigma[0] *= 2.0
    with pytest.raises(ValueError, match="belongs to another run: envelope differ"):
        run(attack, envelope=Envelope.absolute(events(200), sigma))


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "attack.zip"
    run(Checkpointed(ATTACK, path))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="no sound archive"):
        run(Checkpointed(ATTACK, path))


def test_a_damaged_checkpoint_of_our_own_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "attack.zip"
    expected = run(Checkpointed(ATTACK, path)).adversarial.values
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=r"attack\.zip is no sound archive .*; the attack is done again"):
        again = run(Checkpointed(ATTACK, path, renew=True)).adversarial.values
    assert np.array_equal(again, expected, equal_nan=True)


@pytest.mark.faults
@pytest.mark.parametrize("until", [1, 2, 9])
def test_a_disk_that_is_full_for_a_while_is_said_once_and_costs_no_iteration(
    until: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(ATTACK).adversarial.values
    path, calls = tmp_path / "attack.zip", []

    def full(*arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) <= until:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_store(*arguments, **options)

    monkeypatch.setattr("hepfool.attacks.checkpoint.write_store", full)
    with pytest.warns(
        UserWarning, match=r"cannot be kept in .* \(No space left on device\); the attack goes on"
    ) as said:
        values = run(Checkpointed(ATTACK, path)).adversarial.values
    assert len(said) == 1
    assert np.array_equal(values, expected, equal_nan=True)
    assert path.exists() == (until < ATTACK.n_iterations)
    monkeypatch.undo()
    assert np.array_equal(run(Checkpointed(ATTACK, path)).adversarial.values, expected, equal_nan=True)


@pytest.mark.faults
@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"key": []},
        {"key": {}, "iterations_done": 1, "random_state": {}},
        {"key": {"seed": "x"}, "iterations_done": "many", "random_state": {}},
        {"key": {"seed": "x"}, "iterations_done": 1, "random_state": {"bit_generator": "os.system"}},
    ],
)
def test_an_archive_that_is_no_checkpoint_is_refused(tmp_path: Path, metadata: dict[str, Any]) -> None:
    path = tmp_path / "attack.zip"
    write_store(path, Store(arrays={"values": np.zeros((200, 6))}, metadata=metadata))
    with pytest.raises(ValueError, match="is no checkpoint of an attack"):
        run(Checkpointed(ATTACK, path))


@pytest.mark.faults
def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "attack.zip"
    run(Checkpointed(ATTACK, path))
    store = read_store(path)
    write_store(path, Store(arrays={"values": np.zeros((2, 6))}, metadata=store.metadata), force=True)
    with pytest.raises(ValueError, match=r"values of shape \(2, 6\), expected \(200, 6\)"):
        run(Checkpointed(ATTACK, path))
