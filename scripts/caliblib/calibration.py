# SPDX-License-Identifier: BSD-3-Clause
"""A whole calibration: from frames and a layout to a threshold for every site."""

from typing import NamedTuple, Optional

import numpy as np

from caliblib import judge, spot, weights
from caliblib.counts import all_box_sums, all_weighted_sums, patches
from caliblib.fitting import (Scores, box_scores, fit_pooled, fit_sites, goodness_of, thresholds)
from caliblib.goodness import Goodness
from caliblib.layout import Layout
from caliblib.mixture import Mixture
from caliblib.response import Camera, Response
from caliblib.threshold import Threshold
from dipformat import Trouble


class Wishes(NamedTuple):
    """What the user asked for. kind: of weights; fill: expected share of occupied sites, None: as
    measured; prior_frames: see fit_sites()."""
    kind: str = "box"
    fp_target: float = 1.0
    fill: Optional[float] = None
    prior_frames: float = 10.0
    limits: judge.Limits = judge.Limits()


class Calibration(NamedTuple):
    """The outcome. layout: of the boxes as they are written; pooled: the fit of the box sums of all
    sites together; mixture, threshold, goodness: of each site, pooled ones where the site's own fit
    was refused; reasons: why, or None, for each site; weights: (shapes, pixels), None for boxes;
    images: what these were made from; fill: the share of occupied sites that T is best for."""
    layout: Layout
    camera: Camera
    kind: str
    pooled: Mixture
    scores: Scores
    own: Mixture
    mixture: Mixture
    threshold: Threshold
    goodness: Goodness
    reasons: list
    fill: float
    weights: Optional[np.ndarray] = None
    images: Optional[spot.Images] = None


def _check_pooled(pooled, wishes):
    separate = abs(pooled.occupied[0] - pooled.empty[0]) / np.sqrt(
        max(pooled.occupied[0], 1e-12) + max(pooled.empty[0], 1e-12))
    shares = (1 - pooled.fill[0], pooled.fill[0])
    frames = (pooled.frames_empty[0], pooled.frames_occupied[0])
    for name, share, number in zip(("empty", "occupied"), shares, frames):
        if number < max(wishes.limits.frames, 10):
            raise Trouble(f"all sites together: {number:.1f} of {sum(frames):.0f} counts are those "
                          f"of {name} sites ({share:.2g}); expected 10 or more; take frames in "
                          "which sites are empty as well as occupied")
    if not separate > 1:
        raise Trouble(f"all sites together: the counts are of one kind: mean {pooled.empty[0]:.4g} "
                      f"and {pooled.occupied[0]:.4g} when split in two; expected empty and "
                      "occupied sites that differ; are the boxes where the atoms are?")


def _trusted(scores, own, limits):
    """The sites whose spots are measured: a site that holds something else than one atom or none
    would spoil the image for all. That boxes overlap does not matter here."""
    reasons = judge.reasons(limits._replace(infidelity=1.0), own, np.zeros(len(own.fill)),
                            goodness_of(scores, own))
    good = np.array([reason is None for reason in reasons])
    return good if good.any() else ~good


def _weighted_scores(frames, layout, camera, own, trusted, wishes):
    """Images, integer weights, and what the weighted sums are, on the part of the boxes that has
    any weight."""
    pixels = spot.Pixels(frames, layout, camera)
    difference = spot.site_images(pixels, own)
    where = spot.smooth_centres(layout, spot.centres(difference, layout.h, layout.w), trusted)
    shape_of = spot.group_by_phase(where, layout.h, layout.w,
                                   np.where(trusted, own.frames_occupied, 0.0))
    images = spot.measure(pixels, own, shape_of, difference, trusted)
    if (images.spot.sum(axis=1) <= 0).any():
        raise Trouble("no spot found in the boxes: occupied sites are nowhere brighter than empty "
                      "ones; expected a spot; take more frames, or --weights box")
    whole = weights.to_integers(weights.ideal_weights(wishes.kind, images, camera.read_noise))
    part = weights.used_part(whole, layout.h, layout.w)
    cut = [weights.crop(values, layout.h, layout.w, part)
           for values in (whole, images.background, images.spot)]
    images = images._replace(background=cut[1], spot=cut[2])
    layout = layout._replace(rows=layout.rows + part[0], cols=layout.cols + part[1],
                             h=int(part[2]), w=int(part[3]))
    return images, cut[0], layout, score_weighted(frames, layout, camera, images, cut[0])


