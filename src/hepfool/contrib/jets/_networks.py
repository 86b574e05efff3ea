# SPDX-License-Identifier: BSD-3-Clause
"""
Networks that take a jet's constituents (arXiv:1910.08606), columns as in :class:`hepfool.contrib.jets.ConstituentLayout`.

* :func:`high_level_jets` computes four observables and learns from these only;
* :func:`particle_flow_jets` learns from all constituents, in whatever order they come;
* for the 87 inputs of :mod:`hepfool.contrib.jets._topodnn`:
  :func:`hepfool.models.conservattack_jets`, which has the layers of TopoDNN.

They see physical units, and take any place without a positive pt for empty.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from torch import nn

from hepfool.contrib.jets._observables import N_COORDINATES, constituents, jet_axis, jet_d2, jet_eta, jet_mass, jet_pt
from hepfool.events import EventTable
from hepfool.models._networks import Standardise, mlp

_N_OBSERVABLES: Final = 4
#: Rows per step when observables of a whole table are computed.
_BATCH_SIZE: Final = 4096


class JetObservables(nn.Module):
    """First layer without parameters: transverse momentum, pseudorapidity, mass and D2 (β = 2) of each jet."""

    def __init__(self, n_constituents: int) -> None:
        super().__init__()
        self.in_features = check_places(n_constituents)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Compute the observables."""
        _check_width(values, self.in_features)
        return torch.stack([jet_pt(values), jet_eta(values), jet_mass(values), jet_d2(values)], dim=1)

    def standardise(self, table: EventTable) -> Standardise:
        """Take mean and standard deviation of the observables from events."""
        batches = torch.split(torch.from_numpy(np.array(table.network_values)), _BATCH_SIZE)
        observables = torch.cat([self(batch) for batch in batches]).numpy()
        names = ("jet_pt", "jet_eta", "jet_mass", "jet_d2")
        return Standardise.of(EventTable.from_arrays(observables, features=names, weights=table.weights))

    def extra_repr(self) -> str:
        """Return the input width, as other layers show it."""
        return f"in_features={self.in_features}"


class ConstituentSum(nn.Module):
    r"""
    First part of a particle flow network: :math:`\sum_i \Phi(p_i)` around the jet's axis (arXiv:1810.05165).

    Each constituent enters with its pt, and with eta and phi relative to the jet's momentum, so that an
    attack cannot move the jet as a whole.  The order of the constituents does not matter, empty places contribute nothing.

    Parameters
    ----------
    widths : iterable of int
        Nodes of each layer of Φ, all with ReLU.
    pt_scale : float
        Momentum in GeV that the network sees as one.

    Raises
    ------
    ValueError
        If there is no place or no node, or the scale is not positive.
    """

    def __init__(
        self, n_constituents: int, widths: Iterable[int] = (256, 256, 64), *, pt_scale: float = 1000.0
    ) -> None:
        super().__init__()
        self.in_features = check_places(n_constituents)
        self.pt_scale = pt_scale
        nodes = [N_COORDINATES, *widths]
        if min(nodes) < 1 or len(nodes) == 1 or not pt_scale > 0:
            msg = f"widths {nodes[1:]} and pt_scale {pt_scale} must be positive; give each layer nodes"
            raise ValueError(msg)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(nodes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.phi = nn.Sequential(*layers)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over the constituents of each jet, shape (n_events, n_latent)."""
        relative, present = relative_constituents(values, self.in_features, pt_scale=self.pt_scale)
        latent = self.phi(relative) * present[..., None]  # (n_events, n_constituents, n_latent)
        return torch.sum(latent, dim=1)

    def extra_repr(self) -> str:
        """Return the input width and the scale, as other layers show them."""
        return f"in_features={self.in_features}, pt_scale={self.pt_scale}"


def high_level_jets(
    n_constituents: int = 64, *, sigmoid: bool = False, standardise: Standardise | None = None
) -> nn.Sequential:
    """
    Build the high-level network: four observables of the jet, three layers of 384 nodes.

    Parameters
    ----------
    sigmoid : bool
        Whether the output is a probability instead of a logit.
    standardise : Standardise, optional
        Scaling of the four observables, from :meth:`JetObservables.standardise`; without it pt and mass enter in units of 100 GeV.

    Examples
    --------
    >>> high_level_jets(30)(torch.rand(5, 90)).shape
    torch.Size([5, 1])
    """
    if standardise is None:
        standardise = Standardise([0.0] * _N_OBSERVABLES, [100.0, 1.0, 100.0, 1.0])
    observables = nn.Sequential(JetObservables(n_constituents), standardise)
    return mlp(_N_OBSERVABLES, (384, 384, 384), batch_norm=False, sigmoid=sigmoid, preprocessing=observables)


def particle_flow_jets(n_constituents: int = 64, *, sigmoid: bool = False, pt_scale: float = 1000.0) -> nn.Sequential:
    """
    Build the low-level network: a particle flow network with Φ of 256, 256, 64 and F of 256, 256, 256 nodes.

    Parameters
    ----------
    sigmoid : bool
        Whether the output is a probability instead of a logit.
    pt_scale : float
        Momentum in GeV that the network sees as one.

    Returns
    -------
    torch.nn.Sequential
        Untrained network; its parameters do not depend on ``n_constituents``.

    Examples
    --------
    >>> particle_flow_jets(30)(torch.rand(5, 90)).shape
    torch.Size([5, 1])
    """
    latent = (256, 256, 64)
    first = ConstituentSum(n_constituents, latent, pt_scale=pt_scale)
    return mlp(latent[-1], (256, 256, 256), batch_norm=False, sigmoid=sigmoid, preprocessing=first)


def check_places(n_constituents: int) -> int:
    """Count the columns of a number of places."""
    if n_constituents < 1:
        msg = f"n_constituents {n_constituents} is below 1; a jet needs a place for a constituent"
        raise ValueError(msg)
    return N_COORDINATES * n_constituents


def relative_constituents(
    values: torch.Tensor, n_columns: int, *, pt_scale: float, angle_scale: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Coordinates around the jet's axis, shape (n_events, n_constituents, 3), and which places are taken."""
    _check_width(values, n_columns)
    jet = constituents(values)
    axis_eta, axis_phi = (axis[:, None] for axis in jet_axis(jet))
    scaled = [jet.pt / pt_scale, (jet.eta - axis_eta) / angle_scale, (jet.phi - axis_phi) / angle_scale]
    return torch.stack(scaled, dim=2), jet.present


def _check_width(values: torch.Tensor, n_columns: int) -> None:
    if values.ndim != 2 or values.shape[1] != n_columns:
        msg = f"values have shape {tuple(values.shape)}, expected (n_events, {n_columns}): pt, eta, phi of each place"
        raise ValueError(msg)


#: Networks that may be given by name, for 64 constituents; each a function of ``n_constituents`` and ``sigmoid``.
JET_NETWORKS: Mapping[str, Callable[..., nn.Sequential]] = MappingProxyType(
    {"high_level_jets": high_level_jets, "particle_flow_jets": particle_flow_jets}
)
