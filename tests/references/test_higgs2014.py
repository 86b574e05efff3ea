# SPDX-License-Identifier: BSD-3-Clause
"""The attack on the inputs of the published code, with the caps that it was run with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hepfool.attacks import CONSERVAttack, run_attack
from hepfool.events import EventTable
from hepfool.models import TorchClassifier, conservattack_higgs

pytestmark = pytest.mark.torch
N_EVENTS, MAX_JS_DISTANCE = 2000, 0.0337


@pytest.fixture(scope="module")
def table(reference_data: Path) -> EventTable:
    with np.load(reference_data / "higgs2014.npz", allow_pickle=False) as file:
        return EventTable.from_arrays(
            file["X"][:N_EVENTS], labels=file["y"][:N_EVENTS], features=[str(name) for name in file["columns"]]
        )


@pytest.fixture(scope="module")
def classifier(reference_data: Path) -> TorchClassifier:
    with np.load(reference_data / "higgs2014_weights.npz") as file:
        state = {name: torch.from_numpy(file[name]) for name in file.files}
    module = conservattack_higgs()
    module.load_state_dict(state)
    return TorchClassifier(module)


def measured(before: EventTable, after: EventTable) -> tuple[float, float]:
    """Largest distance and correlation shift, with NumPy alone."""
    distances = []
    for x, y in zip(before.values.T, after.values.T, strict=True):
        edges = np.linspace(x.min(), x.max(), 201)
        p, q = (np.histogram(v, bins=edges)[0] / len(v) for v in (x, y))
        m = 0.5 * (p + q)
        terms = [a[a > 0] * np.log2(a[a > 0] / m[a > 0]) for a in (p, q)]
        distances.append(np.sqrt(0.5 * sum(term.sum() for term in terms)))
    first, second = (np.corrcoef(t.values, rowvar=False) for t in (before, after))
    return float(max(distances)), float(np.linalg.norm(second - first) / np.linalg.norm(first))


@pytest.mark.parametrize(
    ("strategy", "max_shift", "required"), [("paper", 0.03, 0.70), ("frugal", 0.05, 0.90), ("frugal", 0.02, 0.85)]
)
def test_fooling_ratio_at_given_caps(
    table: EventTable, classifier: TorchClassifier, strategy: str, max_shift: float, required: float
) -> None:
    attack = CONSERVAttack(
        n_iterations=20,
        alpha=4.0,
        beta=20.0,
        max_js_distance=MAX_JS_DISTANCE,
        max_correlation_change=12.6 / N_EVENTS,
        max_correlation_shift=max_shift,
        strategy=strategy,  # type: ignore[arg-type]
    )
    result = run_attack(attack, classifier, table, rng=np.random.default_rng(7))
    distance, shift = measured(table, result.adversarial)
    assert distance <= MAX_JS_DISTANCE
    assert shift <= max_shift
    assert result.fooling_ratio >= required
    assert distance == pytest.approx(result.compatibility.max_js_distance, abs=1e-9)
    assert shift == pytest.approx(result.compatibility.correlation_shift, abs=1e-9)
