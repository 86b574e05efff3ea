# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from hepfool.attacks import AttackResult
from hepfool.defences import DetectorReport
from hepfool.inference import BiasTest, Impact
from hepfool.inference._impact import Interval, NuisanceImpact, impact_record
from hepfool.models import Classifier
from hepfool.statistics._checks import DetectionPower, DetectionTable
from hepfool.statistics._joint_toys import CombinedPower
from hepfool.statistics._toys import Power
from hepfool.studies import CrossRuns, Measured
from hepfool.studies._contributions import SystematicEffect
from hepfool.studies._excess import Difference, Excess
from hepfool.studies._frontier import Frontier, FrontierPoint
from hepfool.summary import Evidence, decide, summarise, summary_schema
from hepfool.summary._criteria import FlaggedFractionsAgree
from hepfool.summary._evidence import FlaggedFraction, FlaggedSignal
from hepfool.summary._observed import ObservedCheck
from hepfool.summary._on_demand import frontier_record, spread_record
from hepfool.sums import AttackSums

REGION = "high_met"


def systematic(flips: float, shift: float = 0.0) -> SystematicEffect:
    return SystematicEffect(name="tes_up", kind="shape", flips=Measured(flips), yield_shift={REGION: Measured(shift)})


def flagged(data: float) -> FlaggedFraction:
    return FlaggedFraction(
        region="low_met",
        data=Measured(data, 0.01),
        simulation=Measured(0.19, 0.01),
        attacked=Measured(0.4, 0.01),
        n_data=20000,
        n_simulated=20000,
    )


AGREEING, DISAGREEING = flagged(0.20), flagged(0.40)
SEEN = ObservedCheck(
    check="chi2", region="low_met", quantity="met", p_nominal=0.3, p_attacked=0.1, n_data=2000, n_bins=20
)


@pytest.fixture
def sums(shifted_result: AttackResult, sign_classifier: Classifier) -> AttackSums:
    return shifted_result.sums(sign_classifier)


def with_effects(evidence: Evidence, *effects: SystematicEffect, **changes: object) -> Evidence:
    """Compare the attack with other systematics, or another attack with these."""
    changed = dataclasses.replace(evidence, effects=effects or evidence.effects, **changes)  # type: ignore[arg-type]
    added, remaining = changed.total, changed.remaining
    assert added is not None
    shifts = {
        r: difference(remaining.yield_shift.get(r, Measured(math.nan)), added.yield_shift.get(r, Measured(math.nan)))
        for r in changed.regions
    }
    flips = {r: difference(remaining.flips_in(r) or Measured(math.nan), added.flips) for r in changed.regions}
    excess = Excess(flips=flips[changed.regions[0]], yield_shift=shifts, region_flips=flips)
    return dataclasses.replace(changed, excess=excess)


def difference(effect: Measured, added: Measured) -> Difference:
    """Take an effect and the systematics for independent."""
    error = math.hypot(effect.error, added.error)
    return Difference(abs(effect.value) - added.value, error, Measured(abs(effect.value), effect.error), added)


def attack(flips: float, error: float = 0.0, shift: float = 0.0) -> SystematicEffect:
    return SystematicEffect(
        name="Shift", kind="attack", flips=Measured(flips, error), yield_shift={REGION: Measured(shift)}
    )


@pytest.fixture
def evidence(sums: AttackSums) -> Evidence:
    """Evidence of an attack that everything covers."""
    found = Evidence.of(sums, others=(systematic(0.5, 0.5),), fractions=(AGREEING,), observed=(SEEN,))
    return dataclasses.replace(found, converged=True)


def test_covered_needs_every_decisive_criterion(evidence: Evidence) -> None:
    verdict = decide(evidence)
    assert verdict.decision == "COVERED"
    assert verdict.reasons == ()
    assert decide(evidence, investigated=True).decision == "COVERED"


