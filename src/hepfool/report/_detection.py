# SPDX-License-Identifier: BSD-3-Clause
"""Which check would notice the attack, and what data say, in sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hepfool.report._cells import Section, measured, number
from hepfool.summary import Summary

#: Rows of a table of checks; the strongest of every kind comes on top of them.
_MAX_CHECKS: Final = 12

#: Detection power from which on an attack counts as noticed.
NOTICED: Final = 0.5

_DETECTION_NOTE: Final = (
    "Probability that a check rejects at the level {level:g} when the data follow the attacked events and the prediction "
    "the nominal ones; the level itself means invisible, 1 means always seen. Each check is taken by itself, but for the first row. "
    "They compare {of}."
)
_COMBINED_NOTE: Final = " All standard checks together reject with {level:g} when nothing is wrong; any one of them by itself would with {alone:.2g}."
_WITHOUT_SCORE: Final = " The score in regions with data is shown in the figure of the regions."
_OBSERVED_NOTE: Final = (
    "Probability of a larger difference between data and simulation, in shape, where data may be looked at. χ² tests include the "
    "systematic variations of the table and decide. The others inform: correlations and pairs of inputs with these variations, "
    "Kolmogorov-Smirnov tests and classifiers with statistical errors only."
)
_TESTS: Final = {
    "chi2": "χ²",
    "ks": "Kolmogorov-Smirnov",
    "correlations": "correlations",
    "projection": "χ² of a pair",
    "classifier": "classifier",
}
#: Rows of a table of p-values for each kind of test.
_MAX_TESTS: Final = 5
_NAMES: Final = {
    "inputs": "the inputs",
    "observables": "the observables",
    "score": "the score",
    "flagged fraction": "flags",
    "identities": "recomputed inputs",
}


def noticed(detection: Mapping[str, Any], *, detector: bool) -> tuple[str, float] | None:
    """
    Say whether the standard checks would notice the attack.

    Parameters
    ----------
    detection : mapping
        Record of the checks.
    detector : bool
        Whether there is one, whose flags a validation compares.

    Returns
    -------
    (str, float) or None
        One sentence, and the probability; None where no standard check was made.  That no check would notice it is said only
        where the score, and what a detector flags, are among the checks.
    """
    strongest, combined = detection["strongest_standard"], detection.get("combined")
    if strongest is None:
        return None
    of, power = looked_at(detection), (combined or strongest)["power"]["value"]
    n_data = (combined or strongest)["n_data"]
    together = f"the {combined['n_checks']} standard checks of {of} together" if combined else f"a usual check of {of}"
    lacking = [
        name
        for kind, name in (("score", "the score"), ("flagged fraction", "what the detector flags"))
        if kind not in {row.get("comparison") for row in detection["rows"]} and (kind == "score" or detector)
    ]
    if power > NOTICED:
        return f"With {n_data:.0f} data events {together} would notice it with a probability of {power:.0%}.", power
    if lacking:
        told = f"With {n_data:.0f} data events {together} would notice it with a probability of {power:.0%}"
        return f"{told}; {' and '.join(lacking)} are not among these checks, and may reveal it.", power
    none = f"With {n_data:.0f} data events {together} would notice it with a probability of no more than {power:.0%}"
    return f"{none}, so that the validation does not exclude it either.", power


def detection_remark(summary: Summary) -> str:
    """Whether the attack passes the standard checks of an analysis."""
    detection = summary.detection
    if detection is None or detection["strongest_standard"] is None:
        return ""
    row, combined = detection["strongest_standard"], detection.get("combined")
    of, power = looked_at(detection), (combined or row)["power"]["value"]
    strongest = f"{row['title']}, {row['region']}, {row['n_data']:.0f} data events"
    which = f"the strongest by itself: {row['power']['value']:.2f}, {strongest}" if combined else strongest
    checks = f"All standard checks of {of} together notice" if combined else f"A standard check of {of} notices"
    remark = f"{checks} this attack with probability {power:.2f} ({which})."
    if power > NOTICED:
        return f"{remark} It is stronger than what the validation misses: tighten its caps before drawing conclusions from its size."
    any_check = detection["rows"][0]
    if any_check["power"]["value"] > NOTICED:
        remark += (
            f" A check that analyses rarely make does, with probability {any_check['power']['value']:.2f} "
            f"({any_check['title']}, {any_check['region']}): making it would confirm or exclude this deviation."
        )
    return remark


def looked_at(detection: Mapping[str, Any]) -> str:
    """Name what the checks look at."""
    kinds = {row.get("comparison", "inputs") for row in detection["rows"]}
    found = [name for kind, name in _NAMES.items() if kind in kinds or (kind == "inputs" and "correlations" in kinds)]
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def detection_section(detection: Mapping[str, Any]) -> Section:
    """Tabulate the checks, all standard ones together first."""
    rows: list[tuple[str, ...]] = []
    kinds: set[tuple[str, str]] = set()
    for row in detection["rows"]:
        kind = (row["check"], row["region"])
        if len(rows) < _MAX_CHECKS or kind not in kinds:
            power = measured(row["power"]) if row["n_toys"] else number(row["power"]["value"])
            rows.append((row["title"], row["region"], power, f"{row['n_data']:.0f}"))
        kinds.add(kind)
    left_out, combined = len(detection["rows"]) - len(rows), detection.get("combined")
    of = looked_at(detection)
    note = _DETECTION_NOTE.format(level=detection["level"], of=of) + ("" if "score" in of else _WITHOUT_SCORE)
    if combined:
        title = f"all {combined['n_checks']} standard checks together"
        rows = [(title, "all", measured(combined["power"]), f"{combined['n_data']:.0f}"), *rows]
        note += _COMBINED_NOTE.format(level=detection["level"], alone=combined["uncorrected"])
    note = " ".join([note, *detection.get("notes", ())]) + (
        f" {left_out} more are in summary.json." if left_out else ""
    )
    return Section(
        "Which check would have noticed it", ("check", "region", "detection power", "data events"), rows, note
    )


def observed_section(observed: Mapping[str, Any]) -> Section:
    """Tabulate the p-values of data, the smallest of each test."""
    checks = sorted(observed["checks"], key=lambda row: 2.0 if row["p_nominal"] is None else row["p_nominal"])
    shown = [row for kind in _TESTS for row in [one for one in checks if one["check"] == kind][:_MAX_TESTS]]
    rows = [
        (
            _TESTS[row["check"]],
            row["region"],
            row["quantity"],
            _p_value(row["p_nominal"]),
            _p_value(row["p_attacked"]),
            f"{row['n_data']:.0f}",
        )
        for row in shown
    ]
    left_out = len(checks) - len(rows)
    header = ("test", "region", "of", "p, nominal", "p, attacked", "data events")
    note = _OBSERVED_NOTE + (f" {left_out} more are in summary.json." if left_out else "")
    return Section("Data and simulation", header, rows, note)


def _p_value(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"
