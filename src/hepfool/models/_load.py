# SPDX-License-Identifier: BSD-3-Clause
"""Networks and trees from files of any library: :func:`load_model`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.special import expit, softmax

from hepfool.exceptions import NetworkWarning, NotCertifiableError, UnreadableFileError
from hepfool.extras import extras_named, import_extra
from hepfool.io._files import local_path
from hepfool.models._tree_classifier import TreeClassifier
from hepfool.models._tree_files import read_lightgbm, read_xgboost
from hepfool.models.blackbox import CallableClassifier
from hepfool.models.protocols import Classifier
from hepfool.typing import FloatArray

#: Events of the comparison with the library that a file belongs to, and by how much a score may differ.
_N_COMPARED: Final = 100
_TOLERANCE: Final = 1e-4


def load_model(
    path: str | Path, *, network: Any = None, factory: str | None = None, unsafe_pickle: bool = False, **settings: Any
) -> Classifier:
    """
    Read a trained model.

    Parameters
    ----------
    path : str or pathlib.Path
        By its suffix: ``.pt2``, ``.pt`` and ``.pth`` of PyTorch (exported program, state dictionary, TorchScript), ``.onnx``,
        ``.keras`` and ``.h5`` of Keras, ``.json`` and ``.ubj`` of XGBoost, ``.txt`` of LightGBM, ``.joblib`` and ``.pkl`` of
        scikit-learn.
    network : torch.nn.Module or str, optional
        What a state dictionary belongs to, see :func:`hepfool.models.files.load_torch`.
    factory : str, optional
        The same as ``"module.py:function"``: a function without arguments that makes the network; ``network`` may say so too.
    unsafe_pickle : bool
        Whether the file may run code of whoever wrote it: pickled modules, TorchScript, ``.joblib`` and ``.pkl``.
    **settings
        Settings of :class:`~hepfool.models.pytorch.TorchClassifier`, such as ``output`` and ``threshold``; of trees ``threshold``.

    Returns
    -------
    Classifier
        With exact gradients if it is a network, with exact profiles if it is trees
        (:class:`~hepfool.models.TreeClassifier`); compared on a hundred events with onnxruntime, XGBoost or LightGBM
        where that is installed.  A file of ONNX that is more than a network, and any other model of scikit-learn, has scores only.

    Raises
    ------
    MissingExtraError
        If a package is missing that reads the file.
    ValueError
        If the file is of an unknown kind, damaged, or does not give what its library does.
    """
    path = local_path(path)
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        msg = f"{path.name} is of an unknown kind; known are {', '.join(_READERS)}"
        raise ValueError(msg)
    if isinstance(network, str) and ".py:" in network:
        factory, network = network, None
    if factory is not None:
        if network is not None:
            msg = f"network={network!r} and factory={factory!r} both make the network; leave one out"
            raise ValueError(msg)
        network = _made(factory)
    given = {"network": network, "unsafe_pickle": unsafe_pickle or None, "output": settings.pop("output", None)}
    options = {name: value for name, value in given.items() if value is not None}
    idle = [name for name in options if suffix in _IDLE.get(name, ())]
    if idle:
        msg = f"{idle[0]} has no effect: {path.name} says it all by itself; leave it out"
        raise ValueError(msg)
    with extras_named():
        return _READERS[suffix](path, **options, **settings)


def _made(factory: str) -> Any:
    """Call a function of a file."""
    file, _, name = factory.rpartition(":")
    path = Path(file)
    if not (file and path.is_file()):
        msg = f"factory must be 'module.py:function' with a file that exists, got {factory!r}"
        raise ValueError(msg)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - of a file that exists
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        msg = f"{file} has no function {name!r}"
        raise ValueError(msg)
    # Workers have no such file.
    import_extra("cloudpickle", "torch").register_pickle_by_value(module)
    return getattr(module, name)()


def _torch(path: Path, **options: Any) -> Classifier:
    from hepfool.models.files import load_torch  # noqa: PLC0415 - needs PyTorch

    return load_torch(path, **options)


def _onnx(path: Path, *, output: str | None = None, **settings: Any) -> Classifier:
    from hepfool.models._onnx import OnnxModule, UnknownOperatorError, read_onnx  # noqa: PLC0415 - needs PyTorch
    from hepfool.models.pytorch import TorchClassifier  # noqa: PLC0415

    import_extra("onnx", "onnx")
    try:
        blob = read_onnx(path)
        module = OnnxModule(blob)
    except UnknownOperatorError as error:
        msg = f"{path.name} has {error}: its scores come from onnxruntime and its slopes from differences, which find less than exact ones"
        warnings.warn(msg, NetworkWarning, stacklevel=4)
        return _by_runtime(blob, output, **settings)
    except Exception as error:
        # A damaged file can fail anywhere inside ONNX, with any error.
        msg = f"{path.name} cannot be read ({type(error).__name__}: {error}); is the file complete, with its weights inside?"
        raise UnreadableFileError(msg) from error
    if output == "logit" and module.activation is not None:
        msg = f"{path.name} ends in a {module.activation}, so it returns no logit; use output='probability'"
        raise ValueError(msg)
    kind: Any = module.output if output is None or module.activation is not None else output
    classifier = TorchClassifier(module, output=kind, n_features=module.in_features, **settings)
    if module.activation == "Sigmoid" and classifier.n_classes > 2:
        msg = f"{path.name} ends in a sigmoid for each of {classifier.n_classes} classes, which does not choose between them; end it in a softmax"
        raise ValueError(msg)
    if importlib.util.find_spec("onnxruntime") is not None:
        native = _Session(blob, output or ("probability" if module.activation else module.output))
        _compare(classifier, native, module.in_features, "onnxruntime")
    return classifier


def _by_runtime(blob: bytes, output: str | None, **settings: Any) -> CallableClassifier:
    session = _Session(blob, output or "probability")
    n_classes = max(np.shape(session(np.zeros((2, session.n_features))))[1], 2)
    return CallableClassifier(session, n_classes=n_classes, n_features=session.n_features, **settings)


#: Numbers that inputs of ONNX hold.
_KINDS: Final = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


class _Session:
    """Scores by onnxruntime; pickles by the bytes of the file."""

    def __init__(self, blob: bytes, output: str) -> None:
        runtime = import_extra("onnxruntime", "onnx")
        self._blob, self._output = blob, output
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = runtime.InferenceSession(blob, options, providers=["CPUExecutionProvider"])
        self._inputs = self._session.get_inputs()
        self._widths = [i.shape[1] for i in self._inputs]
        sizes = [i.shape[0] for i in self._inputs if isinstance(i.shape[0], int)]
        self._n_events = sizes[0] if sizes else None
        names = [o.name for o in self._session.get_outputs()]
        self._answer = next((name for name in names if "prob" in name.lower()), names[0])
        self.n_features = sum(self._widths)

    def __call__(self, values: FloatArray) -> FloatArray:
        if self._n_events is None:
            answer = self._answers(values)
        else:  # in parts of the size that the file asks for, the last one filled up
            filled = np.concatenate([values, np.repeat(values[-1:], -len(values) % self._n_events, axis=0)])
            parts = np.split(filled, len(filled) // self._n_events)
            answer = np.concatenate([self._answers(part) for part in parts])[: len(values)]
        return answer if self._output == "probability" else probabilities(answer)

    def _answers(self, values: FloatArray) -> FloatArray:
        parts = np.split(values, np.cumsum(self._widths)[:-1], axis=1)
        given = {i.name: part.astype(_KINDS[i.type]) for i, part in zip(self._inputs, parts, strict=True)}
        (raw,) = self._session.run([self._answer], given)
        if isinstance(raw, list):  # of dictionaries, one per event
            raw = [[event[key] for key in sorted(event)] for event in raw]
        return np.asarray(raw, dtype=np.float64).reshape(len(values), -1)

    def __reduce__(self) -> tuple[type[_Session], tuple[bytes, str]]:
        return _Session, (self._blob, self._output)


def _keras(path: Path, *, output: str | None = None, **settings: Any) -> Classifier:
    from hepfool.models import _keras  # noqa: PLC0415 - needs PyTorch
    from hepfool.models.pytorch import TorchClassifier  # noqa: PLC0415

    module = _keras.read_keras(path)
    values = _far_off(module.in_features)
    expected = _keras.answers(module, values)
    kind: Any = output or ("probability" if _keras.are_probabilities(expected) else "logit")
    if kind == "logit":
        return TorchClassifier(module, output=kind, **settings)
    stripped = _keras.strip(module)
    classifier = TorchClassifier(module, output="logit" if stripped else kind, **settings)
    compare_scores(classifier, lambda _: expected, values, "Keras")
    return classifier


def _trees(path: Path, **settings: Any) -> Classifier:
    text = path.suffix.lower() == ".txt"
    name, native = ("lightgbm", _lightgbm) if text else ("xgboost", _xgboost)
    try:
        found = read_lightgbm(path.read_text(encoding="utf-8")) if text else read_xgboost(path.read_bytes())
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        msg = f"{path.name} cannot be read as trees of {name} ({type(error).__name__}: {error})"
        raise UnreadableFileError(msg) from error
    classifier = TreeClassifier(*found, **settings)
    if importlib.util.find_spec(name) is not None:
        _compare_trees(classifier, native(path), name)
    return classifier


def _xgboost(path: Path) -> Callable[[FloatArray], FloatArray]:
    xgboost = importlib.import_module("xgboost")
    booster = xgboost.Booster(model_file=path)
    best = booster.attr("best_iteration")
    rounds = (0, 0 if best is None else int(best) + 1)

    def scores(values: FloatArray) -> FloatArray:
        # Of the margin, because softmax answers with classes; the columns go by position, also those that have names.
        margin = booster.predict(
            xgboost.DMatrix(values), iteration_range=rounds, output_margin=True, validate_features=False
        )
        return probabilities(np.asarray(margin, dtype=np.float64).reshape(len(values), -1))

    return scores


def _lightgbm(path: Path) -> Callable[[FloatArray], FloatArray]:
    booster = importlib.import_module("lightgbm").Booster(model_file=path)
    return lambda values: np.asarray(booster.predict(values))


def _pickled(path: Path, *, unsafe_pickle: bool = False, **settings: Any) -> Classifier:
    if not unsafe_pickle:
        msg = f"{path.name} is a pickle, which runs code when it is read: pass unsafe_pickle=True if you trust whoever wrote it"
        raise ValueError(msg)
    joblib = import_extra("joblib", "torch")
    try:
        model = joblib.load(path)
    except Exception as error:
        # A damaged file, or one of another version, can fail anywhere, with any error.
        msg = f"{path.name} cannot be read ({type(error).__name__}: {error}); is the package that it was written with installed?"
        raise UnreadableFileError(msg) from error
    try:
        trees = TreeClassifier.of(model, **settings)
    except NotCertifiableError:
        return CallableClassifier(model, n_classes=len(getattr(model, "classes_", (0, 1))), **settings)
    _compare_trees(trees, model.predict_proba, type(model).__module__.split(".")[0])
    return trees


def _compare_trees(classifier: TreeClassifier, native: Callable[[FloatArray], FloatArray], name: str) -> None:
    """Compare near the thresholds; with missing values where the library takes them."""
    values = classifier.cuts(_N_COMPARED, np.random.default_rng(0))
    try:
        native(values)
    except ValueError:
        values = np.nan_to_num(values)
    compare_scores(classifier, native, values, name)


def _compare(classifier: Classifier, native: Callable[[FloatArray], FloatArray], n_features: int, name: str) -> None:
    """Compare scores with those of the library that the file belongs to."""
    compare_scores(classifier, native, _far_off(n_features), name)


def _far_off(n_features: int) -> FloatArray:
    """Draw events of all magnitudes."""
    rng = np.random.default_rng(0)
    return np.asarray(rng.normal(size=(_N_COMPARED, n_features)) * 10.0 ** rng.integers(-1, 3, size=(_N_COMPARED, 1)))


def probabilities(logits: FloatArray) -> FloatArray:
    """Turn log-odds of class 1, or one number per class, into scores."""
    return np.asarray(expit(logits) if logits.shape[1] == 1 else softmax(logits, axis=1))


def compare_scores(
    classifier: Classifier, native: Callable[[FloatArray], FloatArray], values: FloatArray, name: str
) -> None:
    """Refuse a classifier whose scores are not those of the library that its file belongs to."""
    found, expected = classifier.scores(values), np.asarray(native(values), dtype=np.float64)
    expected = expected.reshape(len(values), -1)
    difference = float(np.abs(found[:, -expected.shape[1] :] - expected).max())
    if not difference <= _TOLERANCE:
        msg = (
            f"scores differ by up to {difference:.2g} from those of {name}, on {len(values)} events; give it as a function to "
            "hepfool.models.blackbox.CallableClassifier, and report the file"
        )
        raise ValueError(msg)


_PYTORCH: Final = (".pt2", ".pt", ".pth")
_GRAPHS: Final = (".onnx", ".keras", ".h5")
_TREES: Final = (".json", ".ubj", ".txt")
_PICKLES: Final = (".joblib", ".pkl")
#: Options that some kinds of files do not have.
_IDLE: Final = {
    "network": (*_GRAPHS, *_TREES, *_PICKLES),
    "unsafe_pickle": (*_GRAPHS, *_TREES),
    "output": (*_TREES, *_PICKLES),
}
_READERS: Final[dict[str, Callable[..., Classifier]]] = {
    **dict.fromkeys(_PYTORCH, _torch),
    ".onnx": _onnx,
    ".keras": _keras,
    ".h5": _keras,
    **dict.fromkeys(_TREES, _trees),
    **dict.fromkeys(_PICKLES, _pickled),
}
