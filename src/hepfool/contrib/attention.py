# SPDX-License-Identifier: BSD-3-Clause
r"""
Small networks of self-attention (arXiv:1706.03762), for a jet's constituents or for plain columns.

* :func:`attention_jets` takes the columns of :class:`hepfool.contrib.jets.ConstituentLayout`; each constituent is a
  token, their order does not matter;
* :func:`attention_features` takes any columns; each feature is a token with an embedding of its own.

Empty places and missing values are masked: nothing attends to them, and they are left out of the mean over tokens.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from torch.nn import functional

from hepfool.contrib.jets._networks import check_places, relative_constituents
from hepfool.contrib.jets._observables import N_COORDINATES
from hepfool.models._networks import Standardise, mlp

__all__ = ["attention_features", "attention_jets"]

#: Added to the attention of empty places: finite, so that an event without any token gives zero instead of NaN.
_MASKED: Final = -1e9


class TokenEncoder(nn.Module):
    r"""
    Blocks of self-attention, then the mean over the tokens that are there.

    Each block normalises first: :math:`t \to t + \mathrm{attention}(\mathrm{norm}(t))`, then the same with two
    layers of nodes.
    """

    def __init__(self, width: int, *, n_heads: int = 2, n_blocks: int = 2) -> None:
        super().__init__()
        if min(width, n_heads, n_blocks) < 1 or width % n_heads:
            msg = f"width {width} must be a positive multiple of n_heads {n_heads}, with n_blocks {n_blocks} of at least 1"
            raise ValueError(msg)
        self.blocks = nn.ModuleList(_Block(width, n_heads) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Apply the blocks and average over the tokens."""
        mask = torch.where(present, 0.0, _MASKED).to(tokens.dtype)[:, None, None, :]  # (n_events, 1, 1, n_tokens)
        for block in self.blocks:
            tokens = block(tokens, mask)
        kept = self.norm(tokens) * present[..., None]
        mean: torch.Tensor = kept.sum(dim=1) / present.sum(dim=1, keepdim=True).clamp(min=1)
        return mean


class _Block(nn.Module):
    """Attention and two layers of nodes, each beside an identity."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.nodes = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        heads = self.project(self.first(tokens)).unflatten(2, (3, self.n_heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)  # each (n_events, n_heads, n_tokens, n_head_width)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        tokens = tokens + self.join(seen.transpose(1, 2).flatten(2))  # (n_events, n_tokens, width)
        result: torch.Tensor = tokens + self.nodes(self.second(tokens))
        return result

    def extra_repr(self) -> str:
        """Return the number of heads, which the layers do not show."""
        return f"n_heads={self.n_heads}"


class ConstituentAttention(nn.Module):
    """
    First part of :func:`attention_jets`: from constituents to one vector per jet.

    Constituents enter as in :class:`~hepfool.contrib.jets.ConstituentSum`, relative to the jet's axis.
    """

    def __init__(
        self,
        n_constituents: int,
        *,
        width: int = 32,
        n_heads: int = 2,
        n_blocks: int = 2,
        pt_scale: float = 100.0,
        angle_scale: float = 0.2,
    ) -> None:
        super().__init__()
        self.in_features = check_places(n_constituents)
        if not (pt_scale > 0 and angle_scale > 0):
            msg = f"pt_scale {pt_scale} and angle_scale {angle_scale} must be positive"
            raise ValueError(msg)
        self.pt_scale, self.angle_scale = pt_scale, angle_scale
        self.embed = nn.Linear(N_COORDINATES, width)
        self.encoder = TokenEncoder(width, n_heads=n_heads, n_blocks=n_blocks)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Encode each jet."""
        relative, present = relative_constituents(
            values, self.in_features, pt_scale=self.pt_scale, angle_scale=self.angle_scale
        )
        encoded: torch.Tensor = self.encoder(self.embed(relative), present)
        return encoded

    def extra_repr(self) -> str:
        """Return the input width and the scales, as other layers show them."""
        return f"in_features={self.in_features}, pt_scale={self.pt_scale}, angle_scale={self.angle_scale}"


class FeatureAttention(nn.Module):
    r"""
    First part of :func:`attention_features`: from columns to one vector per event.

    The token of feature :math:`j` is :math:`x_j\,a_j + b_j` with the standardised value and two vectors of its own.
    """

    def __init__(self, standardise: Standardise, *, width: int = 32, n_heads: int = 2, n_blocks: int = 2) -> None:
        super().__init__()
        self.in_features = len(standardise.mean)
        self.standardise = standardise
        self.encoder = TokenEncoder(width, n_heads=n_heads, n_blocks=n_blocks)
        self.slope, self.offset = (nn.Parameter(torch.randn(self.in_features, width)) for _ in range(2))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Encode each event."""
        scaled = self.standardise(values)
        tokens = scaled[..., None] * self.slope + self.offset  # (n_events, n_features, width)
        encoded: torch.Tensor = self.encoder(tokens, ~self.standardise.missing(values))
        return encoded

    def extra_repr(self) -> str:
        """Return the input width, as other layers show it."""
        return f"in_features={self.in_features}"


def attention_jets(
    n_constituents: int = 64, *, sigmoid: bool = False, pt_scale: float = 100.0, angle_scale: float = 0.2
) -> nn.Sequential:
    """
    Build a network whose tokens are constituents: width 32, 2 heads, 2 blocks, then 64 nodes.

    Parameters
    ----------
    sigmoid : bool
        Whether the output is a probability instead of a logit.
    pt_scale : float
        Momentum in GeV that the network sees as one.
    angle_scale : float
        Distance from the axis that the network sees as one.

    Returns
    -------
    torch.nn.Sequential
        Untrained network; its parameters do not depend on ``n_constituents``.

    Examples
    --------
    >>> attention_jets(30)(torch.rand(5, 90)).shape
    torch.Size([5, 1])
    """
    first = ConstituentAttention(n_constituents, pt_scale=pt_scale, angle_scale=angle_scale)
    return mlp(first.embed.out_features, (64,), batch_norm=False, sigmoid=sigmoid, preprocessing=first)


def attention_features(standardise: Standardise, *, sigmoid: bool = False) -> nn.Sequential:
    """
    Build a network whose tokens are features: width 32, 2 heads, 2 blocks, then 64 nodes.

    Parameters
    ----------
    standardise : Standardise
        Scaling of the features, such as ``Standardise.of(table)``.
    sigmoid : bool
        Whether the output is a probability instead of a logit.

    Examples
    --------
    >>> attention_features(Standardise([0.0, 1.0], [1.0, 2.0]))(torch.rand(5, 2)).shape
    torch.Size([5, 1])
    """
    first = FeatureAttention(standardise)
    return mlp(first.slope.shape[1], (64,), batch_norm=False, sigmoid=sigmoid, preprocessing=first)
