# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from hepfool.attacks.base import AttackResult
from hepfool.defences.detector import DetectorReport
from hepfool.inference import Impact
from hepfool.inference.impact import Interval, NuisanceImpact, impact_record
from hepfool.models.protocols import Classifier
from hepfool.statistics.checks import DetectionPower, DetectionTable
from hepfool.statistics.toys import Power
from hepfool.studies.cross_run import CrossRuns
from hepfool.studies.excess import Excess
from hepfool.studies.frontier import Frontier, FrontierPoint
from hepfool.studies.systematics import Measured, SystematicEffect
from hepfool.summary import Evidence, Thresholds, decide, summarise, summary_schema
from hepfool.summary.criteria import FlaggedFractionsAgree
from hepfool.summary.evidence import FlaggedFraction
from hepfool.summary.on_demand import frontier_record, spread_record
from hepfool.sums import AttackSums


def systematic(flips: float, shift: float = 0.0) -> SystematicEffect:
    return SystematicEffect(
        name="tes_up", kind="shape", flips=Measured(flips), yield_shift={"all_events": Measured(shift)}
    )


AGREEING = FlaggedFraction(region="low_met", data=Measured(0.20, 0.01), simulation=Measured(0.19, 0.01))
DISAGREEING = FlaggedFraction(region="low_met", data=Measured(0.40, 0.01), simulation=Measured(0.19, 0.01))


@pytest.fixture
def sums(shifted_result: AttackResult, sign_classifier: Classifier) -> AttackSums:
    return shifted_result.sums(sign_classifier)


@pytest.fixture
def evidence(sums: AttackSums) -> Evidence:
    """Evidence of an attack that everything covers."""
    return Evidence.of(sums, others=(systematic(0.5, 0.5),), fractions=(AGREEING,))


def test_covered_needs_every_decisive_criterion(evidence: Evidence) -> None:
    verdict = decide(evidence)
    assert verdict.decision == "COVERED"
    assert verdict.reasons == ()
    assert decide(evidence, investigated=True).decision == "COVERED"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"effects": (systematic(0.001),)}, "FoolingWithinSystematics failed"),
        ({"effects": (systematic(0.001),), "fractions": ()}, "FoolingWithinSystematics failed"),
        ({"fractions": (DISAGREEING,)}, "FlaggedFractionsAgree failed"),
        ({"iterations_done": 2, "n_iterations": 3}, "AttackFinished failed"),
    ],
)
def test_whatever_is_open_is_investigated(change: dict[str, object], reason: str, evidence: Evidence) -> None:
    changed = dataclasses.replace(evidence, **change)  # type: ignore[arg-type]
    verdict = decide(changed)
    assert verdict.decision == "INVESTIGATE"
    assert verdict.size_flips is None
    assert [r for r in verdict.reasons if r.startswith(reason)]
    investigated = decide(changed, investigated=True)
    assert investigated.decision == ("INVESTIGATE" if "Attack" in reason else "ASSIGN")
    if investigated.decision == "ASSIGN":
        assert max(investigated.size_flips or 0.0, *investigated.size_yields.values()) > 0.0


YIELDS_ONLY = dataclasses.replace(systematic(0.0, 0.1), kind="weight", flips=None)
SYSTEMATICS = "physics systematics that vary the inputs, such as energy scales"
DATA = "data in a control or validation region"


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"effects": ()}, (SYSTEMATICS,)),
        ({"effects": (YIELDS_ONLY,)}, (SYSTEMATICS,)),
        ({"fractions": ()}, (DATA,)),
        ({"effects": (), "fractions": ()}, (SYSTEMATICS, DATA)),
    ],
)
def test_a_missing_input_gives_incomplete(
    change: dict[str, object], lacking: tuple[str, ...], evidence: Evidence
) -> None:
    with_detector = dataclasses.replace(evidence, corrected=evidence.attack)
    verdict = decide(dataclasses.replace(with_detector, **change))  # type: ignore[arg-type]
    assert (verdict.decision, verdict.lacking) == ("INCOMPLETE", lacking)
    assert verdict.meaning == f"an input is missing; give {', and '.join(lacking)}"
    assert len(verdict.reasons) == len(lacking)


def test_without_a_detector_no_data_are_needed(evidence: Evidence) -> None:
    verdict = decide(dataclasses.replace(evidence, fractions=()))
    assert (verdict.decision, verdict.reasons) == ("COVERED", ())
    (criterion,) = (c for c in verdict.criteria if isinstance(c, FlaggedFractionsAgree))
    assert (criterion.status, criterion.numbers) == ("not needed", "no detector, whose flags would be subtracted")


def test_nothing_is_assigned_where_everything_is_covered(evidence: Evidence) -> None:
    attack = dataclasses.replace(evidence.attack, flips=Measured(0.02), yield_shift={})
    covered = dataclasses.replace(evidence, attack=attack, effects=(systematic(0.05),), fractions=(DISAGREEING,))
    assert decide(covered, investigated=True).decision == "INVESTIGATE"
    lacking = dataclasses.replace(covered, corrected=attack, fractions=())
    assert decide(lacking, investigated=True).decision == "INCOMPLETE"


