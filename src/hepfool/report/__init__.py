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

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.report.figures import attack_figures
    from hepfool.report.folder import write_report
    from hepfool.report.text import summary_markdown, summary_table
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = ["attack_figures", "summary_markdown", "summary_table", "write_report"]
