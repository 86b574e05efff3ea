# SPDX-License-Identifier: BSD-3-Clause
r"""
Attacks and detectors of several independent trainings, each against each.

Every run trains a network, attacks it on the training, validation and test
split, and trains a detector on the first two attacks.  Then the detector of run *j* is applied to the test
attack of run *i*: the diagonal is white-box, the rest grey-box, where the attack knew
data and architecture but not the parameters (arXiv:2603.13970, sec. 7).  An adaptive attack on network and
detector of each run stands beside, because a defence must hold against an attack that knows it.  All parts and cells stay in
a folder, so that a study resumes where it was stopped and can be extended by ``n_runs`` or ``n_splits``.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import joblib
import numpy as np

from hepfool.attacks._transfer import transferred
from hepfool.attacks.base import AttackResult
from hepfool.defences._adaptive import DefendedClassifier
from hepfool.defences._detector import DetectorReport, evaluate
from hepfool.events import EventTable
from hepfool.identity import table_digest
from hepfool.io._finished import WorkFolder, key_of
from hepfool.studies._misclassification import Misclassification, systematic_misclassification
from hepfool.studies._runs import Run, RunPlan, Splits, attack_events, prepare_run, split_events
from hepfool.training import auroc
from hepfool.typing import BoolArray, FloatArray, ProgressCallback

#: What an attack knew of the run that judges it: the network, only data and architecture, or network and detector.
Knowledge = Literal["white_box", "grey_box", "adaptive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixMean:
    """Mean of a quantity over the cells of one kind."""

    value: float  # mean over cells and splits
    # Jackknife that leaves out one run with all its cells, because cells of one run are not independent.
    error: float
    cell_std: float  # standard deviation of the cells within a split, averaged over the splits
    split_std: float  # standard deviation of the means of the splits, which share events; NaN for one split
    n_runs: int
    n_splits: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CrossRuns:
    """
    Every attack evaluated with the detector of every run.

    Attributes
    ----------
    cells : tuple of tuple of tuple of DetectorReport
        By split, attacked run and judging run.
    flagged : BoolArray, shape (n_splits, n_runs, n_test)
        Nominal test events that each run's detector flags.
    correct : BoolArray, shape (n_splits, n_runs, n_test)
        Nominal test events that each run's network classifies correctly.
    auroc : FloatArray, shape (n_splits, n_runs)
        Area under the ROC curve of each network on the nominal test events.
    adaptive : tuple of tuple of DetectorReport
        By split and run: attacks on network and detector together; empty if there were none.
    """

    cells: tuple[tuple[tuple[DetectorReport, ...], ...], ...]
    flagged: BoolArray
    correct: BoolArray
    auroc: FloatArray
    seed: int
    adaptive: tuple[tuple[DetectorReport, ...], ...] = ()

    def matrix(self, quantity: str = "corrected_fooling_ratio") -> FloatArray:
        """
        Return one number of every cell.

        Parameters
        ----------
        quantity : str
            Name of a number in :class:`~hepfool.defences.DetectorReport`.

        Returns
        -------
        FloatArray, shape (n_splits, n_runs, n_runs)
            By split, attacked run and judging run.
        """
        return np.array([[[getattr(cell, quantity) for cell in row] for row in split] for split in self.cells], float)

    def mean(self, knowledge: Knowledge, quantity: str = "corrected_fooling_ratio") -> MatrixMean:
        """
        Average over the diagonal (white-box), the other cells (grey-box), or the adaptive attacks.

        Parameters
        ----------
        quantity : str
            Name of a number in :class:`~hepfool.defences.DetectorReport`.

        Returns
        -------
        MatrixMean
            Mean with its spread over cells, trainings and splits.

        Raises
        ------
        ValueError
            If there were no adaptive attacks.
        """
        matrices = self._matrices(knowledge, quantity)
        n_splits, n_runs, _ = matrices.shape
        cells = matrices[:, _chosen(n_runs, knowledge)]
        means = cells.mean(axis=1)
        variances = [_jackknife_variance(matrix, knowledge) for matrix in matrices]
        return MatrixMean(
            value=float(means.mean()),
            error=math.sqrt(sum(variances)) / n_splits,
            cell_std=float(cells.std(axis=1, ddof=1).mean()) if cells.shape[1] > 1 else float("nan"),
            split_std=float(means.std(ddof=1)) if n_splits > 1 else float("nan"),
            n_runs=n_runs,
            n_splits=n_splits,
        )

    def values(self, knowledge: Knowledge, quantity: str = "corrected_fooling_ratio") -> FloatArray:
        """
        Return the numbers that :meth:`mean` averages.

        Parameters
        ----------
        quantity : str
            Name of a number in :class:`~hepfool.defences.DetectorReport`.

        Returns
        -------
        FloatArray, shape (n_splits, n_cells)
            By split; one cell per training, or for grey-box attacks per pair of them.

        Raises
        ------
        ValueError
            If there were no adaptive attacks.
        """
        matrices = self._matrices(knowledge, quantity)
        return np.asarray(matrices[:, _chosen(matrices.shape[1], knowledge)])

    def _matrices(self, knowledge: Knowledge, quantity: str) -> FloatArray:
        if knowledge != "adaptive":
            return self.matrix(quantity)
        if not self.adaptive:
            msg = "the study has no adaptive attacks; run it with adaptive=True in its plan"
            raise ValueError(msg)
        return np.array([np.diag([float(getattr(run, quantity)) for run in split]) for split in self.adaptive])

    def misclassification(self, split: int = 0) -> Misclassification:
        """
        Test whether the detectors flag the same correctly classified nominal events.

        Returns
        -------
        Misclassification
            Observed and expected numbers of flags.
        """
        return systematic_misclassification(self.flagged[split], judged=self.correct[split])


def run_cross_runs(
    plan: RunPlan,
    table: EventTable,
    *,
    seed: int,
    n_runs: int = 5,
    n_splits: int = 1,
    resume: str | Path | None = None,
    n_workers: int = 1,
    progress: ProgressCallback | None = None,
) -> CrossRuns:
    """
    Train and attack independent runs, and apply every detector to every attack.

    Parameters
    ----------
    seed : int
        Seed of splits, trainings, attacks and errors; runs do not depend on their number.
    n_runs : int
        Independent trainings per split, at least 2.
    n_splits : int
        Ways to split the events, each with its own trainings.
    resume : str or pathlib.Path, optional
        Folder of finished parts; nothing is kept by default.
    n_workers : int
        Processes; each uses one thread if there are several.
    progress : callable, optional
        Called with the current step and the finished fraction of all jobs.

    Raises
    ------
    ValueError
        If there are fewer than two runs or no split, or a run cannot be made.
    """
    if n_runs < 2 or n_splits < 1 or n_workers < 1:
        msg = f"need at least 2 runs, 1 split and 1 worker, got {n_runs}, {n_splits} and {n_workers}"
        raise ValueError(msg)
    with _folder(resume) as path:
        splits = [split_events(table, plan.fractions, _seed(seed, split)) for split in range(n_splits)]
        jobs = [
            _Job(plan=plan, splits=splits[split], split=split, run=run, n_runs=n_runs, seed=seed, folder=path)
            for split in range(n_splits)
            for run in range(n_runs)
        ]
        done = 0
        rows: list[_Row | None] = []
        with joblib.parallel_config(
            "loky", n_jobs=n_workers, **({"inner_max_num_threads": 1} if n_workers > 1 else {})
        ):
            # All runs exist before the first is judged.
            for work, step in ((_prepare, "Train and attack"), (_judge_row, "Judge")):
                rows = []
                for row in joblib.Parallel(return_as="generator")(joblib.delayed(work)(job) for job in jobs):
                    rows.append(row)
                    done += 1
                    if progress is not None:
                        progress(step, done / (2 * len(jobs)))
    return _collected([row for row in rows if row is not None], n_splits, seed)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Job:
    """One run of one split."""

    plan: RunPlan
    splits: Splits
    split: int
    run: int
    n_runs: int
    seed: int
    folder: Path

    def prepare(self, run: int) -> Run:
        return prepare_run(self.plan, self.splits, seed=_seed(self.seed, self.split, run), folder=self.folder)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Row:
    """One attack judged by all runs, and the run's own answers on nominal events."""

    cells: tuple[DetectorReport, ...]
    flagged: BoolArray
    correct: BoolArray
    auroc: float
    adaptive: DetectorReport | None


