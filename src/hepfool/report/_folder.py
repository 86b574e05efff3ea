# SPDX-License-Identifier: BSD-3-Clause
"""The folder of a finished study."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hist
import numpy as np

from hepfool.attacks.base import AttackResult
from hepfool.exceptions import ReportNotWrittenError
from hepfool.io._files import check_absent, check_writable_folder, remove_leftovers, written_whole
from hepfool.io._store import Store, write_store
from hepfool.io.tables import write_table
from hepfool.report._contact_sheet import write_contact_sheet
from hepfool.report._html import summary_html
from hepfool.report._latex import summary_latex
from hepfool.report._manifest import foreign_files, write_manifest
from hepfool.report._text import summary_markdown
from hepfool.summary import Summary
from hepfool.sums import AttackSums

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: What is written beside the adversarial events: flags and the score before and after.
EXTRA_COLUMNS = ("attacked", "fooled", "nominal_score", "adversarial_score")

#: Of the files that stand in the way of a report, so many are named.
_SHOWN_FILES = 3

#: Dots per inch and largest width in pixels of the images: more than a slide shows.
_PNG_DPI, _PNG_WIDTH = 150, 3000
#: Characters of a file's name.
_LONGEST_NAME = 100


def check_output(folder: str | Path, *, force: bool = False) -> Path:
    """
    Check before any work that a report can be written.

    Parameters
    ----------
    force : bool
        Allow to replace an earlier report.

    Returns
    -------
    Path
        Absolute path of the folder.

    Raises
    ------
    FileExistsError
        If it exists and ``force`` is False, or if it holds anything that no report wrote.
    FileNotFoundError
        If its parent folder does not exist.
    PermissionError
        If nothing can be written there.
    """
    path = check_absent(Path(folder).resolve(), force=force)
    check_writable_folder(path.parent)
    remove_leftovers(path.parent, path.name)
    if path.exists():
        _check_replaceable(path)
    return path


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # noqa: PTH111 - pathlib fails for users without a home, as in containers


def _check_replaceable(path: Path) -> None:
    if any(used.is_relative_to(path) for used in (Path.cwd(), _home())):
        msg = f"{path} is the working folder or contains it, so it is not replaced; choose another name"
        raise FileExistsError(msg)
    if not path.is_dir():
        msg = f"{path} is a file, not an earlier report, so it is not replaced; choose another name"
        raise FileExistsError(msg)
    foreign = foreign_files(path)
    if foreign:
        more = f" and {len(foreign) - _SHOWN_FILES} more" if len(foreign) > _SHOWN_FILES else ""
        msg = (
            f"{path} holds {', '.join(foreign[:_SHOWN_FILES])}{more}, not written by a report or "
            "changed since, so it is not replaced; move that elsewhere, or choose another name"
        )
        raise FileExistsError(msg)


def write_report(
    folder: str | Path,
    summary: Summary,
    *,
    sums: AttackSums | None = None,
    result: AttackResult | None = None,
    figures: Mapping[str, Figure] | None = None,
    events: Sequence[str] = ("adversarial.root",),
    files: Mapping[str, Callable[[Path], object]] | None = None,
    force: bool = False,
) -> Path:
    """
    Write a study, completely or not at all.

    Parameters
    ----------
    result : AttackResult, optional
        Adds the adversarial events, which no sums hold.
    figures : mapping of str to matplotlib.figure.Figure, optional
        Figures by file name without suffix.
    events : sequence of str
        File names of the adversarial events, each ending in ``.root`` or ``.parquet``.
    files : mapping of str to callable, optional
        Further files by name, each with the function that writes it to a path.

    Raises
    ------
    FileExistsError
        See :func:`check_output`.
    ReportNotWrittenError
        If the disk is full, for instance; the report is in another place then, which the message names.
    ValueError
        If a file name leads out of the folder.
    """
    path = check_output(folder, force=force)
    for name in (*(figures or {}), *events, *(files or {})):
        if Path(name).name != name or name in {"", ".."}:
            msg = f"{name!r} would lie outside of the report; give a file name without a folder"
            raise ValueError(msg)
    contents = _Contents(summary, sums, result, figures or {}, tuple(events), files or {})
    try:
        _write_folder(path, contents, force=force)
    except Exception as error:
        if isinstance(error, FileExistsError) or not (reason := _disk_trouble(error)):
            raise
        raise ReportNotWrittenError(_rescued(path, contents, reason)) from error
    return path


@dataclass(frozen=True, slots=True)
class _Contents:
    summary: Summary
    sums: AttackSums | None
    result: AttackResult | None
    figures: Mapping[str, Figure]
    events: tuple[str, ...]
    files: Mapping[str, Callable[[Path], object]]


def _write_folder(path: Path, contents: _Contents, *, force: bool) -> None:
    summary, sums, result = contents.summary, contents.sums, contents.result
    with written_whole(path, force=force) as temporary:
        temporary.mkdir()
        images = _save_figures(temporary / "figures", contents.figures)
        if images:
            write_contact_sheet(temporary, images, title=path.name)
        texts = {
            "summary.json": summary.to_json(),
            "summary.md": summary_markdown(summary, tuple(images)),
            "report.html": summary_html(summary, images),
            "tables.tex": summary_latex(summary),
        }
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8")
        if sums is not None:
            write_store(temporary / "histograms.zip", Store(histograms=sum_histograms(sums)))
        if result is not None:
            for name in contents.events:
                write_table(result.adversarial, temporary / name, columns=_extra_columns(result))
        for name, write in contents.files.items():
            write(temporary / name)
        write_manifest(temporary)
        if path.exists():  # what was put there while this was drawn is not replaced either
            _check_replaceable(path)


def _disk_trouble(error: BaseException | None) -> str:
    """Reason of the operating system, wherever a library has wrapped it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.strerror or str(error)
        error = error.__cause__ or error.__context__
    return ""


