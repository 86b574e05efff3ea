# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import base64
import dataclasses
import errno
import hashlib
import io
import json
import math
import os
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from hepfool.attacks import AttackProblem, AttackResult, CONSERVAttack, run_attack
from hepfool.defences import DetectorReport
from hepfool.events import EventTable, Region
from hepfool.exceptions import ReportNotWrittenError
from hepfool.inference import BiasTest, Impact
from hepfool.inference._impact import Interval, NuisanceImpact, impact_record
from hepfool.io import read_store, read_table
from hepfool.models import Classifier
from hepfool.report import summary_markdown, summary_table, write_report
from hepfool.report._captions import REFERENCES
from hepfool.report._contact_sheet import make_contact_sheet
from hepfool.report._folder import check_output, sum_histograms
from hepfool.report._html import summary_html
from hepfool.report._latex import summary_latex
from hepfool.statistics._checks import CheckKind, DetectionPower, DetectionTable
from hepfool.statistics._toys import Power
from hepfool.studies import Measured
from hepfool.studies._contributions import SystematicEffect
from hepfool.studies._excess import Excess
from hepfool.summary import Evidence, Summary, decide, summarise, summary_schema
from hepfool.typing import FloatArray
from hepfool.validation import Marginals, Validation
from tests.specimens import SineClassifier, events


def power(check: CheckKind, features: tuple[str, ...], value: Power, n_toys: int) -> DetectionPower:
    return DetectionPower(
        check=check, region="low_met", features=features, power=value, n_data=300.0, n_simulated=1e4, n_toys=n_toys
    )


DETECTION = DetectionTable(
    rows=(
        power("projection", ("lead_jet_pt", "met"), Power(0.9, 0.02), 100),
        power("chi2", ("met",), Power(0.31), 0),
    ),
    level=0.05,
)


@pytest.fixture
def summary(shifted_result: AttackResult, sign_classifier: Classifier, detector_report: DetectorReport) -> Summary:
    effects = (SystematicEffect(name="tes_up", kind="shape", flips=Measured(0.012, 0.001)),)
    flagged = shifted_result.fooled & (np.cumsum(shifted_result.fooled) % 2 == 0)
    sums = shifted_result.sums(sign_classifier, flagged=flagged)
    evidence = dataclasses.replace(Evidence.of(sums, others=effects), excess=None)
    verdict = decide(evidence, investigated=True)
    return summarise(sums, evidence, verdict, detector=detector_report, detection=DETECTION, seed=7)


def test_the_folder_holds_everything(
    shifted_result: AttackResult, sign_classifier: Classifier, summary: Summary, tmp_path: Path
) -> None:
    sums = shifted_result.sums(sign_classifier)
    figure = Figure()
    figure.subplots().plot([0, 1])
    folder = write_report(tmp_path / "out", summary, sums=sums, result=shifted_result, figures={"score": figure})
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        "adversarial.root",
        "contact_sheet.pdf",
        "contact_sheet_1.png",
        "figures/score.pdf",
        "figures/score.png",
        "histograms.zip",
        "manifest.json",
        "report.html",
        "summary.json",
        "summary.md",
        "tables.tex",
    ]
    assert json.loads((folder / "summary.json").read_text())["verdict"]["decision"] == "ASSIGN"
    assert "![score](figures/score.png)" in (folder / "summary.md").read_text()
    table = read_table(
        folder / "adversarial.root",
        features=["lead_jet_pt", "met"],
        label="label",
        spectators=["fooled", "attacked", "nominal_score", "adversarial_score", "in_low_met"],
    )
    np.testing.assert_allclose(table.values, shifted_result.adversarial.values, rtol=1e-6)
    np.testing.assert_array_equal(table.spectators["fooled"], shifted_result.fooled)
    np.testing.assert_array_equal(table.spectators["nominal_score"], shifted_result.nominal_scores[:, 1])
    assert list(tmp_path.iterdir()) == [folder]


def test_histograms_are_those_of_the_attack(
    shifted_result: AttackResult, sign_classifier: Classifier, summary: Summary, tmp_path: Path
) -> None:
    folder = write_report(tmp_path / "out", summary, sums=shifted_result.sums(sign_classifier))
    histograms = read_store(folder / "histograms.zip").histograms
    assert list(histograms) == ["lead_jet_pt", "met"]
    table = shifted_result.nominal
    chosen = table.region("low_met").mask & table.dataset_mask("ttbar")
    expected = shifted_result.binning.yields(shifted_result.adversarial.values[chosen], table.weights[chosen])
    shown: Any = histograms["lead_jet_pt"]["ttbar", "low_met", "adversarial", :]
    np.testing.assert_allclose(shown.values(), expected[0, :-1])
    np.testing.assert_allclose(shown.variances(), expected[0, :-1])
    assert histograms["met"].axes[3].label == "met"


