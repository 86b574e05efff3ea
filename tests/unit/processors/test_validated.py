# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from coffea.processor import accumulate

from hepfool.attacks import CONSERVAttack, Noise, run_attack
from hepfool.events import EventTable
from hepfool.features import Derived
from hepfool.processors import attack_table
from hepfool.processors._chunk import chunk_rng
from hepfool.statistics import Binning, compare
from hepfool.statistics._comparisons import Figure, Validated
from hepfool.typing import BoolArray, FloatArray
from hepfool.validation import Marginals, Validation
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
CLASSIFIER = SineClassifier()


class HighPt:
    """A detector that needs no training."""

    def flags(self, values: FloatArray) -> BoolArray:
        return values[:, 0] > 45.0


KEPT = Validation(observables={"sum": Marginals(of=Derived(["pt", "eta"], np.add))}, flagged=HighPt())
ATTACK = CONSERVAttack(validation=KEPT, strategy="frugal", n_iterations=11)


def by_place(found: Validated) -> dict[tuple[str, str, str], Figure]:
    return {(f.comparison, f.part, f.column): f for f in found.figures if f.comparison != "score and flag"}


def chunk(table: EventTable, binning: Binning, attack: Any = ATTACK) -> dict[str, Any]:
    return attack_table(table, CLASSIFIER, attack, binning=binning, seed=3)


def test_one_chunk_says_what_the_same_events_in_memory_say() -> None:
    table = events(400)
    binning = Binning.uniform(table, n_bins=30)
    out = chunk(table, binning)
    alone = run_attack(ATTACK, CLASSIFIER, table, rng=chunk_rng(3, {}), binning=binning)
    told, expected = by_place(out["sums"].validated), by_place(alone.validated)
    assert told.keys() == expected.keys()
    assert {name for name, *_ in told} == {"inputs", "correlations", "observables", "score", "flagged fraction"}
    for place, figure in expected.items():
        assert told[place].value == pytest.approx(figure.value, abs=1e-12)
        assert (told[place].cap, told[place].kept) == (figure.cap, True)
    assert out["sums"].converged is alone.converged
    assert alone.converged is not None


def test_chunks_are_measured_together() -> None:
    table = events(400)
    binning, halves = Binning.uniform(table, n_bins=30), np.arange(400) < 200
    parts = [chunk(table.select(half), binning) for half in (halves, ~halves)]
    out = accumulate(parts)
    found = by_place(out["sums"].validated)
    moved = np.empty_like(table.values)
    for half in (halves, ~halves):
        own = table.select(half)
        moved[half] = run_attack(ATTACK, CLASSIFIER, own, rng=chunk_rng(3, {}), binning=binning).adversarial.values
    region = next(region for region in table.regions if region.constrained)
    # As fine as the bins of the observable.
    bins = Binning(KEPT.binning(table, binning).edges[:6])
    expected = compare(table, table.with_values(moved), bins, events=region.mask, region=region.name)
    for name, distance in zip(table.features.names, expected.js_distance, strict=True):
        assert found["inputs", region.name, name].value == pytest.approx(distance, abs=1e-12)
    assert found["correlations", region.name, ""].value == pytest.approx(expected.correlation_shift)
    assert 0.0 < found["score", region.name, "score"].value <= found["score", region.name, "score"].cap
    # Ranges of observables, and with them all edges, differ from chunk to chunk: the larger one of both stays.
    each = [by_place(part["sums"].validated)["observables", region.name, "sum"].value for part in parts]
    assert found["observables", region.name, "sum"].value == max(each)
    both = [by_place(accumulate(pair)["sums"].validated) for pair in (parts, parts[::-1])]
    for place, figure in both[0].items():
        assert both[1][place].value == pytest.approx(figure.value, abs=1e-12)


def test_all_chunks_must_have_converged() -> None:
    table = events(300)
    binning = Binning.uniform(table, n_bins=30)
    attack = replace(ATTACK, validation=Validation(score=None), n_iterations=60)
    whole = chunk(table, binning, attack)["sums"]
    assert whole.converged is True
    short = replace(whole, converged=False)
    assert (whole + short).converged is (short + whole).converged is False
    assert (whole + whole).converged is True
    assert (whole + replace(whole, converged=None)).converged is None


def test_an_attack_without_a_validation_reports_none() -> None:
    table = events(200)
    out = chunk(table, Binning.uniform(table, n_bins=10), Noise(size=0.1))
    assert out["sums"].validated == Validated()
    assert out["sums"].converged is None


def test_a_chunk_that_gives_no_caps_is_left_as_it_is() -> None:
    table = events(200)
    binning = Binning.uniform(table, n_bins=10)
    few = table.select(np.flatnonzero(table.constrained)[:1])
    attack = CONSERVAttack(validation=Validation.at_power(n_data=100), n_iterations=1)
    out = chunk(few, binning, replace(attack, strategy="frugal"))
    assert list(out["not_attacked"]) == ["no bins or caps of the validation follow from so few events"]
    assert out["sums"].validated == Validated()
