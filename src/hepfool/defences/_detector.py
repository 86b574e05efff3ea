# SPDX-License-Identifier: BSD-3-Clause
r"""
Separate adversarial from nominal events with a second network.

Train on attacks on the training and validation splits (:func:`train_detector`),
judge on the attack on the test split (:func:`evaluate` at the detector's threshold,
:func:`~hepfool.defences.detector_curves` at every one): efficiencies on
training events are biased.  What counts is the corrected fooling
ratio: events that are fooled *and* not flagged, over attacked events.
A detector is kept in a folder (:func:`write_detector`) as parameters and plain JSON, without pickled code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hepfool._settings import DetectorSettings
from hepfool.attacks._convergence import weighted_fraction
from hepfool.attacks.base import AttackResult
from hepfool.events import EventTable
from hepfool.io._files import written_whole
from hepfool.io._verified import read_verified_json, write_verified_json
from hepfool.models._networks import Standardise, mlp
from hepfool.models.files import load_torch, save_state
from hepfool.models.pytorch import TorchClassifier
from hepfool.training import auroc, fit
from hepfool.typing import BoolArray, FloatArray, ProgressCallback


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detector:
    """
    A network whose class 1 is "adversarial", and the score from which it flags.

    Attributes
    ----------
    classifier : TorchClassifier
        Two classes: nominal and adversarial.
    threshold : float
        Events with a larger score are flagged.
    features : tuple of str
        Input columns, in network order.
    hidden : tuple of int
        Nodes of each hidden layer.
    provenance : mapping
        Attack, attacked network, seed and numbers of the training.
    """

    classifier: TorchClassifier
    threshold: float
    features: tuple[str, ...]
    hidden: tuple[int, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def interrupted(self) -> bool:
        """Whether its training was stopped before the end."""
        return bool(self.provenance.get("interrupted"))

    def score(self, values: FloatArray) -> FloatArray:
        """
        Probability that an event is adversarial.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Network inputs in physical units, such as ``table.network_values``.

        Returns
        -------
        FloatArray, shape (n_events,)
            In [0, 1], for equally frequent nominal and adversarial events.
        """
        return self.classifier.scores(values)[:, 1]

    def flags(self, values: FloatArray) -> BoolArray:
        """
        Mark the events that look adversarial.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Network inputs in physical units, such as ``table.network_values``.

        Returns
        -------
        BoolArray, shape (n_events,)
            True where the score exceeds the threshold.
        """
        return np.asarray(self.score(values) > self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorReport:
    r"""
    What a detector does on events that it was not trained on.

    All fractions are weighted.  ``efficiency`` of nominal events is the fraction
    that is *not* flagged, of adversarial events the fraction that *is* flagged.

    Attributes
    ----------
    n_clean, n_attacked, n_fooled, n_fooled_unflagged : int
        Plain numbers of events.
    threshold : float
        Score above which an event is flagged.
    clean_efficiency_by_class : mapping of int to float
        Unflagged fraction of the nominal events of each label.
    efficiency_fooled, efficiency_unfooled, efficiency_adversarial : float
        Flagged fraction of adversarial events that are fooled, that are not, and of both.
    fooling_ratio : float
        Fooled over attacked.
    corrected_fooling_ratio, corrected_fooling_ratio_error : float
        Fooled and not flagged over attacked, counted jointly, and its
        standard error, to which a bootstrap over events converges.
    product_fooling_ratio : float
        ``fooling_ratio * (1 - efficiency_adversarial)``, as if flags and fooling were independent.
    auroc : float
        Area under the ROC curve, nominal against fooled events; NaN without fooled events.
    """

    n_clean: int
    n_attacked: int
    n_fooled: int
    n_fooled_unflagged: int
    threshold: float
    clean_efficiency: float
    clean_efficiency_by_class: Mapping[int, float]
    efficiency_fooled: float
    efficiency_unfooled: float
    efficiency_adversarial: float
    fooling_ratio: float
    corrected_fooling_ratio: float
    corrected_fooling_ratio_error: float
    product_fooling_ratio: float
    auroc: float

    @property
    def clean_efficiency_signal(self) -> float:
        """Unflagged fraction of nominal events of label 1; NaN without any."""
        return self.clean_efficiency_by_class.get(1, float("nan"))

    @property
    def clean_efficiency_background(self) -> float:
        """Unflagged fraction of nominal events of label 0; NaN without any."""
        return self.clean_efficiency_by_class.get(0, float("nan"))


def train_detector(
    train: AttackResult,
    validation: AttackResult,
    *,
    seed: int,
    clean: tuple[EventTable, EventTable] | None = None,
    settings: DetectorSettings | None = None,
    progress: ProgressCallback | None = None,
) -> Detector:
    """
    Train on nominal against fooled events, and set the threshold.

    Parameters
    ----------
    train, validation : AttackResult
        The same attack on the training and on the validation split.  Only fooled
        events count as adversarial.
    clean : (EventTable, EventTable), optional
        Nominal events for training and validation; those of the attacks by default.
    settings : DetectorSettings, optional
        Network, required efficiency and training.
    progress : callable, optional
        Called with a message on each finished epoch and the finished fraction.

    Returns
    -------
    Detector
        With the smallest threshold that leaves the required fraction of nominal
        validation events, or of those of one class, unflagged.  Negative weights count by their size here.

    Raises
    ------
    ValueError
        If an attack fooled no event, the tables differ in their features, or the class has no events.
    """
    settings = DetectorSettings() if settings is None else settings
    nominal = (train.nominal, validation.nominal) if clean is None else clean
    samples = [
        _sample(name, result, table)
        for name, result, table in zip(("training", "validation"), (train, validation), nominal, strict=True)
    ]

    def network() -> Any:
        return mlp(samples[0].n_features, settings.hidden, preprocessing=Standardise.of(samples[0]))

    result = fit(network, *samples, seed=seed, settings=settings.training, progress=progress)
    threshold = _threshold(result.classifier, nominal[1], settings)
    return Detector(
        classifier=result.classifier,
        threshold=threshold,
        features=samples[0].features.names,
        hidden=settings.hidden,
        provenance={
            "attack": repr(train.attack),
            "attacked_network": train.classifier_digest,
            "seed": seed,
            "n_clean": nominal[0].n_events,
            "n_fooled": int(train.fooled.sum()),
            "clean_efficiency": settings.clean_efficiency,
            "efficiency_class": settings.efficiency_class,
            "best_epoch": result.best_epoch,
            "interrupted": result.interrupted,
            "validation_auroc": result.validation_auroc,
        },
    )


def _threshold(classifier: TorchClassifier, nominal: EventTable, settings: DetectorSettings) -> float:
    """Find the smallest one that leaves the required fraction unflagged."""
    chosen = np.ones(nominal.n_events, dtype=np.bool_)
    if settings.efficiency_class is not None:
        chosen = nominal.labels == settings.efficiency_class
    if not chosen.any():
        present = ", ".join(map(str, np.unique(nominal.labels)))
        msg = (
            f"efficiency_class={settings.efficiency_class} has no nominal validation event, so no threshold follows from it; "
            f"there are classes {present}"
        )
        raise ValueError(msg)
    scores = classifier.scores(nominal.network_values[chosen])[:, 1]
    order = np.argsort(scores, kind="stable")
    below = np.abs(nominal.weights[chosen])[order].cumsum()
    return float(scores[order][np.searchsorted(below / below[-1], settings.clean_efficiency)])


def evaluate(detector: Detector, test: AttackResult, *, clean: EventTable | None = None) -> DetectorReport:
    """
    Evaluate a detector on an attack on the test split.

    Parameters
    ----------
    test : AttackResult
        The attack on the test split.
    clean : EventTable, optional
        Nominal events; those of the attack by default.

    Raises
    ------
    ValueError
        If the features differ from those of the detector.
    """
    clean = test.nominal if clean is None else clean
    for table in (clean, test.nominal):
        check_features(detector.features, table)
    scores = detector.score(test.adversarial.network_values)
    clean_scores = detector.score(clean.network_values)
    flagged, clean_flagged = scores > detector.threshold, clean_scores > detector.threshold
    attacked, fooled, weights = test.attacked, test.fooled, test.nominal.weights
    efficiency_adversarial = _fraction(flagged, weights, attacked)
    remaining = fooled & ~flagged
    corrected, error = weighted_fraction(remaining[attacked], weights[attacked])
    by_class = {int(c): _fraction(~clean_flagged, clean.weights, clean.labels == c) for c in np.unique(clean.labels)}
    return DetectorReport(
        n_clean=clean.n_events,
        n_attacked=int(attacked.sum()),
        n_fooled=int(fooled.sum()),
        n_fooled_unflagged=int(remaining.sum()),
        threshold=detector.threshold,
        clean_efficiency=_fraction(~clean_flagged, clean.weights),
        clean_efficiency_by_class={c: e for c, e in by_class.items() if c >= 0},
        efficiency_fooled=_fraction(flagged, weights, fooled),
        efficiency_unfooled=_fraction(flagged, weights, attacked & ~fooled),
        efficiency_adversarial=efficiency_adversarial,
        fooling_ratio=test.fooling_ratio,
        corrected_fooling_ratio=corrected,
        corrected_fooling_ratio_error=error,
        product_fooling_ratio=test.fooling_ratio * (1.0 - efficiency_adversarial),
        auroc=_separation((clean_scores, clean.weights), (scores[fooled], weights[fooled])),
    )


def check_features(names: tuple[str, ...], table: EventTable) -> None:
    """Refuse events of other features."""
    if table.features.names != names:
        msg = f"the events have the features {table.features.names}, expected {names} in this order"
        raise ValueError(msg)


def _sample(name: str, result: AttackResult, clean: EventTable) -> EventTable:
    """Nominal events with label 0 and fooled ones with label 1."""
    check_features(result.nominal.features.names, clean)
    if not result.fooled.any():
        msg = f"the attack fooled no {name} event, so there is nothing for a detector to find; use a stronger attack"
        raise ValueError(msg)
    fooled = result.adversarial.select(result.fooled)
    return EventTable.from_arrays(
        np.concatenate([clean.values, fooled.values]),
        labels=np.repeat([0, 1], [clean.n_events, fooled.n_events]),
        features=result.nominal.features,
        weights=np.concatenate([clean.weights, fooled.weights]),
        sentinel=result.nominal.sentinel,
    )


def _fraction(passed: BoolArray, weights: FloatArray, events: BoolArray | None = None) -> float:
    """Weighted fraction of the events that pass; NaN without events."""
    chosen = np.ones(len(passed), dtype=np.bool_) if events is None else events
    total = weights[chosen].sum()
    return float(weights[chosen & passed].sum() / total) if total else float("nan")


def _separation(clean: tuple[FloatArray, FloatArray], fooled: tuple[FloatArray, FloatArray]) -> float:
    if not len(clean[0]) or not len(fooled[0]):
        return float("nan")
    labels = np.repeat([0, 1], [len(clean[0]), len(fooled[0])])
    scores, weights = (np.concatenate(pair) for pair in zip(clean, fooled, strict=True))
    return auroc(labels, scores, weights)


#: Nobody trains wider detectors; a damaged record could ask for all memory.
_WIDEST = 10_000
_STATE_FILE, _RECORD_FILE = "detector.pt", "detector.json"
_FILES = {_STATE_FILE, _RECORD_FILE}


class _Record(BaseModel):
    """What belongs to a detector beside its parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: tuple[str, ...] = Field(min_length=1, max_length=_WIDEST)
    hidden: tuple[Annotated[int, Field(gt=0, le=_WIDEST)], ...] = Field(max_length=100)
    threshold: float = Field(ge=0, le=1)
    digest: str
    provenance: dict[str, Any]


