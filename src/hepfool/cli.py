# SPDX-License-Identifier: BSD-3-Clause
"""
The command ``hepfool``: arguments become configuration, configuration becomes calls.

Exit status: 0 when done, 2 for anything the user can repair (with one line that
says what), 128 and the number of the signal after one, as 130 after Ctrl-C and 143 after SIGTERM.  Other failures keep
their traceback.
"""

from __future__ import annotations

import codecs
import io
import json
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from hepfool._version import __version__
from hepfool.command_line import check_effects, in_options, remark_effects
from hepfool.exceptions import MissingExtraError
from hepfool.extras import extras_named
from hepfool.features import Feature, FeatureKind
from hepfool.interrupts import Interrupted, Received, command_to_go_on, stopped_by_signals

if TYPE_CHECKING:  # loaded late, so that --help stays quick
    from hepfool.attacks.conserv import CONSERVAttack
    from hepfool.events import EventTable
    from hepfool.study.plan import EventsConfiguration
    from hepfool.typing import ProgressCallback

__all__ = ["main"]

_USER_ERROR = 2


# What results are printed with, for a standard output that knows ASCII or Latin-1 only.
_PLAIN = {"±": "+-", "−": "-", "–": "-", "•": "*", "→": "->", "≤": "<=", "≥": ">=", "Δ": "Delta ", "…": "...", "━": "-"}


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(character, character) for character in part)
    return plain.encode("ascii", "backslashreplace").decode("ascii"), error.end


