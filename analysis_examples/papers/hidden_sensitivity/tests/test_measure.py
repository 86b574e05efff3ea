# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import special

from analysis_examples.papers.hidden_sensitivity.measure import SensitivitySettings, run_hidden_sensitivity
from analysis_examples.papers.hidden_sensitivity.records import Preservation, Sensitivity
from hepfool.attacks import PGD, AttackResult, CONSERVAttack, Noise, run_attack, travel
from hepfool.events import Envelope, EventTable
from hepfool.exceptions import ConstraintError
from hepfool.studies import envelope_variations, total
from hepfool.studies._systematics import attack_effect
from hepfool.typing import FloatArray, IntArray
from tests.effects import run_systematics
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")

#: Nothing holds it back but the envelope.
FREE = PGD(step=1.0, unit="envelope", n_iterations=1, n_bins=20)
SETTINGS = SensitivitySettings(
    attack=CONSERVAttack(
        n_candidates=20, candidates="even", n_iterations=3, n_bins=30, beta=20.0, max_js_distance=0.05
    ),
    n_draws=3,
)


class Linear:
    """Log-odds of a weighted sum of the features."""

    n_classes = 2
    digest = "b" * 64

    def __init__(self, slopes: tuple[float, ...]) -> None:
        self.slopes = np.array(slopes)

    @property
    def n_features(self) -> int:
        return len(self.slopes)

    def scores(self, values: FloatArray) -> FloatArray:
        probability = special.expit(values @ self.slopes)
        return np.stack([1.0 - probability, probability], axis=1)

    def predict(self, values: FloatArray) -> IntArray:
        return np.asarray(values @ self.slopes > 0.0, dtype=np.int64)

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        sign = 2.0 * labels - 1.0
        return sign * (values @ self.slopes), sign[:, np.newaxis] * self.slopes

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        margin, gradient = self.margin_and_gradient(values, labels)
        return np.logaddexp(0.0, -margin), -special.expit(-margin)[:, np.newaxis] * gradient


def numbers(found: Sensitivity) -> list[float]:
    measured = (found.ordinary, found.random, found.attack, found.above_ordinary, found.above_random)
    return [n for m in measured for n in (m.value, m.error)] + [found.ordinary_largest, found.random_largest]


def varied(table: EventTable, envelope: Envelope, **sources: list[str]) -> EventTable:
    return replace(table, shape_variations=envelope_variations(table, envelope, sources or None))


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[AttackResult]:
    """Every attack and draw that the study makes from now on."""
    kept: list[AttackResult] = []

    def remember(*arguments: Any, **options: Any) -> AttackResult:
        kept.append(run_attack(*arguments, **options))
        return kept[-1]

    monkeypatch.setattr("analysis_examples.papers.hidden_sensitivity.measure.run_attack", remember)
    return kept


@pytest.fixture
def normal(rng: np.random.Generator) -> EventTable:
    values = rng.normal(size=(400, 2))
    labels = np.where(rng.random(400) < 0.1, values[:, 0] < 0, values[:, 0] > 0).astype(int)
    return EventTable.from_arrays(values, labels=labels, weights=rng.uniform(0.5, 2.0, 400))


@pytest.mark.filterwarnings("ignore:the network's accuracy .* in another order:hepfool.exceptions.NetworkWarning")
@pytest.mark.parametrize("sigma", [0.02, 0.3, 5.0])
@pytest.mark.parametrize("slope", [2.0, -0.5])
def test_nothing_beats_a_free_attack_on_a_network_of_one_feature(
    normal: EventTable, slope: float, sigma: float
) -> None:
    envelope = Envelope.absolute(normal, [sigma, 0.1])
    table = varied(normal, envelope, moving=["x0"])
    settings = SensitivitySettings(attack=FREE, n_draws=5)
    found = run_hidden_sensitivity(
        Linear((slope, 0.0)), table, envelope, rng=np.random.default_rng(1), settings=settings
    )
    for effect in (found.flips, found.yield_shift):
        assert effect.attack.value > 0.0
        assert effect.attack.value >= effect.random_largest
        assert effect.above_random.value == pytest.approx(effect.attack.value - effect.random.value)
        assert effect.above_ordinary.value == pytest.approx(effect.attack.value - effect.ordinary.value)
    assert found.flips.attack.value >= found.flips.ordinary_largest - 1e-12
    assert found.flips.ordinary.value == pytest.approx(found.flips.ordinary_largest)
    if sigma == 0.3:
        assert found.flips.above_ordinary.value > 0.0