def write_detector(detector: Detector, folder: str | Path) -> None:
    """
    Write a detector, completely or not at all.

    Parameters
    ----------
    folder : str or pathlib.Path
        Created, or replaced as a whole if it holds a detector and nothing else.

    Raises
    ------
    FileExistsError
        If it holds anything else.
    """
    folder = Path(folder)
    foreign = sorted({found.name for found in folder.iterdir()} - _FILES) if folder.is_dir() else []
    if foreign:
        msg = (
            f"{folder} holds {foreign[0]}, which is not part of a detector, so it is not replaced; name another folder"
        )
        raise FileExistsError(msg)
    record = _Record(
        features=detector.features,
        hidden=detector.hidden,
        threshold=detector.threshold,
        digest=detector.classifier.digest,
        provenance=dict(detector.provenance),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(folder, force=True) as temporary:
        temporary.mkdir()
        save_state(detector.classifier, temporary / _STATE_FILE)
        write_verified_json(temporary / _RECORD_FILE, record.model_dump(mode="json"))


def read_detector(folder: str | Path, *, device: str = "cpu") -> Detector:
    """
    Read a detector back.

    Parameters
    ----------
    device : str
        Where the detector shall run.

    Returns
    -------
    Detector
        Gives the same scores and flags.

    Raises
    ------
    ValueError
        If the record is damaged, or the parameters are not those that it was written with.
    """
    folder = Path(folder)
    record = _read_record(folder / _RECORD_FILE)
    n_features = len(record.features)
    layer = Standardise(np.zeros(n_features), np.ones(n_features))
    network = mlp(n_features, record.hidden, preprocessing=layer)
    classifier = load_torch(folder / _STATE_FILE, network=network, device=device)
    if classifier.digest != record.digest:
        msg = f"{_STATE_FILE} and {_RECORD_FILE} in {folder} do not belong together; write the detector again"
        raise ValueError(msg)
    return Detector(
        classifier=classifier,
        threshold=record.threshold,
        features=record.features,
        hidden=record.hidden,
        provenance=record.provenance,
    )


def _read_record(path: Path) -> _Record:
    try:
        # Earlier versions wrote no digest; the name of a damaged one is refused as an unknown member.
        content = json.loads(path.read_bytes())
        digest = content.pop("sha256", None) if isinstance(content, dict) else None
        record = _Record.model_validate_json(json.dumps(content))
        if digest is not None:
            read_verified_json(path)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        msg = f"{path} is not a detector's record: {error}; write the detector again"
        raise ValueError(msg) from None
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(str(part) for part in found["loc"]) or "the file"
        msg = f"{path} is not a detector's record: {where}: {found['msg']}; write the detector again"
        raise ValueError(msg) from None
    return record
