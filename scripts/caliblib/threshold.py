# SPDX-License-Identifier: BSD-3-Clause
"""The threshold that makes the fewest errors, and how many it makes: exact tails, no fit of tails.

Occupied iff score >= T. With the share `fill` of sites occupied, errors are
(1 - fill) FP(T) + fill FN(T), FP(T) = P(score >= T | empty), FN(T) = P(score < T | occupied).
A largest FP may be asked for; it can only raise T."""

from typing import NamedTuple

import numpy as np
from scipy import special

from caliblib.response import tabulate

# A window of the tilted distributions holds this many standard deviations to each side.
_WIDTH = 10.0
_SITES_AT_ONCE = 1024


class Threshold(NamedTuple):
    """Of each site: T, whole; FP; FN; and the mean of both at the T that makes it least, whatever
    fill and target were asked for: how well the classes can be told apart at all."""
    t: np.ndarray
    false_positive: np.ndarray
    false_negative: np.ndarray
    least: np.ndarray

    @property
    def infidelity(self):
        """The mean of both."""
        return (self.false_positive + self.false_negative) / 2


def at_least(t, light):
    """P(N >= t), N Poisson: the regularised lower incomplete gamma function."""
    t = np.asarray(t, dtype=np.float64)
    return np.where(t <= 0, 1.0, special.gammainc(np.maximum(t, 1), light))


def below(t, light):
    """P(N < t), N Poisson."""
    t = np.asarray(t, dtype=np.float64)
    return np.where(t <= 0, 0.0, special.gammaincc(np.maximum(t, 1), light))


def _first_at_most(target, light):
    """The least T with P(N >= T) <= target."""
    low, high = np.zeros(len(light)), np.ceil(2 * light + 64)
    while True:
        more = at_least(high, light) > target
        if not more.any():
            break
        high = np.where(more, 2 * high, high)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        fine = at_least(middle, light) <= target
        low, high = np.where(fine, low, middle), np.where(fine, middle, high)
    return np.where(at_least(low, light) <= target, low, high)


def poisson_threshold(empty, occupied, fill, fp_target):
    """Of box sums that are Poisson numbers of mean empty and occupied, (sites): where the
    likelihood ratio passes the odds. T is at least 1."""
    empty = np.maximum(empty, 1e-12)  # an empty site that never counted anything
    occupied = np.maximum(occupied, empty * (1 + 1e-9))
    slope = np.log(occupied / empty)
    t = np.ceil((occupied - empty + np.log((1 - fill) / fill)) / slope)
    if fp_target < 1:
        t = np.maximum(t, _first_at_most(fp_target, empty))
    t = np.maximum(t, 1).astype(np.int64)
    best = np.ceil((occupied - empty) / slope)
    return Threshold(t, at_least(t, empty), below(t, occupied),
                     (at_least(best, empty) + below(best, occupied)) / 2)


def _slope_to(response, light, target):
    """theta that moves the mean to target, and what that costs: sup(theta target - K)."""
    theta = response.tilt(light, target)
    cost = theta * target - response.cumulant(light, theta[:, None])[:, 0]
    return theta, cost


def _meeting_point(classes, light):
    """Between the means of both classes, where both are equally unlikely to come (Chernoff's
    point): bisection of the difference of the costs, which only grows."""
    low, high = (response.mean(of) for response, of in zip(classes, light))
    for _ in range(60):
        middle = (low + high) / 2
        empty, occupied = (_slope_to(response, of, middle)[1]
                           for response, of in zip(classes, light))
        low = np.where(empty < occupied, middle, low)
        high = np.where(empty < occupied, high, middle)
    return (low + high) / 2


def _dark_tails(response, light, shift, scores):
    """P(score >= each, no photoelectron) and P(score < each, no photoelectron), (sites, scores)."""
    above = (scores - 0.5 - shift[:, None]) / np.sqrt(response.variance)
    none = np.exp(-light)[:, None]
    return none * special.ndtr(-above), none * special.ndtr(above)


def _tails(classes, light, shift, point):
    """FP and FN, (sites, scores), on lattices around a point of each site, the scores there, and
    which of them are so near to the point that the tails are right."""
    parts = [response.lit() if response.multiplied else response for response in classes]
    theta = [part.tilt(of, point) for part, of in zip(parts, light)]
    deviation = np.sqrt(np.max([part.slopes(of, by)[1] for part, of, by
                                in zip(parts, light, theta)], axis=0))
    reach = _WIDTH * deviation + 4 * np.abs(classes[0].units).max() + 4
    mass = []
    for part, of, by in zip(parts, light, theta):
        table = tabulate(part, of, shift, point + shift - reach, point + shift + reach, by)
        mass.append(table.probabilities())
    scores = table.lowest()
    over = np.cumsum(mass[0][:, ::-1], axis=1)[:, ::-1]
    under = np.cumsum(mass[1], axis=1) - mass[1]
    if not parts[0].dark:
        over += _dark_tails(parts[0], light[0], shift, scores)[0]
        under += _dark_tails(parts[1], light[1], shift, scores)[1]
    near = np.abs(scores - (point + shift)[:, None]) < 0.8 * reach[:, None]
    return scores, over, under, near & (scores >= 1)  # 0 would be reached by every site


def _choose(over, under, inside, fill, fp_target):
    """The index of T for one site, the middle of all that are equally good, or None when the
    target is not met here."""
    errors = (1 - fill) * over + fill * under
    errors[~inside] = np.inf
    if fp_target < 1:
        errors[over > fp_target] = np.inf
    least = errors.min()
    if not np.isfinite(least):
        return None
    first = last = int(errors.argmin())
    while last + 1 < len(errors) and errors[last + 1] <= least * (1 + 1e-12):
        last += 1
    return (first + last) // 2


def _search(classes, light, shift, point, fill, fp_target):
    """score_threshold() for a few sites."""
    found, least, left = {}, {}, np.arange(len(shift))
    for _ in range(64):
        of = [one[left] for one in light]
        scores, over, under, inside = _tails(classes, of, shift[left], point[left])
        for row, site in enumerate(left):
            least.setdefault(site, (over[row] + under[row])[inside[row]].min() / 2)
            index = _choose(over[row], under[row], inside[row], fill, fp_target)
            if index is not None:
                found[site] = (scores[row, index], over[row, index], under[row, index],
                               least[site])
        left = np.array([site for site in left if site not in found], dtype=int)
        if len(left) == 0:
            break
        # So few false positives were asked for that T lies beyond: look there.
        theta = classes[0].tilt(light[0][left], point[left])
        point[left] += _WIDTH / 2 * np.sqrt(classes[0].slopes(light[0][left], theta)[1])
    return [found[site] for site in range(len(shift))]


def score_threshold(classes, light, shift, fill, fp_target):
    """Of any linear score. classes: the Responses of empty and of occupied sites; light: their
    mean light, each (sites), occupied above empty; shift: the score of a dark site, (sites)."""
    light = [np.maximum(of, 1e-9) for of in light]
    rows = []
    for first in range(0, len(shift), _SITES_AT_ONCE):
        part = slice(first, first + _SITES_AT_ONCE)
        of = [one[part] for one in light]
        point = _meeting_point(classes, of)
        for begin in range(0, len(point), 4):
            few = slice(begin, begin + 4)
            rows += _search(classes, [one[few] for one in of], shift[part][few], point[few], fill,
                            fp_target)
    t, *rest = zip(*rows)
    return Threshold(np.array(t, dtype=np.int64), *map(np.array, rest))
