# SPDX-License-Identifier: BSD-3-Clause
"""Pages that are made of the package itself: names and docstrings, configuration, commands, figures."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from hepfool.cli import main
from hepfool.study import Study

GENERATED: Final = Path(__file__).parent / "generated"
FIGURES: Final = Path(__file__).parents[1] / "tests" / "images" / "test_figures.py"

#: Modules of each page of the API.  A name stands where it is met first, which is where users import it from.
API: Final[dict[str, tuple[str, ...]]] = {
    "Names of daily use": ("hepfool",),
    "Events": ("hepfool.events", "hepfool.features", "hepfool.io"),
    "Networks": ("hepfool.models", "hepfool.surrogate", "hepfool.training"),
    "Validation": ("hepfool.validation", "hepfool.statistics"),
    "Attacks": ("hepfool.attacks",),
    "In coffea": ("hepfool.processors",),
    "Sums of an attack": ("hepfool.sums",),
    "Defences": ("hepfool.defences",),
    "How far from the worst case": (
        *("hepfool.worst_case", "hepfool.worst_case.ladder"),
        *("hepfool.explain", "hepfool.summary.allowed_fraction"),
    ),
    "Systematics and studies": ("hepfool.studies",),
    "Study, verdict and report": ("hepfool.study", "hepfool.summary", "hepfool.report"),
    "Statistical model": ("hepfool.inference",),
    "Figures": ("hepfool.plots",),
    "Samples and jets": (
        *("hepfool.samples", "hepfool.samples.htautau", "hepfool.samples.htautau_analysis", "hepfool.samples.higgsml"),
        *("hepfool.samples.toys", "hepfool.contrib.jets", "hepfool.contrib.attention", "hepfool.demo"),
    ),
    "Testing and errors": ("hepfool.testing", "hepfool.exceptions", "hepfool.identity"),
}

GALLERY: Final = (
    "Each figure is drawn by the line above it. The numbers are invented; the folded block makes the record that the figure takes. "
    "The tests of the package compare the same figures with reference images."
)

Homes = dict[int, str]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect this extension to Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("doctree-read", unlink_words)
    app.connect("missing-reference", find_home)
    return {"parallel_read_safe": True}


def write_pages(_: Sphinx) -> None:
    """Write every generated page."""
    pages = {f"api/{slug(title)}.md": api_page(title, entries) for title, entries in api_entries().items()}
    listed = "\n".join(name.removesuffix(".md") for name in pages)
    pages["api.md"] = f"# API\n\nEach name stands where it is imported from.\n\n```{{toctree}}\n{listed}\n```\n"
    pages["configuration.md"] = configuration_page(Study.json_schema())
    pages["commands.md"] = commands_page(main)
    pages["gallery.md"] = gallery_page(FIGURES)
    for path in GENERATED.rglob("*.md"):
        if path.relative_to(GENERATED).as_posix() not in pages:
            path.unlink()
    for name, text in pages.items():
        path = GENERATED / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def slug(title: str) -> str:
    """Name of a page's file."""
    return title.lower().replace(",", "").replace(" ", "-")


# Names and docstrings


def api_entries() -> dict[str, list[tuple[str, list[str]]]]:
    """List, page by page, the modules and those of their public names that no module before has."""
    met: set[int] = set()
    pages: dict[str, list[tuple[str, list[str]]]] = {}
    for title, modules in API.items():
        pages[title] = []
        for name in modules:
            module = importlib.import_module(name)
            own = [
                entry for entry in module.__all__ if entry != "__version__" and id(getattr(module, entry)) not in met
            ]
            met |= {id(getattr(module, entry)) for entry in own}
            pages[title].append((name, own))
    return pages


def homes() -> Homes:
    """Documented name of every object that has a page."""
    return {
        id(getattr(importlib.import_module(module), name)): f"{module}.{name}"
        for entries in api_entries().values()
        for module, names in entries
        for name in names
    }


def api_page(title: str, entries: list[tuple[str, list[str]]]) -> str:
    """One page of the API."""
    parts = [f"# {title}"]
    for module, names in entries:
        directives = "\n".join(directive(module, name) for name in names)
        parts.append(f"## {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :no-members:\n\n{directives}```")
    return "\n\n".join(parts) + "\n"


def directive(module: str, name: str) -> str:
    """Directive of autodoc for a name."""
    found = getattr(importlib.import_module(module), name)
    if inspect.isclass(found) and found.__module__.startswith("hepfool"):
        kind, options = ("exception", "") if issubclass(found, Exception) else ("class", "   :members:\n")
        options += "   :exclude-members: model_config, model_post_init\n" if issubclass(found, Study) else ""
    else:
        kind, options = ("function", "") if inspect.isfunction(found) else ("data", "   :no-value:\n")
    return f".. auto{kind}:: {module}.{name}\n{options}"


def unlink_words(_: Sphinx, doctree: nodes.document) -> None:
    """Take away the references of words in types, such as the ``n_events`` of a shape, and of names that two modules have."""
    names = Counter(home.rpartition(".")[2] for home in homes().values())
    for node in list(doctree.findall(addnodes.pending_xref)):
        target = node["reftarget"]
        loose = node.get("refdomain") == "py" and node.get("refspecific") and "." not in target
        if loose and (target.islower() or names[target] > 1):
            node.replace_self(node.children)


