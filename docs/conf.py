# SPDX-License-Identifier: BSD-3-Clause
"""Settings of Sphinx; ``make docs`` builds the pages into ``docs/_build/html``."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import hepfool

project = "hepfool"
author = copyright = "The hepfool developers"
version = release = hepfool.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "extension",
]
exclude_patterns = ["_build", "README.md"]
html_theme = "furo"
html_title = "hepfool"
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "force"  # an answer that was kept could be that of an older version
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 900
nb_merge_streams = True
# Its lexer of IPython does not know shell commands that go on in the next line.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say what a type does not
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
