# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from hepfool.attacks.base import AttackResult
from hepfool.plots import plot_projection, projection
from hepfool.statistics.projections import rank_projections


def test_yields_and_changes_are_those_of_the_same_events(result: AttackResult) -> None:
    shown = projection(result, ("score_like", "n_jets"), n_bins=4)
    table = result.nominal
    assert shown.nominal.shape == (4, 5)
    assert shown.nominal.sum() == shown.adversarial.sum() == table.weights.sum()
    np.testing.assert_array_equal(shown.migration.net.reshape(4, 5), shown.adversarial - shown.nominal)
    first, second = table.values[:, 0], table.values[:, 2]
    expected = np.histogram2d(first, second, weights=table.weights, bins=np.array([4, 5]))[0]
    # The range of the figure is a little smaller than that of the events; the edges between bins do not matter here.
    np.testing.assert_allclose(shown.nominal, expected, atol=2.0)


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


def test_unknown_features_are_refused(result: AttackResult) -> None:
    with pytest.raises(ValueError, match="no_such"):
        projection(result, ("eta", "no_such"))
