# SPDX-License-Identifier: BSD-3-Clause
"""Integer weights of a site's pixels, from the measured images.

box  ones: the count of photons in the box
psf  the spot itself, a matched filter: best when the background is bright
llr  ln(1 + s/b) for spot s on background b: the logarithm of the likelihood ratio of Poisson
     pixels, than which no test of the same rate of false positives misses less (Neyman, Pearson).
     Read noise of variance v counts as background: ln(1 + s/(b + v))."""

import numpy as np

KINDS = ("box", "psf", "llr")
# The largest weight: fine enough that rounding costs nothing. The sum of all magnitudes is kept
# below 2^15, so that a weighted sum of 16-bit pixels fits 32 bits with its sign.
PEAK = 500
SUM_MAX = (1 << 15) - 1


def ideal_weights(kind, images, read_noise):
    """Weights before scaling, (shapes, pixels)."""
    if kind == "psf":
        return images.spot
    return np.log1p(images.spot / (images.background + read_noise**2))


def to_integers(weights):
    """Scaled by one factor for each shape, and rounded: int64 (shapes, pixels)."""
    scale = np.minimum(PEAK / np.maximum(weights.max(axis=1), 1e-300),
                       (SUM_MAX - weights.shape[1] / 2) / np.maximum(weights.sum(axis=1), 1e-300))
    return np.rint(weights * scale[:, None]).astype(np.int64)


def used_part(weights, h, w):
    """The smallest box that holds every weight of every shape: (top, left, height, width)."""
    used = (weights != 0).any(axis=0).reshape(h, w)
    rows, cols = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
    return rows[0], cols[0], rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1


def crop(values, h, w, part):
    """The pixels (.., h * w) of a part of a box."""
    top, left, height, width = part
    boxes = values.reshape(*values.shape[:-1], h, w)[..., top:top + height, left:left + width]
    return boxes.reshape(*values.shape[:-1], height * width)