def test_a_detector_that_differs_in_data_covers_nothing(evidence: Evidence) -> None:
    corrected = dataclasses.replace(evidence.attack, flips=Measured(0.01), yield_shift={})
    attack = dataclasses.replace(evidence.attack, flips=Measured(0.05), yield_shift={})
    changed = dataclasses.replace(evidence, attack=attack, corrected=corrected, effects=(systematic(0.03),))
    assert decide(changed, investigated=True).decision == "COVERED"
    doubtful = decide(dataclasses.replace(changed, fractions=(DISAGREEING,)), investigated=True)
    assert doubtful.decision == "ASSIGN"
    assert doubtful.size_flips == pytest.approx(0.04)


def test_the_assigned_size_fills_the_quadratic_sum(evidence: Evidence) -> None:
    attack = dataclasses.replace(
        evidence.attack,
        flips=Measured(0.05),
        yield_shift={"all_events": Measured(-0.5), "low_met": Measured(0.1), "empty": Measured(math.nan)},
    )
    verdict = decide(dataclasses.replace(evidence, attack=attack, effects=(systematic(0.03, 0.3),)), investigated=True)
    assert verdict.decision == "ASSIGN"
    assert verdict.size_flips == pytest.approx(0.04)
    assert verdict.size_yields["all_events"] == pytest.approx(0.4)
    assert verdict.size_yields["low_met"] == pytest.approx(0.1)
    assert math.isnan(verdict.size_yields["empty"])


def test_a_verdict_states_which_thresholds_it_depends_on(evidence: Evidence) -> None:
    stable = decide(evidence)
    assert {s.threshold for s in stable.sensitivity} == {f.name for f in dataclasses.fields(Thresholds)}
    assert {s.decision for s in stable.sensitivity} == {"COVERED"}
    assert stable.stability == "The verdict stays COVERED with each threshold 50 % lower or higher."
    attack = dataclasses.replace(evidence.attack, flips=Measured(0.04), yield_shift={})
    close = decide(dataclasses.replace(evidence, attack=attack, effects=(systematic(0.05),)))
    assert close.decision == "COVERED"
    assert (
        close.stability
        == "The verdict depends on a threshold: INVESTIGATE with max_systematics_ratio 0.5 instead of 1."
    )
    wide = decide(
        dataclasses.replace(evidence, attack=attack, effects=(systematic(0.03),)),
        Thresholds(max_systematics_ratio=1),
    )
    assert wide.decision == "INVESTIGATE"
    assert "COVERED with max_systematics_ratio 1.5 instead of 1" in wide.stability


def test_a_verdict_states_the_effect_of_an_attack_that_knows_the_detector(evidence: Evidence) -> None:
    assert decide(evidence).adaptive is None
    naive = dataclasses.replace(evidence.attack, flips=Measured(0.01), yield_shift={})
    known = dataclasses.replace(evidence.attack, flips=Measured(0.09, 0.002), yield_shift={})
    changed = dataclasses.replace(evidence, corrected=naive, adaptive=known, effects=(systematic(0.03),))
    verdict = decide(changed)
    assert (verdict.decision, verdict.adaptive) == ("COVERED", "INVESTIGATE")
    sentence = (
        "If the attack knows the detector, the verdict becomes INVESTIGATE (corrected fooling ratio 0.0900 ± 0.0020)."
    )
    assert verdict.stability.endswith(sentence)
    covered = decide(dataclasses.replace(changed, effects=(systematic(0.3),)))
    assert covered.stability.endswith("the verdict stays COVERED (corrected fooling ratio 0.0900 ± 0.0020).")


def test_correlated_systematics_cover_more(evidence: Evidence) -> None:
    effects = (systematic(0.03), dataclasses.replace(systematic(0.04), name="jes_up"))
    attack = dataclasses.replace(evidence.attack, flips=Measured(0.06), yield_shift={})
    apart = dataclasses.replace(evidence, attack=attack, effects=effects)
    assert decide(apart).decision == "INVESTIGATE"
    assert decide(dataclasses.replace(apart, correlations={("tes", "jes"): 1.0})).decision == "COVERED"


def test_the_summary_is_plain_json(
    shifted_result: AttackResult, sums: AttackSums, evidence: Evidence, detector_report: DetectorReport
) -> None:
    summary = summarise(sums, evidence, decide(evidence), detector=detector_report, seed=7)
    back = json.loads(summary.to_json())
    assert back == json.loads(json.dumps(dataclasses.asdict(summary)))
    assert back["provenance"]["seed"] == 7
    assert back["provenance"]["classifier"] == "5" * 64
    assert "Shift(amount=0.1" in back["provenance"]["attack"]
    assert back["events"]["n_events"] == 1000
    assert back["fooling"]["fooling_ratio"]["value"] == pytest.approx(shifted_result.fooling_ratio)
    assert set(back["fooling"]["datasets"]) == {"signal", "ttbar"}
    assert back["fooling"]["datasets"]["signal"]["n_fooled"] == 0
    assert set(back["fooling"]["regions"]) == {"low_met", "high_met"}
    assert [c["region"] for c in back["compatibility"]] == ["constrained", "low_met"]
    assert set(back["compatibility"][0]["features"]) == {"lead_jet_pt", "met"}
    assert back["detector"]["clean_efficiency_by_class"] == {"0": 0.9, "1": 0.8}
    assert back["detector"]["auroc"] is None
    assert back["verdict"]["decision"] == "COVERED"
    assert back["verdict"]["criteria"][0]["values"]["max_ratio"] == 1.0
    assert back["versions"]["hepfool"]


