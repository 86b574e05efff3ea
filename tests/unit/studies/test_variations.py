# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import correctionlib.schemav2 as schema
import numpy as np
import pytest
import uproot
from coffea.analysis_tools import Weights
from hist import Hist

from hepfool.attacks import travel
from hepfool.events import Envelope, EventTable
from hepfool.features import Derived, Feature
from hepfool.io import read_histograms
from hepfool.io._store import Store, write_store
from hepfool.studies import correction_variations, envelope_variations, weight_variations
from hepfool.studies._variations import yield_effects
from tests.effects import run_systematics
from tests.specimens import SineClassifier, events


def test_coffea_weights_become_variations_of_a_table() -> None:
    weights = Weights(3)
    weights.add("tau_id", np.array([1.0, 2.0, 3.0]), np.array([1.1, 2.2, 3.3]), np.array([0.9, 1.8, 2.7]))
    weights.add("pileup", np.array([2.0, 2.0, 2.0]), np.array([4.0, 2.0, 2.0]))
    varied = weight_variations(weights)
    assert list(varied) == ["pileup_down", "pileup_up", "tau_id_down", "tau_id_up"]
    np.testing.assert_allclose(varied["tau_id_up"], [2.2, 4.4, 6.6])
    np.testing.assert_allclose(varied["pileup_down"], [1.0, 4.0, 6.0])


def correction() -> Any:
    """Scale factors in two bins of pt: nominal 0.5 and 2, up 0.6 and 3, down 0.4 and 1."""
    contents: dict[str, list[Any]] = {"nominal": [0.5, 2.0], "up": [0.6, 3.0], "down": [0.4, 1.0]}
    bins = {
        key: schema.Binning(nodetype="binning", input="pt", edges=[0.0, 50.0, 100.0], content=values, flow="clamp")
        for key, values in contents.items()
    }
    return schema.Correction(
        name="tau",
        version=1,
        inputs=[schema.Variable(name="pt", type="real"), schema.Variable(name="ValType", type="string")],
        output=schema.Variable(name="weight", type="real"),
        data=schema.Category(
            nodetype="category",
            input="ValType",
            content=[schema.CategoryItem(key=key, value=value) for key, value in bins.items()],
        ),
    ).to_evaluator()


def test_a_correction_varies_the_weights() -> None:
    # Weights 3 and 5 before the correction.
    weights = np.array([3.0 * 0.5, 5.0 * 2.0])
    varied = correction_variations(
        correction(), {"pt": np.array([20.0, 70.0])}, weights, source="tau", systematic="ValType"
    )
    np.testing.assert_allclose(varied["tau_up"], [3.0 * 0.6, 5.0 * 3.0])
    np.testing.assert_allclose(varied["tau_down"], [3.0 * 0.4, 5.0 * 1.0])


def test_inputs_of_a_correction_are_checked() -> None:
    with pytest.raises(ValueError, match="takes pt, ValType, got pt, systematic"):
        correction_variations(correction(), {"pt": np.ones(2)}, np.ones(2), source="tau")
    evaluator = correction()
    with pytest.raises(ValueError, match="0 for 1 events"):
        correction_variations(
            ZeroBelow(evaluator), {"pt": np.array([20.0, 70.0])}, np.ones(2), source="tau", systematic="ValType"
        )


class ZeroBelow:
    """The correction, but 0 in the first bin."""

    def __init__(self, correction: Any) -> None:
        self.correction, self.inputs = correction, correction.inputs

    def evaluate(self, pt: Any, key: str) -> Any:
        return np.where(pt < 50.0, 0.0, self.correction.evaluate(pt, key))


def scores(low: float, high: float) -> Any:
    histogram = Hist.new.Reg(4, 0.0, 1.0, name="score").Weight()
    return histogram.fill(np.array([0.1, 0.6, 0.9]), weight=np.array([low, high, high]))


HISTOGRAMS = {
    "SR/ttbar": scores(10.0, 20.0),
    "SR/ttbar_jesUp": scores(50.0, 22.0),
    "SR/ttbar_jesDown": scores(50.0, 17.0),
    "CR/ttbar": scores(100.0, 100.0),
    "CR/ttbar_lumi_up": scores(101.0, 101.0),
    "SR/ttbar_jes": scores(0.0, 0.0),
}
REGIONS = {"signal": "SR/ttbar", "control": "CR/ttbar"}


def test_finished_histograms_give_yield_shifts_only(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "shapes.root") as file:
        for name, histogram in HISTOGRAMS.items():
            file[name] = histogram
    effects = {e.name: e for e in yield_effects(read_histograms(tmp_path / "shapes.root"), REGIONS, above=0.5)}
    assert list(effects) == ["jes_up", "jes_down", "lumi_up"]
    assert all(effect.flips is None and effect.kind == "yield" for effect in effects.values())
    assert effects["jes_up"].yield_shift["signal"].value == pytest.approx(44 / 40 - 1)
    # Two fills of weight 20, and two of weight 22, in the selected bins.
    assert effects["jes_up"].yield_shift["signal"].error == pytest.approx(np.sqrt(2 * 22**2 + 1.1**2 * 2 * 20**2) / 40)
    assert list(effects["lumi_up"].yield_shift) == ["control"]
    everything = {e.name: e for e in yield_effects(HISTOGRAMS, REGIONS)}
    assert everything["jes_up"].yield_shift["signal"].value == pytest.approx(94 / 50 - 1)


