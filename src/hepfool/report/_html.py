# SPDX-License-Identifier: BSD-3-Clause
"""One self-contained page for a reviewer who has never heard of adversarial attacks."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import PurePath
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image  # which Matplotlib needs too

from hepfool._printable import printable
from hepfool.inference._templates import LOWER_LIMIT
from hepfool.report._answers import answers
from hepfool.report._captions import CAPTIONS, GLOSSARY, REFERENCES, TITLES
from hepfool.report._cells import Section, furthest_moved, goodness, interval, measured, number
from hepfool.report._detection import detection_remark
from hepfool.report._sections import opening, sections
from hepfool.report._words import flipping_sources, verdict_in_words
from hepfool.summary import Summary

#: Name, value and remark.
_KeyNumber = tuple[str, str, str]

_SHOWN_STATUS = {"passed": "fulfilled", "failed": "not fulfilled"} | {
    same: same for same in ("not evaluated", "not needed")
}

#: Figures, of which those that exist are shown, and the table on which a criterion rests.
_RESTS_ON: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "FoolingWithinSystematics": (("verdict", "fooling"), "Attack and physics systematics"),
    "YieldsWithinSystematics": (("verdict", "regions"), "Attack and physics systematics"),
    "DetectorPrice": (("thresholds", "detector"), "Detector"),
    "FlaggedFractionsAgree": (("thresholds",), "Data and simulation"),
    "DataAgree": (("regions",), "Data and simulation"),
    "AttackConverged": ((), "Fooling"),
    "MarginalsWithinFloor": (("marginals",), "What the validation would see"),
    "CorrelationsWithinFloor": (("correlations",), "What the validation would see"),
    "EnoughEvents": ((), "What the validation would see"),
}
#: Input files that the head names.
_MAX_FILES: Final = 6
#: Below this probability data exclude the attacked simulation.
_EXCLUDED: Final = 0.05
#: Colours of an embedded image; figures have fewer but for smoothed edges and scales of colours.
_COLOURS: Final = 48


def summary_html(summary: Summary, figures: Mapping[str, bytes] | None = None) -> str:
    """
    Write a study as one page.

    Parameters
    ----------
    figures : mapping of str to bytes, optional
        PNG images by name; those of :func:`hepfool.study.draw_study` have captions.

    Returns
    -------
    str
        HTML that loads nothing from anywhere and prints well.

    Raises
    ------
    ValueError
        If an image is not a PNG.
    """
    environment = Environment(
        loader=PackageLoader("hepfool.report", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tables = _tables(summary)
    shown = _figures(summary, figures or {})
    return environment.get_template("report.html").render(
        summary=summary,
        verdict=summary.verdict,
        answers=answers(summary),
        analysis=(summary.about or {}).get("analysis", ""),
        about=_about(summary),
        opening=opening(summary),
        remark=detection_remark(summary),
        words=verdict_in_words(summary),
        shown_status=_SHOWN_STATUS,
        criteria=[{"of": one, "links": _links(one["name"], shown, tables)} for one in summary.verdict["criteria"]],
        key_numbers=_key_numbers(summary),
        tables=tables,
        figures=shown,
        glossary=GLOSSARY,
        references=REFERENCES,
        **_inline("style", "report.css"),
        **_inline("script", "report.js"),
        lower_limit=LOWER_LIMIT,
    )


def _about(summary: Summary) -> dict[str, str]:
    """Say of which analysis this is, by whom, when, of which files and of which network."""
    given = {name: value for name, value in (summary.about or {}).items() if value}
    files = summary.provenance["input"].get("files", ())
    names = [PurePath(str(file)).name for file in ([files] if isinstance(files, str) else files)]
    if names:
        more = f" and {len(names) - _MAX_FILES} more" if len(names) > _MAX_FILES else ""
        given["events"] = ", ".join(names[:_MAX_FILES]) + more
    given.setdefault("network", str(summary.provenance["classifier"])[:16])
    return {name: given[name] for name in ("author", "date", "events", "network") if name in given}


def _tables(summary: Summary) -> list[dict[str, Any]]:
    """Give every table a number, all but that of the criteria."""
    found = [section for section in sections(summary) if section.title != "Criteria"]
    return [
        {"section": table, "numeric": _numeric(table), "number": k, "id": f"table-{_slug(table.title)}"}
        for k, table in enumerate(found, start=1)
    ]


def _figures(summary: Summary, figures: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Give every figure a number, that of the verdict first."""
    return [
        {
            "name": name,
            "number": k,
            "title": _title(name),
            "caption": CAPTIONS.get(_kind(name), name.replace("_", " ")),
            "source": _data_url(name, image),
        }
        for k, (name, image) in enumerate(_ordered(figures, scores_first=_score_excludes(summary)).items(), start=1)
    ]


def _title(name: str) -> str:
    kind = _kind(name)
    if kind not in TITLES:
        return name.replace("_", " ").capitalize()
    of = name.removeprefix(kind).strip("_").replace("_", " ")
    return f"{TITLES[kind]}, {of}" if of else TITLES[kind]