def cross_runs(report: DetectorReport) -> CrossRuns:
    """Two trainings of which the second is fooled more."""
    own = [dataclasses.replace(report, fooling_ratio=value, corrected_fooling_ratio=value) for value in (0.2, 0.4)]
    cells = ((own[0], report), (report, own[1]))
    answers = np.zeros((1, 2, 10), dtype=np.bool_)
    return CrossRuns(
        cells=(cells,), flagged=answers, correct=answers, auroc=np.array([[0.8, 0.9]]), seed=1, adaptive=(tuple(own),)
    )


def test_repeated_trainings_are_summed_up(detector_report: DetectorReport) -> None:
    record = spread_record(cross_runs(detector_report))
    rows = {(row["quantity"], row["knowledge"]): row for row in record["rows"]}
    assert len(rows) == 5
    own = rows["fooling_ratio", "white_box"]
    assert own["mean"]["value"] == pytest.approx(0.3)
    assert (own["smallest"], own["largest"]) == (0.2, 0.4)
    assert own["std"] == pytest.approx(np.std([0.2, 0.4], ddof=1))
    other = rows["fooling_ratio", "grey_box"]
    assert other["smallest"] == other["largest"] == detector_report.fooling_ratio
    assert rows["corrected_fooling_ratio", "adaptive"] == {
        **own,
        "quantity": "corrected_fooling_ratio",
        "knowledge": "adaptive",
    }
    assert record["n_test"] == 10


def test_the_summary_follows_its_published_schema(
    shifted_result: AttackResult, sums: AttackSums, evidence: Evidence, detector_report: DetectorReport
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = summary_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    row = DetectionPower(
        check="ks",
        region="low_met",
        features=("met",),
        power=Power(0.3, 0.01),
        n_data=9.0,
        n_simulated=math.inf,
        n_toys=4,
    )
    detection = DetectionTable(rows=(row,), level=0.05)
    for verdict in (decide(evidence), decide(dataclasses.replace(evidence, effects=()), investigated=True)):
        full = summarise(sums, evidence, verdict, detector=detector_report, detection=detection, seed=7)
        assert list(validator.iter_errors(json.loads(full.to_json()))) == []
    effects = (systematic(0.1), dataclasses.replace(systematic(0.1), name="jes_up", kind="yield", flips=None))
    defended = dataclasses.replace(
        evidence,
        effects=effects,
        correlations={("tes", "jes"): 0.5},
        adaptive=evidence.attack,
        excess=Excess(flips=Measured(-0.1, 0.01), yield_shift={"all_events": Measured(math.nan, math.nan)}),
    )
    interval = Interval(down=0.1, up=math.nan)
    nuisance = NuisanceImpact(name="adversarial", adversarial=True, interval=interval, down=-0.01, up=0.02)
    impact = Impact(parameter="mu", value=1.0, before=interval, after=interval, ranking=(nuisance,))
    number = Measured(0.1, math.nan)
    point = FrontierPoint(
        factor=0.5,
        fooling=number,
        max_js_distance=0.01,
        correlation_shift=0.02,
        power=number,
        check="ks",
        further_power=number,
        further_check="ks",
    )
    whole = dataclasses.replace(
        summarise(sums, defended, decide(defended)),
        impact=impact_record(impact),
        frontier=frontier_record(Frontier(points=(point,), n_data=9.0, level=0.05)),
        spread=spread_record(cross_runs(detector_report)),
    )
    record = json.loads(whole.to_json())
    assert list(validator.iter_errors(record)) == []
    assert record["impact"]["before"] == {"down": 0.1, "up": None}
    assert record["systematics"]["correlations"] == [{"sources": ["tes", "jes"], "coefficient": 0.5}]
    assert record["verdict"]["adaptive"] == "COVERED"
    bare = dataclasses.replace(evidence, effects=(), fractions=())
    record = json.loads(summarise(sums, bare, decide(bare)).to_json())
    assert list(validator.iter_errors(record)) == []
    # Nothing may be added, left out, or misspelt unnoticed.
    record["verdict"]["decision"] = "FINE"
    record["events"]["n_extra"] = 1
    del record["fooling"]["regions"]
    wrong = {"/".join(map(str, error.absolute_path)) for error in validator.iter_errors(record)}
    assert wrong == {"verdict/decision", "events", "fooling"}
