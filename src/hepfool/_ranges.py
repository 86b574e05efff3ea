# SPDX-License-Identifier: BSD-3-Clause
"""Ranges that settings of all kinds have in common."""

from __future__ import annotations

import numbers


def check_counts(settings: object, *names: str) -> None:
    """Refuse what is not a whole number, or below 1."""
    for name in names:
        count = getattr(settings, name)
        if count is None:
            continue
        if isinstance(count, bool) or not isinstance(count, numbers.Integral):
            msg = f"{name} must be a whole number, got {count!r}"
            raise ValueError(msg)  # noqa: TRY004 - as for any other setting out of range
        if count < 1:
            msg = f"{name} must be at least 1, got {count}"
            raise ValueError(msg)


def check_reals(**given: object) -> None:
    """Refuse text, flags and anything else that is not a number."""
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            msg = f"{name} must be a number, got {value!r}"
            raise ValueError(msg)  # noqa: TRY004 - as for any other setting out of range
