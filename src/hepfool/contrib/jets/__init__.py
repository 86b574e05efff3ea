# SPDX-License-Identifier: BSD-3-Clause
"""
Jets as lists of constituents: from the analysis to the network's columns and back.

* :mod:`hepfool.contrib.jets.layout`: jagged constituents to columns, attacked columns to jets;
* :mod:`hepfool.contrib.jets.records`: the leading jet out of a NanoAOD-like event and back into it;
* :mod:`hepfool.contrib.jets.topodnn`: the 87 inputs of the TopoDNN top tagger, and back;
* :mod:`hepfool.contrib.jets.observables`: mass, momentum and D2 as differentiable functions of the columns (PyTorch);
* :mod:`hepfool.contrib.jets.networks`: networks of these observables and of the constituents (PyTorch).

Around an attack, with one row per event::

    jets = leading_jets(events)
    table = ConstituentLayout(64).table(jets, labels=labels)
    result = run_attack(attack, classifier, table, rng=rng)
    attacked = with_leading_jets(events, ConstituentLayout(64).write_back(jets, result.adversarial.values))
"""

from __future__ import annotations

from hepfool.contrib.jets.layout import ConstituentLayout
from hepfool.contrib.jets.records import leading_jets, with_leading_jets
from hepfool.contrib.jets.topodnn import TopoDNNFrame, topodnn_features, topodnn_table

__all__ = [
    "ConstituentLayout",
    "TopoDNNFrame",
    "leading_jets",
    "topodnn_features",
    "topodnn_table",
    "with_leading_jets",
]
