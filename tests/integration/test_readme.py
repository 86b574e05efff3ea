# SPDX-License-Identifier: BSD-3-Clause
"""README and documentation do what they say; cells of notebooks run when the pages are built."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import click
import pytest
import torch

from hepfool.cli import main
from hepfool.study import Study

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
NOTEBOOKS = {name for name, text in PAGES.items() if text.startswith("---\nfile_format: mystnb\n")}
DOCUMENTS = {"README": README, "CONTRIBUTING": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), **PAGES}


def blocks(text: str, language: str) -> list[str]:
    """Code of one language; ``python`` runs, ``py`` is an excerpt."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


@pytest.mark.torch
def test_the_ten_lines_and_the_pages_run(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks(README, "python")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert capsys.readouterr().out == blocks(README, "text")[0]
    ran = {}
    for page in sorted(PAGES.keys() - NOTEBOOKS):
        for block in blocks(PAGES[page], "python"):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1)
                exec(compile(block, f"{page}.md", "exec"), dict(names))
            ran[page] = capsys.readouterr().out
    printed = ran["validation"].splitlines()
    figures = [re.fullmatch(r"(\w+) constrained (\d\.\d+), cap (\d\.\d+)", line) for line in printed]
    assert [figure and figure[1] for figure in figures] == ["inputs", "correlations", "score"]
    assert all(figure and 0.0 <= float(figure[2]) <= float(figure[3]) < 0.1 for figure in figures)


def test_a_notebook_begins_with_the_ten_lines() -> None:
    (code,) = blocks(README, "python")
    cell = blocks(PAGES["first-attack"], r"\{code-cell\}")[0]
    assert cell == code.replace("print(result)", "result")


@pytest.mark.parametrize("page", sorted(NOTEBOOKS))
def test_a_notebook_has_cells_that_can_be_read(page: str) -> None:
    cells = blocks(PAGES[page], r"\{code-cell\}")
    python = [re.sub(r"^:.*\n", "", cell, flags=re.MULTILINE) for cell in cells if not re.match(r"[%!]", cell)]
    assert len(python) > 1
    for cell in (*python, *blocks(PAGES[page], "py")):
        ast.parse(cell)


def resolved(path: str) -> object:
    """What a name such as hepfool.models.mlp stands for."""
    parts = path.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for part in parts[n:]:
            found = getattr(found, part)
        return found
    raise AttributeError(path)


def ours(code: str) -> set[str]:
    """Names of hepfool that code takes, by import or as attributes of hf."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hepfool"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute):
            path = ast.unparse(node)
            if re.fullmatch(r"hf(\.[a-z_]\w*)*\.\w+", path) and path.count(".") <= 3:
                found.add(path.replace("hf", "hepfool", 1))
    return found


@pytest.mark.parametrize("page", sorted(NOTEBOOKS))
def test_the_names_in_a_notebook_exist(page: str) -> None:
    cells = [cell for cell in blocks(PAGES[page], r"\{code-cell\}") if not re.search(r"^[%!]", cell, re.MULTILINE)]
    python = [re.sub(r"^:.*\n", "", cell, flags=re.MULTILINE) for cell in cells]
    names = set().union(*(ours(code) for code in (*python, *blocks(PAGES[page], "py"))))
    assert names
    for name in names:
        resolved(name)


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    (text,) = blocks(PAGES["files"], "yaml")
    for name in ("ntuples/ttbar.root", "data/run.root", "higgs.pt2", "shapes.root"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    configuration = Study.from_yaml(tmp_path / "study.yaml")
    assert configuration.attack.strategy == "frugal"
    steps = [step.name for step in configuration.steps()]
    assert {"detector", "adaptive", "systematics", "checks", "report"} <= set(steps)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files(name: str) -> None:
    folder = ROOT if name.isupper() else ROOT / "docs"
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", DOCUMENTS[name])
    missing = [link for link in links if not (folder / link).exists() and not link.startswith("generated/")]
    assert missing == []
    folders = re.findall(r"`(analysis_examples/[\w/.]+|docs/[\w/.]+|tests/[\w/.]+|src/[\w/.]+)`", DOCUMENTS[name])
    made = ("docs/_build",)
    assert [path for path in folders if not (ROOT / path).exists() and not path.startswith(made)] == []


def test_options_exist() -> None:
    known = {
        option
        for command in (main, *main.commands.values())
        for parameter in command.get_params(click.Context(command))
        for option in parameter.opts
    }
    others = {"--index-url"}  # of pip
    used = {option for text in (README, *PAGES.values()) for option in re.findall(r"(?<=[\s`])--[a-z][a-z-]*", text)}
    assert {"--features", "--from-step", "--dry-run"} <= used
    assert used <= known | others


def test_every_page_is_in_the_table_of_contents() -> None:
    entries = {line for block in blocks(PAGES["index"], r"\{toctree\}") for line in block.splitlines()}
    assert PAGES.keys() - {"index"} <= entries
    assert len(NOTEBOOKS) == 6


def test_every_public_package_has_a_page() -> None:
    extension = (ROOT / "docs" / "extension.py").read_text(encoding="utf-8")
    listed = set(re.findall(r'"(hepfool[\w.]*)"', extension))
    packages = {
        ".".join(path.parent.relative_to(ROOT / "src").parts)
        for path in (ROOT / "src").rglob("__init__.py")
        if "\n__all__ = [" in path.read_text(encoding="utf-8") and "_" not in {part[0] for part in path.parts[-3:-1]}
    }
    assert len(packages) > 8
    assert packages <= listed


def test_files_that_a_contributor_is_sent_to_are_there() -> None:
    named = re.findall(r"`([\w./-]+\.(?:py|yaml|toml|txt|md|cff))`", (ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    assert len(named) > 15
    assert [
        name for name in named if not any((base / name).is_file() for base in (ROOT, ROOT / "src" / "hepfool"))
    ] == []
