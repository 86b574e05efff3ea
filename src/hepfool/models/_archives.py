# SPDX-License-Identifier: BSD-3-Clause
"""
Exported programs of any origin, checked before PyTorch sees them.

``torch.export.load`` evaluates expressions and unpickles objects that a ``.pt2`` file holds, so that such a
file can run code of whoever wrote it.  :func:`checked_program` lets pass what plain networks need, and
packs it anew, so that PyTorch reads what was checked and nothing else.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch

#: A name, a number, a version: nothing that Python could call.
_PLAIN = re.compile(r"[A-Za-z0-9_.+-]*")
#: What sizes such as ``Mul(Integer(2), Symbol('s31'))`` are made of.  PyTorch evaluates them.
_SIZES = frozenset(
    ["Symbol", "Integer", "Add", "Mul", "Mod", "PythonMod", "FloorDiv", "CleanDiv", "CeilToInt", "Max", "Min"]
)
_SIZE_PARTS = (
    ast.Expression, ast.Call, ast.Name, ast.Constant, ast.keyword, ast.BinOp, ast.UnaryOp, ast.Add, ast.Sub, ast.Mult, ast.USub, ast.Load
)  # fmt: skip
_LONGEST = 1000
#: One per tensor, and each takes time to read.
_MOST_ENTRIES = 10_000
#: Options of operators, such as ``tanh``, or ``ij,jk->ik``.
_OPTION = re.compile(r"[A-Za-z0-9_,> -]{0,200}")
_TARGET = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b|save\b|load\b)\w+\.\w+"
    r"|torch\.ops\.higher_order\.wrap_with_(?:set_grad_enabled|autocast)"
    r"|_operator\.(?:getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_)"
    r"|torch\.sym_\w+"
    r"|math\.\w+"
)
#: That two inputs have as many events.
_GUARD = re.compile(r"L\['\w+'\]\.size\(\)\[\d+\] [=!<>]=? (?:L\['\w+'\]\.size\(\)\[\d+\]|\d+)")
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict")


def read_archive(content: bytes) -> dict[str, bytes]:
    """Read all entries of a zip archive as PyTorch writes it, and compare their check sums."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_ENTRIES:
                msg = f"it has {len(entries)} entries, more than the {_MOST_ENTRIES} of the largest network"
                raise ValueError(msg)
            times = Counter(entry.filename for entry in entries)
            repeated = sorted(name for name, n in times.items() if n > 1)
            compressed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
            # Stored entries take their size in the file, unless they overlap.
            if repeated or compressed or sum(entry.file_size for entry in entries) > len(content):
                msg = f"{(repeated + compressed + ['its content'])[0]} is there twice or compressed, which PyTorch never does"
                raise ValueError(msg)
            return {name: archive.read(name) for name in times}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError) as error:
        raise ValueError(str(error)) from error


def checked_program(content: bytes) -> tuple[bytes, dict[str, str]]:
    """Take from an exported program what can be read without running code."""
    kept, extra = {}, {}
    for name, entry in read_archive(content).items():
        inner = name.partition("/")[2] if "/" in name else name
        if re.fullmatch(r"extra(?:_files)?/[\w.-]+", inner):
            extra[inner.partition("/")[2]] = entry.decode("utf-8")
            kept[name] = entry
            continue
        check = next((check for pattern, check in _ENTRIES.items() if re.fullmatch(pattern, inner)), None)
        if check is None:
            msg = f"its entry {name!r} is not part of a plain network"
            raise ValueError(msg)
        kept[name] = check(entry)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, entry in kept.items():
            archive.writestr(zipfile.ZipInfo(name), entry)
    return packed.getvalue(), extra


def _numbers(entry: bytes) -> bytes:
    return entry


def _tensors(entry: bytes) -> bytes:
    """Pickled tensors: read here without code, they need none later."""
    if entry:
        torch.load(io.BytesIO(entry), map_location="cpu", weights_only=True)
    return entry


def _text(entry: bytes) -> bytes:
    _require(_PLAIN, entry.decode("ascii").strip(), "text")
    return entry


def _graph(entry: bytes) -> bytes:
    graph = dict(json.loads(entry))
    for guard in graph.pop("guards_code", None) or []:
        _require(_GUARD, str(guard), "guard")
    # A network compares the sizes of its inputs without them.
    return json.dumps({**_checked(graph, ""), "guards_code": []}).encode()


def _table(entry: bytes) -> bytes:
    table = _checked(json.loads(entry), "")
    if any(payload["use_pickle"] for payload in table["config"].values()):
        msg = "its weights are pickled objects"
        raise ValueError(msg)
    return json.dumps(table).encode()


#: What a program may consist of, in the formats of PyTorch 2.6 and later.
_ENTRIES: Mapping[str, Callable[[bytes], bytes]] = {
    r"data/weights/weight_\d+|data/constants/tensor_\d+": _numbers,
    r"data/(?:weights|constants)/model_(?:weights|constants)_config\.json": _table,
    r"data/(?:weights|constants|sample_inputs)/model\.pt": _tensors,
    r"serialized_(?:state_dict|constants|example_inputs)\.pt": _tensors,
    r"models/model\.json|serialized_exported_program\.json": _graph,
    r"version|archive_version|archive_format|byteorder|\.data/\w+|\.format_version|\.storage_alignment": _text,
}


def _checked(value: Any, key: str) -> Any:
    """Refuse every text that is more than a name; drop the remarks on the source."""
    if isinstance(value, dict):
        for name in value:
            _require(_PLAIN, name, "name")
        # Only nodes have a target; what they note on their source is for debuggers.
        skipped = {"metadata"} if "target" in value else set()
        return {name: {} if name in skipped else _checked(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_checked(item, key) for item in value]
    if isinstance(value, str):
        if key in {"in_spec", "out_spec"}:
            _check_containers(json.loads(value) if value else [])
        elif key == "expr_str":
            _check_size(value)
        else:
            _require(_RULES.get(key, _PLAIN), value, key)
    return value


_RULES = {"as_string": _OPTION, "target": _TARGET, "as_operator": _TARGET}


def _require(rule: re.Pattern[str], text: str, what: str) -> None:
    if not rule.fullmatch(text):
        msg = f"its {what} {text[:60]!r} is not one of a plain network"
        raise ValueError(msg)


def _check_size(text: str) -> None:
    """Accept arithmetic of whole numbers and named sizes."""
    nodes = list(ast.walk(ast.parse(text[:_LONGEST], mode="eval")))
    sound = all(isinstance(node, _SIZE_PARTS) for node in nodes)
    for node in nodes:
        if isinstance(node, ast.Call):
            sound &= isinstance(node.func, ast.Name) and node.func.id in _SIZES
        elif isinstance(node, ast.Name):
            sound &= node.id in _SIZES or re.fullmatch(r"[su]\d+", node.id) is not None
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            sound &= re.fullmatch(r"[A-Za-z]\w*", node.value) is not None
    if not sound or len(text) > _LONGEST:
        msg = f"its size {text[:60]!r} is not one of a plain network"
        raise ValueError(msg)


def _check_containers(spec: Any) -> None:
    """Accept tuples, lists and dictionaries of tensors."""
    if isinstance(spec, list):
        for item in spec:
            _check_containers(item)
    elif isinstance(spec, dict):
        context = spec.get("context")
        if spec.get("type") not in _CONTAINERS or re.search(r"[(){}.]", str(context)):
            msg = f"its inputs or outputs are {str(spec.get('type'))[:60]!r}, not tensors"
            raise ValueError(msg)
        _check_containers(spec.get("children_spec", []))