class _AnyTerminal(click.Group):
    """Commands that print to any encoding."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        codecs.register_error("hepfool.plainly", _plainly)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="hepfool.plainly")
        try:
            with extras_named():
                return super().main(*arguments, **options)
        except MissingExtraError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(_USER_ERROR)


@click.group(cls=_AnyTerminal)
@click.version_option(__version__, prog_name="hepfool")
def main() -> None:
    """
    Find deviations that pass an analysis's validation and still fool its network.

    Exit status: 0 when done, 2 for anything you can repair, 130 after Ctrl-C, 143 after SIGTERM. Either signal
    leaves what is finished, and no half-written file.
    """


_ATTACK_OPTIONS: tuple[tuple[str, type, str, str], ...] = (
    ("--min-change", float, "0.0005", "Smallest move, as a fraction of each feature's range."),
    ("--step", float, "0.0005", "Spacing of the candidates, as a fraction of each feature's range."),
    ("--n-candidates", int, "all at --step", "Number of candidates; replaces --step."),
    (
        "--n-iterations",
        int,
        "10, or 60 with --strategy frugal",
        "Iterations; frugal stops before when it has converged.",
    ),
    ("--n-bins", int, "50", "Bins of equal width per marginal; see --n-quantiles."),
    ("--alpha", float, "4, or 0.135 / cap with --strategy frugal", "Price of the Jensen-Shannon distance."),
    ("--beta", float, "1, or 0.5 / cap with --strategy frugal", "Price of the correlation shift."),
    ("--max-js-distance", float, "0.03", "Cap on each marginal's Jensen-Shannon distance; inf for none."),
    ("--max-correlation-change", float, "inf", "Cap on the change of the correlations by one move."),
    ("--max-correlation-shift", float, "0.03", "Cap on the total correlation shift; inf for none."),
    ("--strategy", str, "paper", "How moves are chosen: paper, or frugal, which fools more at equal caps."),
    (
        "--direction",
        str,
        "margin",
        "For three and more classes, where to: margin, the strongest other class, or loss, all others together.",
    ),
)


#: What the attack has to keep, beside the caps above.
_VALIDATION_OPTIONS: tuple[tuple[str, Any, str], ...] = (
    ("--n-quantiles", int, "Bins of equal content per marginal, beside those of equal width.  [default: 100]"),
    ("--max-score-distance", float, "Cap on the Jensen-Shannon distance of the network's score.  [default: 0.03]"),
    (
        "--correlations",
        click.Choice(["pearson", "distance", "none"]),
        "Which correlations of the inputs are kept.  [default: pearson]",
    ),
    (
        "--separately",
        click.Choice(["union", "regions", "processes"]),
        "What is compared by itself: all events, each region, or each process (file or class) of a region.  [default: regions]",
    ),
    ("--at-power", float, "Set every cap where its check rejects with this probability, with --n-data data events."),
)


def _attack_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, kind, text in reversed(_VALIDATION_OPTIONS):
        command = click.option(name, type=kind, default=None, help=text)(command)
    without = "Leave out the network's score, which an attack keeps otherwise (arXiv:2603.13970 does not)."
    command = click.option("--no-score", is_flag=True, help=without)(command)
    for name, kind, default, text in reversed(_ATTACK_OPTIONS):
        command = click.option(name, type=kind, help=f"{text}  [default: {default}]")(command)
    return command


def _output_options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option(
        "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of all randomness."
    )(command)
    command = click.option("--force", is_flag=True, help="Replace an earlier report.")(command)
    return click.option("-o", "--output", required=True, metavar="FOLDER", help="Folder to write.")(command)


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--features", required=True, metavar="a,b,c|@FILE", help="Network inputs in order, each NAME or NAME:KIND."
)
@click.option("--label", required=True, help="Column with the true class.")
@click.option("--classes", metavar="b=0,s=1", help="Class of each value of the label column.")
@click.option("--weight", help="Column with the event weight.")
@click.option("--tree", default="Events", show_default=True, help="Tree of ROOT files.")
@click.option("--missing-value", type=float, help="Number that stands for a missing value, such as -999.")
@click.option("--allow-missing", is_flag=True, help="Go on without absent or damaged files; the report names them.")
@click.option("--max-events", type=int, help="Attack a random part of so many events.")
@click.option(
    "--variation",
    multiple=True,
    metavar="SOURCE:COLUMN=UP[,DOWN]",
    help="Columns in place of a feature or the weight under a systematic variation; several COLUMNs of a SOURCE one by one.",
)
@click.option("--derived", multiple=True, metavar="NAME=FORMULA", help="A feature that follows from others.")
@click.option(
    "--column",
    multiple=True,
    metavar="NAME=FORMULA",
    help="A column computed from others, for cuts, variations or the weight.",
)
@click.option(
    "--region",
    multiple=True,
    metavar="NAME:ROLE:COLUMN=LOW..HIGH[,...]",
    help="A control, validation or signal region by cuts; leave LOW or HIGH out for no bound.",
)
@click.option("--investigated", is_flag=True, help="You have looked into it: assign what the systematics do not cover.")
@click.option("--model", required=True, metavar="FILE", help="Network, by its suffix: .pt2, .pt, .onnx, .keras, .h5.")
@click.option(
    "--network",
    metavar="NAME|FILE.py:FUNCTION",
    help="What a state dictionary belongs to: a reference network, or what a function makes.",
)
@click.option("--unsafe-pickle", is_flag=True, help="Trust whoever wrote the network's file: reading it may run code.")
@click.option("--output-type", type=click.Choice(["probability", "logit"]), help="What the network returns.")
@click.option(
    "--experiment",
    type=click.Choice(["plain", "CMS", "ATLAS", "LHCb", "ALICE"]),
    default="plain",
    show_default=True,
    help="Style and name of the figures.",
)
@click.option("--n-data", type=float, help="Data events of the validation: adds which check would catch the attack.")
@click.option("--checkpoint", metavar="FILE", help="Keep finished iterations in FILE, and go on from there.")
@click.option("--frontier", metavar="FILE", help="Scan tighter and looser caps too; keep finished points in FILE.")
@click.option("--label-text", default="Private work", show_default=True, help="Status behind the experiment's name.")
@_attack_options
@_output_options
def attack(files: tuple[str, ...], output: str, *, force: bool, **options: Any) -> None:
    """Attack the events of ROOT, Parquet or CSV FILEs and write a report."""
    with _user_errors() as received:
        # Everything below is loaded late, so that --help stays quick.
        from hepfool.io.files import check_writable_folder  # noqa: PLC0415
        from hepfool.models.blackbox import with_slopes  # noqa: PLC0415
        from hepfool.models.load import load_model  # noqa: PLC0415
        from hepfool.plots.style import PlotStyle  # noqa: PLC0415
        from hepfool.report import check_output  # noqa: PLC0415
        from hepfool.statistics.checks import CheckSettings  # noqa: PLC0415
        from hepfool.study import run_table_attack, thin, with_checks, with_frontier, write_study  # noqa: PLC0415

        folder = check_output(output, force=force)
        check_effects(options, files)
        style = PlotStyle(experiment=options["experiment"], label=options["label_text"])
        received.kept += filter(None, (options["checkpoint"], options["frontier"]))
        for path in received.kept:
            check_writable_folder(Path(path).parent)
        configuration = _configuration(options)
        checks = None if options["n_data"] is None else CheckSettings(n_data=options["n_data"])
        settings = {} if options["output_type"] is None else {"output": options["output_type"]}
        classifier = load_model(
            options["model"], network=options["network"], unsafe_pickle=options["unsafe_pickle"], **settings
        )
        part = thin(_table(files, options), options["max_events"], seed=options["seed"])
        classifier = with_slopes(classifier, part)
        with _progress(configuration.n_iterations) as progress:
            study = run_table_attack(
                part,
                classifier,
                configuration,
                seed=options["seed"],
                investigated=options["investigated"],
                progress=progress,
                resume=options["checkpoint"] or None,
            )
        if checks is not None:
            study = with_checks(study, checks, seed=options["seed"])
            if options["frontier"] and not study.sums.interrupted:
                study = with_frontier(study, classifier, checks, seed=options["seed"], path=options["frontier"])
        write_study(study, folder, style=style, force=force)
        _show(study.summary, folder)
        if study.sums.interrupted:
            _end(received, "the report holds the iterations that were finished", "--force")


def _configuration(options: Mapping[str, Any]) -> CONSERVAttack:
    """State the attack, with what it keeps as a validation."""
    from hepfool.attacks.conserv import CONSERVAttack  # noqa: PLC0415 - loaded late, so that --help stays quick
    from hepfool.study.attack_plan import stated  # noqa: PLC0415
    from hepfool.validation import Validation  # noqa: PLC0415

    names = [str(name).removeprefix("--").replace("-", "_") for name, *_ in (*_ATTACK_OPTIONS, *_VALIDATION_OPTIONS)]
    given = {name: options[name] for name in names if options[name] is not None}
    power = given.pop("at_power", None)
    comparisons = stated(given)
    if options["no_score"]:
        comparisons["score"] = None
    if power is None:
        return CONSERVAttack(validation=Validation(**comparisons), **given)
    return CONSERVAttack(validation=Validation.at_power(power, n_data=options["n_data"], **comparisons), **given)


def _table(files: tuple[str, ...], options: Mapping[str, Any]) -> EventTable:
    from hepfool.study.sources import read_events  # noqa: PLC0415 - loaded late, so that --help stays quick

    events = _events(files, options)
    table = read_events(events)
    remark_effects(options, table, events.classes)
    return table


def _events(files: tuple[str, ...], options: Mapping[str, Any]) -> EventsConfiguration:
    """State the events as a configuration file does."""
    from hepfool.features import FeatureSpace  # noqa: PLC0415 - loaded late, so that --help stays quick
    from hepfool.study.plan import EventsConfiguration, checked  # noqa: PLC0415

    derived = dict(_pair("--derived", text) for text in options["derived"])
    features = FeatureSpace(_features(options["features"]))
    unknown = [name for name in derived if name not in features.names]
    if unknown:
        msg = f"--derived {unknown[0]} is none of the features; add it to --features"
        raise ValueError(msg)
    given = {name: options[name] for name in ("label", "weight", "missing_value", "allow_missing")}
    if any(file.lower().endswith(".root") for file in files):
        given["tree"] = options["tree"]
    return checked(
        EventsConfiguration,
        **given,
        files=files,
        features=[{"name": f.name, "kind": f.kind, "derived": derived.get(f.name)} for f in features],
        classes=_classes(options["classes"]),
        columns=dict(_pair("--column", text) for text in options["column"]),
        variations=_variations(options["variation"]),
        regions=dict(_region(text) for text in options["region"]),
    )


@main.command()
@click.option("--pretrained", is_flag=True, help="Take the network that comes with the package.")
@click.option("--frontier", metavar="FILE", help="Scan tighter and looser caps too; keep finished points in FILE.")
@_output_options
def demo(output: str, *, force: bool, pretrained: bool, frontier: str | None, seed: int) -> None:
    """Run a small study from simulated events to a verdict."""
    with _user_errors() as received:
        received.kept += filter(None, [frontier])
        from hepfool.demo import run_demo  # noqa: PLC0415 - loaded late, so that --help stays quick
        from hepfool.report import check_output  # noqa: PLC0415

        folder = check_output(output, force=force)
        with _steps() as progress:
            options: dict[str, Any] = {"pretrained": pretrained, "seed": seed, "frontier": frontier}
            summary = run_demo(folder, force=force, progress=progress, **options)
        _show(summary, folder)


@main.command("contact-sheet")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--force", is_flag=True, help="Replace an earlier contact sheet.")
def contact_sheet(folder: str, *, force: bool) -> None:
    """Lay out every PNG image in FOLDER and the folders in it on few pages."""
    with _user_errors():
        from hepfool.report import make_contact_sheet  # noqa: PLC0415 - loaded late, so that --help stays quick

        for path in make_contact_sheet(folder, force=force):
            click.echo(str(path))


@main.command()
@click.argument("configuration", required=False, metavar="CONFIG.yaml")
@click.option("--dry-run", is_flag=True, help="List the steps, what is finished, and how long the rest takes.")
@click.option("--from-step", metavar="STEP", help="Do this step and those after it again.")
@click.option("--force", is_flag=True, help="Replace an earlier report.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of the configuration.")
def workflow(configuration: str | None, from_step: str | None, *, dry_run: bool, force: bool, schema: bool) -> None:
    """Run the whole procedure from events to a report; an interrupted run goes on where it was."""
    with _user_errors() as received:
        from hepfool.study import (  # noqa: PLC0415 - loaded late, so that --help stays quick
            check_inputs,
            plan_workflow,
            read_configuration,
            run_workflow,
            workflow_schema,
        )

        if schema:
            click.echo(json.dumps(workflow_schema(), indent=2))
            return
        if configuration is None:
            msg = "name a configuration file, or say --schema"
            raise ValueError(msg)
        settings = read_configuration(configuration)
        received.kept.append(settings.work_folder)
        if dry_run:
            check_inputs(settings)
            _show_plan(plan_workflow(settings, from_step=from_step))
            return
        with _steps() as progress:
            summary = run_workflow(settings, from_step=from_step, force=force, progress=progress)
        _show(summary, settings.output)


def _show_plan(plan: Iterable[Any]) -> None:
    table = Table("step", "what", "state", "time", "time from")
    for step in plan:
        state = "finished" if step.finished else "to do"
        seconds = "?" if step.seconds is None else f"{step.seconds:.0f} s"
        table.add_row(step.name, step.title, state, seconds, step.basis)
    Console().print(table)


def _features(text: str) -> list[Feature]:
    """Read ``a,b:angle`` or, after an @, a file with one feature per line and # for remarks."""
    if text.startswith("@"):
        lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
        names = [line.partition("#")[0].strip() for line in lines]
    else:
        names = [name.strip() for name in text.split(",")]
        if any(names) and not all(names):
            msg = f"--features {text!r} has an empty name between its commas; leave the comma out, or write the name"
            raise ValueError(msg)
    parts = [name.rpartition(":") if ":" in name else (name, "", "continuous") for name in names if name]
    return [Feature(name=name, kind=cast("FeatureKind", kind)) for name, _, kind in parts]


