# SPDX-License-Identifier: BSD-3-Clause
"""
What a configuration file may say, with every default.

Parts of it are the records of the package itself, such as ``CONSERVAttack`` and ``CheckSettings``, field by field.
Unknown names are errors.  Paths are relative to the folder of the file.
"""

from __future__ import annotations

import glob
import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from hepfool._formula import Formula
from hepfool._settings import DetectorSettings, Nuisance, Optimizer, Thresholds, TrainingSettings
from hepfool._shown import Displayed, Shown
from hepfool.attacks._conserv import CONSERVAttack
from hepfool.events._region import RegionRole, check_cuts
from hepfool.features import Derived, Feature, FeatureKind, FeatureSpace
from hepfool.io._files import local_path
from hepfool.statistics._checks import CheckSettings
from hepfool.study._attack_plan import ATTRIBUTES, AttackSettings, described
from hepfool.validation import Validation

if TYPE_CHECKING:
    from hepfool.events import EventTable
    from hepfool.models.protocols import Classifier
    from hepfool.processors.analysis import Analysis
    from hepfool.study._schedule import PlannedStep
    from hepfool.summary import Summary
    from hepfool.typing import ProgressCallback

Model = TypeVar("Model", bound=BaseModel)


#: Characters of a setting that a terminal or a notebook shows.
_LONGEST: Final = 100
#: In a context: paths are a command line's, and whoever opens the files says what is wrong with them.
_AS_GIVEN = "as_given"


def checked(model: type[Model], names: Mapping[str, str] | None = None, /, **given: Any) -> Model:
    """Make a plan, or a part of it, from the options of a command, whose ``names`` errors call the fields by."""
    try:
        return model.model_validate(given, context={_AS_GIVEN: True})
    except ValidationError as error:
        msg = "; ".join(_named(entry, names) for entry in error.errors())
        raise ValueError(msg) from error


def _named(entry: Mapping[str, Any], names: Mapping[str, str] | None) -> str:
    where, text = ".".join(map(str, entry["loc"])), entry["msg"].removeprefix("Value error, ")
    first, _, rest = text.partition(" ")
    if names is not None:
        if where in names:
            return f"{names[where]}: {text}"
        if f"{where}.{first}" in names:
            return f"{names[f'{where}.{first}']} {rest}"
        where = where.partition(".")[2]
    return f"{where}: {text}" if where else text


def _placed(path: Path, info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("folder", ".")).resolve() / local_path(path)


def _found(path: Path, info: ValidationInfo) -> Path:
    if (info.context or {}).get(_AS_GIVEN):
        return local_path(path)
    placed = _placed(path, info)
    if not placed.exists() and not (glob.has_magic(str(placed)) and glob.glob(str(placed))):  # noqa: PTH207 - absolute patterns
        msg = f"no such file: {placed}"
        raise ValueError(msg)
    return placed


def _as_feature(given: Any) -> Any:
    """Read ``name`` and ``name:kind``."""
    if not isinstance(given, str):
        return given
    name, _, kind = given.partition(":")
    return {"name": name, **({"kind": kind} if kind else {})}


#: Ends of the names of files without trees.
_TREELESS = frozenset({".csv", ".gz", ".parquet"})
#: Ends of names of files that are no output of coffea; what to do with them is said when they are read.
NOT_PICKLED = frozenset({".root", ".parquet", ".csv", ".gz", ".zip", ".npz"})