def test_a_free_attack_flips_what_the_envelope_allows(normal: EventTable) -> None:
    envelope = Envelope.absolute(normal, [0.2, 0.0])
    classifier, table = Linear((1.0, 0.0)), varied(normal, envelope)
    found = run_hidden_sensitivity(
        classifier, table, envelope, rng=np.random.default_rng(1), settings=SensitivitySettings(attack=FREE)
    )
    x, correct = normal.values[:, 0], classifier.predict(normal.values) == normal.labels
    reached = np.clip(x - 0.2 * np.sign(x), x.min(), x.max())
    flipped = (reached > 0) != (x > 0)
    expected = normal.weights[correct & flipped].sum() / normal.weights[correct].sum()
    assert found.flips.attack.value == pytest.approx(expected, rel=1e-6)
    assert found.n_attacked == correct.sum()
    up = normal.weights[correct & flipped & (x < 0)].sum() / normal.weights[correct].sum()
    assert found.flips.ordinary_largest == pytest.approx(max(up, expected - up), rel=1e-6)
    # The yield is that of all events, which either only leave the selection, or only enter it.
    moves = [normal.weights[flipped & side].sum() / normal.weights[x > 0].sum() for side in (x > 0, x < 0)]
    assert found.yield_shift.attack.value == pytest.approx(max(moves), rel=1e-6)


def test_without_uncertainties_everything_is_zero() -> None:
    table = events(300)
    envelope = Envelope.absolute(table, 0.0)
    found = run_hidden_sensitivity(
        SineClassifier(), varied(table, envelope), envelope, rng=np.random.default_rng(1), settings=SETTINGS
    )
    for effect in (found.flips, found.yield_shift):
        assert numbers(effect) == [0.0] * 12
    for kept in (found.attacked, found.drawn):
        assert kept.max_js_distance == kept.correlation_shift == 0.0
        assert kept.js_floor > 0.0


def test_effects_are_those_of_the_systematics_study(monkeypatch: pytest.MonkeyPatch) -> None:
    table, classifier = events(500), SineClassifier()
    envelope = Envelope.absolute(table, [4.0, 0.1, 0.1, 1.0, 0.5, 5.0])
    table = varied(table, envelope)
    kept = recorded(monkeypatch)
    settings = replace(SETTINGS, region="low_pt", target=1)
    found = run_hidden_sensitivity(classifier, table, envelope, rng=np.random.default_rng(1), settings=settings)
    attacks, draws = kept[:3], kept[3:]
    assert [type(result.attack) for result in kept] == [CONSERVAttack] * 3 + [Noise] * 3
    effects = [attack_effect(result, classifier) for result in attacks]
    ordinary = total(run_systematics(classifier, table, attacked=attacks[0].attacked))
    assert effects[0].flips is not None
    assert found.flips.attack.value == pytest.approx(effects[0].flips.value)
    assert found.flips.attack.error == pytest.approx(effects[0].flips.error)
    assert found.flips.ordinary == ordinary.flips
    assert found.flips.ordinary_largest == ordinary.flips_envelope
    selected = classifier.predict(table.network_values) == 1
    np.testing.assert_array_equal(attacks[1].attacked, selected)
    np.testing.assert_array_equal(attacks[2].attacked, ~selected)
    largest = max((e.yield_shift["low_pt"] for e in effects[1:]), key=lambda m: abs(m.value))
    assert found.yield_shift.attack.value == pytest.approx(abs(largest.value))
    assert found.yield_shift.attack.error == pytest.approx(largest.error)
    assert found.yield_shift.ordinary == ordinary.yield_shift["low_pt"]
    # Draws move all events; flips count among those that the attack may move.
    flips = []
    for result in draws:
        moved = (result.adversarial.values != table.values) & ~table.missing
        assert moved[~attacks[0].attacked].any()
        changed = classifier.predict(result.adversarial.network_values) != classifier.predict(table.network_values)
        weights = table.weights * attacks[0].attacked
        flips.append(weights[changed].sum() / weights.sum())
    assert found.flips.random.value == pytest.approx(np.mean(flips))
    assert found.flips.random_largest == pytest.approx(max(flips))
    worst = max((result.compatibility for result in attacks), key=lambda c: c.max_js_distance)
    assert found.attacked.max_js_distance == worst.max_js_distance <= 0.05
    assert found.attacked.js_floor == worst.js_floor[np.argmax(worst.js_distance)]


