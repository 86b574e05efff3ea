# SPDX-License-Identifier: BSD-3-Clause
"""A million events, in a process of its own so that its peak memory is its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


N_CHUNKS, CHUNK = 20, 250_000
PARTITIONED = f"""
import json, resource, sys, time
import numpy as np, torch
import hepfool as hf
from hepfool.attacks import CONSERVAttack
from hepfool.io.partitions import write_partitions
from hepfool.models.networks import mlp
from hepfool.models.pytorch import TorchClassifier
from hepfool.processors.partitioned_attack import PartitionedAttack

torch.set_num_threads(2)
torch.manual_seed(1)
rng = np.random.default_rng(1)
network = TorchClassifier(mlp({N_FEATURES}, (64, 32)))
def chunks():
    for _ in range({N_CHUNKS}):
        values = rng.normal(size=({CHUNK}, {N_FEATURES}))
        yield hf.EventTable.from_arrays(values, labels=network.predict(values))
attack = CONSERVAttack(beta=20.0, max_js_distance=0.005, max_correlation_shift=0.005, n_iterations=2)
start = time.perf_counter()
result = PartitionedAttack(classifier=network, attack=attack).run(write_partitions(sys.argv[1], chunks()))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps(dict(ratio=result.fooling_ratio, parts=result.n_events, peak=peak, seconds=time.perf_counter() - start)))
"""


KEPT = f"""
import json, time
import numpy as np, torch
import hepfool as hf
from hepfool.attacks import CONSERVAttack
from hepfool.events import Region
from hepfool.models.networks import mlp
from hepfool.models.pytorch import TorchClassifier
from hepfool.validation import Correlations, Marginals, Validation

torch.set_num_threads(1)
torch.manual_seed(1)
rng = np.random.default_rng(1)
network = TorchClassifier(mlp({N_FEATURES}, (64, 32)))
inputs, score = Marginals(max_js_distance=0.03), Marginals(max_js_distance=0.03, n_bins=25, n_quantiles=25)
validation = Validation(inputs=inputs, score=score, correlations=Correlations(max_shift=0.03))
attack = CONSERVAttack(strategy="frugal", n_iterations=2, converge=False, validation=validation)
def table_of(values):
    low = values[:, 0] < 0.0
    cuts = [("low", low, (-np.inf, 0.0)), ("high", ~low, (0.0, np.inf))]
    regions = [Region(name, mask, "control", {{"x0": cut}}) for name, mask, cut in cuts]
    names = [f"x{{j}}" for j in range({N_FEATURES})]
    return hf.EventTable.from_arrays(values, labels=network.predict(values), features=names, regions=regions)
hf.run_attack(attack, network, table_of(rng.normal(size=(2000, {N_FEATURES}))), rng=1)
table = table_of(rng.normal(size=(300_000, {N_FEATURES})))
def resident(name):
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith(name))
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the largest size so far is that of a compiler
before, start = resident("VmRSS"), time.process_time()
result = hf.run_attack(attack, network, table, rng=1)
seconds, peak = time.process_time() - start, resident("VmHWM")
print(json.dumps(dict(ratio=result.fooling_ratio, seconds=seconds, tables=(peak - before) / table.values.nbytes)))
"""


@pytest.mark.slow
def test_memory_with_everything_kept(record: Record) -> None:
    done = subprocess.run([sys.executable, "-c", KEPT], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    shape = f"300 000 x {N_FEATURES}, score, correlations and inputs in each of two regions, 2 iterations, {found['seconds']:.0f} CPU s"
    record("peak memory beyond the table / table", found["tables"], target="<= 4", remark=shape)


@pytest.mark.slow
def test_five_million_events(record: Record, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARTITIONED, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert sum(found["parts"]) == N_CHUNKS * CHUNK
    shape = f"{N_CHUNKS * CHUNK} x {N_FEATURES} in {len(found['parts'])} partitions, 2 iterations, one process"
    remark = f"{shape}, {found['seconds']:.0f} s, fooling ratio {found['ratio']:.3f}"
    record("peak memory of the process, GB", found["peak"] / 1e9, target="<= 8", remark=remark)


@pytest.mark.slow
def test_a_million_events(record: Record) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    shape = f"{N_EVENTS} x {N_FEATURES}, 10 iterations, 2 threads"
    record("peak memory / table, a million events", found["tables"], target="<= 6", remark=shape)
    record("seconds, a million events", found["seconds"], remark=f"{shape}, fooling ratio {found['ratio']:.3f}")
