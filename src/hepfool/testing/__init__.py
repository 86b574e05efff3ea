# SPDX-License-Identifier: BSD-3-Clause
"""
Conformance tests that an attack or a classifier of your own inherits.

They need pytest: ``pip install 'hepfool[testing]'``.  In a file of your tests::

    from hepfool.testing import AttackConformance, ClassifierConformance, GradientConformance

    class TestMyAttack(AttackConformance):
        @pytest.fixture
        def attack(self):
            return MyAttack(size=0.1)

    class TestMyNetwork(ClassifierConformance, GradientConformance):
        @pytest.fixture
        def build(self):
            return lambda seed: MyClassifier(seed)
"""

from __future__ import annotations

from hepfool.extras import import_extra

# Before the modules with the tests are imported, so that a failure shows the values.
import_extra("pytest", "testing").register_assert_rewrite("hepfool.testing._attacks", "hepfool.testing._classifiers")

from hepfool.testing._attacks import AttackConformance
from hepfool.testing._classifiers import ClassifierConformance, GradientConformance

__all__ = ["AttackConformance", "ClassifierConformance", "GradientConformance"]
