# SPDX-License-Identifier: BSD-3-Clause
"""
Counters of NanoAOD that do not fit their collections.

NanoAODSchema cuts the objects of a whole chunk into events by the counter ``nTau`` alone.  In a skim that kept old
counters beside filtered collections, objects would silently be given to other events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import awkward as ak
import numpy as np
import uproot


def check_counters(tree: Any, start: int, stop: int, *, patterns: Sequence[str] | None = None) -> None:
    """
    Compare the counters of some events with the sizes of their collections.

    Nothing is read of files as ROOT writes them, in which the counter is part of the description of each branch.
    """
    for counter, branch in _pairs(tree, patterns):
        if _counted_by(branch) == counter:
            continue
        told = np.asarray(tree[counter].array(entry_start=start, entry_stop=stop))
        found = np.asarray(ak.num(branch.array(entry_start=start, entry_stop=stop), axis=1))
        wrong = np.flatnonzero(told != found)
        if len(wrong):
            first = wrong[0]
            msg = (
                f"{counter} is {told[first]} at entry {start + first}, where {branch.name} has {found[first]} values "
                f"({len(wrong)} of {stop - start} events differ): objects would be given to other events; "
                "write the file again with counters of its own collections"
            )
            raise ValueError(msg)


def _pairs(tree: Any, patterns: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    """Each used counter with one branch of its collection."""
    names = tree.keys(recursive=False)
    used = [name for name in names if patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)]
    there = set(names)
    seen = set()
    for name in used:
        collection, separator, _ = name.partition("_")
        counter = f"n{collection}"
        jagged = separator and isinstance(tree[name].interpretation, uproot.AsJagged)
        if jagged and counter in there and collection not in seen:
            seen.add(collection)
            yield counter, tree[name]


def _counted_by(branch: Any) -> str | None:
    """Counter in the description of a branch, if there is one."""
    leaves = branch.member("fLeaves")
    count = leaves[0].member("fLeafCount") if len(leaves) else None
    return None if count is None else str(count.member("fName"))
