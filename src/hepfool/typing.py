# SPDX-License-Identifier: BSD-3-Clause
"""Array types used in signatures; shapes are stated in docstrings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoolArray", "FloatArray", "IntArray", "ProgressCallback"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
#: Takes the present step, in words, and the finished fraction.
ProgressCallback = Callable[[str, float], None]
