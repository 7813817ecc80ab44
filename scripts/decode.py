#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Decode an archive segment, or every segment of a run, into plain NumPy files.

Each good frame becomes frame_<seq, 12 digits>.npy; all of them together stack.npy (N, H, W), in
the order of the archive, with their numbers in seq.npy. Every checksum is checked. Bad records
are listed on stderr and left out."""

import argparse
import collections
import os
import re
import sys
from pathlib import Path

import numpy as np

import dipformat
from dipformat import BadData, Trouble, complain


class Stack:
    """stack.npy and seq.npy, grown frame by frame: the header is written last, in the room kept
    for it, under a name that nobody takes for a finished file."""

    ROOM = 128

    def __init__(self, folder):
        self.folder = folder
        self.part = folder / "stack.npy.part"
        self.file = open(self.part, "wb")
        self.file.write(bytes(self.ROOM))

    def add(self, image):
        """Append one frame."""
        self.file.write(image.tobytes())

    def finish(self, shape, seqs):
        """Write the header, give the file its name, write seq.npy."""
        text = f"{{'descr': '<u2', 'fortran_order': False, 'shape': {shape}, }}"
        length = self.ROOM - 10
        self.file.seek(0)
        self.file.write(b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little"))
        self.file.write(text.ljust(length - 1).encode() + b"\n")
        self.file.close()
        self.part.rename(self.folder / "stack.npy")
        np.save(self.folder / "seq.npy", np.array(seqs, dtype="<u8"))

    def abandon(self):
        """Remove what there is of it."""
        self.file.close()
        self.part.unlink(missing_ok=True)


class Decoder:
    """Takes segments one by one; shape: that of the first; seqs: of the good frames so far; bad:
    records left out; faults: other complaints that make the archive bad."""

    def __init__(self, folder, frames, stack):
        self.folder = folder
        self.frames = frames
        self.stack = stack
        self.shape = None
        self.run_id = None
        self.seqs = []
        self.seen = set()
        self.bad = 0
        self.faults = 0
        self.notes = []

    def _fault(self, path, text):
        complain(f"{path}: {text}")
        self.faults += 1

    def take(self, segment):
        """Decode one segment."""
        shape = segment.height, segment.width
        if self.shape not in (None, shape):
            raise BadData(f"{segment.path}: frames of {shape[0]}x{shape[1]}; expected "
                          f"{self.shape[0]}x{self.shape[1]} as in the segments before it; "
                          "decode it alone")
        self.shape = shape
        for fault in segment.faults:
            self._fault(segment.path, fault)
        seq_at = {}
        for record in segment:
            if self._take_record(segment, record):
                seq_at[record.offset] = record.seq
        if isinstance(segment, dipformat.Segment):
            self._compare_run(segment)
            self._compare_index(segment, seq_at)
            if segment.written < segment.records:
                self.notes.append(f"{segment.path.name} is not closed: {segment.written} of "
                                  f"{segment.records} records written")
        elif not segment.indexed:
            self.notes.append(f"{segment.path.name} has no index: numbered by position")

    def _take_record(self, segment, record):
        fault = record.fault
        if fault is None and record.seq in self.seen:
            fault = f"seq {record.seq} a second time; expected each once"
        if fault is not None:
            complain(f"{segment.path}: record {record.index} at byte {record.offset}: {fault}; "
                     "left out")
            self.bad += 1
            return False
        self.seen.add(record.seq)
        self.seqs.append(record.seq)
        if self.frames:
            np.save(self.folder / f"frame_{record.seq:012d}.npy", record.image)
        if self.stack:
            self.stack.add(record.image)
        return True

    def _compare_run(self, segment):
        if segment.run_id is None:
            return
        if self.run_id not in (None, segment.run_id):
            self._fault(segment.path, f"run_id {segment.run_id:#x}; expected {self.run_id:#x} as "
                        "in the segments before it; it is of another run")
        self.run_id = segment.run_id

    def _compare_index(self, segment, seq_at):
        faults, unnamed = dipformat.check_index(segment, seq_at)
        for fault in faults:
            self._fault(segment.path, fault)
        if unnamed:
            self.notes.append(f"{dipformat.index_path(segment.path).name} lacks {unnamed} frames")

    def summary(self):
        """Frames, their numbers, the gaps between them, bad records."""
        if not self.seqs:
            return f"0 frames, {self.bad} bad records"
        text = (f"{len(self.seqs)} frames of {self.shape[0]}x{self.shape[1]}, "
                f"seq {min(self.seqs)}..{max(self.seqs)}")
        # Every Nth frame may have been archived: N is the commonest distance, the smaller of two.
        steps = np.diff(np.array(sorted(self.seqs), dtype=np.uint64))
        counts = collections.Counter(int(step) for step in steps)
        usual = min(counts, key=lambda step: (-counts[step], step), default=1)
        gaps = {step: count for step, count in counts.items() if step > usual}
        if usual > 1:
            text += f" by {usual}"
        text += f", {sum(gaps.values())} gaps"
        if gaps:
            missing = sum((step - 1) // usual * count for step, count in gaps.items())
            text += f" ({missing} frames missing)"
        return f"{text}, {self.bad} bad records"


def prepare_folder(folder, force):
    """Make the folder; frames of an earlier decoding must not mix with ours."""
    folder.mkdir(parents=True, exist_ok=True)
    pattern = re.compile(r"frame_\d{12,}\.npy|stack\.npy|seq\.npy")
    old = sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))
    if old and not force:
        raise Trouble(f"{folder}: it already holds {old[0].name}; expected no decoded frames; "
                      "name another -o DIR, or give --force to replace them")
    for path in old:
        path.unlink()


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Exit status: 0 all good, 1 bad records or a damaged archive, 2 wrong usage or "
        "nothing readable. With --no-frames --no-stack it only checks.")
    parser.add_argument("source", metavar="SEGMENT|RUN", type=Path,
                        help="a segment (.npy or .bin), or the folder of a run")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path,
                        help="where to write (default: SOURCE without suffix, plus .decoded)")
    parser.add_argument("--shape", metavar="HxW",
                        help="rows x columns of a frame; needed for raw segments (.bin)")
    parser.add_argument("--frames", action=argparse.BooleanOptionalAction, default=True,
                        help="write a file for each frame")
    parser.add_argument("--stack", action=argparse.BooleanOptionalAction, default=True,
                        help="write stack.npy and seq.npy")
    parser.add_argument("--force", action="store_true",
                        help="replace the frames of an earlier decoding in DIR")
    return parser.parse_args()


def find_segments(source):
    """The paths to decode, and the number of complaints about their row."""
    if not source.is_dir():
        return [source], 0
    paths, missing = dipformat.list_segments(source)
    if not paths:
        raise Trouble(f"{source}: no segment in it; expected files like <prefix>_000000.npy")
    for number in missing:
        complain(f"{source}: segment _{number:06d} is missing; expected all up to "
                 f"{paths[-1].name}")
    return paths, len(missing)


def decode(paths, shape, decoder):
    """Give every segment to the decoder; 2 when one of several could not be read, else 0."""
    status = 0
    for path in paths:
        try:
            decoder.take(dipformat.open_segment(path, shape))
        except (Trouble, BadData) as error:
            if len(paths) == 1:
                raise
            complain(error)
            status = max(status, 1 if isinstance(error, BadData) else 2)
    return status


def main():
    """Decode what the command line names."""
    args = arguments()
    shape = dipformat.parse_shape(args.shape) if args.shape else None
    paths, row_faults = find_segments(args.source)
    if len(paths) == 1:
        dipformat.open_segment(paths[0], shape)  # nothing is made for what cannot be read
    source = Path(os.path.abspath(args.source))
    folder = args.output or source.with_name(
        (source.name if source.is_dir() else source.stem) + ".decoded")
    if args.frames or args.stack:
        prepare_folder(folder, args.force)
    stack = Stack(folder) if args.stack else None
    decoder = Decoder(folder, args.frames, stack)
    try:
        status = decode(paths, shape, decoder)
        if stack:
            stack.finish((len(decoder.seqs), *(decoder.shape or (0, 0))), decoder.seqs)
    except BaseException:
        if stack:
            stack.abandon()
        raise
    text = [decoder.summary(), *decoder.notes]
    if args.frames or args.stack:
        text.append(f"in {folder}")
    print(f"decode.py: {args.source}: " + ", ".join(text))
    return max(status, 1 if decoder.bad or decoder.faults or row_faults else 0)


if __name__ == "__main__":
    sys.exit(dipformat.run_tool(main))