def test_whatever_fails_is_investigated(evidence: Evidence) -> None:
    changes = {
        "FoolingWithinSystematics failed": with_effects(evidence, systematic(0.001, 0.5)),
        "YieldsWithinSystematics failed": with_effects(evidence, systematic(0.5, 0.001)),
        "FlaggedFractionsAgree failed": dataclasses.replace(evidence, fractions=(DISAGREEING,)),
        "DataAgree failed": dataclasses.replace(evidence, observed=(dataclasses.replace(SEEN, p_nominal=0.01),)),
        "DetectorPrice failed": with_effects(
            evidence,
            corrected=evidence.attack,
            prices={REGION: FlaggedSignal(fraction=Measured(0.4), n_effective=500.0, every_signal=Measured(0.4))},
        ),
    }
    for reason, changed in changes.items():
        verdict = decide(changed)
        assert verdict.decision == "INVESTIGATE"
        assert verdict.regions[0].size_flips is None
        assert [r.partition(":")[0] for r in verdict.reasons] == [reason]
        investigated = decide(changed, investigated=True)
        # Nothing is assigned where the systematics cover everything.
        assert investigated.decision == ("ASSIGN" if "Systematics" in reason else "INVESTIGATE")
        # A search that was cut short has no size.
        short = dataclasses.replace(changed, converged=False)
        assert decide(short, investigated=True).decision == "INVESTIGATE"


YIELDS_ONLY = dataclasses.replace(systematic(0.0, 0.5), kind="weight", flips=None)
SYSTEMATICS = "physics systematics that vary the inputs, such as energy scales"
DATA = "data in a control or validation region"


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"effects": (), "excess": None}, (SYSTEMATICS, "physics systematics")),
        ({"effects": (YIELDS_ONLY,)}, (SYSTEMATICS,)),
        ({"fractions": ()}, (DATA,)),
        ({"observed": ()}, (DATA,)),
        ({"converged": None}, ("an attack that stops when it has converged",)),
        ({"effects": (), "excess": None, "fractions": ()}, (SYSTEMATICS, "physics systematics", DATA)),
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


def test_too_few_events_to_decide_give_incomplete(evidence: Evidence) -> None:
    for flips in (0.02, 0.04):
        undecided = with_effects(evidence, systematic(0.03, 0.5), attack=attack(flips, 0.02))
        verdict = decide(undecided)
        assert verdict.decision == "INCOMPLETE"
        assert verdict.lacking == ("more simulated events in high_met, to tell fooling ratio and systematics apart",)
    assert decide(undecided, investigated=True).decision == "ASSIGN"


def test_without_a_detector_no_flags_are_needed(evidence: Evidence) -> None:
    verdict = decide(dataclasses.replace(evidence, fractions=()))
    assert (verdict.decision, verdict.reasons) == ("COVERED", ())
    (criterion,) = (c for c in verdict.criteria if isinstance(c, FlaggedFractionsAgree))
    assert (criterion.status, criterion.numbers) == ("not needed", "no detector, whose flags would be subtracted")


def test_the_whole_is_the_worst_of_the_regions(evidence: Evidence) -> None:
    inside, outside, between = (Difference(v, 0.01, Measured(0.2 + v, 0.01), Measured(0.2)) for v in (-0.1, 0.1, 0.005))

    def decisions(*found: Difference, investigated: bool = False) -> tuple[str, list[str]]:
        regions = tuple(f"sr{k}" for k in range(len(found)))
        flips = dict(zip(regions, found, strict=True))
        excess = Excess(flips=outside, yield_shift=dict.fromkeys(regions, inside), region_flips=flips)
        shifts, ratios = {r: Measured(0.0) for r in regions}, {r: one.effect for r, one in flips.items()}
        own = dataclasses.replace(evidence.attack, region_flips=ratios, yield_shift=shifts)
        effects = (systematic(0.2, 0.2),)
        changed = dataclasses.replace(evidence, regions=regions, excess=excess, attack=own, effects=effects)
        verdict = decide(changed, investigated=investigated)
        return verdict.decision, [one.decision for one in verdict.regions]

    assert decisions(inside, inside) == ("COVERED", ["COVERED", "COVERED"])
    assert decisions(inside, between) == ("INCOMPLETE", ["COVERED", "INCOMPLETE"])
    assert decisions(between, outside) == ("INVESTIGATE", ["INCOMPLETE", "INVESTIGATE"])
    assert decisions(inside, outside, investigated=True) == ("ASSIGN", ["COVERED", "ASSIGN"])


