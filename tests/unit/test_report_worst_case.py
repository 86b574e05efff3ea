# SPDX-License-Identifier: BSD-3-Clause
"""The worst case in a report: the numbers in it are those of the records."""

from __future__ import annotations

import dataclasses
import html
import json

import pytest

from hepfool.attacks import AttackResult
from hepfool.explain import Coherence, ExplainedPart, Explanation
from hepfool.models import Classifier
from hepfool.report import summary_markdown
from hepfool.report._html import summary_html
from hepfool.report._latex import summary_latex
from hepfool.report._sections import opening, sections
from hepfool.report._worst_case import worst_case_in_words, worst_case_sections
from hepfool.studies import Measured
from hepfool.summary import AllowedFraction, Evidence, Summary, decide, scaled_size, summarise, summary_schema
from hepfool.summary._on_demand import worst_case_record
from hepfool.worst_case import Ladder
from hepfool.worst_case._rungs import Bracket, Freedom, Rung

SIDE = Bracket(found=0.3, error=0.02, proved=0.35)


def climbed(proved: float | None = 0.0523, *, relaxed: tuple[str, ...] = ()) -> Ladder:
    def rung(freedom: Freedom, found: float, limit: float | None) -> Rung:
        fooling = Bracket(found=found, error=0.004, proved=limit)
        return Rung(freedom=freedom, label=f"By {freedom}", fooling=fooling, gain=SIDE, loss=SIDE)

    return Ladder(
        rungs=(rung("sources", 0.028, None), rung("one shift", 0.042, proved), rung("inputs", 0.1, proved)),
        events="low_mt",
        sources=("tau",),
        n_attacked=3573,
        n_events=4392,
        shift={"tau": 1.0},
        relaxed=relaxed,
        seed=1,
    )


def explained(*, of_flags: bool = False, n_inputs: int = 12) -> Explanation:
    coherence = Coherence(
        share=Measured(0.243, 0.01), chance=Measured(0.178, 0.002), alone=Measured(0.116, 0.02), without=Measured(0.624)
    )
    weights = [float(k) for k in range(n_inputs)]
    shares = {f"x{k}": Measured(weight / sum(weights), 0.001 * k) for k, weight in enumerate(weights)}
    whole = ExplainedPart(
        kind="all",
        name="all",
        n_events=285,
        weight=9.0,
        shares=shares,
        coherence=None if of_flags else coherence,
    )
    parts = (whole, dataclasses.replace(whole, kind="process", name="ztt", n_events=200))
    return Explanation(
        of="flagged" if of_flags else "fooled", parts=parts, sources=() if of_flags else ("tau",), n_permutations=60
    )


def allowed() -> AllowedFraction:
    return AllowedFraction(
        threat_model="inputs within one sigma",
        value=0.02,
        limit=0.65,
        expected=0.7,
        level=0.95,
        observable="score and flag",
        regions=("high_mt",),
        sources=("tau",),
        n_data=671,
        n_bins=13,
        scan=((0.5, 0.1, 0.2), (1.0, 0.01, 0.02)),
    )


@pytest.fixture
def summary(shifted_result: AttackResult, sign_classifier: Classifier) -> Summary:
    evidence = Evidence.of(sums := shifted_result.sums(sign_classifier))
    size = scaled_size(allowed(), 0.33, threat_model="inputs within one sigma", transfer="same tau decays")
    record = worst_case_record(
        ladders=[climbed()], explanations=[explained(), explained(of_flags=True)], allowed=[allowed()], sizes=[size]
    )
    return dataclasses.replace(summarise(sums, evidence, decide(evidence)), worst_case=record)


def test_the_record_follows_the_schema_and_every_part_of_it_is_named(summary: Summary) -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator(summary_schema())
    record = json.loads(summary.to_json())
    assert list(validator.iter_errors(record)) == []
    worst = record["worst_case"]
    assert worst["ladders"][0]["rungs"][0]["fooling"] == {"found": 0.028, "error": 0.004, "proved": None}
    assert worst["ladders"][0]["statement"] == climbed().statement
    places = [worst, worst["ladders"][0], worst["ladders"][0]["rungs"][0]["gain"], worst["explanations"][0]["parts"][1]]
    for place in (*places, worst["allowed"][0], worst["sizes"][0], worst["explanations"][0]["parts"][0]["coherence"]):
        place["more"] = 1.0
        assert len(list(validator.iter_errors(record))) == 1
        del place["more"]


