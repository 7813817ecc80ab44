# SPDX-License-Identifier: BSD-3-Clause
"""Where the sites are: equal boxes, from a grid of the configuration or on a lattice."""

from typing import NamedTuple

import numpy as np

from dipformat import Trouble

SITES_MAX = 100_000


class Lattice(NamedTuple):
    """Points origin + i a + j b, each (row, column) with pixel centres at integers; i counts the
    na columns of the array, j its nb rows."""
    origin: tuple
    a: tuple
    b: tuple
    na: int
    nb: int

    def points(self, i, j):
        """(row, column) of points, (n, 2)."""
        i, j = np.asarray(i)[..., None], np.asarray(j)[..., None]
        return np.array(self.origin) + i * np.array(self.a) + j * np.array(self.b)


class Layout(NamedTuple):
    """Boxes of h x w pixels: rows and cols of their top left corners; i, j: place of each in the
    array; lattice: what they were laid out on, or None; told: how, in words."""
    rows: np.ndarray
    cols: np.ndarray
    h: int
    w: int
    i: np.ndarray
    j: np.ndarray
    lattice: Lattice
    told: str

    @property
    def count(self):
        """How many sites."""
        return len(self.rows)

    def names(self):
        """A name for each site, by its place."""
        return [f"r{j}c{i}" for i, j in zip(self.i, self.j)]


def lay_out_grid(grid, frame, told):
    """The grid of the configuration on frames of that shape: grid as of dipformat.parse_grid."""
    row_start, col_start, row_end, col_end, h, w = grid
    rows, cols = range(row_start, row_end, h), range(col_start, col_end, w)
    if rows[-1] + h > frame[0] or cols[-1] + w > frame[1]:
        raise Trouble(f"{told}: a box of {h}x{w} at {rows[-1]},{cols[-1]} leaves the frame of "
                      f"{frame[0]}x{frame[1]}; bring the ends closer")
    if len(rows) * len(cols) > SITES_MAX:
        raise Trouble(f"{told}: {len(rows) * len(cols)} sites; expected at most {SITES_MAX}")
    j, i = (axis.reshape(-1) for axis in np.indices((len(rows), len(cols))))
    return Layout(row_start + j * h, col_start + i * w, h, w, i, j, None, told)


def place_boxes(lattice, i, j, box, frame, told):
    """Boxes around points of a lattice. Returns the layout and the names of the sites whose box
    would leave the frame, which are not in it."""
    h, w = box
    # An even box on a spot in the middle of a pixel can stand on either side of it. A tenth of a
    # pixel decides for the upper left, whatever the noise of the fit.
    corners = np.floor(lattice.points(i, j) - ((h - 1) / 2, (w - 1) / 2) + 0.4).astype(int)
    inside = ((corners >= 0) & (corners + (h, w) <= frame)).all(axis=1)
    lost = [f"r{y}c{x}" for x, y in zip(i[~inside], j[~inside])]
    rows, cols = corners[inside].T
    return Layout(rows, cols, h, w, i[inside], j[inside], lattice, told), lost
