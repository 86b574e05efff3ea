# SPDX-License-Identifier: BSD-3-Clause
"""Fill :class:`~hepfool.sums.AttackSums` from events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from hepfool.attacks._problem import validation_of
from hepfool.attacks.base import Attack, AttackResult
from hepfool.events import EventTable
from hepfool.events._region import region_titles
from hepfool.models.protocols import Classifier, inputs_of, threshold_of
from hepfool.statistics._comparisons import Validated
from hepfool.statistics._compatibility import Compatibility
from hepfool.statistics._exact import ExactSum
from hepfool.statistics._migration import Migration
from hepfool.statistics.marginals import Binning
from hepfool.studies._contributions import ALL_EVENTS, varied_mask
from hepfool.sums._record import N_SCORE_BINS, AttackSums, Compared, Key, middle_of, summed_moments
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.worst_case._caps import attack_caps
from hepfool.worst_case.composition import composition_weights

#: Most bins of a figure between the outer edges of the attack's bins, which have a round width; integers have one per number.
FIGURE_BINS: Final = 50

_ROUND, _ROUNDING = (1.0, 2.0, 2.5, 5.0, 10.0), 1e-9
_SCORE_BINS: Final = Binning(np.linspace(0.0, 1.0, N_SCORE_BINS + 1)[np.newaxis])

#: Log odds of the score in which the area under the ROC curve is computed.
_ODDS: Final = Binning(np.linspace(-20.0, 20.0, 8001)[np.newaxis])


class Flagging(Protocol):
    """A detector: scores events, and flags those above its threshold."""

    @property
    def threshold(self) -> float:
        """Score above which an event is flagged."""
        ...

    def score(self, values: FloatArray) -> FloatArray:
        """Probability that an event is adversarial."""
        ...


@dataclass(slots=True)
class _Filling:
    """Collects sums of one table by dataset, label and region."""

    table: EventTable
    sums: dict[Key, ExactSum] = field(default_factory=dict)

    def parts(self, masks: Mapping[str, BoolArray]) -> Iterator[tuple[dict[str, str], BoolArray]]:
        """Go through what holds events."""
        labels = self.table.labels
        for dataset in self.table.datasets:
            events = self.table.dataset_mask(dataset)
            for label in np.unique(labels[events]):
                for region, mask in masks.items():
                    chosen = events & (labels == label) & mask
                    if chosen.any():
                        yield {"dataset": dataset, "label": str(label), "region": region}, chosen

    def add(self, what: str, values: Any, **of: str) -> None:
        """Keep one sum."""
        self.sums[Key(what, **of)] = ExactSum.of(values)

    def distributions(
        self,
        variation: str,
        table: EventTable,
        masks: Mapping[str, BoolArray],
        scores: FloatArray,
        binning: Binning,
        flagged: BoolArray | None = None,
    ) -> None:
        """Fill inputs and scores, the latter of flagged events too."""
        columns = scores[:, 1:] if scores.shape[1] == 2 else scores
        edges = Binning(np.repeat(_SCORE_BINS.edges, columns.shape[1], axis=0))
        for of, chosen in self.parts(masks):
            weights = table.weights[chosen]
            for what, bins, values in (("inputs", binning, table.values), ("score", edges, columns)):
                yields = [bins.yields(values[chosen], w) for w in (weights, weights**2)]
                kept = np.stack(yields) if what == "inputs" else np.stack(yields)[..., :-1]
                self.add(what, kept, variation=variation, **of)
            if flagged is not None:
                both, w = chosen & flagged, table.weights[chosen & flagged]
                rows = [edges.yields(columns[both], each)[..., :-1] for each in (w, w**2)]
                self.add("flagged score", np.stack(rows), variation=variation, **of)

    def counts(self, variation: str, masks: Mapping[str, BoolArray], groups: Mapping[str, BoolArray]) -> None:
        """Count events of each group."""
        for of, chosen in self.parts(masks):
            for name, events in groups.items():
                w = self.table.weights[chosen & events]
                self.add(
                    "count", [len(w), w.sum(), (w**2).sum(), np.abs(w).sum()], variation=variation, name=name, **of
                )

    def marginals(self, adversarial: EventTable, masks: Mapping[str, BoolArray], binning: Binning) -> None:
        """Fill the bins of figures, and what moved between them."""
        for j, feature in enumerate(self.table.features):
            for region, rows in figure_rows(self.table, adversarial, j, binning, masks):
                self.add("marginal", rows, region=region, name=feature.name)


def figure_rows(
    nominal: EventTable, adversarial: EventTable, column: int, binning: Binning, masks: Mapping[str, BoolArray]
) -> Iterator[tuple[str, list[FloatArray]]]:
    """Fill the bins of a feature's figure by region: yields and variances before and after, and what moved between them."""
    bins = Binning(figure_edges(nominal.features[column].kind, binning.edges[column])[np.newaxis])
    old, new = (bins.indices(t.values[:, column : column + 1])[:, 0] for t in (nominal, adversarial))
    for region, mask in masks.items():
        present = mask & ~nominal.missing[:, column]
        weights = nominal.weights[present]
        moved = Migration.between(old[present], new[present], weights, n_bins=bins.n_bins)
        filled: list[FloatArray] = [
            np.bincount(index[present], weights=w, minlength=bins.n_bins).astype(np.float64, copy=False)
            for index in (old, new)
            for w in (weights, weights**2)
        ]
        yield region, [*filled, moved.net, moved.variance]