def score_weighted(frames, layout, camera, images, integers):
    """The Scores that integer weights (shapes, pixels) make."""
    shape_of, both = images.shape_of, images.background + images.spot
    offset = np.broadcast_to(np.float64(camera.offset), frames.shape)
    dark = patches(offset[None], layout.rows, layout.cols, layout.h, layout.w)[0]
    shift = (dark * integers[shape_of]).sum(axis=1)
    classes = [(Response(camera, values, empty), Response(camera, values, occupied))
               for values, empty, occupied in zip(integers, images.background, both)]
    scores = all_weighted_sums(frames, layout, shape_of, integers)
    if not camera.counts_photons:
        return Scores(scores, shift, shape_of, classes, camera)
    # What the pixels say beside their sum, to 2^-20: whole numbers, summed up as the scores are.
    log = (np.log(both / both.sum(axis=1, keepdims=True))
           - np.log(images.background / images.background.sum(axis=1, keepdims=True)))
    fine = np.rint(log * 2**20).astype(np.int64)
    fine_shift = (dark * fine[shape_of]).sum(axis=1)
    evidence = (all_weighted_sums(frames, layout, shape_of, fine) - fine_shift) / 2**20
    box = all_box_sums(frames, layout) - dark.sum(axis=1).astype(np.int64)
    return Scores(scores, shift, shape_of, classes, camera, evidence, box)


def _seen_in(images, pooled):
    """The pooled fit, with the light of the images: less of it than in the whole boxes."""
    empty = images.background.sum(axis=1)[images.shape_of].mean(keepdims=True)
    return pooled._replace(empty=empty, occupied=empty + images.spot.sum(axis=1)[
        images.shape_of].mean())


def _fallback(scores, own, pooled, good):
    """The mixture that stands for all sites whose own fit is refused: the pooled one, for scores
    that are box sums; else the means of the sites that are good, or of all when none is."""
    if scores.box is None and len(scores.classes) == 1:
        return pooled
    chosen = own.pick(good if good.any() else np.ones(len(good), dtype=bool))
    n0, n1 = chosen.frames_empty.sum(), chosen.frames_occupied.sum()
    return Mixture(*(np.array([value]) for value in (
        n1 / (n0 + n1), (chosen.frames_empty @ chosen.empty) / max(n0, 1e-9),
        (chosen.frames_occupied @ chosen.occupied) / max(n1, 1e-9), 0.0, n0, n1)))


def _replace_refused(scores, own, found, pooled, bad, fill, fp_target):
    """The mixture and Threshold of all sites, pooled ones for the bad ones."""
    shared = _fallback(scores, own, pooled, ~bad)
    mixture = Mixture(*(np.where(bad, common, each) for each, common in zip(own, shared)))
    some = Scores(scores.scores[:, bad], scores.shift[bad], scores.shape_of[bad], scores.classes,
                  scores.camera, None, None if scores.box is None else scores.box[:, bad])
    again = thresholds(some, mixture.pick(bad), fill, fp_target)
    merged = [one.copy() for one in found]
    for whole, part in zip(merged, again):
        whole[bad] = part
    return mixture, Threshold(*merged)


def calibrate(frames, layout, camera, wishes):
    """Fit everything. Raises Trouble when the frames cannot tell empty from occupied sites."""
    scores = box_scores(all_box_sums(frames, layout), layout, camera, frames.shape)
    pooled = fit_pooled(scores)
    _check_pooled(pooled, wishes)
    own = fit_sites(scores, pooled, wishes.prior_frames)
    images = integers = None
    if wishes.kind != "box":
        trusted = _trusted(scores, own, wishes.limits)
        images, integers, layout, scores = _weighted_scores(frames, layout, camera, own, trusted,
                                                            wishes)
        own = fit_sites(scores, _seen_in(images, pooled), wishes.prior_frames)
    fill = float(pooled.fill[0]) if wishes.fill is None else wishes.fill
    found, goodness = thresholds(scores, own, fill, wishes.fp_target), goodness_of(scores, own)
    reasons = judge.reasons(wishes.limits, own, found.least, goodness)
    bad, mixture = np.array([reason is not None for reason in reasons]), own
    if bad.any():
        mixture, found = _replace_refused(scores, own, found, pooled, bad, fill, wishes.fp_target)
    return Calibration(layout, camera, wishes.kind, pooled, scores, own, mixture, found, goodness,
                       reasons, fill, integers, images)
