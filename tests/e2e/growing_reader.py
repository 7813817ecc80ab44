#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Reads an archive while it grows, as anybody may: numpy.load with mmap_mode="r", and the index.

Usage: growing_reader.py RUN FRAMES.npy
RUN is the folder of a run, FRAMES.npy the source's frames: frame seq is FRAMES[seq % count]. Until
its standard input ends, and once more after that, every line that an index has got is checked: its
record, the image, the checksum. Prints the number of frames; anything wrong ends it with status 1."""

import sys
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import dipformat  # noqa: E402, pylint: disable=wrong-import-position


def new_lines(path, done):
    """Whole lines behind the first `done` bytes: (bytes of them, array of seq and offset)."""
    try:
        with open(path, "rb") as file:
            file.seek(done)
            text = file.read()
    except FileNotFoundError:
        if done > 0:
            raise
        text = b""  # of a segment that was ready and not needed: it is removed at the end
    text = text[:text.rfind(b"\n") + 1]
    return len(text), np.array([line.split() for line in text.splitlines()], np.int64)


def check(segment, lines, frames):
    """The records of some index lines."""
    records = np.load(segment, mmap_mode="r")
    slots = (lines[:, 1] - 4096) // records.dtype.itemsize
    assert np.all(lines[:, 1] == 4096 + slots * records.dtype.itemsize)
    part = records[slots]
    assert np.array_equal(part["seq"], lines[:, 0]), f"{segment.name}: another frame"
    assert np.all(part["magic"] == dipformat.MAGIC)
    assert np.array_equal(part["image"], frames[lines[:, 0] % len(frames)]), segment.name
    covered = part["image"][0].nbytes + 36
    rows = part.view(np.uint8).reshape(len(part), -1)[:, :covered]
    assert np.array_equal(dipformat.crc32c_rows(rows), part["crc32c"]), f"{segment.name}: crc32c"


def look(folder, frames, done):
    """All that is new in a run."""
    for index in sorted(folder.glob("*.idx")):
        size, lines = new_lines(index, done.get(index, (0, 0))[0])
        if size == 0:
            continue
        check(index.with_suffix(".npy"), lines, frames)
        before = done.get(index, (0, 0))
        done[index] = (before[0] + size, before[1] + len(lines))


def main():
    """Read until standard input ends."""
    folder, frames, done = Path(sys.argv[1]), np.load(sys.argv[2]), {}
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    looks = 0
    while not ended.is_set():
        look(folder, frames, done)
        looks += 1
        time.sleep(0.02)
    look(folder, frames, done)
    print(sum(count for _, count in done.values()), looks)


main()