@dataclass(frozen=True)
class Still:
    """Move nothing."""

    n_iterations: int = 1
    n_bins: int = 5

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        return values


def test_missing_values_are_in_the_overflow(sign_classifier: Classifier, rng: np.random.Generator) -> None:
    values = rng.normal(size=(100, 2))
    values[:7, 1] = np.nan
    table = EventTable.from_arrays(values, labels=(values[:, 0] > 0).astype(int), features=["a.b", "a/b"])
    histograms = sum_histograms(run_attack(Still(), sign_classifier, table, rng=rng).sums(sign_classifier))
    assert list(histograms) == ["a_b", "a_b_1"]
    assert histograms["a_b_1"].values(flow=True)[0, 0, 0, -1] == 7


def test_every_section_is_shown(summary: Summary) -> None:
    text = summary_markdown(summary)
    console = Console(file=io.StringIO(), width=200)
    console.print(summary_table(summary))
    assert isinstance(console.file, io.StringIO)
    tables = ("tes_up", "Shift, not flagged", "signal", "high_met", "0: 0.9000", "Size to assign", "met")
    checks = ("Which check would have noticed it", "0.9000 ± 0.0200", "0.3100")
    for shown in (text, console.file.getvalue(), summary_html(summary)):
        for part in ("ASSIGN", summary.verdict["stability"][:20], *tables, *checks):
            assert part in shown
        assert "None" not in shown
        assert (
            "A standard check of the inputs notices this attack with probability 0.31 (χ² of a marginal: met" in shown
        )
    latex = summary_latex(summary)
    for part in ("tes\\_up", "Shift, not flagged", "0: 0.9000", "Size to assign", "0.9000 $\\pm$ 0.0200"):
        assert part in latex
    assert text.startswith("# ASSIGN")
    assert "seed 7" in text


def test_what_the_attack_costs_in_a_fit_is_shown(summary: Summary) -> None:
    side = Interval(down=0.125, up=0.25)
    other = NuisanceImpact(name="jes", adversarial=False, interval=side, prior=1.0, down=-0.1, up=0.1)
    own = NuisanceImpact(name="adversarial", adversarial=True, interval=side, prior=1.0, down=-0.03, up=0.04)
    after = Interval(down=0.135, up=0.27)
    bias = BiasTest(shift=-0.05, n_sigma=-0.4, chi2=9.0, n_dof=4, p_value=0.0611, power=0.655, pulls={"jes": 1.5})
    impact = Impact(parameter="mu", value=1.0, before=side, after=after, bias=bias, ranking=(other, own))
    full = dataclasses.replace(summary, impact=impact_record(impact))
    parts = (
        "-0.1250 / +0.2500",
        "-0.1350 / +0.2700",
        "0.0800",
        "adversarial, rank 2 of 2 nuisance parameters",
        "-0.0500, -0.4000 ",
        "9.0000 for 4 degrees of freedom",
        "-0.1250 / +0.2500, pre-fit 1.0000",
    )
    for shown in (summary_markdown(full), summary_html(full), summary_latex(full)):
        for part in parts:
            assert part in shown
    assert impact.statement in summary_latex(full)
    for words in (
        "fitted without it, shift mu by -0.0500, 0.40 of its expected uncertainty; the goodness of fit rejects them at the",
        "level 0.05 with a probability of 0.66; the largest pulls are jes +1.50.",
        "The fit constrains adversarial to 0.12 of its pre-fit uncertainty",
    ):
        for shown in (summary_markdown(full), summary_html(full)):
            assert words in shown
    free = dataclasses.replace(bias, n_dof=0, p_value=math.nan, power=math.nan, pulls={}, n_sigma=math.nan)
    wide = dataclasses.replace(own, interval=Interval(down=1.0, up=0.9))
    bare = dataclasses.replace(impact, bias=free, ranking=(wide,))
    text = summary_markdown(dataclasses.replace(summary, impact=impact_record(bare)))
    assert "shift mu by -0.0500; no bin is left for a test of the goodness of fit." in text
    assert "constrains" not in text
    assert "-0.1250 / +0.2500 without the attack" in summary_html(full)
    assert "place 2 of 2" not in summary_markdown(summary)


