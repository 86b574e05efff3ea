# SPDX-License-Identifier: BSD-3-Clause
"""Digests of what a result depends on: configuration, code, events and files."""

from __future__ import annotations

import functools
import hashlib
import inspect
import pickle
import sys
import types
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hepfool.events import EventTable
from hepfool.io.versions import code_version

__all__ = ["file_digest", "identity", "table_digest"]


def identity(value: Any) -> str:
    """
    Fingerprint of a configuration, the same in every process.

    Records count by their fields, arrays by their content, functions and classes by their source, networks by
    their own ``digest``, everything else by its attributes.
    """
    sha = hashlib.sha256()
    for text in _describe(value, ()):
        sha.update(text.encode() + b"\n")
    return sha.hexdigest()


def code_digest(*objects: Any) -> str:
    """Fingerprint of the code that makes a result."""
    sha = hashlib.sha256(code_version().encode())
    for value in objects:
        sha.update(_source_of_module(value))
    return sha.hexdigest()


def table_digest(table: EventTable) -> str:
    """
    Fingerprint of events.

    Returns
    -------
    str
        Hexadecimal SHA-256 of features, values, labels, weights, datasets, regions and variations, and of the code of
        functions among them.
    """
    features = [(f.name, f.unit, f.lower, f.upper, f.kind, f.derived) for f in table.features]
    regions = [(r.name, r.role, r.mask, r.cuts, r.select) for r in table.regions]
    columns = (table.values, table.labels, table.weights, table.dataset_index)
    # In their order: an envelope may follow the first variation.
    variations = [list(named.items()) for named in (table.shape_variations, table.weight_variations)]
    return identity((features, regions, table.datasets, table.sentinel, columns, variations))


def file_digest(path: Path) -> str:
    """
    Fingerprint of a file.

    Returns
    -------
    str
        Hexadecimal SHA-256 of its content.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _describe(value: Any, seen: tuple[int, ...]) -> Iterable[str]:  # noqa: C901, PLR0912 - one case per kind
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic | Path):
        yield f"{type(value).__name__} {value!r}"
        return
    if id(value) in seen:
        yield "itself"
        return
    inside = (*seen, id(value))
    yield _name(value)
    if isinstance(getattr(value, "digest", None), str):
        yield value.digest
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape} {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    elif isinstance(value, Mapping):
        yield from sorted(identity((k, v)) for k, v in value.items())
    elif isinstance(value, AbstractSet):
        yield from sorted(identity(item) for item in value)
    elif isinstance(value, list | tuple):
        yield str(len(value))
        for item in value:
            yield from _describe(item, inside)
    elif isinstance(value, functools.partial):
        yield from _describe((value.func, value.args, value.keywords), inside)
    elif isinstance(value, types.MethodType):
        yield from _describe((value.__func__, value.__self__), inside)
    elif isinstance(value, types.FunctionType):
        yield _source(value)
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        yield from _describe((cells, value.__defaults__, value.__kwdefaults__), inside)
    elif isinstance(value, type | types.BuiltinFunctionType | types.ModuleType):
        return
    elif is_dataclass(value):
        yield _source(type(value))
        for field in fields(value):
            yield from _describe((field.name, getattr(value, field.name)), inside)
    elif getattr(value, "__dict__", None):
        yield _source(type(value))
        yield from _describe(vars(value), inside)
    else:
        yield _pickled(value)


def _name(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', named)}"


def _pickled(value: Any) -> str:
    try:
        return hashlib.sha256(pickle.dumps(value, protocol=5)).hexdigest()
    except Exception as error:
        msg = f"a {type(value).__name__} has no fingerprint ({error}); give it an attribute digest with a text"
        raise ValueError(msg) from error


def _source(value: Any) -> str:
    """Source of a function or class, or its code where there is no file."""
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        code = getattr(value, "__code__", None)
        if code is not None:
            return _compiled(code)
        methods = {name: item for name, item in vars(value).items() if isinstance(item, types.FunctionType)}
        return " ".join(f"{name} {_source(methods[name])}" for name in sorted(methods))


def _compiled(code: types.CodeType) -> str:
    constants = [_compiled(c) if inspect.iscode(c) else identity(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _source_of_module(value: Any) -> bytes:
    file = getattr(sys.modules.get(getattr(value, "__module__", "")), "__file__", None)
    if file and Path(file).is_file():
        return Path(file).read_bytes()
    return _source(value if hasattr(value, "__qualname__") else type(value)).encode()