def test_every_move_stays_within_the_envelope(monkeypatch: pytest.MonkeyPatch) -> None:
    table, classifier = events(500, regions=False), SineClassifier()
    envelope = Envelope.absolute(table, [4.0, 0.1, 0.3, 1.0, 0.5, 5.0])
    table = varied(table, envelope)
    kept = recorded(monkeypatch)
    settings = replace(SETTINGS, attack=replace(SETTINGS.attack, max_js_distance=0.1, max_correlation_shift=0.02))  # type: ignore[type-var]
    run_hidden_sensitivity(classifier, table, envelope, rng=np.random.default_rng(1), settings=settings)
    assert len(kept) > 3
    for result in kept:
        reached = table.values + travel(table.features, table.values, result.adversarial.values)
        present = ~table.missing
        assert (reached >= envelope.lower - 1e-6)[present].all()
        assert (reached <= envelope.upper + 1e-6)[present].all()
        assert (reached != table.values)[present].any()
    for result in kept[:3]:
        assert result.compatibility.max_js_distance <= 0.1
        assert result.compatibility.correlation_shift <= 0.02


def test_errors_are_those_of_a_bootstrap(normal: EventTable) -> None:
    """What an event does under a variation or a free attack does not depend on the others."""
    envelope = Envelope.absolute(normal, [0.4, 0.0])
    table, classifier = varied(normal, envelope), Linear((1.0, 0.0))
    settings = SensitivitySettings(attack=FREE, n_draws=1)

    def effects(chosen: IntArray) -> list[Sensitivity]:
        part, bound = table.select(chosen), envelope.select(chosen)
        found = run_hidden_sensitivity(classifier, part, bound, rng=np.random.default_rng(1), settings=settings)
        return [found.flips, found.yield_shift]

    replicas = [
        [(effect.attack.value, effect.above_ordinary.value) for effect in effects(rng.integers(0, 400, 400))]
        for rng in map(np.random.default_rng, range(150))
    ]
    for effect, (attack, excess) in zip(effects(np.arange(400)), np.std(replicas, axis=0), strict=True):
        assert effect.attack.error == pytest.approx(attack, rel=0.2)
        assert effect.above_ordinary.error == pytest.approx(excess, rel=0.2)


def test_same_seed_same_numbers() -> None:
    table = events(300)
    envelope = Envelope.absolute(table, [4.0, 0.1, 0.1, 1.0, 0.5, 5.0])
    first, second, other = (
        run_hidden_sensitivity(
            SineClassifier(), varied(table, envelope), envelope, rng=np.random.default_rng(s), settings=SETTINGS
        )
        for s in (1, 1, 2)
    )
    assert first == second != other