def test_envelope_excess_and_adaptive_attack_stand_beside_the_systematics(
    shifted_result: AttackResult, sign_classifier: Classifier
) -> None:
    effects = (
        SystematicEffect(name="tes_up", kind="shape", flips=Measured(0.012, 0.001)),
        SystematicEffect(name="jes_up", kind="shape", flips=Measured(0.016, 0.001)),
        SystematicEffect(name="lumi_up", kind="yield", flips=None, yield_shift={"low_met": Measured(0.02, 0.0)}),
    )
    sums = shifted_result.sums(sign_classifier, flagged=shifted_result.fooled)
    evidence = Evidence.of(
        sums,
        others=effects,
        adaptive=shifted_result.sums(sign_classifier, flagged=~shifted_result.fooled),
        correlations={("tes", "jes"): 1.0},
    )
    evidence = dataclasses.replace(evidence, excess=Excess(flips=Measured(0.0213, 0.005), yield_shift={}))
    adaptive = sum(shifted_result.fooled) / sum(shifted_result.attacked)
    whole = summarise(sums, evidence, decide(evidence))
    assert "Yield shifts from given histograms are those of other events" in summary_html(whole)
    text = summary_markdown(whole)
    assert f"| Shift that knows the detector, not flagged | {adaptive:.4f} ± " in text
    assert "| systematics with their correlations | 0.0280 ± 0.0014 |" in text
    assert "| largest systematic | 0.0160 |" in text
    assert "| excess of the attack over the systematics | 0.0213 ± 0.0050 |" in text
    assert "If the attack knows the detector, the verdict becomes INVESTIGATE" in text


def test_the_tables_for_a_note_tell_how_stable_the_verdict_is(summary: Summary) -> None:
    assert summary.verdict["stability"].replace("%", "\\%").replace("_", "\\_") in summary_latex(summary)
    assert summary_html(summary).count(summary.verdict["stability"]) == 1


