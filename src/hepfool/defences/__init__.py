# SPDX-License-Identifier: BSD-3-Clause
"""
What to do against an attack, and whether it holds.

To find adversarial events with a second network choose ``detector``; to make the network itself harder to fool
``adversarial_training``.  Neither is worth more than what an attack leaves of it that knows it: ``adaptive`` for
detectors, ``robustness`` for retrained networks.
"""
