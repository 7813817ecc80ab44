# SPDX-License-Identifier: BSD-3-Clause
"""What an occupied and an empty site look like, pixel by pixel, measured from the frames.

A box sum mistakes some frames, and a mean over what it calls empty has a ghost of the spot in it,
ten times the background in its middle. So the classes are parted by the pixels themselves: with the
images so far, each frame of each site belongs to each class with a probability, these give new
images, and so on (expectation maximisation over all pixels of all sites)."""

from typing import NamedTuple

import numpy as np
from scipy import special

from caliblib.counts import patches

_ROUNDS = 40
_KEEP_BYTES = 1 << 26
# A spot's centre counts to this fraction of a pixel: sites whose spots stand alike on their pixels
# share an image.
PHASES = 4
_SHAPE_FRAMES = 1000
_GROUPED = 0.75


class Images(NamedTuple):
    """Mean light of each pixel, in photoelectrons, (shapes, pixels): background, the same in both
    classes; spot, what an occupied site adds. shape_of: the shape of each site."""
    background: np.ndarray
    spot: np.ndarray
    shape_of: np.ndarray


class Pixels:
    """Patches of all sites in frames spread evenly over the source, as light: (frames, sites,
    pixels)."""

    def __init__(self, frames, layout, camera):
        size = 2 * layout.count * layout.h * layout.w
        number = min(frames.count, max(20, _KEEP_BYTES // size))
        chosen = np.unique(np.arange(number) * frames.count // number)
        parts = []
        for first, images in frames.batches():
            for index in chosen[(chosen >= first) & (chosen < first + len(images))]:
                parts.append(patches(images[index - first][None], layout.rows, layout.cols,
                                     layout.h, layout.w)[0])
        self.values, self.camera = np.array(parts), camera
        offset = np.broadcast_to(np.float64(camera.offset), frames.shape)
        self.offset = patches(offset[None], layout.rows, layout.cols, layout.h, layout.w)[0]

    def light(self, sites):
        """(frames, sites, pixels) of some sites."""
        return (self.values[:, sites] - self.offset[sites]) / self.camera.gain


def site_images(pixels, mixture):
    """The mean over occupied minus that over empty frames of each site, by its box sums: rough, but
    good for finding where the spot is."""
    out = np.empty(pixels.offset.shape)
    for site in range(len(out)):
        light = pixels.light(slice(site, site + 1))[:, 0]
        belongs = _belongs(light.sum(axis=1)[:, None, None], mixture.pick(slice(site, site + 1)),
                           pixels.camera, np.ones((1, 1)), np.ones((1, 1)), len(light[0]))[:, 0]
        mean_occupied = belongs @ light / max(belongs.sum(), 1e-9)
        out[site] = mean_occupied - (1 - belongs) @ light / max((1 - belongs).sum(), 1e-9)
    return out


def centres(difference, h, w):
    """(row, column) of the centre of each image (sites, pixels), from the upper left pixel."""
    image = np.maximum(difference, 0).reshape(-1, h, w)
    total = np.maximum(image.sum(axis=(1, 2)), 1e-300)
    return np.stack([image.sum(axis=2) @ np.arange(h) / total,
                     image.sum(axis=1) @ np.arange(w) / total], axis=1)


def smooth_centres(layout, found, good):
    """Centres by place in the array, where a plane through the good ones says where they are to
    less than a quarter of a pixel; else as they were found."""
    places = np.stack([np.ones(layout.count), layout.i, layout.j], axis=1)
    if good.sum() < 6:
        return found
    whole = found + np.stack([layout.rows, layout.cols], axis=1)
    plane, *_ = np.linalg.lstsq(places[good], whole[good], rcond=None)
    told = places @ plane
    if np.sqrt(((told - whole)[good]**2).mean()) > 1 / PHASES:
        return found
    return told - np.stack([layout.rows, layout.cols], axis=1)


def group_by_phase(where, h, w, frames):
    """The shape of each site: sites whose spots have the same centre in their boxes, to 1/PHASES
    of a pixel, have the same one. frames: occupied ones of each site; a shape needs _SHAPE_FRAMES
    of them. Sites left over join the nearest shape; when they are many, the steps are coarser."""
    off = where - ((h - 1) / 2, (w - 1) / 2)
    for phases in (PHASES, PHASES / 2, PHASES / 4):
        steps = np.rint(off * phases)
        kinds, kind = np.unique(steps, axis=0, return_inverse=True)
        kind = kind.reshape(-1)
        large = np.bincount(kind, weights=frames) >= _SHAPE_FRAMES
        if frames[large[kind]].sum() >= _GROUPED * frames.sum():
            break
    if not large.any():
        return np.zeros(len(where), dtype=int)
    middles = kinds[large] / phases
    return ((off[:, None] - middles)**2).sum(axis=2).argmin(axis=1)


def _belongs(light, mixture, camera, empty, occupied, pixels=1):
    """The probability that each frame of each site is an occupied one: light (frames, sites,
    n); shares of the light in empty and in occupied sites (sites, n), each of so many pixels.
    A pixel with read noise of variance v is taken for a Poisson number of mean light + v."""
    v = camera.read_noise**2 * pixels
    m0 = mixture.empty[:, None] * empty + v
    m1 = mixture.occupied[:, None] * occupied + v
    m0, m1 = np.maximum(m0, 1e-12), np.maximum(m1, 1e-12)
    log = np.einsum("fsp,sp->fs", light + v, np.log(m1 / m0)) - (m1 - m0).sum(axis=1)
    odds = special.logit(np.clip(mixture.fill, 1e-9, 1 - 1e-9))
    return special.expit(log / camera.excess + odds)


def _flatten(image, frames, camera):
    """A background whose pixels differ no more than chance lets them is even: each is drawn to the
    mean by as much as its own chance is of the whole scatter."""
    mean = image.mean()
    chance = (np.maximum(mean, 0) * camera.excess + camera.read_noise**2) / frames
    scatter = max(image.var() - chance, 0.0)
    flat = mean + (image - mean) * (scatter / (scatter + chance) if scatter > 0 else 0.0)
    return np.maximum(flat, 0.5 / (frames * image.size))


def _update(pixels, mixture, shape_of, shares, trusted):
    """Sums over all frames in each class: light of the trusted sites by shape and pixel, light and
    frames by site. shares: (empty, occupied), (shapes, pixels)."""
    shapes, size = shares[0].shape
    light = np.zeros((2, shapes, size))
    site_light, site_frames = np.zeros((2, 2, len(shape_of)))
    step = max(1, (1 << 22) // (len(pixels.values) * size))
    for first in range(0, len(shape_of), step):
        part = slice(first, first + step)
        values, kinds = pixels.light(part), shape_of[part]
        ones = _belongs(values, mixture.pick(part), pixels.camera, shares[0][kinds],
                        shares[1][kinds])
        for occupied, belongs in ((0, 1 - ones), (1, ones)):
            images = np.einsum("fs,fsp->sp", belongs, values)
            np.add.at(light[occupied], kinds[trusted[part]], images[trusted[part]])
            site_light[occupied, part] = images.sum(axis=1)
            site_frames[occupied, part] = belongs.sum(axis=0)
    return light, site_light, site_frames


def _images_of(light, frames, camera, shape_of):
    """Images from the light and the frames of both classes of each shape. Light that may be chance
    is no spot."""
    background, spot = np.empty_like(light)
    for shape in range(light.shape[1]):
        n_empty, n_occupied = np.maximum(frames[:, shape], 1e-9)
        background[shape] = _flatten(light[0, shape] / n_empty, n_empty, camera)
        mean = light[1, shape] / n_occupied
        chance = np.sqrt((np.maximum(mean, background[shape]) * camera.excess
                          + camera.read_noise**2) / n_occupied)
        more = mean - background[shape]
        spot[shape] = np.where(more > 3 * chance, more, 0.0)
    return Images(background, spot, shape_of)


def measure(pixels, mixture, shape_of, difference, trusted):
    """The images of each shape. mixture: the fit of the box sums of each site; difference: what
    site_images() says; trusted: the sites to measure them at, at least one of each shape."""
    shapes, size = shape_of.max() + 1, pixels.offset.shape[1]
    rough = np.array([np.maximum(difference[trusted & (shape_of == shape)].mean(axis=0), 0)
                      for shape in range(shapes)])
    weight = mixture.empty.mean() / size + 1e-6
    shares = [np.full((shapes, size), 1 / size), rough + weight]
    shares[1] /= shares[1].sum(axis=1, keepdims=True)
    images = None
    for _ in range(_ROUNDS):
        light, site_light, site_frames = _update(pixels, mixture, shape_of, shares, trusted)
        frames = np.zeros((2, shapes))
        for occupied in (0, 1):
            np.add.at(frames[occupied], shape_of[trusted], site_frames[occupied, trusted])
        before, images = images, _images_of(light, frames, pixels.camera, shape_of)
        total = images.background, images.background + images.spot
        shares = [image / image.sum(axis=1, keepdims=True) for image in total]
        mean = site_light / np.maximum(site_frames, 1e-9)
        known = site_frames.min(axis=0) >= 1
        mixture = mixture._replace(
            fill=site_frames[1] / site_frames.sum(axis=0),
            empty=np.where(known, np.maximum(mean[0], 1e-9), mixture.empty),
            occupied=np.where(known, mean[1], mixture.occupied))
        if before is not None and (np.abs(images.spot - before.spot).max()
                                   < 1e-4 * images.spot.max()):
            break
    return images
