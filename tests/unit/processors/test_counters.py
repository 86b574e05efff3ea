# SPDX-License-Identifier: BSD-3-Clause
"""Objects belong to the event that the counter says; a counter of another collection is found out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepfool.processors._counters import check_counters

COUNTS = np.array([2, 0, 1, 3, 0, 1])


def written(path: Path, told: Any, *, own: str = "n_of_Tau") -> Any:
    """Taus of ``COUNTS`` beside a counter that tells something else."""
    taus = ak.zip({"pt": ak.unflatten(np.arange(7.0), COUNTS), "eta": ak.unflatten(np.zeros(7), COUNTS)})
    content = {"Tau": taus, "Tau_best": np.zeros(6), "nTau": np.asarray(told), "met": np.ones(6)}
    types = {
        name: values.type.content if isinstance(values, ak.Array) else values.dtype for name, values in content.items()
    }
    if own == "nTau":
        del content["nTau"], types["nTau"]
    with uproot.recreate(path) as file:
        file.mktree("Events", types, counter_name=lambda _: own).extend(content)
    return uproot.open(path)["Events"]


def test_counters_that_fit_pass(tmp_path: Path) -> None:
    check_counters(written(tmp_path / "a.root", COUNTS), 0, 6)
    check_counters(written(tmp_path / "b.root", COUNTS.astype(float)), 2, 5)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(0, 3), min_size=6, max_size=6))
def test_any_other_counter_is_found_out(tmp_path: Path, told: list[int]) -> None:
    tree = written(tmp_path / "a.root", np.array(told, dtype=np.int32))
    differ = np.flatnonzero(np.array(told) != COUNTS)
    if not len(differ):
        check_counters(tree, 0, 6)
        return
    with pytest.raises(ValueError, match=rf"nTau is {told[differ[0]]} at entry {differ[0]}, .*\({len(differ)} of 6"):
        check_counters(tree, 0, 6)


def test_only_entries_and_branches_in_use_count(tmp_path: Path) -> None:
    told = COUNTS.copy()
    told[1] = 1
    tree = written(tmp_path / "a.root", told)
    check_counters(tree, 2, 6)
    check_counters(tree, 0, 6, patterns=["met", "nTau"])
    with pytest.raises(ValueError, match="at entry 1"):
        check_counters(tree, 1, 6, patterns=["met", "Tau_*"])


def test_files_as_root_writes_them_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = written(tmp_path / "a.root", COUNTS, own="nTau")

    def never(*_: Any, **__: Any) -> None:
        msg = "read"
        raise AssertionError(msg)

    monkeypatch.setattr(uproot.TBranch, "array", never)
    check_counters(tree, 0, 6)
