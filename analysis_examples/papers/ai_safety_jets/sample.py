# SPDX-License-Identifier: BSD-3-Clause
"""
The jets of the study: simulated in parts that are kept, and read in nested numbers with the same test jets.

A part is 10 000 jets of each kind with seeds of its own; a production that was stopped goes on with the first part that is not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import awkward as ak
import numpy as np

from analysis_examples.samples.jet_production import Level
from analysis_examples.samples.jets import DEFAULT_SEED, read_jets
from analysis_examples.samples.jets import main as make_jets
from hepfool import EventTable
from hepfool.contrib.jets import ConstituentLayout

__all__ = ["DATASETS", "LEVELS", "N_PART", "TEST", "Jets", "Sample", "make_sample", "parts", "read_sample"]

#: Background and signal, in the order of their labels.
DATASETS: Final = ("Dijet", "ZGamma")
LEVELS: Final[tuple[Level, ...]] = ("particles", "towers")
N_PART: Final = 10_000
PART_SEED_STEP: Final = 1000
#: Shares of training and validation jets; the rest are test jets.
SHARES: Final = (0.6, 0.15)
TEST: Final = 2
SEED: Final = 1


class Jets(NamedTuple):
    """Three parts of the sample, of different events."""

    train: EventTable
    validation: EventTable
    test: EventTable


class Sample(NamedTuple):
    """All jets of one level, background first; ``part`` is 0 for training, 1 for validation, 2 (``TEST``) for testing."""

    table: EventTable
    number: np.ndarray  # of each jet among those of its kind, from 0
    part: np.ndarray
    n_constituents: np.ndarray  # of each jet, those beyond the hardest included

    def within(self, n_jets: int, part: int) -> np.ndarray:
        """Mask of one part of the first jets of each kind; test jets are always all of them."""
        return np.asarray((self.part == part) & ((self.number < n_jets) | (part == TEST)))

    def first(self, n_jets: int) -> Jets:
        """Training and validation jets among the first of each kind, and all test jets."""
        return Jets(*(self.table.select(self.within(n_jets, part)) for part in range(TEST + 1)))


def parts(folder: Path, n_jets: int) -> list[tuple[Path, int, int]]:
    """Folder, seed and number of jets of each part."""
    numbers = [min(N_PART, n_jets - done) for done in range(0, n_jets, N_PART)]
    seeds = [DEFAULT_SEED + PART_SEED_STEP * k for k in range(len(numbers))]
    return [(folder / f"seed-{seed}", seed, number) for seed, number in zip(seeds, numbers, strict=True)]


def make_sample(folder: Path, n_jets: int, levels: tuple[Level, ...] = LEVELS) -> None:
    """Simulate what is not there yet; whole parts, so that a larger sample begins with a smaller one."""
    for path, seed, number in parts(folder, n_jets):
        size = min(number, N_PART) if n_jets < N_PART else N_PART
        options = ["--output", str(path), "--task", "zqq", "--jets", str(size), "--seed", str(seed)]
        for name in DATASETS:
            chosen = [text for level in levels for text in ("--level", level)]
            make_jets([*options, "--dataset", name, *chosen], standalone_mode=False)


def read_sample(folder: Path, level: Level, n_jets: int, n_constituents: int = 64) -> Sample:
    """
    Columns of the hardest constituents, for training, validation and testing.

    Jets are turned and boosted to eta = phi = 0, so that a network that moves constituents sees where they are
    in the jet; mass, pt and D2 stay.  A jet keeps its part whatever the number of jets.
    """
    suffix = "" if level == "particles" else f"_{level}"
    jets = ak.concatenate(
        [
            read_jets(path / f"{name}{suffix}.root")[:number]
            for name in DATASETS
            for path, _, number in parts(folder, n_jets)
        ]
    )
    for name in ("eta", "phi"):
        jets["constituents", name] = jets.constituents[name] - jets[name]
    table = ConstituentLayout(n_constituents).table(jets, labels=np.repeat([0, 1], n_jets))
    shares = np.concatenate([np.random.default_rng((SEED, label)).random(n_jets) for label in range(len(DATASETS))])
    part = np.digitize(shares, np.cumsum(SHARES))
    return Sample(table, np.tile(np.arange(n_jets), len(DATASETS)), part, ak.to_numpy(jets.nConstituents))
