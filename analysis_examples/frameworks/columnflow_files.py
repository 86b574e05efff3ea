# SPDX-License-Identifier: BSD-3-Clause
"""
Columns as columnflow writes them (cf.UniteColumns), and an attack on its files.

    pip install columnflow hepfool     # columnflow from its repository, where its index page lacks a wheel
    python columnflow_files.py [FOLDER]

The columns are made with columnflow's own functions, of the sample of the package; files that are there are only read.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from hepfool import CONSERVAttack, Correlations, Marginals, Validation, run_attack
from hepfool.io import read_table
from hepfool.models import CallableClassifier, FiniteDifference
from hepfool.samples import htautau

#: What columnflow asks for before it can be imported; a configuration of your analysis has them.
SETTINGS = "[analysis]\ndefault_analysis: none\ndefault_config: none\ndefault_dataset: none\n"
FEATURES = ("Muon.pt", "Tau.pt", "MET.pt", "Jet.pt", "n_jet")


def united(folder: Path, n_files: int = 3) -> list[Path]:
    """Write the files."""
    from columnflow.columnar_util import EMPTY_FLOAT, Route, set_ak_column, sorted_ak_to_parquet

    paths = []
    for label, name in enumerate(("TTbar", "ggH")):
        ((source, tree),) = htautau.fileset()[name]["files"].items()
        given = uproot.open(source)[tree].arrays()
        given = given[(ak.num(given.Muon_pt) > 0) & (ak.num(given.Tau_pt) > 0)]
        first = {
            column: ak.fill_none(ak.firsts(given[branch]), EMPTY_FLOAT)
            for column, branch in (("Muon.pt", "Muon_pt"), ("Tau.pt", "Tau_pt"), ("Jet.pt", "Jet_pt"))
        }
        columns = first | {
            "MET.pt": given.PuppiMET_pt,
            "n_jet": ak.num(given.Jet_pt),
            "normalization_weight": given.genWeight,
        }
        columns["is_signal"] = np.full(len(given), label)
        events = ak.Array({"event": given.event})
        for column, values in columns.items():
            events = set_ak_column(events, Route(column), values)
        for k, part in enumerate(np.array_split(np.arange(len(events)), n_files)):
            path = folder / f"data_{name}_{k}.parquet"
            sorted_ak_to_parquet(events[part], str(path))
            paths.append(path)
    return paths


def main(folder: Path) -> None:
    """Write files where there are none, read them and attack."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "law.cfg").write_text(SETTINGS, encoding="utf-8")
    os.environ["LAW_CONFIG_FILE"] = str(folder / "law.cfg")
    paths = sorted(folder.glob("*.parquet")) or united(folder)
    table = read_table(
        paths, features=FEATURES, label="is_signal", weight="normalization_weight", missing_value=-99999.0
    )
    print(table)

    network = CallableClassifier(
        lambda x: 1 / (1 + np.exp(-np.where(x < -1e4, 0.0, x) @ [-0.01, 0.01, -0.01, -0.01, -0.2] - 0.5))
    )
    caps = Validation(inputs=Marginals(), score=None, correlations=Correlations())
    attack = CONSERVAttack(strategy="frugal", validation=caps, n_iterations=5)
    result = run_attack(attack, FiniteDifference(network, step=[1.0] * 4 + [0.5]), table, rng=7, target="all")
    print(f"fooling ratio {result.fooling_ratio:.15f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(tempfile.mkdtemp()))
