#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compare the decisions of a run with the truth.

RESULTS is a results file of the program. TRUTH is what dma_sim wrote to truth=PATH, rows of seq and
occupied; or what simulate.py wrote, a row of bool for each frame of a source that starts over after
the last. Frames that were lost on the way are in the truth only, and are left out.

Printed are the rates of false positives (empty sites called occupied), false negatives (occupied
sites called empty) and their mean, and the infidelity, the share of wrong decisions, each with its
confidence interval (Wilson's score interval; of the mean, from the other two)."""

import argparse
import json
import math
import re
import statistics
import sys
from pathlib import Path

import numpy as np

import dipformat
from dipformat import BadData, Trouble

HEAD = re.compile(rb"\[frame (\d+)\] rois=(\d+)\n")


def read_results(path):
    """(seqs, occupied) of a results file."""
    data = Path(path).read_bytes()
    head = HEAD.match(data)
    if head is None:
        raise Trouble(f'{path}: no results; expected "[frame SEQ] rois=N" and a line of N '
                      "characters 0 or 1 for each frame")
    sites, seqs, rows, at = int(head[2]), [], [], 0
    while at < len(data):
        head = HEAD.match(data, at)
        bits = data[head.end():head.end() + sites + 1] if head else b""
        if head is None or int(head[2]) != sites or not re.fullmatch(rb"[01]*\n", bits) or \
                len(bits) != sites + 1:
            line = data.count(b"\n", 0, at) + 1
            raise Trouble(f'{path}:{line}: expected "[frame SEQ] rois={sites}" and a line of '
                          f"{sites} characters 0 or 1")
        seqs.append(int(head[1]))
        rows.append(np.frombuffer(bits, np.uint8, sites) == ord("1"))
        at = head.end() + sites + 1
    return np.array(seqs, np.uint64), np.array(rows)


def read_truth(path):
    """The seqs of the truth, None when it starts over after its last row, and the occupation."""
    try:
        truth = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise Trouble(f"{path}: {error}; expected an .npy file with the truth") from error
    if truth.dtype.names is None and truth.ndim == 2 and truth.dtype == bool:
        seqs, occupied = None, truth
    elif truth.dtype.names == ("seq", "occupied") and truth["occupied"].ndim == 2:
        seqs, occupied = truth["seq"], truth["occupied"] != 0
    else:
        raise Trouble(f"{path}: {truth.dtype} {truth.shape}; expected rows of seq and occupied, or "
                      "bool (frames, sites)")
    if len(occupied) == 0:
        raise Trouble(f"{path}: no rows; expected one for each frame")
    if seqs is not None and np.any(seqs[1:] <= seqs[:-1]):
        raise BadData(f"{path}: seq does not rise from row to row")
    return seqs, occupied


def truth_of(seqs, truth_seqs, occupied, path):
    """The rows of the truth that belong to seqs."""
    if truth_seqs is None:
        return occupied[(seqs % len(occupied)).astype(int)]
    rows = np.searchsorted(truth_seqs, seqs)
    found = rows < len(truth_seqs)
    found[found] = truth_seqs[rows[found]] == seqs[found]
    if not found.all():
        raise BadData(f"{path}: no row for frame {seqs[~found][0]}, which has a result; expected "
                      "the truth of the same run")
    return occupied[rows]


def wilson(errors, total, z):
    """Rate, low, high: Wilson, Probable inference, the law of succession, and statistical
    inference; J. Am. Stat. Assoc. 22 (1927)."""
    if total == 0:
        return {"errors": 0, "of": 0, "rate": None, "low": None, "high": None}
    rate, share = errors / total, z * z / total
    middle = (rate + share / 2) / (1 + share)
    half = z / (1 + share) * math.sqrt(rate * (1 - rate) / total + share / (4 * total))
    return {"errors": errors, "of": total, "rate": rate, "low": max(0.0, middle - half),
            "high": min(1.0, middle + half)}


def mean_of(first, second):
    """Of two independent rates; the half widths add up in squares (Newcombe 1998)."""
    if first["rate"] is None or second["rate"] is None:
        return {"rate": None, "low": None, "high": None}
    rate = (first["rate"] + second["rate"]) / 2
    below, above = (math.hypot(first[end] - first["rate"], second[end] - second["rate"]) / 2
                    for end in ("low", "high"))
    return {"rate": rate, "low": max(0.0, rate - below), "high": min(1.0, rate + above)}


def compare(results, truth, confidence):
    """All figures."""
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    figures = {
        "frames": len(results), "sites": results.shape[1], "confidence": confidence,
        "false_positive": wilson(int((results & ~truth).sum()), int((~truth).sum()), z),
        "false_negative": wilson(int((~results & truth).sum()), int(truth.sum()), z),
        "infidelity": wilson(int((results != truth).sum()), truth.size, z),
    }
    figures["mean"] = mean_of(figures["false_positive"], figures["false_negative"])
    return figures


def show(figures, missing):
    """For people."""
    print(f"{figures['frames']} frames of {figures['sites']} sites"
          + (f"; {missing} frames of the truth have no result" if missing else ""))
    for key, name, of in (("false_positive", "false positives", "empty sites"),
                          ("false_negative", "false negatives", "occupied sites"),
                          ("mean", "mean of the two", None),
                          ("infidelity", "infidelity", "decisions")):
        row = figures[key]
        if row["rate"] is None:
            print(f"{name + ':':<17}none to be judged")
            continue
        what = f"  {row['errors']} of {row['of']} {of}" if of else ""
        print(f"{name + ':':<17}{row['rate']:.4e}  ({row['low']:.4e} .. {row['high']:.4e} at "
              f"{figures['confidence']:.0%}){what}")


def probability(text):
    """An argparse type."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number between 0 and 1")
    return value


def main():
    """Compare what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit status: 0 compared, 1 the two do not fit together, 2 wrong usage or a file "
               "that cannot be read.")
    parser.add_argument("results", metavar="RESULTS", type=Path)
    parser.add_argument("truth", metavar="TRUTH", type=Path)
    parser.add_argument("--confidence", type=probability, default=0.95,
                        help="of the intervals (default: 0.95)")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    args = parser.parse_args()
    seqs, results = read_results(args.results)
    truth_seqs, occupied = read_truth(args.truth)
    if results.shape[1] != occupied.shape[1]:
        raise BadData(f"{args.results} has {results.shape[1]} sites, {args.truth} has "
                      f"{occupied.shape[1]}; expected the same lattice, row by row")
    truth = truth_of(seqs, truth_seqs, occupied, args.truth)
    figures = compare(results, truth, args.confidence)
    if args.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures, 0 if truth_seqs is None else len(truth_seqs) - len(np.unique(seqs)))
    return 0


if __name__ == "__main__":
    sys.exit(dipformat.run_tool(main))
