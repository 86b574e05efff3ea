# SPDX-License-Identifier: BSD-3-Clause
"""The files in ``trees`` and what their libraries say of some events, ``trees/expected.json``, are of XGBoost 3.2.0 and LightGBM 4.7.0."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression

from hepfool import (
    CONSERVAttack,
    Derived,
    Envelope,
    EventTable,
    Feature,
    Marginals,
    Region,
    Validation,
    load_model,
    run_attack,
)
from hepfool.attacks._search.bounded import NOTICEABLE
from hepfool.attacks._search.candidates import bin_candidate, course_of, spot_of
from hepfool.attacks._search.ledger import Ledger, rules_of, state_of
from hepfool.attacks._search.price import Choice, Worth, consider, staying
from hepfool.attacks._search.sweep import Task
from hepfool.exceptions import UnreadableFileError
from hepfool.models import CallableClassifier, FiniteDifference, TreeClassifier
from hepfool.models._tree_files import read_xgboost
from hepfool.statistics._incremental import commit, deviate, probe
from hepfool.typing import FloatArray, IntArray
from hepfool.worst_case import certify

FOLDER = Path(__file__).parent / "trees"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
VALUES = np.array(EXPECTED["values"], dtype=np.float64)
FILES = sorted(path.name for path in FOLDER.iterdir() if path.name != "expected.json")


@pytest.mark.parametrize("name", FILES)
def test_scores_are_those_of_the_library(name: str) -> None:
    classifier = load_model(FOLDER / name)
    np.testing.assert_allclose(classifier.scores(VALUES), EXPECTED[name.split(".", maxsplit=1)[0]], atol=2e-7)
    copy = pickle.loads(pickle.dumps(classifier))
    assert copy.digest == classifier.digest
    np.testing.assert_array_equal(copy.scores(VALUES), classifier.scores(VALUES))


def test_values_at_a_threshold_of_xgboost_go_right() -> None:
    """In single precision, as in XGBoost."""
    trees, n_features, _ = read_xgboost((FOLDER / "xgboost_two.json").read_bytes())
    written = json.loads((FOLDER / "xgboost_two.json").read_bytes())["learner"]["gradient_booster"]["model"]["trees"][0]
    node, column = 0, written["split_indices"][0]
    at = float(np.float32(written["split_conditions"][node]))
    values = np.zeros((2, n_features))
    values[:, column] = [at, np.nextafter(np.float32(at), np.float32(-np.inf))]
    first = trees.leaves(values)[:, 0]
    assert first[0] != first[1]
    assert (
        TreeClassifier(trees, n_features).scores(values)[0, 1] != TreeClassifier(trees, n_features).scores(values)[1, 1]
    )


@pytest.mark.parametrize("name", ["xgboost_two.json", "xgboost_two.ubj", "lightgbm_two.txt"])
@pytest.mark.parametrize("length", [0, 1, 40, 3000])
def test_damaged_files_are_named(name: str, length: int, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes((FOLDER / name).read_bytes()[:length])
    with pytest.raises(UnreadableFileError, match=rf"{name} cannot be read as trees of"):
        load_model(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("xgboost_two.json", "binary:logistic", "reg:squarederror", "objective reg:squarederror"),
        ("xgboost_two.json", '"split_type":[0', '"split_type":[1', "the trees have categories"),
        ("lightgbm_two.txt", "objective=binary", "objective=regression", "objective regression"),
        ("lightgbm_two.txt", "num_cat=0", "num_cat=1", "the trees have categories"),
        ("lightgbm_two.txt", "is_linear=0", "is_linear=1", "linear leaves"),
    ],
)
def test_what_cannot_be_represented_is_refused(name: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    text = (FOLDER / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    with pytest.raises(UnreadableFileError, match=message):
        load_model(tmp_path / name)
    with pytest.raises(ValueError, match="output has no effect"):
        load_model(FOLDER / name, output="logit")


def sample(seed: int = 4) -> tuple[FloatArray, IntArray, IntArray]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(300, 4)).astype(np.float32).astype(np.float64)
    sums = values[:, 0] + values[:, 1] * values[:, 2] + 0.3 * rng.normal(size=300)
    return values, (sums > 0).astype(np.int64), np.digitize(sums, [-0.7, 0.7])


MODELS: dict[str, Any] = {
    "histogram": HistGradientBoostingClassifier(max_iter=12, max_depth=3, min_samples_leaf=5),
    "boosted": GradientBoostingClassifier(n_estimators=12, random_state=1),
    "forest": RandomForestClassifier(7, random_state=1),
    "extra": ExtraTreesClassifier(7, max_depth=5, random_state=1),
}


@pytest.fixture(params=[(name, n) for name in MODELS for n in (2, 3)], ids=lambda p: f"{p[0]} {p[1]}", scope="module")
def fitted(request: pytest.FixtureRequest) -> Any:
    name, n_classes = request.param
    values, two, three = sample()
    if name in {"histogram", "forest"}:  # which know missing values
        values = np.where(np.random.default_rng(2).random(values.shape) < 0.1, np.nan, values)
    return MODELS[name].__class__(**MODELS[name].get_params()).fit(values, two if n_classes == 2 else three)


def test_models_of_scikit_learn_are_read(fitted: Any, tmp_path: Path) -> None:
    values = sample(5)[0]
    joblib.dump(fitted, tmp_path / "model.joblib")
    with pytest.raises(ValueError, match="pass unsafe_pickle=True"):
        load_model(tmp_path / "model.joblib")
    classifier = load_model(tmp_path / "model.joblib", unsafe_pickle=True)
    assert isinstance(classifier, TreeClassifier)
    np.testing.assert_allclose(classifier.scores(values), fitted.predict_proba(values), atol=1e-12)


def test_other_models_of_scikit_learn_have_scores(tmp_path: Path) -> None:
    values, _, labels = sample()
    model = LogisticRegression().fit(values, labels)
    joblib.dump(model, tmp_path / "model.pkl")
    classifier = load_model(tmp_path / "model.pkl", unsafe_pickle=True)
    assert isinstance(classifier, CallableClassifier)
    np.testing.assert_allclose(classifier.scores(values), model.predict_proba(values))


def test_profiles_are_the_margins_of_moved_events(fitted: Any) -> None:
    """Candidate by candidate; some at a threshold, some equal, other inputs missing."""
    classifier, rng = TreeClassifier.of(fitted), np.random.default_rng(3)
    values = classifier.cuts(12, rng) if np.isnan(fitted.predict_proba(np.zeros((1, 4)))).any() else sample(6)[0][:12]
    labels = np.arange(12) % classifier.n_classes
    thresholds = classifier.ensemble()
    for j in range(4):
        own = thresholds.threshold[thresholds.feature == j]
        candidates = np.sort(
            np.concatenate([rng.normal(size=(12, 8)), np.tile(own[:6], (12, 1)), np.zeros((12, 2))], axis=1), axis=1
        )
        found = classifier.margin_profile(values, labels, j, candidates)
        for k in range(candidates.shape[1]):
            moved = values.copy()
            moved[:, j] = candidates[:, k]
            np.testing.assert_allclose(found[:, k], classifier.margin(moved, labels), rtol=1e-9, atol=1e-9)


def test_profiles_refuse_candidates_in_disorder() -> None:
    classifier = load_model(FOLDER / "xgboost_two.json")
    assert isinstance(classifier, TreeClassifier)
    with pytest.raises(ValueError, match="must ascend"):
        classifier.margin_profile(VALUES[:1], np.zeros(1, dtype=np.int64), 0, np.array([[1.0, 0.0]]))


def trees_and_events(n_classes: int = 2, **fields: Any) -> tuple[TreeClassifier, EventTable]:
    values, two, three = sample()
    labels = two if n_classes == 2 else three
    classifier = TreeClassifier.of(HistGradientBoostingClassifier(max_iter=12, max_depth=3).fit(values, labels))
    fields.setdefault("features", ["a", "b", "c", "d"])
    return classifier, EventTable.from_arrays(values, labels=labels, **fields)


def attack(**settings: Any) -> CONSERVAttack:
    plain = {
        "max_js_distance": 0.1,
        "max_correlation_shift": 0.1,
        "n_bins": 20,
        "strategy": "frugal",
        "start": "nominal",
    }
    return CONSERVAttack(**{**plain, "n_iterations": 4, "converge": False, **settings})


def slowly(ledger: Ledger, task: Task, classifier: TreeClassifier, labels: IntArray) -> FloatArray:
    """What the sweep does, with a call of the classifier for every candidate."""
    taken = np.zeros(len(task.events))
    for index, i in enumerate(task.events):
        label, state, weight = labels[index : index + 1], state_of(ledger, 0), task.layout.weights[i]

        def gains(j: int, i: int = i, label: IntArray = label) -> list[tuple[float, float]]:
            course = course_of(task.layout, i, j)
            spot = spot_of(course, task.options, task.values[i, j])
            bins, now = ledger.bins[0, j], classifier.margin(task.values[i : i + 1], label)[0]
            proposed = [bin_candidate(bins, task.options, course, spot, t, task.seed) for t in range(bins.shape[1])]
            found = []
            for value in sorted(v for v in proposed if not np.isnan(v)):
                moved = task.values[i : i + 1].copy()
                moved[0, j] = value
                found.append((value, now - classifier.margin(moved, label)[0]))
            return found

        order = np.argsort([-max((g for _, g in gains(j)), default=-np.inf) for j in range(4)], kind="stable")
        deviation, wanted = np.empty(4), task.goals.needed[index]
        deviate(state.vectors, task.values[i], deviation)
        for j in order:
            if wanted > 0.0 and taken[index] >= wanted:
                break
            start, needed = task.values[i, j], max(wanted - taken[index], 0.0)
            item, rules = probe(state, j, start, weight, deviation), rules_of(ledger, 0, j)
            reward = task.goals.reward[index] * needed / wanted if wanted > 0.0 else 0.0
            low = task.goals.low[index] - taken[index]
            worth = Worth(-1.0, needed, low, task.goals.high[index] - taken[index], reward, staying(item, rules))
            best, gain = Choice(NOTICEABLE, 0.0, start, -1), 0.0
            for value, of_value in gains(j):
                chosen = consider(state.bins[j], item, rules, worth, (value - start, of_value, value), best)
                best, gain = (chosen, of_value) if chosen.value != best.value else (best, gain)
            if best.new_bin >= 0:
                commit(state, j, item, best.delta, best.new_bin, weight, deviation)
                task.values[i, j] = best.value
                taken[index] += gain
    return taken


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_sweep_chooses_what_asking_for_every_candidate_would_choose(
    n_classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, table = trees_and_events(n_classes)
    quick = run_attack(attack(n_iterations=2), classifier, table.select(np.arange(80)), rng=3)
    calls = []

    def slow(ledger: Ledger, task: Task, _trees: Any, labels: IntArray) -> FloatArray:
        calls.append(len(task.events))
        with np.errstate(over="ignore"):  # of the random numbers, which wrap
            return slowly(ledger, task, classifier, labels)

    monkeypatch.setattr("hepfool.attacks._search.engine.sweep_profiles", slow)
    careful = run_attack(attack(n_iterations=2), classifier, table.select(np.arange(80)), rng=3)
    assert len(calls) == 2
    assert quick.fooled.sum() > 10
    np.testing.assert_array_equal(quick.adversarial.values, careful.adversarial.values)


def test_exact_profiles_fool_more_than_slopes() -> None:
    classifier, table = trees_and_events()
    settings = attack(max_js_distance=0.05, max_correlation_shift=0.05)
    exactly = run_attack(settings, classifier, table, rng=1)
    by_slopes = run_attack(settings, FiniteDifference.of(classifier, table, fraction=0.05), table, rng=1)
    assert exactly.fooling_ratio > by_slopes.fooling_ratio + 0.05
    assert exactly.compatibility.max_js_distance <= 0.05
    assert exactly.compatibility.correlation_shift <= 0.05


def test_integers_angles_fixed_and_missing_values_are_what_they_are() -> None:
    values, labels, _ = sample()
    values[:, 1] = np.round(2 * values[:, 1])
    values[:, 2] = np.clip(values[:, 2], -3.1, 3.1)
    values[::7, 0] = np.nan
    model = HistGradientBoostingClassifier(max_iter=20, max_depth=3).fit(values, labels)
    features = [
        Feature(name="a"),
        Feature(name="n", kind="integer"),
        Feature(name="phi", kind="angle", lower=-np.pi, upper=np.pi),
        Feature(name="fixed", kind="fixed"),
    ]
    table = EventTable.from_arrays(values, labels=labels, features=features)
    result = run_attack(attack(), TreeClassifier.of(model), table, rng=2)
    found = result.adversarial.values
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    np.testing.assert_array_equal(found[:, 1], np.round(found[:, 1]))
    np.testing.assert_array_equal(found[:, 3], values[:, 3])
    assert ((found[:, 1] != values[:, 1]).sum(), (found[:, 2] != values[:, 2]).sum()) > (5, 5)
    assert result.fooling_ratio > 0.2
    flipped = model.predict(found) != model.predict(values)
    np.testing.assert_array_equal(result.fooled, flipped & result.attacked)


def test_events_that_nothing_constrains_take_the_largest_gain() -> None:
    classifier, table = trees_and_events()
    signal = table.values[:, 3] > 0
    regions = (Region("control", ~signal, "control"), Region("signal", signal, "signal"))
    classifier, table = trees_and_events(regions=regions, features=["a", "b", "c", Feature(name="d", kind="fixed")])
    result = run_attack(attack(), classifier, table, rng=2)
    assert result.fooled[signal].sum() > 0.9 * result.attacked[signal].sum()
    by_slopes = run_attack(attack(), FiniteDifference.of(classifier, table, fraction=0.05), table, rng=2)
    assert result.fooled[signal].sum() >= by_slopes.fooled[signal].sum()


def test_the_score_is_kept_with_exact_profiles() -> None:
    classifier, table = trees_and_events()
    kept = Validation(score=Marginals(max_js_distance=0.1, n_bins=10, n_quantiles=0), separately="union")
    settings = CONSERVAttack(strategy="frugal", validation=kept, n_iterations=6, converge=False)
    result = run_attack(settings, classifier, table, rng=2)
    before, after = (
        np.histogram(s[:, 1], np.linspace(0, 1, 11))[0] for s in (result.nominal_scores, result.adversarial_scores)
    )
    assert jensenshannon(before, after, base=2) <= 0.1
    assert result.fooled.sum() > 5


def test_where_inputs_follow_from_others_slopes_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    values, labels, _ = sample()
    values[:, 3] = values[:, 0] + values[:, 1]
    model = HistGradientBoostingClassifier(max_iter=12, max_depth=3).fit(values, labels)
    features: list[Feature | str] = [
        "a",
        "b",
        "c",
        Feature(name="sum", derived=Derived(("a", "b"), lambda a, b: a + b)),
    ]
    table = EventTable.from_arrays(values, labels=labels, features=features)
    monkeypatch.setattr("hepfool.attacks._search.engine.sweep_profiles", None)
    result = run_attack(attack(), TreeClassifier.of(model), table, rng=2)
    assert result.fooled.any()
    found = result.adversarial.values
    np.testing.assert_allclose(found[:, 3], found[:, 0] + found[:, 1], atol=1e-6)


@pytest.mark.parametrize("name", ["xgboost_two.json", "xgboost_three.ubj", "lightgbm_two.txt"])
def test_trees_of_files_are_certified_exactly(name: str) -> None:
    """Compared with one point between each two thresholds that lie within the box, in all combinations."""
    classifier, rng = load_model(FOLDER / name), np.random.default_rng(8)
    assert isinstance(classifier, TreeClassifier)
    values = rng.normal(size=(40, 4)).astype(np.float32).astype(np.float64)
    values[rng.random(values.shape) < 0.1] = np.nan
    table = EventTable.from_arrays(values, labels=classifier.predict(values))
    envelope, trees = Envelope.absolute(table, 0.15), classifier.ensemble()
    least, most = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    changed = np.zeros(40, dtype=np.bool_)
    for i in range(40):
        axes = [np.array([values[i, j]]) for j in range(4)]
        for j in np.flatnonzero(~np.isnan(values[i])):
            low, high = max(envelope.lower[i, j], least[j]), min(envelope.upper[i, j], most[j])
            cuts = np.unique(trees.threshold[trees.feature == j])
            ends = np.concatenate([[low], cuts[(low < cuts) & (cuts < high)], [high]])
            axes[j] = np.concatenate([[low], (ends[:-1] + ends[1:]) / 2.0, [high]])
        points = np.stack([grid.ravel() for grid in np.meshgrid(*axes)], axis=1)
        changed[i] = (classifier.predict(points) != table.labels[i]).any()
    certificate = certify(classifier, table, envelope)
    np.testing.assert_array_equal(certificate.states, np.where(changed, "found", "proved"))
    assert 3 < changed.sum() < 37
