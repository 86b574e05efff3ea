# SPDX-License-Identifier: BSD-3-Clause
"""A study as text: for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text

from hepfool.report.sections import detection_remark, opening, sections
from hepfool.report.words import verdict_in_words
from hepfool.summary import Summary

__all__ = ["summary_markdown", "summary_table"]

_COLOURS = {"COVERED": "green", "INVESTIGATE": "yellow", "ASSIGN": "magenta"}


def summary_markdown(summary: Summary, figures: tuple[str, ...] = ()) -> str:
    """
    Write a study for a reader.

    Parameters
    ----------
    summary : Summary
        The study.
    figures : tuple of str
        Names of the figures to show.

    Returns
    -------
    str
        Markdown.
    """
    verdict, events = summary.verdict, summary.events
    lines = [f"# {verdict['decision']}", "", opening(summary), "", f"{verdict['meaning'].capitalize()}.", ""]
    lines += [line for text in verdict_in_words(summary) for line in (text, "")]
    lines += [f"- {reason}" for reason in verdict["reasons"]] + [""] * bool(verdict["reasons"])
    lines += [line for text in (verdict["stability"], detection_remark(summary)) if text for line in (text, "")]
    lines += [f"Attack: `{summary.provenance['attack']}`, seed {summary.provenance['seed']}.", ""]
    if events["interrupted"]:
        lines += [f"**Interrupted** after {events['iterations_done']} iterations.", ""]
    for section in sections(summary):
        lines += [f"## {section.title}", "", *_markdown_table(section.header, section.rows), ""]
    lines += [line for name in figures for line in (f"![{name}](figures/{name}.png)", "")]
    versions = ", ".join(f"{name} {version}" for name, version in summary.versions.items() if version)
    return "\n".join([*lines, f"Network `{summary.provenance['classifier'][:16]}`; {versions}."]) + "\n"


def summary_table(summary: Summary) -> Group:
    """
    Show a study in a terminal.

    Parameters
    ----------
    summary : Summary
        The study.

    Returns
    -------
    rich.console.Group
        Tables and the verdict, to be printed by a ``rich`` console.
    """
    tables = []
    for section in sections(summary):
        columns = (Column(name, overflow="fold") for name in section.header)
        table = Table(*columns, title=section.title, title_justify="left")
        for row in section.rows:
            table.add_row(*row)
        tables.append(table)
    verdict = summary.verdict
    reasons = (f"• {reason}" for reason in verdict["reasons"])
    lines = [f"{verdict['meaning'].capitalize()}.", *reasons, verdict["stability"], detection_remark(summary)]
    text = "\n".join(filter(None, lines))
    return Group(
        Text(opening(summary)),
        *tables,
        Panel(text, title=verdict["decision"], border_style=_COLOURS[verdict["decision"]]),
    )


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [header, ("---",) * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
