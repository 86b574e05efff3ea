# SPDX-License-Identifier: BSD-3-Clause
"""
Classifiers for attacks: scores, margins and gradients.

A PyTorch module or file: ``pytorch``.  Anything that only gives scores, such as
boosted trees: ``blackbox``.  Networks of published studies: ``networks``, and
``jet_networks`` for those that take a jet's constituents; small ones of self-attention: ``attention``.
What a classifier of your own must offer: ``protocols``.
"""
