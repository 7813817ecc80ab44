# SPDX-License-Identifier: BSD-3-Clause
"""The frames of a calibration: checked, and read as often as they are needed."""

import numpy as np

from dipformat import Trouble
from dipframes import find_sources

FRAMES_MIN = 20
# What is read once and kept; more is read again in each pass.
_KEEP_BYTES = 1 << 30
_BATCH_BYTES = 1 << 25


class Frames:
    """Frames of one size, 16-bit pixels, none negative. shape: (rows, columns); count: how many;
    total: how many the source has; bad: bad records that were left out of it."""

    def __init__(self, path, shape=None, limit=None):
        sources, self.bad = find_sources(path, shape)
        frames = [(source.path, frame) for source in sources for frame in source.frames]
        self.path, self.total = path, len(frames)
        if self.total < FRAMES_MIN:
            raise Trouble(f"{path}: {self.total} frames; expected {FRAMES_MIN} or more, better "
                          "some hundreds: a site's counts are fitted with what they tell")
        if limit is not None and self.total > limit:
            frames = [frames[i * self.total // limit] for i in range(limit)]
        self.count = len(frames)
        self._frames, self._kept = frames, None
        self.shape = np.asarray(frames[0][1].pixels()).shape
        pixels = self.shape[0] * self.shape[1]
        self._batch = max(1, _BATCH_BYTES // (2 * pixels))
        if 2 * pixels * self.count <= _KEEP_BYTES:
            self._kept = np.empty((self.count, *self.shape), np.uint16)
            for index, (path_of, frame) in enumerate(frames):
                self._kept[index] = self._read(path_of, frame)

    def _read(self, path, frame):
        pixels = np.asarray(frame.pixels())
        if pixels.dtype.kind not in "iu":
            raise Trouble(f"{path}: pixels of {pixels.dtype}; expected integers of 8 or 16 bits")
        if pixels.shape != self.shape:
            raise Trouble(f"{path}: {frame.name}: a frame of {pixels.shape[0]}x{pixels.shape[1]}; "
                          f"expected {self.shape[0]}x{self.shape[1]} as in the frames before it")
        low, high = int(pixels.min()), int(pixels.max())
        if low < 0 or high > 65535:
            row, col = np.unravel_index((pixels < 0 if low < 0 else pixels > 65535).argmax(),
                                        pixels.shape)
            raise Trouble(f"{path}: {frame.name}: pixel {pixels[row, col]} at row {row}, column "
                          f"{col}; expected 0..65535, as a camera counts")
        return pixels

    def batches(self):
        """Yield (number of the first frame, frames (B, rows, columns)), all of them in order."""
        for first in range(0, self.count, self._batch):
            end = min(first + self._batch, self.count)
            if self._kept is not None:
                yield first, self._kept[first:end]
            else:
                yield first, np.array([self._read(*entry) for entry in self._frames[first:end]],
                                      dtype=np.uint16)

    def average(self):
        """The mean image and what chance leaves in it: half the difference of the means of the
        even and of the odd frames, in which everything that stands still is gone."""
        sums = np.zeros((2, *self.shape))
        for first, images in self.batches():
            for parity in (0, 1):
                sums[parity] += images[(parity - first) % 2::2].sum(axis=0, dtype=np.int64)
        odd = self.count // 2
        return sums.sum(axis=0) / self.count, (sums[0] / (self.count - odd) - sums[1] / odd) / 2
