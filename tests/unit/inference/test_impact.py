# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hepfool.exceptions import MissingExtraError
from hepfool.inference import Impact, Nuisance, Template, attack_patch, expected_impact

pyhf = pytest.importorskip("pyhf")
pytest.importorskip("iminuit")

KINKED = {"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code0"}}


def counting(signal: float, background: float) -> dict[str, Any]:
    """One bin, known background."""
    mu = {"name": "mu", "type": "normfactor", "data": None}
    samples = [
        {"name": "signal", "data": [signal], "modifiers": [mu]},
        {"name": "ttbar", "data": [background], "modifiers": []},
    ]
    return {
        "channels": [{"name": "SR", "samples": samples}],
        "observations": [{"name": "SR", "data": [signal + background]}],
        "measurements": [{"name": "strength", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def counted(side: str, **options: Any) -> Impact:
    workspace = counting(20_000.0, 1e6)
    shift = Template(channel="SR", sample="ttbar", nominal=np.array([1e6]), adversarial=np.array([1.001e6]))
    patch = attack_patch(workspace, [shift], Nuisance(side=side))  # type: ignore[arg-type]
    return expected_impact(workspace, patch, **options)


STATISTICAL = np.sqrt(1.02e6) / 20_000.0
SHIFT = 1000.0 / 20_000.0


@pytest.mark.parametrize("optimizer", ["minuit", "scipy"])
def test_a_symmetrised_attack_adds_in_quadrature(optimizer: str) -> None:
    impact = counted("symmetrised", optimizer=optimizer)
    assert impact.before.down == pytest.approx(STATISTICAL, rel=0.003)
    for side in (impact.after.down, impact.after.up):
        assert side == pytest.approx(np.hypot(STATISTICAL, SHIFT), rel=0.003)
    assert impact.added == pytest.approx(SHIFT, rel=0.01)
    (entry,) = impact.ranking
    assert entry.up == pytest.approx(-SHIFT, rel=0.01)
    assert entry.down == pytest.approx(SHIFT, rel=0.01)
    assert entry.interval.up == pytest.approx(1.0, rel=0.003)
    assert "not one standard deviation" in impact.statement


def test_a_one_sided_attack_acts_on_one_side_only() -> None:
    impact = counted("one-sided", modifier_settings=KINKED)
    # More background than predicted looks like signal: only the lower side grows.
    assert impact.after.down == pytest.approx(np.hypot(STATISTICAL, SHIFT), rel=0.003)
    assert impact.after.up == pytest.approx(impact.before.up, rel=1e-3)
    (entry,) = impact.ranking
    assert entry.up == pytest.approx(-SHIFT, rel=0.01)
    assert entry.down == pytest.approx(0.0, abs=1e-3 * SHIFT)
    # A curvature at the kink sees neither side.
    model = pyhf.Workspace(counting(20_000.0, 1e6)).model(
        patches=[
            attack_patch(
                counting(20_000.0, 1e6),
                [Template(channel="SR", sample="ttbar", nominal=np.array([1e6]), adversarial=np.array([1.001e6]))],
                Nuisance(side="one-sided"),
            )
        ],
        modifier_settings=KINKED,
    )
    backend, optimizer = pyhf.get_backend()
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer())
    data = model.expected_data(model.config.suggested_init())
    hessian = pyhf.infer.mle.fit(data, model, return_uncertainties=True)[model.config.poi_index, 1]
    pyhf.set_backend(backend, optimizer)
    assert abs(hessian / impact.after.down - 1.0) > 0.05


def test_the_attack_is_ranked_beside_the_other_nuisances(workspace: dict[str, Any], template: Template) -> None:
    impact = expected_impact(workspace, attack_patch(workspace, [template]))
    assert impact.parameter == "mu"
    assert {entry.name for entry in impact.ranking} == {"jes", "adversarial"}
    assert [entry.size for entry in impact.ranking] == sorted((e.size for e in impact.ranking), reverse=True)
    assert impact.ranks == {"adversarial": 1}
    assert impact.after.size > impact.before.size > 0.0
    assert impact.increase == pytest.approx(impact.after.size / impact.before.size - 1.0)
    weaker = expected_impact(workspace, attack_patch(workspace, [template], Nuisance(scale=0.02)))
    assert weaker.ranks == {"adversarial": 2}
    assert 0.0 < weaker.increase < impact.increase / 10.0


def test_impacts_are_those_of_cabinetry(workspace: dict[str, Any], template: Template) -> None:
    cabinetry = pytest.importorskip("cabinetry")
    jsonpatch = pytest.importorskip("jsonpatch")
    # cabinetry takes the ends of the intervals from a curvature, which is right for a mirrored template only.
    patch = attack_patch(workspace, [template], Nuisance(side="symmetrised"))
    ours = {entry.name: entry for entry in expected_impact(workspace, patch).ranking}
    model, data = cabinetry.model_utils.model_and_data(jsonpatch.apply_patch(workspace, patch), asimov=True)
    theirs = cabinetry.fit.ranking(model, data)
    assert set(theirs.labels) == set(ours) == {"jes", "adversarial"}
    for name, up, down in zip(theirs.labels, theirs.postfit_up, theirs.postfit_down, strict=True):
        assert ours[name].up == pytest.approx(up, abs=0.005)
        assert ours[name].down == pytest.approx(down, abs=0.005)


def test_the_bias_of_one_bin_is_the_shift_and_leaves_nothing_to_test() -> None:
    bias = counted("one-sided").bias
    assert bias.shift == pytest.approx(SHIFT, rel=2e-3)
    assert bias.n_sigma == pytest.approx(SHIFT / STATISTICAL, rel=0.003)
    assert bias.n_dof == 0
    assert bias.chi2 == pytest.approx(0.0, abs=1e-4)
    assert np.isnan([bias.p_value, bias.power]).all()
    assert bias.pulls == {}


@pytest.mark.parametrize(("attacked", "side"), [(12.0, "up"), (8.0, "down")])
def test_a_bias_is_measured_in_the_uncertainty_of_its_side(attacked: float, side: str) -> None:
    workspace = counting(10.0, 10.0)
    shift = Template(channel="SR", sample="ttbar", nominal=np.array([10.0]), adversarial=np.array([attacked]))
    impact = expected_impact(workspace, attack_patch(workspace, [shift]), parameters=[])
    assert impact.before.up > 1.05 * impact.before.down
    assert impact.bias.shift == pytest.approx((attacked - 10.0) / 10.0, rel=5e-3)
    assert impact.bias.n_sigma == impact.bias.shift / getattr(impact.before, side)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_bias_pulls_and_goodness_of_fit_are_those_of_cabinetry(
    workspace: dict[str, Any], template: Template, scale: float
) -> None:
    cabinetry = pytest.importorskip("cabinetry")
    free = {"name": "ttbar_norm", "type": "normfactor", "data": None}
    for channel in workspace["channels"]:
        channel["samples"][0]["modifiers"].append(free)
    patch = attack_patch(workspace, [template], Nuisance(scale=scale))
    ours = expected_impact(workspace, patch, parameters=["jes"]).bias
    workspace["observations"][1]["data"] = [
        sum(yields) for yields in zip(patch[-1]["value"]["data"]["hi_data"], [5.0, 20.0, 50.0], strict=True)
    ]
    model, data = cabinetry.model_utils.model_and_data(workspace)
    theirs = cabinetry.fit.fit(model, data, goodness_of_fit=True)
    fitted = dict(zip(theirs.labels, theirs.bestfit, strict=True))
    assert ours.shift == pytest.approx(fitted["mu"] - 1.0, abs=2e-4)
    assert abs(ours.shift) > 0.1
    # Parameters without a constraint have no pull, and each takes a degree of freedom.
    assert ours.pulls == {"jes": pytest.approx(fitted["jes"], abs=2e-3)}
    assert ours.n_dof == 4 - 2
    assert ours.p_value == pytest.approx(theirs.goodness_of_fit, rel=1e-3)


def test_the_power_of_the_goodness_of_fit_is_that_of_toys() -> None:
    """The second bin holds background alone, so that its deviance is the whole goodness of fit."""
    workspace = counting(20_000.0, 1e6)
    for sample, yields in zip(workspace["channels"][0]["samples"], (0.0, 10_000.0), strict=True):
        sample["data"].append(yields)
    workspace["observations"][0]["data"].append(10_000.0)
    shift = Template(
        channel="SR", sample="ttbar", nominal=np.array([1e6, 1e4]), adversarial=np.array([999_800.0, 10_150.0])
    )
    bias = expected_impact(workspace, attack_patch(workspace, [shift]), parameters=[]).bias
    toys = np.random.default_rng(1).poisson(10_150.0, 20_000)
    deviance = 2.0 * (toys * np.log(toys / 1e4) - toys + 1e4)
    assert bias.n_dof == 1
    assert bias.p_value == pytest.approx(stats.chi2.sf(bias.chi2, 1))
    assert bias.power == pytest.approx((deviance > stats.chi2.isf(0.05, 1)).mean(), abs=0.015)
    assert 0.25 < bias.power < 0.4


def test_a_nuisance_that_the_data_determine_is_said() -> None:
    workspace = counting(20_000.0, 1e6)
    for sample, yields in zip(workspace["channels"][0]["samples"], (0.0, 10_000.0), strict=True):
        sample["data"].append(yields)
    workspace["observations"][0]["data"].append(10_000.0)
    shift = Template(channel="SR", sample="ttbar", nominal=np.array([1e6, 1e4]), adversarial=np.array([1e6, 10_400.0]))
    for side, expected in (("symmetrised", 1.0 / np.hypot(1.0, 4.0)), ("one-sided", None)):
        nuisance = Nuisance(side=side)  # type: ignore[arg-type]
        with pytest.warns(UserWarning, match=r"the fit constrains 'adversarial' to 0\.\d\d of its pre-fit uncertainty"):
            impact = expected_impact(workspace, attack_patch(workspace, [shift], nuisance), parameters=[])
        (entry,) = impact.ranking
        assert entry.prior == 1.0
        if expected is not None:
            assert entry.constraint == pytest.approx(expected, rel=0.01)
        else:
            # Below zero hardly anything happens, so that the prior remains; above, the slope at zero is half.
            assert entry.interval.down == pytest.approx(1.0, abs=0.1)
            assert entry.constraint == entry.interval.up / entry.prior
    free = {"name": "ttbar_norm", "type": "normfactor", "data": None}
    workspace["channels"][0]["samples"][1]["modifiers"].append(free)
    weak = attack_patch(workspace, [shift], Nuisance(scale=0.1))
    ranking = {entry.name: entry for entry in expected_impact(workspace, weak).ranking}
    assert np.isnan(ranking["ttbar_norm"].prior)
    assert np.isnan(ranking["ttbar_norm"].constraint)


def test_the_pyhf_back_end_of_the_user_is_restored(workspace: dict[str, Any], template: Template) -> None:
    before = pyhf.get_backend()
    expected_impact(workspace, attack_patch(workspace, [template]), parameters=[])
    assert pyhf.get_backend() == before


def test_an_end_of_the_range_is_not_an_uncertainty() -> None:
    workspace = counting(1.0, 1e4)
    shift = Template(channel="SR", sample="ttbar", nominal=np.array([1e4]), adversarial=np.array([1.01e4]))
    with pytest.warns(UserWarning, match=r"bias test: mu ends at 10, a bound of its range \(0, 10\)"):
        impact = expected_impact(workspace, attack_patch(workspace, [shift]))
    assert np.isnan(impact.before.down)
    assert np.isnan(impact.before.size)
    assert np.isnan(impact.bias.n_sigma)


def test_impossible_questions_are_refused(workspace: dict[str, Any], template: Template) -> None:
    patch = attack_patch(workspace, [template])
    with pytest.raises(ValueError, match="no free nuisance parameter 'tes', only adversarial, jes"):
        expected_impact(workspace, patch, parameters=["tes"])
    workspace["measurements"][0]["config"]["poi"] = ""
    with pytest.raises(ValueError, match="no parameter of interest"):
        expected_impact(workspace, patch)


def test_without_pyhf_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, workspace: dict[str, Any], template: Template
) -> None:
    patch = attack_patch(workspace, [template])
    monkeypatch.setitem(sys.modules, "pyhf", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hepfool\[inference\]'"):
        expected_impact(workspace, patch)


def test_a_fit_without_a_minimum_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise pyhf.exceptions.FailedMinimization(type("Result", (), {"message": "", "minuit": None})())

    monkeypatch.setattr(pyhf.infer.mle, "fit", fail)
    with pytest.raises(ValueError, match=r"the fit with 'adversarial' at .* found no minimum; .* optimizer='scipy'"):
        counted("symmetrised")
