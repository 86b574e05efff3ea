# SPDX-License-Identifier: BSD-3-Clause
"""Messages on the command line name its options."""

from __future__ import annotations

import click
import pytest

from hepfool._command_line import in_options
from hepfool.cli import main


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("n_bins must be at least 1, got 0", "--n-bins must be at least 1, got 0"),
        ("raise n_bins or lower max_js_distance", "raise --n-bins or lower --max-js-distance"),
        (
            'step=0.1 has no effect with strategy="frugal", which waits',
            "--step 0.1 has no effect with --strategy frugal, which waits",
        ),
        ("pass unsafe_pickle=True if you trust it", "pass --unsafe-pickle if you trust it"),
        ('take output="probability" for it', "take --output-type probability for it"),
        ("the label column and the weight of each step", "the label column and the weight of each step"),
        ("feature 'n_bins_2' and n_bins.root", "feature 'n_bins_2' and n_bins.root"),
        ("two\nlines\x1b[31m", "two lines\\x1b[31m"),
    ],
)
def test_arguments_are_called_by_the_names_of_the_options(message: str, shown: str) -> None:
    with click.Context(main.commands["attack"]):
        assert in_options(message) == shown


def test_outside_of_a_command_nothing_is_translated() -> None:
    assert in_options("n_bins must be at least 1") == "n_bins must be at least 1"
