# SPDX-License-Identifier: BSD-3-Clause
"""
How a configuration file states an attack and what it has to keep.

Without ``validation`` an attack keeps inputs, score and correlations in each region, as everywhere, with those caps and bins
that stand beside it (``max_js_distance``, ``n_bins``, ``max_correlation_shift``, ``dependence``).  ``validation: null`` is the
published attack: all regions together, without the score.

The models follow the records of the package field by field.  What is a function in Python (observables, and a detector whose
flags are kept) has no place in a file.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, cast, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    create_model,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema, to_jsonable_python

from hepfool.attacks.conserv import CONSERVAttack
from hepfool.validation import AtPower, Correlations, Marginals, Validation

#: Heading of the fields in a docstring.
ATTRIBUTES: Final = "Attributes\n----------\n"
_AT_POWER: Final = "Set every cap where its check rejects with a stated probability."


def stated(options: dict[str, Any]) -> dict[str, Any]:
    """
    Take the options that state a validation in one line each, as a command line and the simple form of a file do.

    Parameters
    ----------
    options : dict
        ``max_js_distance``, ``n_bins`` and ``n_quantiles`` of the inputs, ``max_score_distance``, ``max_correlation_shift`` and
        ``correlations`` ("pearson", "distance" or "none"), and ``separately``; these are taken out of it.

    Returns
    -------
    dict
        Fields of a :class:`Validation`; defaults where an option is not given.

    Raises
    ------
    ValueError
        If the correlations are left out and limited.

    Examples
    --------
    >>> Validation(**stated({"max_js_distance": 0.02})).inputs.max_js_distance
    0.02
    """
    default = Validation()
    found: dict[str, Any] = {}
    kind = options.pop("correlations", "pearson")
    shift = {"max_shift": options.pop("max_correlation_shift")} if "max_correlation_shift" in options else {}
    if kind == "none" and shift:
        msg = f"max_correlation_shift={shift['max_shift']} has no effect with correlations=none; leave one of them out"
        raise ValueError(msg)
    found["correlations"] = None if kind == "none" else Correlations(kind=kind, **shift)
    inputs = {name: options.pop(name) for name in ("max_js_distance", "n_bins", "n_quantiles") if name in options}
    found["inputs"] = dataclasses.replace(default.inputs or Marginals(), **inputs)
    if "max_score_distance" in options:
        score = default.score or Marginals()
        found["score"] = dataclasses.replace(score, max_js_distance=options.pop("max_score_distance"))
    if "separately" in options:
        found["separately"] = options.pop("separately")
    return found


def _model(
    name: str, defaults: Any, check: Callable[[BaseModel], object], *, without: tuple[str, ...] = (), **more: Any
) -> type[BaseModel]:
    """Make a model that a file can hold of a record; ``more`` are further fields, or other types of its own."""
    hints = get_type_hints(type(defaults))
    texts = {"at_power": _AT_POWER, **described(inspect.getdoc(type(defaults)) or "")}
    found: dict[str, Any] = {
        field.name: (
            hints[field.name],
            Field(default=_number(getattr(defaults, field.name)), description=texts.get(field.name)),
        )
        for field in dataclasses.fields(defaults)
        if field.name not in without
    }
    found |= {name: (kind, Field(default=value, description=texts.get(name))) for name, (kind, value) in more.items()}

    def checked(model: BaseModel) -> BaseModel:
        check(model)
        return model

    return create_model(
        f"{name}Configuration",
        __config__=ConfigDict(extra="forbid", frozen=True),
        __doc__=None,
        __validators__={"checked": cast("Any", model_validator(mode="after")(checked))},
        **found,
    )


def described(docstring: str) -> dict[str, str]:
    """
    Look up what a docstring says of each field of a record.

    Parameters
    ----------
    docstring : str
        With a section of attributes, or without.

    Returns
    -------
    dict of str to str
        Text by field, in one line and without markup.
    """
    names: list[str] = []
    found: dict[str, str] = {}
    for line in docstring.partition(ATTRIBUTES)[2].splitlines():
        if line.startswith("--"):
            break
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
        for name in names if line.startswith(" ") else ():
            found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return {name: re.sub(r":\w+:`~?([^`]*)`|``", r"\1", text) for name, text in found.items()}


def _number(default: Any) -> Any:
    """Take a default for what it is worth: a schema knows no numbers of other types."""
    return int(default) if isinstance(default, int) and not isinstance(default, bool) else default


def _given(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.model_fields_set}


def _changed(default: Any, model: BaseModel | None) -> Any:
    """Change what a file says in a record."""
    return None if model is None else dataclasses.replace(default, **_given(model))


def _validation(model: BaseModel) -> Validation:
    given = _given(model)
    power: AtPower | None = given.pop("at_power", None)
    if power is not None:
        for name, cap in (("inputs", "max_js_distance"), ("score", "max_js_distance"), ("correlations", "max_shift")):
            if given.get(name) is not None and cap in given[name].model_fields_set:
                msg = f"{name}: {cap} has no effect beside at_power, which sets every cap; leave one of them out"
                raise ValueError(msg)
    for name, default in _COMPARED.items():
        if name in given:
            given[name] = _changed(default, given[name])
    if power is None:
        return Validation(**given)
    return Validation.at_power(power.detection_power, n_data=power.n_data, level=power.level, ks=power.ks, **given)


def _attack(model: BaseModel) -> CONSERVAttack:
    given = _given(model)
    if "validation" not in given:
        given |= {"correlations": given.pop("dependence", "pearson")}
        given["validation"] = Validation(**stated(given))
    elif given["validation"] is not None:
        given["validation"] = _validation(given["validation"])
    return CONSERVAttack(**given)


_COMPARED = {
    "inputs": Validation().inputs or Marginals(),
    "score": Validation().score or Marginals(),
    "correlations": Validation().correlations or Correlations(),
}
_MODELS = {
    name: _model(name.capitalize(), default, partial(_changed, default), without=("of",))
    for name, default in _COMPARED.items()
}
_VALIDATION = _model(
    "Validation",
    Validation(),
    _validation,
    without=("observables", "flagged"),
    at_power=(AtPower | None, None),
    **{name: (model | None, model()) for name, model in _MODELS.items()},
)
_ATTACK = _model("CONSERVAttack", CONSERVAttack(), _attack, validation=(_VALIDATION | None, None))


def _read(given: Any, handler: core_schema.ValidatorFunctionWrapHandler) -> CONSERVAttack:
    return given if isinstance(given, CONSERVAttack) else _attack(handler(given))


def _plain(attack: CONSERVAttack) -> Any:
    return to_jsonable_python(attack, fallback=repr, inf_nan_mode="constants")


def _schema(_source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    plain = core_schema.plain_serializer_function_ser_schema(_plain)
    return core_schema.no_info_wrap_validator_function(_read, handler.generate_schema(_ATTACK), serialization=plain)


#: An attack in a file: the fields of ``CONSERVAttack``, and of ``Validation`` under ``validation``.
AttackSettings = Annotated[CONSERVAttack, GetPydanticSchema(_schema)]