def _links(criterion: str, figures: list[dict[str, Any]], tables: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Where the numbers of a criterion are shown: text and anchor."""
    names, title = _RESTS_ON.get(criterion, ((), ""))
    found = [(f"Figure {one['number']}", f"figure-{one['name']}") for one in figures if one["name"] in names]
    return found + [(f"Table {one['number']}", one["id"]) for one in tables if one["section"].title == title]


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _score_excludes(summary: Summary) -> bool:
    """Whether data on the score are compatible with the simulation, and not with the attacked one."""
    rows = [] if summary.observed is None else summary.observed["checks"]
    return any(
        row["quantity"].startswith("score") and (row["p_nominal"] or 0.0) >= _EXCLUDED > row["p_attacked"]
        for row in rows
        if row["check"] == "chi2" and row["p_attacked"] is not None
    )


def _shown(value: Any) -> Any:
    """Write what a page cannot show as escape sequences; Jinja escapes the rest."""
    return printable(value) if type(value) is str else value


def _inline(kind: str, file: str) -> dict[str, str]:
    """Text of a file for the page, and the hash by which the page's policy allows this text and no other."""
    text = "\n" + (files("hepfool.report") / "templates" / file).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return {kind: text, f"{kind}_hash": f"sha256-{digest}"}


def _key_numbers(summary: Summary) -> list[_KeyNumber]:
    """Collect name, value and remark of what the verdict turns on."""
    return [*_effects(summary), *_distances(summary.compatibility[0]), *_consequences(summary)]


def _effects(summary: Summary) -> Iterator[_KeyNumber]:
    systematics, events = summary.systematics, summary.events
    attack, remaining, added = systematics["attack"], systematics["remaining"], systematics["total"]
    changed = f"{events['n_fooled']} of {events['n_attacked']} attacked events change their class"
    yield "Fooling ratio", measured(attack["flips"]), changed
    if remaining != attack:
        yield "Corrected fooling ratio", measured(remaining["flips"]), "not flagged by the detector"
    if systematics.get("adaptive") is not None:
        flips = measured(systematics["adaptive"]["flips"])
        yield "Adaptive attack", flips, "the same for an attack that knows the detector"
    if summary.spread is not None:
        yield _spread_number(summary.spread)
    if added is not None:
        how = "with their correlations" if systematics.get("correlations") else "in quadrature"
        remark = f"{', '.join(flipping_sources(systematics)) or 'no source moves an input'}, {how}, in the same units"
        yield "Physics systematics", measured(added["flips"]), remark


def _distances(constrained: Mapping[str, Any]) -> Iterator[_KeyNumber]:
    name, distance, floor = furthest_moved(constrained)
    remark = f"Jensen-Shannon distance of {name}; {number(floor)} is typical of statistical fluctuations"
    yield "Largest change of an input", number(distance), remark
    remark = f"relative; {number(constrained['correlation_floor'])} is typical of statistical fluctuations"
    yield "Change of correlations", number(constrained["correlation_shift"]), remark


def _consequences(summary: Summary) -> Iterator[_KeyNumber]:
    if summary.detection is not None and (strongest := summary.detection["strongest_standard"]) is not None:
        remark = f"probability with {strongest['n_data']:.0f} data events, {strongest['title']}"
        combined = summary.detection.get("combined")
        if combined:
            of = f"probability with {combined['n_data']:.0f} data events, {combined['n_checks']} checks at the level together"
            yield "Noticed by all standard checks", number(combined["power"]["value"]), of
        else:
            yield "Noticed by a standard check", number(strongest["power"]["value"]), remark
    if summary.impact is not None:
        before, after = (interval(summary.impact[key]) for key in ("before", "after"))
        yield f"Uncertainty on {summary.impact['parameter']}", after, f"{before} without the attack"
        bias = summary.impact["bias"]
        remark = f"{number(bias['n_sigma'])} σ, where data follow the attack and the model does not; {goodness(bias)}"
        yield f"Bias of {summary.impact['parameter']}", number(bias["shift"]), remark


def _spread_number(spread: Mapping[str, Any]) -> _KeyNumber:
    row = next(r for r in spread["rows"] if (r["quantity"], r["knowledge"]) == ("corrected_fooling_ratio", "white_box"))
    value = f"{number(row['mean']['value'])} ± {number(row['std'])}"
    return "Corrected, other trainings", value, f"mean and standard deviation of {spread['n_runs']} trainings"


def _ordered(figures: Mapping[str, bytes], *, scores_first: bool) -> dict[str, bytes]:
    kinds = list(CAPTIONS)
    if scores_first:  # behind the verdict
        kinds.remove("regions")
        kinds.insert(1, "regions")
    known = [name for kind in kinds for name in figures if _kind(name) == kind]
    return {name: figures[name] for name in (*known, *(name for name in figures if name not in known))}


def _kind(name: str) -> str:
    """Give the name under which a figure is described: one of a region has the region behind it."""
    return name if name in CAPTIONS else name.partition("_")[0]


def _data_url(name: str, image: bytes) -> str:
    if not image.startswith(b"\x89PNG"):
        msg = f"figure {name!r} is not a PNG image; save it with format='png'"
        raise ValueError(msg)
    return f"data:image/png;base64,{base64.b64encode(_smaller(image)).decode('ascii')}"


def _smaller(image: bytes) -> bytes:
    """Take a palette in place of three colours and an opacity; figures stand on white."""
    shown = Image.open(io.BytesIO(image)).convert("RGBA")
    page = Image.new("RGBA", shown.size, "white")
    page.alpha_composite(shown)
    page.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(content := io.BytesIO(), "png", optimize=True)
    return min(content.getvalue(), image, key=len)


def _numeric(section: Section) -> list[bool]:
    """Which columns hold numbers."""
    columns: list[Any] = list(zip(*section.rows, strict=True)) or [()] * len(section.header)
    return [bool(column) and all(cell[:1].isdigit() or cell[:1] in "-–n" for cell in column) for column in columns]
