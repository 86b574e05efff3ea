# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import os
import subprocess
import sys

import numba
import pytest
import threadpoolctl

from hepfool import _kernels as kernels
from hepfool.processors._threads import limited_threads

PROGRAM = """
import threadpoolctl
from hepfool import _kernels as kernels
from hepfool.processors._threads import use_threads
import torch
torch.set_num_threads(3)
print(kernels.threads(), torch.get_num_threads())
use_threads(2)
print(kernels.threads(), torch.get_num_threads(), max(pool["num_threads"] for pool in threadpoolctl.threadpool_info()))
"""


@pytest.mark.torch
@pytest.mark.slow
def test_all_libraries_use_the_threads_of_the_worker() -> None:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, "4")}
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, env=environment)
    before, after = done.stdout.splitlines()
    assert before == "4 3"
    assert after == "2 2 2"


@pytest.mark.torch
def test_limits_of_the_driver_are_taken_back() -> None:
    torch = pytest.importorskip("torch")

    def state() -> tuple[int, int, list[int]]:
        return kernels.threads(), torch.get_num_threads(), [p["num_threads"] for p in threadpoolctl.threadpool_info()]

    before = state()
    with limited_threads(1):
        assert state()[:2] == (1, 1)
        assert set(state()[2]) <= {1}
    assert state() == before
    with limited_threads(None):
        assert state() == before


def test_the_environment_stays_the_upper_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 3)
    former = kernels.limit_threads(8)
    try:
        assert kernels.threads() == 3
        assert kernels.limit_threads(2) == 8
        assert kernels.threads() == 2
    finally:
        kernels.limit_threads(former)