def find_home(app: Sphinx, env: Any, node: Any, content: nodes.Element) -> nodes.Node | None:
    """Lead a reference to where an object was defined to where it is documented."""
    if node.get("refdomain") != "py":
        return None
    known: Homes = getattr(env, "hepfool_homes", None) or homes()
    env.hepfool_homes = known
    module, _, name = node["reftarget"].rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, ValueError, AttributeError):
        return None
    if id(found) not in known:
        return None
    domain = env.get_domain("py")
    refdoc, target = node["refdoc"], known[id(found)]
    return domain.resolve_xref(env, refdoc, app.builder, "obj", target, node, content)  # type: ignore[no-any-return]


# Configuration


def configuration_page(schema: Mapping[str, Any]) -> str:
    """Every field of a study, from its JSON schema."""
    intro = (
        "# Configuration reference\n\n"
        "Fields of a {class}`hepfool.Study`, in a file for `hepfool workflow` or by keyword in Python. Unknown names are errors, and "
        "paths are relative to the folder of the file. `hepfool workflow --schema` prints the JSON schema from which this page is made; "
        "editors complete and check a file with it."
    )
    top = section("study", schema)
    parts = [section(name, part) for name, part in sorted(schema["$defs"].items()) if "properties" in part]
    return "\n\n".join([intro, top, *parts]) + "\n"


def section(name: str, part: Mapping[str, Any]) -> str:
    """Table of the fields of one record."""
    needed = set(part.get("required", ()))
    rows = [
        f"| `{field}` | {kind(node)} | {'needed' if field in needed else default(node)} | {prose(node)} |"
        for field, node in part["properties"].items()
    ]
    text = "" if name == "study" else prose(part, whole=False)
    head = f"({anchor(name)})=\n## {part.get('title', name).removesuffix('Configuration')}"
    return "\n".join([head, "", text, "", "| field | kind | default | meaning |", "|---|---|---|---|", *rows])


def anchor(name: str) -> str:
    """Label of a section."""
    return f"configuration-{name.lower()}"


def kind(node: Mapping[str, Any]) -> str:
    """Kind of a field in words, with links to other sections."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return f"[{name.removesuffix('Configuration')}](#{anchor(name)})"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(kind(one) for one in node["anyOf"]))
    if node.get("type") == "array":
        return f"list of {kind(node['items'])}" if "items" in node else "list"
    if node.get("type") == "object" and isinstance(node.get("additionalProperties"), Mapping):
        return f"by name: {kind(node['additionalProperties'])}"
    return str(node.get("type", "any"))


def default(node: Mapping[str, Any]) -> str:
    """Default of a field, where it can be shown."""
    if "default" not in node:
        return ""
    value = node["default"]
    return "see there" if isinstance(value, dict) else f"`{json.dumps(value)}`"


def prose(node: Mapping[str, Any], *, whole: bool = True) -> str:
    """Say in one line what a node is, of a record its first sentence."""
    text = " ".join(node.get("description", "").split())
    text = text if whole else text.partition(". ")[0].rstrip(".") + "." * bool(text)
    return text.replace("|", r"\|").replace("<", r"\<").replace("``", "`").replace("[", r"\[")


# Commands


def commands_page(group: click.Group) -> str:
    """Help of every command as the terminal shows it."""
    parts = ["# Commands"]
    for name, command in [("", group), *group.commands.items()]:
        title = f"hepfool {name}".strip()
        with click.Context(command, info_name=title, max_content_width=100) as context:
            parts.append(f"## {title}\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts) + "\n"


# Gallery


def gallery_page(path: Path) -> str:
    """Every figure of the image tests with the code that drew it."""
    module = importlib.import_module(f"tests.images.{path.stem}")
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    helpers = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    parts = [
        "# Gallery",
        GALLERY,
    ]
    for name, call in figure_calls(tree):
        figure = module.FIGURES[name]()[0]
        target = GENERATED / "figures" / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, dpi=72)
        needed = "\n\n\n".join(ast.get_source_segment(source, node) or "" for node in used(call, helpers))
        folded = (
            f"\n\n<details><summary>What is drawn</summary>\n\n```python\n{needed}\n```\n\n</details>" if needed else ""
        )
        code = ast.get_source_segment(source, call)
        parts.append(
            f"## {name.replace('_', ' ')}\n\n```python\nfigure, axes = {code}\n```\n\n![{name}](figures/{name}.png){folded}"
        )
    return "\n\n".join(parts) + "\n"


def figure_calls(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Name and expression of each figure."""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "FIGURES":
            assert isinstance(node.value, ast.Dict)  # noqa: S101
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                assert isinstance(key, ast.Constant)  # noqa: S101
                assert isinstance(value, ast.Lambda)  # noqa: S101
                yield str(key.value), value.body


def used(code: ast.AST, helpers: Mapping[str, ast.FunctionDef]) -> list[ast.FunctionDef]:
    """Functions that an expression calls, with those that they call."""
    names = [node.id for node in ast.walk(code) if isinstance(node, ast.Name) and node.id in helpers]
    found: list[ast.FunctionDef] = []
    for name in dict.fromkeys(names):
        if helpers[name] is not code:
            found += [helpers[name], *used(helpers[name], {k: v for k, v in helpers.items() if k != name})]
    return list(dict.fromkeys(found))
