# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import importlib
import importlib.metadata
import json
import pickle
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hepfool
from hepfool._version import __version__
from hepfool.exceptions import MissingExtraError
from hepfool.extras import _EXTRAS

HEAVY = ["coffea", "dask", "distributed", "matplotlib", "torch"]
NUMERICAL = ["awkward", "hist", "numba", "numpy", "pandas", "pyarrow", "scipy", "sklearn", "uproot", "yaml"]
CORE = [
    "hepfool.attacks.base",
    "hepfool.attacks._conserv",
    "hepfool.events",
    "hepfool.features",
    "hepfool.contrib.jets",
    "hepfool.statistics",
]
DAILY = [
    "AttackResult",
    "CONSERVAttack",
    "Correlations",
    "Derived",
    "Envelope",
    "EventTable",
    "Feature",
    "FeatureSpace",
    "Marginals",
    "Region",
    "Study",
    "TorchClassifier",
    "Validation",
    "best_single_cut",
    "certify",
    "load_model",
    "progress_bars",
    "run_attack",
]
#: What users import from; every other module starts with an underscore.
PACKAGES = [
    "hepfool",
    *(
        "hepfool.attacks",
        "hepfool.contrib.jets",
        "hepfool.defences",
        "hepfool.events",
        "hepfool.inference",
        "hepfool.io",
    ),
    *(
        "hepfool.models",
        "hepfool.plots",
        "hepfool.processors",
        "hepfool.report",
        "hepfool.samples",
        "hepfool.statistics",
    ),
    *("hepfool.studies", "hepfool.study", "hepfool.summary", "hepfool.sums", "hepfool.testing", "hepfool.worst_case"),
]
OTHERS = [
    *("hepfool.cli", "hepfool.contrib", "hepfool.contrib.attention", "hepfool.demo", "hepfool.exceptions"),
    *("hepfool.explain", "hepfool.extras", "hepfool.features", "hepfool.identity", "hepfool.surrogate"),
    *("hepfool.training", "hepfool.typing", "hepfool.validation"),
    # Modules of samples: htautau.fileset, higgsml.FEATURES.
    *("hepfool.samples.higgsml", "hepfool.samples.htautau", "hepfool.samples.htautau_analysis", "hepfool.samples.toys"),
    # A function of the same name is in them.
    *("hepfool.summary.allowed_fraction", "hepfool.worst_case.ladder"),
    # Their names are exported by the package too; analyses import from them.
    *("hepfool.attacks.base", "hepfool.io.tables", "hepfool.models.blackbox", "hepfool.models.files"),
    *("hepfool.models.protocols", "hepfool.models.pytorch", "hepfool.processors.analysis", "hepfool.processors.passes"),
    *("hepfool.statistics.marginals", "hepfool.worst_case.certified", "hepfool.worst_case.composition"),
]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(hepfool.__path__, prefix="hepfool.")
    if not module.name.endswith("__main__")
)


def heavy_after(statements: str, heavy: list[str]) -> list[str]:
    """Return which heavy libraries a fresh interpreter holds after these statements."""
    (found,) = heavy_after_each([statements], heavy)
    return found


def heavy_after_each(statements: list[str], heavy: list[str]) -> list[list[str]]:
    """Return which heavy libraries one fresh interpreter holds after each of these statements."""
    show = f"import json, sys; print(json.dumps([m for m in {heavy!r} if m in sys.modules]))"
    program = "\n".join(line for statement in statements for line in (statement, show))
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_version_is_that_of_the_distribution() -> None:
    assert importlib.metadata.version("hepfool") == __version__


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_resolves(name: str) -> None:
    module = importlib.import_module(name)
    public = getattr(module, "__all__", ())
    assert len(set(public)) == len(public)
    assert [attribute for attribute in public if not hasattr(module, attribute)] == []


def test_the_names_of_daily_use_and_the_modules_stand_at_the_top() -> None:
    assert set(hepfool.__all__) == {*DAILY, "__version__"}
    modules = "print(hepfool.statistics.__name__, hepfool.training.__name__)"
    program = f"import hepfool; {modules}; print([getattr(hepfool, name).__name__ for name in {DAILY}] == {DAILY})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["hepfool.statistics", "hepfool.training", "True"]


def test_no_module_is_public_by_accident() -> None:
    assert {"hepfool", *(name for name in MODULES if "._" not in name)} == {*PACKAGES, *OTHERS}
    for package in PACKAGES:
        inner = {name.removeprefix(f"{package}.") for name in MODULES if name.startswith(f"{package}.")}
        assert inner.isdisjoint(importlib.import_module(package).__all__), "either the name or the module"


