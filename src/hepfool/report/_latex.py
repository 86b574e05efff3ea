# SPDX-License-Identifier: BSD-3-Clause
"""The tables of a study for an analysis note."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from hepfool._printable import printable
from hepfool.report._cells import Section
from hepfool.report._sections import sections
from hepfool.summary import Summary

#: Greek letters that LaTeX has a command for.
_GREEK = "αβγδεζηθικμνξπρστυφχψωΓΔΘΞΠΣΦΨΩ"


def _command(letter: str) -> str:
    """Turn α into alpha and Δ into Delta, by the name of the character."""
    _, size, _, name = unicodedata.name(letter).split()
    return rf"$\{name.lower() if size == 'SMALL' else name.capitalize()}$"


_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": r"\textendash{}",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "→": r"$\to$",
    **{letter: _command(letter) for letter in _GREEK},
    # Whose names in Unicode are spelt otherwise.
    "λ": r"$\lambda$",
    "Λ": r"$\Lambda$",
    "²": r"$^2$",
    ">": r"$>$",
    "<": r"$<$",
    "|": r"$|$",
    # At the start of a row these would belong to the end of the row before; the others would be joined to other characters.
    "[": "{[}",
    "*": "{*}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
}
#: From this number of characters on, a column breaks its lines.
_LONG = 40


def summary_latex(summary: Summary) -> str:
    r"""
    Write the tables of a study in LaTeX.

    Returns
    -------
    str
        One ``table`` per section with the label ``tab:adversarial-<title>``; needs the package ``booktabs``.
    """
    return "\n".join(
        [
            "% Tables of the adversarial validation; they need \\usepackage{booktabs}.",
            *(_table(section) for section in sections(summary)),
        ]
    )


def _table(section: Section) -> str:
    label = re.sub(r"[^a-z]+", "-", section.title.lower())
    columns = "".join(_column([row[k] for row in section.rows]) for k in range(len(section.header)))
    lines = [
        r"\begin{table}[htbp]",
        r"  \centering\small",
        rf"  \caption{{{_escape(f'{section.title}. {section.note}'.strip())}}}",
        rf"  \label{{tab:adversarial-{label}}}",
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        f"    {_row(section.header)}",
        r"    \midrule",
        *(f"    {_row(row)}" for row in section.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def _column(cells: Sequence[str]) -> str:
    if any(len(cell) > _LONG for cell in cells):
        return r"p{0.38\textwidth}"
    return "r" if all(re.fullmatch(r"[-+]?[\d.]+( ± [\d.]+)?|–|nan.*", cell) for cell in cells) else "l"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(_escape, cells)) + r" \\"


def _escape(text: str) -> str:
    escaped = "".join(_SPECIAL.get(character, character) for character in printable(text))
    return re.sub("-(?=-)", "-{}", escaped)  # two hyphens would become a dash
