# SPDX-License-Identifier: BSD-3-Clause
"""Sites found in the frames themselves."""

import numpy as np

from caliblib.lattice import find_lattice
from caliblib.layout import SITES_MAX, place_boxes
from caliblib.peaks import find_peaks
from dipformat import Trouble, complain

# A box is not wider than this many sigmas of a spot to each side: more adds background only.
_SIGMAS = 6.0
_BOX_MAX = 64


def box_size(lattice, sigma):
    """The largest square box that does not overlap its neighbours', nor is wider than a spot
    needs."""
    a, b = np.array(lattice.a), np.array(lattice.b)
    steps = [v for v, there in ((a, lattice.na > 1), (b, lattice.nb > 1),
                                (a + b, lattice.na > 1 < lattice.nb),
                                (a - b, lattice.na > 1 < lattice.nb)) if there]
    # A hair more than a whole number is that number: the fit has an error.
    apart = min(np.abs(step).max() for step in steps) + 0.05
    return max(1, min(int(apart), int(np.ceil(2 * _SIGMAS * sigma)), _BOX_MAX))


def find_sites(frames, box=None):
    """The Layout of the sites in the averaged image; box: (h, w), or None to choose. Returns it
    with the lattice's Found."""
    image, noise = frames.average()
    peaks = find_peaks(image, noise)
    found = find_lattice(peaks, frames.path)
    if len(found.i) > SITES_MAX:
        raise Trouble(f"{frames.path}: {len(found.i)} sites found; expected at most {SITES_MAX}")
    if box is None:
        box = (box_size(found.lattice, peaks.sigma),) * 2
    lattice = found.lattice
    told = (f"found: {lattice.nb} x {lattice.na} places, a spot at {len(found.i) - found.missing} "
            f"of {len(found.i)}")
    layout, lost = place_boxes(lattice, found.i, found.j, box, frames.shape, told)
    if layout.count == 0:
        raise Trouble(f"{frames.path}: no box of {box[0]}x{box[1]} around a spot fits into the "
                      f"frame of {frames.shape[0]}x{frames.shape[1]}; give a smaller --box")
    if lost:
        complain(f"{len(lost)} sites left out, their boxes would leave the frame: "
                 f"{', '.join(lost[:8])}{', ...' if len(lost) > 8 else ''}")
    return layout, found, len(lost)
