# SPDX-License-Identifier: BSD-3-Clause
"""What a terminal and a notebook show of a record: a title, a small table and remarks, as text or as HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hepfool._printable import printable


@dataclass(frozen=True, slots=True)
class Shown:
    """
    A record in a few lines.

    Attributes
    ----------
    title : str
        First line.
    header : sequence of str
        Titles of the columns; empty without a table.
    rows : sequence of sequence of str
        Cells, as many in each row as there are columns.
    remarks : sequence of str
        Lines below the table; empty ones are left out.
    """

    title: str
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    remarks: Sequence[str] = ()

    def __str__(self) -> str:
        """Lay out the table in columns of equal width."""
        return "\n".join([printable(self.title), *self._aligned(), *self._remarks()])

    def html(self) -> str:
        """
        Write the table for a notebook.

        Returns
        -------
        str
            HTML in which every name stands for itself, whatever it holds.
        """
        head = f"<tr>{_cells(self.header, 'th')}</tr>" if self.header else ""
        body = "".join(f"<tr>{_cells(row, 'td')}</tr>" for row in self.rows)
        table = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>" if self.rows else ""
        remarks = "".join(f"<div>{_escaped(line)}</div>" for line in self._remarks())
        return f"<div><strong>{_escaped(self.title)}</strong>{table}{remarks}</div>"

    def _aligned(self) -> Iterator[str]:
        rows = [[printable(cell) for cell in row] for row in (self.header, *self.rows)] if self.rows else []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()

    def _remarks(self) -> list[str]:
        return [printable(line) for line in self.remarks if line]


class Displayed:
    """A record that a terminal and a notebook show in a few lines, without its arrays."""

    __slots__ = ()

    def _shown(self) -> Shown:
        raise NotImplementedError

    def __repr__(self) -> str:
        return str(self._shown())

    def _repr_html_(self) -> str:
        return self._shown().html()


def listed(names: Iterable[str], most: int = 8) -> str:
    """
    Enumerate names, and count those that are too many.

    Parameters
    ----------
    names : iterable of str
        In their order.
    most : int
        How many are named.

    Examples
    --------
    >>> listed(["pt", "eta", "phi"], most=2)
    'pt, eta and 1 more'
    """
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def cap_text(cap: float) -> str:
    """Show a cap, or that there is none."""
    return f"{cap:.4f}" if math.isfinite(cap) else "none"


def _cells(row: Sequence[str], tag: str) -> str:
    return "".join(f'<{tag} style="text-align: left">{_escaped(cell)}</{tag}>' for cell in row)


def _escaped(text: str) -> str:
    return html.escape(printable(text))
