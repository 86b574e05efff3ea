# SPDX-License-Identifier: BSD-3-Clause
"""Columns of events from the columns of flat files: as they stand there, computed, or under a variation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepfool._formula import Formula
from hepfool.events._columns import numbers_of
from hepfool.events._rounding import put_at_limits
from hepfool.features import FeatureSpace
from hepfool.io._columns import Columns
from hepfool.typing import FloatArray

#: By source and column, the columns that take its place: up and down, or a single name.
Variations = Mapping[str, Mapping[str, str | Sequence[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """
    Which column means what.

    Attributes
    ----------
    features : FeatureSpace
        Inputs of the network.
    weight : str, optional
        Column of the event weight.
    formulas : mapping of str to Formula
        Columns that are computed; each takes columns of the files.
    variations : mapping of str to mapping of str to str
        By variation, such as ``jes_up``, and column, the column in its place.
    computed : tuple of int
        Derived features that the files do not hold.
    """

    features: FeatureSpace
    weight: str | None
    formulas: Mapping[str, Formula]
    variations: Mapping[str, Mapping[str, str]]
    computed: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        features: FeatureSpace,
        weight: str | None,
        columns: Mapping[str, str],
        variations: Variations,
        available: Iterable[str],
    ) -> Layout:
        """Read formulas and variations; derived features that are not available are computed."""
        formulas = {name: Formula(text) for name, text in columns.items()}
        for name, formula in formulas.items():
            nested = [column for column in formula.inputs if column in formulas]
            if nested:
                msg = f"column {name!r} takes {nested[0]!r}, which is computed itself; write its formula out"
                raise ValueError(msg)
        in_files = set(available)
        _check_names(formulas, in_files)
        there = {*formulas, *in_files}
        computed = tuple(j for j in features.derived if features.names[j] not in there)
        named = _named(variations)
        layout = cls(features=features, weight=weight, formulas=formulas, variations=named, computed=computed)
        for name, replaced in named.items():
            if layout._touches_weight(replaced) == bool(layout._touched(replaced)):
                why = (
                    "both the weight and features" if layout._touched(replaced) else "neither a feature nor the weight"
                )
                msg = f"variation {name!r} replaces {', '.join(replaced)}, on which {why} depend; vary the weight or features, each under a name of its own"
                raise ValueError(msg)
        return layout

    def sources(self, names: Iterable[str]) -> list[str]:
        """Columns of the files that some columns, and all features, weights and variations, are made of."""
        derived = {self.features.names[j] for j in self.computed}
        varied = [column for replaced in self.variations.values() for column in replaced.values()]
        wanted = [name for name in (*self.features.names, self.weight, *names, *varied) if name and name not in derived]
        return list(
            dict.fromkeys(
                source
                for name in wanted
                for source in (self.formulas[name].inputs if name in self.formulas else [name])
            )
        )

    def numbers(
        self, name: str, parts: Sequence[Columns], sentinel: float | None, replaced: Mapping[str, str] | None = None
    ) -> FloatArray:
        """One column of all files in double precision, NaN where a value is missing; ``replaced`` ones give way."""
        if replaced and name in replaced:
            return self.numbers(replaced[name], parts, sentinel)
        if name in self.formulas:
            formula = self.formulas[name]
            return formula.complete(
                {column: self.numbers(column, parts, sentinel, replaced) for column in formula.inputs}
            )
        # File by file, because one file may hold single and another double precision.
        return np.concatenate([numbers_of(name, part[name], sentinel) for part in parts])

    def values(self, parts: Sequence[Columns], sentinel: float | None) -> FloatArray:
        """Nominal features."""
        n_events = sum(len(next(iter(part.values()))) for part in parts)
        values = np.full((n_events, len(self.features)), np.nan)
        for j, name in enumerate(self.features.names):
            if j not in self.computed:
                values[:, j] = self.numbers(name, parts, sentinel)
        values = put_at_limits(values, self.features)  # so that what follows does so from what the table holds
        for j in self.computed:
            values[:, j] = self.features.derive(values, j)
        return values

    def varied(self, nominal: FloatArray, parts: Sequence[Columns], sentinel: float | None) -> dict[str, Any]:
        """Shape and weight variations, by the name of the field of a table."""
        shapes, weights = {}, {}
        for name, replaced in self.variations.items():
            if self._touches_weight(replaced):
                weights[name] = self.numbers(self.weight or "", parts, None, replaced)
                continue
            shapes[name] = values = nominal.copy()
            touched = self._touched(replaced)
            for j in touched - {*self.features.derived}:
                values[:, j] = self.numbers(self.features.names[j], parts, sentinel, replaced)
            for j in touched & {*self.features.derived}:
                given = self.features.names[j] in replaced
                column = self.features.names[j]
                values[:, j] = (
                    self.numbers(column, parts, sentinel, replaced) if given else self.features.derive(values, j)
                )
        return {"shape_variations": shapes, "weight_variations": weights}

    def _depends(self, name: str, replaced: Mapping[str, str]) -> bool:
        formula = self.formulas.get(name)
        return name in replaced or (formula is not None and not replaced.keys().isdisjoint(formula.inputs))

    def _touches_weight(self, replaced: Mapping[str, str]) -> bool:
        return self.weight is not None and self._depends(self.weight, replaced)

    def _touched(self, replaced: Mapping[str, str]) -> set[int]:
        """Features that a variation changes: by themselves, and those that are derived from them."""
        moved = {name for name in self.features.names if self._depends(name, replaced)}
        return {
            j
            for j, feature in enumerate(self.features)
            if feature.name in moved or (feature.derived and not moved.isdisjoint(feature.derived.inputs))
        }


def _check_names(formulas: Mapping[str, Formula], in_files: set[str]) -> None:
    """Refuse names that could mean a column of the files as well."""
    for name, formula in formulas.items():
        if name in in_files:
            msg = f"column {name!r} is computed, but the files hold a column of this name too; give the computed one another name"
            raise ValueError(msg)
        if formula.uses_pi and "pi" in in_files:
            msg = f"column {name!r}: pi in {formula.text!r} is the number 3.14159…, but the files hold a column 'pi'; write the number, or rename the column"
            raise ValueError(msg)


def _named(variations: Variations) -> dict[str, dict[str, str]]:
    """Name both sides of a source, ``jes_up`` and ``jes_down``; a single column keeps the source's name."""
    named: dict[str, dict[str, str]] = {}
    for source, columns in variations.items():
        sides = {1 if isinstance(given, str) else len(given) for given in columns.values()}
        if sides not in ({1}, {2}):
            found = ", ".join(f"{name}: {given}" for name, given in columns.items()) or "nothing"
            msg = f"variation {source!r} replaces {found}; give every column one other, or two, [up, down]"
            raise ValueError(msg)
        ends = ("",) if sides == {1} else ("_up", "_down")
        for k, end in enumerate(ends):
            named[f"{source}{end}"] = {
                name: given if isinstance(given, str) else given[k] for name, given in columns.items()
            }
    return named
