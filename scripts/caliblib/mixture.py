# SPDX-License-Identifier: BSD-3-Clause
"""The counts of a site as a mixture of two classes, empty and occupied, fitted by expectation
maximisation: each frame belongs to each class with a probability that follows from the classes, and
the classes follow from these. No step lowers the likelihood. Where both classes overlap that is
slow, so that every third step is a leap."""

from typing import NamedTuple

import numpy as np
from scipy import special

from caliblib.response import look_up

_ROUNDS = 500
_TRIAL_ROUNDS = 16
# Standard errors by which light differs from what is usual before it is believed to.
_UNLIKE = 4.0
_TOLERANCE = 1e-7
_DARK = 1e-9  # light of a class in which nothing was ever counted
_POINTS_AT_ONCE = 1 << 22


class Mixture(NamedTuple):
    """Of each site: the share of frames in which it is occupied, the mean light of an empty and of
    an occupied site, in photoelectrons, the log-likelihood, and the frames in either class."""
    fill: np.ndarray
    empty: np.ndarray
    occupied: np.ndarray
    likelihood: np.ndarray
    frames_empty: np.ndarray
    frames_occupied: np.ndarray

    def pick(self, index):
        """The same for some sites."""
        return Mixture(*(field[index] for field in self))


class PoissonCounts:
    """Sums that are Poisson numbers: values (sites, n) or (1, n) for all sites alike. evidence, of
    the shape of values: what is known beside a sum, the logarithm of how much likelier the pixels
    are spread like this in an occupied site than in an empty one."""

    def __init__(self, values, evidence=None):
        self.values, self.evidence = values, evidence

    def evaluate(self, light, sites, occupied):
        """Logarithm of the probability, but for what both classes have in common, and the mean
        light behind each value."""
        values = self.values if len(self.values) == 1 else self.values[sites]
        log = values * np.log(light)[:, None] - light[:, None]
        if occupied and self.evidence is not None:
            log += self.evidence[sites]
        return log, values


class NoisyCounts:
    """Scores with noise, by the responses of (empty, occupied) sites: values (sites, n), shift
    (sites)."""

    def __init__(self, classes, shift, values):
        self.classes, self.shift, self.values = classes, shift, values

    def evaluate(self, light, sites, occupied):
        """As of PoissonCounts."""
        probability, photons = look_up(self.classes[occupied], light, self.shift[sites],
                                       self.values[sites])
        return np.log(probability), photons


def _step(data, counts, at, sites):
    """One round: the new (fill, empty, occupied), the likelihood of the old ones and the frames in
    each class."""
    fill, empty, occupied = at
    log_empty, photons_empty = data.evaluate(empty, sites, False)
    log_occupied, photons_occupied = data.evaluate(occupied, sites, True)
    log_odds = special.logit(np.clip(fill, 1e-12, 1 - 1e-12))[:, None]
    belongs = special.expit(log_occupied - log_empty + log_odds)
    ones, zeros = counts[sites] * belongs, counts[sites] * (1 - belongs)
    n_occupied, n_empty = ones.sum(axis=1), zeros.sum(axis=1)
    likelihood = (counts[sites] * (np.logaddexp(
        log_occupied + np.log(np.maximum(fill, 1e-300))[:, None],
        log_empty + np.log(np.maximum(1 - fill, 1e-300))[:, None]))).sum(axis=1)
    new = np.array([n_occupied / (n_occupied + n_empty),
                    (zeros * photons_empty).sum(axis=1) / (n_empty + 1e-300),
                    (ones * photons_occupied).sum(axis=1) / (n_occupied + 1e-300)])
    new[1:] = np.maximum(new[1:], _DARK)
    return new, likelihood, n_empty, n_occupied


def _extrapolate(at, first, second):
    """From three successive points of a slow approach, where it is going (Varadhan, Roland:
    "Simple and globally convergent methods for accelerating the convergence of any EM algorithm",
    2008, scheme S3), with the fill as odds and the light as a logarithm, so that no step leaves
    what is allowed."""
    bent = [np.concatenate([special.logit(np.clip(x[:1], 1e-12, 1 - 1e-12)), np.log(x[1:])])
            for x in (at, first, second)]
    step, turn = bent[1] - bent[0], bent[2] - 2 * bent[1] + bent[0]
    size = -np.sqrt((step**2).sum(axis=0) / np.maximum((turn**2).sum(axis=0), 1e-300))
    size = np.clip(size, -64.0, -1.0)
    far = bent[0] - 2 * size * step + size**2 * turn
    return np.concatenate([special.expit(far[:1]), np.exp(np.clip(far[1:], -20, 30))])