def test_every_form_of_a_report_shows_the_numbers(summary: Summary) -> None:
    worst, shares, coherence, flags, data, size = worst_case_sections(summary.worst_case or {})
    assert [section.title for section in sections(summary)][1:7] == [
        section.title for section in (worst, shares, coherence, flags, data, size)
    ]
    assert worst.rows[0][:4] == ("low_mt", "By sources", "0.0280 ± 0.0040", "–")
    assert worst.rows[-1][2:] == ("0.1000 ± 0.0040", "0.0523", *("0.3000 ± 0.0200", "0.3500") * 2)
    assert shares.rows[0] == ("x11", "0.1667 ± 0.0110")
    assert (len(shares.rows), shares.rows[-1]) == (11, ("1 others", "0.0152"))
    assert coherence.rows[1][:5] == ("process ztt", "200", "x11, x10, x9", "0.2430 ± 0.0100", "0.1780 ± 0.0020")
    assert "flag again and again" in flags.note
    assert data.rows == [("inputs within one sigma", "high_mt", "score and flag", "671", "0.0200", "0.6500", "0.7000")]
    assert size.rows == [("same tau decays", "inputs within one sigma", "0.6500", "0.3300", "0.2145")]
    for text in (html.unescape(summary_html(summary)), summary_markdown(summary)):
        assert "0.2430 ± 0.0100" in text
        assert climbed().statement in text
    assert summary_latex(summary).count("tab:adversarial-what-data-allow") == 1


def test_a_report_without_them_is_silent(summary: Summary) -> None:
    without = dataclasses.replace(summary, worst_case=None)
    assert "Worst case" not in summary_markdown(without)
    assert climbed().statement not in opening(without)
    assert list(worst_case_sections(worst_case_record())) == []


def test_words_hold_what_is_known() -> None:
    said = worst_case_in_words(worst_case_record(ladders=[climbed(0.1123)]))
    assert "".join(said) == (
        "In low_mt, inputs within their uncertainties can change the class of between 10.00% (found) and 11.23% (proved) of the "
        "attacked events. Not resolved: of 1.23% neither is known (a budget that is too small for this network and these uncertainties; "
        "max_boxes and seconds set it). Of what is found for free inputs, the sources reach 42% with one shift for all events."
    )
    (unproved,) = worst_case_in_words(worst_case_record(ladders=[climbed(None)]))
    assert "at least 10.00% (found) of the attacked events; no upper limit is proved." in unproved
    (narrow,) = worst_case_in_words(worst_case_record(ladders=[climbed(0.1004)]))
    assert "Not resolved" not in narrow
    (wide,) = worst_case_in_words(worst_case_record(ladders=[climbed(1.0, relaxed=("derived inputs take any value",))]))
    assert "Not resolved: of 90.00% neither is known (a budget that is too small, or a proof that covers more" in wide


def test_what_data_cannot_exclude_is_said_in_a_sentence() -> None:
    limits = [
        dataclasses.replace(allowed(), limit=limit, expected=expected)
        for limit, expected in ((0.65, 0.7), (1.0, 0.94), (1.0, 1.0))
    ]
    excluded, unlucky, kept = worst_case_in_words(worst_case_record(allowed=limits))
    assert excluded == "The data of high_mt allow at most 0.65 of this attack at 95% CLs (expected 0.70)."
    assert unlucky.endswith(
        "cannot exclude that all events move like this, although a limit of 0.94 is expected without any deviation."
    )
    assert (
        "and data without any deviation could not either: what is compared (score and flag) changes by less than"
        in kept
    )
    (section,) = worst_case_sections(worst_case_record(allowed=limits))
    assert section.note.startswith(excluded)


def test_words_of_proofs_that_cover_more_are_said() -> None:
    (section,) = worst_case_sections(worst_case_record(ladders=[climbed(relaxed=("3 events jump",))]))
    assert section.note.endswith("The proofs cover more than the events can do: 3 events jump.")
