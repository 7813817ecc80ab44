# SPDX-License-Identifier: BSD-3-Clause
"""The figures of each second that the program writes: results_<stamp>.stats.jsonl."""

import json

import numpy as np

from dipformat import BadData

# The upper ends of the steps of a histogram, ns, as in lib/metrics/histogram.h.
STEPS = [(2 + step % 2) * (64 << step // 2) - 1 for step in range(61)]
STAGES = ("dequeued", "decision", "result", "archived")
# What was lost, by its cause: counter and words.
LOSSES = {
    "dma_missed": "missed by the source",
    "drops_proc_queue": "processors too slow",
    "drops_results_queue": "results too slow",
    "drops_arch_queue": "archive too slow",
    "arch_io_errors": "archive: disk error",
    "results_io_errors": "results: disk error",
    "proc_stale_desc": "stale, not processed",
    "arch_stale_desc": "stale, not archived",
    "proc_discarded": "discarded, not processed",
    "proc_offer_discarded": "discarded, not offered",
    "arch_discarded": "discarded, not archived",
    "arch_offer_discarded": "discarded, not offered to the archive",
}
_NEEDED = ("time_ns", "final", "stats", "ledger", "latency", "interval", "pool", "lcores")


class Figures:
    """lines: the objects; run: what the first says of the run; ended: whether the last line is that
    of the end; faults: what is wrong with the file."""

    def __init__(self, path):
        self.path, self.lines, self.faults = path, [], []
        with open(path, "rb") as file:
            for number, text in enumerate(file, 1):
                self._add(number, text)
        if not self.lines:
            raise BadData(f"{path}: no line of figures in it; expected a JSON object a line")
        self.run = self.lines[0].get("run", {})
        self.ended = bool(self.lines[-1]["final"])
        self.times = np.array([line["time_ns"] for line in self.lines], dtype=np.int64)

    def _add(self, number, text):
        try:
            line = json.loads(text)
            good = isinstance(line, dict) and all(name in line for name in _NEEDED) and \
                isinstance(line["time_ns"], int) and isinstance(line["stats"], dict)
        except ValueError:
            good = False
        if good:
            self.lines.append(line)
        elif text.endswith(b"\n"):
            self.faults.append(f"{self.path}: line {number}: {text[:40].decode('ascii', 'replace')!r}"
                               "; expected a JSON object with " + ", ".join(_NEEDED))

    @property
    def last(self):
        """The newest line."""
        return self.lines[-1]

    @property
    def begin_ns(self):
        """When the source started, UTC."""
        return int(self.times[0] - self.lines[0]["stats"].get("elapsed_sec", 0) * 1e9)

    def seconds(self):
        """The time of each line since the start of the source."""
        return (self.times - self.begin_ns) / 1e9

    def total(self, name):
        """A counter in each line."""
        return np.array([line["stats"].get(name, 0) for line in self.lines], dtype=np.float64)

    def intervals(self):
        """(begin, end) of what lies between two lines, s, the first from the start on; too short ones
        are joined with the one before: a rate of a few milliseconds says nothing."""
        at = np.concatenate(([0.0], self.seconds()))
        keep = [0]
        for i in range(1, len(at)):
            if at[i] - at[keep[-1]] >= 0.2 or (i == len(at) - 1 and len(keep) < 2):
                keep.append(i)
            elif i == len(at) - 1:
                keep[-1] = i
        return at, np.array(keep)

    def gained(self, name):
        """(edges, s; what a counter gained in each interval)."""
        at, keep = self.intervals()
        return at[keep], np.diff(np.concatenate(([0.0], self.total(name)))[keep])

    def losses(self):
        """{words: (edges, frames lost in each interval)} of the causes there were."""
        found = {}
        for name, words in LOSSES.items():
            if self.last["stats"].get(name, 0) > 0:
                found[words] = self.gained(name)
        return found

    def steps(self, stage):
        """[(beyond, up to, ns, frames)] over the whole run, without those that have none."""
        counts = self.step_counts(stage).sum(axis=0)
        bounds = [STEPS[0] / 2, *STEPS, 2 * STEPS[-1]]
        return [(bounds[i], bounds[i + 1], int(n)) for i, n in enumerate(counts) if n]

    def step_counts(self, stage):
        """Frames of each interval between lines and step, (lines, steps and one beyond the last)."""
        counts = np.zeros((len(self.lines), len(STEPS) + 1), dtype=np.int64)
        for row, line in zip(counts, self.lines):
            for upper, n in line["interval"]["latency"][stage].get("steps", []):
                row[-1 if upper is None else np.searchsorted(STEPS, upper)] += n
        return counts

    def when(self, seqs):
        """Seconds since the start at which frames of these numbers came, as far as the lines tell."""
        due = np.array([line["ledger"]["device"]["due"] for line in self.lines], dtype=np.float64)
        at = self.seconds()
        return np.interp(seqs, np.concatenate(([0.0], due)), np.concatenate(([0.0], at)))
