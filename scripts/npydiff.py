#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compare two NumPy files of any size.

Says whether they are equal, or how they differ: in shape, in dtype, or in how many elements, by
how much at most and where first. Structured arrays, as our segments, are compared field by
field."""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

import dipformat
from dipformat import Trouble

CHUNK_BYTES = 1 << 24


def load(path):
    """The array of an .npy file, mapped rather than read."""
    with open(path, "rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise Trouble(f"{path}: not an .npy file; expected it to start with \\x93NUMPY")
    cut = f"{path}: {os.path.getsize(path)} bytes, less than its header promises; it is cut short"
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "mmap length" in str(error):
            raise Trouble(cut) from error
        if "mmap offset" not in str(error) and "empty file" not in str(error):
            raise Trouble(f"{path}: cannot be mapped: {error}") from error
    except (SyntaxError, TypeError, EOFError) as error:
        raise Trouble(f"{path}: its header is damaged: {error}") from error
    # Nothing follows the header: right for an array without elements, which cannot be mapped.
    try:
        return np.load(path, allow_pickle=False)
    except ValueError as error:
        raise Trouble(cut) from error


def chunks(a, b):
    """Pairs of equal pieces of about CHUNK_BYTES in C order: (flat index of the first, a, b)."""
    if a.flags.c_contiguous and b.flags.c_contiguous:
        a, b = a.reshape(-1), b.reshape(-1)
    elif a.ndim == 0:
        a, b = a.reshape(1), b.reshape(1)
    row = a[:1].size
    step = max(1, CHUNK_BYTES // max(1, row * a.dtype.itemsize))
    for first in range(0, len(a), step):
        piece = slice(first, first + step)
        yield first * row, np.asarray(a[piece]).reshape(-1), np.asarray(b[piece]).reshape(-1)


def largest_difference(a, b):
    """The largest |a - b|, exact for integers of any width; None where there is none to give."""
    if a.dtype.kind in "biu":
        # Unsigned subtraction wraps to the true distance even where a signed one overflows.
        high, low = np.maximum(a, b), np.minimum(a, b)
        return int((high.astype(np.uint64) - low.astype(np.uint64)).max())
    if a.dtype.kind in "fc":
        if a.dtype.kind == "f" and a.dtype.itemsize < 8:
            a, b = a.astype(np.float64), b.astype(np.float64)
        with np.errstate(all="ignore"):
            distance = np.abs(a - b)
        distance = distance[~np.isnan(distance)]
        return distance.max() if distance.size else None
    return None


def compare(a, b, equal_nan):
    """(number of differing elements, largest difference, flat index of the first one)."""
    number, largest, first = 0, None, None
    opaque = a.dtype.kind == "V" and a.dtype.names is None
    for start, x, y in chunks(a, b):
        if opaque:
            x = np.frombuffer(x.tobytes(), np.uint8).reshape(len(x), -1)
            y = np.frombuffer(y.tobytes(), np.uint8).reshape(len(y), -1)
            different = (x != y).any(axis=1)
        else:
            different = x != y
            if equal_nan and x.dtype.kind in "fcmM":
                different &= ~((x != x) & (y != y))
        if not different.any():
            continue
        number += int(np.count_nonzero(different))
        if first is None:
            first = start + int(np.argmax(different))
        piece = None if opaque else largest_difference(x[different], y[different])
        if piece is not None:
            largest = piece if largest is None else max(largest, piece)
    return number, largest, first


def describe(a, b, equal_nan):
    """One line on how a and b differ, None when they are equal."""
    number, largest, first = compare(a, b, equal_nan)
    if number == 0:
        return None
    where = np.unravel_index(first, a.shape)
    text = f"{number} of {a.size} differ"
    if largest is not None:
        text += f", by at most {largest}"
    place = ", ".join(str(int(n)) for n in where)
    values = f": {a[where]} and {b[where]}" if a.dtype.kind != "V" else ""
    return f"{text}, first at [{place}]{values}"


def field_names(a, names):
    """The fields to compare, None for the whole of a plain array."""
    if not names:
        return a.dtype.names
    for name in names:
        if name not in (a.dtype.names or ()):
            has = ", ".join(a.dtype.names) if a.dtype.names else "none, being a plain array"
            raise Trouble(f"--field {name}: no such field; the files have {has}")
    return names


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Exit status: 0 equal, 1 different, 2 trouble.")
    parser.add_argument("a", metavar="A", type=Path)
    parser.add_argument("b", metavar="B", type=Path)
    parser.add_argument("--equal-nan", action="store_true", help="a NaN equals a NaN")
    parser.add_argument("--field", metavar="NAME", action="append",
                        help="of structured arrays compare only this field (again and again)")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing when equal")
    return parser.parse_args()


def main():
    """Compare the files that the command line names."""
    args = arguments()
    a, b = load(args.a), load(args.b)
    pair = f"{args.a} and {args.b}"
    if a.shape != b.shape:
        print(f"{pair}: shapes differ: {a.shape} and {b.shape}")
        return 1
    if a.dtype != b.dtype:
        print(f"{pair}: dtypes differ: {a.dtype} and {b.dtype}")
        return 1
    names = field_names(a, args.field)
    if names is None:
        lines = [describe(a, b, args.equal_nan)]
    else:
        lines = []
        for name in names:
            line = describe(a[name], b[name], args.equal_nan)
            lines.append(line and f"field {name}: {line}")
    lines = [line for line in lines if line]
    for line in lines:
        print(f"{pair}: {line}")
    if not lines and not args.quiet:
        print(f"{pair}: equal, {a.dtype if names is None else ', '.join(names)} {a.shape}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(dipformat.run_tool(main))
