#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Turn frames into 8-bit PNGs.

SRC is an .npy file (2-D, or a 3-D stack), a folder of them, an archive segment or the folder of a
run. With --sites every site is drawn as a box, the occupied ones in a second colour: by the
results file of a run (text or npy), or by --threshold. npy results bring their sites along."""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

import dipformat
from dipformat import BadData, Trouble
from dipframes import Source, find_sources

EMPTY_COLOUR = (70, 110, 220)
OCCUPIED_COLOUR = (255, 190, 0)
# Percentiles of a long stack are those of this many of its frames, spread evenly.
SAMPLE_FRAMES = 64


def pick_frame(sources, seq):
    """Only the frame of that number."""
    for source in sources:
        frames = [frame for frame in source.frames if frame.seq == seq]
        if frames:
            return [Source(source.path, frames[:1])]
    seqs = [frame.seq for source in sources for frame in source.frames]
    has = f"seq {min(seqs)}..{max(seqs)}" if seqs else "no frame at all"
    raise Trouble(f"--frame {seq}: no such frame; the source has {has}")


def load_table(path):
    """The boxes of the table of the sites that stands beside npy results."""
    table = load_records(path, ("row", "col", "h", "w"))
    if len(table) == 0:
        raise BadData(f"{path}: no site in it; expected one or more")
    return list(zip(*(table[name].tolist() for name in ("row", "col", "h", "w"))))


def find_sites(text, results):
    """The boxes (row, col, height, width) that are asked for, or that the results bring along."""
    if text is not None:
        return load_table(Path(text)) if text.endswith(".npy") else parse_sites(text)
    if results is not None and results.suffix == ".npy":
        return load_table(results.with_name(results.stem + ".sites.npy"))
    return None


def parse_sites(text):
    """The grid of boxes, laid out as the pois group of the configuration does: ends exclusive."""
    row_start, col_start, row_end, col_end, height, width = dipformat.parse_grid("--sites", text)
    return [(row, col, height, width) for row in range(row_start, row_end, height)
            for col in range(col_start, col_end, width)]


def load_records(path, names):
    """The records of a structured .npy file, mapped; they have fields of these names."""
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, SyntaxError, TypeError, EOFError) as error:
        raise BadData(f"{path}: not a readable .npy file: {error}; see docs/results.md on results "
                      "after a loss of power") from error
    if records.ndim != 1 or not set(names) <= set(records.dtype.names or ()):
        raise BadData(f"{path}: {records.dtype} {records.shape}; expected records with the fields "
                      f"{', '.join(names)}")
    return records


def read_npy_results(path, sites):
    """The same of a file of NumPy records."""
    records = load_records(path, ("seq", "occupied", "bits"))
    if 8 * records.dtype["bits"].itemsize < len(sites):
        raise BadData(f"{path}: {8 * records.dtype['bits'].itemsize} bits; expected {len(sites)} "
                      "or more as --sites says")
    bits = np.unpackbits(records["bits"], axis=1, count=len(sites), bitorder="little").astype(bool)
    wrong = np.flatnonzero(bits.sum(axis=1) != records["occupied"])
    if len(wrong) > 0:
        first = wrong[0]
        raise BadData(f"{path}: record {first}: {records['occupied'][first]} sites occupied, but "
                      f"{bits[first].sum()} of the first {len(sites)} bits are set; expected the "
                      "sites of that run")
    return dict(zip(records["seq"].tolist(), bits))


def read_results(path, sites):
    """{seq: occupied or not, a bool for each site} of a results file."""
    if path.suffix == ".npy":
        return read_npy_results(path, sites)
    results = {}
    with open(path, encoding="ascii", errors="replace") as file:
        lines = file.read().splitlines()
    for number in range(0, len(lines), 2):
        match = re.fullmatch(r"\[frame (\d+)\] rois=(\d+)", lines[number])
        if not match:
            raise BadData(f"{path}: line {number + 1}: {lines[number][:40]!r}; expected "
                          "\"[frame SEQ] rois=N\"")
        if int(match[2]) != len(sites):
            raise BadData(f"{path}: line {number + 1}: rois={match[2]}; expected "
                          f"{len(sites)} as --sites says")
        bits = lines[number + 1] if number + 1 < len(lines) else ""
        if len(bits) != len(sites) or set(bits) - set("01"):
            raise BadData(f"{path}: line {number + 2}: {bits[:40]!r} of {len(bits)} characters; "
                          f"expected {len(sites)} characters 0 or 1")
        results[int(match[1])] = np.frombuffer(bits.encode(), dtype=np.uint8) == ord("1")
    return results


def count_sites(pixels, sites):
    """The sum of every box."""
    kind = np.float64 if pixels.dtype.kind == "f" else np.int64
    return np.array([pixels[row:row + height, col:col + width].sum(dtype=kind)
                     for row, col, height, width in sites])


def draw_sites(canvas, sites, occupied, scale):
    """Outline every box on an RGB canvas enlarged by scale, inside the box's own pixels."""
    for site, (row, col, height, width) in enumerate(sites):
        colour = OCCUPIED_COLOUR if occupied is not None and occupied[site] else EMPTY_COLOUR
        box = canvas[row * scale:(row + height) * scale, col * scale:(col + width) * scale]
        box[0] = box[-1] = colour
        box[:, 0] = box[:, -1] = colour


