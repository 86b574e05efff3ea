# SPDX-License-Identifier: BSD-3-Clause
"""Hidden sensitivities with made-up numbers."""

from __future__ import annotations

from analysis_examples.papers.hidden_sensitivity.records import (
    HiddenSensitivity,
    Limits,
    Preservation,
    Sensitivity,
    SensitivityGrid,
    TrainedSensitivity,
)
from hepfool.studies import Measured


def trained_sensitivity(
    attack: float, ordinary: float, random: float, proved: float | None = None
) -> TrainedSensitivity:
    def effect(factor: float) -> Sensitivity:
        return Sensitivity(
            ordinary=Measured(factor * ordinary, 0.003),
            ordinary_largest=0.8 * factor * ordinary,
            random=Measured(factor * random, 0.002),
            random_largest=1.2 * factor * random,
            attack=Measured(factor * attack, 0.005),
            above_ordinary=Measured(factor * (attack - ordinary), 0.004),
            above_random=Measured(factor * (attack - random), 0.004),
        )

    kept = Preservation(max_js_distance=0.02, js_floor=0.05, correlation_shift=0.01, correlation_floor=0.08)
    found = HiddenSensitivity(
        flips=effect(1.0), yield_shift=effect(1.6), attacked=kept, drawn=kept, n_events=2000, n_attacked=1800
    )
    limits = proved and Limits(flips=(1.05 * attack, proved), yield_shift=(1.65 * attack, 1.6 * proved), seconds=1.0)
    return TrainedSensitivity(seed=1, auroc=0.9, found=found, limits=limits or None)


def sensitivity_grid() -> SensitivityGrid:
    def cell(
        attack: float, ordinary: float, random: float, proved: float | None = None
    ) -> tuple[TrainedSensitivity, ...]:
        return tuple(trained_sensitivity(f * attack, ordinary / f, f * random, proved) for f in (0.9, 1.0, 1.15))

    jets, higgs = "Top and W jets", r"H $\to \tau\tau$"
    return SensitivityGrid(
        cells={
            (jets, "MLP"): cell(0.09, 0.01, 0.004, 0.12),
            (jets, "PFN"): cell(0.03, 0.006, 0.001),
            (jets, "Attention"): cell(0.025, 0.004, 0.001),
            (jets, "Trees"): cell(0.045, 0.01, 0.01),
            (higgs, "MLP"): cell(0.05, 0.015, 0.005),
            (higgs, "Attention"): cell(0.045, 0.014, 0.005),
            (higgs, "Trees"): cell(0.04, 0.018, 0.009, 0.05),
        },
        absent={(higgs, "PFN"): "no constituents"},
    )
