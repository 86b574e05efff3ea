# SPDX-License-Identifier: BSD-3-Clause
"""A nuisance parameter for the attack as shapes and a line of a CMS Combine datacard."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hist import Hist

from hepfool._settings import Nuisance
from hepfool.extras import uproot
from hepfool.inference._templates import Template, distinct
from hepfool.io._files import written_whole
from hepfool.typing import FloatArray

_HEADERS = ("bin", "process")


def write_combine_shapes(
    path: str | Path, templates: Iterable[Template], nuisance: Nuisance | None = None, *, force: bool = False
) -> Path:
    """
    Write nominal, up and down histograms to a ROOT file.

    The datacard reads them with
    ``shapes * * <file> $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC``.

    Parameters
    ----------
    templates : iterable of Template
        ``channel`` and ``sample`` are the datacard's bins and processes; scale them to the analyst's
        yields with :meth:`Template.onto` first.
    nuisance : Nuisance, optional
        Name, side, correlation and scale.
    force : bool
        Replace an existing file.

    Raises
    ------
    FileExistsError
        If the file exists and ``force`` is False.
    ValueError
        If there is no template, or two histograms would have the same name.

    Warns
    -----
    ClippedTemplateWarning
        If a template would be negative.
    UserWarning
        If a template has no variances, or none in a bin with a yield, which autoMCStats needs.
    """
    nuisance, path = nuisance or Nuisance(), Path(path)
    templates = distinct(templates, nuisance)
    _check_names(templates, nuisance)
    _warn_without_variances(templates)
    with written_whole(path, force=force) as temporary, uproot.recreate(temporary) as file:
        for template in templates:
            varied = template.variation(nuisance)
            name, parameter = _names(template, nuisance)
            file[name] = _histogram(template, template.nominal)
            for direction, yields in (("Up", varied.up), ("Down", varied.down)):
                file[f"{name}_{parameter}{direction}"] = _histogram(template, yields)
    return path


def _histogram(template: Template, yields: FloatArray) -> Any:
    """Give yields the statistical variances of the nominal ones: they are the same events."""
    histogram: Any = Hist.new.Var(template.bin_edges, name="score").Weight()
    histogram.view()["value"] = yields
    histogram.view()["variance"] = 0.0 if template.variances is None else template.variances
    return histogram


def _names(template: Template, nuisance: Nuisance) -> tuple[str, str]:
    """Names of the nominal histogram and of the parameter."""
    return f"{template.channel}/{template.sample}", nuisance.parameter(template.channel, template.sample)


def _check_names(templates: tuple[Template, ...], nuisance: Nuisance) -> None:
    names = [_names(template, nuisance) for template in templates]
    for name, parameter in names:
        for direction in ("Up", "Down"):
            varied = f"{name}_{parameter}{direction}"
            if varied in dict(names):
                msg = f"{varied} would be both a process and a variation; give the nuisance another name"
                raise ValueError(msg)


def _warn_without_variances(templates: tuple[Template, ...]) -> None:
    without = [
        f"{template.channel}/{template.sample}"
        for template in templates
        if template.variances is None or ((template.nominal > 0) & (template.variances == 0)).any()
    ]
    if without:
        msg = (
            f"the statistical errors of {', '.join(without)} are unknown in some bins or all and written as 0, so that autoMCStats adds "
            "none; fill histograms with Weight storage, or give Template.onto the variances"
        )
        warnings.warn(msg, UserWarning, stacklevel=3)


def combine_lines(datacard: str, templates: Iterable[Template], nuisance: Nuisance | None = None) -> tuple[str, ...]:
    r"""
    Write the lines that a datacard needs.

    Parameters
    ----------
    datacard : str
        Text of the analyst's datacard, for the order of its columns.
    nuisance : Nuisance, optional
        Name, side, correlation and scale.

    Returns
    -------
    tuple of str
        One line per nuisance parameter, to be appended to the datacard.

    Raises
    ------
    ValueError
        If the datacard has no columns, none or several of that channel and sample, or the parameter already.

    Examples
    --------
    >>> card = "bin SR\nobservation 20\nbin SR SR\nprocess H ttbar\nprocess 0 1\nrate 5 20"
    >>> shift = Template(channel="SR", sample="ttbar", nominal=[5.0, 5.0], adversarial=[4.0, 6.0])
    >>> combine_lines(card, [shift])
    ('adversarial shape - 1',)
    """
    nuisance = nuisance or Nuisance()
    columns = _columns(datacard)
    affected: dict[str, set[tuple[str, str]]] = {}
    taken = {line.split()[0] for line in datacard.splitlines() if line.split()}
    for template in distinct(templates, nuisance):
        column = (template.channel, template.sample)
        parameter = nuisance.parameter(*column)
        if parameter in taken:
            msg = f"the datacard has a line {parameter!r} already; give the nuisance another name"
            raise ValueError(msg)
        if columns.count(column) > 1:
            msg = f"the datacard has {columns.count(column)} columns {'/'.join(column)}; give each channel a name of its own"
            raise ValueError(msg)
        if column not in columns:
            known = ", ".join(f"{channel}/{sample}" for channel, sample in columns)
            msg = f"the datacard has no column {'/'.join(column)}, only {known}"
            raise ValueError(msg)
        affected.setdefault(parameter, set()).add(column)
    return tuple(
        " ".join([parameter, "shape", *("1" if column in chosen else "-" for column in columns)])
        for parameter, chosen in affected.items()
    )


def _columns(datacard: str) -> list[tuple[str, str]]:
    rows = [line.split() for line in datacard.splitlines() if line.split()]
    bins, processes = ([row[1:] for row in rows if row[0] == header] for header in _HEADERS)
    # The names of the processes come before their numbers, and bins are listed a second time with them.
    if len(bins) != 2 or len(processes) != 2 or len(bins[1]) != len(processes[0]):
        msg = "the datacard needs two lines 'bin' and two lines 'process' with the same columns; give the whole text"
        raise ValueError(msg)
    return list(zip(bins[1], processes[0], strict=True))
