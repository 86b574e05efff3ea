# SPDX-License-Identifier: BSD-3-Clause
"""Effects of systematic sources, together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hepfool.typing import FloatArray

#: Correlation coefficients of pairs of sources; pairs that are not named are independent.
Correlations = Mapping[tuple[str, str], float]


def source_of(name: str) -> str:
    """Name of a variation without its ``_up`` or ``_down``."""
    return name.removesuffix("_up").removesuffix("_down")


def combined(
    numbers: Mapping[str, float], correlations: Correlations | None = None, *, signed: bool
) -> tuple[float, dict[str, float]]:
    """Combine the larger effect of every source."""
    largest: dict[str, str] = {}
    for name, number in numbers.items():
        source = source_of(name)
        if source not in largest or abs(number) > abs(numbers[largest[source]]):
            largest[source] = name
    matrix = source_matrix(tuple(largest), correlations or {})
    values = np.array([numbers[name] for name in largest.values()])
    signs = np.array([-1.0 if name.endswith("_down") else 1.0 for name in largest.values()])
    if not signed:
        matrix, signs = np.abs(matrix), np.sign(values)
    pull = matrix @ (signs * values)
    size = math.sqrt(max(float(signs * values @ pull), 0.0))
    slopes = signs * pull / size if size else np.zeros(len(values))
    return size, dict(zip(largest.values(), slopes.tolist(), strict=True))


def source_matrix(sources: Sequence[str], correlations: Correlations) -> FloatArray:
    """Correlations of sources, of shape (n_sources, n_sources)."""
    matrix = np.eye(len(sources))
    for (first, second), value in correlations.items():
        if first in sources and second in sources:
            i, j = sources.index(first), sources.index(second)
            matrix[i, j] = matrix[j, i] = value
    return matrix
