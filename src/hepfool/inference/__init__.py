# SPDX-License-Identifier: BSD-3-Clause
"""
Include an attack in the statistical model of the analysis.

An attack changes the distribution of the *score*, not of the inputs.  :class:`Template` holds that
change for one process in one channel.  You have a pyhf workspace: :func:`attack_patch` gives a JSON
patch that adds a nuisance parameter, and :func:`expected_impact` says what it costs.  You have a
cabinetry configuration: :func:`cabinetry_systematics`.  You have Combine datacards:
:func:`write_combine_shapes` and :func:`combine_lines`.

The attack is the worst deviation *that was found* within what the validation misses: a lower limit of the worst case,
which only a proof could bound from above.  It is not one standard deviation either, and there is no probability that the
data follow it; whoever enters it as one standard deviation states how large a shift was found, not how likely it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.inference.cabinetry_config import cabinetry_systematics
    from hepfool.inference.combine import combine_lines, write_combine_shapes
    from hepfool.inference.impact import BiasTest, Impact, expected_impact
    from hepfool.inference.templates import LOWER_LIMIT, Template, score_templates
    from hepfool.inference.workspace import attack_patch
    from hepfool.settings import Nuisance
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "LOWER_LIMIT",
    "BiasTest",
    "Impact",
    "Nuisance",
    "Template",
    "attack_patch",
    "cabinetry_systematics",
    "combine_lines",
    "expected_impact",
    "score_templates",
    "write_combine_shapes",
]
