# SPDX-License-Identifier: BSD-3-Clause
"""
Write a finished study to a folder, and show it in a terminal.

The folder holds ``summary.json`` (everything, for machines), ``summary.md`` (for
people), ``figures/`` (PDF and PNG), ``histograms.zip`` (marginals and scores, to
be read with :func:`hepfool.io.store.read_store`) and ``adversarial.root``.  It
appears under its name when it is complete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hist
import numpy as np
from rich.console import Group
from rich.panel import Panel
from rich.table import Column, Table

from hepfool.attacks.base import AttackResult
from hepfool.io.files import check_absent, written_whole
from hepfool.io.store import Store, write_store
from hepfool.io.tables import write_table
from hepfool.summary import Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXTRA_COLUMNS", "check_output", "result_histograms", "summary_markdown", "summary_table", "write_report"]

#: What is written beside the adversarial events: flags and the score before and after.
EXTRA_COLUMNS = ("attacked", "fooled", "nominal_score", "adversarial_score")

_COLOURS = {"COVERED": "green", "INVESTIGATE": "yellow", "ASSIGN": "magenta"}
_PNG_DPI = 150


def check_output(folder: str | Path, *, force: bool = False) -> Path:
    """
    Tell before any work whether a report can be written.

    Parameters
    ----------
    folder : str or Path
        Folder to be made.
    force : bool
        Allow to replace an earlier report.

    Returns
    -------
    Path
        Absolute path of the folder.

    Raises
    ------
    FileExistsError
        If it exists and ``force`` is False, or if it holds something else than a report.
    FileNotFoundError
        If its parent folder does not exist.
    """
    path = check_absent(Path(folder).resolve(), force=force)
    replaceable = path.is_dir() and ((path / "summary.json").is_file() or not any(path.iterdir()))
    if path.exists() and not replaceable:
        msg = f"{path} exists and is no earlier report, so it is not replaced; choose another name"
        raise FileExistsError(msg)
    return path


def write_report(
    folder: str | Path,
    summary: Summary,
    *,
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
    folder : str or Path
        Folder to make.
    summary : Summary
        The study.
    result : AttackResult, optional
        Adds the adversarial events and the histograms.
    figures : mapping of str to matplotlib.figure.Figure, optional
        Figures by file name without suffix.
    events : sequence of str
        File names of the adversarial events, each ending in ``.root`` or ``.parquet``.
    files : mapping of str to callable, optional
        Further files by name, each with the function that writes it to a path.
    force : bool
        Replace an earlier report.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FileExistsError
        See :func:`check_output`.
    """
    path = check_output(folder, force=force)
    with written_whole(path, force=force) as temporary:
        temporary.mkdir()
        (temporary / "summary.json").write_text(summary.to_json(), encoding="utf-8")
        (temporary / "summary.md").write_text(summary_markdown(summary, tuple(figures or ())), encoding="utf-8")
        for name, figure in (figures or {}).items():
            (temporary / "figures").mkdir(exist_ok=True)
            figure.savefig(temporary / "figures" / f"{name}.pdf", metadata={"CreationDate": None})
            figure.savefig(temporary / "figures" / f"{name}.png", dpi=_PNG_DPI)
        if result is not None:
            write_store(temporary / "histograms.zip", Store(histograms=result_histograms(result)))
            for name in events:
                write_table(result.adversarial, temporary / name, columns=_extra_columns(result))
        for name, write in (files or {}).items():
            write(temporary / name)
    return path


def _extra_columns(result: AttackResult) -> dict[str, Any]:
    before, after = result.nominal_scores, result.adversarial_scores
    # Of two classes the score of class 1 says it all; of more, that of the class the network had named.
    column = np.ones(len(before), dtype=np.int64) if before.shape[1] == 2 else before.argmax(axis=1)
    event = np.arange(len(before))
    return dict(
        zip(EXTRA_COLUMNS, (result.attacked, result.fooled, before[event, column], after[event, column]), strict=True)
    )