def figure_edges(kind: str, edges: FloatArray) -> FloatArray:
    """Cut the range of a feature into the bins of a figure."""
    if kind == "integer":
        return np.arange(np.floor(edges[0]), np.ceil(edges[-1]) + 2) - 0.5
    width = _round_up((edges[-1] - edges[0]) / FIGURE_BINS)
    first, last = np.floor(edges[0] / width + _ROUNDING), np.ceil(edges[-1] / width - _ROUNDING)
    return np.asarray(width * np.arange(first, last + 1))


def _round_up(width: float) -> float:
    """Give the next width that a reader takes for round."""
    power = 10.0 ** np.floor(np.log10(width))
    return float(power * next(digit for digit in _ROUND if digit * power >= width * (1.0 - _ROUNDING)))


def _masks(table: EventTable) -> dict[str, BoolArray]:
    masks = {region.name: region.mask for region in table.regions}
    reserved = masks.keys() & {"constrained", "all"}
    if reserved:
        msg = f"region names {sorted(reserved)} are reserved for unions of regions; rename them"
        raise ValueError(msg)
    return {**masks, "constrained": table.constrained, "all": np.ones(table.n_events, dtype=np.bool_)}


def _varied_masks(table: EventTable, values: FloatArray) -> dict[str, BoolArray]:
    """Regions of the events under a shape variation, into and out of which they may migrate."""
    masks = {region.name: varied_mask(region, table, values) for region in table.regions}
    none = np.zeros(table.n_events, dtype=np.bool_)
    looked_at = [masks[region.name] for region in table.regions if region.constrained] if table.regions else [~none]
    return {**masks, "constrained": np.logical_or.reduce([none, *looked_at]), "all": ~none}


def _facts(table: EventTable, classifier: Classifier, binning: Binning, detector: Flagging | None) -> dict[str, Any]:
    return {
        "classifier": classifier.digest,
        "n_classes": classifier.n_classes,
        "threshold": getattr(classifier, "threshold", None),
        "features": tuple((feature.name, feature.title, feature.kind) for feature in table.features),
        "binning": binning,
        "regions": tuple((region.name, region.role) for region in table.regions),
        **({} if detector is None else {"detector_threshold": detector.threshold}),
    }


