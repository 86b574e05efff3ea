# SPDX-License-Identifier: BSD-3-Clause
"""Compiled kernels that processes share: whole, of the present sources, or compiled again."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hepfool
from hepfool._kernel_cache import kernel_sources
from hepfool._kernel_files import Entries, Lock

PACKAGE = Path(hepfool.__file__).parent
HELPER = """
from hepfool._kernels import inline_kernel
@inline_kernel
def shifted(x):
    return x + {shift}
"""
CALLER = """
from hepfool.helper import shifted
from hepfool._kernels import kernel
@kernel
def total(values):
    result = 0.0
    for value in values:
        result += shifted(value)
    return result
"""
PROGRAM = """
import numpy as np
from hepfool.caller import total
print(total(np.arange(4.0)))
"""
ANSWER = "10.0\n"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The compiler's part of the package, with two kernels in files of their own."""
    folder = tmp_path / "source" / "hepfool"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    for name in ("_kernels.py", "_kernel_cache.py", "_kernel_files.py"):
        shutil.copy(PACKAGE / name, folder)
    (folder / "helper.py").write_text(HELPER.format(shift=1.0), encoding="utf-8")
    (folder / "caller.py").write_text(CALLER, encoding="utf-8")
    return folder


def start(package: Path, cache: Path | None, program: str = PROGRAM, **more: str) -> subprocess.Popen[str]:
    environment = {
        name: value for name, value in os.environ.items() if name not in {"NUMBA_CACHE_DIR", "XDG_CACHE_HOME"}
    }
    environment |= {"PYTHONPATH": str(package.parent), **more}
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output


def entries(cache: Path) -> dict[str, bytes]:
    files = (path for path in cache.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(cache)): path.read_bytes() for path in files}


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def empty(content: bytes, rng: random.Random) -> bytes:
    return b""


def flip(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]


@pytest.mark.faults
@pytest.mark.slow
def test_processes_that_start_at_once_share_one_cache_and_mend_it(package: Path, tmp_path: Path) -> None:
    cache, rng = tmp_path / "cache", random.Random(1)
    assert {finish(process) for process in [start(package, cache) for _ in range(4)]} == {ANSWER}
    whole = entries(cache)
    assert len(whole) == 1
    for damage in (cut, empty, flip):
        damaged = {name: damage(content, rng) for name, content in whole.items()}
        for name, content in damaged.items():
            (cache / name).write_bytes(content)
        assert {finish(process) for process in [start(package, cache) for _ in range(2)]} == {ANSWER}
        healed = entries(cache)
        assert healed.keys() == whole.keys()
        assert all(healed[name] != content for name, content in damaged.items())


@pytest.mark.slow
def test_what_was_compiled_once_is_not_compiled_again(package: Path, tmp_path: Path) -> None:
    first = "from numba.core import event\nfound = event.RecordingListener()\nevent.register('numba:compile', found)\n"
    program = first + PROGRAM + "print(len(found.buffer))"
    assert finish(start(package, tmp_path / "cache", program)).split()[1] != "0"
    assert finish(start(package, tmp_path / "cache", program)).split()[1] == "0"


@pytest.mark.slow
def test_a_changed_kernel_is_compiled_again_within_its_callers(package: Path, tmp_path: Path) -> None:
    assert finish(start(package, tmp_path / "cache")) == ANSWER
    (package / "helper.py").write_text(HELPER.format(shift=2.0), encoding="utf-8")
    assert finish(start(package, tmp_path / "cache")) == "14.0\n"


@pytest.mark.slow
def test_sources_that_change_after_the_start_leave_nothing_behind(package: Path, tmp_path: Path) -> None:
    late = f"import hepfool._kernels\nopen({str(package / 'helper.py')!r}, 'w').write({HELPER.format(shift=2.0)!r})\n"
    assert finish(start(package, tmp_path / "cache", late + PROGRAM)) == "14.0\n"
    assert not entries(tmp_path / "cache")


@pytest.mark.slow
def test_settings_of_numba_have_entries_of_their_own(package: Path, tmp_path: Path) -> None:
    for more in ({}, {"NUMBA_OPT": "1"}, {"NUMBA_CPU_NAME": "generic"}, {"PYTHONOPTIMIZE": "1"}):
        before = len(entries(tmp_path / "cache"))
        assert finish(start(package, tmp_path / "cache", **more)) == ANSWER
        assert len(entries(tmp_path / "cache")) > before


