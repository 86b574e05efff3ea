# SPDX-License-Identifier: BSD-3-Clause
"""What a terminal and a notebook show of tables, results and verdicts."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt
from rich.console import Console
from torch import nn

from hepfool._progress import progress_bars
from hepfool._shown import Displayed, Shown
from hepfool.attacks import AttackResult, CONSERVAttack, run_attack
from hepfool.events import Envelope, EventTable, Region
from hepfool.io import write_partitions
from hepfool.models import TorchClassifier
from hepfool.plots import marginal
from hepfool.statistics import CheckSettings
from hepfool.study import Study, judged
from hepfool.summary import decide
from hepfool.validation import Validation
from hepfool.worst_case import Certificate, certify
from tests.specimens import SineClassifier, events

HOSTILE = "<script>alert(1)</script>&\x1b[31m"


@pytest.fixture(scope="module")
def result() -> AttackResult:
    table = events(400)
    attack = CONSERVAttack(strategy="frugal", n_iterations=2, n_bins=20, max_js_distance=0.1)
    return run_attack(attack, SineClassifier(), table, rng=1)


@pytest.fixture(scope="module")
def shown(result: AttackResult, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    study = judged(result.sums(SineClassifier()), result=result)
    return {
        "table": result.nominal,
        "result": result,
        "verdict": decide(study.evidence),
        "summary": study.summary,
        "checks": result.checks(
            CheckSettings(n_data=300, n_toys=20, checks=("chi2", "ks")), rng=np.random.default_rng(1)
        ),
        "partitions": write_partitions(tmp_path_factory.mktemp("partitions"), [result.nominal]),
        "sums": study.sums,
        "validated": result.validated,
        "certificate": certificate(),
        "study": Study(output=Path("report"), attack=CONSERVAttack(strategy="frugal"), detector=None),
    }


def certificate() -> Certificate:
    layer = nn.Linear(1, 1)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    table = EventTable.from_arrays([[-1.0], [-0.1], [0.2]], labels=[0, 0, 1], features=["pt"], weights=[1.0, 2.0, 0.5])
    return certify(TorchClassifier(nn.Sequential(layer), output="logit"), table, Envelope.absolute(table, [0.15]))


def test_a_certificate_counts_what_is_proved() -> None:
    title, _, found, proved, *rest = repr(certificate()).splitlines()
    assert title.endswith("between 0.5714 (found) and 0.5714 (proved)")
    assert found.split()[-3:-1] == ["1", "2"]
    assert proved.split()[-3:-1] == ["2", "1.5"]
    assert rest == ["every input moves by itself"]


def test_a_validation_is_a_table_of_its_caps() -> None:
    cells = Cells(Validation.at_power(0.2, n_data=1000)._repr_html_()).texts
    assert cells[1:5] == ["comparison", "cap", "bins + quantile bins", "separately"]
    assert "distance ≤ that of a power of 0.2 with 1000 data events (level 0.05)" in cells
    assert "shift ≤ 0.0300 (pearson)" in Cells(Validation()._repr_html_()).texts


NAMES = ("table", "result", "verdict", "summary", "checks", "partitions", "sums", "validated", "certificate", "study")


class Cells(HTMLParser):
    """Tags and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_a_few_lines_without_arrays(name: str, shown: dict[str, Any]) -> None:
    text = repr(shown[name])
    assert isinstance(shown[name], Displayed)
    assert 1 < len(text.splitlines()) <= 20
    assert "array" not in text
    assert max(map(len, text.splitlines())) < 400


@pytest.mark.parametrize("name", NAMES)
def test_text_and_page_say_the_same(name: str, shown: dict[str, Any]) -> None:
    words = " ".join(Cells(shown[name]._repr_html_()).texts).split()
    assert words == repr(shown[name]).split()


def test_a_result_names_what_was_found_and_kept(result: AttackResult) -> None:
    text = repr(result)
    counts = result.counts()
    assert f"fooling ratio {result.fooling_ratio:.4f} ± {result.fooling_ratio_error:.4f}" in text
    assert f"{counts.n_fooled} of {counts.n_attacked} attacked events" in text
    for figure in result.validated.largest():
        assert re.search(rf"{figure.comparison}, {figure.part} .* {figure.value:.4f}\s+({figure.cap:.4f}|none)", text)
    assert "interrupted" not in text
    assert "interrupted" in repr(replace(result, iterations_done=1, converged=None))
    assert "had not converged" in repr(replace(result, converged=False))


def test_a_table_counts_by_process_and_region() -> None:
    table = EventTable.from_arrays(
        [[1.0], [2.0], [3.0]],
        features=["pt"],
        dataset=["dy", "dy", "tt"],
        weights=[0.5, 2.0, -1.0],
        regions=(Region("low", np.array([True, False, True]), "control"),),
        weight_variations={"pileup_up": [1.0, 1.0, 1.0]},
    )
    lines = [line.split() for line in repr(table).splitlines()]
    assert lines[1:4] == [
        ["dataset", "events", "yield", "low", "(control)"],
        ["dy", "2", "2.5", "1"],
        ["tt", "1", "-1", "1"],
    ]
    assert "variations: pileup_up" in repr(table)


def test_an_empty_table_is_shown() -> None:
    assert repr(EventTable.from_arrays(np.empty((0, 1)), features=["pt"])).startswith("EventTable of 0 events")


def test_names_stand_for_themselves() -> None:
    table = EventTable.from_arrays([[1.0]], features=[HOSTILE], dataset=HOSTILE)
    page = Shown(HOSTILE, (HOSTILE,), [(HOSTILE,)], (HOSTILE,)).html()
    assert Cells(page).tags == {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    for text in (page, table._repr_html_()):
        assert "<script" not in text
        assert "\x1b" not in text
        assert "".join(Cells(text).texts).count("<script>alert(1)</script>&\\x1b[31m") >= 2
    assert "\x1b" not in repr(table)


def test_a_result_is_drawn(result: AttackResult) -> None:
    sums = result.sums(SineClassifier())
    for feature in ("pt", "eta"):
        for region in (None, result.nominal.regions[0].name):
            ours, theirs = (marginal(source, feature, region=region) for source in (result, sums))
            assert ours.nominal == theirs.nominal
            assert ours.adversarial == theirs.adversarial
            assert (ours.js_distance, ours.js_floor) == pytest.approx((theirs.js_distance, theirs.js_floor))
            assert ours.note == theirs.note
            assert ours.migration is not None
            assert theirs.migration is not None
            np.testing.assert_array_equal(ours.migration.net, theirs.migration.net)
    figure = result.plot(experiment="ATLAS")
    assert len(figure.axes) == 6
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    assert plt.get_fignums() == []


def test_one_bar_for_each_step() -> None:
    out = io.StringIO()
    with progress_bars(Console(file=out, force_terminal=True, width=100)) as progress:
        for text, fraction in (("[one]", 0.3), ("[two]", 0.6), ("train", 0.0), ("train", 1.0), ("report", 0.5)):
            progress(text, fraction)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).splitlines()[-3:]
    assert [line.split()[0] for line in last] == ["[two]", "train", "report"]


def test_nothing_is_shown_before_there_is_a_step() -> None:
    out = io.StringIO()
    with progress_bars(Console(file=out, force_terminal=True)):
        pass
    assert out.getvalue().strip() == ""
