# SPDX-License-Identifier: BSD-3-Clause
"""Two-dimensional toy events."""

from __future__ import annotations

from typing import Final

import numpy as np

from hepfool.typing import FloatArray, IntArray

__all__ = ["donut"]

FEWEST_EVENTS: Final = 2


def donut(
    n_events: int, *, rng: np.random.Generator, sigma: float = 0.5, ring_radius: float = 1.8
) -> tuple[FloatArray, IntArray]:
    r"""
    Gaussian signal in the middle of a ring-shaped background.

    The signal is normal with width ``sigma`` in both coordinates.  The
    background has a uniform angle and a radius that is normal around
    ``ring_radius`` with the same width.  Half of the events belong to each
    class (one more to the background if the number is odd), in random order.

    Parameters
    ----------
    n_events : int
        Number of events, at least 2.
    rng : numpy.random.Generator
        Source of the random numbers.
    sigma : float
        Width of the signal and of the ring, dimensionless.
    ring_radius : float
        Radius of the ring, dimensionless.

    Returns
    -------
    values : FloatArray, shape (n_events, 2)
        Both coordinates, dimensionless.
    labels : IntArray, shape (n_events,)
        1 for signal, 0 for background.

    Raises
    ------
    ValueError
        If there are too few events, or a length is not positive.

    Examples
    --------
    >>> values, labels = donut(1000, rng=np.random.default_rng(1))
    >>> values.shape, int(labels.sum())
    ((1000, 2), 500)
    """
    if n_events < FEWEST_EVENTS:
        msg = f"n_events {n_events} is below {FEWEST_EVENTS}; each class needs an event"
        raise ValueError(msg)
    if not (sigma > 0.0 and ring_radius > 0.0):
        msg = f"sigma {sigma} and ring_radius {ring_radius} must be positive; give lengths"
        raise ValueError(msg)
    labels = rng.permutation(np.arange(n_events) < n_events // 2).astype(np.int64)
    signal = rng.normal(0.0, sigma, (n_events, 2))
    radius = rng.normal(ring_radius, sigma, n_events)
    angle = rng.uniform(0.0, 2.0 * np.pi, n_events)
    ring = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.where(labels[:, None] == 1, signal, ring), labels
