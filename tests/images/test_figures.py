# SPDX-License-Identifier: BSD-3-Clause
"""Compare every figure with its reference; draw the references anew with ``make images``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hist import Hist
from matplotlib.figure import Figure

from hepfool.defences import Robustness
from hepfool.defences._detector_curves import Calibration, DetectorCurves
from hepfool.defences._robustness import Ratio
from hepfool.events import EventTable
from hepfool.explain import Coherence, ExplainedPart, Explanation, PartKind
from hepfool.inference import BiasTest, Impact
from hepfool.inference._impact import Interval, NuisanceImpact
from hepfool.plots import (
    AttackPoint,
    PlotStyle,
    plot_allowed_fraction,
    plot_attack_comparison,
    plot_contact_sheet,
    plot_correlations,
    plot_cross_runs,
    plot_detection,
    plot_detector,
    plot_detector_efficiencies,
    plot_explanation,
    plot_fooling,
    plot_frontier,
    plot_impacts,
    plot_ladder,
    plot_marginal,
    plot_marginals,
    plot_misclassification,
    plot_partition_cost,
    plot_projection,
    plot_region_yields,
    plot_robustness,
    plot_score,
    plot_score_stack,
    plot_threshold_scan,
    plot_verdict,
)
from hepfool.plots._inputs import Marginal, Projection
from hepfool.plots._verdict import VerdictPanel, VerdictRow
from hepfool.processors import PartitionCost
from hepfool.processors._partition_caps import CapTrial
from hepfool.statistics import Binning, Compatibility, compare
from hepfool.statistics._checks import CheckKind, DetectionPower, DetectionTable
from hepfool.statistics._joint_toys import CombinedPower
from hepfool.statistics._migration import Migration
from hepfool.statistics._toys import Power
from hepfool.studies import CrossRuns, DetectorEfficiencies, Measured, systematic_misclassification
from hepfool.studies._frontier import Frontier, FrontierPoint
from hepfool.studies._misclassification import Misclassification
from hepfool.studies._region_yields import RegionYields
from hepfool.studies._threshold_scan import DataCheck, ThresholdScan
from hepfool.summary import AllowedFraction
from hepfool.typing import FloatArray
from hepfool.worst_case import Ladder
from hepfool.worst_case._rungs import Bracket, Freedom, Rung
from tests.figures import STYLE, TOLERANCE, drawn, judged, quantiles


def momentum_marginal(
    note: str = "Control region", shift: float = 3.0, weight: float = 1.0, *, paired: bool = True
) -> Marginal:
    histogram: Hist[Any] = Hist.new.Reg(30, 0, 300, label=r"Leading jet $p_\mathrm{T}$ [GeV]").Weight()
    values = -60.0 * np.log(quantiles(2000))
    pair = [np.minimum(values + s * np.sin(values / 8.0), 299.0) for s in (0.0, shift)]
    before, after = ((events // 10.0).astype(np.int64) for events in pair)
    return Marginal(
        nominal=histogram.copy().fill(pair[0], weight=weight),
        adversarial=histogram.copy().fill(pair[1], weight=weight),
        js_distance=0.0123,
        js_floor=0.0345,
        note=note,
        migration=Migration.between(before, after, np.full(2000, weight), n_bins=30) if paired else None,
    )


def jet_marginal() -> Marginal:
    nominal: Hist[Any] = Hist.new.Var(np.arange(7) - 0.5, label="Number of jets").Weight()
    adversarial = nominal.copy()
    nominal.fill(np.repeat(np.arange(6), [900, 600, 300, 120, 40, 9]))
    adversarial.fill(np.repeat(np.arange(6), [880, 610, 310, 125, 36, 8]))
    return Marginal(nominal=nominal, adversarial=adversarial, js_distance=0.02, js_floor=0.03, note="Largest distance")


def scores() -> Hist[Any]:
    histogram: Hist[Any] = (
        Hist.new.StrCat([r"H$\to\tau\tau$", r"Z$\to\tau\tau$", r"$\mathrm{t}\bar{\mathrm{t}}$"], name="process")
        .StrCat(["nominal", "adversarial"], name="variation")
        .Reg(40, 0.0, 1.0, name="score", label="Score")
        .Weight()
    )
    for process, power, n_events in zip(histogram.axes["process"], (0.3, 3.0, 1.2), (2000, 6000, 1500), strict=True):
        score = quantiles(n_events) ** power
        histogram.fill(process=process, variation="nominal", score=score)
        histogram.fill(process=process, variation="adversarial", score=score + 0.1 * np.sin(2.0 * np.pi * score))
    return histogram


def comparison(n_features: int = 30, *, prefix: str = "DER_mass_transverse_met_lep") -> Compatibility:
    phase = np.outer(np.arange(400), 1.0 + np.arange(n_features) // 3)
    nominal = np.sin(phase / 7.0) + 0.3 * np.cos(phase * np.sqrt(1.0 + np.arange(n_features)))
    table = EventTable.from_arrays(nominal, features=[f"{prefix}_{k}" for k in range(n_features)])
    moved = table.with_values(nominal + 0.1 * np.roll(nominal, 1, axis=1) * (np.arange(n_features) % 4 == 0))
    return compare(table, moved, Binning.uniform(table, n_bins=20), region="control_region")


def detector_curves() -> DetectorCurves:
    nominal = quantiles(50)
    score = (np.arange(10) + 0.5) / 10
    return DetectorCurves(
        thresholds=1.0 - nominal,
        flagged_nominal=nominal,
        flagged_fooled=nominal**0.3,
        working_point=(0.1, 0.1**0.3),
        auroc=0.769,
        auroc_error=0.006,
        calibration=Calibration(
            mean_score=score,
            fraction=score + 0.05 * np.sin(6.0 * score),
            lower=score - 0.03,
            upper=score + 0.08,
            n_events=np.full(10, 100),
            expected_error=0.031,
            brier=0.2,
        ),
        n_nominal=2000,
        n_fooled=731,
    )


def rungs() -> Ladder:
    def rung(freedom: Freedom, label: str, found: float, proved: float | None) -> Rung:
        gain, loss = (
            Bracket(found=k * found, error=0.3 * k * found**0.7, proved=None if proved is None else k * proved)
            for k in (3.5, 0.4)
        )
        fooling = Bracket(found=found, error=0.1 * found**0.7, proved=proved)
        return Rung(freedom=freedom, label=label, fooling=fooling, gain=gain, loss=loss)

    return Ladder(
        rungs=(
            rung("sources", "Each source alone, in quadrature", 0.028, None),
            rung("one shift", "All sources, one shift for all events", 0.042, 0.0523),
            rung("shift per event", "All sources, each event its own shift", 0.0517, 0.0523),
            rung("inputs", "Every input by itself", 0.0999, 0.112),
            rung("attack", "Free under the caps of the validation", 0.143, None),
        ),
        events="low_mt",
        sources=("tau_energy",),
        n_attacked=3573,
        n_events=4392,
        shift={"tau_energy": 1.0},
        relaxed=(),
        seed=1,
    )


def verdict() -> list[VerdictPanel]:
    def row(label: str, kind: str, flips: float, *shifts: float, limits: tuple[float, ...] = ()) -> VerdictRow:
        measured = tuple(Measured(shift, 0.2 * abs(shift)) for shift in shifts)
        return VerdictRow(label, kind, Measured(flips, 0.1 * flips**0.7) if flips else None, measured, limits)

    rows = (
        row("Tau energy scale", "source", 0.019, 0.07, -0.08),
        row("Jet energy scale", "source", 0.004, 0.01, -0.02),
        row("Tau id", "source", 0.0, 0.04, -0.04),
        row("All, in quadrature", "total", 0.023, 0.11),
        row("Attack", "attack", 0.087, 0.31),
        row("Attack, not flagged", "corrected", 0.061, 0.22),
        row("Attack, knows detector", "adaptive", 0.075, 0.27),
        row(r"Any inputs within $\pm 1\sigma$", "worst", 0.087, 0.31, -0.001, limits=(0.09, 0.002, 0.33)),
    )
    return [
        VerdictPanel(
            title=r"Signal region, $m_\mathrm{T} < 70$ GeV", n_attacked=3551, rows=rows, decision="INVESTIGATE"
        )
    ]


def explanation() -> Explanation:
    def part(kind: PartKind, name: str, n_events: int, tilt: float) -> ExplainedPart:
        sizes = np.exp(-0.3 * np.arange(14)) * (1.0 + tilt * np.cos(np.arange(14)))
        shares = {f"input_{k}": Measured(v, 0.05 * v**0.5) for k, v in enumerate((sizes / sizes.sum()).tolist())}
        numbers = [Measured(value, 0.02) for value in (0.17, 0.15, 0.1, 0.65)]
        coherence = Coherence(**dict(zip(("share", "chance", "alone", "without"), numbers, strict=True)))
        return ExplainedPart(kind=kind, name=name, n_events=n_events, weight=1.0, shares=shares, coherence=coherence)

    parts = (part("all", "all", 490, 0.0), part("direction", "0 → 1", 289, 0.2), part("direction", "1 → 0", 201, -0.3))
    return Explanation(of="fooled", parts=parts, sources=("tau_energy", "jet_energy"), n_permutations=10)


def allowed() -> AllowedFraction:
    fractions = np.linspace(0.0, 1.0, 21)
    scan = zip(fractions, np.exp(-6.5 * fractions), np.exp(-11.0 * fractions), strict=True)
    return AllowedFraction(
        threat_model="inputs within the caps of the validation",
        value=0.1,
        limit=0.46,
        expected=0.27,
        level=0.95,
        observable="score and flag",
        regions=("high_mt",),
        sources=("tau_energy",),
        n_data=671,
        n_bins=12,
        scan=tuple((float(a), float(b), float(c)) for a, b, c in scan),
    )


def efficiencies() -> DetectorEfficiencies:
    cuts, powers = np.linspace(0.0, 1.0, 101), np.array([[0.4], [0.5], [0.65]])
    return DetectorEfficiencies(
        thresholds=cuts, simulation=cuts**powers, data=cuts ** (powers + 0.04), n_simulation=4000.0, n_data=1200.0
    )


def misclassification() -> Misclassification:
    events = np.arange(3000)
    runs = np.arange(10)[:, None]
    chance = np.mod(events * np.sqrt(0.5 + runs), 1.0)
    return systematic_misclassification(chance < np.where(events < 40, 0.6, 0.08))


def cross_runs(n_runs: int = 5, n_splits: int = 2) -> CrossRuns:
    runs, nothing = range(n_runs), np.zeros((n_splits, n_runs, 10), dtype=bool)
    return CrossRuns(
        cells=tuple(tuple(tuple(judged(i, j, s) for j in runs) for i in runs) for s in range(n_splits)),
        flagged=nothing,
        correct=~nothing,
        auroc=np.full((n_splits, n_runs), 0.9),
        seed=1,
        adaptive=tuple(tuple(judged(0, i, s + 20) for i in runs) for s in range(n_splits)) if n_splits > 1 else (),
    )


def robustness() -> Robustness:
    values = [0.31, 0.22, 0.19, 0.17, 0.165, 0.172]
    ratios = [Ratio(value, 0.008) for value in values]
    return Robustness(
        before=ratios[0],
        by_iteration=tuple(ratios[1:]),
        mean_iteration=Ratio(0.183, 0.006),
        best_iteration=ratios[4],
        best=4,
        white_box_before=Ratio(0.34, 0.008),
        white_box_after=Ratio(0.25, 0.008),
        auroc_loss=0.0012,
        auroc_loss_error=0.0007,
        n_events=3000,
        n_attacks=4,
    )


ATTACKS = [("Higgs, control region", 0.741, 0.012), ("Higgs, signal region", 0.98, 0.004)]
CORRECTED = [("Higgs, control region", 0.07, 0.01), ("Higgs, signal region", 0.10, 0.004)]
SYSTEMATICS = [
    ("Tau energy scale up", 0.021, 0.001),
    ("Jet energy scale up", 0.034, 0.002),
    ("Jet energy resolution", 0.011, float("nan")),
]


def checks() -> DetectionTable:
    kinds: list[tuple[CheckKind, tuple[str, ...], float]] = [
        ("classifier", (), 1.0),
        ("projection", ("tau_pt", "met"), 0.62),
        ("ks", ("tau_pt",), 0.23),
        ("chi2", ("tau_pt",), 0.11),
        ("correlations", (), 0.05),
    ]
    rows = [
        DetectionPower(
            check=check,
            region="high_mt",
            features=features,
            power=Power(value, 0.0 if check == "chi2" else 0.02),
            n_data=3000.0,
            n_simulated=1e4,
            n_toys=400,
        )
        for check, features, value in kinds
    ]
    together = CombinedPower(
        power=Power(0.34, 0.03), uncorrected=0.6, n_checks=58, n_data=3000.0, n_simulated=1e4, n_toys=400
    )
    return DetectionTable(rows=tuple(rows), level=0.05, combined=together)


def frontier() -> Frontier:
    points = [
        FrontierPoint(
            factor=factor,
            fooling=Measured(fooling, 0.01),
            max_js_distance=0.03 * factor,
            correlation_shift=0.02 * factor,
            power=Measured(power, 0.02),
            check="all linear correlations",
            further_power=Measured(further, 0.03),
            further_check="classifier two-sample test",
        )
        for factor, fooling, power, further in (
            (0.25, 0.11, 0.05, 0.07),
            (0.5, 0.24, 0.07, 0.31),
            (1.0, 0.45, 0.16, 0.88),
            (2.0, 0.63, 0.55, 1.0),
            (4.0, 0.72, 0.98, 1.0),
        )
    ]
    return Frontier(points=tuple(points), n_data=3000.0, level=0.05)


def impact() -> Impact:
    sizes = {"Jet energy scale": 0.17, "adversarial": 0.12, "Tau energy scale": 0.06, "Luminosity": 0.05}
    ranking = [
        NuisanceImpact(
            name=name,
            adversarial=name == "adversarial",
            interval=Interval(down=1.0, up=0.3 if name == "adversarial" else 0.9),
            prior=1.0,
            down=size,
            up=-0.9 * size,
        )
        for name, size in sizes.items()
    ]
    ranking[1] = replace(ranking[1], down=0.0)
    pulls = {"Jet energy scale": -0.4, "Tau energy scale": 1.7, "Luminosity": 0.2}
    return Impact(
        parameter="mu",
        value=1.0,
        before=Interval(down=0.25, up=0.26),
        after=Interval(down=0.28, up=0.27),
        bias=BiasTest(shift=-0.2, n_sigma=-0.8, chi2=9.0, n_dof=4, p_value=0.061, power=0.66, pulls=pulls),
        ranking=tuple(ranking),
    )


def threshold_scan() -> ThresholdScan:
    thresholds = np.linspace(0.02, 0.98, 49)
    falling = np.exp(-6.0 * thresholds)

    def measured(values: FloatArray, n_events: int) -> tuple[Measured, ...]:
        return tuple(Measured(v, float(np.sqrt(v * (1.0 - v) / n_events))) for v in values.tolist())

    check = DataCheck(
        region="high_mt",
        thresholds=thresholds,
        data=measured(0.95 * falling, 600),
        simulation=measured(falling, 5000),
        n_data=600,
        n_simulated=5000,
    )
    return ThresholdScan(
        thresholds=thresholds,
        corrected=measured(0.1 * (1.0 - falling), 4000),
        nominal=measured(falling, 5000),
        checks=(check,),
        own=0.42,
        by_class=(("background", measured(falling**1.3, 3000)), ("signal", measured(falling**0.6, 2000))),
    )


FIGURES: dict[str, Callable[[], tuple[Figure, Any]]] = {
    "marginal": lambda: plot_marginal(momentum_marginal(), style=STYLE),
    "marginal_log": lambda: plot_marginal(momentum_marginal(paired=False), style=STYLE, log_y=True),
    "marginal_large_yields": lambda: plot_marginal(momentum_marginal(weight=1e6), style=STYLE),
    "marginal_atlas": lambda: plot_marginal(momentum_marginal(), style=PlotStyle(experiment="ATLAS", energy=13.6)),
    "marginal_lhcb": lambda: plot_marginal(momentum_marginal(), style=PlotStyle(experiment="LHCb", energy=13.6)),
    "marginal_alice": lambda: plot_marginal(momentum_marginal(), style=PlotStyle(experiment="ALICE", energy=13.6)),
    "marginal_plain": lambda: plot_marginal(momentum_marginal(), style=PlotStyle(experiment="plain", data=True)),
    "marginals": lambda: plot_marginals(
        [
            momentum_marginal("Smallest distance", 1.0),
            momentum_marginal("Median distance", 2.0),
            jet_marginal(),
        ],
        style=STYLE,
    ),
    "marginals_grid": lambda: plot_marginals([momentum_marginal(f"Feature {k}", k) for k in range(5)], style=STYLE),
    "correlations": lambda: plot_correlations(comparison(), style=STYLE),
    "correlations_few": lambda: plot_correlations(comparison(3, prefix="x"), style=STYLE),
    "score": lambda: plot_score(scores(), threshold=0.5, style=STYLE),
    "score_density_log": lambda: plot_score(scores(), threshold=0.9, density=True, log_y=True, style=STYLE),
    "score_stack": lambda: plot_score_stack(scores(), threshold=0.5, style=STYLE),
    "fooling": lambda: plot_fooling(ATTACKS, SYSTEMATICS, corrected=CORRECTED, style=STYLE),
    "fooling_log": lambda: plot_fooling(ATTACKS, SYSTEMATICS, style=STYLE, log_x=True),
    "fooling_alone": lambda: plot_fooling(ATTACKS[:1], style=PlotStyle()),
    "detector": lambda: plot_detector(detector_curves(), style=STYLE),
    "detector_efficiencies": lambda: plot_detector_efficiencies(efficiencies(), data_label="Pseudo-data", style=STYLE),
    "misclassification": lambda: plot_misclassification(misclassification(), style=STYLE),
    "cross_runs": lambda: plot_cross_runs(cross_runs(), style=STYLE),
    "cross_runs_many": lambda: plot_cross_runs(cross_runs(10, 1), style=STYLE),
    "robustness": lambda: plot_robustness(robustness(), style=STYLE),
    "detection": lambda: plot_detection(checks(), style=STYLE),
    "frontier": lambda: plot_frontier(frontier(), style=STYLE),
    "threshold_scan": lambda: plot_threshold_scan(threshold_scan(), style=STYLE),
    "threshold_scan_simulation": lambda: plot_threshold_scan(replace(threshold_scan(), checks=()), style=STYLE),
    "ladder": lambda: plot_ladder(rungs(), events=r"$m_\mathrm{T}(\mu) < 40$ GeV", style=STYLE),
    "ladder_atlas": lambda: plot_ladder(rungs(), style=replace(STYLE, experiment="ATLAS")),
    "verdict": lambda: plot_verdict(verdict(), checks(), decision="INVESTIGATE", style=STYLE),
    "verdict_regions_atlas": lambda: plot_verdict(
        [*verdict(), *verdict()], decision="INVESTIGATE", style=replace(STYLE, experiment="ATLAS")
    ),
    "explanation": lambda: plot_explanation(explanation(), style=STYLE),
    "allowed_fraction": lambda: plot_allowed_fraction(
        allowed(), labels={"high_mt": r"$m_\mathrm{T} > 70$ GeV"}, style=replace(STYLE, data=True)
    ),
    "impacts": lambda: plot_impacts(impact(), style=STYLE),
    "comparison": lambda: plot_attack_comparison(
        {
            "CONSERVAttack": [AttackPoint(0.5, 0.004, 0.03), AttackPoint(0.8, 0.03, 0.03)],
            "PGD": [AttackPoint(0.05, 0.01, 0.4), AttackPoint(0.5, 0.1, 0.7)],
        },
        max_js_distance=0.03,
        published={"Published": AttackPoint(0.5, 0.13, 0.03)},
        floor=0.1,
        note="2000 events",
        style=STYLE,
    ),
    "projection": lambda: plot_projection(pair_of_features(), style=STYLE),
    "projection_lhcb": lambda: plot_projection(pair_of_features(), style=PlotStyle(experiment="LHCb", energy=13.6)),
    "region_yields": lambda: plot_region_yields(regions(), style=replace(STYLE, data=True)),
    "region_yields_log": lambda: plot_region_yields(regions()[:1], log_y=True, style=STYLE),
    "region_yields_atlas": lambda: plot_region_yields(regions(), style=PlotStyle(experiment="ATLAS", energy=13.6)),
    "region_yields_attacks": lambda: plot_region_yields(
        [replace(one, further={"Attack, score kept": one.total * 1.02}) for one in regions()[:1]],
        attack_label="Attack, score not kept",
        log_y=True,
        style=replace(STYLE, data=True),
    ),
    "contact_sheet": lambda: (plot_contact_sheet(images(), title="Images")[0], None),
    "partition_cost": lambda: plot_partition_cost(partition_cost(), style=STYLE),
}


def pair_of_features() -> Projection:
    """Events of two classes that exchange one of their features."""
    n_events, n_bins = 4000, 10
    momentum = 120.0 * quantiles(n_events) ** 2
    angle = 3.0 * quantiles(n_events)[(np.arange(n_events) * 7) % n_events] * (1.0 - momentum / 240.0)
    moved = np.where(np.arange(n_events) % 5 == 0, 3.0 - angle, angle)
    edges = np.linspace(0.0, 120.0, n_bins + 1), np.linspace(0.0, np.pi, n_bins + 1)
    before, after = (
        np.minimum(momentum // 12.0, n_bins - 1).astype(np.int64) * n_bins
        + np.minimum(values / np.pi * n_bins, n_bins - 1).astype(np.int64)
        for values in (angle, moved)
    )
    weights = np.full(n_events, 0.5)
    yields: list[Any] = [np.bincount(b, weights=weights, minlength=n_bins**2) for b in (before, after)]
    return Projection(
        labels=(r"$p_\mathrm{T}^\mathrm{miss}$ [GeV]", r"$|\Delta\phi(\ell, \mathrm{MET})|$ [rad]"),
        edges=edges,
        nominal=yields[0].reshape(n_bins, n_bins),
        adversarial=yields[1].reshape(n_bins, n_bins),
        migration=Migration.between(before, after, weights, n_bins=n_bins**2),
        js_distance=0.123,
        js_floor=0.045,
        note="control region",
    )


def images() -> dict[str, FloatArray]:
    """Slopes of different shapes."""
    shapes = ((100, 300), (150, 100), (100, 100), (80, 160), (100, 320))
    return {
        f"{rows} x {columns}": np.linspace(0.2, 1.0, rows * columns).reshape(rows, columns) for rows, columns in shapes
    }


def regions() -> list[RegionYields]:
    """A control region with data, and a blinded signal region."""
    edges = np.linspace(0.0, 1.0, 21)
    score = 0.5 * (edges[1:] + edges[:-1])
    processes = {
        r"Z$\to\tau\tau$": 300.0 * (1.0 - score) ** 2 + 5.0,
        "W+jets": 90.0 * (1.0 - score) + 2.0,
        r"$\mathrm{t}\bar{\mathrm{t}}$": 30.0 + 0.0 * score,
        "VV": 6.0 + 3.0 * score,
        r"H$\to\tau\tau$": 9.0 * score**2,
    }
    total = np.sum(list(processes.values()), axis=0)
    control = RegionYields(
        region="high_mt",
        role="control",
        label="Score",
        edges=edges,
        processes=processes,
        adversarial=total * (1.0 + 0.15 * np.sin(7.0 * score)),
        statistical=np.sqrt(0.3 * total),
        systematic_up=0.1 * total,
        systematic_down=0.06 * total,
        sources=("tau_energy", "jet_energy"),
        data=np.round(total + 1.2 * np.sqrt(total) * np.sin(40.0 * score)),
    )
    return [control, replace(control, region="low_mt", role="signal", data=None, blinded=True)]


def partition_cost() -> PartitionCost:
    def trials(ratio: float, js_distance: float, shift: float, factor: float = 1.0) -> tuple[CapTrial, ...]:
        return tuple(
            CapTrial(
                js_factor=factor,
                correlation_factor=factor,
                fooling_ratio=ratio + step,
                max_js_distance=js_distance,
                correlation_shift=shift + 0.01 * step,
                within=True,
            )
            for step in (-0.03, 0.0, 0.03)
        )

    return PartitionCost(
        n_events=20_000,
        max_js_distance=0.02,
        max_correlation_shift=0.03,
        n_partitions=(1, 4, 20),
        kept=(trials(0.85, 0.02, 0.03), trials(0.8, 0.017, 0.028), trials(0.6, 0.01, 0.02)),
        raised=(trials(0.85, 0.02, 0.03), trials(0.83, 0.019, 0.029, 1.2), trials(0.74, 0.019, 0.029, 1.8)),
    )


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.mpl_image_compare(savefig_kwargs={"dpi": 32}, tolerance=TOLERANCE)
def test_figure(name: str) -> Figure:
    return drawn(FIGURES[name])
