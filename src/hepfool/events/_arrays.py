# SPDX-License-Identifier: BSD-3-Clause
"""Small helpers for arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepfool.typing import BoolArray, FloatArray


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Forbid to write to an array."""
    view = array.view()
    view.flags.writeable = False
    return view


def nan_to(array: FloatArray, value: float) -> FloatArray:
    """Replace NaN by a number."""
    return np.where(np.isnan(array), value, array)


def rows_of(array: NDArray[Any], events: BoolArray) -> NDArray[Any]:
    """Select events, without a copy if all are chosen."""
    return array if events.all() else array[events]
