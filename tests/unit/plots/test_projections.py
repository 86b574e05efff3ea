# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from hepfool.attacks import AttackResult
from hepfool.plots import plot_projection, projection
from hepfool.statistics._projections import rank_projections


def test_yields_and_changes_are_those_of_the_same_events(result: AttackResult) -> None:
    shown = projection(result, ("score_like", "n_jets"), n_bins=4)
    table = result.nominal
    # Quarters of the events on one axis; numbers of jets, two of them together, on the other.
    assert shown.edges[1].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    expected = np.zeros((4, 4))
    for score, n_jets, weight in zip(table.values[:, 0], table.values[:, 2], table.weights, strict=True):
        expected[min(int(4 * score), 3), min(int(n_jets), 3)] += weight
    np.testing.assert_array_equal(shown.nominal, expected)
    assert shown.adversarial.sum() == table.weights.sum()
    np.testing.assert_array_equal(shown.migration.net.reshape(4, 4), shown.adversarial - shown.nominal)


def test_events_without_a_value_are_left_out(result: AttackResult) -> None:
    shown = projection(result, ("score_like", "eta"))
    assert shown.nominal.sum() == result.nominal.weights.sum() - result.nominal.weights[3]


def test_the_pair_that_changes_most_is_shown_by_default(result: AttackResult) -> None:
    strongest = rank_projections(result.nominal, result.adversarial)[0]
    shown = projection(result)
    titles = [result.nominal.features[name].title for name in strongest.features]
    assert list(shown.labels) == titles
    assert (shown.js_distance, shown.js_floor) == (strongest.js_distance, strongest.js_floor)
    late = projection(result, region="late")
    assert late.note == "late"
    assert late.nominal.sum() <= result.nominal.weights[50:].sum()


def test_both_distributions_share_one_scale_and_what_did_not_change_stays_white(result: AttackResult) -> None:
    shown = projection(result, ("score_like", "n_jets"), n_bins=4)
    _, axes = plot_projection(shown)
    meshes: list[Any] = [next(c for c in ax.collections if isinstance(c, QuadMesh)) for ax in axes]
    assert meshes[0].get_clim() == meshes[1].get_clim() == (0.0, max(shown.nominal.max(), shown.adversarial.max()))
    low, high = meshes[2].get_clim()
    assert -low == high == np.nanmax(np.abs(shown.migration.pull))
    unmoved = (shown.migration.variance == 0.0).reshape(shown.nominal.shape).T
    np.testing.assert_array_equal(np.ma.getmaskarray(meshes[2].get_array()), unmoved)


def test_bins_are_equally_wide_and_the_axes_name_their_edges(result: AttackResult) -> None:
    shown = projection(result, ("score_like", "n_jets"), n_bins=4)
    _, axes = plot_projection(shown)
    assert [text.get_text() for text in axes[2].get_xticklabels()] == ["0", "0.25", "0.5", "0.75", "1"]
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["0", "1", "2", "3", "4"]
    assert axes[0].get_xlim() == (0.0, 4.0)
    assert axes[0].get_xlabel() == "score_like"


def test_a_constant_feature_has_one_bin(result: AttackResult) -> None:
    shown = projection(result, ("n_jets", "n_jets"), n_bins=1)
    assert shown.nominal.shape == (1, 1)
    assert shown.js_distance is None


def test_unknown_features_are_refused(result: AttackResult) -> None:
    with pytest.raises(ValueError, match="no_such"):
        projection(result, ("eta", "no_such"))