def _pair(option: str, text: str, *, rule: str = "NAME=FORMULA") -> tuple[str, str]:
    name, equals, rest = (part.strip() for part in text.partition("="))
    if not (name and equals and rest):
        msg = f"{option} {text!r} is not {rule}; see --help"
        raise ValueError(msg)
    return name, rest


def _variations(texts: Iterable[str]) -> dict[str, dict[str, str | list[str]]]:
    """Read ``jes:pt=pt_up,pt_down``."""
    found: dict[str, dict[str, str | list[str]]] = {}
    for text in texts:
        place, columns = _pair("--variation", text, rule="SOURCE:COLUMN=UP[,DOWN]")
        source, colon, column = place.partition(":")
        if not (source and colon and column):
            msg = f"--variation {text!r} is not SOURCE:COLUMN=UP[,DOWN]; see --help"
            raise ValueError(msg)
        up, comma, down = columns.partition(",")
        found.setdefault(source, {})[column] = [up, down] if comma else up
    return found


def _region(text: str) -> tuple[str, dict[str, Any]]:
    """Read ``sr:signal:mt=..70,n_jets=2..``."""
    name, role, cuts = (*text.split(":", 2), "", "")[:3]
    found: dict[str, tuple[str | None, str | None]] = {}
    for cut in cuts.split(","):
        column, bounds = _pair("--region", cut, rule="NAME:ROLE:COLUMN=LOW..HIGH[,...]")
        low, dots, high = bounds.partition("..")
        if not (name and role and dots):
            msg = f"--region {text!r} is not NAME:ROLE:COLUMN=LOW..HIGH[,...]; see --help"
            raise ValueError(msg)
        found[column] = (low or None, high or None)
    return name, {"role": role, "cuts": found}


