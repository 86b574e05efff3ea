# SPDX-License-Identifier: BSD-3-Clause
r"""
Data, simulation by process, its uncertainties and the attacked simulation, region by region.

The band of a validation figure: statistical errors of the simulation, and what the shape and weight variations of the
table change in each bin.  Per source the larger of its upward changes counts upwards and the larger of its downward
changes downwards; sources are added in quadrature, :math:`\sqrt{\sum_s \Delta_{s}^2}`.  Data of signal regions are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats

from hepfool.attacks.base import AttackResult
from hepfool.events import EventTable, Region
from hepfool.models.protocols import Classifier, inputs_of
from hepfool.statistics.marginals import Binning
from hepfool.studies._contributions import ALL_EVENTS, varied_mask
from hepfool.typing import FloatArray

#: Central confidence of one standard deviation.
_CONFIDENCE = float(stats.norm.cdf(1.0) - stats.norm.cdf(-1.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variable:
    """
    What is shown of each event: a network input, the score, or anything else that follows from the inputs.

    Attributes
    ----------
    label : str
        Axis title with its unit, such as ``visible mass [GeV]``.
    edges : FloatArray, shape (n_bins + 1,)
        Increasing bin edges; values beyond count in the outer bins.
    values : callable
        Takes a table and returns one value per event in the unit of the edges, NaN where there is none.
    """

    label: str
    edges: FloatArray
    values: Callable[[EventTable], FloatArray]

    def yields(self, values: FloatArray, weights: FloatArray) -> FloatArray:
        """
        Sum weights per bin.

        Parameters
        ----------
        values : FloatArray, shape (n_events,)
            In the unit of the edges.
        weights : FloatArray, shape (n_events,)
            Their weights.

        Returns
        -------
        FloatArray, shape (n_bins,)
            Without events that have no value.
        """
        return Binning(self.edges[np.newaxis, :]).yields(values[:, np.newaxis], weights)[0, :-1]


def score_variable(classifier: Classifier, *, score_class: int = 1, n_bins: int = 20) -> Variable:
    """
    Show the score of a network.

    Parameters
    ----------
    score_class : int
        Class whose score is shown.
    """
    label = "Score" if classifier.n_classes == 2 else f"Score of class {score_class}"
    return Variable(
        label=label,
        edges=np.linspace(0.0, 1.0, n_bins + 1),
        values=lambda table: np.asarray(classifier.scores(inputs_of(classifier, table))[:, score_class]),
    )


def feature_variable(table: EventTable, name: str, *, n_bins: int = 20) -> Variable:
    """
    Show one input of the network.

    Parameters
    ----------
    table : EventTable
        Nominal events, for the range: it holds 98 % of the values, the outer bins hold the rest.
    n_bins : int
        Number of bins; integer features have one per number.

    Raises
    ------
    ValueError
        If the feature is unknown, or has fewer than two values.
    """
    feature, column = table.features[table.features.index(name)], table.column(name)
    present = column[~np.isnan(column)]
    low, high = np.quantile(present, [0.01, 0.99]) if len(present) else (0.0, 0.0)
    if feature.kind == "integer":
        edges = np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    elif low < high:
        edges = np.linspace(low, high, n_bins + 1)
    else:
        msg = f"feature {name!r} has no range: 98 % of its values are {low:g}; show another one"
        raise ValueError(msg)
    return Variable(label=feature.title, edges=edges, values=lambda events: events.column(name))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionYields:
    """
    Yields of one region.

    Attributes
    ----------
    region, role : str
        Name of the region, and ``control``, ``validation`` or ``signal``.
    label : str
        Axis title with its unit.
    edges : FloatArray, shape (n_bins + 1,)
        Bin edges.
    processes : mapping of str to FloatArray, shape (n_bins,)
        Nominal yields of each process.
    adversarial : FloatArray, shape (n_bins,)
        Yields of all processes after the attack.
    further : mapping of str to FloatArray, shape (n_bins,)
        The same after other attacks on the same events, by name.
    statistical : FloatArray, shape (n_bins,)
        Standard error of the nominal sum from the number of simulated events.
    systematic_up, systematic_down : FloatArray, shape (n_bins,)
        Size of the systematic uncertainty of the nominal sum, upwards and downwards.
    data : FloatArray, shape (n_bins,), optional
        Number of data events; None if the region is blinded or there are none.
    blinded : bool
        Whether the region's data were not read because it is a signal region.
    title : str
        What the region is, such as its cuts; its name by default.
    """

    region: str
    role: str
    label: str
    edges: FloatArray
    processes: Mapping[str, FloatArray]
    adversarial: FloatArray
    statistical: FloatArray
    systematic_up: FloatArray
    systematic_down: FloatArray
    sources: tuple[str, ...] = ()
    data: FloatArray | None = None
    blinded: bool = False
    further: Mapping[str, FloatArray] = field(default_factory=dict)
    title: str = ""

    @property
    def total(self) -> FloatArray:
        """Nominal sum of all processes, shape (n_bins,)."""
        return np.asarray(np.sum(list(self.processes.values()), axis=0))

    @property
    def band(self) -> tuple[FloatArray, FloatArray]:
        """Nominal sum minus and plus statistical and systematic uncertainty in quadrature, shape (n_bins,) each."""
        up, down = (np.hypot(self.statistical, s) for s in (self.systematic_up, self.systematic_down))
        return self.total - down, self.total + up

    @property
    def data_interval(self) -> tuple[FloatArray, FloatArray]:
        """
        Central interval of 68.3 % confidence for the expected number of data events, shape (n_bins,) each.

        From the quantiles of Garwood (Biometrika 28 (1936) 437); no data give (0, 1.84).
        """
        count = np.zeros(len(self.edges) - 1) if self.data is None else self.data
        tail = 0.5 * (1.0 - _CONFIDENCE)
        lower = np.where(count > 0, 0.5 * stats.chi2.ppf(tail, 2.0 * np.maximum(count, 1.0)), 0.0)
        return lower, np.asarray(0.5 * stats.chi2.isf(tail, 2.0 * (count + 1.0)))


def region_yields(
    result: AttackResult,
    variable: Variable,
    *,
    data: EventTable | None = None,
    regions: Sequence[str] | None = None,
    scale: float | Mapping[str, float] = 1.0,
    unblind: bool = False,
    further: Mapping[str, AttackResult] | None = None,
) -> tuple[RegionYields, ...]:
    """
    Fill data and simulation before and after an attack.

    Parameters
    ----------
    result : AttackResult
        Simulation with its shape and weight variations, and the same events after the attack.
    variable : Variable
        From :func:`score_variable` or :func:`feature_variable`, or one's own.
    data : EventTable, optional
        Collision data with the same regions, without weights.
    regions : sequence of str, optional
        Regions to show; all by default.
    scale : float or mapping of str to float
        Factor on the weights of all processes or of each, such as the inverse of the part of the events that was attacked.
    unblind : bool
        Read the data of signal regions too.
    further : mapping of str to AttackResult, optional
        Other attacks on the same events, by name, such as one that keeps the score.

    Returns
    -------
    tuple of RegionYields
        In the order of the regions.

    Raises
    ------
    ValueError
        If a region or the scale of a process is unknown, data events have weights, or another attack was on other events.

    Examples
    --------
    See :func:`hepfool.plots.plot_region_yields`.
    """
    simulation = _scaled(result.nominal, scale)
    others = {name: _on_the_same_events(name, other, result) for name, other in (further or {}).items()}

    def filled(region: Region) -> RegionYields:
        found = _compare(simulation, result.adversarial, region, variable, data, unblind=unblind)
        after = {name: _after(table, simulation, region, variable) for name, table in others.items()}
        return replace(found, further=after)

    return tuple(filled(region) for region in _chosen(simulation, regions))


def _on_the_same_events(name: str, other: AttackResult, result: AttackResult) -> EventTable:
    if not np.array_equal(other.nominal.values, result.nominal.values, equal_nan=True):
        msg = f"attack {name!r} was on other events; attack the events of the first result"
        raise ValueError(msg)
    return other.adversarial


def _after(adversarial: EventTable, simulation: EventTable, region: Region, variable: Variable) -> FloatArray:
    return variable.yields(variable.values(adversarial)[region.mask], simulation.weights[region.mask])


def _scaled(table: EventTable, scale: float | Mapping[str, float]) -> EventTable:
    known = scale if isinstance(scale, Mapping) else dict.fromkeys(table.datasets, scale)
    absent = [name for name in table.datasets if name not in known and table.dataset_mask(name).any()]
    if absent:
        msg = f"no scale for {absent[0]!r}, only for {', '.join(known)}; give one for each process"
        raise ValueError(msg)
    factors = np.array([known.get(name, 1.0) for name in table.datasets])[table.dataset_index]
    varied = {name: weights * factors for name, weights in table.weight_variations.items()}
    return replace(table, weights=table.weights * factors, weight_variations=varied)


def _chosen(table: EventTable, names: Sequence[str] | None) -> tuple[Region, ...]:
    if names is not None:
        return tuple(table.region(name) for name in names)
    return table.regions or (Region(ALL_EVENTS, np.ones(table.n_events, dtype=np.bool_)),)


def _compare(
    simulation: EventTable,
    adversarial: EventTable,
    region: Region,
    variable: Variable,
    data: EventTable | None,
    *,
    unblind: bool,
) -> RegionYields:
    values, weights, mask = variable.values(simulation), simulation.weights, region.mask
    # A table may name datasets that it holds no events of, such as those of data.
    held = [name for name in simulation.datasets if simulation.dataset_mask(name).any()]
    masks = {name: mask & simulation.dataset_mask(name) for name in held}
    processes = {name: variable.yields(values[chosen], weights[chosen]) for name, chosen in masks.items()}
    changes = _changes(simulation, region, variable, np.sum(list(processes.values()), axis=0))
    hidden = data is not None and not region.constrained and not unblind
    return RegionYields(
        region=region.name,
        role=region.role,
        label=variable.label,
        edges=variable.edges,
        processes=processes,
        adversarial=_after(adversarial, simulation, region, variable),
        statistical=np.sqrt(variable.yields(values[mask], weights[mask] ** 2)),
        systematic_up=upwards(changes.values(), len(variable.edges) - 1),
        systematic_down=upwards([[-side for side in sides] for sides in changes.values()], len(variable.edges) - 1),
        sources=tuple(changes),
        data=None if data is None or hidden else _counted(data, region, variable),
        blinded=hidden,
        title=region.title(simulation.features),
    )


def _changes(table: EventTable, region: Region, variable: Variable, total: FloatArray) -> dict[str, list[FloatArray]]:
    """Change of the sum by every variation, by its source."""
    changes: dict[str, list[FloatArray]] = {}
    for name, yields in _varied(table, region, variable):
        source = name.removesuffix("_up").removesuffix("_down")
        changes.setdefault(source, []).append(yields - total)
    return changes


def upwards(changes: Iterable[list[FloatArray]], n_bins: int) -> FloatArray:
    """Add the larger positive change of each source in quadrature."""
    nothing = np.zeros(n_bins)
    return np.asarray(np.sqrt(sum((np.max([nothing, *sides], axis=0) ** 2 for sides in changes), nothing)))


def _varied(table: EventTable, region: Region, variable: Variable) -> Iterator[tuple[str, FloatArray]]:
    for name in table.shape_variations:
        varied = table.variation(name)
        mask = varied_mask(region, table, varied.values)
        yield name, variable.yields(variable.values(varied)[mask], table.weights[mask])
    values = variable.values(table)[region.mask]
    for name, weights in table.weight_variations.items():
        yield name, variable.yields(values, weights[region.mask])


def _counted(data: EventTable, region: Region, variable: Variable) -> FloatArray:
    if not (data.weights == 1.0).all():
        msg = "data events have weights, so they are not counts; give data without weights"
        raise ValueError(msg)
    everything = region.name == ALL_EVENTS and not data.regions
    chosen = data if everything else data.select(data.region(region.name).mask)
    return variable.yields(variable.values(chosen), chosen.weights)
