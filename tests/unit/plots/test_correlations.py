# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.patches import Rectangle

from hepfool.attacks import AttackResult
from hepfool.plots import plot_correlations


def meshes(ax: Axes) -> list[QuadMesh]:
    return [c for c in ax.collections if isinstance(c, QuadMesh)]


def test_change_has_its_own_scale(result: AttackResult) -> None:
    compatibility = result.compatibility
    _, ax = plot_correlations(compatibility)
    nominal, change = meshes(ax)
    largest = np.abs(compatibility.correlation_adversarial - compatibility.correlation_nominal).max()
    assert nominal.get_clim() == (-1.0, 1.0)
    assert largest <= change.get_clim()[1] <= 1.1 * largest


def test_nominal_stands_below_the_diagonal_and_the_change_above(result: AttackResult) -> None:
    compatibility = result.compatibility
    _, ax = plot_correlations(compatibility)
    lower = np.tri(3, dtype=bool)
    change = compatibility.correlation_adversarial - compatibility.correlation_nominal
    for mesh, inside, expected in zip(
        meshes(ax), (lower, ~lower), (compatibility.correlation_nominal, change), strict=True
    ):
        drawn: Any = np.ma.asarray(mesh.get_array())
        assert np.array_equal(~np.ma.getmaskarray(drawn), inside)
        np.testing.assert_allclose(drawn[inside], expected[inside])


def test_shift_floor_and_events_are_stated(result: AttackResult) -> None:
    compatibility = result.compatibility
    _, ax = plot_correlations(compatibility)
    written = ax.get_xlabel()
    assert f"{compatibility.correlation_shift:.2g}" in written
    assert f"stat. floor {compatibility.correlation_floor:.2g}" in written
    assert f"{compatibility.n_events} events" in written


def test_a_frame_marks_the_largest_change(result: AttackResult) -> None:
    compatibility = result.compatibility
    changes = compatibility.correlation_adversarial - compatibility.correlation_nominal
    row, column = max(((0, 1), (0, 2), (1, 2)), key=lambda pair: abs(changes[pair]))
    _, ax = plot_correlations(compatibility)
    (frame,) = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert frame.get_xy() == (column, row)
    names = ", ".join(compatibility.features[k] for k in (row, column))
    size = f"{changes[row, column]:+.2g}".replace("-", "\N{MINUS SIGN}")
    assert ax.get_xlabel().endswith(f"largest change {size}: {names}")


def test_nothing_is_framed_where_nothing_changes(result: AttackResult) -> None:
    same = replace(result.compatibility, correlation_adversarial=result.compatibility.correlation_nominal)
    _, ax = plot_correlations(same)
    assert not ax.patches
    assert "largest" not in ax.get_xlabel()


def test_labels_replace_the_names(result: AttackResult) -> None:
    _, ax = plot_correlations(result.compatibility, labels=["a", "b", "c"])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b", "c"]


def test_wrong_number_of_labels_is_refused(result: AttackResult) -> None:
    with pytest.raises(ValueError, match="1 labels for 3 features"):
        plot_correlations(result.compatibility, labels=["a"])
