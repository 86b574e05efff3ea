# SPDX-License-Identifier: BSD-3-Clause
"""What every attack promises, whatever its hyper-parameters."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hepfool.attacks.base import Attack, AttackResult, run_attack
from hepfool.events import Envelope
from hepfool.statistics._compatibility import compare
from hepfool.testing._specimens import SineClassifier, events

_CLASSIFIER = SineClassifier()


def _attacked(attack: Attack, n_events: int = 500, **options: Any) -> AttackResult:
    return run_attack(attack, _CLASSIFIER, events(n_events), rng=np.random.default_rng(3), **options)


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
class AttackConformance:
    """
    Tests of an attack; inherit them in a class whose name begins with ``Test`` and override the fixture ``attack``.

    The attack runs on a few hundred events with an angle, integers, a fixed and missing values, in two regions.
    With the hyper-parameters given it has to fool some of them.
    """

    @pytest.fixture
    def attack(self) -> Attack:
        """Return the attack to test: a frozen record with its hyper-parameters."""
        msg = f"{type(self).__name__} has nothing to test; override its fixture attack"
        raise NotImplementedError(msg)

    def test_values_stay_within_ranges_and_regions(self, attack: Attack) -> None:
        """No value leaves its feature's range, its region or the integers; fixed and missing values stay."""
        result = _attacked(attack)
        before, after = result.nominal, result.adversarial.values
        assert result.fooling_ratio > 0.0
        assert np.array_equal(np.isnan(after), before.missing)
        filled = np.where(before.missing, before.features.lower, after)
        filled = np.where(np.isfinite(filled), filled, 0.0)
        assert (filled >= np.where(np.isfinite(before.features.lower), before.features.lower, -np.inf)).all()
        assert (filled <= before.features.upper).all()
        low = before.region("low_pt").mask
        assert (after[low, 0] < 60.0).all()
        assert (after[~low, 0] >= 60.0).all()
        fixed = before.features.index("charge")
        assert np.array_equal(after[:, fixed], before.values[:, fixed])
        whole = before.features.index("n_jets")
        assert np.array_equal(after[:, whole], np.round(after[:, whole]))
        present = ~before.missing[low]
        limits = np.nanmin(before.values[low], axis=0), np.nanmax(before.values[low], axis=0)
        for name in ("pt", "eta", "jet_pt"):
            j = before.features.index(name)
            moved = after[low, j][present[:, j]]
            assert limits[0][j] <= moved.min()
            assert moved.max() <= limits[1][j]

    def test_input_is_not_written(self, attack: Attack) -> None:
        """The table of nominal events is left as it was."""
        table = events(300)
        before = table.values.copy()
        run_attack(attack, _CLASSIFIER, table, rng=np.random.default_rng(1))
        assert np.array_equal(table.values, before, equal_nan=True)
        assert not table.values.flags.writeable

    def test_only_attacked_events_move(self, attack: Attack) -> None:
        """Events that are not to be attacked stay."""
        mask = np.zeros(500, dtype=bool)
        mask[::5] = True
        result = _attacked(attack, target=mask)
        assert np.array_equal(result.attacked, mask)
        moved = (result.adversarial.values != result.nominal.values) & ~result.nominal.missing
        assert not moved[~mask].any()

    def test_same_seed_same_events_and_another_process_too(self, attack: Attack) -> None:
        """A seed gives the same events again, to the last bit, also for the attack from a pickle."""
        first, second = _attacked(attack), _attacked(pickle.loads(pickle.dumps(attack)))
        assert np.array_equal(first.adversarial.values, second.adversarial.values, equal_nan=True)

    def test_reported_numbers_are_those_of_the_returned_events(self, attack: Attack) -> None:
        """Distances, correlation shift and fooling ratio follow from the events."""
        result = _attacked(attack)
        again = compare(result.nominal, result.adversarial, result.binning)
        np.testing.assert_allclose(result.compatibility.js_distance, again.js_distance, atol=1e-12)
        assert result.compatibility.correlation_shift == pytest.approx(again.correlation_shift, abs=1e-12)
        classes = [_CLASSIFIER.predict(table.network_values) for table in (result.nominal, result.adversarial)]
        fooled = result.attacked & (classes[0] != classes[1])
        weights = result.nominal.weights
        assert np.array_equal(result.fooled, fooled)
        assert result.fooling_ratio == pytest.approx(weights[fooled].sum() / weights[result.attacked].sum())

    def test_an_envelope_without_width_moves_nothing(self, attack: Attack) -> None:
        """Without uncertainties there is nothing to move within."""
        table = events(200)
        nothing = Envelope.absolute(table, np.zeros(table.n_features))
        result = run_attack(attack, _CLASSIFIER, table, rng=np.random.default_rng(1), envelope=nothing)
        assert np.array_equal(result.adversarial.values, table.values, equal_nan=True)

    def test_values_stay_within_an_envelope(self, attack: Attack) -> None:
        """Moves are no larger than each event's uncertainties; across the end of an angle too."""
        sigma = np.array([5.0, 0.1, 0.2, 1.0, 0.0, 8.0])
        result = _attacked(attack, 400, envelope=Envelope.absolute(events(400), sigma))
        travelled = np.nan_to_num(result.adversarial.values - result.nominal.values)
        travelled[:, 2] -= 2 * np.pi * np.round(travelled[:, 2] / (2 * np.pi))
        assert (np.abs(travelled) <= sigma + 1e-9).all()
        assert (travelled != 0.0).any()

    def test_values_are_single_precision_numbers_where_they_moved(self, attack: Attack) -> None:
        """What the network is asked is what a file would hold; :func:`hepfool.attacks.admissible` rounds."""
        result = _attacked(attack)
        moved = (result.adversarial.values != result.nominal.values) & ~result.nominal.missing
        moved[:, result.nominal.features.of_kind("angle")] = False  # wrapping is done in double precision
        values = result.adversarial.values[moved]
        assert np.array_equal(values, values.astype(np.float32).astype(np.float64))

    def test_an_interrupt_returns_what_is_done(self, attack: Attack) -> None:
        """Ctrl-C after an iteration gives a result of the iterations before it."""
        done = min(2, attack.n_iterations)

        def stop(_: str, fraction: float) -> None:
            if fraction >= done / attack.n_iterations:
                raise KeyboardInterrupt

        result = _attacked(attack, progress=stop)
        assert result.interrupted == (done < attack.n_iterations)
        assert result.iterations_done == len(result.history) == done

    def test_repr_says_every_hyper_parameter(self, attack: Attack) -> None:
        """The text of the attack goes to the provenance of a result."""
        text = repr(attack)
        assert text.startswith(type(attack).__name__)
        for name in type(attack).__dataclass_fields__:  # type: ignore[attr-defined]
            assert f"{name}=" in text

    def test_hyper_parameters_cannot_be_changed(self, attack: Attack) -> None:
        """An attack is a frozen record."""
        setter: Callable[..., None] = setattr
        with pytest.raises(AttributeError):
            setter(attack, "n_bins", 1)
