# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.patches import Rectangle

from hepfool.attacks.base import AttackResult
from hepfool.plots.inputs import plot_correlations


def test_difference_has_its_own_scale(result: AttackResult) -> None:
    compatibility = result.compatibility
    _, axes = plot_correlations(compatibility)
    meshes = [next(c for c in ax.collections if isinstance(c, QuadMesh)) for ax in axes]
    largest = np.abs(compatibility.correlation_adversarial - compatibility.correlation_nominal).max()
    assert [mesh.get_clim() for mesh in meshes[:2]] == [(-1.0, 1.0)] * 2
    assert largest <= meshes[2].get_clim()[1] <= 1.1 * largest


def test_only_the_lower_triangles_are_drawn(result: AttackResult) -> None:
    _, axes = plot_correlations(result.compatibility)
    mesh = next(c for c in axes[0].collections if isinstance(c, QuadMesh))
    drawn = np.ma.getmaskarray(np.ma.asarray(mesh.get_array()))
    assert np.array_equal(drawn, np.triu(np.ones((3, 3), dtype=bool), k=1))


def test_shift_and_floor_are_stated(result: AttackResult) -> None:
    _, axes = plot_correlations(result.compatibility)
    written = axes[2].texts[0].get_text()
    assert f"{result.compatibility.correlation_shift:.2g}" in written
    assert f"stat. floor {result.compatibility.correlation_floor:.2g}" in written


def test_a_frame_marks_the_largest_change(result: AttackResult) -> None:
    compatibility = result.compatibility
    changes = compatibility.correlation_adversarial - compatibility.correlation_nominal
    row, column = max(((1, 0), (2, 0), (2, 1)), key=lambda pair: abs(changes[pair]))
    _, axes = plot_correlations(compatibility)
    (frame,) = [patch for patch in axes[2].patches if isinstance(patch, Rectangle)]
    assert frame.get_xy() == (column, row)
    lines = axes[2].texts[0].get_text().replace("\N{MINUS SIGN}", "-").split("\n")
    assert lines[-3:] == [f"largest: {changes[row, column]:+.2g}", *(compatibility.features[k] for k in (column, row))]


def test_nothing_is_framed_where_nothing_changes(result: AttackResult) -> None:
    same = replace(result.compatibility, correlation_adversarial=result.compatibility.correlation_nominal)
    _, axes = plot_correlations(same)
    assert not axes[2].patches
    assert "largest" not in axes[2].texts[0].get_text()


def test_labels_replace_the_names(result: AttackResult) -> None:
    _, axes = plot_correlations(result.compatibility, labels=["a", "b", "c"])
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["a", "b", "c"]


def test_wrong_number_of_labels_is_refused(result: AttackResult) -> None:
    with pytest.raises(ValueError, match="1 labels for 3 features"):
        plot_correlations(result.compatibility, labels=["a"])
