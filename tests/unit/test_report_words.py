# SPDX-License-Identifier: BSD-3-Clause
"""The verdict in sentences: the numbers in it are those of the summary."""

from __future__ import annotations

import dataclasses
import html

import pytest

from hepfool.attacks import AttackResult
from hepfool.models import Classifier
from hepfool.report import summary_markdown
from hepfool.report._answers import answers
from hepfool.report._detection import noticed
from hepfool.report._html import summary_html
from hepfool.report._words import verdict_in_words
from hepfool.studies import Measured
from hepfool.studies._contributions import SystematicEffect
from hepfool.studies._excess import Difference
from hepfool.summary import Evidence, Summary, decide, summarise
from hepfool.summary._evidence import FlaggedFraction
from hepfool.summary._observed import ObservedCheck

REGION = "high_met"


def fraction(data: float) -> FlaggedFraction:
    numbers = {"data": Measured(data, 0.01), "simulation": Measured(0.1, 0.01), "attacked": Measured(0.3, 0.01)}
    return FlaggedFraction(region="low_met", n_data=1e5, n_simulated=1e5, **numbers)


def study(result: AttackResult, classifier: Classifier, flips: float | None, *, investigated: bool = False) -> Summary:
    tau = {"name": "tau_energy_up", "kind": "shape", "yield_shift": {REGION: Measured(0.9, 0.01)}}
    effects = () if flips is None else (SystematicEffect(flips=Measured(flips, 0.01), **tau),)  # type: ignore[arg-type]
    seen = ObservedCheck(
        check="chi2", region="low_met", quantity="met", p_nominal=0.3, p_attacked=0.1, n_data=671, n_bins=20
    )
    sums = result.sums(classifier, flagged=~result.fooled)
    evidence = Evidence.of(sums, others=effects, fractions=[fraction(0.1)], observed=[seen])
    known = dataclasses.replace(evidence.attack, flips=Measured(0.25, 0.01))
    corrected = dataclasses.replace(evidence.attack, flips=Measured(0.02, 0.001), region_flips={})
    if evidence.excess is not None and flips is not None:
        difference = Difference(0.02 - flips, 0.001, Measured(0.02, 0.001), Measured(flips, 0.001))
        excess = dataclasses.replace(evidence.excess, flips=difference, region_flips={REGION: difference})
        evidence = dataclasses.replace(evidence, excess=excess)
    adaptive = dataclasses.replace(evidence, corrected=known)
    evidence = dataclasses.replace(evidence, corrected=corrected, adaptive=adaptive, converged=True)
    return summarise(sums, evidence, decide(evidence, investigated=investigated))


def test_a_reviewer_is_told_why(shifted_result: AttackResult, sign_classifier: Classifier) -> None:
    summary = study(shifted_result, sign_classifier, 0.01)
    attack, comparison, decision = verdict_in_words(summary)
    events = summary.events
    assert f"Of {events['n_attacked']} attacked events, {events['n_fooled']} were given another class" in attack
    assert f"{summary.systematics['attack']['flips']['value']:.1%} of their weight" in attack
    assert f"Jensen-Shannon distance of {summary.compatibility[0]['max_js_distance']:.3f}" in attack
    free = events["n_events"] - events["n_constrained"]
    assert f"The distributions of the {free} events elsewhere" in attack
    assert "flags some of them; 2.0% are left" in comparison
    assert "escape this detector, 25.0% are left" in comparison
    assert "and that move inputs (tau energy) together change the class of 1.0% of the same events" in comparison
    assert comparison.endswith("What is left of the attack is 2 times as much.")
    assert decision.startswith(
        "This is why the verdict is INVESTIGATE: a deviation within the limits of the search could change"
    )
    assert "None of this says that the data hold such a deviation" in decision
    for shown in (html.unescape(summary_html(summary)), summary_markdown(summary)):
        assert all(paragraph in shown for paragraph in (attack, decision))


