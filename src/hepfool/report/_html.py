# SPDX-License-Identifier: BSD-3-Clause
"""One self-contained page for a reviewer who has never heard of adversarial attacks."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hepfool._printable import printable
from hepfool.inference._templates import LOWER_LIMIT
from hepfool.report._cells import Section, furthest_moved, goodness, interval, measured, number
from hepfool.report._detection import detection_remark
from hepfool.report._sections import opening, sections
from hepfool.report._words import flipping_sources, verdict_in_words
from hepfool.summary import Summary

#: Name, value and remark.
_KeyNumber = tuple[str, str, str]

_CAPTIONS = {
    "verdict": "The verdict at a glance, by signal region. Left: which fraction of the attacked events changes class under every source of "
    "systematic uncertainty (its larger side), all of them together, and the attack: as it is, without flagged events, and with knowledge "
    "of the detector. Middle: what the same does to the yield after the score selection. What stays inside the band is covered. What "
    "an attack does is a lower limit of the worst case; only a black line is an upper one. Right: the probability that a check of the "
    "validation notices the attack.",
    "ladder": "How many events can change class, and how much the yield after the score selection, from what the sources of the "
    "analysis do to what inputs can do that are free of each other. Bars were found; what lies beyond the lines is proved impossible.",
    "explanation": "Which inputs carry the attack, and how much of it follows the variations that the analysis has already, beside what "
    "random moves would give.",
    "allowed": "Which fraction of the attack the data of control and validation regions allow: where CLs falls below the line, it is "
    "excluded. Signal regions are not looked at.",
    "fooling": "How often the network changes its answer: under the attack, and under every physics systematic; sources "
    "that only change weights flip no event. The verdict compares with all sources together. Errors are statistical.",
    "regions": "The network's score by region: simulation by process, its statistical and systematic uncertainty, data where "
    "they may be looked at, and the sum of the same simulated events after the attack (dashed). Data of signal regions stay blinded. "
    "The lower panels show ratios to the nominal simulation; the dashed line has no error, because both are the same events.",
    "score_kept": "The score in the control region after two attacks on the same simulated events: one that keeps the inputs alone, "
    "and one that keeps the score and the flags of the detector too. The limit follows from the composition of the region.",
    "marginals": "Three input distributions before and after the attack, from the one that moved least to the one that "
    "moved most. The lower panels show the net change of each bin with the error of the events that entered or left it. These are the same "
    "events, so the band, the statistical error of the prediction alone, is there for scale, and no chi-square is given.",
    "projection": "The pair of inputs whose joint distribution changes most: before the attack, after it, and the net change of each "
    "bin in units of the error of the events that entered or left it; bins that no event entered or left stay white. Bins "
    "hold equally many nominal events along each axis and are drawn equally wide; events without one of both values are not shown.",
    "correlations": "Linear correlations between all inputs before the attack (below the diagonal), and what the attack changes in "
    "them (above it, with its own colour scale). A frame marks the largest change. Only linear dependence is shown here.",
    "score": "What the network answers before and after the attack in all regions together, by true class, each normalised to one. "
    "Bands are statistical errors.",
    "misclassification": "Whether detectors of independent trainings flag the same clean events more often than chance.",
    "significance": "Relative significance of a discovery against the threshold on the score, before and after the attack.",
    "detection": "Which check would have noticed the attack, with the data events of this analysis: the probability that it rejects. Standard "
    "checks are those that an analysis makes anyway.",
    "impacts": (
        "How far each nuisance parameter of the fit can move the result, the attack among them (right). Post-fit intervals, and pulls "
        "of a fit without the attack to data with it, in units of the pre-fit uncertainties (left)."
    ),
    "frontier": "What an attack gains if it may be noticed more easily: further right, a check of the inputs notices it with a "
    "higher probability. The star is the attack of this report.",
    "detector": "The detector of attacks. Left: which fraction of the fooled events it flags, at the price of flagging nominal "
    "events too. Right: whether its score is the probability that it claims to be.",
    "thresholds": "The detector at other thresholds. Fooled events that it leaves unflagged, its price, the nominal events of "
    "each true class that it flags, and the flagged fraction of data and simulation where these are compared.",
    "cross_runs": "Attacks and detectors of repeated trainings, each against each: how far the numbers of this report depend on the "
    "one network that was attacked.",
}

_GLOSSARY = {
    "Adversarial attack": "A deliberate search for small changes of the inputs that make the network change its answer. "
    "Here the changes are limited in what they do to distributions and correlations.",
    "Nominal, adversarial": "The events of the simulation as they are, and the same events after the attack.",
    "Constrained events": "The events of control and validation regions, where data are compared with simulation. "
    "The attack may change their distributions only within caps.",
    "Fooling ratio": "Weighted fraction of the attacked events whose predicted class changes.",
    "Corrected fooling ratio": "The same, without the events that a detector of attacks flags.",
    "Adaptive attack": "The same search with knowledge of both network and detector.",
    "Flip fraction": "The same quantity for a physics systematic: how many events change their class under its variation.",
    "Yield shift": "Relative change of a region's weighted yield after the selection on the score.",
    "Marginal": "The one-dimensional distribution of one input.",
    "Jensen-Shannon distance (JSD)": "Distance of two distributions: 0 if they are the same, 1 if they have nothing in "
    "common.",
    "Correlation shift": "Relative change of the whole matrix of linear correlations.",
    "Sampling floor": "The distance that two independent samples of this size typically show by chance.",
    "Detection power": "Probability that a check notices the attack, at the number of data events of the analysis.",
    "Physics systematics": "The uncertainties that the analysis assigns already, such as energy scales.",
}

_SHOWN_STATUS = {"passed": "fulfilled", "failed": "not fulfilled"} | {
    same: same for same in ("not evaluated", "not needed")
}

_MEANING_FOR_REVIEW = {
    "COVERED": "No action is needed before approval.",
    "INVESTIGATE": "The analysers should explain the points below before approval.",
    "ASSIGN": "The analysers should add the uncertainty given below.",
    "INCOMPLETE": "The analysers should provide the missing inputs and repeat the study.",
}


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
    tables = [section for section in sections(summary) if section.title != "Criteria"]
    return environment.get_template("report.html").render(
        summary=summary,
        verdict=summary.verdict,
        opening=opening(summary),
        remark=detection_remark(summary),
        words=verdict_in_words(summary),
        shown_status=_SHOWN_STATUS,
        action=_MEANING_FOR_REVIEW[summary.verdict["decision"]],
        key_numbers=_key_numbers(summary),
        tables=[{"section": table, "numeric": _numeric(table)} for table in tables],
        figures=[
            {
                "name": name,
                "caption": _CAPTIONS.get(_kind(name), name.replace("_", " ")),
                "source": _data_url(name, image),
            }
            for name, image in _ordered(figures or {}).items()
        ],
        glossary=_GLOSSARY,
        **_inline("style", "report.css"),
        **_inline("script", "report.js"),
        lower_limit=LOWER_LIMIT,
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


def _ordered(figures: Mapping[str, bytes]) -> dict[str, bytes]:
    known = [name for kind in _CAPTIONS for name in figures if _kind(name) == kind]
    return {name: figures[name] for name in (*known, *(name for name in figures if name not in known))}


def _kind(name: str) -> str:
    """Give the name under which a figure is described: one of a region has the region behind it."""
    return name if name in _CAPTIONS else name.partition("_")[0]


def _data_url(name: str, image: bytes) -> str:
    if not image.startswith(b"\x89PNG"):
        msg = f"figure {name!r} is not a PNG image; save it with format='png'"
        raise ValueError(msg)
    return f"data:image/png;base64,{base64.b64encode(image).decode('ascii')}"


def _numeric(section: Section) -> list[bool]:
    """Which columns hold numbers."""
    columns: list[Any] = list(zip(*section.rows, strict=True)) or [()] * len(section.header)
    return [bool(column) and all(cell[:1].isdigit() or cell[:1] in "-–n" for cell in column) for column in columns]
