# SPDX-License-Identifier: BSD-3-Clause
"""Commands print to whatever standard output there is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = r"""
import warnings
import click
from rich.console import Console
from rich.table import Table
from hepfool.cli import _user_errors, main
from hepfool._progress import progress_bars

@main.command()
def results():
    with _user_errors():
        table = Table("fooling ratio \u00b1 error")
        table.add_row("0.20 \u00b1 0.01 \u2022 \u0394 \u2264 3 \u2212 \u0130")
        with progress_bars() as show:
            show("attack", 0.5)
        Console().print(table)
        click.echo("Report: \u0130")
        warnings.warn("few events: \u00b1 0.1")

main(["results"])
"""


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    inherited["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, *options, "-c", PROGRAM]
    return subprocess.run(command, env=inherited | environment, capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "encoding", "number"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "ascii", "0.20 +- 0.01 * Delta  <= 3 - \\u0130"),
        ({"PYTHONIOENCODING": "latin-1", "NO_COLOR": "1"}, "latin-1", "0.20 ± 0.01 * Delta  <= 3 - \\u0130"),
        ({"PYTHONIOENCODING": "ascii:strict", "TERM": "dumb"}, "ascii", "0.20 +- 0.01"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "ascii", "0.20 +- 0.01"),
        ({"PYTHONIOENCODING": "utf-8", "LC_ALL": "tr_TR.UTF-8"}, "utf-8", "0.20 ± 0.01 • Δ ≤ 3 − İ"),
    ],
)
def test_results_are_printed_in_any_encoding(environment: dict[str, str], encoding: str, number: str) -> None:
    done = run(**environment)
    # click writes UTF-8 to what calls itself ASCII.
    output, errors = done.stdout.decode(encoding, "replace"), done.stderr.decode(encoding, "replace")
    assert done.returncode == 0, errors
    assert number in output
    assert "Report: " in output
    assert "Warning: few events" in errors


@pytest.fixture(scope="module")
def usual() -> subprocess.CompletedProcess[bytes]:
    return run(PYTHONIOENCODING="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("options", [("-W", "error"), ("-O",), ("-OO", "-W", "error::UserWarning")])
def test_options_of_the_interpreter_have_no_effect(
    options: tuple[str, ...], usual: subprocess.CompletedProcess[bytes]
) -> None:
    done = run(*options, PYTHONIOENCODING="utf-8")
    assert (done.returncode, usual.returncode) == (0, 0), done.stderr
    assert done.stdout == usual.stdout
    assert "Warning: few events" in done.stderr.decode()
