# SPDX-License-Identifier: BSD-3-Clause
r"""
Observables of jets as differentiable functions of their constituents.

All take a tensor of shape (n_events, 3 * n_constituents) with pt in GeV, eta and phi of each constituent, as in
:class:`hepfool.contrib.jets.ConstituentLayout`, and return one number per event, shape (n_events,).
Constituents are massless.  A place without a positive pt is empty: it
contributes nothing and has no gradient, whatever else it holds.  A jet without
constituents gives 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

#: pt, eta and phi.
N_COORDINATES = 3
_SECOND = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Constituents:
    """Constituents around the hardest one."""

    pt: torch.Tensor  # (n_events, n_constituents); in GeV, 0 in empty places
    # eta, phi: (n_events, n_constituents); distance from the hardest constituent, phi in [-π, π]; 0 in empty places
    eta: torch.Tensor
    phi: torch.Tensor
    present: torch.Tensor  # (n_events, n_constituents); False in empty places
    # origin_eta, origin_phi: (n_events, 1); the hardest constituent, without a gradient
    origin_eta: torch.Tensor
    origin_phi: torch.Tensor


def constituents(values: torch.Tensor) -> Constituents:
    """Split columns into constituents and centre them, which keeps single precision sufficient."""
    if values.ndim != 2 or not values.shape[1] or values.shape[1] % N_COORDINATES:
        msg = (
            f"values have shape {tuple(values.shape)}, expected (n_events, 3 * n_constituents): pt, eta, phi of each; "
            "use the columns of a ConstituentLayout"
        )
        raise ValueError(msg)
    places = values.reshape(values.shape[0], values.shape[1] // N_COORDINATES, N_COORDINATES)
    pt, eta, phi = places.unbind(2)  # each (n_events, n_constituents)
    present = pt > 0
    zero = torch.zeros((), dtype=values.dtype, device=values.device)
    pt, eta, phi = (torch.where(present, x, zero) for x in (pt, eta, phi))
    hardest = pt.detach().argmax(dim=1, keepdim=True)  # (n_events, 1)
    origin_eta, origin_phi = (x.detach().gather(1, hardest) for x in (eta, phi))
    return Constituents(
        pt,
        torch.where(present, eta - origin_eta, zero),
        torch.where(present, _wrapped(phi - origin_phi), zero),
        present,
        origin_eta,
        origin_phi,
    )


def jet_axis(jet: Constituents) -> tuple[torch.Tensor, torch.Tensor]:
    """Direction of the jet's momentum, seen from the hardest constituent."""
    px, py, pz, energy_minus_px = _momentum(jet)
    return torch.atanh(pz / _divisor(energy_minus_px + px)), _azimuth(px, py)


def jet_pt(values: torch.Tensor) -> torch.Tensor:
    """
    Transverse momentum of the sum of the constituents, in GeV.

    Examples
    --------
    >>> jet_pt(torch.tensor([[30.0, 0.0, 0.0, 40.0, 0.0, 1.570796], [5.0, 1.0, 2.0, 0.0, 0.0, 0.0]]))
    tensor([50.0000,  5.0000])
    """
    px, py, _, _ = _momentum(constituents(values))
    return _square_root(px**2 + py**2)


def jet_eta(values: torch.Tensor) -> torch.Tensor:
    """Pseudorapidity of the sum of the constituents."""
    jet = constituents(values)
    px, py, _, _ = _momentum(jet)
    pt = _square_root(px**2 + py**2)
    pz = (jet.pt * torch.sinh(jet.eta + jet.origin_eta)).sum(dim=1)
    return torch.asinh(pz / _divisor(pt))


def jet_phi(values: torch.Tensor) -> torch.Tensor:
    """Azimuth of the sum of the constituents, in [-π, π] rad."""
    jet = constituents(values)
    px, py, _, _ = _momentum(jet)
    return _wrapped(_azimuth(px, py) + jet.origin_phi[:, 0])


def jet_mass(values: torch.Tensor) -> torch.Tensor:
    r"""
    Invariant mass of the constituents, taken as massless.

    With the x axis along the hardest constituent and the longitudinal boost
    that brings it to :math:`\eta = 0`, it is
    :math:`m^2 = (E - p_x)(E + p_x) - p_y^2 - p_z^2`, where
    :math:`E - p_x = 2\sum p_\mathrm{T}(\sinh^2\tfrac\eta2 + \sin^2\tfrac\phi2)` does not cancel.

    Returns
    -------
    torch.Tensor, shape (n_events,)
        In GeV; 0 with zero gradient for fewer than two constituents.

    Examples
    --------
    >>> jet_mass(torch.tensor([[50.0, 0.0, 0.0, 50.0, 0.0, 3.1416], [5.0, 1.0, 2.0, float("nan"), 0.0, 0.0]]))
    tensor([100.,   0.])
    """
    px, py, pz, energy_minus_px = _momentum(constituents(values))
    return _square_root(energy_minus_px * (energy_minus_px + 2.0 * px) - py**2 - pz**2)


