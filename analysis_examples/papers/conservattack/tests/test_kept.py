# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path

import pytest

from analysis_examples.papers.conservattack.augmented_runs import AugmentedRun
from analysis_examples.papers.conservattack.kept import kept

RUN = AugmentedRun(baseline=0.1 + 0.2, augmented=0.8, control=0.7, n_train=10, n_added=3, fooling_ratio=float("nan"))


def test_numbers_are_computed_once_and_for_their_key_only(tmp_path: Path) -> None:
    asked: list[str] = []

    def compute() -> AugmentedRun:
        asked.append("")
        return RUN

    first, again = (kept(tmp_path / "runs", ("plan", 1), compute) for _ in range(2))
    assert len(asked) == 1
    for found in (first, again):
        assert AugmentedRun(**found).baseline == RUN.baseline
        assert str(AugmentedRun(**found)) == str(RUN)
    kept(tmp_path / "runs", ("plan", 2), compute)
    assert len(asked) == 2
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_what_was_interrupted_is_not_kept(tmp_path: Path) -> None:
    def interrupted() -> AugmentedRun:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path, 1, interrupted)
    assert not list(tmp_path.iterdir())
    assert kept(None, 1, lambda: {"a": (1.0, 2.0)}) == {"a": [1.0, 2.0]}
