# SPDX-License-Identifier: BSD-3-Clause
"""
Check before an attack that a network is what it is declared to be.

An attack believes that the answer to an event depends on this event alone, and that it is a probability.  A
network that breaks this is fooled without being attacked, or never: dropout left on, batch statistics, a sigmoid
that is taken for a logit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from hepfool.exceptions import NetworkWarning
from hepfool.models.protocols import Classifier
from hepfool.typing import FloatArray, IntArray

#: Events that are asked about once more, and from how many on their outputs are judged as a whole.
_N_ASKED: Final = 256
_N_JUDGED: Final = 20
#: Change of a score that rounding explains: absolute, and in units of the network's own resolution.
_ROUNDING, _ROUNDINGS = 1e-3, 10.0
_SUM_TOLERANCE: Final = 1e-2
#: How far values are stretched about their means, to find out whether an output has bounds.
_STRETCH: Final = 100.0
#: How near to zero a log-sigmoid comes for inputs far outside.
_AT_THE_BOUND: Final = 1e-3
_N_SIGMA: Final = 3.0
_RANDOM: Final = (
    "the network's answer to the same event differs by up to {0:.2g} between two calls: dropout or noise is on, or it keeps a state; "
    "use F.dropout(x, p, training=self.training), and call eval() before torch.export"
)
_TOGETHER: Final = (
    "the network's answer to an event changes by up to {0:.2g} with the other events of the call: it normalises over the events "
    "(batch statistics of BatchNorm, a softmax or LayerNorm over axis 0) or depends on their order; call eval() before "
    "torch.export, keep running statistics, and normalise over axis 1"
)


def require_classifier(classifier: object) -> None:
    """Refuse what is not a classifier, and say how to make it one."""
    if isinstance(classifier, Classifier):
        return
    name = type(classifier).__name__
    if hasattr(classifier, "predict_proba"):
        wrapped = "hepfool.models.blackbox.CallableClassifier(estimator, n_classes=2)"
    elif hasattr(classifier, "state_dict"):
        wrapped = (
            "hepfool.models.pytorch.TorchClassifier(module, output='logit'), or output='probability' if the module ends in a "
            "sigmoid or softmax"
        )
    elif callable(classifier):
        wrapped = "hepfool.models.blackbox.CallableClassifier(function, n_classes=2), of a function that returns probabilities"
    else:
        wrapped = "TorchClassifier(module, output='logit') or CallableClassifier(function, n_classes=2), or read it by hepfool.load_model"
    msg = f"a {name} is not a classifier yet; pass {wrapped}"
    raise TypeError(msg)


def check_names(classifier: Classifier, names: tuple[str, ...]) -> None:
    """Compare the inputs of an estimator that remembers their names with those of a table."""
    known = tuple(getattr(_innermost(classifier), "feature_names", ()))
    if not known or known == names:
        return
    if sorted(known) == sorted(names):
        msg = f"the estimator was trained on {', '.join(known)}, the table has them as {', '.join(names)}; put the columns in the order of the training"
        raise ValueError(msg)
    msg = f"the estimator was trained on {', '.join(known)}, the table has {', '.join(names)}; check that these are the same"
    warnings.warn(msg, NetworkWarning, stacklevel=4)


def check_scores(scores: FloatArray, n_events: int, classifier: Classifier) -> None:
    """Refuse scores of the wrong shape, without a value, or that are not probabilities."""
    if scores.shape != (n_events, classifier.n_classes):
        msg = f"the classifier returned scores of shape {scores.shape}, expected {(n_events, classifier.n_classes)}"
        raise ValueError(msg)
    bad = ~np.isfinite(scores).all(axis=1)
    if bad.any():
        msg = (
            f"the network's score is not finite for {int(bad.sum())} of {n_events} nominal events, "
            f"first at event {int(np.argmax(bad))}; check inputs and preprocessing, and the sentinel: missing values "
            "reach the network as NaN where the table names none that it expects"
        )
        raise ValueError(msg)
    sums = scores.sum(axis=1)
    if scores.min() < -_SUM_TOLERANCE or (np.abs(sums - 1.0) > _SUM_TOLERANCE).any():
        msg = (
            f"the classifier's scores lie in [{scores.min():.4g}, {scores.max():.4g}] and sum to {sums.min():.4g} to {sums.max():.4g} per "
            "event; scores are probabilities: in [0, 1], with a sum of one"
        )
        raise ValueError(msg)


def check_network(
    classifier: Classifier, values: FloatArray, labels: IntArray, scores: FloatArray, classes: IntArray
) -> tuple[str, ...]:
    """
    Evaluate some events once more, and compare.

    Costs a second call for half of the events, 256 at most, and one for a single event.
    """
    n_events = len(values)
    # Of all parts of the table, in an order that is always the same and nobody's random numbers.
    asked = np.unique(np.linspace(0, n_events - 1, min(_N_ASKED, max(n_events // 2, 1))).astype(np.int64))
    asked = np.random.default_rng(0).permutation(asked)
    _check_repeats(classifier, values[asked], scores[asked])
    if len(asked) >= _N_JUDGED:
        _check_variety(values[asked], labels[asked], scores[asked])
    outputs = _remark_on_outputs(classifier, values[asked]) if len(asked) >= _N_JUDGED else ""
    known = labels >= 0
    accuracy = "" if outputs else _remark_on_accuracy(classes[known], labels[known])
    return tuple(filter(None, (outputs, accuracy)))


def _check_repeats(classifier: Classifier, values: FloatArray, before: FloatArray) -> None:
    """Compare with the same events in two halves and alone."""
    tolerance = _ROUNDING + _ROUNDINGS * float(getattr(_innermost(classifier), "resolution", 0.0))
    half = len(values) // 2

    def asked(part: slice) -> FloatArray:
        given = values[part].copy()
        answer = np.asarray(classifier.scores(given))
        if not np.array_equal(given, values[part], equal_nan=True):
            msg = "the network changes its input in place, and with it the events of the attack; let it work on a copy"
            raise ValueError(msg)
        return answer

    parts = [slice(half), slice(half, None)] if half else [slice(None)]
    again = _answered(lambda: np.concatenate([asked(part) for part in parts]), before.shape, "two halves of the events")
    if np.abs(again - before).max() <= tolerance:
        again = _answered(lambda: asked(slice(1)), before[:1].shape, "a single event")
        before = before[:1]
    change = np.abs(again - before).max()
    if not change <= tolerance:
        between = np.abs(asked(slice(None)) - asked(slice(None))).max()
        text = _TOGETHER.format(change) if between <= tolerance else _RANDOM.format(max(between, change))
        raise ValueError(text)


def _answered(call: Callable[[], FloatArray], shape: tuple[int, ...], which: str) -> FloatArray:
    rule = "a network must answer any number of events, each by itself: let squeeze() name its axis, and export with a dynamic batch"
    try:
        answer = call()
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError) as error:
        msg = f"the network answers all events together, but fails for {which} ({error}); {rule}"
        raise ValueError(msg) from error
    if answer.shape != shape:
        msg = f"the network returned shape {answer.shape} for {which}, expected {shape}; {rule}"
        raise ValueError(msg)
    return answer


def _check_variety(values: FloatArray, labels: IntArray, scores: FloatArray) -> None:
    """Refuse a network that ignores its inputs; of one class it may be sure of every event."""
    if len(np.unique(labels)) > 1 and np.ptp(values, axis=0).any() and np.ptp(scores, axis=0).max() == 0.0:
        msg = (
            f"the network gives all {len(scores)} events that were tried the same scores {scores[0].round(4).tolist()}: it does not "
            "use its inputs; check weights and preprocessing"
        )
        raise ValueError(msg)


def _remark_on_outputs(classifier: Classifier, values: FloatArray) -> str:
    """Compare what a module returns with what it is said to return."""
    network = _innermost(classifier)
    if not hasattr(network, "outputs"):
        return ""
    # Spectators, and what a row has to beat, come behind its inputs.
    values = values[:, : network.n_features]
    raw = network.outputs(values)
    if raw.shape[1] == 1 and not np.isfinite(raw).all():
        msg = f"the network's output is infinite for {int((~np.isfinite(raw)).sum())} of {len(raw)} events; check its weights"
        raise ValueError(msg)
    sums = raw.sum(axis=1)
    sum_to_one = (np.abs(sums - 1.0) <= _SUM_TOLERANCE).all()
    several, inside = raw.shape[1] > 1, _all_within(raw, 0.0, 1.0)
    if network.output == "probability":
        if several and not sum_to_one:
            msg = (
                f"the network's {raw.shape[1]} probabilities sum to {sums.min():.3g} to {sums.max():.3g} per event: a sigmoid for each "
                "class does not choose between classes; end the network in a softmax, or leave the sigmoids out with output='logit'"
            )
            raise ValueError(msg)
        return ""
    if several and inside and sum_to_one:
        msg = "the network returns probabilities, which sum to one for every event, but is said to return logits; use output='probability'"
        raise ValueError(msg)
    return _remark_on_bounds(network, values, raw)


def _remark_on_bounds(network: Any, values: FloatArray, raw: FloatArray) -> str:
    """Warn of outputs that stay within bounds, where logits would grow with the inputs."""
    advice = {
        (0.0, 1.0): "as if it ended in a sigmoid; use output='probability', or the scores and classes are wrong",
        (-np.inf, 0.0): "as if it ended in a log-sigmoid; return the logit itself, or the classes are wrong",
        (-1.0, 1.0): "as if it ended in a tanh; return the logit itself, or the scores are wrong",
    }
    found = [bounds for bounds in advice if _all_within(raw, *bounds)]
    if not found:
        return ""
    far = network.outputs(_stretched(values))
    reach = np.concatenate([raw, far[np.isfinite(far).all(axis=1)]])
    for low, high in found:
        filled = high - low < np.inf and np.ptp(reach) > 0.9 * (high - low)
        if low == -np.inf and reach.max() < -_AT_THE_BOUND:  # far inputs bring a log-sigmoid to its bound
            continue
        # One class for every event is what makes a fooling ratio of zero.
        one_class = raw.shape[1] == 1 and (low, high) != (-1.0, 1.0)
        if _all_within(reach, low, high) and (filled or one_class) and not (raw.shape[1] > 1 and low == -np.inf):
            said = f"between {low:.0f} and {high:.0f}" if np.isfinite(low) else "below 0"
            return f"every output of the network lies {said}, though it is said to be a logit: {advice[low, high]}"
    return ""


def _stretched(values: FloatArray) -> FloatArray:
    """Values far outside; those that count or name something stay, as do missing ones."""
    counted = (values == np.round(values)).all(axis=0)
    centre = np.nanmean(np.where(np.isfinite(values), values, np.nan), axis=0)
    return np.where(counted, values, centre + _STRETCH * (values - centre))


def _all_within(raw: FloatArray, low: float, high: float) -> bool:
    return bool(((raw >= low) & (raw <= high)).all())


def _remark_on_accuracy(classes: IntArray, labels: IntArray) -> str:
    """Warn of an accuracy below that of the most frequent class; classes of a balanced training may be rare."""
    present, counts = np.unique(labels, return_counts=True)
    if len(present) < 2 or counts.min() < _N_JUDGED // 2:
        return ""
    if len(np.unique(classes)) == 1:
        return (
            f"the network says class {classes[0]} for all {len(classes)} events, of which {int((labels != classes[0]).sum())} are of "
            "another class; check output, threshold and preprocessing"
        )
    right = classes == labels
    accuracy, commonest = float(right.mean()), int(present[counts.argmax()])
    share = float(counts.max() / counts.sum())
    found = float(np.mean([right[labels == label].mean() for label in present]))
    error = float(np.sqrt((0.25 / counts).sum()) / len(present))
    text = f"the network's accuracy is {accuracy:.3f}, that of always saying class {commonest} is {share:.3f}"
    if found < 1.0 / len(present) - _N_SIGMA * error and accuracy < share:
        return f"{text}; are the classes of network and labels in another order?"
    if found < 1.0 / len(present) + _N_SIGMA * error and accuracy < share - _N_SIGMA * np.sqrt(0.25 / counts.sum()):
        return f"{text}; check output, threshold, order of the features and preprocessing"
    return ""


def _innermost(classifier: Any) -> Any:
    """Find the network behind wrappers and defences."""
    while not hasattr(classifier, "outputs") and hasattr(classifier, "classifier"):
        classifier = classifier.classifier
    return classifier
