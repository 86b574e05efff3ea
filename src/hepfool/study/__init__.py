# SPDX-License-Identifier: BSD-3-Clause
"""
The procedure from events to a verdict.

:class:`Study` is the plan of it: :meth:`Study.from_yaml` or keywords, then :meth:`Study.run` with files, a table or a coffea
analysis; the commands ``hepfool attack``, ``hepfool workflow`` and ``hepfool demo`` run the same.  You have sums from many workers,
or an attack of your own: :func:`judged` judges them, and :func:`write_study` draws and writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.study.outcome import Outcome, draw_study, judged, thin, write_study
    from hepfool.study.plan import Study
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = ["Outcome", "Study", "draw_study", "judged", "thin", "write_study"]