def data_sums(
    table: EventTable,
    classifier: Classifier,
    binning: Binning,
    *,
    detector: Flagging | None = None,
    unblind: bool = False,
) -> AttackSums:
    """
    Sum up events that are not attacked: collision data.

    Parameters
    ----------
    unblind : bool
        Whether to look at events of signal regions.

    Returns
    -------
    AttackSums
        Sums of the variation ``data``, to be added to those of the simulation.
    """
    blinded = [region.mask for region in table.regions if not region.constrained]
    if blinded and not unblind:
        table = table.select(~np.logical_or.reduce(blinded))
    filling, masks = _Filling(table), _masks(table)
    groups = {"events": masks["all"], **_identities(table)}
    if detector is not None and table.n_events:
        score = detector.score(table.network_values)
        groups["flagged"] = score > detector.threshold
        _detector_scores(filling, "data", masks, score)
    if table.n_events:
        scores = classifier.scores(inputs_of(classifier, table))
        filling.distributions("data", table, masks, scores, binning, groups.get("flagged"))
    filling.counts("data", masks, groups)
    facts = _facts(table, classifier, binning, detector)
    return AttackSums(facts=facts, datasets=_held(table), sums=_sorted(filling.sums))


def untouched(table: EventTable, classifier: Classifier, attack: Attack, binning: Binning) -> AttackResult:
    """Describe events that could not be attacked, so that they are counted beside those that were."""
    none, unknown = np.zeros(table.n_events, dtype=np.bool_), np.full(table.n_features, np.nan)
    scores = classifier.scores(inputs_of(classifier, table))
    validation, validated = validation_of(attack), Validated()
    if validation is not None:
        threshold = threshold_of(classifier)
        try:
            validated = validation.measure(table, table, binning=binning, scores=(scores, scores), threshold=threshold)
        except ValueError:  # so few events give no bins or caps
            validation = None
    return AttackResult(
        attack=attack,
        nominal=table,
        adversarial=table,
        attacked=none,
        fooled=none,
        nominal_scores=scores,
        adversarial_scores=scores,
        classes=classifier.predict(inputs_of(classifier, table)),
        binning=binning,
        compatibility=Compatibility(
            features=table.features.names,
            region="constrained",
            n_events=0,
            n_effective=0.0,
            js_distance=unknown,
            js_floor=unknown,
            correlation_nominal=np.diag(unknown),
            correlation_adversarial=np.diag(unknown),
            correlation_shift=math.nan,
            correlation_floor=math.nan,
        ),
        validation=validation,
        validated=validated,
        classifier_digest=classifier.digest,
    )


def sums_of(
    result: AttackResult,
    classifier: Classifier,
    *,
    detector: Flagging | None = None,
    flagged: BoolArray | None = None,
    selected_class: int = 1,
) -> AttackSums:
    """
    Sum up the events of an attack, before, after, and under every systematic variation of the table.

    Parameters
    ----------
    flagged : BoolArray, shape (n_events,), optional
        Adversarial events that are flagged; those of the detector by default.
    selected_class : int
        Class that the score selection keeps.

    Returns
    -------
    AttackSums
        To be added to those of other attacks of the same kind.
    """
    table, adversarial, binning = result.nominal, result.adversarial, result.binning
    masks = _masks(table)
    filling = _Filling(table)
    of_nominal, of_adversarial = (_flags(detector, one) for one in (table, adversarial))
    filling.distributions("nominal", table, masks, result.nominal_scores, binning, of_nominal)
    filling.distributions("adversarial", adversarial, masks, result.adversarial_scores, binning, of_adversarial)
    for of, chosen in filling.parts(masks):
        for variation, values in (("nominal", table.values), ("adversarial", adversarial.values)):
            row = summed_moments(values[chosen], table.weights[chosen], middle_of(binning))
            filling.add("moments", row, variation=variation, **of)
    filling.marginals(adversarial, masks, binning)
    _area(filling, result.nominal_scores)
    if detector is not None:
        scores = {v: detector.score(t.network_values) for v, t in (("nominal", table), ("adversarial", adversarial))}
        for variation, score in scores.items():
            _detector_scores(filling, variation, masks, score)
        _detector_scores(filling, "fooled", {k: m & result.fooled for k, m in masks.items()}, scores["adversarial"])
        of_nominal = scores["nominal"] > detector.threshold
        selected = of_nominal & (result.classes == selected_class if len(result.classes) else False)
        filling.counts("nominal", masks, {"flagged": of_nominal, "flagged selected": selected})
        flagged = scores["adversarial"] > detector.threshold if flagged is None else flagged
    filling.counts("nominal", masks, _nominal_groups(result, table, selected_class))
    filling.counts("adversarial", masks, _adversarial_groups(result, flagged))
    shapes, weights = _effects(filling, result, classifier, flagged, selected_class, detector)
    compared = _compared(filling, result)
    for part in result.not_attacked:
        filling.add("left out", [part.n_events, part.weight], name=part.name)
    found, score_caps = composition_weights(result, classifier) if result.attacked.any() else ({}, {})
    for (region, name), value in found.items():
        filling.add("composition", value, region=region, name=name)
    facts = {
        **_facts(table, classifier, binning, detector),
        "region_titles": region_titles(table.regions, table.features),
        "attack": repr(result.attack),
        "n_iterations": result.attack.n_iterations,
        "selected_class": selected_class,
        "shapes": shapes,
        "weights": weights,
        "flagged": flagged is not None,
        **({} if result.validation is None else {"not_compared": result.validated.not_compared}),
    }
    return AttackSums(
        facts=facts,
        datasets=_held(table),
        iterations_done=result.iterations_done if result.iterations_done or result.attacked.any() else None,
        converged=result.converged,
        caps=attack_caps(result.attack, result.validated) if result.attacked.any() else {},
        score_caps=score_caps,
        compared=compared,
        provenance=dict(result.provenance),
        metadata=dict(table.metadata),
        sums=_sorted(filling.sums),
    )


