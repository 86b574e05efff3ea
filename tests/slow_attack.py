# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.slow_attack attack …``: the command ``hepfool``, slow enough to be disturbed from outside."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from hepfool.attacks import CONSERVAttack
from hepfool.cli import main

# What the command imports, imported once for all processes that start from this one.
for _module in ("models.files", "plots", "report", "study._outcome"):
    importlib.import_module(f"hepfool.{_module}")


def slow_attack(arguments: Sequence[str]) -> None:
    iterate = CONSERVAttack.iterate

    def slow(*given: Any) -> Any:
        time.sleep(0.3)
        return iterate(*given)

    CONSERVAttack.iterate = slow  # type: ignore[assignment, method-assign]
    sys.argv = ["hepfool", *arguments]
    main()


def slow_attack_into(errors: str, arguments: Sequence[str]) -> None:
    """Run it with nothing on standard output and standard error in a file."""
    for descriptor, path in ((1, os.devnull), (2, errors)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ["COLUMNS"] = "200"
    slow_attack(arguments)


if __name__ == "__main__":
    slow_attack(sys.argv[1:])
