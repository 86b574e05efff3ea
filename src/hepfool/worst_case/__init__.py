# SPDX-License-Identifier: BSD-3-Clause
"""
How far an attack may be from the worst case.

``composition``
    What the classes of the events alone allow, from below and from above.
"""

from __future__ import annotations
