# SPDX-License-Identifier: BSD-3-Clause
"""
Event generation with Pythia 8, many events per call.

A :class:`ProcessSettings` says what to generate, an :class:`EventGenerator`
yields batches of complete event records as awkward arrays.  The same seed
gives the same events.  Pythia is licensed under the GPL and is therefore no
dependency of hepfool: it comes with ``pip install 'hepfool[samples]'``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import awkward as ak
import numpy as np

from hepfool.extras import import_extra
from hepfool.samples import ComponentRecord

__all__ = ["EventGenerator", "ProcessSettings", "final_visible"]

MILLIBARN_IN_PB: Final = 1e9
BATCH_SIZE: Final = 400
LARGEST_SEED: Final = 900_000_000
VISIBLE_ETA: Final = 5.0
NEUTRINOS: Final = (12, 14, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """
    One hard process with its decays, as lines of Pythia settings.

    Attributes
    ----------
    name : str
        Name of the process, such as ``ggH_lepton_plus``.
    settings : tuple of str
        Lines such as ``HiggsSM:gg2H=on``.
    branching_ratio : float
        Branching fraction that Pythia's cross section does not contain
        because the decay was forced on a non-resonance, dimensionless.
    energy : float
        Centre-of-mass energy of the two protons in GeV.
    tune : int
        Value of ``Tune:pp``.
    """

    name: str
    settings: tuple[str, ...]
    branching_ratio: float = 1.0
    energy: float = 13_000.0
    tune: int = 14

    def __post_init__(self) -> None:
        """Refuse branching fractions and energies that no process can have."""
        if not 0.0 < self.branching_ratio <= 1.0:
            msg = f"{self.name}: branching_ratio {self.branching_ratio} is not in (0, 1]; give a fraction"
            raise ValueError(msg)
        if self.energy <= 0.0:
            msg = f"{self.name}: energy {self.energy} GeV is not positive; give the centre-of-mass energy"
            raise ValueError(msg)

    def lines(self, seed: int) -> tuple[str, ...]:
        """
        Complete list of settings for one run.

        Parameters
        ----------
        seed : int
            Seed of Pythia's generator, 1 to 900 000 000.

        Returns
        -------
        tuple of str
            Settings in the order in which they are read.

        Raises
        ------
        ValueError
            If Pythia does not accept the seed.
        """
        if not 1 <= seed <= LARGEST_SEED:
            msg = f"{self.name}: seed {seed} is outside [1, {LARGEST_SEED}]; choose a seed in this range"
            raise ValueError(msg)
        common = (
            "Print:quiet=on",
            "Next:numberCount=0",
            "Random:setSeed=on",
            f"Random:seed={seed}",
            f"Beams:eCM={self.energy}",
            f"Tune:pp={self.tune}",
        )
        return (*common, *self.settings)


class EventGenerator:
    """
    Pythia, initialised for one process and one seed.

    Parameters
    ----------
    process : ProcessSettings
        What to generate.
    seed : int
        Seed of Pythia's generator, 1 to 900 000 000.

    Raises
    ------
    MissingExtraError
        If ``pythia8mc`` is not installed.
    ValueError
        If Pythia refuses a setting or cannot start the process.
    """

    def __init__(self, process: ProcessSettings, *, seed: int) -> None:
        self.process, self.seed = process, seed
        self._pythia = import_extra("pythia8mc", "samples").Pythia("", False)
        for line in process.lines(seed):
            if not self._pythia.readString(line):
                msg = f"{process.name}: Pythia does not know the setting {line!r}; correct its spelling"
                raise ValueError(msg)
        if not self._pythia.init():
            msg = f"{process.name}: Pythia could not start with {process.settings}; check the process"
            raise ValueError(msg)

    @property
    def cross_section_pb(self) -> float:
        """Leading-order cross section in pb, forced decays included."""
        sigma = float(self._pythia.infoPython().sigmaGen())
        return sigma * MILLIBARN_IN_PB * self.process.branching_ratio

    def record(self, *, n_generated: int, n_selected: int) -> ComponentRecord:
        """Describe what was generated, for the manifest."""
        process = self.process
        return ComponentRecord(
            name=process.name,
            seed=self.seed,
            tune=process.tune,
            settings=process.settings,
            branching_ratio=process.branching_ratio,
            cross_section_pb=self.cross_section_pb,
            n_generated=n_generated,
            n_selected=n_selected,
        )

    def batches(self, n_events: int, *, batch_size: int = BATCH_SIZE) -> Iterator[ak.Array]:
        """
        Generate events in batches, which bounds the memory.

        Parameters
        ----------
        n_events : int
            Number of events to generate in all.
        batch_size : int
            Largest number of events per batch.

        Yields
        ------
        awkward.Array
            Per event the particles ``id``, ``status``, ``mother1``,
            ``daughter1``, ``daughter2``, and the momentum ``p`` in GeV.
        """
        while n_events > 0:
            batch = self._pythia.nextBatch(min(n_events, batch_size)).prt
            n_events -= batch_size
            yield batch


def final_visible(particles: ak.Array) -> ak.Array:
    """
    Mark the particles that a detector could see.

    Parameters
    ----------
    particles : awkward.Array, shape (n_events, var)
        Complete event records.

    Returns
    -------
    awkward.Array, shape (n_events, var)
        True for a final particle other than a neutrino with an absolute pseudorapidity below 5.
    """
    mask = particles.status > 0
    for neutrino in NEUTRINOS:
        mask = mask & (abs(particles.id) != neutrino)
    momentum = particles.p
    pt = np.hypot(momentum.px, momentum.py)
    return mask & (abs(momentum.pz) < np.sinh(VISIBLE_ETA) * pt)
