# SPDX-License-Identifier: BSD-3-Clause
"""
Events made with Pythia 8 on your machine: ``pip install 'hepfool[samples]'``.

* the H → ττ sample of the package, again or larger: :mod:`analysis_examples.samples.htautau`;
* jets with their constituents, Z → qq̄ against dijets and tt̄ against WW: :mod:`analysis_examples.samples.jets`;
* your own process: :mod:`analysis_examples.samples.pythia` generates, :mod:`analysis_examples.samples.reconstruction` and
  :mod:`analysis_examples.samples.smearing` stand in for the detector, :mod:`analysis_examples.samples.nanoaod` writes the file.
"""

from __future__ import annotations
