# SPDX-License-Identifier: BSD-3-Clause
"""
Example events.

* two dimensions and no physics: :mod:`hepfool.samples.toys`;
* a coffea fileset that comes with the package, H → ττ against Z, tt̄ and
  W + jets with pseudo-data: :mod:`hepfool.samples.htautau`, and an analysis
  of it: :mod:`hepfool.samples.htautau_analysis`;
* features of the ATLAS Higgs challenge: :mod:`hepfool.samples.higgsml`.

``analysis_examples/samples`` has the programs that made the fileset with
Pythia 8, and one that makes jets with their constituents; what they write is listed in a :class:`Manifest`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.samples.manifest import ComponentRecord, Entry, Manifest
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = ["ComponentRecord", "Entry", "Manifest"]