def _held(table: EventTable) -> tuple[str, ...]:
    return tuple(name for name in table.datasets if table.dataset_mask(name).any())


def _sorted(sums: Mapping[Key, ExactSum]) -> dict[Key, ExactSum]:
    return {key: sums[key] for key in sorted(sums)}


def _nominal_groups(result: AttackResult, table: EventTable, selected_class: int) -> dict[str, BoolArray]:
    classes = result.classes if len(result.classes) else np.full(table.n_events, -1)
    everything = np.ones(table.n_events, dtype=np.bool_)
    right, selected = classes == table.labels, classes == selected_class
    return {"events": everything, "right": right, "selected": selected, **_identities(table)}


def _identities(table: EventTable) -> dict[str, BoolArray]:
    """Mark events of which an input is not what it follows from; nothing without such inputs."""
    found = [table.features.departs(table.values, j) for j in table.features.derived]
    return {"departing": np.logical_or.reduce(found)} if found else {}


def _adversarial_groups(result: AttackResult, flagged: BoolArray | None) -> dict[str, BoolArray]:
    groups = {
        "events": np.ones(len(result.attacked), dtype=np.bool_),
        "attacked": result.attacked,
        "moved": result.moved,
        "helpers": result.helpers,
        "fooled": result.fooled,
        **_identities(result.adversarial),
    }
    if flagged is not None:
        groups |= {
            "flagged": flagged,
            "flagged attacked": flagged & result.attacked,
            "flagged fooled": flagged & result.fooled,
            "unflagged": result.fooled & ~flagged,
        }
    return groups


def _detector_scores(filling: _Filling, variation: str, masks: Mapping[str, BoolArray], score: FloatArray) -> None:
    for of, chosen in filling.parts(masks):
        weights = filling.table.weights[chosen]
        yields = [_SCORE_BINS.yields(score[chosen, None], w)[0, :-1] for w in (weights, weights**2)]
        filling.add("detector score", yields, variation=variation, **of)
    for region, mask in masks.items():
        sizes = np.abs(filling.table.weights[mask])
        filling.add("detector roc", _odds(score[mask], sizes), variation=variation, region=region)


def _odds(score: FloatArray, sizes: FloatArray) -> FloatArray:
    tiny = np.finfo(np.float64).tiny
    odds = np.log(np.maximum(score, tiny)) - np.log(np.maximum(1.0 - score, tiny))
    return np.asarray(_ODDS.yields(odds[:, np.newaxis], sizes)[0, :-1])


