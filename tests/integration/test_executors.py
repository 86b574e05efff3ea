# SPDX-License-Identifier: BSD-3-Clause
"""The same result from every executor; run with ``-s`` to see the digests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from coffea.nanoevents import BaseSchema
from coffea.processor import DaskExecutor, FuturesExecutor, IterativeExecutor, Runner

from hepfool.processors._digest import digest
from hepfool.processors.completeness import run_processor
from hepfool.processors.passes import RangeProcessor
from hepfool.processors.processor import AttackProcessor, ChunkProcessor

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")


def _runner(executor: Any) -> Runner:
    return Runner(executor, schema=BaseSchema, chunksize=100)


@pytest.fixture(params=["dataset", "chunk"])
def processor(
    request: pytest.FixtureRequest, toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any
) -> AttackProcessor | ChunkProcessor:
    ranges = run_processor(_runner(IterativeExecutor(status=False)), toy_fileset, RangeProcessor(analysis))["ranges"]
    if request.param == "chunk":
        return ChunkProcessor(analysis, classifier, attack, seed=7, binning=ranges.binning(attack.n_bins))
    return AttackProcessor(analysis, classifier, attack, seed=7)


@pytest.fixture
def expected(toy_fileset: dict[str, Any], processor: AttackProcessor | ChunkProcessor) -> str:
    return _digest(IterativeExecutor(status=False), toy_fileset, processor)


def _digest(executor: Any, fileset: dict[str, Any], processor: AttackProcessor | ChunkProcessor) -> str:
    answer = digest(run_processor(_runner(executor), fileset, processor))
    print(f"\n{type(processor).__name__:16} {type(executor).__name__:18} {answer}")  # noqa: T201
    return answer


@pytest.mark.parametrize("pool", [None, ThreadPoolExecutor], ids=["processes", "threads"])
def test_futures(
    toy_fileset: dict[str, Any], processor: AttackProcessor | ChunkProcessor, expected: str, pool: Any
) -> None:
    options = {} if pool is None else {"pool": pool}
    assert _digest(FuturesExecutor(workers=2, status=False, **options), toy_fileset, processor) == expected


@pytest.mark.dask
def test_dask(
    toy_fileset: dict[str, Any], processor: AttackProcessor | ChunkProcessor, expected: str, dask_client: Any
) -> None:
    executor = DaskExecutor(client=dask_client, status=False)
    assert _digest(executor, toy_fileset, processor) == expected
