# SPDX-License-Identifier: BSD-3-Clause
"""The command ``python -m hepfool``, the same as ``hepfool``."""

from __future__ import annotations

from hepfool.cli import main

if __name__ == "__main__":
    main(prog_name="hepfool")
