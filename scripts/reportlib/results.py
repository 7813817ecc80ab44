# SPDX-License-Identifier: BSD-3-Clause
"""The decisions of a run, read once from beginning to end in little memory, whatever their number."""

from typing import NamedTuple

import numpy as np

import dipformat
from dipformat import BadData
from fidelity import HEAD
from image import load_records

BINS = 200          # of the history, at least, once there are as many frames
_ROWS = 400         # of the history: more sites share rows
_BATCH = 4096       # records at a time
_LINES = 1 << 22    # bytes of text at a time


class Sites(NamedTuple):
    """Where the sites are, and what is known of them. Arrays, one value a site."""
    row: np.ndarray
    col: np.ndarray
    h: np.ndarray
    w: np.ndarray
    threshold: np.ndarray
    weighted: bool


class Decisions:
    """What was decided. seqs: of the frames that are kept for the samples, {seq: bits}; occupied: by
    site; frames; the history in bins of equally many frames: begin (seq, time ns or 0), share, least,
    most, and rows (bins, rows of sites), means."""

    def __init__(self, sites, wanted):
        self.sites, self.frames, self.wanted = sites, 0, set(wanted)
        self.bits = {}
        self.occupied = np.zeros(sites, dtype=np.int64)
        self.per_row = -(-sites // _ROWS)
        self._starts = np.arange(0, sites, self.per_row)
        self._each = np.diff(np.append(self._starts, sites))
        self.size = 1           # frames of a bin
        self._bins = []         # [frames, first seq, first time, sum, least, most, rows]
        self.faults = []
        self.last_seq = 0
        self.last_time = 0

    def add(self, seqs, times, bits):
        """Frames in order: numbers, arrival (ns, or zeros) and bool (frames, sites)."""
        if len(seqs) == 0:
            return
        self.occupied += bits.sum(axis=0)
        for at in np.flatnonzero(np.isin(seqs, list(self.wanted))):
            self.bits[int(seqs[at])] = bits[at].copy()
        rows = np.add.reduceat(bits, self._starts, axis=1, dtype=np.uint32)
        counts = bits.sum(axis=1)
        at = 0
        while at < len(seqs):
            if not self._bins or self._bins[-1][0] == self.size:
                if len(self._bins) == 2 * BINS:
                    self._halve()
                    continue
                self._bins.append([0, int(seqs[at]), int(times[at]), 0, self.sites, 0,
                                   np.zeros(len(self._starts), dtype=np.uint64)])
            last = self._bins[-1]
            n = min(self.size - last[0], len(seqs) - at)
            part = counts[at:at + n]
            last[0] += n
            last[3] += int(part.sum())
            last[4], last[5] = min(last[4], int(part.min())), max(last[5], int(part.max()))
            last[6] += rows[at:at + n].sum(axis=0, dtype=np.uint64)
            at += n
        self.frames += len(seqs)
        self.last_seq, self.last_time = int(seqs[-1]), int(times[-1])

    def _halve(self):
        """Two bins become one."""
        joined = []
        for one, two in zip(self._bins[::2], self._bins[1::2]):
            joined.append([one[0] + two[0], one[1], one[2], one[3] + two[3], min(one[4], two[4]),
                           max(one[5], two[5]), one[6] + two[6]])
        self._bins, self.size = joined, self.size * 2

    def history(self):
        """(begin seq and the last one, begin time likewise, mean share, least, most, rows)."""
        if len(self._bins) > 1 and self._bins[-1][0] < self.size / 2:  # a rest says little
            one, two = self._bins[-2:]
            self._bins[-2:] = [[one[0] + two[0], one[1], one[2], one[3] + two[3],
                                min(one[4], two[4]), max(one[5], two[5]), one[6] + two[6]]]
        n = np.array([b[0] for b in self._bins], dtype=np.float64)
        seqs = np.array([b[1] for b in self._bins] + [self.last_seq + 1], dtype=np.float64)
        times = np.array([b[2] for b in self._bins] + [self.last_time], dtype=np.float64)
        share = [np.array([b[i] for b in self._bins]) / self.sites for i in (3, 4, 5)]
        rows = np.stack([b[6] for b in self._bins]) / n[:, None] / self._each
        return seqs, times, share[0] / n, share[1], share[2], rows


def read_text(path, wanted):
    """Decisions of a file of text. A rest at its end, of a run that was killed, is left out."""
    with open(path, "rb") as file:
        head = HEAD.match(file.read(100))
        if head is None:
            raise BadData(f'{path}: no results; expected "[frame SEQ] rois=N" and a line of N '
                          "characters 0 or 1 for each frame")
        sites = int(head[2])
        decisions, rest, before = Decisions(sites, wanted), b"", 0
        file.seek(0)
        while block := file.read(_LINES):
            lines = (rest + block).split(b"\n")
            keep = (len(lines) - 1) // 2 * 2
            rest = b"\n".join(lines[keep:])
            _add_lines(path, decisions, lines[:keep], before)
            before += keep
    if rest:
        decisions.faults.append(f"{path}: ends within a result, as of a run that was killed; that one "
                                "is left out")
    return decisions


def _add_lines(path, decisions, lines, before):
    seqs, rows = [], []
    for number in range(0, len(lines), 2):
        head = HEAD.match(lines[number] + b"\n")
        if head is None or int(head[2]) != decisions.sites or \
                len(lines[number + 1]) != decisions.sites or lines[number + 1].strip(b"01"):
            raise BadData(f'{path}:{before + number + 1}: expected "[frame SEQ] rois='
                          f'{decisions.sites}" and a line of {decisions.sites} characters 0 or 1')
        seqs.append(int(head[1]))
        rows.append(lines[number + 1])
    bits = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1) == ord("1")
    decisions.add(np.array(seqs, dtype=np.uint64), np.zeros(len(seqs), dtype=np.uint64), bits)


