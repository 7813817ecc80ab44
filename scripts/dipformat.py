# SPDX-License-Identifier: BSD-3-Clause
"""The archive format of dma-image-processor: segments, their records, their checksum, their index.

An `npy` segment is a NumPy file: a version 1 header of exactly HEADER_BYTES bytes, then records of
one fixed stride. A record is the image, then the trailer (TRAILER), then padding. A `raw` segment
(.bin) is bare frames back to back. Either may have an index beside it: lines of "seq offset".
Everything is read with plain reads, not through mmap: a segment may be cut while it is read.
"""

import argparse
import ast
import functools
import os
import re
import sys
import warnings
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

HEADER_BYTES = 4096
MAGIC = int.from_bytes(b"DIPF", "little")
VERSION = 1
FLAG_CRC = 1
TRAILER = [
    ("magic", "<u4"), ("version", "<u2"), ("flags", "<u2"), ("seq", "<u8"),
    ("timestamp_ns", "<u8"), ("run_id", "<u8"), ("length", "<u4"), ("crc32c", "<u4"),
]
_TRAILER_DTYPE = np.dtype(TRAILER)
TRAILER_BYTES = _TRAILER_DTYPE.itemsize
_CRC_FIELD_BYTES = 4
# Bytes handled at once: large enough to make NumPy's cost per call small, small enough to stay
# in a core's cache.
_BATCH_BYTES = 1 << 20


class Trouble(Exception):
    """Cannot go on: wrong usage, or a file that cannot be read. Exit status 2."""


class BadData(Exception):
    """The data was read and is not what it should be. Exit status 1."""