@pytest.mark.slow
def test_without_a_place_for_a_cache_everything_works_and_one_line_says_what_to_do(package: Path) -> None:
    process = start(package, None, HOME="/dev/null")  # not even root makes a folder there
    output, errors = process.communicate(timeout=300)
    assert (process.returncode, output) == (0, ANSWER), errors
    assert "cannot be kept in /dev/null/.cache/hepfool" in errors
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.slow
def test_the_whole_package_is_imported_without_a_place_for_a_cache() -> None:
    program = "import hepfool.cli\nfrom hepfool.attacks import *\nfrom hepfool.processors import *\nfrom hepfool.study import *\nprint('imported')"
    assert finish(start(PACKAGE, None, program, HOME="/dev/null", MPLCONFIGDIR="/dev/null")) == "imported\n"


def test_the_key_covers_every_module_that_defines_kernels_and_what_these_import() -> None:
    names = {str(path.relative_to(PACKAGE)) for path in kernel_sources(PACKAGE)}
    assert {"_kernels.py", "_kernel_cache.py", "statistics/_bins.py", "attacks/_search/sweep.py"} <= names
    assert "events/_envelope.py" in names  # defines no kernel, but numbers that kernels are compiled with
    assert not {name for name in names if name.startswith(("plots/", "report/"))}


@settings(max_examples=50)
@given(body=st.binary(max_size=60), damage=st.sampled_from([cut, empty, flip]), seed=st.integers(0, 1000))
def test_a_damaged_entry_counts_as_absent_and_is_removed(
    body: bytes, damage: Callable[[bytes, random.Random], bytes], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = Entries(tmp_path_factory.mktemp("entries"))
    kept.write("one", body)
    assert kept.read("one") == body
    path = kept.folder / "one"
    path.write_bytes(damage(path.read_bytes(), random.Random(seed)))
    assert kept.read("one") is None
    assert not path.exists()


def test_an_entry_is_none_under_another_name(tmp_path: Path) -> None:
    kept = Entries(tmp_path)
    kept.write("one", b"code")
    (tmp_path / "one").rename(tmp_path / "two")
    assert kept.read("two") is None


def test_a_full_disk_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    kept = Entries(tmp_path / "kernels")
    monkeypatch.setattr(Path, "write_bytes", full)
    with caplog.at_level(logging.WARNING):
        kept.write("one", b"code")
        kept.write("two", b"code")
    assert len(caplog.records) == 1
    assert "No space left on device" in caplog.text
    assert not any(kept.folder.iterdir())


def test_folders_of_former_keys_go_after_two_months(tmp_path: Path) -> None:
    for name, days in (("a" * 32, 61), ("b" * 32, 59), ("foreign", 61)):
        (tmp_path / name).mkdir()
        then = time.time() - days * 86400
        os.utime(tmp_path / name, (then, then))
    Entries(tmp_path / ("c" * 32)).write("one", b"code")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b" * 32, "c" * 32, "foreign"]


def hold(path: Path, held: object, seconds: float) -> None:
    lock = Lock(path)
    with lock.given_back():
        lock.wait(lambda: None)
        held.set()  # type: ignore[attr-defined]
        time.sleep(seconds)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[float], Path]]:
    processes = []

    def begin(seconds: float) -> Path:
        context = multiprocessing.get_context("spawn")
        held = context.Event()
        processes.append(context.Process(target=hold, args=(tmp_path / "lock", held, seconds)))
        processes[-1].start()
        assert held.wait(60)
        return tmp_path / "lock"

    yield begin
    for process in processes:
        process.kill()
        process.join()


def test_nobody_compiles_what_another_process_is_about_to_finish(holder: Callable[[float], Path]) -> None:
    lock = Lock(holder(60.0))
    answers = iter([None, None, "compiled elsewhere"])
    with lock.given_back():
        assert lock.wait(lambda: next(answers)) == "compiled elsewhere"
    assert next(answers, "asked three times") == "asked three times"


def test_a_process_that_hangs_with_the_lock_holds_nobody_up_for_ever(holder: Callable[[float], Path]) -> None:
    lock = Lock(holder(60.0), patience=0.2)
    with lock.given_back():
        assert lock.wait(lambda: None) is None


def test_the_lock_is_free_once_the_outermost_kernel_is_compiled(tmp_path: Path) -> None:
    first = Lock(tmp_path / "lock")

    def free() -> bool:
        asked: list[None] = []
        other = Lock(tmp_path / "lock", patience=0.2)
        with other.given_back():
            # It asks only once, when nobody is to be waited for.
            other.wait(lambda: asked.append(None))
        return len(asked) == 1

    with first.given_back():
        with first.given_back():
            first.wait(lambda: None)
        assert not free()
    assert free()


def test_no_lock_to_be_had_makes_nobody_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("hepfool._kernel_files.fcntl.flock", refuse)
    lock = Lock(tmp_path / "lock")
    with lock.given_back():
        assert lock.wait(lambda: None) is None
