# SPDX-License-Identifier: BSD-3-Clause
"""
Defences against attacks, and tests of them.

To find adversarial events with a second network choose ``detector``; to make the network itself harder to fool
``adversarial_training``.  Test either against an attack that knows it: ``adaptive`` for
detectors, ``robustness`` for retrained networks.
"""
