# SPDX-License-Identifier: BSD-3-Clause
"""Read a configuration file, and point to the line and column of whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hepfool.study._plan import Study
from hepfool.study._yaml_nodes import compose, plain, position

_UNKNOWN = "there is no such setting; see hepfool workflow --schema"
_UNKNOWN_TYPES = ("extra_forbidden", "unexpected_keyword_argument")


def read_study(path: str | Path) -> Study:
    """Read a YAML file, with the line and column of every error in the message."""
    path = Path(path)
    try:
        node = compose(path.read_bytes())
        content = plain(node)
    except ValueError as error:
        told = str(error)
        msg = f"{path}{', ' if told.startswith('line') else ' '}{told}"
        raise ValueError(msg) from error
    try:
        found = Study.model_validate(content, context={"folder": path.parent})
    except ValidationError as error:
        problems = [
            _problem(node, entry["loc"], _UNKNOWN if entry["type"] in _UNKNOWN_TYPES else entry["msg"])
            for entry in error.errors()
        ]
        msg = f"{path}, {'; '.join(problems)}"
        raise ValueError(msg) from error
    for location in _mistaken(content, found.model_dump(), ()):
        msg = f"{path}, {_problem(node, location, 'true and false are not numbers here')}"
        raise ValueError(msg)
    return found


def _mistaken(given: Any, read: Any, location: tuple[int | str, ...]) -> Iterator[tuple[int | str, ...]]:
    """Find true and false that became numbers."""
    if isinstance(given, bool) and isinstance(read, int | float) and not isinstance(read, bool):
        yield location
    elif isinstance(given, dict) and isinstance(read, dict):
        for name, value in given.items():
            yield from _mistaken(value, read.get(name), (*location, name))
    elif isinstance(given, list) and isinstance(read, list | tuple):
        for k, (value, taken) in enumerate(zip(given, read, strict=False)):
            yield from _mistaken(value, taken, (*location, k))


def _problem(root: yaml.Node, location: Sequence[int | str], message: str) -> str:
    message = message.removeprefix("Value error, ")
    # Records check themselves as a whole, and begin their messages with the name of a field.
    first = message.replace(":", " ").split(" ", 1)[0]
    mark = root.start_mark
    node: yaml.Node | None = root
    for part in (*location, first):
        found = None if node is None else _child(node, part)
        if found is None:
            break
        mark, node = found
    where = ".".join(map(str, location))
    return f"{position(mark)}: {where + ': ' if where else ''}{message}"


def _child(node: yaml.Node, part: int | str) -> tuple[yaml.Mark, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark, node.value[part]
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark, value) for key, value in node.value if key.value == str(part)), None)
    return None
