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
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import click
from rich.console import Console
from rich.table import Table

from hepfool._version import __version__
from hepfool.command_line import PlanCommand, in_options, plan_of, remark_caps
from hepfool.exceptions import Interrupted, MissingExtraError
from hepfool.extras import extras_named
from hepfool.interrupts import Received, command_to_go_on, stopped_by_signals
from hepfool.progress import progress_bars

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


def _output_options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--force", is_flag=True, help="Replace an earlier report.")(command)
    return click.option("-o", "--output", required=True, metavar="FOLDER", help="Folder to write.")(command)


@main.command(cls=PlanCommand)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--features", required=True, metavar="a,b,c|@FILE", help="Network inputs in order, each NAME or NAME:KIND."
)
@click.option("--classes", metavar="b=0,s=1", help="Class of each value of the label column.")
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
@click.option(
    "--data",
    multiple=True,
    metavar="FILE",
    help="Collision data, without label and weight, to be compared with simulation in control and validation regions.",
)
@click.option("--no-score", is_flag=True, help="Leave out the network's score, which an attack keeps otherwise.")
@click.option("--frontier", is_flag=True, help="Scan tighter and looser caps too.")
@_output_options
def attack(files: tuple[str, ...], output: str, *, force: bool, frontier: bool, no_score: bool, **options: Any) -> None:
    """Attack the events of ROOT, Parquet or CSV FILEs and write a report: a study without detector."""
    with _user_errors() as received:
        # Loaded late, so that --help stays quick.
        from hepfool.report.folder import check_output  # noqa: PLC0415
        from hepfool.study.plan import Study, checked  # noqa: PLC0415

        check_output(output, force=force)
        command = cast("PlanCommand", click.get_current_context().command)
        plan = plan_of(command, options, no_score=no_score)
        names = {path: f"--{name.replace('_', '-')}" for name, path in command.paths.items()}
        plan["events"] |= _events(files, options)
        plan |= {"output": output, "detector": None, "split": {"train": 0.0, "validation": 0.0}}
        if frontier and "checks" not in plan:
            msg = "--frontier asks how easily each attack is noticed; add --n-data"
            raise ValueError(msg)
        study = checked(Study, names, **plan, frontier={} if frontier else None)
        remark_caps(study, options)
        received.kept.append(study.work_folder)
        with _removed_afterwards(study.work_folder, kept=study.work is not None), progress_bars() as progress:
            summary = study.run(force=force, progress=progress)
        _show(summary, study.output)


@contextmanager
def _removed_afterwards(folder: Path, *, kept: bool) -> Iterator[None]:
    """Leave finished steps only after an interrupt, to resume from, or where they are asked for."""
    from hepfool.io.finished import WorkFolder  # noqa: PLC0415 - loaded late, so that --help stays quick

    new = not folder.exists()
    try:
        yield
    except Exception:
        if new and folder.exists():
            WorkFolder(folder).remove()
        raise
    if not kept:
        WorkFolder(folder).remove()


