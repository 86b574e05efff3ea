# SPDX-License-Identifier: BSD-3-Clause
"""Read a configuration file, and point to the line and column of whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hepfool.workflow.configuration import WorkflowConfiguration

__all__ = ["read_configuration"]

_UNKNOWN = "there is no such setting; see hepfool workflow --schema"
_UNKNOWN_TYPES = ("extra_forbidden", "unexpected_keyword_argument")


def read_configuration(path: str | Path) -> WorkflowConfiguration:
    """
    Read a YAML file.

    Parameters
    ----------
    path : str or Path
        Configuration; paths in it are relative to its folder.

    Returns
    -------
    WorkflowConfiguration
        Checked, with the defaults.

    Raises
    ------
    ValueError
        If something is wrong; the message gives line and column of every error.
    """
    path = Path(path)
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        msg = f"{path} is no text: {error.reason} at byte {error.start}"
        raise ValueError(msg) from error
    except yaml.MarkedYAMLError as error:
        msg = f"{path}, {_position(error.problem_mark or error.context_mark)}: {error.problem or error.context}"
        raise ValueError(msg) from error
    except yaml.YAMLError as error:
        msg = f"{path} is no YAML: {error}"
        raise ValueError(msg) from error
    if not isinstance(node, yaml.MappingNode):
        msg = f"{path} holds no configuration; write at least output, events and network"
        raise ValueError(msg)  # noqa: TRY004 - the content of a file, not an argument
    repeated = next(_repeated(node), None)
    if repeated is not None:
        msg = f"{path}, {_position(repeated.start_mark)}: {repeated.value!r} stands here for the second time"
        raise ValueError(msg)
    try:
        content = yaml.constructor.SafeConstructor().construct_document(node)
        return WorkflowConfiguration.model_validate(content, context={"folder": path.parent})
    except ValidationError as error:
        problems = [
            _problem(node, entry["loc"], _UNKNOWN if entry["type"] in _UNKNOWN_TYPES else entry["msg"])
            for entry in error.errors()
        ]
        msg = f"{path}, {'; '.join(problems)}"
        raise ValueError(msg) from error
    except yaml.constructor.ConstructorError as error:
        msg = f"{path}, {_position(error.problem_mark)}: {error.problem}"
        raise ValueError(msg) from error


def _repeated(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """Find keys that the parser would silently replace by later ones."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield key
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
            yield from _repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated(item)


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
    return f"{_position(mark)}: {where + ': ' if where else ''}{message}"


def _child(node: yaml.Node, part: int | str) -> tuple[yaml.Mark, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark, node.value[part]
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark, value) for key, value in node.value if key.value == str(part)), None)
    return None


def _position(mark: Any) -> str:
    return "somewhere" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
