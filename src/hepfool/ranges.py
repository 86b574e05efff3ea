# SPDX-License-Identifier: BSD-3-Clause
"""Ranges that settings of all kinds have in common."""

from __future__ import annotations

__all__ = ["check_counts"]


def check_counts(settings: object, *names: str) -> None:
    """
    Refuse numbers below 1.

    Parameters
    ----------
    settings : object
        Record that holds them.
    *names : str
        Attributes: whole numbers, or None where there is no such limit.

    Raises
    ------
    ValueError
        If one is below 1.
    """
    for name in names:
        count = getattr(settings, name)
        if count is not None and count < 1:
            msg = f"{name} must be at least 1, got {count}"
            raise ValueError(msg)