def _events(files: tuple[str, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    """State the events as a configuration file does."""
    derived = dict(_pair("--derived", text) for text in options["derived"])
    features = _features(options["features"])
    unknown = [name for name in derived if name not in {name for name, _ in features}]
    if unknown:
        msg = f"--derived {unknown[0]} is none of the features; add it to --features"
        raise ValueError(msg)
    return {
        "files": files,
        **({"data_files": options["data"]} if options["data"] else {}),
        "features": [{"name": name, "kind": kind, "derived": derived.get(name)} for name, kind in features],
        "classes": _classes(options["classes"]),
        "columns": dict(_pair("--column", text) for text in options["column"]),
        "variations": _variations(options["variation"]),
        "regions": dict(_region(text) for text in options["region"]),
    }


@main.command()
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of all randomness.")
@click.option("--frontier", is_flag=True, help="Scan tighter and looser caps too.")
@_output_options
def demo(output: str, *, force: bool, frontier: bool, seed: int) -> None:
    """Run a small study from simulated events to a verdict; an interrupted run resumes."""
    with _user_errors() as received:
        from hepfool.demo import demo_study, run_demo  # noqa: PLC0415 - loaded late, so that --help stays quick
        from hepfool.report.folder import check_output  # noqa: PLC0415

        folder = check_output(output, force=force)
        received.kept.append(demo_study(folder).work_folder)
        with progress_bars() as progress:
            summary = run_demo(folder, force=force, seed=seed, frontier=frontier, progress=progress)
        _show(summary, folder)


@main.command()
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--coffea", is_flag=True, help="Write an analysis in coffea in place of a plan for flat files.")
def init(folder: str, *, coffea: bool) -> None:
    """Write a study, or an analysis, to start from into FOLDER; it runs on the events of the package."""
    with _user_errors():
        from hepfool.starter import write_starter  # noqa: PLC0415 - loaded late, so that --help stays quick

        for path in write_starter(folder, coffea=coffea):
            click.echo(str(path))
        steps = "python analysis.py" if coffea else "python events.py && hepfool workflow study.yaml"
        click.echo(f"Run it: cd {shlex.quote(folder)} && {steps}")


@main.command("contact-sheet")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--force", is_flag=True, help="Replace an earlier contact sheet.")
def contact_sheet(folder: str, *, force: bool) -> None:
    """Lay out every PNG image in FOLDER and the folders in it on few pages."""
    with _user_errors():
        from hepfool.report.contact_sheet import make_contact_sheet  # noqa: PLC0415 - loaded late, so that --help stays quick

        for path in make_contact_sheet(folder, force=force):
            click.echo(str(path))


@main.command()
@click.argument("configuration", required=False, metavar="CONFIG.yaml")
@click.option("--dry-run", is_flag=True, help="List the steps, what is finished, and how long the rest takes.")
@click.option("--from-step", metavar="STEP", help="Do this step and those after it again.")
@click.option("--force", is_flag=True, help="Replace an earlier report.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of the configuration.")
def workflow(configuration: str | None, from_step: str | None, *, dry_run: bool, force: bool, schema: bool) -> None:
    """Run the whole procedure from events to a report; an interrupted run resumes."""
    with _user_errors() as received:
        from hepfool.study import Study  # noqa: PLC0415 - loaded late, so that --help stays quick

        if schema:
            click.echo(json.dumps(Study.json_schema(), indent=2))
            return
        if configuration is None:
            msg = "name a configuration file, or say --schema"
            raise ValueError(msg)
        study = Study.from_yaml(configuration)
        received.kept.append(study.work_folder)
        if dry_run:
            from hepfool.study.inputs import check_inputs  # noqa: PLC0415 - loads what reads files

            check_inputs(study)
            _show_plan(study.steps(from_step=from_step))
            return
        with progress_bars() as progress:
            summary = study.run(from_step=from_step, force=force, progress=progress)
        _show(summary, study.output)


def _show_plan(plan: Iterable[Any]) -> None:
    table = Table("step", "what", "state", "time", "time from")
    for step in plan:
        state = "finished" if step.finished else "to do"
        seconds = "?" if step.seconds is None else f"{step.seconds:.0f} s"
        table.add_row(step.name, step.title, state, seconds, step.basis)
    Console().print(table)


def _features(text: str) -> list[tuple[str, str]]:
    """Read the names and kinds of ``a,b:angle`` or, after an @, a file with one feature per line and # for remarks."""
    if text.startswith("@"):
        lines = Path(text[1:]).read_text(encoding="utf-8").splitlines()
        names = [line.partition("#")[0].strip() for line in lines]
    else:
        names = [name.strip() for name in text.split(",")]
        if any(names) and not all(names):
            msg = f"--features {text!r} has an empty name between its commas; leave the comma out, or write the name"
            raise ValueError(msg)
    parts = [name.rpartition(":") if ":" in name else (name, "", "continuous") for name in names if name]
    return [(name, kind) for name, _, kind in parts]


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


def _show(summary: Any, folder: Path) -> None:
    from hepfool.report import summary_table  # noqa: PLC0415 - loaded late, so that --help stays quick

    Console().print(summary_table(summary))
    click.echo(f"Report: {folder}")