class Page(HTMLParser):
    """Collect elements and what they load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def picture() -> bytes:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    figure.savefig(buffer := io.BytesIO(), format="png", dpi=30)
    return buffer.getvalue()


def test_the_page_loads_nothing_and_is_well_formed(summary: Summary) -> None:
    html = summary_html(summary, {"own_plot": picture(), "fooling": picture()})
    page = Page(html)
    assert page.open == []
    for tag, attributes in page.elements:
        assert tag != "iframe"
        for name in ("src",) if tag == "a" else ("src", "href"):
            assert str(attributes.get(name) or "data:").startswith("data:")
    assert "url(" not in html
    assert "@import" not in html
    # Links lead to parts of the page, or to references.
    anchors = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = [str(attributes["href"]) for tag, attributes in page.elements if tag == "a"]
    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    assert {link for link in links if not link.startswith("#")} == {address for *_, address in REFERENCES}
    images = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert len(images) == 2
    shown = Image.open(io.BytesIO(base64.b64decode(str(images[0]).partition(",")[2]))).convert("RGB")
    given = Image.open(io.BytesIO(picture())).convert("RGB")
    assert np.abs(np.asarray(shown, dtype=float) - np.asarray(given, dtype=float)).max() < 32
    # Figures with a known caption come first, and the verdict before everything else.
    assert html.index("figure-fooling") < html.index("figure-own_plot")
    order = [
        html.index(part)
        for part in (
            "ASSIGN</strong>",
            *(f'<h2 id="{name}"' for name in ("done", "criteria", "figures", "tables", "glossary")),
        )
    ]
    assert order == sorted(order)


def test_names_cannot_break_the_page_or_the_tables(summary: Summary) -> None:
    name = '<script>alert("x")</script> & 5 % of $p_T$ \\input{x}'
    systematics = {**summary.systematics, "attack": {**summary.systematics["attack"], "name": name}}
    hostile = dataclasses.replace(summary, systematics=systematics)
    html = summary_html(hostile)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert Page(html).open == []
    latex = summary_latex(hostile)
    assert r"\& 5 \% of \$p\_T\$ \textbackslash{}input\{x\}" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 7
    assert latex.isascii()


def test_an_attack_that_the_validation_notices_is_pointed_out(summary: Summary) -> None:
    assert summary.detection is not None
    seen = {**summary.detection["rows"][1], "power": {"value": 0.97, "error": 0.0}}
    noticed = dataclasses.replace(summary, detection={**summary.detection, "strongest_standard": seen})
    for shown in (summary_markdown(noticed), summary_html(noticed)):
        assert "A standard check of the inputs notices this attack with probability 0.97" in shown
        assert "tighten its caps" in shown
    none = dataclasses.replace(summary, detection={**summary.detection, "strongest_standard": None})
    assert "standard check of the inputs notices" not in summary_markdown(none) + summary_html(none)


def test_only_png_images_are_embedded(summary: Summary) -> None:
    with pytest.raises(ValueError, match="figure 'score' is not a PNG image"):
        summary_html(summary, {"score": b"%PDF"})


def test_an_interrupted_attack_and_absent_parts_are_said(summary: Summary) -> None:
    events = {**summary.events, "interrupted": True, "iterations_done": 3}
    bare = dataclasses.replace(summary, events=events, detection=None, detector=None)
    html = summary_html(bare)
    assert "interrupted</b> after 3 iterations" in html
    assert "Which check" not in html
    assert '<h2 id="figures"' not in html


def test_what_exists_is_only_replaced_on_demand(summary: Summary, tmp_path: Path) -> None:
    write_report(tmp_path / "out", summary)
    with pytest.raises(FileExistsError, match="exists already"):
        write_report(tmp_path / "out", summary)
    write_report(tmp_path / "out", summary, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_other_things_is_never_replaced(summary: Summary, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years")
    with pytest.raises(FileExistsError, match=r"holds thesis\.tex, not written by a report"):
        write_report(tmp_path / "home", summary, force=True)
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years"
    (tmp_path / "home" / "summary.json").write_text("{}")
    with pytest.raises(FileExistsError, match=r"holds summary\.json, thesis\.tex, not written by a report"):
        write_report(tmp_path / "home", summary, force=True)
    (tmp_path / "plain").write_text("years")
    with pytest.raises(FileExistsError, match="is a file, not an earlier report"):
        write_report(tmp_path / "plain", summary, force=True)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check_output(tmp_path / "nowhere" / "out")


@pytest.mark.parametrize("own", ["notes.txt", "figures/mine.pdf", "summary.md", "empty/", "link"])
def test_what_a_user_added_to_a_report_or_changed_in_it_is_not_replaced(
    own: str, summary: Summary, tmp_path: Path
) -> None:
    folder = write_report(tmp_path / "out", summary)
    path = folder / own
    path.parent.mkdir(exist_ok=True)
    if own == "link":
        path.symlink_to(tmp_path)
    elif own.endswith("/"):
        path.mkdir()
    else:
        path.write_text("mine")
    with pytest.raises(FileExistsError, match=rf"holds {own.rstrip('/')}, not written by a report or changed"):
        check_output(folder, force=True)
    if own == "notes.txt":
        path.unlink()
        assert check_output(folder, force=True) == folder


def test_what_appears_while_a_report_is_drawn_is_not_replaced(summary: Summary, tmp_path: Path) -> None:
    folder = write_report(tmp_path / "out", summary)
    late = {"late.txt": lambda path: (folder / "thesis.tex").write_text("years")}
    with pytest.raises(FileExistsError, match=r"holds thesis\.tex"):
        write_report(folder, summary, force=True, files=late)
    assert (folder / "thesis.tex").read_text() == "years"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_contact_sheet_belongs_to_the_report_in_which_it_was_made(summary: Summary, tmp_path: Path) -> None:
    folder = write_report(tmp_path / "out", summary, figures={"score": Figure()})
    make_contact_sheet(folder, force=True)
    assert check_output(folder, force=True) == folder


def test_the_folder_in_which_one_works_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    with pytest.raises(FileExistsError, match="is the working folder"):
        check_output(".", force=True)
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", str(tmp_path / "a"))
    with pytest.raises(FileExistsError, match="is the working folder or contains it"):
        check_output(tmp_path / "a", force=True)


def test_a_folder_that_takes_no_file_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(**_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    with pytest.raises(
        PermissionError, match=r"nothing can be written in .* \(Read-only file system\); choose another"
    ):
        check_output(tmp_path / "out")


@pytest.mark.faults
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_report_that_the_disk_refuses_is_kept_elsewhere(
    code: int, summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "other"))

    def refuse(path: Path) -> None:
        if path.is_relative_to(tmp_path / "full"):
            msg = "writing failed"
            raise RuntimeError(msg) from OSError(code, os.strerror(code))  # as libraries do
        path.write_text("numbers")

    with pytest.raises(
        ReportNotWrittenError, match=rf"out \({os.strerror(code)}\); it is in .* instead: make room"
    ) as e:
        write_report(tmp_path / "full" / "out", summary, files={"numbers.txt": refuse})
    (kept,) = (tmp_path / "other").glob("hepfool-report-*/out")
    assert str(kept) in str(e.value)
    assert {"summary.json", "report.html", "numbers.txt"} <= {path.name for path in kept.iterdir()}
    assert list((tmp_path / "full").iterdir()) == []


@pytest.mark.faults
def test_a_report_that_cannot_be_written_anywhere_ends_in_one_sentence(summary: Summary, tmp_path: Path) -> None:
    def refuse(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ReportNotWrittenError, match="nor to any other place; make room"):
        write_report(tmp_path / "out", summary, files={"numbers.txt": refuse})
    assert list(tmp_path.iterdir()) == []


def test_the_page_runs_its_own_script_and_no_other(summary: Summary) -> None:
    html = summary_html(summary)
    assert "unsafe-inline" not in html
    for kind, tag in (("script-src", "script"), ("style-src", "style")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in html
    assert " style=" not in html
    assert " onclick=" not in html


@pytest.mark.faults
def test_a_failure_leaves_no_half_report(summary: Summary, tmp_path: Path) -> None:
    class Broken(Figure):
        def savefig(self, *args: object, **kwargs: object) -> None:
            msg = "disk full"
            raise OSError(msg)

    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path / "out", summary, figures={"score": Broken()})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.faults
@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/b", "..", ""])
def test_no_file_lies_outside_of_the_report(summary: Summary, tmp_path: Path, name: str) -> None:
    for options in ({"figures": {name: Figure()}}, {"files": {name: Path.touch}}):
        with pytest.raises(ValueError, match="would lie outside of the report"):
            write_report(tmp_path / "out", summary, **options)
    assert list(tmp_path.iterdir()) == []


def test_every_account_begins_with_what_was_attacked_and_how_good_the_network_is(summary: Summary) -> None:
    events = {**summary.events, "n_attacked": 30, "n_events": 40, "accuracy": 0.75, "auroc": None, "n_moved": 0}
    changed = dataclasses.replace(summary, events=events)
    line = (
        "Attacked 30 of 40 events; the network before the attack: accuracy 0.750. "
        "No event could be moved, so the fooling ratio says nothing about the network."
    )
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(summary_table(changed))
    assert console.export_text().startswith(line)
    assert summary_markdown(changed).splitlines()[2] == line
    page = summary_html(changed)
    assert line in page
    assert page.index("30 of 40 simulated events of a network (accuracy 0.750)") < page.index("<nav")


def test_accuracy_and_auroc_are_those_of_the_weighted_nominal_events(
    shifted_result: AttackResult, sign_classifier: Classifier
) -> None:
    table = shifted_result.nominal
    sizes = np.abs(table.weights)
    right = sign_classifier.predict(table.network_values) == table.labels
    assert shifted_result.accuracy == pytest.approx(sizes[right].sum() / sizes.sum())
    negative = dataclasses.replace(table, weights=-table.weights)
    assert dataclasses.replace(shifted_result, nominal=negative).auroc == shifted_result.auroc
    below, above = (table.labels == 0), (table.labels == 1)
    score, weights = shifted_result.nominal_scores[:, 1], sizes[above][:, None] * sizes[below]
    wins = (score[above][:, None] > score[below]) + 0.5 * (score[above][:, None] == score[below])
    assert shifted_result.auroc == pytest.approx((wins * weights).sum() / weights.sum())


def of_attack(**options: Any) -> Summary:
    attack = CONSERVAttack(**{"strategy": "frugal", "n_iterations": 30, **options})
    result = run_attack(attack, SineClassifier(), events(300, weighted=False), rng=1)
    sums = result.sums(SineClassifier())
    evidence = Evidence.of(sums)
    return summarise(sums, evidence, decide(evidence), seed=1)


def shown(summary: Summary) -> dict[str, str]:
    """Every form of a report, its lines joined."""
    console = Console(file=io.StringIO(), width=200)
    console.print(summary_table(summary))
    assert isinstance(console.file, io.StringIO)
    forms = {"terminal": console.file.getvalue(), "markdown": summary_markdown(summary), "html": summary_html(summary)}
    return {name: " ".join(text.replace("\\", "").split()) for name, text in forms.items()}


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_every_form_says_what_the_composition_allows_and_whether_the_search_converged() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    score = Marginals(max_js_distance=0.02, n_bins=10, n_quantiles=0)
    validation = Validation(inputs=Marginals(max_js_distance=0.1), score=score, separately="regions")
    summary = of_attack(validation=validation, helpers=False, n_iterations=150)
    everything, low, high = summary.fooling["compositions"]
    assert (everything["name"], low["name"], high["name"]) == ("all", "low_pt", "high_pt")
    assert low["exchange"] <= low["fooling_ratio"] <= low["limit"] < 1.0
    assert (high["limit"], high["reason"]) == (None, "the attack does not keep the score here")
    assert summary.events["converged"] is True
    for text in shown(summary).values():
        assert (
            f"Of the fooling ratio of {everything['fooling_ratio']:.3f}, {everything['exchange']:.3f} is reached"
            in text
        )
        assert f"score kept within a distance of 0.02, no more than {everything['limit']:.3f} is possible" in text
        assert f"{low['exchange']:.4f}" in text
        assert f"{low['limit']:.4f}" in text
        assert f"converged: its last iterations, of {summary.events['iterations_done']}," in text
        assert "AttackConverged" not in text
    record = json.loads(summary.to_json())
    assert list(jsonschema.Draft202012Validator(summary_schema()).iter_errors(record)) == []


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
@pytest.mark.filterwarnings("ignore::hepfool.exceptions.NetworkWarning")
def test_every_form_says_which_misclassified_events_moved_and_which_regions_were_left_out() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    bins: dict[str, Any] = {"max_js_distance": 0.1, "n_bins": 10, "n_quantiles": 0}
    validation = Validation(inputs=Marginals(**bins), score=Marginals(**bins))
    nominal = events(300)
    third = np.arange(300) % 3 == 0
    regions = (*nominal.regions, Region("third", third), Region("others", ~third))
    weights = np.where(third, -0.2 * nominal.weights, nominal.weights)
    attack = CONSERVAttack(strategy="frugal", n_iterations=3, validation=validation)
    table = dataclasses.replace(nominal, regions=regions, weights=weights)
    result = run_attack(attack, SineClassifier(), table, rng=1)
    sums = result.sums(SineClassifier())
    evidence = Evidence.of(sums)
    summary = summarise(sums, evidence, decide(evidence), seed=1)
    helpers, moved = result.classes != table.labels, result.adversarial.values != table.values
    helpers = helpers & (moved & ~table.missing).any(axis=1)
    assert summary.events["n_helpers"] == helpers.sum() > 0
    assert not (helpers & (result.attacked | third)).any()
    said = (
        (
            f"{helpers.sum()} misclassified events of weight {table.weights[helpers].sum():.4g} moved as well, to compensate "
            "others; they do not enter the fooling ratio."
        ),
        f"Not attacked, because their weights do not sum to a positive yield: third (100 events of weight {weights[third].sum():.4g}).",
    )
    assert weights[third].sum() < 0.0
    for text in shown(summary).values():
        assert all(sentence in text for sentence in said)
    record = json.loads(summary.to_json())
    assert list(jsonschema.Draft202012Validator(summary_schema()).iter_errors(record)) == []


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_what_does_not_apply_is_not_said() -> None:
    summary = of_attack(max_js_distance=0.1, n_iterations=3)
    texts = shown(summary)
    assert all("is reached by exchanging" in text or "alone" in text for text in texts.values())
    assert all("is possible." not in text for text in texts.values())
    assert all("had not converged after 3 iterations" in text for text in texts.values())
    assert all("misclassified events" not in text and "Not attacked" not in text for text in texts.values())
    found = [{**one, "exchange": 0.0, "limit": 0.4, "cap": 0.03} for one in summary.fooling["compositions"]]
    events_of = {**summary.events, "converged": None}
    capped = dataclasses.replace(summary, events=events_of, fooling={**summary.fooling, "compositions": found})
    for text in shown(capped).values():
        assert "With the score kept within a distance of 0.03, no more than 0.400 is possible." in text
        assert "exchanging" not in text
        assert "The search had" not in text
