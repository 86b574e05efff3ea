# SPDX-License-Identifier: BSD-3-Clause
"""
Jets as lists of constituents: from the analysis to the network's columns and back.

* :class:`ConstituentLayout`: jagged constituents to columns, attacked columns to jets;
* :func:`leading_jets`: the leading jet out of a NanoAOD-like event, and :func:`with_leading_jets` back into it;
* :func:`topodnn_table`: the 87 inputs of the TopoDNN top tagger, and back;
* :func:`jet_mass` and others: mass, momentum and D2 as differentiable functions of the columns (PyTorch);
* :class:`ConstituentMoves`: an attack that splits, radiates, merges and turns constituents, and keeps :func:`jet_observables` (PyTorch);
* :func:`high_level_jets`, :func:`particle_flow_jets`: networks of these observables and of the constituents (PyTorch).

Around an attack, with one row per event::

    jets = leading_jets(events)
    table = ConstituentLayout(64).table(jets, labels=labels)
    result = run_attack(attack, classifier, table, rng=rng)
    attacked = with_leading_jets(events, ConstituentLayout(64).write_back(jets, result.adversarial.values))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.contrib.jets._kept import jet_observables
    from hepfool.contrib.jets._layout import ConstituentLayout
    from hepfool.contrib.jets._move_search import ConstituentMoves
    from hepfool.contrib.jets._networks import ConstituentSum, high_level_jets, particle_flow_jets
    from hepfool.contrib.jets._observables import jet_d2, jet_mass, jet_pt
    from hepfool.contrib.jets._records import leading_jets, with_leading_jets
    from hepfool.contrib.jets._topodnn import topodnn_table
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "ConstituentLayout",
    "ConstituentMoves",
    "ConstituentSum",
    "high_level_jets",
    "jet_d2",
    "jet_mass",
    "jet_observables",
    "jet_pt",
    "leading_jets",
    "particle_flow_jets",
    "topodnn_table",
    "with_leading_jets",
]
