# SPDX-License-Identifier: BSD-3-Clause
"""
What the command line says: options that follow from the plan of a study, and their names in messages.

The package names arguments as Python does; :func:`in_options` translates whatever text it has by the names of the
command that runs.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import click

from hepfool._printable import printable

if TYPE_CHECKING:  # loaded late, so that --help stays quick
    from hepfool.study._plan import Study


#: Arguments of the package that an option of another name sets.
_ALIASES: Final = {"output": "output_type", "detection_power": "at_power"}


def in_options(text: str) -> str:
    """Translate a message of the package for the user of a command."""
    line = printable(" ".join(text.split()))
    context = click.get_current_context(silent=True)
    if context is None:
        return line
    names = {p.name: p.opts[-1] for p in context.command.get_params(context) if isinstance(p, click.Option) and p.name}
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


#: Options of ``hepfool attack`` by what they set in a plan; type, default and, unless stated, text are those of the field.
_OPTIONS: Final[dict[str, tuple[str, str | None]]] = {
    "label": ("events.label", None),
    "weight": ("events.weight", None),
    "tree": ("events.tree", None),
    "missing-value": ("events.missing_value", None),
    "allow-missing": ("events.allow_missing", None),
    "max-events": ("events.max_events", None),
    "model": ("network.file", None),
    "network": ("network.network", None),
    "output-type": ("network.output", None),
    "unsafe-pickle": ("network.unsafe_pickle", None),
    "max-js-distance": ("attack.validation.inputs.max_js_distance", "Cap on each marginal's Jensen-Shannon distance."),
    "n-bins": ("attack.validation.inputs.n_bins", None),
    "n-quantiles": ("attack.validation.inputs.n_quantiles", None),
    "max-score-distance": (
        "attack.validation.score.max_js_distance",
        "Cap on the Jensen-Shannon distance of the network's score.",
    ),
    "max-correlation-shift": (
        "attack.validation.correlations.max_shift",
        "Cap on the relative change of the correlations.",
    ),
    "correlations": ("attack.validation.correlations.kind", "Which correlations of the inputs are kept."),
    "separately": ("attack.validation.separately", None),
    "at-power": (
        "attack.validation.at_power.detection_power",
        "Set every cap where its check rejects with this probability, with --n-data data events.",
    ),
    "n-data": ("checks.n_data", "Data events of the validation: adds which check would catch the attack."),
    "target": ("target", None),
    "investigated": ("investigated", None),
    "experiment": ("report.experiment", None),
    "label-text": ("report.label", None),
    "work": (
        "work",
        "Keep finished steps and iterations in this folder; beside the report, and not afterwards, by default.",
    ),
    "seed": ("seed", None),
}
_REQUIRED: Final = ("label", "model")
#: Fields of the attack that its validation states.
_OF_VALIDATION: Final = ("validation", "n_bins", "max_js_distance", "max_correlation_shift", "dependence")
_KINDS: Final[dict[str, Any]] = {"integer": int, "number": float, "string": str}


class PlanCommand(click.Command):
    """Command with an option for each setting of a plan that a line can state; they are made when they are needed."""

    @cached_property
    def paths(self) -> dict[str, str]:
        """By Python's name of an option, what it sets."""
        attack = {name: f"attack.{name}" for name in self._of_attack}
        return {name.replace("-", "_"): path for name, (path, _) in _OPTIONS.items()} | attack

    @cached_property
    def _schema(self) -> dict[str, Any]:
        from hepfool.study._plan import Study  # noqa: PLC0415 - loaded late, so that other commands stay quick

        return Study.json_schema()

    @cached_property
    def _of_attack(self) -> list[str]:
        fields = self._schema["$defs"]["CONSERVAttackConfiguration"]["properties"]
        return [name for name in fields if name not in _OF_VALIDATION]

    @cached_property
    def _generated(self) -> list[click.Parameter]:
        texts = {name.replace("-", "_"): text for name, (_, text) in _OPTIONS.items()}
        fields = {name: _field(self._schema, path) for name, path in self.paths.items()}
        return [_option(name, field, texts.get(name) or self._text(field)) for name, field in fields.items()]

    def _text(self, field: Mapping[str, Any]) -> str:
        """First sentence about a field, with the names of options and without those of the paper."""
        text = (field.get("description", "") + " ").partition(". ")[0].strip().rstrip(".") + "."
        text = re.sub(r'(\w+)="(\w+)"', r"--\1 \2", re.sub(r" \[\w+\]", "", text))
        known = "|".join(name for name in self.paths if "_" in name)
        return re.sub(rf"\b({known})\b", lambda found: "--" + found[1].replace("_", "-"), text)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Options of its own, and those of the plan."""
        own = super().get_params(ctx)
        return [*own[:-1], *self._generated, own[-1]]


def _field(schema: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Look up a field in the schema of a plan: its kind, default and description."""
    found: dict[str, Any] = dict(schema)
    for name in path.split("."):
        node = found["properties"][name]
        kinds = [one for one in node.get("anyOf", [node]) if one.get("type") != "null"]
        found = {**schema["$defs"][kinds[0]["$ref"].rpartition("/")[2]]} if "$ref" in kinds[0] else {**kinds[0]}
        if sum("type" in kind for kind in kinds) > 1:
            found = {"type": "string"}
        found |= {key: node[key] for key in ("default", "description") if key in node}
    return found


