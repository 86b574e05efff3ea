# SPDX-License-Identifier: BSD-3-Clause
"""
What the command line says: options by their names there, and those that would change nothing refused.

The package names arguments as Python does; :func:`in_options` translates whatever text it has by the names of the
command that runs.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from hepfool.printable import printable

if TYPE_CHECKING:  # loaded late, so that --help stays quick
    from hepfool.events import EventTable

__all__ = ["check_effects", "in_options", "remark_effects"]

#: Arguments of the package that an option of another name sets.
_ALIASES: Final = {"output": "output_type", "detection_power": "at_power"}
_ROOT: Final = ".root"


def in_options(text: str) -> str:
    """
    Translate a message of the package for the user of a command.

    Parameters
    ----------
    text : str
        Message with names of Python arguments.

    Returns
    -------
    str
        On one line, with the names of the running command's options.
    """
    line = printable(" ".join(text.split()))
    context = click.get_current_context(silent=True)
    if context is None:
        return line
    names = {p.name: p.opts[-1] for p in context.command.params if isinstance(p, click.Option) and p.name}
    names = {name: option for name, option in names.items() if name not in _ALIASES}
    names |= {name: names[alias] for name, alias in _ALIASES.items() if alias in names}
    if not names:
        return line
    known = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    # name=value is an option wherever it stands; a name alone if it is no word of English, or what the sentence is about.
    line = re.sub(rf"(?<![\w.-])({known})=True\b", lambda found: names[found[1]], line)
    value = r"(\"[^\"]*\"|'[^']*'|[\w.+-]*[\w])"
    line = re.sub(rf"(?<![\w.-])({known})={value}", lambda f: f"{names[f[1]]} {f[2].strip(chr(34) + chr(39))}", line)
    line = re.sub(rf"^({known})(?= (?:must|goes|has|needs|is) )", lambda found: names[found[1]], line)
    special = "|".join(name for name in names if "_" in name)
    return re.sub(rf"(?<![\w.-])({special})(?![\w.(])", lambda found: names[found[1]], line) if special else line


def check_effects(options: Mapping[str, Any], files: Iterable[str]) -> None:
    """
    Refuse options of ``hepfool attack`` that would change nothing.

    Parameters
    ----------
    options : mapping
        Values by the option's name in Python.
    files : iterable of str
        Files of events.

    Raises
    ------
    ValueError
        With the option and the reason.
    """
    context = click.get_current_context()
    given = {name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if "tree" in given and not any(str(file).lower().endswith(_ROOT) for file in files):
        msg = f"--tree {options['tree']} has no effect: none of the files is a ROOT file; leave --tree out"
        raise ValueError(msg)
    if options["frontier"] and options["n_data"] is None:
        msg = "--frontier asks how easily each attack is noticed; add --n-data"
        raise ValueError(msg)
    _check_validation(options, given)
    score = not options["no_score"] and options["max_score_distance"] != math.inf
    shift = options["correlations"] != "none" and options["max_correlation_shift"] != math.inf
    others = options["max_js_distance"] != math.inf, (options["max_correlation_change"] or math.inf) != math.inf
    if not (score or shift or any(others) or options["at_power"] is not None):
        msg = "no cap constrains this attack, so that its size says nothing of what a validation would miss; set a cap"
        warnings.warn(msg, UserWarning, stacklevel=2)


def _check_validation(options: Mapping[str, Any], given: set[str]) -> None:
    if options["max_score_distance"] is not None and options["no_score"]:
        msg = "--max-score-distance has no effect with --no-score; leave one of them out"
        raise ValueError(msg)
    if options["at_power"] is None:
        return
    if options["n_data"] is None:
        msg = "--at-power asks how easily a change is noticed; add --n-data"
        raise ValueError(msg)
    for name in ("max_js_distance", "max_correlation_shift", "max_score_distance"):
        if name in given:
            msg = f"--{name.replace('_', '-')} has no effect beside --at-power, which sets every cap; leave one of them out"
            raise ValueError(msg)


def remark_effects(options: Mapping[str, Any], table: EventTable, classes: Mapping[str, int] | None) -> None:
    """
    Warn of options of ``hepfool attack`` that the events do not need.

    Parameters
    ----------
    options : mapping
        Values by the option's name in Python.
    table : EventTable
        All events.
    classes : mapping of str to int, optional
        Class of each value of the label column.

    Warns
    -----
    UserWarning
        One per option.
    """
    wanted, sentinel = options["max_events"], options["missing_value"]
    separately = options["separately"]
    unused = [name for name, number in (classes or {}).items() if number not in table.labels]
    remarks = []
    if wanted is not None and wanted > table.n_events:
        remarks.append(f"--max-events {wanted} changes nothing: there are {table.n_events} events")
    if sentinel is not None and not table.missing.any():
        remarks.append(f"--missing-value {sentinel:g} changes nothing: no feature holds it")
    if separately == "regions" and not table.regions:
        remarks.append(
            "--separately regions changes nothing: the files hold no regions, so that all events are compared together"
        )
    if unused:
        remarks.append(f"--classes: no event has the class of {', '.join(unused)}")
    for remark in remarks:
        warnings.warn(remark, UserWarning, stacklevel=2)
