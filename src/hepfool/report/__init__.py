# SPDX-License-Identifier: BSD-3-Clause
"""
Write a finished study to a folder, and show it in a terminal.

The folder holds ``report.html`` (for a reviewer: one file that shows everything and loads nothing), ``summary.md``
(the same as text), ``tables.tex`` (for a note), ``summary.json`` (everything, for machines; see
:func:`hepfool.summary.summary_schema`), ``figures/`` (PDF and PNG), ``contact_sheet.pdf`` and ``contact_sheet_1.png``
(all figures on few pages), ``histograms.zip`` (marginals, to be read with
:func:`hepfool.io.store.read_store`) and ``adversarial.root``.  It appears under its name when it is complete.
"""

from __future__ import annotations

from hepfool.report.contact_sheet import make_contact_sheet
from hepfool.report.figures import attack_figures
from hepfool.report.folder import EXTRA_COLUMNS, check_output, sum_histograms, write_report
from hepfool.report.html import summary_html
from hepfool.report.latex import summary_latex
from hepfool.report.text import summary_markdown, summary_table

__all__ = [
    "EXTRA_COLUMNS",
    "attack_figures",
    "check_output",
    "make_contact_sheet",
    "sum_histograms",
    "summary_html",
    "summary_latex",
    "summary_markdown",
    "summary_table",
    "write_report",
]
