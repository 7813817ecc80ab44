#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Calibrate the sites of an array: from frames to a file of sites with their thresholds.

SRC is an archive segment, the folder of a run, an .npy file (2-D, or a 3-D stack) or a folder of
them, in which each site is empty in some frames and occupied in others. The counts of each site are
fitted by two classes; its threshold is the one that makes the fewest errors, and the errors that it
makes are predicted. The file is for pois.sites in the configuration of dma-image-processor. The
same frames make the same file."""

import argparse
import os
import sys
from pathlib import Path

# How many threads add up a product decides its last bit. It is read when numpy is loaded.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402, pylint: disable=wrong-import-position

import dipformat  # noqa: E402, pylint: disable=wrong-import-position
from dipformat import Trouble, complain, number  # noqa: E402, pylint: disable=wrong-import-position


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Exit status: 0 all sites have a threshold of their own; 1 the file is written, but "
        "some sites have the pooled threshold or are left out, or records of the archive were bad; "
        "2 wrong usage, or frames that cannot be calibrated with; nothing is written then.")
    parser.add_argument("source", metavar="SRC", type=Path)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True,
                        help="the file of sites to write")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--find", action="store_true",
                       help="find the sites: a lattice through the spots of the averaged image")
    where.add_argument("--grid", metavar="GRID",
                       help="row_start,col_start,row_end,col_end,roi_h,roi_w; ends exclusive")
    where.add_argument("--config", metavar="FILE", type=Path,
                       help="the grid, fp_target and fill of the pois group of a configuration")
    parser.add_argument("--box", metavar="HxW", help="size of the boxes with --find (default: as "
                        "large as they can be without overlapping)")
    parser.add_argument("--weights", choices=("box", "psf", "llr"), default="box",
                        help="box: every pixel counts the same; psf: by the measured spot; llr: by "
                        "the log-likelihood of spot and background (default: box)")
    parser.add_argument("--fp-target", metavar="P", type=number(1e-300, 1),
                        help="largest probability of a false positive (default: 1, no limit)")
    parser.add_argument("--fill", metavar="P", type=number(1e-6, 1 - 1e-6),
                        help="share of sites expected to be occupied when the thresholds are used "
                        "(default: as in SRC)")
    parser.add_argument("--offset", metavar="N|FILE", default="0",
                        help="value of a dark pixel, or an .npy file of such a map (default: 0)")
    parser.add_argument("--gain", metavar="G", type=number(1e-6, 1e6), default=1.0,
                        help="value of a pixel for each photoelectron (default: 1)")
    parser.add_argument("--read-noise", metavar="S", type=number(0, 1e4), default=0.0,
                        help="of a pixel, photoelectrons: a Poisson and a normal distribution are "
                        "fitted instead of a Poisson one (default: 0)")
    parser.add_argument("--em", action="store_true",
                        help="the gain is that of an electron-multiplying register (EMCCD)")
    parser.add_argument("--frames", metavar="N", type=number(20, 10**7, int), default=10_000,
                        help="use at most so many frames, spread evenly (default: 10000)")
    parser.add_argument("--prior-frames", metavar="N", type=number(0, 1e6), default=10.0,
                        help="the means of all sites together count as so many frames in the fit "
                        "of each site, unless that clearly differs (default: 10)")
    parser.add_argument("--max-infidelity", metavar="P", type=number(0, 1), default=0.1,
                        help="refuse a site whose mean of false positives and negatives is "
                        "predicted to be larger (default: 0.1)")
    parser.add_argument("--min-goodness", metavar="P", type=number(0, 1), default=1e-4,
                        help="refuse a fit that is less probable, and clearly off (default: 1e-4)")
    parser.add_argument("--drop-bad", action="store_true",
                        help="leave refused sites out instead of giving them the pooled threshold")
    parser.add_argument("--report", metavar="PAGE.html", type=Path,
                        help="also draw histograms and maps into one HTML page")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument("--shape", metavar="HxW", help="of a frame, for raw segments (.bin)")
    args = parser.parse_args()
    if args.box and not args.find:
        parser.error("--box: expected --find with it; the other ways have their own boxes")
    if args.report and args.report.suffix.lower() not in (".html", ".htm"):
        parser.error(f"--report {args.report}: expected a name that ends in .html")
    return args


def check_outputs(args):
    """Before anything is computed: whether what will be written can be."""
    for option, path in (("-o", args.output), ("--report", args.report)):
        if path is None:
            continue
        folder = Path(os.path.abspath(path)).parent
        if not folder.is_dir():
            raise Trouble(f"{option} {path}: no folder {folder}; expected one to write into")
        if path.is_dir():
            raise Trouble(f"{option} {path}: a folder; expected the name of a file")
        if path.exists() and not args.force:
            raise Trouble(f"{option} {path}: it exists; name another file, or give --force to "
                          "replace it")
        if not os.access(folder, os.W_OK):
            raise Trouble(f"{option} {path}: {folder} cannot be written into")
    if args.report and os.path.abspath(args.report) == os.path.abspath(args.output):
        raise Trouble(f"--report {args.report}: the same file as -o; expected another one")


def import_library():
    """The package beside this file; what it needs may be missing."""
    try:
        import caliblib.calibration  # pylint: disable=import-outside-toplevel
        return caliblib
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("caliblib"):
            raise
        raise Trouble(f"Python module {error.name} is missing; apt-get install "
                      f"python3-{error.name.split('.')[0]}, and run with /usr/bin/python3"
                      ) from error


def read_offset(text, shape):
    """--offset: a number, or a map of frames of that shape."""
    try:
        value = float(text)
    except ValueError:
        from dipframes import load_array  # pylint: disable=import-outside-toplevel
        if not Path(text).is_file():
            raise Trouble(f"--offset {text}: no such file; expected a number, or an .npy file of "
                          "the value of each dark pixel") from None
        value = np.array(load_array(Path(text)), dtype=np.float64)
        if value.shape != shape:
            raise Trouble(f"--offset {text}: a map of {value.shape}; expected one of {shape}, a "
                          "number for each pixel") from None
    if not np.isfinite(value).all() or np.min(value) < 0 or np.max(value) > 65535:
        raise Trouble(f"--offset {text}: expected values 0..65535")
    return value


def read_pois(path):
    """The pois group of a configuration, as a dict."""
    try:
        import libconf  # pylint: disable=import-outside-toplevel
    except ModuleNotFoundError as error:
        raise Trouble("--config: Python module libconf is missing; apt-get install "
                      "python3-libconf, or give --grid") from error
    try:
        with open(path, encoding="utf-8") as file:
            config = libconf.load(file)
    except OSError as error:
        raise Trouble(f"--config {path}: {error.strerror}; expected a configuration with a pois "
                      "group") from error
    except (libconf.ConfigParseError, UnicodeDecodeError) as error:
        raise Trouble(f"--config {path}: not a libconfig file: {error}") from error
    pois = config.get("pois", {})
    keys = "row_start col_start row_end col_end roi_h roi_w".split()
    for key in keys:
        if type(pois.get(key)) is not int:  # a bool is no number here
            raise Trouble(f"--config {path}: pois.{key}: found {pois.get(key)!r}; expected a whole "
                          "number; say it there, or give --grid")
    return ",".join(str(pois[key]) for key in keys), pois.get("fp_target"), pois.get("fill")


def lay_out(args, frames):
    """The Layout, how it was chosen in words, and how many sites could not be placed."""
    from caliblib import find, layout  # pylint: disable=import-outside-toplevel
    if args.find:
        box = dipformat.parse_shape(args.box, "--box", "10x10") if args.box else None
        if box and (max(box) > 64):
            raise Trouble(f"--box {args.box}: expected at most 64x64, the largest patch")
        sites, found, lost = find.find_sites(frames, box)
        return sites, (f"sites {sites.told}, each spot {found.scatter:.2f} pixels beside its place "
                       f"(rms), boxes of {sites.h} x {sites.w}"), lost
    option = "--grid" if args.grid else f"--config {args.config}:"
    grid = dipformat.parse_grid(option, args.grid)
    sites = layout.lay_out_grid(grid, frames.shape, f"{option} {args.grid}")
    return sites, f"grid {args.grid}", 0


def apply_config(args):
    """What --config says, where the command line does not."""
    if args.config:
        args.grid, fp_target, fill = read_pois(args.config)
        args.fp_target = fp_target if args.fp_target is None else args.fp_target
        args.fill = fill if args.fill is None else args.fill
        for name, value in (("fp_target", args.fp_target), ("fill", args.fill)):
            if value is not None and not (isinstance(value, (int, float)) and 0 < value <= 1
                                          and (value, name) != (1, "fill")):
                raise Trouble(f"--config {args.config}: pois.{name}: found {value!r}; expected a "
                              f"number above 0, {'below' if name == 'fill' else 'at most'} 1")
    args.fp_target = 1.0 if args.fp_target is None else args.fp_target


def tell_refused(found, drop_bad):
    """A line for each refused site."""
    what = "left out" if drop_bad else "has the pooled threshold"
    for name, reason in zip(found.layout.names(), found.reasons):
        if reason:
            complain(f"site {name}: {what}: {reason}")
    return sum(reason is not None for reason in found.reasons)


def tell_outcome(args, found, frames, told, bad):
    """One line on stdout."""
    pooled, threshold, sites = found.pooled, found.threshold, found.layout.count
    print(f"{os.path.basename(sys.argv[0])}: {args.source}: {frames.count} frames, {sites - bad} "
          f"of {sites} sites with a threshold of their own ({told}), p = {pooled.fill[0]:.5f}, l0 "
          f"= {pooled.empty[0]:.5f}, l1 = {pooled.occupied[0]:.5f}; predicted FP "
          f"{threshold.false_positive.mean():.2e}, FN {threshold.false_negative.mean():.2e}; "
          f"{args.output}")


def main():
    """Calibrate what the command line names."""
    args = arguments()
    check_outputs(args)
    if not args.source.exists():
        raise Trouble(f"{args.source}: No such file or directory; expected the folder of a run, a "
                      "segment, an .npy file, or a folder of those")
    apply_config(args)
    import_library()
    # pylint: disable=import-outside-toplevel
    from caliblib import calibration, judge, sitesfile
    from caliblib.frames import Frames
    from caliblib.response import Camera
    frames = Frames(args.source, dipformat.parse_shape(args.shape) if args.shape else None,
                    args.frames)
    camera = Camera(read_offset(args.offset, frames.shape), args.gain, args.read_noise, args.em)
    layout, told, lost = lay_out(args, frames)
    wishes = calibration.Wishes(args.weights, args.fp_target, args.fill, args.prior_frames,
                                judge.Limits(infidelity=args.max_infidelity,
                                             goodness=args.min_goodness))
    found = calibration.calibrate(frames, layout, camera, wishes)
    bad = tell_refused(found, args.drop_bad)
    if args.drop_bad and bad == layout.count:
        raise Trouble(f"{args.source}: no site is left; without --drop-bad all have the pooled "
                      "threshold")
    told = f"{told}, weights {args.weights}"
    text = sitesfile.sites_text(found, frames, told, args.drop_bad)
    if args.report:
        from caliblib.page import page
        dipformat.write_whole(args.report, page(found, frames, told))
    dipformat.write_whole(args.output, text)
    tell_outcome(args, found, frames, told, bad)
    return 1 if bad or lost or frames.bad else 0


if __name__ == "__main__":
    sys.exit(dipformat.run_tool(main))
