# SPDX-License-Identifier: BSD-3-Clause
"""Moving one value at a time gives what measuring everything again gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from hepfool._kernels import kernel
from hepfool.attacks._search import bounded, candidates
from hepfool.attacks._search.bounded import Hunt
from hepfool.attacks._search.candidates import ANGLE, CONTINUOUS, INTEGER, Course, Grid, Options
from hepfool.attacks._search.price import Rules, Worth, staying
from hepfool.events import EventTable
from hepfool.statistics import Binning
from hepfool.statistics import _dataset_state as dataset_state
from hepfool.statistics import _incremental as incremental
from hepfool.statistics._dataset_state import FILL, GROUP, MEAN, DatasetState, new_state
from hepfool.statistics._incremental import Probe
from hepfool.typing import FloatArray
from tests.specimens import events

# Merged with their callers in a sweep; here they are compiled to be called from Python.
best_of_bins, cheapest_on_grid = kernel(bounded.best_of_bins), kernel(bounded.cheapest_on_grid)
scan_bins, scan_grid = kernel(bounded.scan_bins), kernel(bounded.scan_grid)
find_bin = kernel(dataset_state.find_bin)
commit, probe = kernel(incremental.commit), kernel(incremental.probe)
correlation_shift_after, divergence_after = (
    kernel(incremental.correlation_shift_after),
    kernel(incremental.divergence_after),
)
row_change, row_distance = kernel(incremental.row_change), kernel(incremental.row_distance)

N_BINS = 30
FEW = settings(max_examples=25)


def slow_twin(table: EventTable, values: FloatArray, binning: Binning) -> tuple[FloatArray, FloatArray]:
    """Distances and Pearson matrix of the constrained events, straight from their definitions."""
    chosen, weights = table.constrained, table.weights[table.constrained]
    before, after = table.values[chosen], values[chosen]
    fill = np.array([np.average(x[~np.isnan(x)], weights=weights[~np.isnan(x)]) for x in before.T])
    filled = np.where(np.isnan(after), fill, after)
    mean = np.average(filled, axis=0, weights=weights)
    covariance = ((filled - mean) * weights[:, np.newaxis]).T @ (filled - mean)
    sigma = np.sqrt(np.diag(covariance))
    distances = []
    for edges, x, y in zip(binning.edges, before.T, after.T, strict=True):
        p, q = (
            np.append(
                np.histogram(v[~np.isnan(v)], bins=edges, weights=weights[~np.isnan(v)])[0], weights[np.isnan(v)].sum()
            )
            for v in (x, y)
        )
        p, q = p / p.sum(), q / q.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = [np.where(a > 0, a * np.log2(2 * a / (p + q)), 0.0).sum() for a in (p, q)]
        distances.append(np.sqrt(max(0.5 * sum(terms), 0.0)))
    return np.array(distances), covariance / np.outer(sigma, sigma)


def deviation_of(state: DatasetState, values: FloatArray, i: int) -> FloatArray:
    return np.asarray(np.where(np.isnan(values[i]), state.vectors[FILL], values[i]) - state.vectors[MEAN])


def probed(table: EventTable, state: DatasetState, values: FloatArray, i: int, j: int) -> tuple[Probe, FloatArray]:
    deviation = deviation_of(state, values, i)
    return probe(state, j, values[i, j], table.weights[i], deviation), deviation


@FEW
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_a_chain_of_moves_equals_measuring_again(seed: int, weighted: bool, regions: bool) -> None:
    rng = np.random.default_rng(seed)
    table = events(150, seed=seed % 1000, weighted=weighted, regions=regions)
    binning = Binning.uniform(table, n_bins=N_BINS)
    values = table.values.copy()
    state = new_state(table, values, table.constrained, binning)
    nominal_correlation = slow_twin(table, table.values, binning)[1]
    for i in rng.choice(np.flatnonzero(table.constrained), size=40):
        j = int(rng.choice(np.flatnonzero(~np.isnan(values[i]))))
        edges = binning.edges[j]
        value = float(rng.choice([rng.uniform(edges[0], edges[-1]), edges[rng.integers(len(edges))]]))
        item, deviation = probed(table, state, values, i, j)
        delta = value - values[i, j]
        new_bin = int(state.bins[j, GROUP, find_bin(state.bins[j], item.inverse_width, value)])
        promised = np.sqrt(divergence_after(state.bins[j], item, new_bin))
        shift = correlation_shift_after(item, row_distance(item, delta))
        change = row_change(item, delta)
        before = slow_twin(table, values, binning)[1]
        commit(state, j, item, delta, new_bin, table.weights[i], deviation)
        values[i, j] = value
        distances, correlation = slow_twin(table, values, binning)
        norm = np.linalg.norm(nominal_correlation)
        assert distances[j] == pytest.approx(promised, abs=1e-7)
        assert shift == pytest.approx(np.linalg.norm(correlation - nominal_correlation) / norm, abs=1e-9)
        assert change == pytest.approx(np.linalg.norm(correlation - before) / norm, abs=1e-7)
    distances, correlation = slow_twin(table, values, binning)
    np.testing.assert_allclose(state.js_distance**2, distances**2, atol=1e-9)
    assert state.correlation_shift == pytest.approx(
        np.linalg.norm(correlation - nominal_correlation) / np.linalg.norm(nominal_correlation), abs=1e-9
    )


@FEW
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1e-4, 5e-4, 3e-3]),
    st.sampled_from([(4.0, 1.0), (4.0, 20.0), (0.0, 1.0), (1.0, 0.0)]),
    st.sampled_from([np.inf, 0.05, 0.01]),
    st.sampled_from([np.inf, 0.03]),
)
def test_branch_and_bound_chooses_what_a_scan_chooses(
    seed: int, step: float, prices: tuple[float, float], cap: float, step_cap: float
) -> None:
    rng = np.random.default_rng(seed)
    table = events(300, seed=seed % 1000, regions=False)
    binning = Binning.uniform(table, n_bins=N_BINS)
    values = table.values.copy()
    state = new_state(table, values, table.constrained, binning)
    rules = Rules(prices[0], prices[1], cap**2, cap / 10, cap, step_cap**2)
    for _ in range(60):
        i, j = int(rng.integers(table.n_events)), int(rng.choice([0, 1, 5]))
        if np.isnan(values[i, j]):
            continue
        item, deviation = probed(table, state, values, i, j)
        low, high = binning.edges[j, 0], binning.edges[j, -1]
        sign = float(rng.choice([-1.0, 1.0]))
        room = high - values[i, j] if sign > 0 else values[i, j] - low
        unit = step * (high - low)
        n = int(np.floor(room / unit)) - 1
        if n < 1:
            continue
        grid = Grid(values[i, j], sign, unit, unit, n)
        fast = cheapest_on_grid(state.bins[j], state.blocks[j], item, rules, grid, np.empty((3, state.blocks.shape[1])))
        slow = scan_grid(state.bins[j], item, rules, grid)
        assert fast == slow
        if fast.new_bin >= 0:
            commit(state, j, item, fast.delta, fast.new_bin, table.weights[i], deviation)
            values[i, j] = fast.value


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_bins=st.sampled_from([7, 30, 75]),
    prices=st.sampled_from([(4.0, 20.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (13.5, 50.0)]),
    caps=st.tuples(st.sampled_from([np.inf, 0.05, 0.01]), st.sampled_from([np.inf, 0.05])),
    negative=st.sampled_from([0.0, 0.15]),
    n_candidates=st.sampled_from([0, 0, 5]),
    homewards=st.booleans(),
    far=st.booleans(),
)
def test_branch_and_bound_over_bins_chooses_what_trying_every_bin_chooses(
    seed: int,
    n_bins: int,
    prices: tuple[float, float],
    caps: tuple[float, float],
    negative: float,
    n_candidates: int,
    homewards: bool,
    far: bool,
) -> None:
    rng = np.random.default_rng(seed)
    table = events(300, seed=seed % 1000, regions=False, weighted=bool(seed % 2), negative=negative)
    # Far from zero single precision leaves bins empty, and puts what is drawn in them into others.
    table = replace(
        table, values=np.add(table.values, [1e8 * far, 0, 0, 0, 0, 0]).astype(np.float32).astype(np.float64)
    )
    binning = Binning.uniform(table, n_bins=n_bins)
    values, n_moved = table.values.copy(), 0
    try:
        state = new_state(table, values, table.constrained, binning)
    except ValueError:  # the weights cancel, which is refused before an attack
        reject()
    options = Options(per_bin=True, n_candidates=n_candidates, random=True, compete=False, homewards=False)
    kinds = {0: CONTINUOUS, 1: CONTINUOUS, 2: ANGLE, 3: INTEGER, 5: CONTINUOUS}
    for turn in range(80):
        options = options._replace(homewards=homewards and turn >= 40)
        i, j = int(rng.integers(table.n_events)), int(rng.choice(list(kinds)))
        if np.isnan(values[i, j]):
            continue
        low, high = binning.edges[j, 0], binning.edges[j, -1]
        least, most = (-np.inf, np.inf) if kinds[j] == ANGLE else (low, high)
        period = high - low
        course = Course(kinds[j], 0.01 * period, 0.01 * period, least, most, low, period, table.values[i, j], i * 6 + j)
        item, deviation = probed(table, state, values, i, j)
        rules = Rules(*prices, caps[0] ** 2, float(rng.choice([np.inf, 0.01])), caps[0], caps[1] ** 2)
        slope, needed = float(rng.normal() / period), float(rng.choice([0.0, 0.3]))
        lowest = float(rng.choice([-np.inf, -0.2]))
        worth = Worth(
            slope, needed, lowest, float(rng.choice([np.inf, 0.4])), float(rng.choice([0.0, 2.0])), staying(item, rules)
        )
        hunt = Hunt(item, rules, worth, np.inf, -np.inf, np.inf)
        spot = candidates.spot_of(course, options, values[i, j])
        space = np.empty((3, state.blocks.shape[1]))
        fast = best_of_bins(state.bins[j], state.blocks[j], hunt, options, course, spot, seed, space)
        slow = scan_bins(state.bins[j], hunt, options, course, spot, seed)
        assert fast == slow
        if fast.new_bin >= 0:
            n_moved += 1
            commit(state, j, item, fast.delta, fast.new_bin, table.weights[i], deviation)
            values[i, j] = fast.value
    assert n_moved > 0 or caps[0] < 0.05 or prices == (0.0, 0.0)
