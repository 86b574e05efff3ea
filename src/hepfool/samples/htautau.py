# SPDX-License-Identifier: BSD-3-Clause
r"""
Higgs bosons decaying to two taus, with backgrounds and pseudo-data.

The package contains proton-proton collisions at 13 TeV with one electron or
muon and one hadronic tau candidate, as NanoAOD-like ROOT files:

* signal: ``ggH`` and ``VBFH`` with H → ττ at 125 GeV;
* background: ``ZTauTau``, ``TTbar``, and ``WJets``, in which the tau is a
  misidentified jet;
* ``pseudodata``: all of them unweighted in the proportions of a small
  luminosity, generated with another tune and without any truth.

They were generated with Pythia 8 and a parametrised detector and carry
Pythia's leading-order cross sections; :func:`manifest` tells seeds and
settings.  A simulated event counts
``cross_section_pb * luminosity_pb * genWeight / sum_weights`` events.  The
files hold a loose skim, so that an analysis has something left to select:
:class:`hepfool.samples.htautau_analysis.HiggsToTauTau` is an example.
``analysis_examples/samples`` makes the files again, or more of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from hepfool.samples._manifest import Manifest

__all__ = ["fileset", "luminosity_pb", "manifest", "pseudodata_fileset"]

DATA_FOLDER: Final = Path(__file__).parent / "data"
#: Name of the dataset of pseudo-data.
PSEUDODATA: Final = "pseudodata"


def manifest(folder: Path = DATA_FOLDER) -> dict[str, Any]:
    """
    Tell how each file was made: seeds, settings, counts, and digests.

    Parameters
    ----------
    folder : Path
        Folder of the files; by default those in the package.

    Returns
    -------
    dict
        One dictionary per dataset, with the fields of
        :class:`hepfool.samples.Entry`.

    Raises
    ------
    ValueError
        If the folder holds no sample.
    """
    entries = Manifest(folder).read()
    if not entries:
        msg = f"{folder} holds no manifest.json; name the folder of a sample, or none for that of the package"
        raise ValueError(msg)
    return entries


def luminosity_pb(folder: Path = DATA_FOLDER) -> float:
    """
    Look up the integrated luminosity of the pseudo-data in inverse pb.

    Parameters
    ----------
    folder : Path
        Folder of the files; by default those in the package.

    Returns
    -------
    float
        Luminosity to which the simulation is to be normalised.
    """
    return float(manifest(folder)[PSEUDODATA]["metadata"]["luminosity_pb"])


def fileset(folder: Path = DATA_FOLDER) -> dict[str, Any]:
    """
    List the simulated datasets as coffea wants them.

    Parameters
    ----------
    folder : Path
        Folder of the files; by default those in the package.

    Returns
    -------
    dict
        Per dataset ``files`` and ``metadata`` with ``is_signal``, ``is_data``,
        ``cross_section_pb``, and ``sum_weights``.

    Examples
    --------
    >>> sorted(fileset())
    ['TTbar', 'VBFH', 'WJets', 'ZTauTau', 'ggH']
    """
    return _as_fileset(folder, is_data=False)


def pseudodata_fileset(folder: Path = DATA_FOLDER) -> dict[str, Any]:
    """
    List the pseudo-data as coffea wants them.

    Parameters
    ----------
    folder : Path
        Folder of the files; by default those in the package.

    Returns
    -------
    dict
        ``pseudodata`` with ``files`` and ``metadata``, among it ``is_data``
        and ``luminosity_pb``.
    """
    return _as_fileset(folder, is_data=True)


def _as_fileset(folder: Path, *, is_data: bool) -> dict[str, Any]:
    return {
        name: {"files": {str(folder / entry["file"]): "Events"}, "metadata": entry["metadata"]}
        for name, entry in manifest(folder).items()
        if entry["metadata"]["is_data"] == is_data
    }