def test_variations_beyond_the_envelope_are_refused(normal: EventTable) -> None:
    small, large = (Envelope.absolute(normal, sigma) for sigma in (0.1, 0.2))
    with pytest.raises(ValueError, match=r"variation 'x0_up' moves 'x0' of event 0 .* beyond its envelope"):
        run_hidden_sensitivity(Linear((1.0, 0.0)), varied(normal, large), small, rng=np.random.default_rng(1))
    with pytest.raises(ValueError, match="no shape variation"):
        run_hidden_sensitivity(Linear((1.0, 0.0)), normal, small, rng=np.random.default_rng(1))
    table = varied(normal, small)
    with pytest.raises(ValueError, match=r"envelope has shape \(10, 2\)"):
        run_hidden_sensitivity(Linear((1.0, 0.0)), table, small.select(np.arange(10)), rng=np.random.default_rng(1))


def test_a_yield_that_does_not_exist_is_refused(normal: EventTable) -> None:
    envelope = Envelope.absolute(normal, 0.1)
    with pytest.raises(ValueError, match="no event of 'all_events' is of class 1"):
        run_hidden_sensitivity(Linear((0.0, 0.0)), varied(normal, envelope), envelope, rng=np.random.default_rng(1))


def test_a_network_that_selects_everything_can_only_lose(normal: EventTable) -> None:
    envelope = Envelope.absolute(normal, 0.1)
    everything = replace(varied(normal, envelope), labels=np.ones(400, dtype=np.int64))
    classifier = Linear((1.0, 0.0))
    positive = everything.select(normal.values[:, 0] > 0)
    bounds = envelope.select(normal.values[:, 0] > 0)
    settings = SensitivitySettings(attack=FREE)
    found = run_hidden_sensitivity(classifier, positive, bounds, rng=np.random.default_rng(1), settings=settings)
    assert found.n_attacked == positive.n_events
    assert found.yield_shift.attack.value == pytest.approx(found.flips.attack.value)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="n_draws must be at least 1, got 0"):
        SensitivitySettings(n_draws=0)


def test_an_interrupted_attack_is_no_result(normal: EventTable, monkeypatch: pytest.MonkeyPatch) -> None:
    envelope = Envelope.absolute(normal, 0.1)

    def interrupted(*args: Any, **options: Any) -> Any:
        return replace(run_attack(*args, **options), iterations_done=0)

    monkeypatch.setattr("analysis_examples.papers.hidden_sensitivity.measure.run_attack", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_hidden_sensitivity(Linear((1.0, 0.0)), varied(normal, envelope), envelope, rng=np.random.default_rng(1))


@pytest.mark.parametrize("broken", [0, 3])
def test_a_move_out_of_the_envelope_is_no_result(monkeypatch: pytest.MonkeyPatch, broken: int) -> None:
    """Angles, which the driver lets pass beyond an envelope, too."""
    table = events(300, regions=False)
    envelope = Envelope.absolute(table, [4.0, 0.1, 0.3, 1.0, 0.5, 5.0])
    calls: list[int] = []

    def leaves(attack: Any, *arguments: Any, **options: Any) -> AttackResult:
        result = run_attack(attack, *arguments, **options)
        calls.append(1)
        if len(calls) != broken + 1:
            return result
        values = table.values.copy()
        values[7, 2] += 0.4 if values[7, 2] < 0.0 else -0.4
        return replace(result, adversarial=table.with_values(values))

    monkeypatch.setattr("analysis_examples.papers.hidden_sensitivity.measure.run_attack", leaves)
    with pytest.raises(ConstraintError, match="moved 'phi' of event 7 out of its envelope"):
        run_hidden_sensitivity(
            SineClassifier(), varied(table, envelope), envelope, rng=np.random.default_rng(1), settings=SETTINGS
        )


def test_the_worst_of_several_comparisons(normal: EventTable) -> None:
    classifier, envelope = Linear((1.0, 0.0)), Envelope.absolute(normal, 0.5)
    found = [
        run_attack(
            Noise(size=size, unit="envelope", n_bins=20),
            classifier,
            normal,
            rng=np.random.default_rng(1),
            envelope=envelope,
        ).compatibility
        for size in (1.0, 0.1)
    ]
    assert found[0].max_js_distance > found[1].max_js_distance
    assert Preservation.worst(found) == Preservation.worst(found[:1])
    assert Preservation.worst(found).correlation_shift == found[0].correlation_shift
