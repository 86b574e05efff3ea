# SPDX-License-Identifier: BSD-3-Clause
"""Digest of a merged result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hepfool.attacks.base import AttackResult
from hepfool.statistics.dependence import MaskedMoments
from hepfool.sums import AttackSums


def digest(out: Any, *, digits: int = 8) -> str:
    """
    Fingerprint of a merged result, independent of the order of merging.

    Floating-point sums depend on their order in the last digits, so numbers are
    compared relative to the largest of their array, to ``digits`` decimals.
    """
    sha = hashlib.sha256()
    for line in _lines(out, digits):
        sha.update(line.encode() + b"\n")
    return sha.hexdigest()


def _lines(value: Any, digits: int, path: str = "") -> Iterable[str]:
    if isinstance(value, AttackSums):
        yield from _lines({"|".join(key): one.value for key, one in value.sums.items()}, digits, path)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _lines(value[key], digits, f"{path}/{key}")
    else:
        for name, array in _arrays(value).items():
            rounded = _rounded(np.asarray(array), digits)
            yield f"{path}{name} {array.shape} {hashlib.sha256(rounded).hexdigest()}"


def _arrays(value: Any) -> dict[str, Any]:
    """Numbers that identify a result, as arrays of a common scale."""
    if isinstance(value, MaskedMoments):
        if not value.sum_weights:
            return {" weights": np.zeros(1)}
        sums = value.sums
        return {" weights": np.array([sums.sum_weights]), " mean": sums.mean, " correlation": sums.correlation}
    if isinstance(value, AttackResult):
        return {" adversarial": np.nan_to_num(value.adversarial.values), " fooled": value.fooled}
    return {"": np.atleast_1d(np.asarray(value, dtype=np.float64))}


def _rounded(array: Any, digits: int) -> bytes:
    if not np.issubdtype(array.dtype, np.floating):
        return bytes(array.tobytes())
    scale = float(np.abs(array).max(initial=0.0))
    if not scale:
        return b"0"
    relative = np.round(array / scale, digits) + 0.0  # no negative zero
    return f"{scale:.{digits - 1}e}".encode() + bytes(relative.tobytes())
