# SPDX-License-Identifier: BSD-3-Clause
"""
How far an attack may be from the worst case.

:func:`compositions`
    What the classes of the events alone allow, from below and from above.
:func:`certify`
    Events that are proved unable to change their class within an envelope, and such that do.
:func:`hepfool.worst_case.ladder.ladder`
    The same uncertainties under rising freedom, found and proved; imported from its module, which has the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.worst_case.certified import Certificate, certify
    from hepfool.worst_case.composition import Composition, compositions
    from hepfool.worst_case.ladder import Ladder
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = ["Certificate", "Composition", "Ladder", "certify", "compositions"]
