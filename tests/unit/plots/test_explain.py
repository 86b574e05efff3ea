# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes

from hepfool.explain import Coherence, ExplainedPart, Explanation, PartKind
from hepfool.plots import PlotStyle, plot_allowed_fraction, plot_explanation
from hepfool.studies import Measured
from hepfool.summary import AllowedFraction

PLAIN = PlotStyle(experiment="plain")
ALLOWED = AllowedFraction(
    threat_model="inputs within caps",
    value=0.1,
    limit=0.4,
    expected=0.3,
    level=0.95,
    observable="score",
    regions=("high_mt",),
    sources=(),
    n_data=671,
    n_bins=5,
    scan=((0.0, 1.0, 1.0), (0.5, 0.03, 0.01), (1.0, 0.001, 0.0005)),
)


def part(kind: PartKind, name: str, *, coherence: Coherence | None = None) -> ExplainedPart:
    shares = {"tau_pt": Measured(0.2, 0.02), "met": Measured(0.7, 0.05), "mt": Measured(0.1, 0.01)}
    return ExplainedPart(kind=kind, name=name, n_events=50, weight=1.0, shares=shares, coherence=coherence)


def explanation(coherence: Coherence | None = None) -> Explanation:
    parts = (
        part("all", "all", coherence=coherence),
        part("region", "low_mt"),
        part("direction", "0 → 1"),
        part("direction", "1 → 0"),
    )
    return Explanation(of="fooled", parts=parts, sources=("tau_energy",), n_permutations=3)


def names(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


def test_leading_inputs_have_their_labels_and_the_rest_is_said() -> None:
    figure, (ax,) = plot_explanation(explanation(), labels={"met": "MET"}, n_shown=2, style=PLAIN)
    assert names(ax) == ["MET", "tau pt"]
    assert [bar.get_width() for bar in ax.patches] == [0.7, 0.2]  # type: ignore[attr-defined]
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "50 fooled events; 1 further inputs: 0.10"
    directions = [text.get_text() for text in legend.get_texts()]
    assert directions == ["background to signal (50 events)", "signal to background (50 events)"]


def test_a_part_is_shown_by_itself() -> None:
    found = explanation()
    figure, _ = plot_explanation(found, part=found.parts[1], labels={"low_mt": "$m_T$ < 70 GeV"}, style=PLAIN)
    assert figure.legends[0].get_title().get_text() == "50 fooled events, $m_T$ < 70 GeV"
    assert not figure.legends[0].get_texts()


def test_the_coherent_part_stands_beside_chance() -> None:
    coherence = Coherence(
        share=Measured(0.3, 0.01), chance=Measured(0.2, 0.01), alone=Measured(0.1, 0.02), without=Measured(0.6, 0.03)
    )
    figure, (_, ax) = plot_explanation(explanation(coherence), style=PLAIN)
    assert [bar.get_width() for bar in ax.patches] == [0.3, 0.2, 0.1, 0.6]  # type: ignore[attr-defined]
    assert any("tau energy" in text.get_text() for text in ax.texts)
    figure.draw_without_rendering()


def test_what_data_exclude_is_shaded() -> None:
    _, ax = plot_allowed_fraction(ALLOWED, labels={"high_mt": "$m_T$ > 70 GeV"}, style=PLAIN)
    (shaded,) = ax.patches
    span = shaded.get_extents().transformed(ax.transData.inverted())
    assert (span.x0, span.x1) == pytest.approx((0.4, 1.0))
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [1.0, 0.03, 0.001])
    legend = ax.get_legend()
    assert legend is not None
    assert "671 data events in $m_T$ > 70 GeV, score" in legend.get_title().get_text()
    assert "Observed, limit 0.40" in [text.get_text() for text in legend.get_texts()]


def test_nothing_is_shaded_where_nothing_is_excluded() -> None:
    _, ax = plot_allowed_fraction(replace(ALLOWED, limit=1.0), style=PLAIN)
    assert not ax.patches
    legend = ax.get_legend()
    assert legend is not None
    assert "Observed, no limit" in [text.get_text() for text in legend.get_texts()]
