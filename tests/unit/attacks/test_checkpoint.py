# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepfool.attacks import PGD, AttackResult, CONSERVAttack, run_attack
from hepfool.attacks import _checkpoint as checkpoint
from hepfool.events import Envelope
from hepfool.io._files import written_whole
from hepfool.io._finished import Finished
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
ATTACK = CONSERVAttack(n_iterations=4, n_bins=25, n_candidates=10, max_js_distance=0.1)


def run(attack: Any, *, seed: int = 1, n_events: int = 200, **options: Any) -> AttackResult:
    return run_attack(attack, SineClassifier(), events(n_events), rng=np.random.default_rng(seed), **options)


def interrupted(after: int) -> Any:
    def stop(figures: str, fraction: float) -> None:
        if fraction >= after / ATTACK.n_iterations:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("strategy", ["paper", "frugal"])
def test_going_on_gives_the_same_bits(tmp_path: Path, after: int, strategy: str) -> None:
    attack = ATTACK if strategy == "paper" else replace(ATTACK, strategy="frugal", n_candidates=None)
    expected = run(attack).adversarial.values
    path = tmp_path / "attack.zip"
    part = run(attack, resume=path, progress=interrupted(after))
    assert part.iterations_done == after
    assert not np.array_equal(part.adversarial.values, expected, equal_nan=True)
    whole = run(attack, resume=path)
    assert np.array_equal(whole.adversarial.values, expected, equal_nan=True)
    assert np.array_equal(run(attack, resume=path).adversarial.values, expected, equal_nan=True)


def test_the_result_says_which_attack_it_was(tmp_path: Path) -> None:
    kept = run(ATTACK, resume=tmp_path / "attack.zip")
    assert (kept.attack, kept.provenance) == (ATTACK, run(ATTACK).provenance)


def test_finished_iterations_are_not_repeated(tmp_path: Path) -> None:
    class Counting(SineClassifier):
        calls = 0

        def margin_and_gradient(self, *arguments: Any) -> Any:
            Counting.calls += 1
            return super().margin_and_gradient(*arguments)

    for expected in (4, 4):
        run_attack(ATTACK, Counting(), events(200), rng=np.random.default_rng(1), resume=tmp_path / "attack.zip")
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
    run(ATTACK, resume=path)
    attack = changed.pop("attack", ATTACK)
    with pytest.raises(ValueError, match=f"belongs to another run: {message}"):
        run(attack, resume=path, **changed)


def test_an_envelope_that_is_a_unit_belongs_to_the_run(tmp_path: Path) -> None:
    """Far beyond the ranges it changes no bound, but the length of the steps."""
    attack, path = PGD(step=1e-6, unit="envelope"), tmp_path / "attack.zip"
    sigma = np.array([1e6, 1e6, 0.1, 1e6, 1e6, 1e6])
    run(attack, resume=path, envelope=Envelope.absolute(events(200), sigma))
    sigma[0] *= 2.0
    with pytest.raises(ValueError, match="belongs to another run: envelope differ"):
        run(attack, resume=path, envelope=Envelope.absolute(events(200), sigma))


@pytest.mark.faults
@pytest.mark.parametrize("position", [0.3, 0.6, 0.99])
def test_a_changed_bit_is_said_and_the_attack_begun_anew(tmp_path: Path, position: float) -> None:
    path = tmp_path / "attack.zip"
    expected = run(ATTACK, resume=path).adversarial.values
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"attack\.zip is damaged .*; the attack is repeated"):
        again = run(ATTACK, resume=path).adversarial.values
    assert np.array_equal(again, expected, equal_nan=True)


def test_the_file_is_read_once_and_the_events_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for owner, name in ((checkpoint, "table_digest"), (Finished, "load")):
        original = getattr(owner, name)

        def counted(*arguments: Any, name: str = name, original: Any = original) -> Any:
            calls.append(name)
            return original(*arguments)

        monkeypatch.setattr(owner, name, counted)
    run(ATTACK, resume=tmp_path / "attack.zip")
    assert sorted(calls) == ["load", "table_digest"]


@pytest.mark.faults
@pytest.mark.parametrize("until", [1, 2, 9])
def test_a_disk_that_is_full_for_a_while_is_said_once_and_costs_no_iteration(
    until: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(ATTACK).adversarial.values
    path, calls = tmp_path / "attack.zip", []

    @contextmanager
    def full(*arguments: Any, **options: Any) -> Iterator[Path]:
        calls.append(1)
        if len(calls) <= until:
            raise OSError(errno.ENOSPC, "No space left on device")
        with written_whole(*arguments, **options) as temporary:
            yield temporary

    monkeypatch.setattr("hepfool.io._finished.written_whole", full)
    with pytest.warns(
        UserWarning, match=r"cannot be kept in .* \(No space left on device\); the run continues"
    ) as said:
        values = run(ATTACK, resume=path).adversarial.values
    assert len(said) == 1
    assert np.array_equal(values, expected, equal_nan=True)
    assert path.exists() == (until < ATTACK.n_iterations)
    monkeypatch.undo()
    assert np.array_equal(run(ATTACK, resume=path).adversarial.values, expected, equal_nan=True)


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "attack.zip"
    path.write_text("pt,eta\n")
    with pytest.raises(
        ValueError, match="holds no finished work of this version of hepfool; delete it, or name another"
    ):
        run(ATTACK, resume=path)
    assert path.read_text() == "pt,eta\n"
