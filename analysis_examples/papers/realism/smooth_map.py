# SPDX-License-Identifier: BSD-3-Clause
"""
One smooth function of the inputs that moves every event and passes a validation.

The idea is that of the adversarial network of arXiv:1910.08606, sec. III B; here it is to change the class of any event, signal or
background, and the distributions of all events together are what it has to keep.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from hepfool import EventTable, Validation
from hepfool.events import Envelope
from hepfool.models import Standardise, TorchClassifier, mlp
from hepfool.typing import FloatArray

#: Keeps slopes of roots finite at zero.
TINY = 1e-9
BATCH, LEARNING_RATE, STRENGTH, GROWTH = 4096, 1e-3, 0.005, 1.15
#: Part of its cap, squared, from which a distance costs something, and width of the edges of bins in units of the bins.
FREE, SOFTNESS = 0.5, 0.3


class Following(nn.Module):
    """Computes the five inputs that follow from the measured ones, as the analysis does, with gradients."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Replace the last five columns."""
        lepton, tau, eta, phi, along, across = values[:, :6].unbind(dim=1)
        met = _length(along, across)
        mt = _root(2.0 * lepton * (met - along))
        mass = _root(2.0 * lepton * tau * (torch.cosh(eta) - torch.cos(phi)))
        higgs = _length(lepton + tau * torch.cos(phi) + along, tau * torch.sin(phi) + across)
        followed = torch.stack([met, mt, mass, higgs, _length(eta, phi)], dim=1)
        return torch.cat([values[:, :9], followed], dim=1)


