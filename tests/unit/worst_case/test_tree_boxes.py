# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.tree import DecisionTreeClassifier

from hepfool.events import Envelope, EventTable
from hepfool.exceptions import NotCertifiableError
from hepfool.features import Feature
from hepfool.models import CallableClassifier, FiniteDifference
from hepfool.models._trees import ensemble_of
from hepfool.typing import FloatArray, IntArray
from hepfool.worst_case import certify

MODELS: dict[str, Any] = {
    "forest": lambda: RandomForestClassifier(6, max_depth=4, random_state=0),
    "extra trees": lambda: ExtraTreesClassifier(5, max_depth=4, random_state=0),
    "one tree": lambda: DecisionTreeClassifier(max_depth=5, random_state=0),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=6, max_depth=3, random_state=0),
    "boosting from zero": lambda: GradientBoostingClassifier(n_estimators=4, init="zero", random_state=0),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=6, max_leaf_nodes=6, min_samples_leaf=5),
}
#: Those that take missing values.
MISSING = ("forest", "one tree", "histogram")


def sample(rng: np.random.Generator, n: int, n_classes: int, *, missing: bool) -> tuple[FloatArray, IntArray]:
    values = np.stack([rng.normal(size=n), rng.integers(0, 5, n), rng.normal(size=n)], axis=1)
    values = values.astype(np.float32).astype(np.float64)
    sums = values[:, 0] * (values[:, 1] - 2.0) + values[:, 2] + 0.3 * rng.normal(size=n)
    labels = np.digitize(sums, [0.0] if n_classes == 2 else [-0.8, 0.8])
    if missing:
        values[rng.uniform(size=n) < 0.2, 2] = np.nan
    return values, labels.astype(np.int64)


def brute_force(model: Any, classifier: CallableClassifier, table: EventTable, envelope: Envelope) -> Any:
    """One point on either side of every threshold that lies within the box, in all combinations."""
    ensemble = ensemble_of(model)
    classes, changed = classifier.predict(table.network_values), np.zeros(table.n_events, dtype=np.bool_)
    for i in range(table.n_events):
        axes = []
        for j in range(table.n_features):
            low, high = envelope.lower[i, j], envelope.upper[i, j]
            if np.isnan(table.values[i, j]):
                axes.append(np.array([np.nan]))
            elif j == 1:
                axes.append(np.arange(np.ceil(low), np.floor(high) + 1.0))
            else:
                cuts = np.unique(ensemble.threshold[ensemble.feature == j])
                inside = cuts[(low < cuts) & (cuts < high)]
                axes.append(
                    np.concatenate([[low], (inside[:-1] + inside[1:]) / 2.0, [high]])
                    if len(inside)
                    else np.array([low])
                )
        at = np.array(list(itertools.product(*axes)))
        changed[i] = (classifier.predict(at) != classes[i]).any()
    return changed


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_trees_are_decided_exactly_as_by_brute_force(name: str, n_classes: int, rng: np.random.Generator) -> None:
    missing = name in MISSING
    model = MODELS[name]().fit(*sample(rng, 400, n_classes, missing=missing))
    classifier = CallableClassifier(model, n_classes=n_classes)
    values, labels = sample(rng, 80, n_classes, missing=missing)
    table = EventTable.from_arrays(
        values, labels=labels, features=["x", Feature(name="n", kind="integer"), "y"], weights=rng.uniform(0.5, 1.5, 80)
    )
    envelope = Envelope.absolute(table, [0.25, 1.0, 0.2])
    certificate = certify(classifier, table, envelope, target="all")
    changed = brute_force(model, classifier, table, envelope)
    assert (certificate.states == np.where(changed, "found", "proved")).all()
    assert 3 < changed.sum() < 77
    assert certificate.unresolved == 0.0
    found, before = certificate.counterexamples, table.select(certificate.states == "found")
    assert (classifier.predict(found.network_values) != classifier.predict(before.network_values)).all()
    assert (np.abs(np.nan_to_num(found.values - before.values)) <= np.array([0.25, 1.0, 0.2]) + 1e-6).all()
    assert np.array_equal(found.missing, before.missing)


@given(st.integers(0, 2**32), st.sampled_from(sorted(MODELS)), st.sampled_from([2, 3]))
@settings(max_examples=20)
def test_the_record_decides_as_the_model(seed: int, name: str, n_classes: int) -> None:
    rng = np.random.default_rng(seed)
    missing = name in MISSING
    model = MODELS[name]().fit(*sample(rng, 200, n_classes, missing=missing))
    values, _ = sample(rng, 500, n_classes, missing=missing)
    outputs, scores = ensemble_of(model, 0.4)(values), model.predict_proba(values)
    if n_classes == 2:
        clear = np.abs(scores[:, 1] - 0.4) > 1e-9
        assert ((outputs[:, 0] > 0.0) == (scores[:, 1] > 0.4))[clear].all()
    else:
        clear = np.diff(np.sort(scores, axis=1), axis=1)[:, -1] > 1e-9
        assert (outputs.argmax(axis=1) == scores.argmax(axis=1))[clear].all()


def test_slopes_by_finite_differences_do_not_matter(rng: np.random.Generator) -> None:
    values, labels = sample(rng, 200, 2, missing=False)
    classifier = CallableClassifier(MODELS["boosting"]().fit(values, labels))
    table = EventTable.from_arrays(values, labels=labels)
    envelope = Envelope.absolute(table, 0.2)
    direct, wrapped = (certify(c, table, envelope) for c in (classifier, FiniteDifference.of(classifier, table)))
    assert np.array_equal(direct.states, wrapped.states)


def test_other_models_are_refused_with_what_is_supported(rng: np.random.Generator) -> None:
    values, labels = sample(rng, 200, 2, missing=False)
    table = EventTable.from_arrays(values, labels=labels)
    envelope = Envelope.absolute(table, 0.2)
    for model in (
        AdaBoostClassifier(n_estimators=2),
        GradientBoostingClassifier(n_estimators=2, init=DecisionTreeClassifier()),
    ):
        with pytest.raises(NotCertifiableError, match="supported are scikit-learn's RandomForestClassifier"):
            certify(CallableClassifier(model.fit(values, labels)), table, envelope)
    trees = CallableClassifier(MODELS["forest"]().fit(values, labels))
    varied = EventTable.from_arrays(values, labels=labels, shape_variations={"tes_up": values + 0.1})
    with pytest.raises(NotCertifiableError, match="boxes only"):
        certify(trees, varied, envelope, coherent=["tes"])