def jet_d2(values: torch.Tensor, beta: float = 2.0) -> torch.Tensor:
    r"""
    Ratio of energy correlators :math:`D_2^{(\beta)} = e_3/e_2^3` (arXiv:1409.6298).

    With :math:`z_i = p_{\mathrm T,i}/\sum_j p_{\mathrm T,j}` and distances
    :math:`R_{ij}` in (eta, phi), :math:`e_2 = \sum_{i<j} z_i z_j R_{ij}^\beta` and
    :math:`e_3 = \sum_{i<j<k} z_i z_j z_k (R_{ij} R_{jk} R_{ki})^\beta`.
    Small for jets with two prongs.  For :math:`\beta = 2` the cost is linear in the number of constituents, else cubic.

    Parameters
    ----------
    beta : float
        Exponent of the distances, positive.

    Returns
    -------
    torch.Tensor, shape (n_events,)
        Dimensionless; 0 up to rounding for fewer than three constituents.

    Raises
    ------
    ValueError
        If ``beta`` is not positive.

    Examples
    --------
    >>> triangle = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.1, 0.0, 1.0, 0.05, 0.08660254]])
    >>> jet_d2(triangle, beta=1.0)
    tensor([1.])
    """
    if not beta > 0:
        msg = f"beta {beta} is not positive; give the exponent of the distances"
        raise ValueError(msg)
    jet = constituents(values)
    z = jet.pt / _divisor(jet.pt.sum(dim=1, keepdim=True))
    e2, e3 = _squared_correlators(jet, z) if beta == _SECOND else _pairwise_correlators(jet, z, beta)
    divisor = _divisor(e2)
    # One division after the other: the cube of a small number underflows in single precision.
    return torch.where(e2 > 0, e3 / divisor / divisor / divisor, torch.zeros_like(e3))


def _momentum(jet: Constituents) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sum px, py, pz and E - px in GeV around the hardest constituent, each of shape (n_events,)."""
    px, py = jet.pt * torch.cos(jet.phi), jet.pt * torch.sin(jet.phi)
    pz = jet.pt * torch.sinh(jet.eta)
    energy_minus_px = 2.0 * jet.pt * (torch.sinh(jet.eta / 2) ** 2 + torch.sin(jet.phi / 2) ** 2)
    return px.sum(dim=1), py.sum(dim=1), pz.sum(dim=1), energy_minus_px.sum(dim=1)


def _azimuth(px: torch.Tensor, py: torch.Tensor) -> torch.Tensor:
    """Angle of a transverse momentum; 0 without a gradient where the momentum is 0."""
    nothing = (px == 0) & (py == 0)
    return torch.atan2(py, torch.where(nothing, torch.ones_like(px), px))


def _wrapped(angle: torch.Tensor) -> torch.Tensor:
    """Wrap angles into [-π, π] with the gradient of the identity; those inside are unchanged."""
    return angle - 2.0 * math.pi * torch.round(angle / (2.0 * math.pi))


def _divisor(number: torch.Tensor) -> torch.Tensor:
    """Positive numbers as they are, 1 in place of all others."""
    return torch.where(number > 0, number, torch.ones_like(number))


def _square_root(squared: torch.Tensor) -> torch.Tensor:
    """Square root of positive numbers; 0 with zero gradient, not infinite, elsewhere."""
    return torch.where(squared > 0, torch.sqrt(_divisor(squared)), 0.0)


def _squared_correlators(jet: Constituents, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Two- and three-point correlators of squared distances.

    With rows u = (1, |x|², x, y) the squared distance is a bilinear form, R²_ij = u_i M u_j, so that the sums over
    pairs and triples are products of the 4 by 4 moments G = Σ z u uᵀ.  Around the centroid little cancels.
    """
    position = torch.stack([jet.eta, jet.phi], dim=2)  # (n_events, n_constituents, 2)
    position = position - (z[..., None] * position).sum(dim=1, keepdim=True)
    rows = torch.cat([torch.ones_like(position[..., :1]), (position**2).sum(dim=2, keepdim=True), position], dim=2)
    form = rows.new_tensor([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -2.0, 0.0], [0.0, 0.0, 0.0, -2.0]])
    product = (rows * z[..., None]).mT @ rows @ form  # (n_events, 4, 4)
    # Sums over ordered pairs and triples; equal indices are at distance zero.
    e2 = 0.5 * (product[:, 0] * (rows * z[..., None]).sum(dim=1)).sum(dim=1)
    e3 = torch.einsum("nij,njk,nki->n", product, product, product) / 6.0
    return e2, e3


def _pairwise_correlators(jet: Constituents, z: torch.Tensor, beta: float) -> tuple[torch.Tensor, torch.Tensor]:
    distance_squared = (jet.eta[:, :, None] - jet.eta[:, None]) ** 2 + _wrapped(
        jet.phi[:, :, None] - jet.phi[:, None]
    ) ** 2  # (n_events, n_constituents, n_constituents)
    distance = _power(distance_squared, beta / 2.0)
    weighted = z[:, :, None] * distance
    e2 = 0.5 * (weighted * z[:, None]).sum(dim=(1, 2))
    e3 = ((weighted @ weighted) * weighted.mT).sum(dim=(1, 2)) / 6.0
    return e2, e3


def _power(base: torch.Tensor, exponent: float) -> torch.Tensor:
    return torch.where(base > 0, _divisor(base) ** exponent, 0.0)