def result_histograms(result: AttackResult) -> dict[str, hist.Hist[Any]]:
    """
    Fill every feature before and after the attack, in the bins of the attack.

    Parameters
    ----------
    result : AttackResult
        The attack.

    Returns
    -------
    dict of str to hist.Hist
        Per feature one histogram with the axes ``dataset``, ``region`` (``constrained`` and those of
        the table), ``variation`` (``nominal``, ``adversarial``) and the feature, with weights.
        Missing values are in the overflow.
    """
    table, binning = result.nominal, result.binning
    regions = {"constrained": table.constrained, **{region.name: region.mask for region in table.regions}}
    axes = [
        hist.axis.StrCategory(table.datasets, name="dataset", overflow=False),
        hist.axis.StrCategory(list(regions), name="region", overflow=False),
        hist.axis.StrCategory(["nominal", "adversarial"], name="variation", overflow=False),
    ]
    histograms: dict[str, hist.Hist[Any]] = {}
    for j, feature in enumerate(table.features):
        axis = hist.axis.Variable(binning.edges[j], name=feature.name, label=feature.title, underflow=False)
        name = re.sub(r"[^A-Za-z0-9_]", "_", feature.name)
        histograms[name if name not in histograms else f"{name}_{j}"] = hist.Hist(
            *axes, axis, storage=hist.storage.Weight()
        )
    for d, dataset in enumerate(table.datasets):
        for r, mask in enumerate(regions.values()):
            chosen = mask & table.dataset_mask(dataset)
            weights = table.weights[chosen]
            for v, values in enumerate((table.values, result.adversarial.values)):
                sums = binning.yields(values[chosen], weights)
                variances = binning.yields(values[chosen], weights**2)
                for j, histogram in enumerate(histograms.values()):
                    view: Any = histogram.view(flow=True)
                    view["value"][d, r, v], view["variance"][d, r, v] = sums[j], variances[j]
    return histograms


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
    lines = [f"# {verdict['decision']}", "", f"{verdict['meaning'].capitalize()}.", ""]
    lines += [f"- {reason}" for reason in verdict["reasons"]] + [""] * bool(verdict["reasons"])
    lines += [verdict["stability"], ""]
    lines += [f"Attack: `{summary.provenance['attack']}`, seed {summary.provenance['seed']}.", ""]
    if events["interrupted"]:
        lines += [f"**Interrupted** after {events['iterations_done']} iterations.", ""]
    for title, header, rows in _sections(summary):
        lines += [f"## {title}", "", *_markdown_table(header, rows), ""]
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
    for title, header, rows in _sections(summary):
        table = Table(*(Column(name, overflow="fold") for name in header), title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        tables.append(table)
    verdict = summary.verdict
    reasons = (f"• {reason}" for reason in verdict["reasons"])
    text = "\n".join([f"{verdict['meaning'].capitalize()}.", *reasons, verdict["stability"]])
    return Group(*tables, Panel(text, title=verdict["decision"], border_style=_COLOURS[verdict["decision"]]))


Section = tuple[str, Sequence[str], Sequence[Sequence[str]]]


def _sections(summary: Summary) -> list[Section]:
    """Collect the tables of a report, once for every way to show them."""
    sections = [_fooling(summary), _compatibility(summary), _effects(summary)]
    if summary.detector is not None:
        rows = [(name.replace("_", " "), _text(value)) for name, value in summary.detector.items()]
        sections.append(("Detector", ("quantity", "value"), [row for row in rows if row[1]]))
    if summary.verdict["decision"] == "ASSIGN":
        sizes = {"flip fraction": summary.verdict["size_flips"], **summary.verdict["size_yields"]}
        sections.append(("Size to assign", ("of", "size"), [(name, _number(size)) for name, size in sizes.items()]))
    criteria = [
        (c["status"], c["sentence"] + ("" if c["decisive"] else " (informs)"), c["numbers"])
        for c in summary.verdict["criteria"]
    ]
    return [*sections, ("Criteria", ("status", "criterion", "numbers"), criteria)]


def _fooling(summary: Summary) -> Section:
    everything = (
        "all",
        str(summary.events["n_attacked"]),
        str(summary.events["n_fooled"]),
        _measured(summary.fooling["fooling_ratio"]),
    )
    rows = [everything]
    # A single dataset says no more than the row of all events.
    kinds = ("datasets", "regions") if len(summary.fooling["datasets"]) > 1 else ("regions",)
    for kind in kinds:
        for name, counts in summary.fooling[kind].items():
            numbers = str(counts["n_attacked"]), str(counts["n_fooled"]), _number(counts["fooling_ratio"])
            rows.append((f"{kind[:-1]} {name}", *numbers))
    return "Fooling", ("events", "attacked", "fooled", "fooling ratio"), rows


def _compatibility(summary: Summary) -> Section:
    rows = []
    for region in summary.compatibility:
        floors = [feature["js_floor"] for feature in region["features"].values()]
        rows.append(
            (
                region["region"],
                str(region["n_events"]),
                _number(region["mean_js_distance"]),
                _number(region["max_js_distance"]),
                _number(float(np.mean(floors))),
                _number(region["correlation_shift"]),
                _number(region["correlation_floor"]),
            )
        )
    header = ("region", "events", "mean JSD", "max JSD", "JSD floor", "correlation shift", "its floor")
    return "What validation would see", header, rows


def _effects(summary: Summary) -> Section:
    systematics = summary.systematics
    attack, remaining = systematics["attack"], systematics["remaining"]
    rows = [attack, *([] if remaining == attack else [{**remaining, "name": f"{remaining['name']}, not flagged"}])]
    rows += systematics["effects"]
    rows += [] if systematics["total"] is None else [{**systematics["total"], "name": "systematics in quadrature"}]
    regions = tuple(attack["yield_shift"])
    shown = [
        (
            row["name"],
            _measured(row["flips"]),
            *(_measured(row["yield_shift"].get(region)) for region in regions),
        )
        for row in rows
    ]
    header = ("source", "flip fraction", *(f"yield shift, {region}" for region in regions))
    return "Attack and physics systematics", header, shown


def _measured(number: Mapping[str, float | None] | None) -> str:
    if number is None or number["value"] is None:
        return "–"
    return f"{_number(number['value'])} ± {_number(number['error'])}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _text(value: Any) -> str:
    """Show a short value of a detector's report, and nothing for arrays."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, float):
        return _number(value)
    return str(value) if isinstance(value, str | int) else ""


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [header, ("---",) * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