def find_contrast(source, low, high):
    """(black, white) of a file: what was asked for, else its percentiles 0.1 and 99.9."""
    if low is None or high is None:
        frames = source.frames
        chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), SAMPLE_FRAMES),
                                       dtype=int))
        values = np.concatenate([np.asarray(frames[i].pixels()).reshape(-1) for i in chosen])
        values = values[np.isfinite(values)]
        ends = np.percentile(values, (0.1, 99.9)) if values.size else (0.0, 1.0)
        low = float(ends[0]) if low is None else low
        high = float(ends[1]) if high is None else high
    return low, high if high > low else low + 1.0


def to_bytes(pixels, contrast):
    """Pixels as 0..255 between black and white; NaN is black."""
    low, high = contrast
    scaled = (np.asarray(pixels, dtype=np.float64) - low) * (255.0 / (high - low))
    return (np.nan_to_num(np.clip(scaled, 0, 255)) + 0.5).astype(np.uint8)


def show_progress(done, total):
    """A bar on the terminal, nothing anywhere else."""
    if not sys.stderr.isatty():
        return
    width = 40
    filled = width * done // total
    end = "\n" if done == total else ""
    print(f"\r[{'#' * filled}{'.' * (width - filled)}] {done}/{total}", end=end, file=sys.stderr,
          flush=True)


class Painter:
    """Turns frames into PNGs; unknown: frames that the results do not mention."""

    def __init__(self, folder, scale, sites, results, threshold):
        self.folder = folder
        self.scale = scale
        self.sites = sites
        self.results = results
        self.threshold = threshold
        self.unknown = 0

    def _occupied(self, frame, pixels):
        if self.threshold is not None:
            return count_sites(pixels, self.sites) >= self.threshold
        if self.results is None:
            return None
        if frame.seq not in self.results:
            self.unknown += 1
        return self.results.get(frame.seq)

    def paint(self, path, frame, contrast):
        """Write the PNG of one frame."""
        pixels = np.asarray(frame.pixels())
        canvas = to_bytes(pixels, contrast)
        canvas = canvas.repeat(self.scale, axis=0).repeat(self.scale, axis=1)
        if self.sites:
            for row, col, height, width in self.sites:
                if row + height > len(pixels) or col + width > pixels.shape[1]:
                    raise Trouble(f"{path}: a box of {height}x{width} at {row},{col} leaves the "
                                  f"frame of {pixels.shape[0]}x{pixels.shape[1]}; check --sites")
            canvas = np.stack([canvas] * 3, axis=2)
            draw_sites(canvas, self.sites, self._occupied(frame, pixels), self.scale)
        Image.fromarray(canvas).save(self.folder / f"{frame.name}.png")


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Exit status: 0 all drawn, 1 bad data (what is good is drawn), 2 wrong usage or "
        "nothing readable.")
    parser.add_argument("source", metavar="SRC", type=Path)
    parser.add_argument("-o", "--output", metavar="DIR", type=Path,
                        help="where to write (default: SRC without suffix, plus .png)")
    parser.add_argument("--min", type=float, help="the pixel value that is black (default: the "
                        f"percentile 0.1 of each file, of at most {SAMPLE_FRAMES} of its frames)")
    parser.add_argument("--max", type=float, help="the pixel value that is white (default: the "
                        "percentile 99.9)")
    parser.add_argument("--scale", metavar="N", type=int, default=1,
                        help="enlarge N times, nearest neighbour (default 1)")
    parser.add_argument("--frame", metavar="SEQ", type=int, help="only this frame")
    parser.add_argument("--sites", metavar="GRID|TABLE",
                        help="row_start,col_start,row_end,col_end,roi_h,roi_w; ends exclusive; or "
                        "the .sites.npy of a run (default: the one beside npy results)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--results", metavar="FILE", type=Path,
                     help="the results of the run, .txt or .npy, matched by frame number")
    how.add_argument("--threshold", metavar="T", type=float,
                     help="a site is occupied when its box sums up to T or more")
    parser.add_argument("--shape", metavar="HxW", help="of a frame, for raw segments (.bin)")
    args = parser.parse_args()
    alone = args.results is not None and args.results.suffix == ".npy"
    if (args.results or args.threshold is not None) and not args.sites and not alone:
        parser.error("--threshold and results as text need --sites")
    if not 1 <= args.scale <= 64:
        parser.error(f"--scale {args.scale}: expected 1..64")
    if args.min is not None and args.max is not None and args.min >= args.max:
        parser.error(f"--min {args.min:g} --max {args.max:g}: expected --min below --max")
    return args


def main():
    """Draw what the command line names."""
    args = arguments()
    sites = find_sites(args.sites, args.results)
    results = read_results(args.results, sites) if args.results else None
    sources, bad = find_sources(
        args.source, dipformat.parse_shape(args.shape) if args.shape else None)
    if args.frame is not None:
        sources = pick_frame(sources, args.frame)
    source = Path(os.path.abspath(args.source))
    folder = args.output or source.with_name(
        (source.name if source.is_dir() else source.stem) + ".png")
    folder.mkdir(parents=True, exist_ok=True)
    painter = Painter(folder, args.scale, sites, results, args.threshold)
    total, done, contrasts = sum(len(source.frames) for source in sources), 0, []
    for source in sources:
        if source.frames:
            contrasts.append(find_contrast(source, args.min, args.max))
        for frame in source.frames:
            painter.paint(source.path, frame, contrasts[-1])
            done += 1
            show_progress(done, total)
    text = f"{done} PNGs in {folder}"
    for word, ends in zip(("black", "white"), zip(*contrasts)):
        spread = f"..{max(ends):g}" if max(ends) > min(ends) else ""
        text += f", {word} {min(ends):g}{spread}"
    if painter.unknown:
        text += f", {painter.unknown} frames not in the results"
    print(f"image.py: {args.source}: {text}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(dipformat.run_tool(main))
