# SPDX-License-Identifier: BSD-3-Clause
"""Which changes of the data set an attack was not allowed to exceed."""

from __future__ import annotations

import math
from typing import Final

from hepfool.attacks._conserv import CONSERVAttack
from hepfool.attacks.base import Attack
from hepfool.statistics._comparisons import Validated

_CAPS: Final = ("max_js_distance", "max_js_change", "max_correlation_change", "max_correlation_shift")
#: Names of the caps of a validation.
_OF: Final = {
    "inputs": "max_js_distance",
    "observables": "max_observable_distance",
    "score": "max_score_distance",
    "correlations": "max_correlation_shift",
}

#: In the order of a report.
CAP_NAMES: Final = tuple(dict.fromkeys((*_CAPS, *_OF.values())))


def attack_caps(attack: Attack, validated: Validated | None = None) -> dict[str, float]:
    """
    Collect the caps of an attack.

    Parameters
    ----------
    attack : Attack
        Any attack.
    validated : Validated, optional
        Figures of the attack beside their caps.

    Returns
    -------
    dict of str to float
        Finite caps by name; where parts or columns differ, the loosest.  Empty if nothing constrains the data set.

    Examples
    --------
    >>> attack_caps(CONSERVAttack(max_js_distance=0.02))
    {'max_js_distance': 0.02}
    """
    if not isinstance(attack, CONSERVAttack):
        return {}
    caps = {name: value for name in _CAPS if math.isfinite(value := getattr(attack, name))}
    for figure in () if validated is None else validated.figures:
        name = _OF.get(figure.comparison)
        if name is not None and math.isfinite(figure.cap):
            caps[name] = max(caps.get(name, 0.0), figure.cap)
    return {name: caps[name] for name in CAP_NAMES if name in caps}
