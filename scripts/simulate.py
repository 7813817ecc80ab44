#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Simulate frames of an atom array, the same ones for the same seed.

In every frame each site is occupied with probability FILL. An occupied site sends Poisson(OCC)
photons, spread by a Gaussian spot in the centre of its box; a background over the whole frame
gives an empty box Poisson(EMPTY). The camera counts photons, or is an EMCCD or a qCMOS with an
offset, a gain and noise. DIR gets image_0000.npy and so on, DIR.truth.npy the true occupancy at the
start of each exposure, bool (frames, sites), sites row-major over the grid."""

import argparse
import math
import os
import re
import sys
from pathlib import Path

import numpy as np

import dipformat
from dipcamera import KINDS, CameraModel, Sensor, light_left
from dipformat import Trouble, number

DTYPES = {"u2": "<u2", "i2": "<i2", "u1": "|u1"}


def lay_out(text, height, width):
    """The rows and the columns where boxes start, and the size of a box."""
    row_start, col_start, row_end, col_end, roi_h, roi_w = dipformat.parse_grid("--grid", text)
    rows, cols = range(row_start, row_end, roi_h), range(col_start, col_end, roi_w)
    if rows[-1] + roi_h > height or cols[-1] + roi_w > width:
        raise Trouble(f"--grid {text}: a box of {roi_h}x{roi_w} at {rows[-1]},{cols[-1]} leaves "
                      f"the frame of {height}x{width}")
    return rows, cols, roi_h, roi_w


def spot(starts, box, pixels, sigma):
    """Along one axis, the share of the photons of each box's spot that falls on each pixel: the
    Gaussian integrated over the pixel. What falls beside the frame is lost."""
    edges = [[0.5 * math.erf((edge - start - box / 2) / (sigma * math.sqrt(2)))
              for edge in range(pixels + 1)] for start in starts]
    return np.diff(np.array(edges), axis=1)


def simulate(args, rng):
    """Yield (frame, occupancy). A Poisson number of photons, each thrown onto a pixel at random,
    is an independent Poisson number in every pixel: so pixels are drawn, not photons."""
    rows, cols, roi_h, roi_w = lay_out(args.grid, args.height, args.width)
    down = spot(rows, roi_h, args.height, args.psf_sigma).T * args.lambda_occ
    across = spot(cols, roi_w, args.width, args.psf_sigma)
    background = args.lambda_empty / (roi_h * roi_w)
    sensor = Sensor(CameraModel(args.camera, args.offset, args.gain, args.read_noise, args.induced,
                                args.spread), (args.height, args.width), rng)
    for _ in range(args.frames):
        occupied = rng.random((len(rows), len(cols))) < args.fill
        # Rounding may leave a share a hair below zero, which no Poisson distribution takes.
        mean = np.maximum(down @ light_left(occupied, args.loss, rng) @ across + background, 0.0)
        yield sensor.expose(mean, rng), occupied.reshape(-1)


def prepare_folder(folder, force):
    """Make the folder, holding none of our frames."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in folder.iterdir())
    if names and not force:
        raise Trouble(f"{folder}: not empty, it holds {names[0]}; expected an empty or new folder; "
                      "name another -o DIR, or give --force to replace simulated frames")
    for name in names:
        if re.fullmatch(r"image_\d{4,}\.npy|stack\.npy", name):
            (folder / name).unlink()


