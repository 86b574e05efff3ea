# SPDX-License-Identifier: BSD-3-Clause
"""
Classifiers for attacks: scores, margins and gradients.

A file of any library: ``load``.  A PyTorch module: ``pytorch``; boosted trees and forests: ``tree_classifier``; anything that
only gives scores: ``blackbox``.  A network per fold: ``folds``; one decision for the candidates of an event: ``groups``.
Networks of published studies: ``networks``.
What a classifier of your own must offer: ``protocols``.
"""
