# SPDX-License-Identifier: BSD-3-Clause
r"""
Which fraction of an attack the data of control regions allow.

Simulation is taken as :math:`N + \alpha\,(A - N)`, nominal and attacked, in bins of the network's score and of the detector's flag,
with the systematic variations of the table as factors, a free normalisation, and one statistical parameter per bin with the relative
error of the mixture that is tested (R. Barlow and C. Beeston, Comput. Phys. Commun. 77 (1993) 219, one per bin).  Nominal and attacked
events are the same, so that the squared error of the mixture is at most :math:`(1-\alpha)\,\sigma_N^2 + \alpha\,\sigma_A^2`.  The limit is that of
CLs with asymptotic :math:`\tilde q` (A. Read, J. Phys. G 28 (2002) 2693; G. Cowan et al., Eur. Phys. J. C 71 (2011) 1554).

It speaks of the stated attack in these regions.  A deviation that acts in the signal region alone is not seen by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import optimize

from hepfool.extras import import_extra
from hepfool.statistics._bins import joined_starts
from hepfool.sums import AttackSums
from hepfool.typing import FloatArray

__all__ = ["AllowedFraction", "ControlYields", "allowed_fraction", "scaled_size"]

#: Ratio of the fraction to its parameter, so that the unit constraint of a variation says next to nothing about it.
_REACH: Final = 3.0
_NORMALISATION: Final = (0.3, 3.0)
_SMALLEST: Final = 1e-3
#: Of a systematic source on a bin.  Factors keep expectations positive, without which empty bins of data have no likelihood.
_FACTORS: Final = (0.1, 10.0)
_PRECISION: Final = 1e-3
#: Fractions at which CLs is shown, beside those that the search for the limit needs.
_SHOWN: Final = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ControlYields:
    """
    Expected and observed yields in the bins of the comparison.

    Attributes
    ----------
    nominal, attacked : FloatArray, shape (n_bins,)
        Yields of all simulation.
    nominal_variance, attacked_variance : FloatArray, shape (n_bins,)
        Sums of squared weights.
    sources : mapping of str to (FloatArray, FloatArray)
        Yields with the source up and down; the other side mirrored where there is one only.
    data : FloatArray, shape (n_bins,)
        Numbers of events.
    """

    nominal: FloatArray
    attacked: FloatArray
    nominal_variance: FloatArray
    attacked_variance: FloatArray
    sources: Mapping[str, tuple[FloatArray, FloatArray]]
    data: FloatArray

    def joined(self, min_yield: float, n_parts: int = 1) -> ControlYields:
        """
        Join neighbouring bins until nominal simulation expects enough in each.

        Parameters
        ----------
        min_yield : float
            In events.
        n_parts : int
            Equal parts of the bins, such as flagged events and others, that are not joined with each other.

        Returns
        -------
        ControlYields
            At least one bin of every part.
        """
        size = len(self.nominal) // n_parts
        parts = ((k, self.nominal[k : k + size]) for k in range(0, n_parts * size, size))
        starts = [k + first for k, expected in parts for first in joined_starts(expected, min_yield)]

        def join(yields: FloatArray) -> FloatArray:
            return np.asarray(np.add.reduceat(yields, starts))

        return ControlYields(
            nominal=join(self.nominal),
            attacked=join(self.attacked),
            nominal_variance=join(self.nominal_variance),
            attacked_variance=join(self.attacked_variance),
            sources={name: (join(up), join(down)) for name, (up, down) in self.sources.items()},
            data=join(self.data),
        )

    def spec(self, fraction: float) -> dict[str, Any]:
        """
        Write the model for pyhf.

        Parameters
        ----------
        fraction : float
            Which is tested: the statistical errors of the simulation are those of this mixture.

        Returns
        -------
        dict
            One channel per bin; the parameter of interest is a third of the fraction.
        """
        nominal, attacked = np.maximum(self.nominal, _SMALLEST), np.maximum(self.attacked, _SMALLEST)
        variance = (1.0 - fraction) * self.nominal_variance + fraction * self.attacked_variance
        relative = np.sqrt(variance) / ((1.0 - fraction) * nominal + fraction * attacked)
        channels = []
        for k, (expected, change) in enumerate(zip(nominal, _REACH * (attacked - nominal), strict=True)):
            sides = {"hi_data": [expected + change], "lo_data": [expected - change]}
            modifiers: list[dict[str, Any]] = [
                {"name": "adversarial_fraction", "type": "histosys", "data": sides},
                {"name": f"simulation_{k}", "type": "staterror", "data": [relative[k] * expected]},
                {"name": "normalisation", "type": "normfactor", "data": None},
            ]
            for name, both in self.sources.items():
                hi, lo = (float(np.clip(side[k] / expected, *_FACTORS)) for side in both)
                modifiers.append({"name": name, "type": "normsys", "data": {"hi": hi, "lo": lo}})
            sample = {"name": "simulation", "data": [expected], "modifiers": modifiers}
            channels.append({"name": f"bin_{k}", "samples": [sample]})
        parameters = [
            {"name": "adversarial_fraction", "bounds": [[0.0, 1.0 / _REACH]], "inits": [0.02]},
            {"name": "normalisation", "bounds": [list(_NORMALISATION)], "inits": [1.0]},
        ]
        return {"channels": channels, "parameters": parameters}


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedFraction:
    """
    What data say of the fraction of an attack.

    Attributes
    ----------
    threat_model : str
        What the attack may do, in the words of whoever asked.
    value : float
        Best fit in [0, 1].
    limit : float
        Largest fraction that is allowed; 1 where nothing is excluded.
    expected : float
        The limit that data without attack give in the median.
    level : float
        Confidence level of both limits.
    observable : str
        ``score and flag``, or ``score`` where no detector scored the events.
    regions, sources : tuple of str
        Compared regions, and systematic sources of the fit.
    n_data, n_bins : int
        Events and bins that are compared.
    scan : tuple of (float, float, float)
        Fraction, CLs of the data and expected CLs without attack.
    """

    threat_model: str
    value: float
    limit: float
    expected: float
    level: float
    observable: str
    regions: tuple[str, ...]
    sources: tuple[str, ...]
    n_data: int
    n_bins: int
    scan: tuple[tuple[float, float, float], ...]

    @property
    def excludes(self) -> bool:
        """Whether the data exclude the whole attack."""
        return self.limit < 1.0

    @property
    def statement(self) -> str:
        """What the data say of the attack, in a sentence."""
        where = ", ".join(self.regions)
        if self.excludes:
            return f"The data of {where} allow at most {self.limit:.2f} of this attack at {self.level:.0%} CLs (expected {self.expected:.2f})."
        start = f"The data of {where} cannot exclude that all events move like this"
        if self.expected < 1.0:
            return f"{start}, although a limit of {self.expected:.2f} is expected without any deviation."
        return (
            f"{start}, and data without any deviation could not either: what is compared ({self.observable}) changes by less than its "
            "uncertainties, as it must where the attack keeps the score."
        )

    def __repr__(self) -> str:
        """Limit with what it holds for."""
        said = f"at most {self.limit:.3f} at {self.level:.0%} CLs" if self.excludes else "all of it"
        return (
            f"{self.n_data} data events in {', '.join(self.regions)} allow {said} (expected {self.expected:.3f}) "
            f"of this attack: {self.threat_model}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledSize:
    """
    A size of a signal region under a transfer assumption.

    Attributes
    ----------
    size : float
        Allowed by data, if the assumption holds.
    full : float
        Without any data.
    fraction : float
        Between the two.
    threat_model, transfer : str
        What both hold for.
    """

    size: float
    full: float
    fraction: float
    threat_model: str
    transfer: str


def scaled_size(allowed: AllowedFraction, size: float, *, threat_model: str, transfer: str) -> ScaledSize:
    """
    Scale a size of a signal region to what the data of the control regions allow.

    Parameters
    ----------
    size : float
        Of the same attack in the signal region, such as its yield shift.
    threat_model : str
        What the attack may do in the signal region, in the words of ``allowed``.
    transfer : str
        Why the deviation is the same in both regions; it is printed beside the number.

    Returns
    -------
    ScaledSize
        The full size where nothing is excluded.

    Raises
    ------
    ValueError
        If the attacks differ, or no assumption is written down.
    """
    if threat_model != allowed.threat_model:
        msg = (
            f"the limit is one on {allowed.threat_model!r}, the size one of {threat_model!r}; "
            "run the same attack in control and signal regions"
        )
        raise ValueError(msg)
    if not transfer.strip():
        msg = "transfer is empty; write down why the deviation is the same in control and signal regions, or take the full size"
        raise ValueError(msg)
    scaled = allowed.limit * size
    return ScaledSize(size=scaled, full=size, fraction=allowed.limit, threat_model=threat_model, transfer=transfer)


def allowed_fraction(
    sums: AttackSums,
    *,
    threat_model: str,
    regions: Iterable[str] | None = None,
    scale: float | Mapping[str, float] = 1.0,
    n_bins: int = 10,
    min_yield: float = 5.0,
    level: float = 0.95,
) -> AllowedFraction:
    """
    Limit the fraction of an attack with the data of control regions.

    Parameters
    ----------
    sums : AttackSums
        Of the attacked simulation and, from :func:`~hepfool.sums.data_sums`, of data.
    threat_model : str
        What the attack may do, such as ``each input within one standard deviation of its scales``.
    regions : iterable of str, optional
        Disjoint control and validation regions; all by default.
    scale : float or mapping of str to float
        Factor on the weights of all processes or of each, such as the inverse of the part of the events that was attacked.
    n_bins : int
        Bins of the score in [0, 1], a divisor of 600, for flagged events and for others.
    min_yield : float
        Neighbouring bins are joined until each expects so many events.
    level : float
        Confidence level.

    Returns
    -------
    AllowedFraction
        Signal regions are not read, whether their data are in the sums or not.

    Raises
    ------
    MissingExtraError
        If pyhf is not installed.
    ValueError
        If a region is a signal region, overlaps another one or holds no data.
    """
    chosen = _regions(sums, regions)
    yields = control_yields(sums, regions=chosen, scale=scale, n_bins=n_bins, min_yield=min_yield)
    limits = limits_of(yields, level=level)
    return AllowedFraction(
        threat_model=threat_model,
        level=level,
        observable="score and flag" if sums.names("flagged score", "variation") else "score",
        regions=chosen,
        sources=tuple(yields.sources),
        n_data=round(yields.data.sum()),
        n_bins=len(yields.data),
        **limits,
    )


def _regions(sums: AttackSums, regions: Iterable[str] | None) -> tuple[str, ...]:
    open_ = [name for name, role in sums.facts["regions"] if role != "signal"]
    if not sums.facts["regions"]:
        open_ = ["all"]
    chosen = tuple(dict.fromkeys(open_ if regions is None else regions))
    closed = [name for name in chosen if name not in open_]
    if closed or not chosen:
        what = f"{closed[0]!r} is no control or validation region" if closed else "no region to compare"
        msg = f"{what}, only {', '.join(open_) or 'none'} may be looked at"
        raise ValueError(msg)
    together = sums.count("events", region="constrained" if sums.facts["regions"] else "all", variation="nominal").n
    apart = [sums.count("events", region=name, variation="nominal").n for name in open_]
    if len(chosen) == len(open_) and sum(apart) > together:
        msg = f"regions {', '.join(open_)} share events, which would count twice; name disjoint ones by regions="
        raise ValueError(msg)
    return chosen


def control_yields(
    sums: AttackSums,
    *,
    regions: tuple[str, ...],
    scale: float | Mapping[str, float] = 1.0,
    n_bins: int = 10,
    min_yield: float = 5.0,
) -> ControlYields:
    """
    Collect the yields of some regions, flagged and others side by side.

    Parameters
    ----------
    regions : tuple of str
        Control and validation regions.
    scale, n_bins, min_yield
        See :func:`allowed_fraction`.
    """
    processes = sums.attacked_datasets
    factors = scale if isinstance(scale, Mapping) else dict.fromkeys(processes, scale)
    if missing := [name for name in processes if name not in factors]:
        msg = f"no scale for {missing[0]!r}, only {', '.join(factors)}; name each as in the table"
        raise ValueError(msg)
    scored, judged = (set(sums.names(what, "variation")) for what in ("score", "flagged score"))
    if judged and scored != judged:
        msg = f"the detector did not score {', '.join(sorted(scored - judged))}; give it to data_sums and sums_of alike"
        raise ValueError(msg)
    parts = [(region, flagged) for region in regions for flagged in ((False, True) if judged else (False,))]

    def row(variation: str, **of: str) -> FloatArray:
        """Sum weights and their squares."""
        found = []
        for region, flagged in parts:
            place: dict[str, Any] = {"variation": variation, "region": region, **of}
            marked = sums.score_yields(n_bins, flagged=True, **place)
            found.append(marked if flagged else sums.score_yields(n_bins, **place) - marked)
        return np.concatenate(found, axis=1)

    def rows(variation: str) -> tuple[FloatArray, FloatArray]:
        each = [row(variation, dataset=name) * [[factors[name]], [factors[name] ** 2]] for name in processes]
        summed = np.sum(each, axis=0)
        return summed[0], summed[1]

    data = row("data")
    if not data[0].any() or not np.array_equal(*data):
        msg = f"regions {', '.join(regions)} hold no data, or data with weights; add sums of data without weights, from data_sums"
        raise ValueError(msg)
    (nominal, nominal_variance), (attacked, attacked_variance) = rows("nominal"), rows("adversarial")
    sources = {}
    varied = (*sums.facts["shapes"], *sums.facts["weights"])
    for source in dict.fromkeys(name.removesuffix("_up").removesuffix("_down") for name in varied):
        sides = {side: rows(f"{source}_{side}")[0] for side in ("up", "down") if f"{source}_{side}" in varied}
        up = sides["up"] if "up" in sides else 2.0 * nominal - sides["down"] if sides else rows(source)[0]
        sources[source] = up, sides.get("down", 2.0 * nominal - up)
    return ControlYields(
        nominal=nominal,
        attacked=attacked,
        nominal_variance=nominal_variance,
        attacked_variance=attacked_variance,
        sources=sources,
        data=data[0],
    ).joined(min_yield, len(parts))


@contextmanager
def _minimiser(pyhf: Any) -> Iterator[None]:
    """Take a minimiser that works at the end of a range: pyhf keeps it globally."""
    backend, previous = pyhf.get_backend()
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer(maxiter=2000, tolerance=1e-8))
    try:
        yield
    finally:
        pyhf.set_backend(backend, previous)


def limits_of(yields: ControlYields, *, level: float = 0.95) -> dict[str, Any]:
    """
    Fit the fraction and limit it.

    Returns
    -------
    dict
        ``value``, ``limit``, ``expected`` and ``scan`` of :class:`AllowedFraction`.
    """
    pyhf = import_extra("pyhf", "inference")
    found: dict[float, tuple[float, float]] = {}
    with _minimiser(pyhf):
        model, data = _model(pyhf, yields, 0.0)
        best = pyhf.infer.mle.fit(data, model)[model.config.poi_index]

        def cls(fraction: float) -> tuple[float, float]:
            if fraction not in found:
                found[fraction] = _cls(pyhf, *_model(pyhf, yields, fraction), fraction)
            return found[fraction]

        limit, expected = (_crossing(lambda a, k=k: cls(a)[k] - (1.0 - level)) for k in (0, 1))
        for fraction in _SHOWN:
            cls(fraction)
    scan = tuple((fraction, *found[fraction]) for fraction in sorted(found))
    return {"value": _REACH * float(best), "limit": limit, "expected": expected, "scan": scan}


def cls_of(yields: ControlYields, fraction: float) -> float:
    """
    Test one fraction.

    Returns
    -------
    float
        CLs: the fraction is excluded at 95 % below 0.05.
    """
    pyhf = import_extra("pyhf", "inference")
    with _minimiser(pyhf):
        return _cls(pyhf, *_model(pyhf, yields, fraction), fraction)[0]


def _model(pyhf: Any, yields: ControlYields, fraction: float) -> tuple[Any, FloatArray]:
    settings = {"histosys": {"interpcode": "code0"}, "normsys": {"interpcode": "code4"}}
    model = pyhf.Model(yields.spec(fraction), poi_name="adversarial_fraction", modifier_settings=settings)
    return model, np.concatenate([yields.data, model.config.auxdata])


def _cls(pyhf: Any, model: Any, data: FloatArray, fraction: float) -> tuple[float, float]:
    """CLs of the data, and its median without attack."""
    observed, expected = pyhf.infer.hypotest(fraction / _REACH, data, model, test_stat="qtilde", return_expected=True)
    return float(observed), float(expected)


def _crossing(excess: Any) -> float:
    """Fraction at which a falling function is zero; 1 where it is positive there."""
    if excess(1.0) > 0.0:
        return 1.0
    return float(optimize.brentq(excess, _PRECISION, 1.0, xtol=_PRECISION))
