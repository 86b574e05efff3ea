# SPDX-License-Identifier: BSD-3-Clause
"""
YAML as plain values, or one sentence with line and column.

Numbers and words are those of YAML 1.2: ``1e3`` is a number, ``no`` and ``2026-01-31`` are text.  What readers of YAML understand
differently (``010``) is refused, and so is whatever no configuration needs: other types, several documents, values that
hold themselves or multiply without end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import yaml

#: Nobody writes longer configurations; the parser takes seconds for a megabyte.
_LARGEST: Final = 2**20
_MOST_VALUES: Final = 100_000
_TAG: Final = "tag:yaml.org,2002:"
_KNOWN: Final = {f"{_TAG}{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge")}
_AMBIGUOUS: Final = re.compile(r"[-+]?0[0-9_]+|[-+]?0[oO][0-7_]+")


class _Loader(yaml.SafeLoader):
    """Resolves plain words by the core schema of YAML 1.2, and digits with underscores as numbers."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 - as the parent declares it


for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F_]+|[-+]?0[oO][0-7_]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(f"^(?:{_pattern})$"), list(_first))


def compose(content: bytes) -> yaml.MappingNode:
    """Parse a configuration without making values of it."""
    if len(content) > _LARGEST:
        msg = f"is not a configuration: it holds {len(content)} bytes, more than {_LARGEST}"
        raise ValueError(msg)
    try:
        node = yaml.compose(_decoded(content), Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        msg = f"{position(error.problem_mark or error.context_mark)}: {_said(error)}"
        raise ValueError(msg) from error
    except yaml.reader.ReaderError as error:
        before = _decoded(content)[: error.position]
        msg = f"{_place(before)}: the character {chr(int(error.character))!r} is not allowed here; remove it"
        raise ValueError(msg) from error
    except RecursionError as error:
        msg = "line 1, column 1: lists or mappings are nested too deeply"
        raise ValueError(msg) from error
    if not isinstance(node, yaml.MappingNode):
        msg = "holds no configuration; write at least output, events and network"
        raise ValueError(msg)  # noqa: TRY004 - the content of a file, not an argument
    _check_size(node)
    for problem in _problems(node, set()):
        raise ValueError(problem)
    return node


def plain(node: yaml.MappingNode) -> dict[str, Any]:
    """Make values of a checked configuration."""
    try:
        content: dict[str, Any] = _Constructor().construct_document(node)
    except yaml.constructor.ConstructorError as error:
        msg = f"{position(error.problem_mark)}: {error.problem}"
        raise ValueError(msg) from error
    return content


def position(mark: Any) -> str:
    """Say where something stands."""
    return "somewhere" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


def _whole(constructor: yaml.constructor.SafeConstructor, node: yaml.ScalarNode) -> int:
    text = str(constructor.construct_scalar(node))
    return int(text, 16) if text.lower().startswith("0x") else int(text)


def _real(constructor: yaml.constructor.SafeConstructor, node: yaml.ScalarNode) -> float:
    return float(str(constructor.construct_scalar(node)).lower().replace(".inf", "inf").replace(".nan", "nan"))


class _Constructor(yaml.constructor.SafeConstructor):
    """Makes numbers as Python does, which knows ``1e3`` and ``1_000``."""

    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        **yaml.constructor.SafeConstructor.yaml_constructors,
        f"{_TAG}int": _whole,
        f"{_TAG}float": _real,
    }


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{_place(content[: error.start].decode())}: this is no text ({error.reason}); save the file as UTF-8"
        raise ValueError(msg) from error


def _place(before: str) -> str:
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _said(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "no YAML"
    if "\\t" in problem:
        return "a tab cannot indent; use spaces"
    if "another document" in problem:
        return "a second document begins here; write one configuration per file"
    return problem


def _check_size(root: yaml.Node) -> None:
    """Count values as if every alias were written out, without doing it."""
    sizes: dict[int, float] = {}

    def size(node: yaml.Node) -> float:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) not in sizes:
            sizes[id(node)] = math.inf  # as long as it is not known: for whatever holds itself
            sizes[id(node)] = 1 + sum(size(child) for child in _children(node))
        if math.isinf(sizes[id(node)]):
            msg = f"{position(node.start_mark)}: an alias makes this hold itself; write the values out"
            raise ValueError(msg)
        if sizes[id(node)] > _MOST_VALUES:
            msg = f"{position(node.start_mark)}: aliases multiply this to more than {_MOST_VALUES} values; write out what is needed"
            raise ValueError(msg)
        return sizes[id(node)]

    size(root)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for item in node.value:
        yield from item if isinstance(item, tuple) else (item,)


def _problems(node: yaml.Node, seen: set[int]) -> Iterator[str]:
    """Name what would be misunderstood, in the order of the file."""
    if id(node) in seen:
        return
    seen.add(id(node))
    where = position(node.start_mark)
    if node.tag not in _KNOWN:
        yield f"{where}: could not determine a constructor for the tag {node.tag.replace(_TAG, '!!')}; write plain values"
    if isinstance(node, yaml.ScalarNode):
        yield from _scalar_problems(node, where)
        return
    keys: set[str] = set()
    for item in node.value:
        if isinstance(item, tuple):
            yield from _key_problems(item[0], keys)
            yield from _problems(item[1], seen)
        else:
            yield from _problems(item, seen)


def _key_problems(key: yaml.Node, keys: set[str]) -> Iterator[str]:
    where = position(key.start_mark)
    if not isinstance(key, yaml.ScalarNode):
        kind = "list" if isinstance(key, yaml.SequenceNode) else "mapping"
        yield f"{where}: a {kind} cannot be a key; write a name"
        return
    if key.value in keys and key.tag != f"{_TAG}merge":
        yield f"{where}: {key.value!r} stands here for the second time"
    keys.add(key.value)
    if key.tag != f"{_TAG}merge":
        key.tag = f"{_TAG}str"  # a name is text, whatever it looks like: a region may be called 2018


def _scalar_problems(node: yaml.ScalarNode, where: str) -> Iterator[str]:
    if node.tag == f"{_TAG}int" and _AMBIGUOUS.fullmatch(node.value):
        yield f"{where}: {node.value} is octal to some readers and decimal to others; write it without the leading 0, or in quotes"
        return
    try:
        _Constructor().construct_document(node)
    except (ArithmeticError, LookupError, ValueError, yaml.YAMLError) as error:
        kind = node.tag.replace(_TAG, "!!")
        yield f"{where}: {node.value[:40]!r} is no {kind} ({str(error).splitlines()[0]})"
