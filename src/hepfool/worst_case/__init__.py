# SPDX-License-Identifier: BSD-3-Clause
"""
How far an attack may be from the worst case.

``composition``
    What the classes of the events alone allow, from below and from above.
``certified``
    Events that are proved unable to change their class within an envelope, and such that do.
``ladder``
    The same uncertainties under rising freedom, found and proved.
"""

from __future__ import annotations
