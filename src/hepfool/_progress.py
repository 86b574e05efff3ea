# SPDX-License-Identifier: BSD-3-Clause
"""Bars that show how far long work is, in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from hepfool.typing import ProgressCallback


@contextmanager
def progress_bars(console: Console | None = None) -> Iterator[ProgressCallback]:
    """
    Show one bar for each step.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to draw; the standard error of a terminal, or the cell of a notebook, by default.

    Yields
    ------
    callable
        To be passed as ``progress`` to whatever takes one, such as :func:`hepfool.run_attack` and :meth:`hepfool.Study.run`.  A
        bar begins with the first call; as long as the finished fraction grows, further calls only change its text.

    Examples
    --------
    >>> from rich.console import Console
    >>> with progress_bars(Console(quiet=True)) as progress:
    ...     progress("first iteration", 0.5)
    ...     progress("second iteration", 1.0)
    """
    from rich.console import Console  # noqa: PLC0415 - loaded late, so that a library shows nothing and waits for nothing
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

    text, width = TextColumn("{task.description:40}", markup=False), BarColumn(bar_width=20)
    bars = Progress(text, width, TimeElapsedColumn(), TimeRemainingColumn(), console=console or Console(stderr=True))

    def show(step: str, fraction: float) -> None:
        bars.start()
        latest = bars.tasks[-1] if bars.tasks else None
        if latest is None or latest.finished or fraction < latest.completed:
            bars.update(bars.add_task(step, total=1.0), completed=fraction)
        else:
            bars.update(latest.id, description=step, completed=fraction)

    try:
        yield show
    finally:
        bars.stop()