def _prepare(job: _Job) -> None:
    try:
        job.prepare(job.run)
    except ValueError as error:
        error.add_note(f"in run {job.run} of split {job.split}")
        raise


def _judge_row(job: _Job) -> _Row:
    runs = [job.prepare(run) for run in range(job.n_runs)]
    own, test = runs[job.run], job.splits[2]
    attacked = attack_events(
        job.plan, own.classifier, test, seed=_seed(job.seed, job.split, job.run, 0), folder=job.folder
    )
    values = test.network_values
    return _Row(
        cells=tuple(_cell(job, attacked, judging) for judging in runs),
        flagged=own.detector.flags(values),
        correct=own.classifier.predict(values) == test.labels,
        auroc=auroc(test.labels, own.classifier.scores(values), test.weights),
        adaptive=_adaptive(job, own) if job.plan.adaptive else None,
    )


def _adaptive(job: _Job, own: Run) -> DetectorReport:
    defended = DefendedClassifier(classifier=own.classifier, detector=own.detector)
    seed = _seed(job.seed, job.split, job.run, 0, 0)
    attacked = attack_events(job.plan, defended, job.splits[2], seed=seed, folder=job.folder)
    return _cell(job, attacked, own)


def _cell(job: _Job, attacked: AttackResult, judging: Run) -> DetectorReport:
    """Judge one attack by one run, or read what was found before."""
    tables = map(table_digest, (attacked.nominal, attacked.adversarial))
    judge = (judging.classifier.digest, judging.detector.classifier.digest, judging.detector.threshold)
    key = key_of("cell", *tables, attacked.classifier_digest, repr(job.plan.target), *judge)
    kept = WorkFolder(job.folder).part("cell", key, what="this attack against this detector")
    found = kept.load(_report)
    if found is not None:
        return found
    everything = attacked.attacked if job.plan.target == "all" else None
    result = transferred(attacked, judging.classifier, attacked=everything)
    report = evaluate(judging.detector, result)
    kept.save(json.dumps(asdict(report)).encode())
    return report


