# SPDX-License-Identifier: BSD-3-Clause
"""
From a file of the ATLAS Higgs challenge to a report for a review, judged on events that no network has seen.

    python report.py atlas-higgs-challenge-2014-v2.csv.gz
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hepfool.study import Study

FEATURES = tuple((Path(__file__).parent / "features.txt").read_text().split())


def configuration(file: Path, output: Path, *, quick: bool) -> Study:
    """Say what is to be done; the fields are those of a file for `hepfool workflow`."""
    content: dict[str, Any] = {
        "output": output.resolve(),
        "events": {
            "files": [file.resolve()],
            "features": FEATURES,
            "label": "Label",
            "classes": {"b": 0, "s": 1},
            "missing_value": -999.0,
            "max_events": 2000 if quick else 20_000,
        },
        "network": {"training": {"max_epochs": 3}} if quick else {},
        "attack": {
            "strategy": "frugal",
            "beta": 20.0,
            "n_iterations": 2 if quick else 10,
            "max_js_distance": 0.03,
            "max_correlation_shift": 0.03,
            "validation": None,  # without the score, as the numbers of the README
        },
        "detector": {"training": {"max_epochs": 3}} if quick else {},
        # Uniform bins alone leave room that a Kolmogorov-Smirnov test sees.
        "quantile_bins": 100,
        "checks": {
            "n_data": 1000,
            "checks": ["chi2", "ks", "correlations", "classifier"],
            "n_toys": 20 if quick else 100,
        },
        "frontier": {"factors": [0.5, 1.0] if quick else [0.1, 0.25, 0.5, 1.0]},
        "report": {"experiment": "ATLAS", "label": "Open Data", "events": []},
    }
    return Study.model_validate(content)


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", default="output/report", show_default=True, type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="2000 events, and few epochs, iterations and toys.")
def main(file: Path | None, output: Path, *, quick: bool) -> None:
    """Train on half of the events of FILE, attack, detect, and judge on a quarter."""
    if file is None:
        click.echo("Get the file from CERN Open Data record 328 and give its path.")
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    summary = configuration(file, output, quick=quick).run(force=True)
    click.echo(f"{summary.verdict['decision']}: {output / 'report.html'}")


if __name__ == "__main__":
    main()
