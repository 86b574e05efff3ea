# SPDX-License-Identifier: BSD-3-Clause
"""Texts of the page that do not depend on a study: titles and captions of figures, glossary, references."""

from __future__ import annotations

from typing import Final

#: Short names of the figures, for contents and captions.
TITLES: Final = {
    "verdict": "Verdict",
    "ladder": "Worst case",
    "explanation": "What carries the attack",
    "allowed": "What data allow",
    "fooling": "Fooling ratio",
    "regions": "Score by region",
    "score_kept": "Score kept",
    "marginals": "Inputs",
    "projection": "Pair of inputs",
    "correlations": "Correlations",
    "score": "Score by class",
    "misclassification": "Repeated flags",
    "significance": "Significance",
    "detection": "Checks",
    "impacts": "Impact on the fit",
    "frontier": "Looser and tighter caps",
    "detector": "Detector",
    "thresholds": "Thresholds of the detector",
    "cross_runs": "Other trainings",
}

CAPTIONS: Final = {
    "verdict": "The verdict at a glance, by signal region. Left: which fraction of the attacked events changes class under every source of "
    "systematic uncertainty (its larger side), all of them together, and the attack: as it is, without flagged events, and with knowledge "
    "of the detector. Middle: what the same does to the yield after the score selection. What stays inside the band is covered. What "
    "an attack does is a lower limit of the worst case; only a black line is an upper one. Right: the probability that a check of the "
    "validation notices the attack.",
    "ladder": "How many events can change class, and how much the yield after the score selection, from what the sources of the "
    "analysis do to what inputs can do that are free of each other. Bars were found; what lies beyond the lines is proved impossible.",
    "explanation": "Which inputs carry the attack, and how much of it follows the variations that the analysis has already, beside what "
    "random moves would give.",
    "allowed": "Which fraction of the attack the data of control and validation regions allow: where CLs falls below the line, it is "
    "excluded. Signal regions are not looked at.",
    "fooling": "How often the network changes its answer: under the attack, and under every physics systematic; sources "
    "that only change weights flip no event. The verdict compares with all sources together. Errors are statistical.",
    "regions": "The network's score by region: simulation by process, its statistical and systematic uncertainty, data where "
    "they may be looked at, and the sum of the same simulated events after the attack (dashed). Data of signal regions stay blinded. "
    "The lower panels show ratios to the nominal simulation; the dashed line has no error, because both are the same events.",
    "score_kept": "The score in the control region after two attacks on the same simulated events: one that keeps the inputs alone, "
    "and one that keeps the score and the flags of the detector too. The limit follows from the composition of the region.",
    "marginals": "Three input distributions before and after the attack, from the one that moved least to the one that "
    "moved most. The lower panels show the net change of each bin with the error of the events that entered or left it. These are the same "
    "events, so the band, the statistical error of the prediction alone, is there for scale, and no chi-square is given.",
    "projection": "The pair of inputs whose joint distribution changes most: before the attack, after it, and the net change of each "
    "bin in units of the error of the events that entered or left it; bins that no event entered or left stay white. Bins "
    "hold equally many nominal events along each axis and are drawn equally wide; events without one of both values are not shown.",
    "correlations": "Linear correlations between all inputs before the attack (below the diagonal), and what the attack changes in "
    "them (above it, with its own colour scale). A frame marks the largest change. Only linear dependence is shown here.",
    "score": "What the network answers before and after the attack in all regions together, by true class, each normalised to one. "
    "Bands are statistical errors.",
    "misclassification": "Whether detectors of independent trainings flag the same clean events more often than chance.",
    "significance": "Relative significance of a discovery against the threshold on the score, before and after the attack.",
    "detection": "Which check would have noticed the attack, with the data events of this analysis: the probability that it rejects. Standard "
    "checks are those that an analysis makes anyway.",
    "impacts": (
        "How far each nuisance parameter of the fit can move the result, the attack among them (right). Post-fit intervals, and pulls "
        "of a fit without the attack to data with it, in units of the pre-fit uncertainties (left)."
    ),
    "frontier": "What an attack gains if it may be noticed more easily: further right, the standard checks together notice it with a "
    "higher probability. The star is the attack of this report.",
    "detector": "The detector of attacks. Left: which fraction of the fooled events it flags, at the price of flagging nominal "
    "events too. Right: whether its score is the probability that it claims to be.",
    "thresholds": "The detector at other thresholds. Fooled events that it leaves unflagged, its price, the nominal events of "
    "each true class that it flags, and the flagged fraction of data and simulation where these are compared.",
    "cross_runs": "Attacks and detectors of repeated trainings, each against each: how far the numbers of this report depend on the "
    "one network that was attacked.",
}

GLOSSARY: Final = {
    "Adversarial attack": "A deliberate search for small changes of the inputs that make the network change its answer. "
    "Here the changes are limited in what they do to distributions and correlations.",
    "Nominal, adversarial": "The events of the simulation as they are, and the same events after the attack.",
    "Constrained events": "The events of control and validation regions, where data are compared with simulation. "
    "The attack may change their distributions only within caps.",
    "Fooling ratio": "Weighted fraction of the attacked events whose predicted class changes.",
    "Corrected fooling ratio": "The same, without the events that a detector of attacks flags.",
    "Adaptive attack": "The same search with knowledge of both network and detector.",
    "Flip fraction": "The same quantity for a physics systematic: how many events change their class under its variation.",
    "Yield shift": "Relative change of a region's weighted yield after the selection on the score.",
    "Marginal": "The one-dimensional distribution of one input.",
    "Jensen-Shannon distance (JSD)": "Distance of two distributions: 0 if they are the same, 1 if they have nothing in "
    "common.",
    "Correlation shift": "Relative change of the whole matrix of linear correlations.",
    "Sampling floor": "The distance that two independent samples of this size typically show by chance.",
    "Detection power": "Probability that a check notices the attack, at the number of data events of the analysis.",
    "Physics systematics": "The uncertainties that the analysis assigns already, such as energy scales.",
}

#: Who wrote what, the text of the link, and the address.
REFERENCES: Final = (
    (
        (
            "P. Bechtle et al., Shapes are not enough: CONSERVAttack and its use for finding vulnerabilities and uncertainties in "
            "machine learning applications"
        ),
        "arXiv:2603.13970",
        "https://arxiv.org/abs/2603.13970",
    ),
    (
        "B. Nachman and C. Shimmin, AI Safety for High Energy Physics",
        "arXiv:1910.08606",
        "https://arxiv.org/abs/1910.08606",
    ),
    (
        "H. Zhang et al., Efficient Neural Network Robustness Certification with General Activation Functions (upper limits of a network)",
        "arXiv:1811.00866",
        "https://arxiv.org/abs/1811.00866",
    ),
    (
        "A. L. Read, Presentation of search results: the CLs technique (limit on the fraction that data allow)",
        "doi:10.1088/0954-3899/28/10/313",
        "https://doi.org/10.1088/0954-3899/28/10/313",
    ),
    (
        "R. Barlow and C. Beeston, Fitting using finite Monte Carlo samples (statistical errors of the simulation)",
        "doi:10.1016/0010-4655(93)90005-W",
        "https://doi.org/10.1016/0010-4655(93)90005-W",
    ),
    (
        "J. Lin, Divergence measures based on the Shannon entropy (Jensen-Shannon distance)",
        "doi:10.1109/18.61115",
        "https://doi.org/10.1109/18.61115",
    ),
)
