# SPDX-License-Identifier: BSD-3-Clause
"""A histogram of any shape and storage becomes the template that its events make, or is refused: no rate moves silently."""

from __future__ import annotations

import itertools
import re
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import numpy as np
import pytest
import uproot
from hist import Hist, axis, storage
from hypothesis import given, settings
from hypothesis import strategies as st

from hepfool.inference import Nuisance, Template, attack_patch, combine_lines, score_templates, write_combine_shapes
from hepfool.inference._templates import Flow

#: From far below the axes to far above them.
events = st.lists(st.floats(-3.0, 4.0), max_size=12).map(np.array)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
scales = st.sampled_from([1e-6, 0.37, 1.0, 250.0])
choices = st.sampled_from(get_args(Flow))
axes = st.one_of(
    st.builds(
        axis.Regular,
        st.integers(1, 6),
        st.just(0.0),
        st.just(1.0),
        name=st.just("score"),
        underflow=st.booleans(),
        overflow=st.booleans(),
    ),
    st.builds(
        axis.Variable,
        st.sampled_from([(0.0, 1.0), (0.0, 0.2, 1.0), (-1.0, 0.1, 0.2, 3.0)]),
        name=st.just("score"),
        flow=st.booleans(),
    ),
)
Kind = Literal["Weight", "Double"]
kinds = st.sampled_from(get_args(Kind))


def filled(on: Any, values: Any, scale: float, kind: Kind, *leading: Any, **categories: str) -> Hist[Any]:
    histogram: Hist[Any] = Hist(*leading, on, storage=getattr(storage, kind)())
    given_values: Any = {"score": values, **categories}
    return histogram.fill(weight=np.full(len(values), scale), **given_values)


def yields_of(on: Any, values: Any, flow: Flow) -> tuple[Any, int]:
    """Count by hand: events per bin, and how many a histogram of this axis holds beyond it."""
    edges, traits = on.edges, on.traits
    below = values[values < edges[0]] if traits.underflow else values[:0]
    above = values[values >= edges[-1]] if traits.overflow else values[:0]
    counts = np.array([((values >= low) & (values < high)).sum() for low, high in itertools.pairwise(edges)])
    # Without an overflow bin the upper end belongs to the last bin.
    if not traits.overflow:
        counts[-1] += (values == edges[-1]).sum()
    if flow == "fold":
        counts[0] += len(below)
        counts[-1] += len(above)
    return counts.astype(float), len(below) + len(above)


@given(on=axes, before=events, after=events, scale=scales, kind=kinds, flow=choices, several=st.booleans())
@settings(max_examples=200)
def test_a_template_has_the_rate_of_its_events(
    on: Any, before: Any, after: Any, scale: float, kind: Kind, flow: Flow, several: bool
) -> None:
    (nominal, lost), (adversarial, more) = (yields_of(on, values, flow) for values in (before, after))

    def made() -> Template:
        if not several:
            pair = [filled(on, values, scale, kind) for values in (before, after)]
            return Template.of(*pair, channel="SR", sample="ttbar", flow=flow)
        categories = [
            axis.StrCategory(["ttbar"], name="process"),
            axis.StrCategory(["nominal", "adversarial"], name="variation"),
        ]
        parts = [
            filled(on, values, scale, kind, *categories, process="ttbar", variation=variation)
            for values, variation in ((before, "nominal"), (after, "adversarial"))
        ]
        (only,) = score_templates(parts[0] + parts[1], channel="SR", flow=flow)
        return only

    if flow == "refuse" and (lost or more):
        with pytest.raises(ValueError, match=r"ttbar, (nominal|adversarial): .* events lie below and .* above"):
            made()
        return
    if not (nominal.sum() and adversarial.sum()):
        with pytest.raises(ValueError, match="yields add up to 0; fill this histogram"):
            made()
        return
    template = made()
    np.testing.assert_allclose(template.nominal, scale * nominal)
    np.testing.assert_allclose(template.adversarial, scale * adversarial)
    if kind == "Weight":
        np.testing.assert_allclose(np.asarray(template.variances), scale**2 * nominal)
    else:
        assert template.variances is None, "a histogram filled with weights, but without their squares, knows no errors"
    rate = template.adversarial.sum() / template.nominal.sum()
    np.testing.assert_allclose(rate, adversarial.sum() / nominal.sum())
    if flow == "fold" and on.traits.underflow and on.traits.overflow:
        np.testing.assert_allclose(rate, len(after) / len(before))


contents = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any)


@given(data=st.data(), nominal=contents, scale=scales, factor=scales)
def test_shift_and_statistical_errors_follow_the_yields_of_the_analyst(
    data: Any, nominal: list[int], scale: float, factor: float
) -> None:
    same_length = st.lists(st.integers(0, 40), min_size=len(nominal), max_size=len(nominal)).filter(any)
    adversarial, yields = data.draw(same_length), factor * np.array(data.draw(same_length), dtype=float)
    template = Template(
        channel="SR",
        sample="ttbar",
        nominal=scale * np.array(nominal),
        adversarial=scale * np.array(adversarial),
        variances=scale**2 * np.array(nominal),
    )
    moved = template.onto(yields)
    np.testing.assert_array_equal(moved.nominal, yields)
    np.testing.assert_allclose(
        moved.adversarial.sum() / yields.sum(), template.adversarial.sum() / template.nominal.sum()
    )
    assert moved.variances is not None
    np.testing.assert_array_equal(moved.variances > 0, np.array(nominal) > 0)
    np.testing.assert_allclose(
        moved.variances.sum() / yields.sum() ** 2, np.asarray(template.variances).sum() / template.nominal.sum() ** 2
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "shapes.root"
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            write_combine_shapes(path, [moved])
        with uproot.open(path) as file:
            for name in ("ttbar", "ttbar_adversarialUp", "ttbar_adversarialDown"):
                np.testing.assert_allclose(file[f"SR/{name}"].variances(), moved.variances)
    unknown = any("autoMCStats adds none" in str(warning.message) for warning in said)
    assert unknown == bool(((yields > 0) & (np.array(nominal) == 0)).any())


@given(name=names, taken=names, sample=names, per_process=st.booleans(), per_channel=st.booleans())
def test_a_parameter_is_refused_where_its_name_exists_and_only_there(
    name: str, taken: str, sample: str, per_process: bool, per_channel: bool
) -> None:
    template = Template(channel="SR", sample=sample, nominal=np.array([4.0, 6.0]), adversarial=np.array([5.0, 5.0]))
    for nuisance in (Nuisance(name=name, per_process=per_process, per_channel=per_channel), Nuisance(name=taken)):
        parameter = nuisance.parameter("SR", sample)
        card = f"bin SR\nobservation 20\nbin SR\nprocess {sample}\nprocess 1\nrate 20\n{taken} lnN 1.1\n"
        modifier = {"name": taken, "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
        samples = [{"name": sample, "data": [10.0, 10.0], "modifiers": [modifier]}]
        workspace = {"channels": [{"name": "SR", "samples": samples}]}
        if parameter == taken:
            doors: tuple[tuple[Any, Any], ...] = ((combine_lines, card), (attack_patch, workspace))
            for write, where in doors:
                with pytest.raises(
                    ValueError, match=f"{re.escape(repr(parameter))} already; give the nuisance another name"
                ):
                    write(where, [template], nuisance)
        elif parameter not in {"bin", "process", "rate", "observation"}:
            assert combine_lines(card, [template], nuisance) == (f"{parameter} shape 1",)
            assert attack_patch(workspace, [template], nuisance)[-1]["value"]["name"] == parameter
