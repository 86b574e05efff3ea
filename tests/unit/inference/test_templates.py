# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hist import Hist

from hepfool.exceptions import ClippedTemplateWarning
from hepfool.inference import Nuisance, Template, score_templates


def test_symmetrised_templates_mirror_the_attack(template: Template) -> None:
    varied = template.variation(Nuisance(side="symmetrised", scale=0.5))
    np.testing.assert_allclose(varied.up - template.nominal, [-3.75, 0.75, 3.0])
    np.testing.assert_allclose(varied.up + varied.down, 2.0 * template.nominal)
    assert not varied.clipped.size


def test_one_sided_templates_are_nominal_downwards(template: Template) -> None:
    varied = template.variation(Nuisance())
    np.testing.assert_array_equal(varied.up, template.adversarial)
    np.testing.assert_array_equal(varied.down, template.nominal)


def test_negative_yields_are_clipped_and_named() -> None:
    thin = Template(channel="SR", sample="ttbar", nominal=np.array([10.0, 2.0]), adversarial=np.array([7.0, 5.0]))
    with pytest.warns(ClippedTemplateWarning, match=r"'SR', sample 'ttbar': the symmetrised .* negative in bins \[1\]"):
        varied = thin.variation(Nuisance(side="symmetrised"))
    np.testing.assert_array_equal(varied.down, [13.0, 0.0])
    np.testing.assert_array_equal(varied.clipped, [1])
    assert not thin.variation(Nuisance()).clipped.size


def test_the_shift_is_scaled_to_the_events_of_the_analyst(template: Template) -> None:
    moved = template.onto(np.array([1800.0, 900.0, 300.0]))
    np.testing.assert_allclose(moved.adversarial - moved.nominal, 4.0 * np.array([-7.5, 1.5, 6.0]))
    with pytest.raises(ValueError, match="the template has 3 bins, the model 2; fill the score in the 2 bins"):
        template.onto(np.ones(2))


def test_templates_come_from_a_histogram_of_scores() -> None:
    histogram: Hist[Any] = (
        Hist.new.StrCat(["ttbar", "signal"], name="process")
        .StrCat(["nominal", "adversarial"], name="variation")
        .Var([0.0, 0.5, 1.0], name="score", flow=False)
        .Weight()
    )
    histogram.fill(process="ttbar", variation="nominal", score=[0.1, 0.2, 0.7], weight=2.0)
    histogram.fill(process="ttbar", variation="adversarial", score=[0.1, 0.6, 0.7], weight=2.0)
    (only,) = score_templates(histogram, channel="SR", samples=["ttbar"])
    assert (only.channel, only.sample) == ("SR", "ttbar")
    np.testing.assert_array_equal(only.nominal, [4.0, 2.0])
    np.testing.assert_array_equal(only.adversarial, [2.0, 4.0])
    np.testing.assert_array_equal(only.variances, [8.0, 4.0])
    np.testing.assert_array_equal(only.edges, [0.0, 0.5, 1.0])
    with pytest.raises(ValueError, match="no process 'W' in the histogram, only ttbar, signal"):
        score_templates(histogram, channel="SR", samples=["W"])
    with pytest.raises(ValueError, match="expected process, variation and one variable"):
        score_templates(histogram.project("process", "score"), channel="SR")
    with pytest.raises(ValueError, match="add up to 0; fill this histogram, or leave this process out"):
        score_templates(histogram, channel="SR")


def test_histograms_of_different_bins_do_not_match() -> None:
    wide, narrow = Hist.new.Reg(2, 0, 1).Weight(), Hist.new.Reg(3, 0, 1).Weight()
    with pytest.raises(ValueError, match="SR/ttbar: two histograms with the same single axis"):
        Template.of(wide, narrow, channel="SR", sample="ttbar")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"adversarial": np.ones(3)}, r"adversarial has the shape \(3,\), expected \(2,\)"),
        ({"edges": np.ones(2)}, r"edges has the shape \(2,\), expected \(3,\)"),
        ({"adversarial": np.array([1.0, np.nan])}, "must be finite"),
    ],
)
def test_unusable_yields_are_refused(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Template(**{"channel": "SR", "sample": "ttbar", "nominal": np.ones(2), "adversarial": np.ones(2), **arrays})


@pytest.mark.parametrize(("options", "message"), [({"side": "both"}, "got 'both'"), ({"scale": -1.0}, "got -1")])
def test_impossible_nuisances_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Nuisance(**options)
