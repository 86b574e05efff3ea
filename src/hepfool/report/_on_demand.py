# SPDX-License-Identifier: BSD-3-Clause
"""The tables of what a study does on demand: a scan of the caps, and repeated trainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from hepfool.report._cells import Section, measured, number
from hepfool.summary import Summary

_FRONTIER_NOTE: Final = (
    "The attack with its caps on distances and correlations multiplied by a factor; factor 1 is the attack of this report. "
    "Detection power: probability that the checks reject with {n_data:.0f} data events, the standard ones together at one level; {level:g} "
    "means invisible."
)
_SPREAD_NOTE: Final = (
    "{n_runs} networks were trained on the same events from different starting points{splits}, each was attacked, and each has its "
    "own detector. The verdict is based on the one network of this report; the spread shows how much another training "
    "could change its numbers. Evaluated on {n_test} events."
)
_FLAGS_NOTE: Final = (
    "Of {n_events} nominal events that every network classifies correctly, those that so many of the detectors flag, beside a binomial "
    "distribution with the mean flagged fraction of {probability:.3g}; p is the probability of at least as many. For two detectors or more "
    "p = {p_value:.2g}, number of rows considered: {verdict}"
)
_FLAGGED: Final = {
    True: "some events look adversarial by themselves, whatever the training. Compare them with data before they are left out.",
    False: "no more than by chance.",
}
_ROBUSTNESS_NOTE: Final = (
    "The same study with one thing changed at a time; the first row is the study itself. The excess is that of the worst signal "
    "region over the systematics. Detectors are not trained again. Changes of thresholds cost nothing, the others {seconds:.0f} s together."
)
_QUANTITIES: Final = {"fooling_ratio": "fooling ratio", "corrected_fooling_ratio": "corrected fooling ratio"}
_KNOWLEDGE: Final = {
    "white_box": "attack on the network itself",
    "grey_box": "attack on another training",
    "adaptive": "attack that knows network and detector",
}


def frontier_section(frontier: Mapping[str, Any]) -> Section:
    """Show a scan of caps."""
    rows = [
        (
            f"{point['factor']:g}",
            measured(point["fooling"]),
            number(point["max_js_distance"]),
            number(point["correlation_shift"]),
            number(point["power"]["value"]),
            point["check"],
            number(point["further_power"]["value"]),
        )
        for point in frontier["points"]
    ]
    header = (
        "caps times",
        "fooling ratio",
        "max JSD",
        "correlation shift",
        "detection power",
        "of",
        "of the strongest single check",
    )
    note = _FRONTIER_NOTE.format(n_data=frontier["n_data"], level=frontier["level"])
    return Section("If the attack may be noticed more easily", header, rows, note)


def spread_sections(spread: Mapping[str, Any]) -> list[Section]:
    """Show repeated trainings, and which clean events their detectors flag together."""
    repeated = spread.get("misclassification")
    return [_spread(spread), *([] if repeated is None else [_repeated_flags(repeated)])]


def _spread(spread: Mapping[str, Any]) -> Section:
    areas = np.array(spread["auroc"], dtype=np.float64)
    deviation = float(areas.std(axis=1, ddof=1).mean())
    shown = (number(float(area)) for area in (areas.mean(), deviation, areas.min(), areas.max()))
    rows = [("area under the ROC curve of the network", *shown)]
    for row in spread["rows"]:
        name = f"{_QUANTITIES[row['quantity']]}, {_KNOWLEDGE[row['knowledge']]}"
        rows.append((name, number(row["mean"]["value"]), *(number(row[key]) for key in ("std", "smallest", "largest"))))
    n_splits = spread["n_splits"]
    splits = f", for each of {n_splits} ways to split the events" if n_splits > 1 else ""
    note = _SPREAD_NOTE.format(n_runs=spread["n_runs"], n_test=spread["n_test"], splits=splits)
    return Section(
        "Spread over repeated trainings", ("quantity", "mean", "standard deviation", "smallest", "largest"), rows, note
    )


def _repeated_flags(found: Mapping[str, Any]) -> Section:
    rows = [
        (str(row["times"]), str(row["observed"]), f"{row['expected']:.3g}", f"{row['p_value']:.2g}")
        for row in found["rows"]
    ]
    note = _FLAGS_NOTE.format(**found, verdict=_FLAGGED[found["systematic"]])
    return Section("Clean events that are flagged repeatedly", ("detectors", "events", "by chance", "p"), rows, note)


def robustness_section(summary: Summary) -> Section:
    """Show the decision under other choices."""
    own, events = summary.verdict, summary.systematics
    excess = events["excess"]
    first = (
        "as it is",
        "",
        own["decision"],
        measured(events["attack"]["flips"]),
        measured(events["remaining"]["flips"]),
    )
    rows = [(*first, measured(None if excess is None else excess["flips"]))]
    rows += [
        (f"threshold {s['threshold']}", f"{s['changed']:g}", s["decision"], *first[3:], rows[0][-1])
        for s in own["sensitivity"]
    ]
    made = [] if summary.robustness is None else summary.robustness["rows"]
    rows += [
        (row["changed"], row["value"], row["decision"], *(measured(row[k]) for k in ("fooling", "remaining", "excess")))
        for row in made
    ]
    header = ("changed", "to", "decision", "fooling ratio", "not flagged", "excess over the systematics")
    note = _ROBUSTNESS_NOTE.format(seconds=sum(row["seconds"] or 0.0 for row in made))
    return Section("Robustness of the decision", header, rows, note)
