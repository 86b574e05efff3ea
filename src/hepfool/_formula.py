# SPDX-License-Identifier: BSD-3-Clause
"""
Arithmetic over columns, as files and command lines state it: ``sqrt(2 * pt * met * (1 - cos(dphi)))``.

A formula is parsed, never executed: it may hold numbers, ``pi``, names of columns, ``+ - * / **`` and the functions of
``FUNCTIONS``; anything else is refused.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial, reduce
from typing import Any, Final

import numpy as np

from hepfool._printable import printable
from hepfool.typing import FloatArray

_ONE: Final = ("abs", "sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arctan")
_TWO: Final = ("arctan2", "hypot", "filled")
#: Functions of a formula; angles are in radians, ``min`` and ``max`` take any number of values, and ``filled(x, y)`` is y where x is
#: missing.
FUNCTIONS: Final = (*_ONE, *_TWO, "min", "max")
_OPERATORS: Final[Mapping[type, Callable[..., Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_OfColumns = Callable[[Mapping[str, FloatArray]], Any]
_LONGEST: Final = 1000
#: Squares of larger numbers are not finite.
_LARGEST: Final = 1e150


@dataclass(frozen=True, slots=True)
class Formula:
    """
    A function of columns, made from its text.

    Examples
    --------
    >>> ratio = Formula("max(tau_pt, 20) / lepton_pt")
    >>> ratio.inputs, ratio(np.array([10.0, 60.0]), np.array([40.0, 30.0])).tolist()
    (('tau_pt', 'lepton_pt'), [0.5, 2.0])
    """

    text: str
    inputs: tuple[str, ...] = field(init=False)  # columns that it takes, in the order in which they first stand in it

    def __post_init__(self) -> None:
        """Parse once, so that a wrong formula is refused where it stands."""
        names: dict[str, None] = {}
        try:
            _check(self.text, _parsed(self.text), names)
        except RecursionError:
            msg = f"formula {self.text!r} is nested too deeply; split it"
            raise ValueError(msg) from None
        if not names:
            msg = f"formula {self.text!r} takes no column; name at least one"
            raise ValueError(msg)
        object.__setattr__(self, "inputs", tuple(names))

    @property
    def uses_pi(self) -> bool:
        """Whether the number ``pi`` stands in it, which a column of that name could be taken for."""
        return any(isinstance(node, ast.Name) and node.id == "pi" for node in ast.walk(_parsed(self.text)))

    def __call__(self, *columns: FloatArray) -> FloatArray:
        """Compute the column."""
        given = dict(zip(self.inputs, (np.asarray(column, dtype=np.float64) for column in columns), strict=True))
        with np.errstate(all="ignore"):
            return np.asarray(_function(self.text)(given))

    def over(self, columns: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
        """Compute with other things than arrays, which have arithmetic and functions of their own; KeyError where one is lacking."""
        return _computed(_parsed(self.text), columns, functions)

    def complete(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Compute the column, and refuse a result that is not a number where every input is one."""
        inputs = [columns[name] for name in self.inputs]
        found = self(*inputs)
        wrong = ~np.isfinite(found) & np.isfinite(inputs).all(axis=0)
        if wrong.any():
            event = int(np.argmax(wrong))
            values = ", ".join(f"{name} {column[event]:g}" for name, column in zip(self.inputs, inputs, strict=True))
            msg = f"formula {self.text!r} gives {found[event]} in {int(wrong.sum())} events, first at event {event} ({values}); protect it, for example with max(…, 0)"
            raise ValueError(msg)
        return found


def _parsed(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        msg = f"formula {printable(text[:40])!r}… has {len(text)} characters, more than {_LONGEST}; split it"
        raise ValueError(msg)
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        msg = f"formula {printable(text)!r} cannot be read ({reason}); write for example tau_pt / lepton_pt"
        raise ValueError(msg) from None


def _check(text: str, node: ast.expr, names: dict[str, None]) -> None:
    """Refuse what a formula may not hold, and collect the names of columns."""
    match node:
        case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
            if not abs(value) <= _LARGEST:
                msg = f"formula {text!r}: {value:g} is too large a number; use one up to {_LARGEST:g}"
                raise ValueError(msg)
        case ast.Name(id="pi"):
            return
        case ast.Name() | ast.Attribute():
            names[_column(text, node)] = None
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(text, left, names)
            _check(text, right, names)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            _check(text, operand, names)
        case ast.Call(func=ast.Name(id=name), args=given, keywords=[]):
            _check_call(text, name, len(given))
            for argument in given:
                _check(text, argument, names)
        case _:
            msg = f"formula {text!r}: {ast.unparse(node)!r} is not arithmetic over columns; use + - * / **, numbers, columns, {', '.join(FUNCTIONS)}"
            raise ValueError(msg)


def _check_call(text: str, name: str, n_given: int) -> None:
    if name not in FUNCTIONS:
        msg = f"formula {text!r}: there is no function {name!r}; use {', '.join(FUNCTIONS)}"
        raise ValueError(msg)
    wanted = 1 if name in _ONE else 2
    if n_given < wanted or (n_given > wanted and name not in {"min", "max"}):
        msg = f"formula {text!r}: {name} takes {wanted} value{'s' * (wanted > 1)}, got {n_given}"
        raise ValueError(msg)


def _column(text: str, node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_column(text, value)}.{name}"
    msg = f"formula {text!r}: {ast.unparse(node)!r} is not a column"
    raise ValueError(msg)


@lru_cache(maxsize=256)
def _function(text: str) -> _OfColumns:
    """Take a formula apart once: attacks compute the same ones many thousand times."""
    return _taken_apart(_parsed(text))


def _taken_apart(node: ast.expr) -> _OfColumns:
    match node:
        case ast.Constant(value=int() | float() as number):
            return partial(_constant, np.float64(number))
        case ast.Name(id="pi"):
            return partial(_constant, np.float64(math.pi))
        case ast.BinOp(left=left, op=op, right=right):
            return partial(_applied, _OPERATORS[type(op)], (_taken_apart(left), _taken_apart(right)))
        case ast.UnaryOp(op=op, operand=operand):
            return partial(_applied, _OPERATORS[type(op)], (_taken_apart(operand),))
        case ast.Call(func=ast.Name(id=name), args=given):
            own: dict[str, Callable[..., Any]]
            own = {"min": partial(_reduced, np.minimum), "max": partial(_reduced, np.maximum), "filled": _filled}
            return partial(_applied, own.get(name) or getattr(np, name), tuple(map(_taken_apart, given)))
    return operator.itemgetter(_column("", node))


def _computed(node: ast.expr, columns: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id="pi"):
            return math.pi
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_computed(left, columns, functions), _computed(right, columns, functions))
        case ast.UnaryOp(op=op, operand=operand):
            return _OPERATORS[type(op)](_computed(operand, columns, functions))
        case ast.Call(func=ast.Name(id=name), args=given):
            return functions[name](*[_computed(one, columns, functions) for one in given])
    return columns[_column("", node)]


def _constant(number: Any, _: Mapping[str, FloatArray]) -> Any:
    return number


def _applied(apply: Callable[..., Any], parts: tuple[_OfColumns, ...], columns: Mapping[str, FloatArray]) -> Any:
    return apply(*[part(columns) for part in parts])


def _filled(values: Any, instead: Any) -> Any:
    return np.where(np.isnan(values), instead, values)


def _reduced(apply: Callable[[Any, Any], Any], *values: Any) -> Any:
    return reduce(apply, values)
