# SPDX-License-Identifier: BSD-3-Clause
"""
Every kind of network that load_model reads, on the same events and under the same caps.

    python network_kinds.py atlas-higgs-challenge-2014-v2.csv.gz

The scores are compared with those of the library that wrote the file.  Kinds whose library is not installed are left out.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("KERAS_BACKEND", "torch")

import click
import numpy as np
import torch

from hepfool import CONSERVAttack, EventTable, TorchClassifier, load_model, run_attack
from hepfool.io import read_table
from hepfool.models import (
    CallableClassifier,
    FiniteDifference,
    FoldedClassifier,
    PerGroup,
    Standardise,
    export_program,
    mlp,
    save_state,
)
from hepfool.training import TrainingSettings, fit

INPUTS = (
    *("DER_mass_transverse_met_lep", "DER_mass_vis", "DER_pt_h", "DER_deltar_tau_lep", "DER_pt_tot"),
    *("DER_sum_pt", "DER_pt_ratio_lep_tau", "PRI_tau_pt", "PRI_lep_pt", "PRI_met"),
)
CAPS = (0.03, 0.01)
SEED, WIDTH, N_FOLDS = 1, 32, 2

Scores = Callable[[np.ndarray], np.ndarray]


class Events(NamedTuple):
    """What networks are trained on, and what is attacked."""

    train: EventTable
    validation: EventTable
    test: EventTable


class Kind(NamedTuple):
    """A classifier, and what its own library answers."""

    classifier: Any
    native: Scores
    table: EventTable
    target: Any = "correct"


def read(path: Path, n_events: int) -> Events:
    """Ten inputs without missing values, each event with weight one."""
    table = read_table(path, features=INPUTS, label="Label", classes={"b": 0, "s": 1})
    order = np.random.default_rng(SEED).permutation(table.n_events)
    table = replace(table.select(order), spectators={"fold": order % N_FOLDS, "event": np.arange(len(order)) // 2})
    part = min((table.n_events - n_events) // 4, 4000)
    return Events(
        *(
            table.select(np.arange(a, b))
            for a, b in ((n_events, n_events + 3 * part), (n_events + 3 * part, n_events + 4 * part), (0, n_events))
        )
    )


def network(events: Events, epochs: int) -> TorchClassifier:
    """Train a network of PyTorch."""
    make = partial(mlp, len(INPUTS), (WIDTH, WIDTH), preprocessing=Standardise.of(events.train))
    return fit(
        make, events.train, events.validation, seed=SEED, settings=TrainingSettings(max_epochs=epochs)
    ).classifier


def of_torch(trained: TorchClassifier) -> Scores:
    """Call the module by itself."""
    return lambda x: torch.sigmoid(trained.module(torch.tensor(x, dtype=torch.float32))).detach().numpy()


def pytorch_files(events: Events, trained: TorchClassifier, folder: Path) -> dict[str, Callable[[], Kind]]:
    """One network in five kinds of files."""
    module, native = trained.module, of_torch(trained)

    def kind(classifier: Any) -> Kind:
        return Kind(classifier, native, events.test)

    def script() -> Kind:
        torch.jit.save(torch.jit.trace(module, torch.zeros(2, len(INPUTS))), folder / "script.pt")
        return kind(load_model(folder / "script.pt", unsafe_pickle=True))

    def program() -> Kind:
        export_program(trained, folder / "m.pt2")
        return kind(load_model(folder / "m.pt2"))

    def state() -> Kind:
        save_state(trained, folder / "state.pt")
        code = f"from hepfool.models import Standardise, mlp\n\n\ndef build():\n    return mlp({len(INPUTS)}, ({WIDTH}, {WIDTH}), preprocessing=Standardise([0.0] * {len(INPUTS)}, [1.0] * {len(INPUTS)}))\n"
        (folder / "network.py").write_text(code, encoding="utf-8")
        return kind(load_model(folder / "state.pt", network=f"{folder / 'network.py'}:build"))

    def onnx() -> Kind:
        torch.onnx.export(
            module,
            (torch.zeros(2, len(INPUTS)),),
            folder / "m.onnx",
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
        )
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / "m.onnx")
        run = lambda x: 1 / (1 + np.exp(-session.run(None, {"x": x.astype(np.float32)})[0]))
        return Kind(load_model(folder / "m.onnx"), run, events.test)

    def folded() -> Kind:
        parts = [
            events._replace(train=events.train.select(events.train.spectators["fold"] != k)) for k in range(N_FOLDS)
        ]
        classifiers = [network(part, 20) for part in parts]
        fold = events.test.spectators["fold"]
        natives = [of_torch(c) for c in classifiers]
        return Kind(
            FoldedClassifier(classifiers),
            lambda x: np.where(fold[: len(x), None] == 0, *(run(x) for run in natives)),
            events.test,
        )

    def grouped() -> Kind:
        best = PerGroup(trained)
        return Kind(best, native, events.test, best.taken(events.test))

    kinds: dict[str, Callable[[], Kind]] = {
        "PyTorch module": lambda: kind(trained),
        "TorchScript": script,
        ".pt2": program,
        "state and module.py:function": state,
    }
    return (
        kinds
        | ({"ONNX": onnx} if find_spec("onnxruntime") else {})
        | {"two folds": folded, "best of two per event": grouped}
    )


def keras_file(events: Events, folder: Path, epochs: int) -> Kind:
    """A network of Keras 3 on PyTorch."""
    import keras

    keras.utils.set_random_seed(SEED)
    scaling = keras.layers.Normalization(
        mean=events.train.values.mean(axis=0), variance=events.train.values.var(axis=0)
    )
    dense = [keras.layers.Dense(WIDTH, activation="relu") for _ in range(2)]
    model = keras.Sequential(
        [keras.Input((len(INPUTS),)), scaling, *dense, keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile("adam", "binary_crossentropy")
    model.fit(events.train.values, events.train.labels, epochs=epochs, batch_size=256, verbose=0)
    model.save(folder / "m.keras")
    return Kind(load_model(folder / "m.keras"), lambda x: model.predict(x, verbose=0, batch_size=len(x)), events.test)


def pipeline(events: Events, folder: Path, *, onnx: bool) -> Kind:
    """A scaler and a network of scikit-learn, pickled, or in ONNX."""
    import joblib
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), MLPClassifier((WIDTH, WIDTH), early_stopping=True, random_state=SEED))
    model.fit(events.train.values, events.train.labels)
    if onnx:
        from skl2onnx import to_onnx

        (folder / "sk.onnx").write_bytes(to_onnx(model, events.train.values[:1].astype(np.float32)).SerializeToString())
        return Kind(load_model(folder / "sk.onnx"), lambda x: model.predict_proba(x)[:, 1:], events.test)
    joblib.dump(model, folder / "sk.joblib")
    classifier = FiniteDifference.of(load_model(folder / "sk.joblib", unsafe_pickle=True), events.test)
    return Kind(classifier, lambda x: model.predict_proba(x)[:, 1:], events.test)


def trees(events: Events, folder: Path, library: str, n_trees: int, *, exact: bool = True) -> Kind:
    """Boosted trees."""
    x, y = events.train.values, events.train.labels
    options: dict[str, Any] = {}
    if library == "xgboost":
        import xgboost

        model = xgboost.XGBClassifier(n_estimators=n_trees, max_depth=4, learning_rate=0.1, n_jobs=1).fit(x, y)
        path = folder / "bdt.json"
        model.save_model(path)
    elif library == "lightgbm":
        import lightgbm

        model = lightgbm.LGBMClassifier(n_estimators=n_trees, max_depth=4, learning_rate=0.1, n_jobs=1, verbose=-1).fit(
            x, y
        )
        path = folder / "bdt.txt"
        model.booster_.save_model(path)
    else:
        import joblib
        from sklearn.ensemble import HistGradientBoostingClassifier

        model = HistGradientBoostingClassifier(max_iter=n_trees, max_depth=4, random_state=SEED).fit(x, y)
        path, options = folder / "bdt.joblib", {"unsafe_pickle": True}
        joblib.dump(model, path)
    classifier: Any = load_model(path, **options)
    if not exact:
        classifier = FiniteDifference.of(CallableClassifier(model), events.test, fraction=0.05)
    return Kind(classifier, lambda v: model.predict_proba(v)[:, 1:], events.test)


def kinds(events: Events, folder: Path, *, quick: bool) -> dict[str, Callable[[], Kind]]:
    """Every kind whose library is there."""
    epochs, n_trees = (2, 10) if quick else (20, 200)
    found = pytorch_files(events, network(events, epochs), folder)
    if find_spec("keras"):
        found["Keras 3"] = partial(keras_file, events, folder, epochs)
    found["scikit-learn pipeline (differences)"] = partial(pipeline, events, folder, onnx=False)
    if find_spec("skl2onnx"):
        found["scikit-learn pipeline as ONNX"] = partial(pipeline, events, folder, onnx=True)
    for name, library in (("XGBoost", "xgboost"), ("LightGBM", "lightgbm"), ("scikit-learn trees", "sklearn")):
        if find_spec(library):
            found[name] = partial(trees, events, folder, library, n_trees)
    if find_spec("xgboost"):
        found["XGBoost (differences)"] = partial(trees, events, folder, "xgboost", n_trees, exact=False)
    return found


def row(name: str, make: Callable[[], Kind]) -> list[str]:
    """Load, compare and attack one kind."""
    kind = make()
    values = np.asarray(kind.table.values, dtype=np.float64)
    single = getattr(kind.classifier, "classifier", kind.classifier) if name.startswith("best") else kind.classifier
    inputs = np.column_stack([values, kind.table.spectators["fold"]]) if name.startswith("two") else values
    difference = np.abs(single.scores(inputs)[:, 1] - np.reshape(kind.native(values), -1)).max()
    cells = [name, f"{difference:.0e}"]
    for cap in CAPS:
        attack = CONSERVAttack(
            strategy="frugal", n_iterations=10, max_js_distance=cap, max_correlation_shift=cap, start="nominal"
        )
        start = time.process_time()
        result = run_attack(attack, kind.classifier, kind.table, rng=SEED, target=kind.target)
        cells += [f"{result.fooling_ratio:.2f}", f"{time.process_time() - start:.1f}"]
    return cells


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--only", default="", help="Kinds whose name holds this.")
@click.option("--quick", is_flag=True, help="Random events and short trainings, to see that it runs.")
def main(path: Path | None, only: str, *, quick: bool) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = path or random_events(folder / "events.csv")
        events = read(path, 300 if quick else 2000)
        row("warm-up", kinds(events, folder, quick=True)["PyTorch module"])
        columns = [f"{what}, caps {cap}" for cap in CAPS for what in ("fooling ratio", "CPU s")]
        click.echo(f"| kind | scores differ by | {' | '.join(columns)} |\n|{'---|' * (2 + len(columns))}")
        for kind, make in kinds(events, folder, quick=quick).items():
            if only in kind:
                click.echo(f"| {' | '.join(row(kind, make))} |")


def random_events(path: Path) -> Path:
    """Stand in for the file of the challenge."""
    rng = np.random.default_rng(SEED)
    labels = rng.integers(0, 2, 2000)
    values = rng.exponential(40.0 + 20.0 * labels[:, None], (2000, len(INPUTS)))
    rows = [",".join((*(f"{v:.3f}" for v in event), "bs"[label])) for event, label in zip(values, labels, strict=True)]
    path.write_text("\n".join([",".join((*INPUTS, "Label")), *rows]) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
