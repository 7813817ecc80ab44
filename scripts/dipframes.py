# SPDX-License-Identifier: BSD-3-Clause
"""Frames, wherever they are: plain .npy files of one frame or a stack, archive segments, and
folders of either. A source is one file; its pixels are read only when they are asked for."""

import re
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np

import dipformat
from dipformat import Trouble, complain


class Frame(NamedTuple):
    """One frame: a name for it, its number, and how to get its pixels."""
    name: str
    seq: int
    pixels: Callable


class Source(NamedTuple):
    """One file and its frames."""
    path: Path
    frames: list


def load_array(path):
    """The 2-D or 3-D array of numbers in an .npy file, mapped."""
    with open(path, "rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise Trouble(f"{path}: not an .npy file: it does not begin as one; make one "
                          "with numpy.save")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, SyntaxError, TypeError, EOFError) as error:
        raise Trouble(f"{path}: not a readable .npy file: {error}") from error
    if not isinstance(array, np.ndarray):
        raise Trouble(f"{path}: not an .npy file; expected one array")
    if array.dtype.kind not in "biuf":
        raise Trouble(f"{path}: dtype {array.dtype}; expected integers or floats")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise Trouble(f"{path}: shape {array.shape}; expected (H, W) or (N, H, W), nothing empty")
    return array


def plain_source(path, first):
    """The frames of a plain .npy file; first: the number of its first frame in name order."""
    # Mapped anew for each frame: to keep every file of a long folder mapped takes a descriptor
    # each.
    array = load_array(path)
    match = re.fullmatch(r"frame_(\d{12,})", path.stem)
    if array.ndim == 2:
        seq = int(match[1]) if match else first
        return Source(path, [Frame(path.stem, seq, lambda: load_array(path))])
    seqs = range(first, first + len(array))
    beside = path.with_name("seq.npy")
    if path.name == "stack.npy" and beside.exists():
        seqs = np.load(beside, allow_pickle=False)
        if seqs.shape != (len(array),) or seqs.dtype.kind != "u":
            raise Trouble(f"{beside}: {seqs.dtype} {seqs.shape}; expected the {len(array)} numbers "
                          f"of the frames of {path.name}")
    return Source(path, [Frame(f"{path.stem}_{seq:012d}", seq, lambda i=i: load_array(path)[i])
                         for i, seq in enumerate(map(int, seqs))])


def segment_source(path, shape):
    """The good frames of a segment, and the number of bad ones."""
    segment = dipformat.open_segment(path, shape)
    faults = [f"{path}: {fault}" for fault in segment.faults]
    frames = []
    for record in segment:
        if record.fault:
            faults.append(f"{path}: record {record.index}: {record.fault}; left out")
        else:
            frames.append(Frame(f"frame_{record.seq:012d}", record.seq,
                                lambda index=record.index: segment.read_image(index)))
    for fault in faults:
        complain(fault)
    return Source(path, frames), len(faults)


def list_files(source):
    """The files of a folder that hold frames, in name order."""
    if not source.is_dir():
        return [source]
    names = sorted(path.name for path in source.iterdir()
                   if path.suffix in (".npy", ".bin") and not path.name.startswith("."))
    # What decode.py writes: the same frames must not be drawn twice, and seq.npy is none.
    if "stack.npy" in names and "seq.npy" in names:
        names.remove("seq.npy")
        if any(re.fullmatch(r"frame_\d{12,}\.npy", name) for name in names):
            names.remove("stack.npy")
    if not names:
        raise Trouble(f"{source}: no .npy file in it; expected frames or segments")
    return [source / name for name in names]


def find_sources(source, shape):
    """Every file of the source, and the number of bad records."""
    sources, bad, count = [], 0, 0
    for path in list_files(source):
        if path.suffix == ".bin" or (path.suffix == ".npy" and dipformat.is_segment(path)):
            found, faults = segment_source(path, shape)
            bad += faults
        else:
            found = plain_source(path, count)
        count += len(found.frames)
        sources.append(found)
    return sources, bad
