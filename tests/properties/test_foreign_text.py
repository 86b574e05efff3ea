# SPDX-License-Identifier: BSD-3-Clause
"""Names, labels and units of an analysis stand in every form of a report as they are, or are refused before the attack."""

from __future__ import annotations

import html
import io
import json
import re
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from hepfool._printable import printable
from hepfool.attacks import Noise, run_attack
from hepfool.events import EventTable, Region
from hepfool.exceptions import PlainTextWarning
from hepfool.features import Feature
from hepfool.io import read_store, read_table
from hepfool.models import CallableClassifier
from hepfool.plots import PlotStyle
from hepfool.plots._style import check_labels
from hepfool.report import summary_markdown, summary_table
from hepfool.report._folder import sum_histograms
from hepfool.report._html import summary_html
from hepfool.report._latex import summary_latex
from hepfool.study import Outcome, write_study
from tests.judged import judged_attack

HOSTILE = (
    "m[lead]",
    "a [/GeV]",
    "[bold red]x[/]",
    "a|b",
    "<script>alert(1)</script>",
    "*a* _b_ `c` ~~d~~",
    "# top",
    "$x_{$ and $\\frac{1$",
    "a & b % c # d ~ ^ \\ {e}",
    "a\nb\tc",
    "\x1b[31mred",
    "\u202egnp.exe",
    "../../etc/passwd",
    "region",
    ":smile: &amp; -- --- [x]",
    "x" * 300,
    "\ud800",
    "Größe 大小 ή",
    "=1+1",
    "--help",
    "1. item",
    "{{ 7 * 7 }}",
)
#: Columns of the written events that cannot have the same name as a feature.
REFUSALS = "two columns would be called|holds half a character"
POSITIVE = CallableClassifier(lambda values: 1.0 / (1.0 + np.exp(-4.0 * values[:, 0])))
# NumPy drops zeros at the end of a text.
names = st.one_of(
    st.sampled_from(HOSTILE), st.text(min_size=1, max_size=20).filter(lambda name: not name.endswith("\0"))
)


def study(name: str, *, label: str = "", unit: str = "") -> Outcome:
    """Attack events whose feature, dataset, region and systematic have this name."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(60, 2))
    table = EventTable.from_arrays(
        values,
        labels=rng.integers(0, 2, 60),
        features=[Feature(name=name, label=label, unit=unit), "other" if name != "other" else "another"],
        dataset=np.where(values[:, 1] > 0, name, "others" if name != "others" else "more"),
        regions=(Region(name, values[:, 1] > 0),),
        shape_variations={f"{name}_up": values + 0.1},
    )
    return judged_attack(table, POSITIVE, Noise(size=0.2, n_bins=5), seed=1)


def in_markdown(text: str) -> str:
    return " ".join(
        child.content
        for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text)
        for child in token.children or ()
        if child.type in {"text", "code_inline", "text_special"}
    )


def in_latex(text: str) -> str:
    """Undo what stands for single characters."""
    plain = {r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", "-{}": "-", "{[}": "["}
    plain |= {"{*}": "*", r"\textasciigrave{}": "`", r"\textquotesingle{}": "'", "$>$": ">", "$<$": "<", "$|$": "|"}
    pattern = "|".join(map(re.escape, sorted(plain, key=len, reverse=True)))
    return re.sub(rf"{pattern}|\\([&%$#_{{}}])", lambda found: found[1] or plain[found[0]], text)


@settings(max_examples=60)
@given(name=names)
@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_a_name_is_shown_as_it_is(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlainTextWarning)
        try:
            found = study(name)
        except ValueError as error:
            if re.search(REFUSALS, str(error)):
                return
            raise
    shown = printable(name)
    console = Console(file=io.StringIO(), width=1500)
    console.print(summary_table(found.summary))
    assert isinstance(console.file, io.StringIO)
    squeezed = " ".join(shown.split())
    page = html.unescape(summary_html(found.summary))
    assert f"dataset {shown}<" in page
    assert f"dataset {shown}" in console.file.getvalue()
    assert f"dataset {squeezed}" in " ".join(in_markdown(summary_markdown(found.summary)).split())
    if shown.isascii():
        assert f"dataset {shown} &" in in_latex(summary_latex(found.summary))
    assert name in json.loads(found.summary.to_json())["fooling"]["datasets"]
    for text in (summary_html(found.summary), summary_markdown(found.summary)):
        assert "<script>alert" not in text
        text.encode()


@settings(max_examples=25)
@given(name=names)
@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_a_report_is_written_whatever_the_names(name: str) -> None:
    with TemporaryDirectory() as folder, warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("hepfool.study._outcome.draw_study", lambda *_, **__: {})
        warnings.simplefilter("ignore", PlainTextWarning)
        try:
            found = study(name)
        except ValueError as error:
            if re.search(REFUSALS, str(error)):
                return
            raise
        written = write_study(found, Path(folder) / "out", events=("adversarial.root", "adversarial.parquet"))
        assert len(read_store(written / "histograms.zip").histograms) == 2
        assert found.result is not None
        expected = found.result.adversarial.values[:, 0]
        back = read_table(written / "adversarial.parquet", features=[name], label="label")
        np.testing.assert_allclose(back.values[:, 0], expected, rtol=1e-6)
        # By its place: uproot takes a slash for a path.
        with uproot.open(written / "adversarial.root") as file:
            branch = file["Events"].branches[0]
            assert branch.name == name
            np.testing.assert_allclose(branch.array(library="np"), expected, rtol=1e-6)


@pytest.mark.parametrize("name", [r"$x_{$ and $\frac{1$", "m[lead] $ [/GeV]\n\x07"])
@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning", "ignore:Glyph 7:UserWarning")
def test_figures_show_tex_that_cannot_be_set_as_it_is(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlainTextWarning)
        found = study(name)
        written = write_study(found, tmp_path / "out", style=PlotStyle(experiment="plain"))
    assert (written / "figures" / "marginals.pdf").exists()


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
@pytest.mark.parametrize("part", [{"label": r"$p_{T$"}, {"unit": r"$\frac{1$"}])
def test_a_label_that_cannot_be_set_is_named_before_the_attack(
    part: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.judged.run_attack", None)
    with pytest.warns(PlainTextWarning, match=re.escape(repr(*part.values())[1:-1])), pytest.raises(TypeError):
        study("pt", **part)


@pytest.mark.parametrize("label", ["$p_T$", "a $ b", r"costs \$5 or \$6", "plain", r"$\alpha_{s}$ [$10^{3}$]"])
def test_sound_labels_give_no_warning(label: str) -> None:
    assert check_labels([label])


def test_an_experiment_label_that_cannot_be_set_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be set by Matplotlib"):
        PlotStyle(label=r"$\frac{1$")


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_every_feature_has_a_histogram_of_its_own() -> None:
    features = ["a_1", "a_2", "a", "a!", "a?", "A", "region", "dataset", "x" * 200, "x" * 201]
    values = np.random.default_rng(1).normal(size=(50, len(features)))
    table = EventTable.from_arrays(values, features=features, labels=(values[:, 0] > 0).astype(int))
    result = run_attack(Noise(size=0.1, n_bins=5), POSITIVE, table, rng=np.random.default_rng(1))
    found = sum_histograms(result.sums(POSITIVE))
    assert len({key.lower() for key in found}) == len(found) == len(features)
    assert all(len(key) < 120 for key in found)