def _advance(data, counts, at, sites):
    """Two rounds and a leap, taken back where it makes the fit less likely."""
    first, *found = _step(data, counts, at, sites)
    second, *_ = _step(data, counts, first, sites)
    third, leapt, *_ = _step(data, counts, _extrapolate(at, first, second), sites)
    return np.where(leapt >= found[0], third, second), first, found


def fit(data, counts, start, rounds=_ROUNDS):
    """Fit every site. data: PoissonCounts or NoisyCounts; counts: how often each value occurs,
    (sites, n); start: (fill, empty, occupied), each a number or (sites)."""
    sites = len(counts)
    at = np.array([np.broadcast_to(np.asarray(part, dtype=np.float64), sites) for part in start])
    at[1:] = np.maximum(at[1:], _DARK)
    result = np.zeros((3, sites))
    chunk = max(1, _POINTS_AT_ONCE // counts.shape[1])
    for first in range(0, sites, chunk):
        active = np.arange(first, min(first + chunk, sites))
        for _ in range(rounds):
            new, stepped, found = _advance(data, counts, at[:, active], active)
            change = np.abs(stepped - at[:, active]) / (np.abs(stepped) + 1e-6)
            at[:, active], result[:, active] = new, found
            active = active[change.max(axis=0) > _TOLERANCE]
            if len(active) == 0:
                break
    turned = at[1] > at[2]
    at[:, turned] = np.array([1 - at[0], at[2], at[1]])[:, turned]
    result[1:, turned] = result[:0:-1, turned]
    return Mixture(*at, *result)


def fit_best(data, counts, starts, margin=0.0):
    """A few rounds from each start, then to the end from where it is most likely, site by site. A
    later start must be better by a margin, in logarithms of the likelihood."""
    found = None
    for start in starts:
        one = fit(data, counts, start, _TRIAL_ROUNDS)
        found = one if found is None else better(found, one, margin)
    return fit(data, counts, found[:3])


def shrink(mixture, frames, known):
    """Each site's light drawn to that of all sites, known: (empty, occupied), as if this came from
    so many frames: a class of a few frames, or one in which nothing was counted, is not taken at
    its word. Light that is clearly another than that of all sites stays what it is."""
    drawn = []
    for light, number, usual in ((mixture.empty, mixture.frames_empty, known[0]),
                                 (mixture.occupied, mixture.frames_occupied, known[1])):
        apart = np.abs(light - usual) > _UNLIKE * np.sqrt(
            np.maximum(light, usual) / np.maximum(number, 1))
        drawn.append(np.where(apart, light,
                              (number * light + frames * usual) / (number + frames + 1e-300)))
    return mixture._replace(empty=drawn[0], occupied=drawn[1])


def better(one, other, margin=0.0):
    """Site by site, the fit that is more likely; the other one by more than a margin."""
    return Mixture(*(np.where(one.likelihood + margin >= other.likelihood, a, b)
                     for a, b in zip(one, other)))


def split_start(photons, counts, share):
    """(fill, empty, occupied) of the sites when the highest `share` of their frames are occupied:
    photons (n), ascending, or (sites, n); counts (sites, n)."""
    photons = np.broadcast_to(photons, counts.shape)
    order = np.argsort(photons, axis=1, kind="stable")
    ordered, weight = (np.take_along_axis(a, order, axis=1) for a in (photons, counts))
    above = np.cumsum(weight[:, ::-1], axis=1)[:, ::-1]
    part = np.clip((share * weight.sum(axis=1))[:, None] - (above - weight), 0, weight)
    n_occupied, n_empty = part.sum(axis=1), (weight - part).sum(axis=1)
    occupied = (part * ordered).sum(axis=1) / np.maximum(n_occupied, 1e-300)
    empty = ((weight - part) * ordered).sum(axis=1) / np.maximum(n_empty, 1e-300)
    return n_occupied / (n_occupied + n_empty), np.maximum(empty, 0), np.maximum(occupied, 0)