def write(args, folder):
    """Write every frame. Returns the truth and the number of pixels that were cut to what the dtype
    can hold, as a camera would."""
    dtype = np.dtype(DTYPES[args.dtype])
    limit = np.iinfo(dtype).max
    digits = max(4, len(str(args.frames - 1)))  # name order must be frame order
    truth, cut, stack = [], 0, None
    if args.stack:
        stack = np.lib.format.open_memmap(folder / "stack.npy", "w+", dtype,
                                          (args.frames, args.height, args.width))
    for index, (frame, occupied) in enumerate(simulate(args, np.random.default_rng(args.seed))):
        cut += int(np.count_nonzero((frame < 0) | (frame > limit)))
        pixels = np.clip(frame, 0, limit).astype(dtype)
        if stack is not None:
            stack[index] = pixels
        else:
            np.save(folder / f"image_{index:0{digits}d}.npy", pixels)
        truth.append(occupied)
    return np.array(truth), cut


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="Exit status: 0 done, 2 wrong usage or nothing written.")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True,
                        help="the folder of the frames; it holds nothing else")
    parser.add_argument("--frames", type=number(1, 10**7, int), default=300, help="how many")
    parser.add_argument("--height", type=number(1, 65535, int), default=300, help="rows")
    parser.add_argument("--width", type=number(1, 65535, int), default=300, help="columns")
    parser.add_argument("--grid", default="50,50,250,250,10,10",
                        help="row_start,col_start,row_end,col_end,roi_h,roi_w; ends exclusive")
    parser.add_argument("--fill", type=number(0, 1), default=0.87,
                        help="probability that a site is occupied")
    parser.add_argument("--lambda-occ", metavar="OCC", type=number(0, 1e9), default=10.0,
                        help="mean photons of an occupied site, besides the background")
    parser.add_argument("--lambda-empty", metavar="EMPTY", type=number(0, 1e9), default=0.5,
                        help="mean background of a box")
    parser.add_argument("--psf-sigma", metavar="PIXELS", type=number(1e-3, 1e3), default=1.5,
                        help="standard deviation of a spot")
    parser.add_argument("--loss", type=number(0, 1), default=0.0,
                        help="probability that an atom is lost during an exposure")
    parser.add_argument("--camera", choices=KINDS, default="photons",
                        help="photons: counts them; cmos: also qCMOS")
    parser.add_argument("--gain", type=number(1e-3, 1e6), default=1.0,
                        help="value for each photoelectron (emccd, cmos)")
    parser.add_argument("--offset", type=number(0, 65535), default=0.0,
                        help="value of a dark pixel (emccd, cmos)")
    parser.add_argument("--read-noise", metavar="S", type=number(0, 1e6), default=0.0,
                        help="of a pixel, photoelectrons (emccd, cmos)")
    parser.add_argument("--induced", metavar="MEAN", type=number(0, 1e6), default=0.0,
                        help="clock-induced photoelectrons of a pixel (emccd)")
    parser.add_argument("--spread", type=number(0, 1), default=0.0,
                        help="scatter from pixel to pixel (cmos)")
    parser.add_argument("--seed", type=number(0, 2**63, int), default=1, help="of the generator")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="u2", help="of a pixel")
    parser.add_argument("--stack", action="store_true",
                        help="write one stack.npy (N, H, W) instead of a file for each frame")
    parser.add_argument("--force", action="store_true",
                        help="replace the simulated frames that DIR holds")
    args = parser.parse_args()
    if args.camera == "photons" and (args.gain, args.offset, args.read_noise) != (1.0, 0.0, 0.0):
        parser.error("--gain, --offset, --read-noise: expected --camera emccd or cmos with them")
    return args


def main():
    """Simulate what the command line asks for."""
    args = arguments()
    rows, cols, _, _ = lay_out(args.grid, args.height, args.width)
    folder = Path(os.path.abspath(args.output))
    prepare_folder(folder, args.force)
    truth, cut = write(args, folder)
    truth_path = folder.with_name(folder.name + ".truth.npy")
    np.save(truth_path, truth)
    text = (f"{args.frames} frames of {args.height}x{args.width} {DTYPES[args.dtype]}, "
            f"{len(rows) * len(cols)} sites, {truth.mean():.4f} occupied, truth in {truth_path}")
    if cut:
        text += f", {cut} pixels cut to 0..{np.iinfo(DTYPES[args.dtype]).max}"
    print(f"simulate.py: {args.output}: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(dipformat.run_tool(main))