def _report(content: bytes) -> DetectorReport:
    record = json.loads(content)
    by_class = {int(label): value for label, value in record["clean_efficiency_by_class"].items()}
    return DetectorReport(**{**record, "clean_efficiency_by_class": by_class})


def _collected(rows: list[_Row], n_splits: int, seed: int) -> CrossRuns:
    n_runs = len(rows) // n_splits
    shape = (n_splits, n_runs)
    adaptive = [row.adaptive for row in rows if row.adaptive is not None]
    return CrossRuns(
        cells=tuple(tuple(row.cells for row in rows[k : k + n_runs]) for k in range(0, len(rows), n_runs)),
        flagged=np.array([row.flagged for row in rows]).reshape(*shape, -1),
        correct=np.array([row.correct for row in rows]).reshape(*shape, -1),
        auroc=np.array([row.auroc for row in rows]).reshape(shape),
        seed=seed,
        adaptive=tuple(tuple(adaptive[k : k + n_runs]) for k in range(0, len(adaptive), n_runs)),
    )


def _jackknife_variance(matrix: FloatArray, knowledge: Knowledge) -> float:
    """Variance of the mean of one kind of cells; NaN if leaving out a run leaves no cell."""
    n_runs = len(matrix)
    chosen = _chosen(n_runs, knowledge)
    means = []
    for left_out in range(n_runs):
        kept = np.delete(np.delete(chosen, left_out, axis=0), left_out, axis=1)
        part = np.delete(np.delete(matrix, left_out, axis=0), left_out, axis=1)[kept]
        means.append(part.mean() if part.size else float("nan"))
    return float((n_runs - 1) * np.var(means))


def _chosen(n_runs: int, knowledge: Knowledge) -> BoolArray:
    return np.asarray(np.eye(n_runs, dtype=np.bool_) != (knowledge == "grey_box"))


def _seed(seed: int, *key: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0])


@contextmanager
def _folder(folder: str | Path | None) -> Iterator[Path]:
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
    else:
        WorkFolder(Path(folder)).prepare()
        yield Path(folder)
