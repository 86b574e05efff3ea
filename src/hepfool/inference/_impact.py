# SPDX-License-Identifier: BSD-3-Clause
r"""
What the attack costs in the analyst's fit, and what the fit misses without it.

Uncertainties come from the profile likelihood of the Asimov data set.  A curvature at the minimum, as of a Hessian
matrix, would be wrong for a one-sided template, which acts differently on both sides.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from hepfool._settings import Optimizer
from hepfool.extras import import_extra
from hepfool.inference._templates import LOWER_LIMIT
from hepfool.summary._record import plain_values
from hepfool.typing import FloatArray

_TOLERANCE = 1e-4
_MAX_DOUBLINGS = 12
#: Level of the goodness-of-fit test.
_LEVEL = 0.05
#: Post-fit over pre-fit uncertainty below which the fit determines the attack rather than allowing for it.
CONSTRAINED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """
    Distances from the best fit at which the profile likelihood ratio is one half, 68 % of a normal distribution.

    Attributes
    ----------
    down, up : float
        Both positive; NaN where the parameter's range ends before.
    """

    down: float
    up: float

    @property
    def size(self) -> float:
        """Mean of both sides, or the one that exists."""
        sides = [side for side in (self.down, self.up) if not math.isnan(side)]
        return sum(sides) / len(sides) if sides else math.nan

    def __str__(self) -> str:
        """Both sides, rounded for a reader."""
        return f"-{self.down:.4f} +{self.up:.4f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NuisanceImpact:
    """
    Impact of one nuisance parameter on the parameter of interest.

    Attributes
    ----------
    adversarial : bool
        Whether it came with the attack.
    interval : Interval
        Its own post-fit uncertainty.
    prior : float
        Its pre-fit uncertainty; NaN for a parameter without a constraint term.
    down, up : float
        Shift of the parameter of interest where the nuisance is at the end of its interval.
    """

    name: str
    adversarial: bool
    interval: Interval
    prior: float
    down: float
    up: float

    @property
    def size(self) -> float:
        """Larger one of both shifts."""
        return float(np.nanmax(np.abs([self.down, self.up, 0.0])))

    @property
    def constraint(self) -> float:
        """Smaller side of the interval in units of the prior: at 1 the data say nothing about the parameter."""
        return float(np.fmin(self.interval.down, self.interval.up)) / self.prior


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasTest:
    """
    The analyst's model, which lacks the attack, fitted to expected data that follow it.

    The data hold the attack at one standard deviation, ``Nuisance.scale`` times what was found, and no fluctuations.

    Attributes
    ----------
    shift : float
        Fitted less true parameter of interest.
    n_sigma : float
        The shift in units of the expected uncertainty on that side; NaN where the range ends before.
    chi2 : float
        Twice the logarithm of the likelihood ratio to the saturated model.
    n_dof : int
        Bins less free parameters without a constraint term.
    p_value : float
        Of ``chi2``; NaN without degrees of freedom.
    power : float
        Probability that the goodness of fit of such data with their fluctuations rejects at the level 0.05, from the
        non-central chi-square distribution (Wald, Trans. Am. Math. Soc. 54 (1943) 426).
    pulls : mapping of str to float
        Shifts of the nuisance parameters in units of their pre-fit uncertainty.
    """

    shift: float
    n_sigma: float
    chi2: float
    n_dof: int
    p_value: float
    power: float
    pulls: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """
    Expected uncertainty with and without the attack.

    Attributes
    ----------
    parameter : str
        Parameter of interest.
    value : float
        Its value in the Asimov data.
    before, after : Interval
        Its uncertainty in the analyst's model, and with the attack.
    bias : BiasTest
        What a fit without the attack makes of data with it.
    ranking : tuple of NuisanceImpact
        All nuisance parameters of the patched model, the largest impact first.
    statement : str
        Interpretation of the numbers.
    """

    parameter: str
    value: float
    before: Interval
    after: Interval
    bias: BiasTest
    ranking: tuple[NuisanceImpact, ...]
    statement: str = LOWER_LIMIT

    @property
    def increase(self) -> float:
        """Relative increase of the uncertainty."""
        return self.after.size / self.before.size - 1.0

    @property
    def added(self) -> float:
        """Uncertainty that was added in quadrature."""
        return math.sqrt(max(self.after.size**2 - self.before.size**2, 0.0))

    @property
    def ranks(self) -> dict[str, int]:
        """Place of every parameter of the attack among all, from 1."""
        return {entry.name: place for place, entry in enumerate(self.ranking, start=1) if entry.adversarial}


def expected_impact(
    workspace: Mapping[str, Any],
    patch: Sequence[Mapping[str, Any]],
    *,
    value: float = 1.0,
    parameters: Sequence[str] | None = None,
    optimizer: Optimizer = "minuit",
    **model_options: Any,
) -> Impact:
    """
    Fit the Asimov data of a workspace before and after the patch, and the attacked ones without it.

    Parameters
    ----------
    patch : sequence of mapping
        From :func:`~hepfool.inference.attack_patch`.
    value : float
        Value of the parameter of interest in the Asimov data.
    parameters : sequence of str, optional
        Nuisance parameters to rank beside those of the attack; all that are not fixed by default.
    **model_options
        Of ``pyhf.Workspace.model``, such as ``measurement_name``, or ``modifier_settings`` for another
        interpolation: the default is smooth at zero, ``code0`` keeps the kink of a one-sided template and
        may need ``optimizer="scipy"``.

    Returns
    -------
    Impact
        Uncertainties, bias, and the ranking of the patched model.

    Raises
    ------
    MissingExtraError
        If pyhf, or iminuit for ``minuit``, is not installed.
    ValueError
        If the model has no parameter of interest, a parameter is unknown, or a fit finds no minimum.

    Warns
    -----
    UserWarning
        If the fit constrains a parameter of the attack below half of its pre-fit uncertainty, or the parameter of
        interest of the bias test ends at its bound.
    """
    pyhf = import_extra("pyhf", "inference")
    with _minimiser(pyhf, optimizer):
        source = pyhf.Workspace(workspace)
        before = _Profile(source.model(**model_options), value)
        after = _Profile(source.model(patches=[list(patch)], **model_options), value)
        new = [name for name in after.names if name not in before.names]
        chosen = _chosen(after, parameters, new)
        ranking = [_impact(after, name, adversarial=name in new) for name in chosen]
        expected = before.interval(before.poi)
        impact = Impact(
            parameter=before.names[before.poi],
            value=value,
            before=expected,
            after=after.interval(after.poi),
            bias=_bias(before, after.attacked(new), expected),
            ranking=tuple(sorted(ranking, key=lambda entry: -entry.size)),
        )
    _warn_if_constrained(impact)
    return impact


def impact_record(impact: Impact) -> dict[str, Any]:
    """
    Turn an impact into plain values for ``Summary.impact``.

    Parameters
    ----------
    impact : Impact
        From :func:`expected_impact`.

    Returns
    -------
    dict
        Its fields, ``increase`` and ``added``, and ``constraint`` of every parameter.
    """
    ranking = [{**plain_values(e), "constraint": plain_values(e.constraint)} for e in impact.ranking]
    further = {"increase": plain_values(impact.increase), "added": plain_values(impact.added)}
    return {**plain_values(impact), **further, "ranking": ranking}


@contextmanager
def _minimiser(pyhf: Any, optimizer: Optimizer) -> Iterator[None]:
    """Choose a minimiser for a while: pyhf keeps it globally."""
    if optimizer == "minuit":
        import_extra("iminuit", "inference")
    backend, previous = pyhf.get_backend()
    make = {"minuit": pyhf.optimize.minuit_optimizer, "scipy": pyhf.optimize.scipy_optimizer}[optimizer]
    pyhf.set_backend("numpy", make())
    try:
        yield
    finally:
        pyhf.set_backend(backend, previous)


def _chosen(profile: _Profile, wanted: Sequence[str] | None, new: list[str]) -> list[str]:
    free = [name for k, name in enumerate(profile.names) if k != profile.poi and not profile.fixed[k]]
    unknown = [name for name in wanted or () if name not in free]
    if unknown:
        msg = f"no free nuisance parameter {unknown[0]!r}, only {', '.join(free)}"
        raise ValueError(msg)
    return free if wanted is None else list(dict.fromkeys([*wanted, *new]))


def _impact(profile: _Profile, name: str, *, adversarial: bool) -> NuisanceImpact:
    index = profile.names.index(name)
    (down, lower), (up, upper) = (profile.crossing(index, sign) for sign in (-1.0, 1.0))
    interval, prior = Interval(down=down, up=up), float(profile.priors[index])
    return NuisanceImpact(name=name, adversarial=adversarial, interval=interval, prior=prior, down=lower, up=upper)


def _bias(profile: _Profile, attacked: FloatArray, expected: Interval) -> BiasTest:
    """Fit a model to yields that it does not describe."""
    config = profile.model.config
    data = np.concatenate([attacked, profile.data[config.nmaindata :]])
    twice_nll, fitted = profile.minimise(data, profile.best, profile.fixed, "to data with the attack")
    found, bounds, name = fitted[profile.poi], config.suggested_bounds()[profile.poi], profile.names[profile.poi]
    if np.isclose(found, bounds, rtol=0.0, atol=1e-6 * np.ptp(bounds)).any():
        msg = f"bias test: {name} ends at {found:.4g}, a bound of its range {bounds}, and would move further; widen the range in the workspace"
        warnings.warn(msg, UserWarning, stacklevel=3)
    shift = float(found - profile.best[profile.poi])
    chi2 = max(twice_nll - profile.saturated(data), 0.0)
    free = ~np.array(profile.fixed)
    n_dof = len(attacked) - int((free & np.isnan(profile.priors)).sum())
    noticed = stats.ncx2.sf(stats.chi2.isf(_LEVEL, n_dof), n_dof, chi2) if n_dof > 0 else math.nan
    return BiasTest(
        shift=shift,
        n_sigma=shift / (expected.up if shift > 0 else expected.down),
        chi2=chi2,
        n_dof=n_dof,
        p_value=float(stats.chi2.sf(chi2, n_dof)) if n_dof > 0 else math.nan,
        power=float(noticed),
        pulls={
            profile.names[k]: float((fitted[k] - profile.best[k]) / profile.priors[k])
            for k in np.flatnonzero(free & ~np.isnan(profile.priors))
        },
    )


def _warn_if_constrained(impact: Impact) -> None:
    for entry in impact.ranking:
        if entry.adversarial and entry.constraint < CONSTRAINED:
            msg = (
                f"the fit constrains {entry.name!r} to {entry.constraint:.2f} of its pre-fit uncertainty: the uncertainty on "
                f"{impact.parameter} is that of an attack of exactly this shape; quote the bias beside it, or take wider bins or "
                "a parameter per process or channel"
            )
            warnings.warn(msg, UserWarning, stacklevel=3)


class _Profile:
    """Profile likelihood of one model and its Asimov data."""

    def __init__(self, model: Any, value: float) -> None:
        if model.config.poi_index is None:
            msg = "the measurement has no parameter of interest; name one in the workspace"
            raise ValueError(msg)
        self.model = model
        self.names: list[str] = list(model.config.par_names)
        self.fixed: list[bool] = list(model.config.suggested_fixed())
        self.poi = int(model.config.poi_index)
        self.best = np.array(model.config.suggested_init(), dtype=np.float64)
        self.best[self.poi] = value
        self.data = model.expected_data(self.best)
        self.minimum = self._twice_nll(self.best)
        sets = [model.config.param_set(name) for name in model.config.par_order]
        #: Pre-fit uncertainties, NaN without a constraint term.
        self.priors = np.concatenate([s.width() if s.constrained else np.full(s.n_parameters, np.nan) for s in sets])
        self._fits: dict[tuple[int, float], tuple[float, FloatArray]] = {}

    def interval(self, index: int) -> Interval:
        down, up = (self.crossing(index, sign)[0] for sign in (-1.0, 1.0))
        return Interval(down=down, up=up)

    def crossing(self, index: int, sign: float) -> tuple[float, float]:
        """Distance at which the likelihood ratio is one half, and the shift of the parameter of interest there."""
        lower, upper = self.model.config.suggested_bounds()[index]
        room = upper - self.best[index] if sign > 0 else self.best[index] - lower
        far = self._bracket(index, sign, room)
        if far is None:
            return math.nan, math.nan
        # The root of the likelihood ratio is close to linear, which makes this fast.
        distance = optimize.brentq(lambda d: self._rise(index, sign * d) - 1.0, 0.0, far, xtol=_TOLERANCE * far)
        _, fitted = self._fit(index, sign * distance)
        return float(distance), float(fitted[self.poi] - self.best[self.poi])

    def _bracket(self, index: int, sign: float, room: float) -> float | None:
        distance = min(0.1, room)
        for _ in range(_MAX_DOUBLINGS):
            rise = self._rise(index, sign * distance)
            if rise >= 1.0:
                return distance
            if distance >= room:
                return None
            distance = min(room, distance * max(1.5, min(4.0, 1.1 / max(rise, 0.1))))
        return None

    def _rise(self, index: int, shift: float) -> float:
        """Root of twice the log-likelihood ratio."""
        return 0.0 if shift == 0.0 else math.sqrt(max(self._fit(index, shift)[0] - self.minimum, 0.0))

    def _fit(self, index: int, shift: float) -> tuple[float, FloatArray]:
        if (index, shift) not in self._fits:
            self._fits[index, shift] = self._fitted(index, shift)
        return self._fits[index, shift]

    def _fitted(self, index: int, shift: float) -> tuple[float, FloatArray]:
        start, fixed = self._nearest(index, shift), list(self.fixed)
        start[index] = self.best[index] + shift
        fixed[index] = True
        if all(fixed):
            return self._twice_nll(start), start
        return self.minimise(self.data, start, fixed, f"with {self.names[index]!r} at {start[index]:.4g}")

    def minimise(self, data: FloatArray, start: FloatArray, fixed: list[bool], which: str) -> tuple[float, FloatArray]:
        """Twice the negative log-likelihood at its minimum, and the parameters there."""
        pyhf = import_extra("pyhf", "inference")
        try:
            fitted, twice_nll = pyhf.infer.mle.fit(
                data, self.model, init_pars=start.tolist(), fixed_params=fixed, return_fitted_val=True
            )
        except pyhf.exceptions.FailedMinimization as error:
            msg = f"the fit {which} found no minimum; interpolations with a kink, such as code0, may need optimizer='scipy'"
            raise ValueError(msg) from error
        return float(twice_nll), np.asarray(fitted)

    def attacked(self, names: Sequence[str]) -> FloatArray:
        """Expect yields with these parameters up by one standard deviation."""
        parameters = self.best.copy()
        parameters[[self.names.index(name) for name in names]] += 1.0
        return np.asarray(self.model.expected_actualdata(parameters))

    def saturated(self, data: FloatArray) -> float:
        """Twice the negative log-likelihood of the model that predicts these yields exactly."""
        # The minimum is that of the Asimov data, which the model does predict exactly.
        own, other = (
            (special.xlogy(n, n) - n - special.gammaln(n + 1.0)).sum()
            for n in (given[: self.model.config.nmaindata] for given in (self.data, data))
        )
        return float(self.minimum + 2.0 * (own - other))

    def _nearest(self, index: int, shift: float) -> FloatArray:
        """Where to start: the fit with the nearest shift to the same side, or the best parameters."""
        done = {other: found for (k, other), (_, found) in self._fits.items() if k == index and other * shift > 0}
        return done[min(done, key=lambda other: abs(other - shift))].copy() if done else self.best.copy()

    def _twice_nll(self, parameters: FloatArray) -> float:
        return float(-2.0 * self.model.logpdf(parameters, self.data)[0])