def test_inner_modules_export_nothing() -> None:
    inner = [name for name in MODULES if "._" in name]
    assert len(inner) > 150
    assert [name for name in inner if hasattr(importlib.import_module(name), "__all__")] == [], (
        "export it from the package"
    )


def test_the_surface_is_small() -> None:
    modules = [importlib.import_module(name) for name in (*PACKAGES, *OTHERS)]
    assert len({name for module in modules for name in getattr(module, "__all__", ())}) <= 300


def test_a_package_loads_nothing_before_it_is_asked() -> None:
    lazy = [name for name in PACKAGES if name != "hepfool.testing"]
    asked = "; ".join(f"dir({name})" for name in lazy)
    assert heavy_after(f"import {', '.join(lazy)}; {asked}", HEAVY + NUMERICAL) == []
    for name in lazy:
        package = importlib.import_module(name)
        assert dir(package) == sorted(package.__all__)
        with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'EvenTable'"):
            _ = package.EvenTable


def test_an_unknown_name_is_refused() -> None:
    for name in ("EvenTable", "_EventTable", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"module 'hepfool' has no attribute '{name}'"):
            getattr(hepfool, name)


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ("import hepfool; dir(hepfool)", []),
        ("import hepfool.cli", ["numpy"]),
        ("from hepfool import EventTable, Feature", ["numpy"]),
        ("from hepfool import TorchClassifier", ["numpy", "torch"]),
    ],
)
def test_an_import_loads_what_it_needs(statements: str, allowed: list[str]) -> None:
    assert set(heavy_after(statements, HEAVY + NUMERICAL)) <= set(allowed)


def test_an_attack_loads_no_framework_and_no_file_format() -> None:
    statements = "from hepfool import CONSERVAttack, EventTable, run_attack"
    assert heavy_after(statements, [*HEAVY, "awkward", "pyarrow", "scipy.optimize", "scipy.stats", "uproot"]) == []


def test_a_module_loads_no_package_that_it_may_not_use() -> None:
    modules = [
        *("hepfool.summary", "hepfool.plots", "hepfool.report", "hepfool.inference", "hepfool.sums._record"),
        *("hepfool.io.tables", "hepfool.io._partitions"),
    ]
    heavy = [name for name in HEAVY if name != "matplotlib"]
    unused = [*heavy, "awkward", "cabinetry", "pandas", "pyarrow", "pyhf", "uproot", "vector"]
    found = heavy_after_each([f"from {module} import *" for module in modules], unused)
    assert dict(zip(modules, found, strict=True)) == {module: [] for module in modules}


def test_names_of_the_processors_are_loaded_when_asked_for() -> None:
    assert heavy_after("from hepfool.processors import attack_collected, collect, table_of", [*HEAVY, "awkward"]) == []


def test_the_numerical_core_loads_no_framework() -> None:
    assert set(CORE) <= set(MODULES), "a module was renamed; name it here again"
    assert heavy_after(f"import {', '.join(CORE)}", HEAVY) == []


def test_the_package_runs_as_the_command() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hepfool", *arguments], capture_output=True, text=True, check=False
        )

    version, mistake = run("--version"), run("attach")
    assert (version.returncode, version.stdout) == (0, f"hepfool, version {__version__}\n")
    assert mistake.returncode == 2
    assert mistake.stderr.startswith("Usage: hepfool [OPTIONS] COMMAND")
    assert "No such command 'attach'" in mistake.stderr


def test_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtraError("pythia8mc", "samples")
    assert "pip install 'hepfool[samples]'" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("absent", "statement", "extra"),
    [
        ("torch", "from hepfool import TorchClassifier", "torch"),
        ("coffea", "from hepfool.processors import AttackProcessor", "coffea"),
        ("pyarrow", "import hepfool.io.tables as t; t.read_table('events.csv', features=['a'])", "parquet"),
    ],
)
def test_what_is_missing_is_named_with_its_extra(absent: str, statement: str, extra: str, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("a\n1\n2\n", encoding="utf-8")
    program = f"import sys; sys.modules[{absent!r}] = None; {statement}"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        f"MissingExtraError: {absent} is not installed; install it with: pip install 'hepfool[{extra}]'"
    )


def test_every_extra_in_a_message_exists() -> None:
    """Read the extras that the source asks for: their names go into the advice to install them."""
    folders = [Path(hepfool.__path__[0]), Path(__file__).parents[1] / "analysis_examples"]
    source = "\n".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py"))
    asked = set(re.findall(r'(?:import_extra|MissingExtraError)\(\s*"[\w.]+",\s*"(\w+)"', source))
    asked |= set(re.findall(r"hepfool\[(\w+)\]", source))
    asked |= set(_EXTRAS.values())
    declared = importlib.metadata.metadata("hepfool").get_all("Provides-Extra") or []
    assert {"inference", "samples", "parquet"} <= asked <= set(declared)