def _classes(text: str | None) -> dict[str, int] | None:
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    for name, equals, number in pairs:
        if not (name and equals and number.strip().isdigit()):
            msg = f"--classes {text!r}: {name + equals + number!r} is not NAME=NUMBER; write for example b=0,s=1"
            raise ValueError(msg)
    classes = {name.strip(): int(number) for name, _, number in pairs}
    if len(classes) < len(pairs):
        msg = f"--classes {text!r} names a value twice; give each one class"
        raise ValueError(msg)
    return classes


@contextmanager
def _user_errors() -> Iterator[Received]:
    """Turn what the user can repair into one line and exit status 2, and signals into a clean end."""
    with warnings.catch_warnings(), stopped_by_signals(lambda _: Interrupted()) as received:
        warnings.showwarning = _show_warning
        if any(option.startswith("error") for option in sys.warnoptions):
            _show_warnings_as_usual()
        try:
            yield received
        except KeyboardInterrupt:
            _end(received, "no report was written" if received.kept_now() else "")
        except (OSError, ImportError, TypeError, ValueError) as error:
            if not (isinstance(error, OSError) or _raised_on_purpose(error)):
                raise
            click.echo(f"Error: {in_options(_reason(error))}", err=True)
            sys.exit(_USER_ERROR)


def _reason(error: Exception) -> str:
    """Say what the operating system refuses by the name of the file, not by its number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _end(received: Received, report: str, *options: str) -> NoReturn:
    """Say after a signal what there is, and how to go on."""
    kept = ", ".join(received.kept_now())
    rest = f"what is finished is kept in {kept}; go on with: {command_to_go_on(*options)}" if kept else ""
    click.echo(f"Interrupted; {', '.join(filter(None, (report, rest))) or 'nothing was written.'}", err=True)
    sys.exit(received.status)


def _raised_on_purpose(error: BaseException) -> bool:
    """Tell an error that this package raised from one that happened to it."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return Path(last.filename).is_relative_to(Path(__file__).parent) and str(last.line).startswith("raise ")


