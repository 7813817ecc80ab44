# SPDX-License-Identifier: BSD-3-Clause
"""Spots in an averaged image: where they are, how bright, and how wide.

The image is filtered by the Laplacian of a Gaussian, which answers most to spots of its own width
and not at all to an even background. What chance alone leaves in the filtered image is known from
the difference of the averages of even and odd frames."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

_SIGMAS = 0.7 * 2**(np.arange(9) / 2)  # 0.7 to 11.3 pixels
_SIGNIFICANT = 4.5
PEAKS_MAX = 100_000


class Peaks(NamedTuple):
    """where: (n, 2), row and column; height: of each, in the filtered image; sigma: of a spot;
    answer: the filtered image."""
    where: np.ndarray
    height: np.ndarray
    sigma: float
    answer: np.ndarray

    def height_at(self, points):
        """The filtered image at any points (n, 2), 0 outside of it."""
        return ndimage.map_coordinates(self.answer, points.T, order=1)


def _filtered(image, sigma):
    return -sigma**2 * ndimage.gaussian_laplace(image, sigma, mode="nearest")


def _highest(image, noise, sigma):
    """The places of all local maxima that chance does not explain."""
    answer, chance = _filtered(image, sigma), _filtered(noise, sigma).std()
    size = 2 * int(np.ceil(sigma)) + 1
    peak = (answer == ndimage.maximum_filter(answer, size)) & (answer > _SIGNIFICANT * chance)
    peak &= answer > 1e-9 * max(answer.max(), 0.0)
    return answer, np.argwhere(peak)


def _refined(answer, places):
    """Between pixels: the top of a parabola through three of them, along both axes."""
    padded = np.pad(answer, 1, mode="edge")
    row, col = (places + 1).T
    middle = padded[row, col]
    shift = np.empty(places.shape)
    for axis, (before, after) in enumerate((
            (padded[row - 1, col], padded[row + 1, col]),
            (padded[row, col - 1], padded[row, col + 1]))):
        bend = before - 2 * middle + after
        shift[:, axis] = np.where(bend < 0, (before - after) / (2 * np.minimum(bend, -1e-300)), 0)
    return places + np.clip(shift, -0.5, 0.5), middle


def find_peaks(image, noise):
    """The spots of an averaged image; noise: what chance leaves in it, see Frames.average(). Their
    width is the one whose peaks answer most, by the median, which a few hot pixels do not move."""
    best = None
    for sigma in _SIGMAS:
        if 4 * sigma > min(image.shape):
            break
        answer, places = _highest(image, noise, sigma)
        if not 0 < len(places) <= PEAKS_MAX:
            continue
        strength = np.median(answer[tuple(places.T)])
        if best is None or strength > best[0]:
            best = strength, sigma, answer, places
    if best is None:
        return Peaks(np.empty((0, 2)), np.empty(0), 0.0, np.zeros(image.shape))
    where, height = _refined(best[2], best[3])
    return Peaks(where, height, float(best[1]), best[2])
