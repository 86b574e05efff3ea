# SPDX-License-Identifier: BSD-3-Clause
"""
Jets as lists of constituents: from the analysis to the network's columns and back.

* :mod:`hepfool.jets.layout`: jagged constituents to columns, attacked columns to jets;
* :mod:`hepfool.jets.records`: the leading jet out of a NanoAOD-like event and back into it;
* :mod:`hepfool.jets.topodnn`: the 87 inputs of the TopoDNN top tagger, and back;
* :mod:`hepfool.jets.observables`: mass, momentum and D2 as differentiable functions of the columns (PyTorch).

Around an attack, with one row per event::

    jets = leading_jets(events)
    table = ConstituentLayout(64).table(jets, labels=labels)
    result = run_attack(attack, classifier, table, rng=rng)
    attacked = with_leading_jets(events, ConstituentLayout(64).write_back(jets, result.adversarial.values))
"""

from __future__ import annotations

from hepfool.jets.layout import ConstituentLayout
from hepfool.jets.records import leading_jets, with_leading_jets
from hepfool.jets.topodnn import TopoDNNFrame, topodnn_features, topodnn_table

__all__ = [
    "ConstituentLayout",
    "TopoDNNFrame",
    "leading_jets",
    "topodnn_features",
    "topodnn_table",
    "with_leading_jets",
]