def _show_warnings_as_usual() -> None:
    """Take back ``python -W error``: a command ends with its report, not with the first remark."""
    warnings.simplefilter("default")
    for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", kind)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"Warning: {in_options(str(message))}", err=True)


@contextmanager
def _progress(n_iterations: int) -> Iterator[ProgressCallback]:
    """Show each iteration's numbers and the time left."""
    columns = (
        TextColumn("Attack"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=n_iterations)

        def show(figures: str, fraction: float) -> None:
            bar.update(task, completed=round(fraction * n_iterations), description=figures)

        yield show


@contextmanager
def _steps() -> Iterator[ProgressCallback]:
    """Show one bar per step, from the first step on: until then coffea shows its own."""
    columns = (TextColumn("{task.description:40}"), BarColumn(bar_width=20), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    tasks: dict[str, TaskID] = {}

    def show(step: str, fraction: float) -> None:
        bar.start()
        if step not in tasks:
            tasks[step] = bar.add_task(step, total=1.0)
        bar.update(tasks[step], completed=fraction)

    try:
        yield show
    finally:
        bar.stop()


def _show(summary: Any, folder: Path) -> None:
    from hepfool.report import summary_table  # noqa: PLC0415 - loaded late, so that --help stays quick

    Console().print(summary_table(summary))
    click.echo(f"Report: {folder}")