def _length(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return _root(first**2 + second**2)


def _root(square: torch.Tensor) -> torch.Tensor:
    return torch.sqrt(torch.clamp(square, min=TINY))


@dataclass(frozen=True, eq=False)
class Room:
    """Largest moves of each value, and where they end, of shape (n_events, n_features)."""

    size: FloatArray
    lower: FloatArray
    upper: FloatArray

    @classmethod
    def of(cls, table: EventTable, envelope: Envelope | None) -> Room:
        """Take the width of the envelope, or a standard deviation of the events; stay within the range that they have."""
        values, n_events = table.values, table.n_events
        lower, upper = (np.tile(end(values, axis=0), (n_events, 1)) for end in (np.nanmin, np.nanmax))
        size = np.tile(np.nanstd(values, axis=0), (n_events, 1))
        if envelope is not None:
            lower, upper = np.maximum(lower, envelope.lower), np.minimum(upper, envelope.upper)
            size = upper - lower
        still = table.missing | table.features.of_kind("fixed")
        still[:, list(table.features.derived)] = True
        return cls(np.where(still, 0.0, size), lower, upper)


@dataclass(frozen=True, eq=False)
class SmoothMap:
    """Says by which part of its largest move, between -1 and 1, each value of an event moves."""

    module: nn.Module

    def moved(self, table: EventTable, room: Room, part: float = 1.0) -> EventTable:
        """Move all events; one of which a derived input would leave its room stays."""
        with torch.no_grad():
            steps = self.module(_tensor(table.network_values)).double().numpy()
        values = np.where(
            room.size > 0.0, np.clip(table.values + part * room.size * steps, room.lower, room.upper), table.values
        )
        for column in table.features.derived:
            values[:, column] = table.features.derive(values, column)
        outside = (values < room.lower) | (values > room.upper)
        return table.with_values(np.where(outside.any(axis=1, keepdims=True), table.values, values))


class Distances:
    """Jensen-Shannon distances, squared and in units of the caps, in bins with soft edges."""

    def __init__(self, validation: Validation, cap: float, table: EventTable, classifier: TorchClassifier) -> None:
        scores = classifier.scores(table.network_values)[:, -1]
        score = validation.score_binning(scores, table.constrained, classifier.threshold).edges[0]
        # What lies beyond the ends belongs to the bins there.
        edges = [np.unique(one)[1:-1] for one in (*validation.binning(table).edges, score)]
        n_edges = max(map(len, edges))
        # Edges that are the same have nothing between them.
        table_of_edges = np.stack([np.pad(one, (0, n_edges - len(one)), mode="edge") for one in edges])
        widths = np.gradient(table_of_edges, axis=1)
        self.edges = _tensor(table_of_edges)
        self.soft = _tensor(np.maximum(SOFTNESS * widths, 1e-5 * np.ptp(table_of_edges, axis=1, keepdims=True)))
        self.cap = cap

    def excess(self, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """Sum what inputs and score, as the last column, and the correlations of the inputs are beyond what is free."""
        p, q = self._histograms(after), self._histograms(before)
        middle = (p + q) / 2.0
        bits = 0.5 * (_entropy(p, middle) + _entropy(q, middle)).sum(dim=1) / np.log(2.0)
        old, new = (torch.corrcoef(columns[:, :-1].T) for columns in (before, after))
        shift = ((new - old) ** 2).sum() / (old**2).sum()
        return torch.relu(torch.cat([bits, shift[None]]) / self.cap**2 - FREE).sum()

    def _histograms(self, columns: torch.Tensor) -> torch.Tensor:
        below = torch.sigmoid((self.edges - columns[:, :, None]) / self.soft).mean(dim=0)
        ends = torch.zeros_like(below[:, :1]), torch.ones_like(below[:, :1])
        return torch.diff(below, dim=1, prepend=ends[0], append=ends[1]).clamp(min=0.0) + TINY


def _entropy(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    return part * torch.log(part / whole)


def train_map(
    classifier: TorchClassifier,
    validation: Validation,
    cap: float,
    tables: tuple[EventTable, EventTable],
    *,
    uncertainties: bool,
    epochs: int,
    seed: int,
) -> SmoothMap:
    """
    Train on the first table; keep the map that, of all epochs, fools most of the second one and passes the validation there.

    The map of the start moves nothing.  ``uncertainties`` says whether events stay within the envelope of their variations.
    """
    rooms = [Room.of(table, Envelope.from_variations(table) if uncertainties else None) for table in tables]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = mlp(
            tables[0].n_features,
            (64, 64),
            n_outputs=tables[0].n_features,
            batch_norm=False,
            preprocessing=Standardise.of(tables[0]),
        )
        for parameter in network[-1].parameters():
            nn.init.zeros_(parameter)
        module = nn.Sequential(network, nn.Tanh())
        best = 0.0, copy.deepcopy(module)
        distances = Distances(validation, cap, tables[0], classifier)
        optimiser, strength = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE), STRENGTH
        for _ in range(epochs):
            for fooled, excess in _batches(module, classifier, tables[0], rooms[0], distances):
                optimiser.zero_grad()
                torch.autograd.backward(strength * excess - fooled)
                optimiser.step()
            ratio, kept = judge(classifier, validation, tables[1], SmoothMap(module).moved(tables[1], rooms[1]))
            if kept and ratio > best[0]:
                best = ratio, copy.deepcopy(module)
            strength *= 1.0 / GROWTH if kept else GROWTH
    return SmoothMap(best[1])


def _batches(
    module: nn.Module, classifier: TorchClassifier, table: EventTable, room: Room, distances: Distances
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Move some events at a time; smooth fraction of the correct ones that change class, and what that costs."""
    network, follow = classifier.module, Following()
    values, size, lower, upper = map(_tensor, (table.network_values, room.size, room.lower, room.upper))
    with torch.no_grad():
        nominal = network(values).squeeze(1)
    right = torch.from_numpy(classifier.predict(table.network_values) == table.labels)
    order = torch.randperm(len(values))
    for start in range(0, len(values), BATCH):
        batch = order[start : start + BATCH]
        before = values[batch]
        moved = torch.clamp(before + size[batch] * module(before), lower[batch], upper[batch])
        after = follow(torch.where(size[batch] > 0.0, moved, before))
        logit = network(after).squeeze(1)
        fooled = torch.sigmoid(-torch.sign(nominal[batch]) * logit)[right[batch]].mean()
        scores = [torch.sigmoid(one)[:, None] for one in (nominal[batch], logit)]
        yield (
            fooled,
            distances.excess(torch.cat([follow(before), scores[0]], dim=1), torch.cat([after, scores[1]], dim=1)),
        )


def judge(
    classifier: TorchClassifier, validation: Validation, nominal: EventTable, moved: EventTable
) -> tuple[float, bool]:
    """Fraction of the correctly classified events that change class, and whether the validation passes."""
    classes, new = (classifier.predict(table.network_values) for table in (nominal, moved))
    scores = classifier.scores(nominal.network_values), classifier.scores(moved.network_values)
    measured = validation.measure(nominal, moved, scores=scores, threshold=classifier.threshold)
    return float((classes != new)[classes == nominal.labels].mean()), measured.kept


def _tensor(values: FloatArray) -> torch.Tensor:
    return torch.from_numpy(np.array(values)).float()
