# SPDX-License-Identifier: BSD-3-Clause
"""
Events to try the package on, and the programs that made them.

* two dimensions and no physics: :mod:`hepfool.samples.toys`;
* a coffea fileset that comes with the package, H → ττ against Z, tt̄ and
  W + jets with pseudo-data: :mod:`hepfool.samples.htautau`;
* jets with their constituents, made on your machine, Z → qq̄ against dijets and tt̄ against WW:
  :mod:`hepfool.samples.jets`;
* your own process: :mod:`hepfool.samples.pythia` generates,
  :mod:`hepfool.samples.reconstruction` and :mod:`hepfool.samples.smearing`
  stand in for the detector, :mod:`hepfool.samples.nanoaod` writes the file.
"""

from __future__ import annotations
