# SPDX-License-Identifier: BSD-3-Clause
r"""
The search of CONSERVAttack: order of events x proposals x price x ledger.

``candidates``
    Where a value may go: a grid along the slope (the paper's), or one candidate per bin.
``price``
    What a move costs, what it earns, and the one rule of the caps.
``ledger``
    Marginals and moments of every group of events that is compared by itself.
``bounded``
    The best candidate of one value without trying all of them.
``sweep``
    Moves events whose values count in one ledger each, by ``bounded``: the common case.
``rounds``
    Moves any event: several ledgers, derived features, observables, distance correlations.
``columns``, ``pairs``, ``accounts``
    What follows a move, the sums over pairs of events, and what a move costs in everything that it touches.
``score``, ``score_bins``
    Keeps the network's score, in blocks of events.
``groups``, ``view``, ``engine``
    Which events are compared with which caps, the problem as the sweeps see it, and one iteration over all of it.
``exchange``
    Swaps the values of events of different class, which no comparison of the data set can see.
"""
