# SPDX-License-Identifier: BSD-3-Clause
"""From sums to thresholds: the pooled fit, each site's own, and what follows from them."""

from typing import NamedTuple

import numpy as np
from scipy import special

from caliblib.goodness import Goodness, chi_square
from caliblib.mixture import (Mixture, NoisyCounts, PoissonCounts, fit_best, shrink,
                              split_start)
from caliblib.response import Response, tabulate
from caliblib.threshold import Threshold, poisson_threshold, score_threshold
from dipformat import Trouble

# What two classes must explain better than what all sites have in common, in logarithms: about
# what three free numbers do by chance alone.
_MARGIN = 6.0
_SHARES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)


class Scores(NamedTuple):
    """The scores of all sites and how they come about. scores: (frames, sites), as the program
    computes them; shift: those of dark sites; shape_of: the shape of each site; classes: of each
    shape the Responses of (empty, occupied) sites; evidence: see PoissonCounts, or None; box:
    light sums (frames, sites) that the evidence belongs to, or None."""
    scores: np.ndarray
    shift: np.ndarray
    shape_of: np.ndarray
    classes: list
    camera: object
    evidence: np.ndarray = None
    box: np.ndarray = None

    @property
    def plain_boxes(self):
        """Whether the scores themselves are Poisson numbers."""
        return self.box is None and self.camera.counts_photons


def box_scores(sums, layout, camera, frame):
    """Scores that are box sums."""
    offset = np.broadcast_to(np.float64(camera.offset), frame)
    pixels = layout.h * layout.w
    shift = np.array([offset[r:r + layout.h, c:c + layout.w].sum()
                      for r, c in zip(layout.rows, layout.cols)])
    if camera.counts_photons and (sums < shift).any():
        frame_index, site = np.argwhere(sums < shift)[0]
        raise Trouble(f"--offset: frame {frame_index}, site {layout.names()[site]}: its box sums up "
                      f"to {sums[frame_index, site]}, below {shift[site]:g} of a dark one; lower "
                      "the offset, or say with --read-noise how noisy a pixel is")
    response = Response(camera, np.ones(pixels), np.ones(pixels))
    return Scores(sums, shift, np.zeros(layout.count, dtype=int), [(response, response)], camera)


def _histogram(values):
    """Values (sites, n) of whole numbers as (values (1, m), counts (sites, m)) when that is
    shorter, else as they are with counts of one."""
    low, span = values.min(), int(values.max() - values.min()) + 1
    if span >= values.shape[1]:
        return values, np.ones(values.shape)
    rows = np.arange(len(values))[:, None] * span + (values - low)
    counts = np.bincount(rows.reshape(-1), minlength=len(values) * span)
    return low + np.arange(span)[None], counts.reshape(len(values), span).astype(np.float64)


def _pool(relative, camera):
    """The data of all sites together as those of one, and how often each value occurs."""
    values, counts = np.unique(relative.reshape(-1), return_counts=True)
    return values[None], counts[None].astype(np.float64), values / camera.gain


def fit_pooled(scores):
    """The fit of the box sums of all sites as if they were one: the best of several starts."""
    camera = scores.camera
    relative = scores.scores - np.rint(scores.shift).astype(np.int64)
    values, counts, photons = _pool(relative, camera)
    if len(photons) == 1:
        raise Trouble(f"every count of every site is {values[0, 0]}; expected empty and occupied "
                      "sites; was there light, and are the sites where the atoms are?")
    data = (PoissonCounts(values) if camera.counts_photons else
            NoisyCounts(scores.classes[0], np.zeros(1), values))
    return fit_best(data, counts, [split_start(photons, counts, share) for share in _SHARES])


