# SPDX-License-Identifier: BSD-3-Clause
"""Jets with known numbers of constituents."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

N_CONSTITUENTS = (12, 3, 1, 5, 2, 8, 4, 20)


def summed(constituents: Any) -> dict[str, Any]:
    """Coordinates of the sum of the constituents, written out by components."""
    pt, eta, phi = constituents.pt, constituents.eta, constituents.phi
    px, py, pz = (ak.sum(p, axis=1) for p in (pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)))
    energy = ak.sum(np.sqrt((pt * np.cosh(eta)) ** 2 + constituents.mass**2), axis=1)
    total = np.hypot(px, py)
    mass_squared = energy**2 - total**2 - pz**2
    mass = np.sqrt(ak.where(mass_squared > 0, mass_squared, 0))
    return {"pt": total, "eta": np.arcsinh(pz / total), "phi": np.arctan2(py, px), "mass": mass}


def random_jets(rng: np.random.Generator) -> Any:
    """Eight jets around phi = π, unordered constituents with masses and identities."""
    total, counts = sum(N_CONSTITUENTS), np.array(N_CONSTITUENTS)
    phi = np.repeat(np.array([np.pi, -3.0, 0.0, 1.0, np.pi, 3.0, -1.0, 2.0]), counts) + rng.normal(0.0, 0.2, total)
    constituents = ak.zip({
        "pt": rng.exponential(30.0, total) + 0.5,
        "eta": np.repeat(rng.uniform(-1.5, 1.5, counts.size), counts) + rng.normal(0.0, 0.2, total),
        "phi": np.arctan2(np.sin(phi), np.cos(phi)),
        "mass": rng.choice([0.0, 0.1396], total),
        "pdgId": rng.choice([22, 211, -211], total),
    })  # fmt: skip
    constituents = ak.unflatten(constituents, counts)
    jets = ak.zip({**summed(constituents), "btag": rng.random(counts.size)})
    return ak.with_field(jets, constituents, "constituents")
