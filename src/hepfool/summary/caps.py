# SPDX-License-Identifier: BSD-3-Clause
"""Which changes of the data set an attack was not allowed to exceed."""

from __future__ import annotations

import math
from typing import Any, Final

from hepfool.attacks.base import Attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.events import EventTable

__all__ = ["attack_caps"]

_CAPS: Final = ("max_js_distance", "max_correlation_change", "max_correlation_shift")


def attack_caps(attack: Attack, table: EventTable) -> dict[str, float]:
    """
    Collect the caps of an attack.

    Parameters
    ----------
    attack : Attack
        Any attack, also one that is kept in a checkpoint.
    table : EventTable
        Nominal events, from which a validation budget follows.

    Returns
    -------
    dict of str to float
        Finite caps by name; empty if nothing constrains the data set.

    Examples
    --------
    >>> attack_caps(CONSERVAttack(max_js_distance=0.02), EventTable.from_arrays([[1.0], [2.0]]))
    {'max_js_distance': 0.02}
    """
    inner: Any = getattr(attack, "attack", attack)
    if not isinstance(inner, CONSERVAttack):
        return {}
    resolved = inner.resolved(table)
    return {name: value for name in _CAPS if math.isfinite(value := getattr(resolved, name))}