def fit_sites(scores, pooled, prior_frames):
    """Each site's own fit, from the pooled one, or from a split of its own scores by the pooled
    share where that ends clearly better; then drawn to the pooled one, see shrink()."""
    known = tuple(float(part[0]) for part in pooled[:3])
    if scores.box is not None and scores.evidence is not None:
        values = scores.box.T
        data, counts = PoissonCounts(values, scores.evidence.T), np.ones(values.shape)
        photons = values
    elif scores.camera.counts_photons:
        values, counts = _histogram((scores.scores - scores.shift.astype(np.int64)).T)
        data, photons = PoissonCounts(values), values
    else:
        return shrink(_fit_noisy(scores, known), prior_frames, known[1:])
    found = fit_best(data, counts, [known, split_start(photons, counts, known[0])], _MARGIN)
    return shrink(found, prior_frames, known[1:])


def _fit_noisy(scores, known):
    result = [None] * scores.scores.shape[1]
    for shape, classes in enumerate(scores.classes):
        sites = np.flatnonzero(scores.shape_of == shape)
        values = scores.scores[:, sites].T
        data, counts = NoisyCounts(classes, scores.shift[sites], values), np.ones(values.shape)
        photons = (values - scores.shift[sites, None]) / max(classes[1].mean(1.0), 1e-300)
        found = fit_best(data, counts, [known, split_start(photons, counts, known[0])], _MARGIN)
        for index, site in enumerate(sites):
            result[site] = found.pick(index)
    return Mixture(*(np.array(field) for field in zip(*result)))


def thresholds(scores, mixture, fill, fp_target):
    """The Threshold of every site, in scores as the program computes them."""
    if scores.plain_boxes:
        found = poisson_threshold(mixture.empty, mixture.occupied, fill, fp_target)
        return found._replace(t=found.t + np.rint(scores.shift).astype(np.int64))
    out = Threshold(*(np.empty(len(scores.shift), kind) for kind in (np.int64, float, float,
                                                                     float)))
    for shape, classes in enumerate(scores.classes):
        sites = np.flatnonzero(scores.shape_of == shape)
        if len(sites) == 0:
            continue
        light = [mixture.empty[sites], np.maximum(mixture.occupied[sites],
                                                  mixture.empty[sites] * (1 + 1e-9) + 1e-9)]
        found = score_threshold(classes, light, scores.shift[sites], fill, fp_target)
        for whole, part in zip(out, found):
            whole[sites] = part
    return out


def fitted_distribution(scores, mixture, site):
    """Of one site: the lowest scores of cells, and the mass of each cell in (empty, occupied)
    frames, weighted with the fill."""
    fill, light = float(mixture.fill[site]), (mixture.empty[site], mixture.occupied[site])
    shift = scores.shift[site:site + 1]
    if scores.plain_boxes:
        counts = np.arange(int(max(light[1] + 12 * np.sqrt(light[1]) + 20,
                                   scores.scores[:, site].max() - shift[0] + 2)))
        log = [counts * np.log(max(m, 1e-12)) - m - special.gammaln(counts + 1) for m in light]
        return (counts + int(shift[0]), (1 - fill) * np.exp(log[0]), fill * np.exp(log[1]))
    classes = scores.classes[scores.shape_of[site]]
    spare = [12 * response.deviation(m) + 4 * np.abs(response.units).max()
             for response, m in zip(classes, light)]
    low = min(classes[0].mean(light[0]) - spare[0], scores.scores[:, site].min() - shift[0] - 1)
    high = max(classes[1].mean(light[1]) + spare[1], scores.scores[:, site].max() - shift[0] + 1)
    tables = [tabulate(response, np.array([max(m, 1e-12)]), shift, low + shift, high + shift)
              for response, m in zip(classes, light)]
    return (tables[0].lowest()[0], (1 - fill) * tables[0].mass[0], fill * tables[1].mass[0])


def goodness_of(scores, mixture):
    """Chi-square of every site."""
    found = []
    for site in range(scores.scores.shape[1]):
        lowest, empty, occupied = fitted_distribution(scores, mixture, site)
        found.append(chi_square(lowest, empty + occupied, scores.scores[:, site]))
    return Goodness(*np.array(found).T)
