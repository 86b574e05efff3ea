# SPDX-License-Identifier: BSD-3-Clause
"""
The procedure from events to a verdict.

:class:`Study` is the plan of it: :meth:`Study.from_yaml` or keywords, then :meth:`Study.run` with files, a table or a coffea
analysis; the commands ``hepfool attack``, ``hepfool workflow`` and ``hepfool demo`` run the same.  You have sums from many workers,
or an attack of your own: :func:`judged` judges them, and :func:`write_study` draws and writes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hepfool.study.plan import Study

if TYPE_CHECKING:
    from hepfool.study.outcome import Outcome, draw_study, judged, write_study

__all__ = ["Outcome", "Study", "draw_study", "judged", "write_study"]


def __getattr__(name: str) -> Any:
    """Load what a plan alone, or the help of a command, does not need."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module("hepfool.study.outcome"), name)