#: A file that exists; * and ? are allowed.
InputPath = Annotated[Path, AfterValidator(_found)]
FormulaText = Annotated[str, AfterValidator(lambda text: Formula(text).text)]
OutputPath = Annotated[Path, AfterValidator(_placed)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _refuse(given: BaseModel, names: Iterable[str], why: str) -> None:
    """Refuse settings that were made and that no step would read."""
    for name in names:
        if name in given.model_fields_set and getattr(given, name) != type(given).model_fields[name].get_default(
            call_default_factory=True
        ):
            msg = f"{name} has no effect {why}; leave it out"
            raise ValueError(msg)


class FeatureConfiguration(_Strict):
    """One input of the network; a text ``name`` or ``name:kind`` does as well."""

    name: str = Field(description="Name of the column.")
    label: str = Field(default="", description="Axis title in LaTeX without its unit; the name by default.")
    unit: str = Field(default="", description="Such as GeV or rad; empty for a dimensionless quantity.")
    lower: float = Field(default=-math.inf, description="Smallest value that an attack may give it; none by default.")
    upper: float = Field(default=math.inf, description="Largest value that an attack may give it; none by default.")
    kind: FeatureKind = Field(
        default="continuous",
        description="Whether it takes any value, whole numbers, wraps around as an azimuth, or never moves.",
    )
    derived: FormulaText | None = Field(default=None, description="Formula of other features that it follows from.")
    tolerance: float = Field(default=1e-6, ge=0, description="Of a derived feature's values in the files.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.feature()
        return self

    def feature(self) -> Feature:
        """Describe the input."""
        if self.derived is None:
            _refuse(self, ("tolerance",), "without derived")
        given = self.model_dump(exclude={"derived", "tolerance"})
        return Feature(**given, derived=None if self.derived is None else Derived.by(self.derived, self.tolerance))


class RegionConfiguration(_Strict):
    """A region by cuts on features, other columns of the files, or ``columns``: ``[lower, upper)``, null for no bound."""

    role: RegionRole = Field(
        default="control",
        description="Data are compared with simulation in control and validation regions and stay blinded in a signal region.",
    )
    cuts: dict[str, tuple[float | None, float | None]] = Field(
        min_length=1, description="Lower and upper bound by column; null for no bound."
    )


class EventsConfiguration(_Strict):
    """
    Where the events come from.

    Either flat ``files`` with their layout, or ``coffea_output``: a file of ``coffea.util.save`` with the output of a
    ``TableProcessor``, a ``PartitionProcessor``, or an ``AttackProcessor`` (its simulated events), or
    the folder of Parquet files and manifest that a ``PartitionProcessor`` wrote.  A file of ``coffea.util.save`` is pickled:
    reading it runs code of whoever wrote it, which ``unsafe_pickle`` allows; the folder holds no code.
    """

    files: tuple[InputPath, ...] = Field(
        default=(), description="ROOT, Parquet or CSV files of simulated events; * and ? are allowed."
    )
    coffea_output: InputPath | None = Field(
        default=None,
        description="What a coffea run left, in place of files: a saved output, or a folder of partitions.",
    )
    unsafe_pickle: bool = Field(
        default=False, description="Trust whoever wrote the file of coffea_output: reading it runs their code."
    )
    data_files: tuple[InputPath, ...] = Field(default=(), description="Collision data, without a label column.")
    features: tuple[
        Annotated[
            FeatureConfiguration, BeforeValidator(_as_feature, json_schema_input_type=str | FeatureConfiguration)
        ],
        ...,
    ] = Field(default=(), description="Inputs of the network in its order.")
    label: str | None = Field(default=None, description="Column with the true class.")
    classes: dict[str, int] | None = Field(default=None, description="Class of each value of the label column.")
    weight: str | None = Field(default=None, description="Column with the event weight.")
    tree: str = Field(default="Events", description="Tree of ROOT files.")
    missing_value: float | None = Field(
        default=None, description="Number that stands for a missing value, such as -999."
    )
    max_events: int | None = Field(default=None, ge=1, description="Take a random part of so many simulated events.")
    allow_missing: bool = Field(
        default=False, description="Go on without absent or damaged files; the report names them."
    )
    columns: dict[str, FormulaText] = Field(
        default_factory=dict, description="Columns by formulas of those in the files, such as mt: sqrt(2 * pt * met)."
    )
    spectators: tuple[str, ...] = Field(default=(), description="Columns that travel along, such as run and event.")
    variations: dict[str, dict[str, str | tuple[str, str]]] = Field(
        default_factory=dict,
        description="By source, the columns in place of others, as jes: {pt: [pt_up, pt_down]}; of the weight column too.",
    )
    variation_files: dict[str, tuple[InputPath, ...]] = Field(
        default_factory=dict,
        description="By variation, such as jes_up, files with the same events in the same order.",
    )
    regions: dict[str, RegionConfiguration] = Field(
        default_factory=dict, description="Control, validation and signal regions by name."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.files) == (self.coffea_output is not None):
            msg = "name either files or coffea_output"
            raise ValueError(msg)
        self._check_trust()
        if self.files and (not self.features or self.label is None):
            msg = "files need features, and a label column"
            raise ValueError(msg)
        elsewhere = {"files", "coffea_output", "unsafe_pickle", "max_events"}
        given = sorted(self.model_fields_set - elsewhere)
        if self.coffea_output is not None and given:
            msg = f"{given[0]} goes with files; a coffea output holds it already"
            raise ValueError(msg)
        if "tree" in self.model_fields_set and all(path.suffix.lower() in _TREELESS for path in self.every_file):
            msg = f"tree={self.tree} has no effect: none of the files is a ROOT file; leave it out"
            raise ValueError(msg)
        for name, region in self.regions.items():
            check_cuts(name, region.cuts)
        if self.features:
            FeatureSpace(feature.feature() for feature in self.features)
        return self

    @property
    def every_file(self) -> tuple[Path, ...]:
        """Flat files of simulation, data and variations, with their patterns."""
        varied = (path for paths in self.variation_files.values() for path in paths)
        return (*self.files, *self.data_files, *varied)

    def _check_trust(self) -> None:
        path = self.coffea_output
        pickled = path is not None and not path.is_dir() and path.suffix.lower() not in NOT_PICKLED
        if pickled and not self.unsafe_pickle:
            msg = (
                f"coffea_output: {path} is a pickled file, and reading it runs code of whoever wrote it; say "
                "unsafe_pickle: true if you trust them, or name the folder of a PartitionProcessor"
            )
            raise ValueError(msg)
        if self.unsafe_pickle and not pickled:
            msg = "unsafe_pickle is for a coffea_output that is a file; nothing else here is pickled, leave it out"
            raise ValueError(msg)


class SplitConfiguration(_Strict):
    """Fractions of the simulated events of each dataset; the rest is the test part, on which everything is judged."""

    train: float = Field(default=0.5, ge=0, lt=1, description="Part that trains network and detector.")
    validation: float = Field(
        default=0.25, ge=0, lt=1, description="Part that ends a training and sets the detector's threshold."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.train + self.validation < 1:
            msg = f"train and validation add up to {self.train + self.validation:g}; leave something to the test part"
            raise ValueError(msg)
        return self


class NetworkConfiguration(_Strict):
    """A network from a file, which should not have seen the test part; without a file one is trained."""

    file: InputPath | None = Field(
        default=None,
        description="Network, by its suffix: .pt2, .pt, .onnx, .keras, .h5, .json, .ubj, .txt, .joblib, .pkl.",
    )
    network: str | None = Field(
        default=None, description="What a state dictionary belongs to: a reference network, or FILE.py:FUNCTION."
    )
    output: Literal["probability", "logit"] | None = Field(default=None, description="What the network returns.")
    unsafe_pickle: bool = Field(
        default=False, description="Trust whoever wrote the network's file: reading it may run code."
    )
    hidden: tuple[int, ...] = Field(
        default=(64, 64, 32), description="Nodes of the hidden layers of a trained network."
    )
    training: TrainingSettings = Field(
        default_factory=TrainingSettings, description="How a network without a file is trained."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        idle, why = (
            (("network", "output", "unsafe_pickle"), "without a file")
            if self.file is None
            else (("hidden", "training"), "beside a file")
        )
        _refuse(self, idle, f"{why} of the network")
        return self


class HistogramsConfiguration(_Strict):
    """Yield shifts from finished histograms, see :func:`hepfool.studies._variations.yield_effects`."""

    file: InputPath = Field(description="ROOT file with the histograms.")
    nominal: dict[str, str] = Field(min_length=1, description="Name of the nominal histogram per region.")
    above: float | None = Field(
        default=None, description="Count only bins above this value of the axis; all by default."
    )


class CorrelationConfiguration(_Strict):
    """Correlation of two sources."""

    sources: tuple[str, str] = Field(description="Names of the two sources.")
    coefficient: float = Field(ge=-1, le=1, description="From -1 to 1; sources that are not named are independent.")


class SystematicsConfiguration(_Strict):
    """Systematics beside the variations of the table."""

    histograms: tuple[HistogramsConfiguration, ...] = Field(
        default=(), description="Yield shifts from histograms that the analysis has made."
    )
    correlations: tuple[CorrelationConfiguration, ...] = Field(
        default=(), description="Correlations between sources in their total."
    )

    def coefficients(self) -> dict[tuple[str, str], float]:
        """Collect the correlations."""
        return {entry.sources: entry.coefficient for entry in self.correlations}


class FrontierConfiguration(_Strict):
    """A scan of caps: the attack, with its bins, bounds and target, for caps multiplied by each of the factors."""

    factors: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(0.25, 0.5, 1.0, 2.0, 4.0),
        min_length=1,
        description="What every cap is multiplied by, one after another.",
    )


class WorstCaseConfiguration(_Strict):
    """
    The same uncertainties under rising freedom, with what can be proved; who carries the attack, and what data allow of it.

    See :func:`hepfool.worst_case.ladder.ladder`, :func:`hepfool.explain.explain` and
    :func:`hepfool.summary.allowed_fraction.allowed_fraction`.
    """

    regions: tuple[str, ...] | None = Field(
        default=None, description="Where; each signal region by default, or all events without regions."
    )
    sources: tuple[str, ...] | None = Field(
        default=None, description="Names of shape variations without _up and _down; all by default."
    )
    max_boxes: int = Field(
        default=300, ge=1, description="Into how many parts the set of one event is divided at most."
    )
    seconds: float | None = Field(default=None, gt=0.0, description="CPU time of each proof; the rest stays open.")
    threat_model: str | None = Field(
        default=None,
        min_length=1,
        description="What the attack may do, in words; with it, the fraction of it is limited that data of control regions allow.",
    )
    transfer: str | None = Field(
        default=None,
        min_length=1,
        description="Why the deviation is the same in control and signal regions; with it, sizes are scaled to what is allowed.",
    )

    @model_validator(mode="after")
    def _check_transfer(self) -> Self:
        if self.transfer is not None and self.threat_model is None:
            msg = "transfer scales a size to what data allow of an attack; say of which with threat_model"
            raise ValueError(msg)
        return self


class SpreadConfiguration(_Strict):
    """Repeated trainings of the network, each attacked and with a detector of its own."""

    n_runs: int = Field(default=5, ge=2, description="Trainings per way to split the events.")
    n_splits: int = Field(default=1, ge=1, description="Ways to split the events.")


class RobustnessConfiguration(_Strict):
    """The attack with one thing changed at a time: strategy, seed and validation; each costs about as much as the attack."""

    n_seeds: int = Field(default=2, ge=0, description="Other seeds to try.")


class FitConfiguration(_Strict):
    """The analyst's pyhf workspace, one channel of which is a histogram of the score with uniform bins in [0, 1]."""

    workspace: InputPath = Field(description="JSON file of the pyhf workspace.")
    channel: str = Field(description="Channel that is a histogram of the score.")
    region: str | None = Field(default=None, description="Region of the events; all by default.")
    samples: tuple[str, ...] | None = Field(
        default=None, description="Datasets that are samples of the channel; all by default."
    )
    n_bins: int = Field(ge=1, description="Uniform bins of that channel in [0, 1].")
    nuisance: Nuisance = Field(default_factory=Nuisance, description="How the attack enters as a nuisance parameter.")
    optimizer: Optimizer = Field(default="minuit", description="Minimiser of pyhf.")


class ReportConfiguration(_Strict):
    """What the head of the report says, and how its figures look."""

    analysis: str = Field(default="", description="Name of the analysis.")
    author: str = Field(default="", description="Who answers for the study.")
    date: str | None = Field(default=None, description="Date of the report; the day on which it is written by default.")
    experiment: Literal["plain", "CMS", "ATLAS", "LHCb", "ALICE"] = Field(
        default="plain", description="Style and name of the figures."
    )
    label: str = Field(default="Private work", description="Status behind the experiment's name.")
    luminosity: float | None = Field(default=None, gt=0.0, description="Integrated luminosity on the figures, in 1/fb.")
    energy: float | None = Field(default=None, gt=0.0, description="Centre-of-mass energy on the figures, in TeV.")
    processes: dict[str, str] = Field(
        default_factory=dict,
        description="Titles of datasets on the figures, such as TTbar: $t\\bar{t}$; their names by default.",
    )
    data_label: str | None = Field(
        default=None,
        description="Name of the data, whose yields are drawn if given: the weights are normalised to their luminosity.",
    )
    events: tuple[str, ...] = Field(default=("adversarial.root",), description="Files of adversarial events to write.")


class Study(Displayed, _Strict):
    """
    A whole study: where events and network come from, what is kept and attacked, and what is made of the result.

    From a file by :meth:`from_yaml`, or in Python by keyword; ``hepfool workflow`` runs the same.

    Examples
    --------
    >>> Study(output="report", attack={"strategy": "frugal"}, detector=None).attack.strategy
    'frugal'
    """

    output: OutputPath = Field(description="Folder of the report.")
    work: OutputPath | None = Field(default=None, description="Folder of finished steps; <output>-work by default.")
    seed: int = Field(default=1, ge=0, description="Seed of all randomness.")
    events: EventsConfiguration | None = Field(default=None, description="Needed unless a table is passed in Python.")
    split: SplitConfiguration = Field(
        default=SplitConfiguration(), description="Which fractions train, validate and test."
    )
    network: NetworkConfiguration = Field(
        default=NetworkConfiguration(), description="The network, from a file or trained."
    )
    attack: AttackSettings = Field(
        default_factory=partial(CONSERVAttack, validation=Validation()),
        description="How the worst case is searched, and which comparisons it has to keep.",
    )
    target: Literal["correct", "all"] | int = Field(
        default="correct",
        description="Which events are attacked: the correctly classified ones, all, or those of a class.",
    )
    envelope: Literal["none", "variations"] = Field(
        default="variations",
        description="Bounds of events outside of control and validation regions: their shape variations, if there are any.",
    )
    quantile_bins: int | None = Field(
        default=None,
        ge=2,
        description="Bins of equal content in which marginals are constrained besides the uniform ones of the attack.",
    )
    detector: DetectorSettings | None = Field(default_factory=DetectorSettings, description="null for none.")
    adaptive: bool = Field(default=True, description="Repeat the attack with knowledge of the detector.")
    keeping_flags: AttackSettings | None = Field(
        default=None, description="Another attack, which also keeps the fraction of events that the detector flags."
    )
    systematics: SystematicsConfiguration = Field(
        default=SystematicsConfiguration(), description="Systematics beside the variations of the events."
    )
    data_regions: tuple[str, ...] | None = Field(
        default=None,
        description="Where data are compared with simulation; all control and validation regions by default.",
    )
    checks: CheckSettings | None = Field(default=None, description="The validation; needs n_data.")
    frontier: FrontierConfiguration | None = Field(default=None, description="A scan of caps; needs checks.")
    worst_case: WorstCaseConfiguration | None = Field(
        default=None,
        description="What the sources of the analysis, and free inputs, can do at most within an envelope.",
    )
    spread: SpreadConfiguration | None = Field(default=None, description="Repeated trainings; takes as often as long.")
    robustness: RobustnessConfiguration | None = Field(
        default=None, description="The decision under other choices of the attack; needs systematics to say much."
    )
    fit: FitConfiguration | None = Field(default=None, description="What the attack costs in the statistical model.")
    thresholds: Thresholds = Field(default_factory=Thresholds, description="Thresholds of the criteria of the verdict.")
    investigated: bool = Field(
        default=False, description="You have looked into it: assign what the systematics do not cover."
    )
    report: ReportConfiguration = Field(default=ReportConfiguration(), description="Figures and files of the report.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_effects()
        if self.frontier is not None and self.checks is None:
            msg = "frontier needs checks"
            raise ValueError(msg)
        if self.detector is not None and not min(self.split.train, self.split.validation):
            msg = "split: a detector needs training and validation events"
            raise ValueError(msg)
        if self.spread is not None and (self.detector is None or self.network.file is not None):
            msg = "spread trains networks and detectors; it needs a detector, and no file of a finished network"
            raise ValueError(msg)
        return self

    def _check_effects(self) -> None:
        if self.attack.validation is not None:
            _refuse(
                self,
                ("quantile_bins",),
                "beside validation of the attack, which has one unless validation: null, and whose n_quantiles says it",
            )
        flat = self.events is not None and bool(self.events.files)
        if self.detector is None:
            _refuse(self, ("data_regions", "keeping_flags"), "without a detector")
            if "adaptive" in self.model_fields_set and self.adaptive:
                msg = "adaptive has no effect without a detector; leave it out"
                raise ValueError(msg)
        elif flat and self.events is not None and not self.events.data_files:
            _refuse(self, ("data_regions",), "without data_files")
        varied = self.events is not None and bool(self.events.variations or self.events.variation_files)
        if flat and not varied and not self.systematics.histograms:
            _refuse(self.systematics, ("correlations",), "without systematic sources: add variations to events")
        if flat and not varied and "envelope" in self.model_fields_set and self.envelope == "variations":
            msg = "envelope: variations has none: events have neither variations nor variation_files; add them, or leave envelope out"
            raise ValueError(msg)

    def _shown(self) -> Shown:
        names = self.model_dump(exclude_defaults=True)
        return Shown("Study", ("setting", "value"), [(name, _brief(getattr(self, name))) for name in names])

    @classmethod
    def from_yaml(cls, path: str | Path) -> Study:
        """
        Read a study from a file, with line and column of whatever is wrong.

        Parameters
        ----------
        path : str or Path
            Paths in the file are relative to its folder.

        Returns
        -------
        Study
            Checked, with the defaults.
        """
        from hepfool.study._yaml_file import read_study  # noqa: PLC0415 - which reads this model

        return read_study(path)

    def run(
        self,
        *,
        table: EventTable | None = None,
        analysis: Analysis | None = None,
        runner: Any = None,
        fileset: Mapping[str, Any] | None = None,
        classifier: Classifier | None = None,
        from_step: str | None = None,
        force: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Summary:
        """
        Go from events to a report; the same call resumes after an interrupt.

        Parameters
        ----------
        table : EventTable, optional
            Simulated events, and data without labels, in place of files.
        analysis : Analysis, optional
            Builds the table in coffea, with ``runner`` and ``fileset``.
        runner : coffea.processor.Runner, optional
            With the executor and schema of your choice.
        fileset : mapping, optional
            As coffea takes it.
        classifier : Classifier, optional
            Network in place of a file; it should not have seen the test part.
        from_step : str, optional
            Do this step and those after it again, even if they are finished.
        force : bool
            Replace an earlier report.
        progress : callable, optional
            Called with the title of a step and its finished fraction.

        Returns
        -------
        Summary
            What was measured, with the verdict; the report is in ``output``.

        Raises
        ------
        ValueError
            If the events have two sources or half of one, or events, network and settings do not fit together.
        FileExistsError
            If the report exists and ``force`` is False.
        Interrupted
            After an interrupt; the same call resumes from the steps, and within an attack from the iterations, that are done.
        """
        from hepfool.processors._completeness import run_processor  # noqa: PLC0415 - for those who run coffea
        from hepfool.processors.passes import TableProcessor  # noqa: PLC0415
        from hepfool.study._procedure import run_study  # noqa: PLC0415 - which reads this model

        given = (analysis, runner, fileset)
        if any(part is not None for part in given):
            if table is not None or any(part is None for part in given):
                msg = "events come from a table, or from analysis, runner and fileset together; give one of the two"
                raise ValueError(msg)
            table = run_processor(runner, fileset or {}, TableProcessor(analysis))["table"]
        return run_study(self, table=table, classifier=classifier, from_step=from_step, force=force, progress=progress)

    def steps(self, **given: Any) -> tuple[PlannedStep, ...]:
        """
        Tell what a run would do, without doing it.

        Parameters
        ----------
        **given
            ``table``, ``classifier`` and ``from_step`` of :meth:`run`.

        Returns
        -------
        tuple of PlannedStep
            In the order of the run, with what is finished and how long the others take.
        """
        from hepfool.study._schedule import planned_steps  # noqa: PLC0415 - which reads this model

        return planned_steps(self, **given)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """
        Describe the file for editors and other tools.

        Returns
        -------
        dict
            JSON schema, draft 2020-12.

        Examples
        --------
        >>> Study.json_schema()["properties"]["seed"]["default"]
        1
        """
        schema = Study.model_json_schema()
        schema["$defs"] = {name: _documented(part) for name, part in schema["$defs"].items()}
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_plain(schema)}

    @property
    def work_folder(self) -> Path:
        """Where finished steps are kept."""
        return self.output.with_name(f"{self.output.name}-work") if self.work is None else self.work


def _brief(value: Any) -> str:
    """Write in one line what a setting states beside its defaults."""
    stated: dict[str, Any] = {}
    if isinstance(value, BaseModel):
        stated = value.model_dump(mode="json", exclude_defaults=True)
    elif is_dataclass(value):
        stated = {f.name: getattr(value, f.name) for f in fields(value) if getattr(value, f.name) != f.default}
    text = ", ".join(f"{name}: {item}" for name, item in stated.items()) or str(value)
    return textwrap.shorten(text, _LONGEST, placeholder=" …")


def _documented(part: Mapping[str, Any]) -> dict[str, Any]:
    """Move what the docstring of a record says of its fields to the fields."""
    docstring = part.get("description", "")
    texts = described(docstring)
    if not texts:
        return dict(part)
    fields = {
        name: {"description": texts[name], **node} if name in texts else node
        for name, node in part["properties"].items()
    }
    return {**part, "description": docstring.partition(ATTRIBUTES)[0].strip(), "properties": fields}


def _plain(value: Any) -> Any:
    """Leave infinite defaults out, which JSON does not know."""
    if isinstance(value, Mapping):
        return {
            key: _plain(item)
            for key, item in value.items()
            if not (key == "default" and isinstance(item, float) and math.isinf(item))
        }
    return [_plain(item) for item in value] if isinstance(value, list) else value
