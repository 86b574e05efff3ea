# SPDX-License-Identifier: BSD-3-Clause
"""A million events, in a process of its own so that its peak memory is its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.benchmarks.conftest import Record

N_EVENTS, N_FEATURES = 1_000_000, 30
PROGRAM = f"""
import json, resource, time
import numpy as np, torch
import hepfool as hf
from hepfool.attacks import CONSERVAttack
from hepfool.models.networks import mlp
from hepfool.models.pytorch import TorchClassifier

torch.set_num_threads(2)
torch.manual_seed(1)
rng = np.random.default_rng(1)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
network = TorchClassifier(mlp({N_FEATURES}, (64, 32)))
def attack(values):
    table = hf.EventTable.from_arrays(values, labels=network.predict(values))
    del values
    configuration = CONSERVAttack(beta=20.0, max_js_distance=0.005, max_correlation_shift=0.005)
    start = time.perf_counter()
    result = hf.run_attack(configuration, network, table, rng=rng)
    return result.fooling_ratio, time.perf_counter() - start
attack(rng.normal(size=(2000, {N_FEATURES})))
before = peak()
values = rng.normal(size=({N_EVENTS}, {N_FEATURES}))
size = values.nbytes
ratio, seconds = attack(values)
print(json.dumps(dict(ratio=ratio, seconds=seconds, tables=(peak() - before) / size)))
"""


@pytest.mark.slow
def test_a_million_events(record: Record) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    shape = f"{N_EVENTS} x {N_FEATURES}, 10 iterations, 2 threads"
    record("peak memory / table, a million events", found["tables"], target="<= 6", remark=shape)
    record("seconds, a million events", found["seconds"], remark=f"{shape}, fooling ratio {found['ratio']:.3f}")
