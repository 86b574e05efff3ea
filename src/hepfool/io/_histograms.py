# SPDX-License-Identifier: BSD-3-Clause
"""Read histograms by name: from ROOT files, from UHI archives, and from those of :mod:`hepfool.io._store`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import hist
import uhi.io.zip

from hepfool.extras import uproot
from hepfool.io._files import local_path

_KINDS = ("TH1", "TH2", "TH3", "TProfile")


def read_histograms(path: str | Path) -> dict[str, hist.Hist[Any]]:
    """
    Read all histograms of a file.

    Parameters
    ----------
    path : str or Path
        ROOT file, or a zip archive in the format of UHI such as ``histograms.zip`` of a report.

    Returns
    -------
    dict of str to hist.Hist
        By name; in folders ``folder/name``.

    Raises
    ------
    ValueError
        If the file is of another kind, damaged, or without histograms.
    FileNotFoundError
        If there is no such file.
    """
    path = local_path(path)
    if path.suffix not in {".root", ".zip"}:
        msg = f"{path}: histograms are read from files that end in .root or .zip"
        raise ValueError(msg)
    if not path.is_file():
        msg = f"{path}: no such file"
        raise FileNotFoundError(msg)
    try:
        found = _read_root(path) if path.suffix == ".root" else _read_zip(path)
    except Exception as error:
        # A damaged file can fail anywhere inside the reading libraries, with any error.
        msg = f"{path} cannot be read, is it complete? ({type(error).__name__}: {' '.join(str(error).split())})"
        raise ValueError(msg) from error
    if not found:
        msg = f"{path} holds no histogram"
        raise ValueError(msg)
    return found


def _read_root(path: Path) -> dict[str, hist.Hist[Any]]:
    with uproot.open(path) as file:
        kinds = file.classnames(cycle=False)
        return {name: file[name].to_hist() for name, kind in kinds.items() if kind.startswith(_KINDS)}


def _read_zip(path: Path) -> dict[str, hist.Hist[Any]]:
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".json") for name in archive.namelist() if name.endswith(".json")]
        # An archive of this package keeps them in a folder, beside one file about itself.
        wanted = [name for name in names if name != "meta"]
        return {name.removeprefix("histograms/"): hist.Hist(uhi.io.zip.read(archive, name)) for name in wanted}