@pytest.mark.parametrize(
    ("flips", "investigated", "expected"),
    [
        (0.5, False, "verdict is COVERED"),
        (
            None,
            False,
            "selected yield. An input is missing; give physics systematics that vary the inputs, such as energy scales, and physics",
        ),
        (0.01, True, "leave uncovered (1.7% in high_met of the events) is to be added as an uncertainty"),
    ],
)
def test_every_decision_is_explained(
    flips: float | None,
    investigated: bool,
    expected: str,
    shifted_result: AttackResult,
    sign_classifier: Classifier,
) -> None:
    summary = study(shifted_result, sign_classifier, flips, investigated=investigated)
    *_, decision = verdict_in_words(summary)
    assert expected in decision
    assert "nan" not in " ".join(verdict_in_words(summary))


def test_every_open_criterion_is_a_reason(shifted_result: AttackResult, sign_classifier: Classifier) -> None:
    sums = shifted_result.sums(sign_classifier)
    found = Evidence.of(sums)
    evidence = dataclasses.replace(found, corrected=found.attack, n_iterations=9)
    text = verdict_in_words(summarise(sums, evidence, decide(evidence)))
    assert "No physics systematic was given to compare with" in text[1]
    for reason in (
        "it is not decided whether the assigned uncertainties allow",
        "flags as many data events",
        "no data of a control or validation region",
        "whether a longer search would find more",
    ):
        assert reason in text[2]


def test_the_advice_depends_on_whether_the_validation_would_notice(
    shifted_result: AttackResult, sign_classifier: Classifier
) -> None:
    summary = study(shifted_result, sign_classifier, 0.01)
    events = {**summary.events, "n_constrained": summary.events["n_events"]}
    assert "elsewhere" not in verdict_in_words(dataclasses.replace(summary, events=events))[0]
    assert "would have noticed it was not measured" in verdict_in_words(summary)[2]
    row = {"title": "all linear correlations", "region": "low_met", "n_data": 671.0}
    for power, expected in (
        (0.8, "standard checks of {} together would notice it with a probability of 80%. The limits were too generous"),
        (0.2, "standard checks of {} together would notice it with a probability of no more than 20%, so that"),
    ):
        combined = {"power": {"value": power}, "n_checks": 9, "n_data": 671.0}
        rows = [{**row, "comparison": name, "power": {"value": 0.1}} for name in ("inputs", "score")]
        detection = {"strongest_standard": rows[0], "rows": rows, "combined": combined, "level": 0.05}
        seen = dataclasses.replace(summary, detection=detection)
        decision = verdict_in_words(seen)[2]
        assert f"With 671 data events the 9 {expected.format('the inputs and the score')}" in decision
        assert ("find out which events" in decision) == (power == 0.2)


def test_no_check_would_notice_is_said_only_with_score_and_flags_among_the_checks() -> None:
    row = {"title": "all linear correlations", "region": "low_met", "n_data": 671.0, "power": {"value": 0.1}}
    names = ("inputs", "score", "flagged fraction")
    for n_names, detector, lacking in (
        (1, False, "the score are not among"),
        (1, True, "the score and what the detector flags are not among"),
        (2, True, "what the detector flags are not among"),
        (2, False, None),
        (3, True, None),
    ):
        rows = [{**row, "comparison": name} for name in names[:n_names]]
        found = noticed({"strongest_standard": rows[0], "rows": rows, "level": 0.05}, detector=detector)
        assert found is not None
        assert ("so that the validation does not exclude it" in found[0]) == (lacking is None)
        assert lacking is None or lacking in found[0]


def test_a_criterion_that_does_not_hold_is_not_called_failed(
    shifted_result: AttackResult, sign_classifier: Classifier
) -> None:
    summary = study(shifted_result, sign_classifier, 0.01)
    page = summary_html(summary)
    assert "✗ not fulfilled" in page
    assert "✓ fulfilled" in page


