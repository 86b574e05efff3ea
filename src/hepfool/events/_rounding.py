# SPDX-License-Identifier: BSD-3-Clause
"""Values beyond a limit by rounding only."""

from __future__ import annotations

import numpy as np

from hepfool.features import FeatureSpace
from hepfool.typing import FloatArray

#: Files with three digits hold -3.142 for an angle of minus pi.
_ANGLE = 1e-3
#: Columns of fewer bits hold counts rather than rounded numbers.
_FEWEST_BITS, _SINGLE_BITS = 8, 24


def put_at_limits(values: FloatArray, features: FeatureSpace) -> FloatArray:
    """
    Put values that rounding took beyond a limit at the limit.

    Single precision holds 2.4000001 for 2.4, NanoAOD with 12 bits 3.1416016 for pi, a text file with three digits 3.142.
    A value further beyond is left as it is, and is refused by the table.
    """
    result = values
    for j, feature in enumerate(features):
        for limit, side in ((feature.lower, -1.0), (feature.upper, 1.0)):
            if not np.isfinite(limit):
                continue
            column = result[:, j]
            excess = side * (column - limit)
            if not (excess > 0).any():
                continue
            slack = _slack(column, limit, side)
            near = (excess > 0) & (excess <= (max(slack, _ANGLE) if feature.kind == "angle" else slack))
            if near.any():
                result = values.copy() if result is values else result
                result[near, j] = limit
    return result


def _slack(column: FloatArray, limit: float, side: float) -> float:
    """How far beyond the limit the number lies that stands for it in the precision of the column."""
    with np.errstate(over="ignore"):
        stored = [float(np.float32(limit))]
    bits = _bits(column)
    if _FEWEST_BITS <= bits < _SINGLE_BITS:
        mantissa, exponent = np.frexp(limit)
        stored.append(float(np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent)))
    return max(0.0, *(side * (number - limit) for number in stored if np.isfinite(number)))


def _bits(column: FloatArray) -> int:
    """Significant bits of a column's fractional numbers; 0 where all are whole."""
    present = column[np.isfinite(column) & (column != np.round(column))]
    if not len(present):
        return 0
    whole = (np.frexp(np.abs(present))[0] * 2.0**53).astype(np.int64)
    return int(53 - np.log2((whole & -whole).astype(np.float64)).min())
