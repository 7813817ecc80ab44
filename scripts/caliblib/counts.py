# SPDX-License-Identifier: BSD-3-Clause
"""What a site's pixels add up to: exact integers, as the program computes them."""

import numpy as np


def box_sums(images, layout):
    """The sum of each box: frames (B, rows, columns) to int64 (B, sites)."""
    table = np.zeros((images.shape[0], images.shape[1] + 1, images.shape[2] + 1), dtype=np.int64)
    np.cumsum(images, axis=1, out=table[:, 1:, 1:], dtype=np.int64)
    np.cumsum(table[:, 1:, 1:], axis=2, out=table[:, 1:, 1:])
    top, left = layout.rows, layout.cols
    bottom, right = top + layout.h, left + layout.w
    return (table[:, bottom, right] - table[:, top, right] - table[:, bottom, left]
            + table[:, top, left])


def all_box_sums(frames, layout):
    """The sum of each box in each frame, (frames, sites)."""
    sums = np.empty((frames.count, layout.count), dtype=np.int64)
    for first, images in frames.batches():
        sums[first:first + len(images)] = box_sums(images, layout)
    return sums


def patches(images, rows, cols, h, w):
    """The pixels of boxes with these corners: (B, sites, h * w), copied."""
    view = np.lib.stride_tricks.sliding_window_view(images, (h, w), axis=(1, 2))
    return view[:, rows, cols].reshape(len(images), len(rows), h * w)


def weighted_sums(pixels, weights):
    """The dot product of each patch (..., pixels) with integer weights, as int64. Below 2^53 every
    partial sum of float64 is an exact integer, and its matrix product is the fast one."""
    assert np.abs(weights).sum() * 65535.0 < 2**53
    return np.rint(pixels.astype(np.float64) @ weights.astype(np.float64)).astype(np.int64)


def all_weighted_sums(frames, layout, shape_of, weights):
    """The weighted sum of each site in each frame, (frames, sites). shape_of: the row of weights
    (shapes, pixels) that belongs to each site."""
    sums = np.empty((frames.count, layout.count), dtype=np.int64)
    chunk = max(1, (1 << 22) // (layout.h * layout.w))
    for first, images in frames.batches():
        for shape, values in enumerate(weights):
            sites = np.flatnonzero(shape_of == shape)
            for begin in range(0, len(sites), chunk):
                some = sites[begin:begin + chunk]
                for index, image in enumerate(images):
                    pixels = patches(image[None], layout.rows[some], layout.cols[some],
                                     layout.h, layout.w)
                    sums[first + index, some] = weighted_sums(pixels[0], values)
    return sums
