# SPDX-License-Identifier: BSD-3-Clause
"""The tables for a note are sound LaTeX, whatever the names in them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepfool.attacks import AttackResult
from hepfool.defences import DetectorReport
from hepfool.inference import BiasTest, Impact
from hepfool.inference._impact import Interval, NuisanceImpact, impact_record
from hepfool.models import Classifier
from hepfool.report._cells import Section
from hepfool.report._latex import _table, summary_latex
from hepfool.statistics._checks import DetectionPower, DetectionTable
from hepfool.statistics._toys import Power
from hepfool.studies import Measured
from hepfool.studies._contributions import SystematicEffect
from hepfool.studies._frontier import Frontier, FrontierPoint
from hepfool.summary import Evidence, Summary, decide, summarise
from hepfool.summary._on_demand import frontier_record

HOSTILE = r"m_{T}^2 & 50 % of $p$ #1 ~ \input{x} <|> _^"


def checked(latex: str) -> int:
    """Read the tables as LaTeX would, as far as groups, columns, mathematics and characters go; return the number of rows."""
    assert latex.isascii()
    n_rows, environments, n_columns = 0, [], 0
    for line in latex.splitlines():
        text = line.split("%")[0] if line.lstrip().startswith("%") else line
        if begun := re.match(r"\s*\\begin\{(\w+)\}", text):
            environments.append(begun[1])
            if begun[1] == "tabular":
                layout = text[begun.end() + 1 : -1]
                n_columns = len(re.findall(r"[lrc]|p\{[^}]*\}", layout))
        elif ended := re.match(r"\s*\\end\{(\w+)\}", text):
            assert environments.pop() == ended[1]
        elif environments and environments[-1] == "tabular" and text.endswith(r" \\"):
            n_rows += 1
            assert len(re.findall(r"(?<!\\)&", text)) == n_columns - 1
        plain = re.sub(r"\\[&%$#_{}]", "", text)
        assert plain.count("{") == plain.count("}")
        assert plain.count("$") % 2 == 0
        outside = "".join(plain.split("$")[::2])
        assert not re.search(r"[#^~_]" if "label" not in outside else r"[#^~]", outside)
        assert "%" not in plain
    assert environments == []
    return n_rows


@pytest.fixture
def summary(shifted_result: AttackResult, sign_classifier: Classifier, detector_report: DetectorReport) -> Summary:
    """Every table that there is, with names that LaTeX would stumble over."""
    effects = (SystematicEffect(name=f"{HOSTILE}_up", kind="shape", flips=Measured(0.012, 0.001)),)
    sums = shifted_result.sums(sign_classifier, flagged=shifted_result.fooled)
    evidence = Evidence.of(sums, others=effects)
    row = DetectionPower(
        check="ks", region="a_b", features=(HOSTILE,), power=Power(0.3, 0.01), n_data=9.0, n_simulated=1e4, n_toys=4
    )
    full = summarise(
        sums,
        evidence,
        decide(evidence, investigated=True),
        detector=detector_report,
        detection=DetectionTable(rows=(row,), level=0.05),
    )
    number = Measured(0.1, 0.01)
    point: dict[str, Any] = {"max_js_distance": 0.1, "correlation_shift": 0.1, "power": number, "check": HOSTILE}
    scan = FrontierPoint(factor=1.0, fooling=number, further_power=number, further_check=HOSTILE, **point)
    side = Interval(down=0.1, up=0.2)
    own = NuisanceImpact(name="adversarial_tt&W", adversarial=True, interval=side, prior=1.0, down=-0.1, up=0.1)
    bias = BiasTest(shift=-0.05, n_sigma=-0.4, chi2=9.0, n_dof=4, p_value=0.0611, power=0.655, pulls={"a_b": 1.5})
    impact = Impact(parameter="mu_ggH", value=1.0, before=side, after=side, bias=bias, ranking=(own,))
    extra = {
        "impact": impact_record(impact),
        "frontier": frontier_record(Frontier(points=(scan,), n_data=9.0, level=0.05)),
    }
    record = json.loads(full.to_json()) | extra
    # A name in the data: of a feature, a region and a dataset.
    record["compatibility"][0]["region"] = HOSTILE
    record["fooling"]["datasets"][HOSTILE] = record["fooling"]["datasets"].pop("signal")
    spread = {"quantity": "fooling_ratio", "knowledge": "white_box", "std": 0.01, "smallest": 0.0, "largest": 0.2}
    rows = [{**spread, "mean": {"value": 0.1, "error": 0.01}}]
    record["spread"] = {"n_runs": 2, "n_splits": 1, "n_test": 9, "seed": 1, "auroc": [[0.8, 0.9]], "rows": rows}
    return Summary(**record)


def test_every_table_is_sound(summary: Summary) -> None:
    latex = summary_latex(summary)
    assert latex.count(r"\begin{table}") == 10
    assert checked(latex) > 40
    assert r"m\_\{T\}\textasciicircum{}2 \& 50 \% of \$p\$ \#1 \textasciitilde{} \textbackslash{}input\{x\}" in latex
    labels = re.findall(r"\\label\{(.*?)\}", latex)
    assert len(set(labels)) == len(labels)


@given(name=st.text(st.sampled_from([*map(chr, range(0x20, 0x7F)), *"αβηλμπστφχψωΔΛΣΩ±≤→–²"]), max_size=30))
def test_no_name_breaks_a_table(name: str) -> None:
    section = Section(name, (name, "value"), [(name, "1.0"), ("-", name)], name)
    assert checked(_table(section)) == 3


def test_greek_letters_have_their_commands() -> None:
    latex = _table(Section("T", ("η", "b"), [("Δφ", "1.0")]))
    assert r"$\eta$ & b \\" in latex
    assert r"$\Delta$$\phi$ & 1.0 \\" in latex


def test_the_check_of_this_file_finds_what_is_wrong() -> None:
    sound = _table(Section("T", ("a", "b"), [("x_y", "1.0")]))
    assert checked(sound) == 2
    for broken in (
        sound.replace(r"x\_y", "x_y"),
        sound.replace("1.0", "1.0 & 2"),
        sound.replace(r"\end{tabular}", ""),
        sound.replace("1.0", "{1.0"),
        sound.replace("1.0", "$1.0"),
        sound.replace("1.0", "50 %"),
        sound.replace("1.0", "é"),
    ):
        with pytest.raises((AssertionError, IndexError)):
            checked(broken)