def test_signal_regions_are_decided_on_and_all_events_without_any(
    evidence: Evidence, shifted_result: AttackResult, sign_classifier: Classifier
) -> None:
    assert [one.region for one in decide(evidence).regions] == ["high_met"]
    table = dataclasses.replace(shifted_result.nominal, regions=())
    whole = dataclasses.replace(shifted_result, nominal=table, adversarial=table)
    assert Evidence.of(whole.sums(sign_classifier)).regions == ("all_events",)


def test_nothing_is_assigned_where_everything_is_covered(evidence: Evidence) -> None:
    covered = with_effects(evidence, systematic(0.05, 0.1), attack=attack(0.02), fractions=(DISAGREEING,))
    assert decide(covered, investigated=True).decision == "INVESTIGATE"
    lacking = dataclasses.replace(covered, corrected=covered.attack, fractions=())
    assert decide(lacking, investigated=True).decision == "INCOMPLETE"


def test_a_detector_that_differs_in_data_covers_nothing(evidence: Evidence) -> None:
    changed = with_effects(evidence, systematic(0.03, 0.1), attack=attack(0.05), corrected=attack(0.01))
    assert decide(changed, investigated=True).decision == "COVERED"
    doubtful = decide(dataclasses.replace(changed, fractions=(DISAGREEING,)), investigated=True)
    assert doubtful.decision == "ASSIGN"
    assert doubtful.regions[0].size_flips == pytest.approx(0.04)


def test_the_assigned_size_fills_the_quadratic_sum(evidence: Evidence) -> None:
    changed = with_effects(evidence, systematic(0.03, 0.3), attack=attack(0.05, shift=-0.5))
    (region,) = decide(changed, investigated=True).regions
    assert region.decision == "ASSIGN"
    assert region.size_flips == pytest.approx(0.04)
    assert region.size_yield == pytest.approx(0.4)
    unknown = with_effects(evidence, systematic(0.03, 0.3), attack=attack(0.05, shift=math.nan))
    (region,) = decide(unknown, investigated=True).regions
    assert (region.decision, region.size_yield) == ("ASSIGN", None)


def test_a_verdict_states_which_thresholds_it_depends_on(evidence: Evidence) -> None:
    stable = decide(evidence)
    assert {s.threshold for s in stable.sensitivity} == {
        "confidence",
        "max_systematics_ratio",
        "flagged_tolerance",
        "max_signal_flagged",
    }
    assert {s.decision for s in stable.sensitivity} == {"COVERED"}
    assert stable.stability == (
        "The verdict stays COVERED at 90 % and 99 % confidence, and with each other threshold 50 % lower or higher."
    )
    close = decide(with_effects(evidence, systematic(0.05, 0.5), attack=attack(0.04, 0.004)))
    assert close.decision == "COVERED"
    assert close.stability == (
        "The verdict depends on a threshold: INCOMPLETE with confidence 0.99 instead of 0.95, "
        "INVESTIGATE with max_systematics_ratio 0.5 instead of 1."
    )


def test_a_verdict_states_the_effect_of_an_attack_that_knows_the_detector(evidence: Evidence) -> None:
    assert decide(evidence).adaptive is None
    known = with_effects(evidence, systematic(0.03, 0.1), corrected=attack(0.09, 0.002))
    verdict = decide(with_effects(evidence, systematic(0.03, 0.1), corrected=attack(0.01), adaptive=known))
    assert (verdict.decision, verdict.adaptive) == ("COVERED", "INVESTIGATE")
    sentence = (
        "If the attack knows the detector, the verdict becomes INVESTIGATE (corrected fooling ratio 0.0900 ± 0.0020)."
    )
    assert verdict.stability.endswith(sentence)
    known = with_effects(known, systematic(0.3, 0.1))
    covered = decide(with_effects(evidence, systematic(0.3, 0.1), corrected=attack(0.01), adaptive=known))
    assert covered.stability.endswith("the verdict stays COVERED (corrected fooling ratio 0.0900 ± 0.0020).")