def _flags(detector: Flagging | None, table: EventTable) -> BoolArray | None:
    return None if detector is None else np.asarray(detector.score(table.network_values) > detector.threshold)


def _area(filling: _Filling, scores: FloatArray) -> None:
    table = filling.table
    if scores.shape[1] == 2:
        for label in np.unique(table.labels):
            chosen = table.labels == label
            filling.add("roc", _odds(scores[chosen, 1], np.abs(table.weights[chosen])), label=str(label))


def _effects(
    filling: _Filling,
    result: AttackResult,
    classifier: Classifier,
    flagged: BoolArray | None,
    selected_class: int,
    detector: Flagging | None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sum what each event contributes to every effect, and their products, from which errors follow."""
    table = filling.table
    classes, after = (classifier.predict(inputs_of(classifier, t)) for t in (table, result.adversarial))
    remaining = after if flagged is None else np.where(flagged, classes, after)
    regions = {
        **{region.name: region.mask for region in table.regions},
        ALL_EVENTS: np.ones(table.n_events, dtype=np.bool_),
    }
    nominal = {name: table.weights * (mask & (classes == selected_class)) for name, mask in regions.items()}

    def change(mask: BoolArray, new: IntArray) -> FloatArray:
        return np.asarray(
            table.weights * mask * ((new == selected_class).astype(np.float64) - (classes == selected_class))
        )

    flips = [table.weights * (after != classes), table.weights * (remaining != classes)]
    yields = {name: [nominal[name], change(mask, after), change(mask, remaining)] for name, mask in regions.items()}
    for name in table.shape_variations:
        varied = table.variation(name)
        scores, new = (
            classifier.scores(inputs_of(classifier, varied)),
            classifier.predict(inputs_of(classifier, varied)),
        )
        masks = _varied_masks(table, varied.values)
        filling.distributions(name, varied, masks, scores, result.binning, _flags(detector, varied))
        changed = {"events": masks["all"], "attacked": result.attacked, "fooled": result.attacked & (new != classes)}
        filling.counts(name, _masks(table), changed)
        flips.append(table.weights * (new != classes))
        for region, columns in yields.items():
            inside = masks["all" if region == ALL_EVENTS else region]
            columns.append(table.weights * (inside & (new == selected_class)) - nominal[region])
    flags = _flags(detector, table)
    for name, weights in table.weight_variations.items():
        varied = table.variation(name)
        filling.distributions(name, varied, _masks(table), result.nominal_scores, result.binning, flags)
        for region, columns in yields.items():
            columns.append((weights - table.weights) * (regions[region] & (classes == selected_class)))
    flipped = np.stack([table.weights, *flips], axis=1) * result.attacked[:, np.newaxis]
    for region, mask in regions.items():
        for what, matrix in (("flips", flipped[mask]), ("yields", np.stack(yields[region], axis=1))):
            filling.add(what, np.vstack([matrix.sum(axis=0), matrix.T @ matrix]), region=region)
    return tuple(table.shape_variations), tuple(table.weight_variations)


def _compared(filling: _Filling, result: AttackResult) -> dict[tuple[str, ...], Compared]:
    """Sum up every comparison of the validation."""
    found = {}
    for one in result.comparisons():
        key = (one.name, one.part, one.separately, *one.columns)
        worst = tuple(figure.value for figure in one.figures())
        known = Compared(one.name, one.part, one.separately, one.columns, one.caps, worst, ())
        # Bins of score and flag are counted, whatever those of the score are.
        if one.kind == "pearson" and one.name != "score and flag":
            bins = b"" if one.binning is None else one.binning.edges.tobytes()
            known = known._replace(bins=(bins,))
            pair = (one.before, one.after)
            rows = (
                [summed_moments(values, one.weights, middle_of(result.binning)) for values in pair]
                if one.binning is None
                else [one.binning.yields(values, one.weights) for values in pair]
            )
            filling.add("compared", rows, name=known.key(bins))
        found[key] = known
    return dict(sorted(found.items()))
