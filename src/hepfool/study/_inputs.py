# SPDX-License-Identifier: BSD-3-Clause
"""Whether everything that a configuration names is there and can be opened, before a step is done."""

from __future__ import annotations

import difflib
import glob
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hepfool.events import EventTable
from hepfool.io._columns import column_names
from hepfool.io._histograms import read_histograms
from hepfool.models._load import load_model
from hepfool.models.protocols import Classifier
from hepfool.studies._variations import yield_effects
from hepfool.study._plan import EventsConfiguration, NetworkConfiguration, Study
from hepfool.study._sources import readings


def check_inputs(configuration: Study, table: EventTable | None = None, classifier: Classifier | None = None) -> None:
    """Open every file, and look for every tree, column and channel."""
    events, features = configuration.events, None if table is None else table.n_features
    if events is not None and table is None:
        _check_events(events)
        features = len(events.features) or None
    if classifier is None and configuration.network.file is not None:
        found = load_network(configuration.network).n_features
        if features not in (None, found):
            msg = f"{configuration.network.file} takes {found} inputs, but there are {features} features"
            raise ValueError(msg)
    for source in configuration.systematics.histograms:
        tuple(yield_effects(read_histograms(source.file), source.nominal, above=source.above))
    if configuration.fit is not None:
        _check_channel(configuration.fit.workspace, configuration.fit.channel)


def load_network(settings: NetworkConfiguration) -> Any:
    """Read the network of a configuration."""
    options: dict[str, Any] = {} if settings.output is None else {"output": settings.output}
    return load_model(settings.file or "", network=settings.network, unsafe_pickle=settings.unsafe_pickle, **options)


def matching_files(paths: Iterable[Path]) -> list[Path]:
    """Expand patterns."""
    found = ([path] if path.exists() else sorted(map(Path, glob.glob(str(path)))) for path in paths)  # noqa: PTH207 - absolute patterns
    return [path for matches in found for path in matches]


def _check_events(events: EventsConfiguration) -> None:
    for reading in readings(events) if events.files else ():
        for path in matching_files(reading.files):
            available = column_names(path, tree=events.tree)
            _require(path, reading.sources(available), available, "column")


def _require(path: Path, names: Iterable[str], available: list[str], what: str) -> None:
    for name in names:
        if name not in available:
            close = difflib.get_close_matches(name, available, n=3, cutoff=0.5)
            hint = f"did you mean {', '.join(close)}?" if close else f"there are: {', '.join(available[:20]) or 'none'}"
            msg = f"{path} has no {what} {name!r}; {hint}"
            raise ValueError(msg)


def _check_channel(workspace: Path, channel: str) -> None:
    try:
        channels = [entry["name"] for entry in json.loads(workspace.read_text(encoding="utf-8"))["channels"]]
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{workspace} is not a pyhf workspace ({type(error).__name__}: {error})"
        raise ValueError(msg) from error
    _require(workspace, [channel], channels, "channel")