def test_correlated_systematics_cover_more(sums: AttackSums) -> None:
    effects = (systematic(0.03, 0.5), dataclasses.replace(systematic(0.04, 0.5), name="jes_up"))
    ends = []
    for correlations in ({}, {("tes", "jes"): 1.0}):
        found = Evidence.of(sums, others=effects, correlations=correlations)
        assert found.excess is not None
        difference = found.excess.region_flips[REGION]
        assert isinstance(difference, Difference)
        ends.append(difference.systematics.value)
    assert ends == pytest.approx([0.05, 0.07])


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
    assert back["verdict"]["regions"] == [
        {"region": "high_met", "decision": "COVERED", "size_flips": None, "size_yield": None}
    ]
    assert back["observed"]["checks"][0]["p_attacked"] == 0.1
    assert back["versions"]["hepfool"]


def cross_runs(report: DetectorReport) -> CrossRuns:
    """Two trainings of which the second is fooled more."""
    own = [dataclasses.replace(report, fooling_ratio=value, corrected_fooling_ratio=value) for value in (0.2, 0.4)]
    cells = ((own[0], report), (report, own[1]))
    flagged = np.arange(200).reshape(1, 1, 200) < 20
    answers = np.repeat(flagged, 2, axis=1)
    return CrossRuns(
        cells=(cells,),
        flagged=answers,
        correct=np.ones_like(answers),
        auroc=np.array([[0.8, 0.9]]),
        seed=1,
        adaptive=(tuple(own),),
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
    assert record["n_test"] == 200
    # Both detectors flag the same tenth of the events, of which chance would give each hundredth twice.
    flags = record["misclassification"]
    assert flags["systematic"]
    assert [row["observed"] for row in flags["rows"]] == [180, 0, 20]
    assert flags["rows"][2]["expected"] == pytest.approx(2.0)
    never = dataclasses.replace(cross_runs(detector_report), correct=np.zeros((1, 2, 200), dtype=np.bool_))
    assert spread_record(never)["misclassification"] is None


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
    combined = CombinedPower(
        power=Power(0.4, 0.02), uncorrected=0.3, n_checks=9, n_data=9.0, n_simulated=math.inf, n_toys=4
    )
    detection = DetectionTable(rows=(row,), level=0.05, combined=combined, notes=("A note.",))
    bare = dataclasses.replace(evidence, effects=(), excess=None)
    for verdict in (decide(evidence), decide(bare, investigated=True)):
        full = summarise(sums, evidence, verdict, detector=detector_report, detection=detection, seed=7)
        assert list(validator.iter_errors(json.loads(full.to_json()))) == []
    effects = (systematic(0.1), dataclasses.replace(systematic(0.1), name="jes_up", kind="yield", flips=None))
    defended = dataclasses.replace(
        evidence,
        effects=effects,
        correlations={("tes", "jes"): 0.5},
        adaptive=evidence,
        excess=Excess(flips=Measured(-0.1, 0.01), yield_shift={"all_events": Measured(math.nan, math.nan)}),
    )
    interval = Interval(down=0.1, up=math.nan)
    nuisance = NuisanceImpact(
        name="adversarial", adversarial=True, interval=interval, prior=math.nan, down=-0.01, up=0.02
    )
    bias = BiasTest(
        shift=-0.05, n_sigma=math.nan, chi2=9.0, n_dof=0, p_value=math.nan, power=math.nan, pulls={"jes": 1.5}
    )
    impact = Impact(parameter="mu", value=1.0, before=interval, after=interval, bias=bias, ranking=(nuisance,))
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
    bare = dataclasses.replace(bare, fractions=(), observed=())
    record = json.loads(summarise(sums, bare, decide(bare)).to_json())
    assert list(validator.iter_errors(record)) == []
    # Nothing may be added, left out, or misspelt unnoticed.
    record["verdict"]["decision"] = "FINE"
    record["events"]["n_extra"] = 1
    del record["fooling"]["regions"]
    wrong = {"/".join(map(str, error.absolute_path)) for error in validator.iter_errors(record)}
    assert wrong == {"verdict/decision", "events", "fooling"}