def run_tool(work):
    """Run work() as a program: its exit status, with every foreseen failure told in one line."""
    name = os.path.basename(sys.argv[0])
    try:
        return work()
    except (Trouble, BadData) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1 if isinstance(error, BadData) else 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        print(f"{name}: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"{name}: out of memory: {error}", file=sys.stderr)
        return 2


def write_whole(path, text):
    """A file appears whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def number(low, high, kind=float):
    """An argparse type: a number from low to high."""
    def parse(text):
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text}: expected {low:g}..{high:g}")
        return value
    parse.__name__ = "number" if kind is float else "whole number"
    return parse


def complain(line):
    """One line on stderr, under the name of the program."""
    print(f"{os.path.basename(sys.argv[0])}: {line}", file=sys.stderr)


def parse_shape(text, option="--shape", example="300x300"):
    """"HxW", what that option says, as (H, W)."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not match or not all(1 <= int(n) <= 65535 for n in match.groups()):
        raise Trouble(f"{option} {text}: expected HxW, rows x columns, each 1..65535, as {example}")
    return int(match[1]), int(match[2])


def parse_grid(option, text):
    """The six numbers of a grid of boxes, as in the pois group of the configuration, ends
    exclusive: (row_start, col_start, row_end, col_end, height, width) with a box in it."""
    fields = text.split(",")
    if len(fields) != 6 or not all(re.fullmatch(r"\s*\d{1,5}\s*", field) for field in fields):
        raise Trouble(f"{option} {text}: expected six numbers "
                      "row_start,col_start,row_end,col_end,roi_h,roi_w")
    row_start, col_start, row_end, col_end, height, width = map(int, fields)
    if height == 0 or width == 0 or row_start >= row_end or col_start >= col_end:
        raise Trouble(f"{option} {text}: no box in it; expected start < end and boxes of 1x1 or "
                      "more")
    return row_start, col_start, row_end, col_end, height, width


# CRC-32C (Castagnoli, reflected, as in RFC 3720). The checksum is linear over GF(2), so the words
# of a message can be merged pairwise, all pairs at once: merged = zeros(left, bytes of right) ^
# right, where zeros(x, n) is the register x after n zero bytes. zeros is a 32 x 32 bit matrix,
# kept as its 32 columns; squaring it doubles n.

_POLYNOMIAL = 0x82F63B78


def _multiply(matrix, vectors):
    product = np.zeros_like(vectors)
    for bit in range(32):
        product ^= np.where((vectors >> np.uint32(bit)) & np.uint32(1), matrix[bit], np.uint32(0))
    return product


@functools.lru_cache(maxsize=None)
def _zeros_matrix(power):
    """The matrix of 2**power zero bits."""
    if power == 0:
        columns = [_POLYNOMIAL] + [1 << (bit - 1) for bit in range(1, 32)]
        return np.array(columns, dtype="<u4")
    half = _zeros_matrix(power - 1)
    return _multiply(half, half)


@functools.lru_cache(maxsize=None)
def _zeros_tables(power):
    """The same matrix as two tables, of the low and of the high 16 bits of the register."""
    matrix = _zeros_matrix(power)
    tables = []
    for first in (0, 16):
        table = np.zeros(1, dtype="<u4")
        for bit in range(first, first + 16):
            table = np.concatenate((table, table ^ matrix[bit]))
        tables.append(table)
    return tables


@functools.lru_cache(maxsize=64)
def _start_value(length):
    """What the initial value ~0 contributes to the checksum of length bytes."""
    register = np.array([0xFFFFFFFF], dtype="<u4")
    for bit in range((length * 8).bit_length()):
        if (length * 8) >> bit & 1:
            register = _multiply(_zeros_matrix(bit), register)
    return register[0]


def _zeros(registers, power):
    low, high = _zeros_tables(power)
    halves = np.ascontiguousarray(registers).view("<u2").reshape(*registers.shape, 2)
    return low[halves[..., 0]] ^ high[halves[..., 1]]


def _crc32c_batch(rows):
    count, length = rows.shape
    words = -(-length // 4)
    if words == 0:
        return np.zeros(count, dtype="<u4")
    # Zero bytes in front change nothing while the initial value is taken as zero.
    padded = np.zeros((count, words * 4), dtype=np.uint8)
    padded[:, words * 4 - length:] = rows
    registers = padded.view("<u4")
    power = 5
    while registers.shape[1] > 1:
        odd = registers.shape[1] & 1
        merged = _zeros(registers[:, odd::2], power) ^ registers[:, odd + 1::2]
        if odd:
            merged = np.concatenate((registers[:, :1], merged), axis=1)
        registers = merged
        power += 1
    return ~(_zeros(registers, 5)[:, 0] ^ _start_value(length))


def crc32c_rows(rows):
    """The CRC-32C of every row of a 2-D array of bytes."""
    batch = max(1, _BATCH_BYTES // max(1, rows.shape[1]))
    parts = [_crc32c_batch(rows[i:i + batch]) for i in range(0, len(rows), batch)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype="<u4")


def crc32c(data):
    """The CRC-32C of a bytes-like object, as an int."""
    return int(crc32c_rows(np.frombuffer(data, dtype=np.uint8).reshape(1, -1))[0])


def record_dtype(height, width, stride):
    """The structured dtype of a record of stride bytes."""
    pad = stride - height * width * 2 - TRAILER_BYTES
    fields = [("image", "<u2", (height, width))] + TRAILER
    return np.dtype(fields + ([("pad", f"|V{pad}")] if pad else []))


class Record(NamedTuple):
    """One record of a segment. fault: why it is bad, None when it is good."""
    index: int
    offset: int
    seq: Optional[int]
    image: Optional[np.ndarray]
    fault: Optional[str]


def _header_literal(path, head):
    """The dict of an .npy header, from the first HEADER_BYTES bytes of the file."""
    if head[:6] != b"\x93NUMPY":
        raise Trouble(f"{path}: not an .npy file; expected it to start with \\x93NUMPY")
    length_bytes = 2 if head[6:7] == b"\x01" else 4
    length = int.from_bytes(head[8:8 + length_bytes], "little")
    try:
        start = 8 + length_bytes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged text: it is judged by what it says
            literal = ast.literal_eval(head[start:start + length].decode("latin1"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        literal = None
    if not isinstance(literal, dict):
        raise Trouble(f"{path}: its header is not a Python dict; expected an archive segment; "
                      "the file is damaged or cut")
    return literal


def is_segment(path):
    """Whether an .npy file is one of our segments rather than a plain array."""
    with open(path, "rb") as file:
        literal = _header_literal(path, file.read(HEADER_BYTES))
    return isinstance(literal.get("descr"), list)


def _parse_header(path, head):
    """(height, width, stride, promised records) of an npy segment. Nothing but the exact layout
    passes, so that no flipped bit of the header does."""
    literal = _header_literal(path, head)
    descr = literal.get("descr")
    if not isinstance(descr, list):
        raise Trouble(f"{path}: a plain array of {descr!r}; expected an archive segment; "
                      "it needs no decoding")
    prefix = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    if len(head) != HEADER_BYTES or head[:10] != prefix or head[-1:] != b"\n":
        raise Trouble(f"{path}: its header is not that of a segment; expected version 1.0 and "
                      f"exactly {HEADER_BYTES} bytes; it is damaged")
    shape = literal.get("shape")
    try:
        (name, kind, (height, width)), pad = descr[0], descr[1 + len(TRAILER):]
        pad_bytes = int(re.fullmatch(r"\|V([1-9]\d{0,6})", dict(pad)["pad"])[1]) if pad else 0
        good = (set(literal) == {"descr", "fortran_order", "shape"} and (name, kind) ==
                ("image", "<u2") and descr[1:1 + len(TRAILER)] == TRAILER and len(pad) <= 1 and
                literal["fortran_order"] is False and type(shape) is tuple and len(shape) == 1 and
                all(type(n) is int for n in (height, width, *shape)) and
                1 <= height <= 65535 and 1 <= width <= 65535 and shape[0] >= 0)
    except (ValueError, TypeError, KeyError, IndexError):
        good = False
    if not good:
        raise Trouble(f"{path}: its dtype is not that of an archive record; expected image (H, W), "
                      f"{', '.join(field for field, _ in TRAILER)}, pad; it is damaged")
    return height, width, height * width * 2 + TRAILER_BYTES + pad_bytes, shape[0]


def _read_exactly(file, path, size):
    data = file.read(size)
    if len(data) != size:
        raise Trouble(f"{path}: it became shorter while it was read; try again")
    return data


class Segment:
    """An npy segment. height, width, stride; promised: records by its header; records: whole ones
    in the file; written: those up to the last one that is there; run_id: that of the good records,
    None before one was read; faults: what is wrong with the file as a whole."""

    def __init__(self, path):
        self.path = Path(path)
        self.faults = []
        self.run_id = None
        with open(path, "rb") as file:
            head = file.read(HEADER_BYTES)
            self.height, self.width, self.stride, self.promised = _parse_header(path, head)
            size = os.fstat(file.fileno()).st_size
            self.image_bytes = self.height * self.width * 2
            self.records, self.rest = divmod(size - HEADER_BYTES, self.stride)
            self.written = self._find_end(file)
        expected = HEADER_BYTES + self.promised * self.stride
        if size != expected:
            word = "cut short" if size < expected else "more than its header says"
            self.faults.append(f"{word}: {size} bytes, {self.records} whole records; expected "
                               f"{expected} bytes, {self.promised} records")

    def _find_end(self, file):
        # A record not written yet has magic 0. Writes may be completed out of order, so the end
        # is after the last record that is there; a hole before it is a bad record, not the end.
        for index in reversed(range(self.records)):
            magic = os.pread(file.fileno(), 4, self.offset(index) + self.image_bytes)
            if magic != bytes(4):
                return index + 1
        return 0

    def offset(self, index):
        """Where the image of a record starts in the file."""
        return HEADER_BYTES + index * self.stride

    def read_image(self, index):
        """One image, unchecked."""
        with open(self.path, "rb") as file:
            file.seek(self.offset(index))
            data = _read_exactly(file, self.path, self.image_bytes)
        return np.frombuffer(data, dtype="<u2").reshape(self.height, self.width)

    def __iter__(self):
        """Every written record in order of the file, each checked."""
        # The first record that is good by itself says whose run this is: a damaged run_id in the
        # very first record must not condemn all the others.
        self.run_id = None
        batch = max(1, _BATCH_BYTES // self.stride)
        with open(self.path, "rb") as file:
            file.seek(HEADER_BYTES)
            for first in range(0, self.written, batch):
                count = min(batch, self.written - first)
                data = np.frombuffer(_read_exactly(file, self.path, count * self.stride), np.uint8)
                rows = data.reshape(count, self.stride)
                end = self.image_bytes + TRAILER_BYTES
                trailers = np.ascontiguousarray(rows[:, self.image_bytes:end]).view(_TRAILER_DTYPE)
                sums = crc32c_rows(rows[:, :end - _CRC_FIELD_BYTES])
                parts = zip(rows, trailers[:, 0], sums)
                for index, (row, trailer, crc) in enumerate(parts, first):
                    yield self._record(index, row, trailer, crc)
        if self.rest and self.written == self.records:
            yield Record(self.written, self.offset(self.written), None, None,
                         f"cut short: {self.rest} bytes; expected {self.stride}")

    def record(self, index):
        """One record, checked by itself and against the run of those read before."""
        with open(self.path, "rb") as file:
            file.seek(self.offset(index))
            row = np.frombuffer(_read_exactly(file, self.path, self.stride), np.uint8)
        end = self.image_bytes + TRAILER_BYTES
        trailer = row[self.image_bytes:end].view(_TRAILER_DTYPE)[0]
        return self._record(index, row, trailer, crc32c(row[:end - _CRC_FIELD_BYTES]))

    def _record(self, index, row, trailer, crc):
        fault = self._fault(trailer, int(crc))
        if fault is None:
            self.run_id = int(trailer["run_id"])
        image = row[:self.image_bytes].view("<u2").reshape(self.height, self.width)
        return Record(index, self.offset(index), int(trailer["seq"]), image, fault)

    def _fault(self, trailer, crc):
        """Why a record is bad, or None."""
        if trailer["magic"] == 0:
            return "never written; expected a record, as later ones are there"
        if trailer["magic"] != MAGIC:
            return f"magic {trailer['magic']:#010x}; expected {MAGIC:#010x} (DIPF)"
        if trailer["version"] != VERSION:
            return f"version {trailer['version']}; expected {VERSION}"
        if trailer["length"] != self.image_bytes:
            return f"length {trailer['length']}; expected {self.image_bytes}"
        if trailer["flags"] & FLAG_CRC:
            if trailer["crc32c"] != crc:
                return f"crc32c {trailer['crc32c']:#010x}; expected {crc:#010x}"
        elif trailer["flags"] or trailer["crc32c"]:
            # One flipped bit must not be able to switch the check off.
            return (f"flags {trailer['flags']:#06x}, crc32c {trailer['crc32c']:#010x}; expected "
                    "both 0, or bit 0 of flags for a crc32c")
        if self.run_id is not None and trailer["run_id"] != self.run_id:
            return f"run_id {trailer['run_id']:#x}; expected {self.run_id:#x}; it is of another run"
        return None


class RawSegment:
    """A raw segment: frames of height x width, numbered by its index, by position without one."""

    def __init__(self, path, shape):
        self.path = Path(path)
        self.faults = []
        if shape is None:
            raise Trouble(f"{path}: a raw segment does not tell its shape; give --shape HxW")
        self.height, self.width = shape
        self.image_bytes = self.height * self.width * 2
        size = os.stat(path).st_size
        self.records, rest = divmod(size, self.image_bytes)
        if rest:
            raise BadData(f"{path}: {size} bytes are {self.records} frames of {self.height}x"
                          f"{self.width} and a rest of {rest} bytes; expected whole frames of "
                          f"{self.image_bytes}; check --shape, or the file is cut")
        self.written = self.promised = self.records
        self.indexed = index_path(path).exists()
        self.seqs = dict(enumerate(range(self.records)))
        if self.indexed:
            self._number_by_index()

    def _number_by_index(self):
        self.seqs = {}
        lines, self.faults = read_index(index_path(self.path))
        for number, seq, offset in lines:
            index, rest = divmod(offset, self.image_bytes)
            if rest or index >= self.records or index in self.seqs:
                self.faults.append(f"index line {number}: offset {offset}; expected a multiple of "
                                   f"{self.image_bytes} inside the file, each once")
            else:
                self.seqs[index] = seq

    def read_image(self, index):
        """One image."""
        with open(self.path, "rb") as file:
            file.seek(index * self.image_bytes)
            data = _read_exactly(file, self.path, self.image_bytes)
        return np.frombuffer(data, dtype="<u2").reshape(self.height, self.width)

    def record(self, index):
        """One frame; one that the index does not name is bad."""
        seq = self.seqs.get(index)
        fault = "not in the index; expected a line for each frame" if seq is None else None
        return Record(index, index * self.image_bytes, seq, self.read_image(index), fault)

    def __iter__(self):
        """Every frame in order of the file."""
        for index in range(self.records):
            yield self.record(index)


def index_path(path):
    """The index that belongs to a segment."""
    return Path(path).with_suffix(".idx")


def read_index(path):
    """([(line number, seq, offset)], [fault]) of an index."""
    lines, faults = [], []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            match = re.fullmatch(rb"(\d{1,20}) (\d{1,20})\n", line)
            if match:
                lines.append((number, int(match[1]), int(match[2])))
            else:
                text = line[:40].decode("ascii", "backslashreplace")
                faults.append(f"index line {number}: {text!r}; expected \"seq offset\"")
    return lines, faults


def check_index(segment, seq_at):
    """What the index of an npy segment says against its good records, {offset: seq}: a list of
    faults and the number of records that it does not name."""
    path = index_path(segment.path)
    if not path.exists():
        return [], 0
    lines, faults = read_index(path)
    for number, seq, offset in lines:
        rest = (offset - HEADER_BYTES) % segment.stride
        if rest or offset < HEADER_BYTES or offset >= segment.offset(segment.records):
            faults.append(f"index line {number}: offset {offset}; expected that of a record")
        elif offset in seq_at and seq_at[offset] != seq:
            faults.append(f"index line {number}: seq {seq}; the record there has {seq_at[offset]}")
    return faults, len(set(seq_at) - {offset for _, _, offset in lines})


def open_segment(path, shape=None):
    """A segment by its suffix."""
    if Path(path).suffix == ".bin":
        return RawSegment(path, shape)
    if Path(path).suffix == ".npy":
        return Segment(path)
    raise Trouble(f"{path}: not a segment; expected a name that ends in .npy or .bin")


def list_segments(folder):
    """The segments of a run's folder in order, and the numbers that are missing between them."""
    found = {}
    for path in Path(folder).iterdir():
        match = re.fullmatch(r"(.+)_(\d{6,})\.(npy|bin)", path.name)
        # A decoded frame is frame_ and 12 digits.
        if match and not re.fullmatch(r"frame_\d{12}\.npy", path.name):
            found[match[1], match[3], int(match[2])] = path
    keys = sorted(found)
    names = {key[:2] for key in keys}
    if len(names) > 1:
        listed = ", ".join(f"{prefix}_*.{suffix}" for prefix, suffix in sorted(names))
        raise Trouble(f"{folder}: segments of several kinds: {listed}; expected one run; "
                      "name one segment")
    present = {key[2] for key in keys}
    missing = sorted(set(range(max(present, default=-1) + 1)) - present)
    return [found[key] for key in keys], missing
