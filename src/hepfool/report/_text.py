# SPDX-License-Identifier: BSD-3-Clause
"""A study as text: for a terminal, and as Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from urllib.parse import quote

from rich.console import Group
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text

from hepfool._printable import printable
from hepfool.report._detection import detection_remark
from hepfool.report._sections import opening, sections
from hepfool.report._words import caps_in_words, verdict_in_words
from hepfool.summary import Summary

#: What Markdown, or the mathematics in it, takes for more than a character.
#: (an underscore only beside what is no letter or digit).
_MARKUP = re.compile(r"[\\`*\[\]|~$#]|(?<![^\W_])_|_(?![^\W_])")
_COLOURS = {"COVERED": "green", "INVESTIGATE": "yellow", "ASSIGN": "magenta", "INCOMPLETE": "cyan"}


def summary_markdown(summary: Summary, figures: tuple[str, ...] = ()) -> str:
    """
    Write a study for a reader.

    Parameters
    ----------
    figures : tuple of str
        Names of the figures to show.
    """
    verdict, events = summary.verdict, summary.events
    lines = [f"# {verdict['decision']}", "", _escape(opening(summary)), "", f"{verdict['meaning'].capitalize()}.", ""]
    lines += [line for text in verdict_in_words(summary) for line in (_escape(text), "")]
    lines += [f"- {_escape(reason)}" for reason in verdict["reasons"]] + [""] * bool(verdict["reasons"])
    lines += [
        line for text in (verdict["stability"], detection_remark(summary)) if text for line in (_escape(text), "")
    ]
    lines += [f"Attack: {_code(summary.provenance['attack'])}, seed {summary.provenance['seed']}.", ""]
    if events["interrupted"]:
        lines += [f"**Interrupted** after {events['iterations_done']} iterations.", ""]
    for section in sections(summary):
        lines += [f"## {_escape(section.title)}", "", *_markdown_table(section.header, section.rows), ""]
    lines += [line for name in figures for line in (f"![{_escape(name)}](figures/{quote(name)}.png)", "")]
    versions = ", ".join(f"{name} {version}" for name, version in summary.versions.items() if version)
    return "\n".join([*lines, f"Network `{summary.provenance['classifier'][:16]}`; {_escape(versions)}."]) + "\n"


def summary_table(summary: Summary) -> Group:
    """
    Show a study in a terminal.

    Returns
    -------
    rich.console.Group
        Tables and the verdict, to be printed by a ``rich`` console.
    """
    tables = []
    for section in sections(summary):
        columns = (Column(Text(printable(name)), overflow="fold") for name in section.header)
        table = Table(*columns, title=section.title, title_justify="left")
        for row in section.rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        tables.append(table)
    verdict = summary.verdict
    reasons = (f"• {reason}" for reason in verdict["reasons"])
    lines = [
        f"{verdict['meaning'].capitalize()}.",
        caps_in_words(summary),
        *reasons,
        verdict["stability"],
        detection_remark(summary),
    ]
    text = Text("\n".join(printable(line) for line in lines if line))
    return Group(
        Text(printable(opening(summary))),
        *tables,
        Panel(text, title=verdict["decision"], border_style=_COLOURS[verdict["decision"]]),
    )


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(map(_escape, row)) + " |" for row in (header, *rows)]
    return [lines[0], "|" + " --- |" * len(header), *lines[1:]]


def _escape(text: str) -> str:
    """Make every character stand for itself in Markdown and in the HTML that it becomes."""
    return html.escape(_MARKUP.sub(r"\\\g<0>", printable(text)), quote=False)


def _code(text: str) -> str:
    """Fence code by more backticks than it holds."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{printable(text)}{fence}"
