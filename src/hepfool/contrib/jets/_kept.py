# SPDX-License-Identifier: BSD-3-Clause
"""Distributions of a jet's mass, momentum and D2 as observables of a :class:`~hepfool.validation.Validation`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hepfool.contrib.jets._layout import ConstituentLayout
from hepfool.contrib.jets._observables import jet_d2, jet_mass, jet_pt
from hepfool.features import Derived
from hepfool.typing import FloatArray
from hepfool.validation import Marginals


def jet_observables(
    layout: ConstituentLayout, *, max_js_distance: float = 0.03, n_bins: int = 50, n_quantiles: int = 100
) -> dict[str, Marginals]:
    """
    Compare mass, transverse momentum and D2 (β = 2) of the jets.

    Parameters
    ----------
    layout : ConstituentLayout
        Of the table.
    max_js_distance : float
        Cap on the distance of each distribution from nominal.
    n_bins, n_quantiles : int
        Bins; see :class:`~hepfool.validation.Marginals`.

    Returns
    -------
    dict of str to Marginals
        For ``Validation(observables=...)``.

    Examples
    --------
    >>> list(jet_observables(ConstituentLayout(20)))
    ['jet_mass', 'jet_pt', 'jet_d2']
    """
    functions: dict[str, Callable[..., FloatArray]] = {"jet_mass": _mass, "jet_pt": _pt, "jet_d2": _d2}
    return {
        name: Marginals(
            max_js_distance=max_js_distance,
            n_bins=n_bins,
            n_quantiles=n_quantiles,
            of=Derived(layout.columns, function),
        )
        for name, function in functions.items()
    }


def _mass(*columns: FloatArray) -> FloatArray:
    return _of(jet_mass, columns)


def _pt(*columns: FloatArray) -> FloatArray:
    return _of(jet_pt, columns)


def _d2(*columns: FloatArray) -> FloatArray:
    return _of(jet_d2, columns)


def _of(function: Callable[[torch.Tensor], torch.Tensor], columns: tuple[FloatArray, ...]) -> FloatArray:
    """Ask a function of tensors; a place that is missing is empty."""
    values = torch.from_numpy(np.nan_to_num(np.column_stack(columns)))
    return function(values).numpy()