def test_weight_variations_change_no_class(shifted_result: AttackResult, sign_classifier: Classifier) -> None:
    yields = {"low_met": Measured(-0.04), "high_met": Measured(0.03)}
    effects = (
        SystematicEffect(name="tau_energy_up", kind="shape", flips=Measured(0.02), yield_shift={}),
        SystematicEffect(name="z_pt_up", kind="weight", flips=None, yield_shift=yields),
        SystematicEffect(name="z_pt_down", kind="weight", flips=None, yield_shift={"low_met": Measured(0.01)}),
    )
    summaries = []
    for chosen in (effects, effects[1:]):
        sums = shifted_result.sums(sign_classifier)
        evidence = Evidence.of(sums, others=chosen)
        summaries.append(summarise(sums, evidence, decide(evidence)))
    both, weights = (verdict_in_words(summary)[1] for summary in summaries)
    assert "move inputs (tau energy) together change the class of 2.0% of the same events" in both
    assert "change weights or yields, and no event's class: z pt 4.0%" in both
    assert "together change the class" not in weights
    for summary, expected in zip(summaries, ("tau_energy, in quadrature", "no source moves an input"), strict=True):
        assert expected in summary_html(summary)


def test_terminal_page_and_words_show_the_floor_of_the_same_input(
    shifted_result: AttackResult, sign_classifier: Classifier
) -> None:
    summary = study(shifted_result, sign_classifier, 0.01)
    moved = shifted_result.compatibility
    floor = moved.js_floor[moved.js_distance.argmax()]
    assert f"typically {floor:.3f}" in verdict_in_words(summary)[0]
    assert f"{floor:.4f} is typical of statistical fluctuations" in summary_html(summary)
    row = next(line for line in summary_markdown(summary).splitlines() if line.startswith("| constrained"))
    assert row.split(" | ")[4] == f"{floor:.4f}"


def test_five_answers_hold_the_numbers_of_the_summary(
    shifted_result: AttackResult, sign_classifier: Classifier
) -> None:
    summary = study(shifted_result, sign_classifier, 0.01)
    told = {answer.question: answer.text for answer in answers(summary)}
    assert list(told) == ["Attacked", "Found", "Proved", "Covered", "To do"]
    events, systematics = summary.events, summary.systematics
    assert told["Attacked"].startswith(f"{events['n_attacked']} of {events['n_events']} simulated events")
    found = systematics["attack"]["region_flips"][REGION]["value"]
    assert f"At least {found:.1%}" in told["Found"]
    assert "in high met" in told["Found"]
    assert "2.0% ± 0.1% are not flagged by the detector, " in told["Found"]
    assert told["Proved"] == "No upper limit: a search gives a lower limit of the worst case."
    assert "(tau energy) change the class of 1.0% ± 1.0%" in told["Covered"]
    assert told["To do"].startswith("Before approval: explain which events")
    page = html.unescape(summary_html(summary))
    assert all(text in page[: page.index("<nav")] for text in told.values())


def test_each_decision_says_what_to_do(shifted_result: AttackResult, sign_classifier: Classifier) -> None:
    covered, assign, incomplete = (
        study(shifted_result, sign_classifier, flips, investigated=investigated)
        for flips, investigated in ((0.5, False), (0.01, True), (None, False))
    )
    to_do = {one.verdict["decision"]: answers(one)[-1].text for one in (covered, assign, incomplete)}
    assert to_do["COVERED"].startswith("Nothing before approval")
    assert "Add what the assigned uncertainties leave uncovered" in to_do["ASSIGN"]
    assert "% of the events" in to_do["ASSIGN"]
    assert "physics systematics that vary the inputs" in to_do["INCOMPLETE"]


def test_the_head_names_analysis_author_date_files_and_network(
    shifted_result: AttackResult, sign_classifier: Classifier
) -> None:
    summary = study(shifted_result, sign_classifier, 0.01)
    about = {"analysis": "H → bb", "author": "A. Physicist", "date": "2026-12-01", "network": "net.onnx"}
    files = {"files": [f"/data/{k}.root" for k in range(9)]}
    named = dataclasses.replace(summary, about=about, provenance={**summary.provenance, "input": files})
    head = summary_html(named).partition("</header>")[0]
    for text in (*about.values(), "0.root, 1.root", "and 3 more"):
        assert text in head
    assert "author" not in summary_html(summary).partition("</header>")[0].lower()
