# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest

from hepfool.attacks.base import run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.attacks.stochastic import Noise
from hepfool.events import Envelope, EventTable
from hepfool.features import Derived, Feature
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")


def test_correlated_uncertainties_bound_the_mahalanobis_distance() -> None:
    table = events(300, regions=False)
    names = table.features.names
    covariance = np.zeros((6, 6))
    uncertain = [names.index(name) for name in ("pt", "eta", "jet_pt")]
    covariance[np.ix_(uncertain, uncertain)] = [[25.0, 0.3, 20.0], [0.3, 0.04, 0.1], [20.0, 0.1, 36.0]]
    envelope = Envelope.from_covariance(table, covariance, n_sigma=2.0)
    attack = CONSERVAttack(n_iterations=5, n_bins=30)
    result = run_attack(attack, SineClassifier(), table, rng=np.random.default_rng(1), envelope=envelope)
    moved = np.nan_to_num(result.adversarial.values - table.values)
    inverse = np.linalg.inv(covariance[np.ix_(uncertain, uncertain)])
    distance = np.sqrt(np.einsum("ij,jk,ik->i", moved[:, uncertain], inverse, moved[:, uncertain]))
    assert 1.0 < distance.max() <= 2.0
    assert not np.delete(moved, uncertain, axis=1).any()


def test_uncorrelated_uncertainties_reach_the_corner_of_the_box() -> None:
    table = EventTable.from_arrays(np.zeros((1, 4)))
    envelope = Envelope.from_covariance(table, np.diag([1.0, 4.0, 9.0, 16.0]), n_sigma=3.0)
    corner = envelope.upper[0] / np.array([1.0, 2.0, 3.0, 4.0])
    assert np.linalg.norm(corner) == pytest.approx(3.0)


def test_uncertainties_may_depend_on_the_event() -> None:
    table = events(200, regions=False)

    def resolution(of: EventTable) -> np.ndarray:
        sigma = np.zeros(of.values.shape)
        sigma[:, 0] = 0.1 * of.column("pt") * (1.0 + np.abs(of.column("eta")))
        return sigma

    envelope = Envelope.from_function(table, resolution, n_sigma=0.5)
    np.testing.assert_allclose(envelope.upper[:, 0] - table.values[:, 0], 0.5 * resolution(table)[:, 0])
    assert np.array_equal(envelope.lower[:, 1], table.values[:, 1])


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (np.ones((2, 3)), r"symmetric matrix of shape \(2, 2\), got shape \(2, 3\)"),
        ([[1.0, 0.5], [0.0, 1.0]], "symmetric matrix"),
        ([[1.0, 1.0], [1.0, 1.0]], "eigenvalue that is not positive"),
    ],
)
def test_matrices_that_are_not_covariances_are_refused(covariance: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Envelope.from_covariance(EventTable.from_arrays(np.zeros((1, 2))), covariance)


def test_an_angle_that_a_variation_carries_over_pi_goes_the_shorter_way() -> None:
    nominal, varied = np.array([3.1, -3.1, 1.0]), np.array([-3.1, 3.1, 1.2])
    table = EventTable.from_arrays(
        nominal[:, np.newaxis],
        features=[Feature(name="phi", kind="angle")],
        shape_variations={"met_up": varied[:, np.newaxis]},
    )
    envelope = Envelope.from_variations(table)
    np.testing.assert_allclose(envelope.upper - envelope.lower, [[2 * np.pi - 6.2], [2 * np.pi - 6.2], [0.2]])
    np.testing.assert_allclose(envelope.lower[:, 0], [3.1, -2 * np.pi + 3.1, 1.0])


def test_what_follows_from_inputs_may_go_where_each_of_them_takes_it() -> None:
    """A source that moves two inputs and leaves their sum as it is does not fix them."""
    nominal = np.array([[30.0, 20.0, 50.0], [40.0, 50.0, 90.0]])
    shift, reach = np.array([3.0, -3.0, 0.0]), np.array([3.0, 3.0, 6.0])
    total = Feature(name="total", derived=Derived.by("tau_pt + met"))
    table = EventTable.from_arrays(
        nominal,
        features=["tau_pt", "met", total],
        labels=[1, 1],
        shape_variations={"tau_up": nominal + shift, "tau_down": nominal - shift},
    )
    envelope = Envelope.from_variations(table)
    np.testing.assert_allclose(envelope.lower, nominal - reach)
    np.testing.assert_allclose(envelope.upper, nominal + reach)
    classifier = SineClassifier(np.ones(3), np.full(3, 60.0))
    moved = run_attack(Noise(size=0.5), classifier, table, rng=1, target="all", envelope=envelope).adversarial
    assert (moved.values != nominal).any()
    assert (np.abs(moved.values - nominal) <= reach).all()
