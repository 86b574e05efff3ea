# SPDX-License-Identifier: BSD-3-Clause
"""Judge the events of an attack with another network than the one attacked."""

from __future__ import annotations

import warnings
from dataclasses import replace

from hepfool.attacks._result import AttackResult, moved_events
from hepfool.events import UNLABELLED
from hepfool.exceptions import NetworkWarning
from hepfool.models._probe import check_network, check_scores, require_classifier
from hepfool.models.protocols import Classifier, inputs_of
from hepfool.typing import BoolArray


def transferred(result: AttackResult, classifier: Classifier, *, attacked: BoolArray | None = None) -> AttackResult:
    """
    Ask a network what it makes of adversarial events.

    With the attacked network this is a white-box attack; with one of another training, of
    which the attack knew data and architecture only, a grey-box one.

    Parameters
    ----------
    result : AttackResult
        Adversarial events.
    classifier : Classifier
        The network that judges.
    attacked : BoolArray, shape (n_events,), optional
        Events in the denominator; by default those of ``result`` that ``classifier`` gets right before
        the attack, and unlabelled ones.  Give ``result.attacked`` after an attack on all events.

    Returns
    -------
    AttackResult
        The same events; an event is fooled if it counts as attacked and ``classifier`` gives it another class
        after the attack than before.

    Raises
    ------
    ValueError
        If no event is left, or the network is not what it is taken for, see :func:`hepfool.models._probe.check_network`.
    """
    require_classifier(classifier)
    nominal, adversarial = (inputs_of(classifier, table) for table in (result.nominal, result.adversarial))
    scores, classes = classifier.scores(nominal), classifier.predict(nominal)
    check_scores(scores, len(nominal), classifier)
    for remark in check_network(classifier, nominal, result.nominal.labels, scores, classes):
        warnings.warn(remark, NetworkWarning, stacklevel=2)
    if attacked is None:
        # To be put right by an attack is not to be fooled.
        labels = result.nominal.labels
        attacked = result.attacked & ((classes == labels) | (labels == UNLABELLED))
    if not attacked.any():
        msg = "no attacked event is left to judge; do both networks have the same classes?"
        raise ValueError(msg)
    return replace(
        result,
        classes=classes,
        attacked=attacked,
        fooled=attacked
        & moved_events(result.nominal, result.adversarial.values)
        & (classifier.predict(adversarial) != classes),
        nominal_scores=scores,
        adversarial_scores=classifier.scores(adversarial),
        history=(),
        classifier_digest=classifier.digest,
        provenance={**result.provenance, "attacked_network": result.classifier_digest},
    )
