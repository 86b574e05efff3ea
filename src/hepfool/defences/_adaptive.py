# SPDX-License-Identifier: BSD-3-Clause
r"""
Attack classifier and detector together.

A defence must hold against an attack that knows it.  :class:`DefendedClassifier`
is a classifier to every attack of the package: an event is fooled if its class has changed *and* the
detector does not flag it, and the margin to overcome contains both.  :func:`attack_defended` runs the naive and the
adaptive attack on the same events and puts their corrected fooling ratios side by side.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from hepfool.attacks._transfer import transferred
from hepfool.attacks.base import Attack, AttackResult, Target, run_attack
from hepfool.defences._detector import Detector, DetectorReport, check_features, evaluate
from hepfool.events import Envelope, EventTable
from hepfool.exceptions import GradientsUnavailableError
from hepfool.models.protocols import Classifier, DifferentiableClassifier, spectators_of
from hepfool.typing import BoolArray, FloatArray, IntArray

_LOWEST = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DefendedClassifier:
    r"""
    A classifier behind a detector, as an attack sees them.

    With the margins :math:`m_c` of the classifier and :math:`m_d` of the detector over its threshold, both in
    log-odds and positive while they hold, the margin of the system is the sum of
    the positive ones, :math:`\max(m_c, 0) + \lambda \max(m_d, 0)`, and the larger one where neither is positive.

    Attributes
    ----------
    classifier : Classifier
        Gives class and scores, and gradients to attacks that need them; a model without gradients goes into
        :class:`~hepfool.models.blackbox.FiniteDifference` or :class:`~hepfool.surrogate.Surrogate` first.
    detector_weight : float
        :math:`\lambda`.
    """

    classifier: Classifier
    detector: Detector
    detector_weight: float = 1.0

    def __post_init__(self) -> None:
        """Check that both take the same events."""
        if not self.detector_weight > 0:
            msg = f"detector_weight must be positive, got {self.detector_weight}"
            raise ValueError(msg)
        if self.classifier.n_features not in {None, self.detector.classifier.n_features}:
            msg = (
                f"the classifier takes {self.classifier.n_features} inputs, the detector "
                f"{self.detector.classifier.n_features}; they must see the same events"
            )
            raise ValueError(msg)

    @property
    def n_classes(self) -> int:
        """Number of classes of the classifier."""
        return self.classifier.n_classes

    @property
    def n_features(self) -> int:
        """Input width."""
        return self.detector.classifier.n_features

    @property
    def spectators(self) -> tuple[str, ...]:
        """Columns that the classifier is given behind its inputs, and the detector is not."""
        return spectators_of(self.classifier)

    @property
    def context(self) -> Any:
        """What the classifier computes of all events, if it does."""
        return getattr(self.classifier, "context", None)

    @property
    def digest(self) -> str:
        """SHA-256 of both networks, the detector's threshold and its weight."""
        parts = (self.classifier.digest, self.detector.classifier.digest, self.detector.threshold, self.detector_weight)
        return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()

    def scores(self, values: FloatArray) -> FloatArray:
        """Class probabilities of the classifier; see :meth:`~hepfool.models.protocols.Classifier.scores`."""
        return self.classifier.scores(values)

    def predict(self, values: FloatArray) -> IntArray:
        """Classes of the classifier, for flagged events as well."""
        return self.classifier.predict(values)

    def fooled(self, values: FloatArray, classes: IntArray) -> BoolArray:
        """Mark the events of another class that are not flagged; see :meth:`~hepfool.models.protocols.Defended.fooled`."""
        return np.asarray((self.classifier.predict(values) != classes) & ~self.detector.flags(self._inputs(values)))

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """
        Margin of classifier and detector together, in log-odds and positive until the event is fooled, and its gradient.

        Raises
        ------
        GradientsUnavailableError
            If the classifier gives scores only.
        """
        if not isinstance(self.classifier, DifferentiableClassifier):
            msg = (
                f"{type(self.classifier).__name__} gives no gradients; "
                "wrap it in hepfool.models.blackbox.FiniteDifference before it is defended"
            )
            raise GradientsUnavailableError(msg)
        network = self.detector.classifier
        parts = [
            self.classifier.margin_and_gradient(values, labels),
            network.margin_and_gradient(self._inputs(values), np.ones_like(labels)),
        ]
        # A score cannot exceed a threshold of one; one of zero is exceeded by any, and a margin must be finite.
        own = math.inf if self.detector.threshold >= 1 else special.logit(max(self.detector.threshold, _LOWEST))
        beyond = special.logit(network.threshold) - own
        margins = np.stack([parts[0][0], self.detector_weight * (parts[1][0] + beyond)])
        gradients = np.stack([parts[0][1], self.detector_weight * parts[1][1]])
        holding = margins > 0
        # Where nothing holds any more, the weaker success counts.
        counted = np.where(holding.any(axis=0), holding, margins == margins.max(axis=0))
        return np.where(counted, margins, 0.0).sum(axis=0), np.where(counted[..., None], gradients, 0.0).sum(axis=0)

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross-entropy with the margin as log-odds of the label, and its gradient."""
        margin, gradient = self.margin_and_gradient(values, labels)
        return np.logaddexp(0.0, -margin), -special.expit(-margin)[:, np.newaxis] * gradient

    def _inputs(self, values: FloatArray) -> FloatArray:
        return values[:, : self.n_features]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdaptiveAttack:
    """
    Corrected fooling ratios of an attack without and with knowledge of the detector.

    Attributes
    ----------
    naive, adaptive : DetectorReport
        Reports on the same events; compare their ``corrected_fooling_ratio``.
    naive_result, adaptive_result : AttackResult
        Adversarial events.  In ``adaptive_result`` an event is fooled only if it is not flagged.
    difference, difference_error : float
        Adaptive less naive corrected fooling ratio, and its standard error from the paired events.
    """

    naive: DetectorReport
    adaptive: DetectorReport
    naive_result: AttackResult
    adaptive_result: AttackResult
    difference: float
    difference_error: float


def attack_defended(
    attack: Attack,
    defended: DefendedClassifier,
    table: EventTable,
    *,
    rng: np.random.Generator,
    target: Target = "correct",
    envelope: Envelope | None = None,
    naive: AttackResult | None = None,
    resume: str | Path | None = None,
) -> AdaptiveAttack:
    """
    Attack the classifier alone and then the defended system, with the same attack.

    Parameters
    ----------
    table : EventTable
        Events that neither was trained on.
    naive : AttackResult, optional
        The attack on the classifier alone, if it was run before; the bins of its marginals are used for both.
    resume : str or Path, optional
        File of finished iterations of the attack on the defended system, see :func:`hepfool.run_attack`.

    Raises
    ------
    ValueError
        If the input cannot be attacked, or ``naive`` is an attack on other events or another network.
    """
    check_features(defended.detector.features, table)
    first, second = rng.spawn(2)
    if naive is None:
        naive = run_attack(attack, defended.classifier, table, rng=first, target=target, envelope=envelope)
    elif naive.nominal is not table or naive.classifier_digest != defended.classifier.digest:
        msg = "the naive attack is one on other events or another network; leave it out to run it here"
        raise ValueError(msg)
    adaptive = run_attack(
        attack,
        defended,
        table,
        rng=second,
        target=naive.attacked,
        envelope=envelope,
        binning=naive.binning,
        resume=resume,
    )
    # Both are judged alike: classifier and detector one after the other.
    judged = transferred(adaptive, defended.classifier, attacked=adaptive.attacked)
    reports = [evaluate(defended.detector, result) for result in (naive, judged)]
    difference, error = _paired(defended, naive, adaptive)
    return AdaptiveAttack(
        naive=reports[0],
        adaptive=reports[1],
        naive_result=naive,
        adaptive_result=adaptive,
        difference=difference,
        difference_error=error,
    )


def _paired(defended: DefendedClassifier, naive: AttackResult, adaptive: AttackResult) -> tuple[float, float]:
    weights = naive.nominal.weights[naive.attacked]
    passed = naive.fooled & ~defended.detector.flags(naive.adversarial.network_values)
    change = adaptive.fooled[naive.attacked].astype(np.float64) - passed[naive.attacked]
    total = weights.sum()
    mean = float((weights * change).sum() / total)
    return mean, float(np.sqrt((weights**2 * (change - mean) ** 2).sum()) / abs(total))
