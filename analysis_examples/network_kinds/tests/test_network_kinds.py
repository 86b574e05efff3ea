# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    # Ten epochs on random events.
    pytest.mark.filterwarnings("ignore"),
]
SCRIPT = Path(__file__).parents[1] / "network_kinds.py"


def test_a_row_for_each_kind() -> None:
    names = runpy.run_path(str(SCRIPT))
    done = CliRunner().invoke(names["main"], ["--quick"], catch_exceptions=False)
    head, _, *rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in done.output.splitlines() if "|" in line
    ]
    assert head[:3] == ["kind", "scores differ by", "fooling ratio, caps 0.03"]
    found = {row[0]: (float(row[1]), float(row[2]), float(row[4])) for row in rows}
    assert {"PyTorch module", "TorchScript", ".pt2", "two folds", "best of two per event"} <= set(found)
    assert max(difference for difference, _, _ in found.values()) < 1e-5
    same = {found[kind][1:] for kind in ("PyTorch module", ".pt2", "state and module.py:function")}
    assert len(same) == 1, "one network, from three kinds of files"
    assert all(loose > 0 for _, loose, _ in found.values())