def _option(name: str, field: Mapping[str, Any], text: str) -> click.Option:
    default, flag = field.get("default"), f"--{name.replace('_', '-')}"
    shown = "" if default is None else f"  [default: {default}]"
    if field["type"] == "boolean":
        both = flag if default is False else f"{flag}/--no-{flag[2:]}"
        return click.Option([both], is_flag=True, default=None, help=text)
    kind = click.Choice(field["enum"]) if "enum" in field else _KINDS[field["type"]]
    if kind is int and "minimum" in field:
        kind = click.IntRange(min=field["minimum"])
    if name == "correlations":
        kind = click.Choice([*field["enum"], "none"])
    return click.Option([flag], type=kind, required=name in _REQUIRED, help=text + shown)


def plan_of(command: PlanCommand, options: Mapping[str, Any], *, no_score: bool) -> dict[str, Any]:
    """Put the options of a command where they belong in a plan."""
    plan: dict[str, Any] = {"attack": {"validation": {}}}
    for name, path in command.paths.items():
        if options[name] is not None:
            *above, last = path.split(".")
            place = plan
            for part in above:
                place = place.setdefault(part, {})
            place[last] = options[name]
    kept = plan["attack"]["validation"]
    if no_score:
        _refuse_beside("max_score_distance", options, "--no-score")
        kept["score"] = None
    if options["correlations"] == "none":
        _refuse_beside("max_correlation_shift", options, "--correlations none")
        kept["correlations"] = None
    if "at_power" in kept:
        if "checks" not in plan:
            msg = "--at-power asks how easily a change is noticed; add --n-data"
            raise ValueError(msg)
        kept["at_power"]["n_data"] = plan["checks"]["n_data"]
    return plan


def _refuse_beside(name: str, options: Mapping[str, Any], other: str) -> None:
    if options[name] is not None:
        msg = f"--{name.replace('_', '-')} {options[name]} has no effect with {other}; leave one of them out"
        raise ValueError(msg)


def remark_caps(study: Study, options: Mapping[str, Any]) -> None:
    """Warn of an attack that nothing constrains, and of parts that there are not."""
    attack, kept = study.attack, study.attack.kept
    marginals = [one.max_js_distance for one in (kept.inputs, kept.score) if one is not None]
    shifts = [] if kept.correlations is None else [kept.correlations.max_shift]
    caps = [*marginals, *shifts, attack.max_js_change, attack.max_correlation_change]
    remarks = []
    if all(cap == math.inf for cap in caps):
        remarks.append(
            "no cap constrains this attack, so that its size says nothing of what a validation would miss; set a cap"
        )
    if options["separately"] == "regions" and not options["region"]:
        remarks.append(
            "--separately regions changes nothing: the files hold no regions, so that all events are compared together"
        )
    for remark in remarks:
        warnings.warn(remark, UserWarning, stacklevel=2)
