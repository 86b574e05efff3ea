# SPDX-License-Identifier: BSD-3-Clause
"""
The main job from end to end, on the sample that comes with the package.

An :class:`~hepfool.samples.htautau_analysis.HiggsToTauTau` builds the events with coffea, and a
:class:`~hepfool.study.Study` from ``samples/study.yaml`` does the rest: nothing here that you could not do with yours.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from coffea.nanoevents import NanoAODSchema
from coffea.processor import FuturesExecutor, Runner

from hepfool.processors.completeness import run_processor
from hepfool.processors.passes import TableProcessor
from hepfool.processors.threads import limited_threads
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import HiggsToTauTau
from hepfool.study.plan import FrontierConfiguration, Study
from hepfool.study.procedure import run_steps
from hepfool.summary import Summary
from hepfool.typing import ProgressCallback

__all__ = ["demo_steps", "demo_study"]

PLAN: Final = Path(htautau.__file__).with_name("study.yaml")
WORKERS: Final = 2


class _Schema(NanoAODSchema):  # type: ignore[misc]  # coffea has no types
    """Stays quiet about collections that the sample does not have."""

    warn_missing_crossrefs = False


def demo_study(folder: str | Path, *, seed: int = 1, frontier: bool = False) -> Study:
    """
    Read the plan of the package.

    Parameters
    ----------
    folder : str or Path
        Folder of the report.
    seed : int
        Of split, training and attack.
    frontier : bool
        Scan tighter and looser caps too.

    Returns
    -------
    Study
        To be run with :func:`demo_events`.
    """
    scan = FrontierConfiguration() if frontier else None
    changes = {"output": Path(folder).resolve(), "seed": seed, "frontier": scan}
    return Study.from_yaml(PLAN).model_copy(update=changes)


def demo_events() -> dict[str, Any]:
    """
    Say where the events of the package come from.

    Returns
    -------
    dict
        ``analysis``, ``runner`` and ``fileset`` of :meth:`hepfool.study.Study.run`.
    """
    return {
        "analysis": HiggsToTauTau(luminosity_pb=htautau.luminosity_pb()),
        "runner": Runner(FuturesExecutor(workers=WORKERS), schema=_Schema),
        "fileset": {**htautau.fileset(), **htautau.pseudodata_fileset()},
    }


@limited_threads(1)  # sums in another order train another network
def run_demo(
    folder: str | Path,
    *,
    force: bool = False,
    seed: int = 1,
    frontier: bool = False,
    progress: ProgressCallback | None = None,
) -> Summary:
    """
    Run the study and write its report; the same call resumes after an interrupt.

    Parameters
    ----------
    folder : str or Path
        Folder to make; finished steps are kept beside it, in ``<folder>-work``.
    force : bool
        Replace an earlier report.
    seed : int
        Of split, training and attack.
    frontier : bool
        Scan tighter and looser caps too.
    progress : callable, optional
        Called with the title of a step and its finished fraction.

    Returns
    -------
    Summary
        What was measured, with the verdict.
    """
    plan = demo_study(folder, seed=seed, frontier=frontier)
    return plan.run(**demo_events(), force=force, progress=progress)


@limited_threads(1)
def demo_steps(*, until: str, seed: int = 1) -> dict[str, Any]:
    """
    Do the first steps of the demo, for other studies of its events and network.

    Parameters
    ----------
    until : str
        Name of the first step to leave out, such as ``attack``.
    seed : int
        Of split, training and attack.

    Returns
    -------
    dict of str to object
        Result of each step by its name, see :mod:`hepfool.study.outcomes`.
    """
    source = demo_events()
    table = run_processor(source["runner"], source["fileset"], TableProcessor(source["analysis"]))["table"]
    with tempfile.TemporaryDirectory() as folder:
        return run_steps(demo_study(Path(folder) / "out", seed=seed), table=table, until=until)