def _rescued(path: Path, contents: _Contents, reason: str) -> str:
    """Write the report elsewhere rather than lose it, and say where."""
    problem = f"the report could not be written to {path} ({reason})"
    for place in dict.fromkeys((Path(tempfile.gettempdir()), Path.cwd(), _home())):
        folder = place / f"hepfool-report-{uuid.uuid4().hex[:12]}"
        try:
            folder.mkdir()
            _write_folder(folder / path.name, contents, force=False)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            if not _disk_trouble(error):
                raise
            continue
        return f"{problem}; it is in {folder / path.name} instead: make room, then mv {folder / path.name} {path}"
    return f"{problem}, nor to any other place; make room, and repeat the command"


def _save_figures(folder: Path, figures: Mapping[str, Figure]) -> dict[str, bytes]:
    """Write every figure as PDF and PNG; give the latter."""
    images = {}
    for name, figure in figures.items():
        folder.mkdir(exist_ok=True)
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
        # The layout is the same at every resolution; finding it again takes as long as drawing.
        engine = figure.get_layout_engine()
        figure.set_layout_engine("none")
        width = figure.get_size_inches()[0]
        figure.savefig(folder / f"{name}.png", dpi=min(_PNG_DPI, _PNG_WIDTH / width))
        figure.set_layout_engine(engine)
        images[name] = (folder / f"{name}.png").read_bytes()
    return images


def _extra_columns(result: AttackResult) -> dict[str, Any]:
    before, after = result.nominal_scores, result.adversarial_scores
    # Of two classes the score of class 1 says it all; of more, that of the class the network had named.
    column = np.ones(len(before), dtype=np.int64) if before.shape[1] == 2 else before.argmax(axis=1)
    event = np.arange(len(before))
    return dict(
        zip(EXTRA_COLUMNS, (result.attacked, result.fooled, before[event, column], after[event, column]), strict=True)
    )


def _free_name(name: str, taken: Iterable[str]) -> str:
    """Name of a file from that of a feature, different from others on every file system."""
    stem = re.sub(r"[^A-Za-z0-9_]", "_", name)[:_LONGEST_NAME]
    used = {other.lower() for other in taken}
    names = itertools.chain([stem], (f"{stem}_{k}" for k in itertools.count(len(used))))
    return next(free for free in names if free.lower() not in used)


def sum_histograms(sums: AttackSums) -> dict[str, hist.Hist[Any]]:
    """Give every feature before and after the attack, in the bins of the attack."""
    histograms: dict[str, hist.Hist[Any]] = {}
    for name in sums.features:
        histograms[_free_name(name, histograms)] = sums.histogram(name)
    return histograms