def open_records(path):
    """The records of npy results, mapped."""
    records = load_records(path, ("seq", "timestamp_ns", "latency_ns", "occupied", "bits"))
    if len(records) == 0:
        raise BadData(f"{path}: no result in it")
    return records


def read_records(path, records, sites, wanted):
    """Decisions of NumPy records."""
    decisions = Decisions(sites, wanted)
    if 8 * records.dtype["bits"].itemsize < sites:
        raise BadData(f"{path}: {8 * records.dtype['bits'].itemsize} bits a record; its table has "
                      f"{sites} sites; expected the table of that run")
    for first in range(0, len(records), _BATCH):
        part = records[first:first + _BATCH]
        bits = np.unpackbits(part["bits"], axis=1, count=sites, bitorder="little").astype(bool)
        wrong = np.flatnonzero(bits.sum(axis=1) != part["occupied"])
        if len(wrong) > 0:
            raise BadData(f"{path}: record {first + wrong[0]}: {part['occupied'][wrong[0]]} sites "
                          f"occupied, but {bits[wrong[0]].sum()} bits are set; it is damaged, or its "
                          "table is of another run")
        decisions.add(part["seq"], part["timestamp_ns"], bits)
    return decisions


def latency_steps(records):
    """[(beyond, up to, ns, frames)] of npy results, eight steps an octave."""
    edges = 2.0 ** (np.arange(0, 321) / 8)
    counts = np.zeros(len(edges) - 1, dtype=np.int64)
    for first in range(0, len(records), 1 << 18):
        part = np.clip(records["latency_ns"][first:first + (1 << 18)], 1, edges[-1])
        counts += np.histogram(part, edges)[0]
    return [(float(low), float(upper), int(n)) for low, upper, n in zip(edges, edges[1:], counts) if n]


def table_sites(path):
    """(the sites of a run's table, the table)."""
    table = load_records(path, ("row", "col", "h", "w", "threshold", "limit", "scale"))
    if len(table) == 0:
        raise BadData(f"{path}: no site in it; expected one or more")
    # With weights a limit is in other units than the threshold, and says so by its scale.
    return Sites(*(table[name].astype(np.int64) for name in ("row", "col", "h", "w", "threshold")),
                 weighted=bool((table["scale"] != 1).any())), table


def told_sites(run):
    """The sites as the figures tell them, or None."""
    told = run.get("sites")
    if not told:
        return None
    return Sites(*(np.array(told[name], dtype=np.int64)
                   for name in ("row", "col", "h", "w", "threshold")),
                 weighted=bool(told["weighted"]))


def pick(count, most):
    """At most so many of range(count), evenly, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


class Archive:
    """Frames of an archive, a few of them read. faults: what was bad."""

    def __init__(self, folder, shape):
        self.folder, self.faults = folder, []
        paths, missing = dipformat.list_segments(folder)
        if missing:
            self.faults.append(f"{folder}: {len(missing)} segments are missing")
        self._segments = [dipformat.open_segment(path, shape) for path in paths]
        self._ends = np.cumsum([segment.written for segment in self._segments])
        self.frames = int(self._ends[-1]) if paths else 0

    def read(self, most):
        """At most so many frames, evenly: [(seq, image)], those that are good."""
        found = []
        for place in pick(self.frames, most) if self.frames else []:
            which = int(np.searchsorted(self._ends, place, side="right"))
            segment = self._segments[which]
            record = segment.record(int(place - self._ends[which] + segment.written))
            if record.fault:
                self.faults.append(f"{segment.path}: record {record.index}: {record.fault}")
            else:
                found.append((record.seq, record.image))
        return found
