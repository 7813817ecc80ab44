# SPDX-License-Identifier: BSD-3-Clause
"""Whether a site's scores are what the fit says: Pearson's chi-square.

Neighbouring scores are put into one bin until 5 frames are expected there, or more when there are
many frames: about 2 n^(2/5) bins of n frames (Mann, Wald). Degrees of freedom: bins - 1 - 3, for
three fitted numbers. `goodness` is the probability of a chi-square as large or larger. A small one
alone says little with many frames, when any two Poissons are refused, however near. So there is
`misfit` beside it, (chi-square - degrees of freedom) / n: how far off, whatever the number of
frames; it estimates the sum of (true - fitted)^2 / fitted over the bins."""

from typing import NamedTuple

import numpy as np
from scipy import special

EXPECTED_MIN = 5.0
FITTED = 3


class Goodness(NamedTuple):
    """Of each site; p is nan where the frames are too few for any test."""
    p: np.ndarray
    misfit: np.ndarray


def chi_square(lowest, mass, scores):
    """(p, misfit) of the scores (n) of one site, by its fitted distribution: mass of the cells
    whose lowest scores are given."""
    n = len(scores)
    expected = max(EXPECTED_MIN, n / (2 * n**0.4))
    total = np.cumsum(mass) * (n / mass.sum())
    edges, reached = [0], 0.0
    while n - reached >= 2 * expected:
        edge = int(np.searchsorted(total, reached + expected - 1e-9)) + 1
        if edge >= len(total) or n - total[edge - 1] < expected:
            break
        edges.append(edge)
        reached = total[edge - 1]
    freedom = len(edges) - 1 - FITTED
    if freedom < 1:
        return np.nan, 0.0
    fitted = np.diff(np.append(total[np.array(edges[1:]) - 1], n), prepend=0.0)
    observed = np.bincount(np.searchsorted(lowest[edges[1:]], scores, side="right"),
                           minlength=len(edges))
    statistic = ((observed - fitted)**2 / fitted).sum()
    return float(special.chdtrc(freedom, statistic)), float((statistic - freedom) / n)