def test_archives_of_this_package_are_read_as_well(tmp_path: Path) -> None:
    write_store(tmp_path / "h.zip", Store(histograms={"ttbar": scores(1.0, 2.0), "ttbar_jesUp": scores(1.0, 3.0)}))
    (effect,) = yield_effects(read_histograms(tmp_path / "h.zip"), {"all_events": "ttbar"}, above=0.75)
    assert effect.yield_shift["all_events"].value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("nominal", "above", "message"),
    [
        ({"signal": "SR/tt"}, None, "no histogram 'SR/tt' for region 'signal'"),
        ({"signal": "SR/ttbar"}, 0.6, "0.6 is not a bin edge of histogram 'SR/ttbar'; the nearest is 0.5"),
        ({"signal": "SR/ttbar_jes"}, None, "no varied histogram such as SR/ttbar_jes_jesUp"),
    ],
)
def test_histograms_that_do_not_fit_are_named(nominal: dict[str, str], above: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        yield_effects(HISTOGRAMS, nominal, above=above)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.root").write_bytes(b"root")
    with uproot.recreate(tmp_path / "empty.root"):
        pass
    for name, message in (("a.txt", "end in .root"), ("broken.root", "is it complete"), ("empty.root", "no histogram")):
        with pytest.raises(ValueError, match=message):
            read_histograms(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_histograms(tmp_path / "absent.root")


def test_sources_move_all_events_to_the_ends_of_their_envelopes() -> None:
    table = events(200)
    sigma = np.array([4.0, 0.1, 0.3, 1.6, 0.5, 5.0])
    varied = envelope_variations(table, Envelope.absolute(table, sigma), {"scale": ["pt", "jet_pt"], "rest": ["phi"]})
    assert list(varied) == ["scale_up", "scale_down", "rest_up", "rest_down"]
    for side, sign in (("up", 1.0), ("down", -1.0)):
        change = varied[f"scale_{side}"] - table.values
        assert (change[:, 1:5] == 0.0).all()
        assert (np.isnan(change[:, 5]) == table.missing[:, 5]).all()
        # As under attack: constrained events within their own range, and none across the cut.
        low = table.region("low_pt").mask
        pt = table.column("pt")
        np.testing.assert_allclose(
            varied[f"scale_{side}"][:, 0],
            np.where(
                low,
                np.clip(pt + 4.0 * sign, pt[low].min(), pt[low].max()),
                np.clip(pt + 4.0 * sign, 60.0, pt.max()),
            ),
        )
    apart = travel(table.features, table.values, varied["rest_up"])[:, 2]
    np.testing.assert_allclose(apart, 0.3)
    assert (np.abs(varied["rest_up"][:, 2]) <= np.pi).all()


def test_by_default_every_feature_that_may_move_is_a_source() -> None:
    table = events(200, regions=False)
    envelope = Envelope.absolute(table, [4.0, 0.1, 0.3, 1.6, 0.5, 5.0])
    varied = envelope_variations(table, envelope)
    movable = ("pt", "eta", "phi", "n_jets", "jet_pt")
    assert list(varied) == [f"{name}_{side}" for name in movable for side in ("up", "down")]
    jets = table.column("n_jets")
    np.testing.assert_array_equal(varied["n_jets_up"][:, 3], np.minimum(jets + 1.0, jets.max()))
    np.testing.assert_array_equal(varied["n_jets_down"][:, 3], np.maximum(jets - 1.0, 0.0))
    for values in varied.values():
        inside = travel(table.features, table.values, values) + table.values
        assert ((inside >= envelope.lower - 1e-9) & (inside <= envelope.upper + 1e-9))[~table.missing].all()
        run_systematics(SineClassifier(), replace(table, shape_variations={"x_up": values}))


def test_derived_features_follow_their_source() -> None:
    square = Feature(name="square", derived=Derived(inputs=("x",), function=lambda x: x**2))
    table = EventTable.from_arrays([[1.0, 1.0], [3.0, 9.0]], features=[Feature(name="x"), square])
    varied = envelope_variations(table, Envelope.absolute(table, [0.5, 0.0]))
    assert list(varied) == ["x_up", "x_down"]
    np.testing.assert_allclose(varied["x_up"], [[1.5, 2.25], [3.0, 9.0]])


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({}, "no source of uncertainty"),
        ({"scale": []}, "source 'scale' moves no feature"),
        ({"scale": ["mass"]}, "cannot move 'mass'"),
        ({"scale": ["charge"]}, "cannot move 'charge'"),
        ({"scale": ["eta"]}, "envelope does not bound 'eta' in every event"),
    ],
)
def test_sources_without_effect_are_refused(sources: dict[str, list[str]], message: str) -> None:
    table = events(50)
    envelope = Envelope.absolute(table, [4.0, np.inf, 0.3, 1.6, 0.5, 5.0])
    with pytest.raises(ValueError, match=message):
        envelope_variations(table, envelope, sources)
