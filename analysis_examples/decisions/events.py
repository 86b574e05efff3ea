# SPDX-License-Identifier: BSD-3-Clause
"""Events of a toy analysis for the three studies of this folder: simulation.csv and data.csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

#: Events of simulation and of data.
N_SIMULATED, N_DATA = 6_000, 1_000
#: Part of the events that is signal.
SIGNAL = 0.3
#: Mass of the resonance and its resolution, and scales of the falling background and of the transverse momentum, in GeV.
MASS, RESOLUTION, FALL, PT = 125.0, 8.0, 60.0, 30.0


def events(n: int, *, seed: int) -> pd.DataFrame:
    """Draw a resonance over a falling background, and the true class of each event."""
    rng = np.random.default_rng(seed)
    signal = rng.random(n) < SIGNAL
    mass = np.where(signal, rng.normal(MASS, RESOLUTION, n), 60.0 + rng.exponential(FALL, n))
    pt = np.where(signal, rng.gamma(3.0, PT, n), rng.gamma(1.5, PT, n))
    centrality = np.where(signal, rng.beta(2.0, 1.5, n), rng.beta(1.5, 1.7, n))
    return pd.DataFrame({"mass": mass, "pt": pt, "centrality": centrality, "is_signal": signal.astype(int)})


def write(folder: Path) -> None:
    """Write simulation, and data, whose true class nobody knows."""
    events(N_SIMULATED, seed=1).to_csv(folder / "simulation.csv", index=False)
    events(N_DATA, seed=3).drop(columns="is_signal").to_csv(folder / "data.csv", index=False)


if __name__ == "__main__":
    write(Path())
