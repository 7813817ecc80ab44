# SPDX-License-Identifier: BSD-3-Clause
"""R1, R2: whatever the configuration, the faults and the moment of the end, no frame is uncounted.

Each test is one random configuration, made from its seed. DIP_SEED=SEED repeats one. The launcher
checks the ledger, the pool and the exit status of every run (harness.check_conservation); here the
frames themselves are compared: those of the source, of the results and of the archive."""

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import harness
import proof
from oracle import Scene, check_archive, check_results

pytestmark = pytest.mark.conservation

MEGABYTES = 320
SLABS_BYTES = 128 << 20
JUMP_NS = 50_000_000  # that the clock jumps ahead, at most
STOP_S = 30  # of a program that has much to drain, on a busy machine
# Lcores named by hand, all of four workers (and the main one, 0).
NAMED = [{}, {}, {}, {"ingest": "1", "process": "2", "archive": "3", "results": "0"},
         {"ingest": "1,2", "process": "1,2", "archive": "3", "results": "3"},
         {"ingest": "1,2", "process": "3,4", "archive": "0"},
         {"ingest": "1", "process": "1-3", "archive": "4"}, {"process": "2-3"},
         {"ingest": "0", "process": "0", "archive": "0", "results": "0"}]


def _seeds():
    if os.environ.get("DIP_SEED"):
        return [int(os.environ["DIP_SEED"])]
    return random.SystemRandom().sample(range(10**9), proof.count(30, 1000))


class Case:
    """A configuration: everything follows from the seed but the order of events."""

    def __init__(self, seed, folder):
        self.rng = rng = random.Random(seed)
        self.workers = rng.choice([0, 1, 2, 2, 3, 4])
        height, width = rng.randint(1, 160), rng.randint(1, 160)
        self.scene = Scene(rng.randint(1, 40), height, width, seed=seed,
                           roi=(rng.randint(1, height), rng.randint(1, width)))
        self.folder = self.scene.write(folder / "frames")
        self.nth = rng.choice([0, 1, 1, 1, 2, 3, 7, 1000])
        self.npy = rng.random() < 0.7
        self.looped = rng.random() < 0.8
        self.paced = rng.random() < 0.5
        self.faults = self.make_faults()
        self.archive = {"npy": self.npy, "nth": max(self.nth, 1), "checksum": rng.random() < 0.7,
                        "index": rng.random() < 0.8,
                        "block_bytes": rng.choice([512, 1024, 2048, 4096])}

    def size(self, low, high):
        """A whole number between the two, small ones as likely as large ones."""
        return round(low * (high / low) ** self.rng.random())

    def make_faults(self):
        """What befalls the source, or ""; frames that are lost for certain are in self.lost, the
        frame that none comes behind is self.dead, and how often the clock jumps self.jumps."""
        rng, self.lost, self.dead, self.jumps, faults = self.rng, set(), None, 0, []
        if rng.random() < 0.5:
            return ""
        for _ in range(rng.randint(1, 4)):
            at = self.size(1, 20000) - 1
            kind = rng.choice(["lost", "lost", "duplicate", "stall", "late", "jump", "~",
                               "burst" if self.paced else "lost"])
            if kind == "lost":
                self.lost.add(at)
            self.jumps += kind == "jump"
            if kind == "~":
                faults.append(rng.choice(["lost", "duplicate"]) + f"~{rng.random() / 5:.3f}")
            else:
                amount = "" if kind in ("lost", "duplicate") else f":{rng.randint(2, 50)}"
                faults.append(f"{kind}{amount}@{at}")
        if rng.random() < 0.2:
            self.dead = self.size(1, 5000) - 1
            faults.append(f"dead@{self.dead}")
        return f"{'+'.join(faults)}+seed:{rng.randint(0, 1000)}"

    def vdev(self):
        """The device: frames in memory, or read while they are played."""
        frame_bytes = self.scene.frames[0].nbytes + 64
        held = f",preload_bytes={frame_bytes * self.rng.randint(2, 20)}" \
            if self.rng.random() < 0.3 else ""
        faults = f",faults={self.faults}" if self.faults else ""
        return f"dma_file0,path={self.folder}{held}{faults}"

    def sets(self):
        """The configuration."""
        rng, size = self.rng, self.size
        most = SLABS_BYTES // (self.scene.frames[0].nbytes + 8192)
        named = rng.choice(NAMED) if self.workers == 4 else {}
        return self.scene.sets(**{
            "main.slabs": min(size(2, 4096), most), "main.fps": size(100, 50000),
            "main.nth_archive": self.nth, "main.overrun": rng.choice(["drop", "block", "overwrite"]),
            "main.drain_queues": rng.random() < 0.7, "dma.pace_frames": self.paced,
            "dma.loop_frames": self.looped, "proc.ring_size": size(1, 4096),
            "proc.worker_threads": rng.randint(0, 4), "proc.results_window":
            rng.choice([0, 64, 1000]), "proc.results": rng.choice(["text", "npy", "npy", "none"]),
            "arch.ring_size": size(1, 4096), "arch.max_inflight": size(1, 1024),
            "arch.uring_qd": size(1, 256), "arch.io_buffer_bytes": size(4096, 1 << 20),
            "arch.segment_bytes": size(1 << 20, 1 << 28), "arch.use_io_uring": rng.random() < 0.7,
            "arch.direct_io": rng.random() < 0.7, "arch.format": "npy" if self.npy else "raw",
            "arch.checksum": self.archive["checksum"], "arch.make_index": self.archive["index"],
            "arch.block_bytes": self.archive["block_bytes"],
            "arch.sync_interval_ms": rng.choice([0, 20, 1000]), "arch.hdf5": rng.random() < 0.5,
            "arch.max_rate": rng.choice([0, 0, 0, 1 << 20]),
            "lcores.layout": rng.choice(["auto", "fused", "split"]),
            "lcores.idle": "busy" if self.workers < 3 and rng.random() < 0.2 else "sleep",
            **{f"lcores.{role}": lcores for role, lcores in named.items()}})


def _catches_signals(run):
    """Whether the program has come as far as to await a SIGINT."""
    fields = dict(line.split(":", 1) for line in
                  Path(f"/proc/{run.pid}/status").read_text(encoding="ascii").splitlines())
    return int(fields["SigCgt"], 16) >> (signal.SIGINT - 1) & 1


def _play(dip, case):
    """A run of the case to its end: its own, or that of one signal or two, at any moment."""
    rng = case.rng
    by_signal = rng.random() < 0.6
    seconds = 0 if by_signal else round(rng.uniform(0.01, 0.3), 3)
    run = dip.start(None, seconds, device="dma_file0", sets=case.sets(),
                    eal_args=harness.eal(case.workers, MEGABYTES, vdevs=[case.vdev()]))
    if by_signal:
        # The configuration of a case that has ended by itself already is checked all the same.
        dip.wait_for(run, lambda: not run.running() or _catches_signals(run))
        time.sleep(rng.uniform(0, 0.6))
        for _ in range(rng.choice([1, 1, 2])):
            run.signal(signal.SIGINT)
    run.finish(STOP_S).parse()
    run.t1 += case.jumps * JUMP_NS  # by the clock of the time stamps
    return run


def _losses(account, done):
    return sum(value for term, value in account.items() if term not in ("imbalance", *done))


def _compare(run, case, results, archived):
    """The sets of frames against each other, and against the ledger."""
    ledger, stats, due = run.report["ledger"], run.stats, run.due()
    proc = _losses(ledger["proc"], ("proc_offered", "proc_frames"))
    arch = _losses(ledger["arch"], ("dma_arch_offered", "arch_frames"))
    lost = [seq for seq in case.lost if seq < due]
    if results is not None:
        assert not np.isin(lost, results).any(), "a frame was decided that never came"
        assert due - len(results) == ledger["device"]["dma_missed"] + proc
        wanted = results[results % case.archive["nth"] == 0] if case.nth else []
        assert np.count_nonzero(~np.isin(wanted, archived)) <= arch, "missing in the archive"
        assert np.count_nonzero(~np.isin(archived, results)) <= proc, "missing in the results"
        if proc == 0:
            assert stats["dma_arch_offered"] == len(wanted)
    assert not np.isin(lost, archived).any(), "a frame was archived that never came"
    if stats["dma_missed"] == 0 and case.nth:
        assert stats["dma_arch_offered"] == -(-due // case.nth)
    assert stats["dma_missed"] >= len(lost)
    assert stats["dma_errors"] == 0 or case.dead is not None and due >= case.dead
    if not case.looped:
        assert due <= len(case.scene.frames)


@pytest.fixture(name="tally", scope="module")
def what_was_done():
    """Counts runs and frames, and tells them at the end."""
    tally = {"configurations": 0, "frames due": 0, "missed": 0, "decided": 0, "archived": 0,
             "lost before decision": 0, "lost before archiving": 0, "failed devices": 0}
    yield tally
    proof.say("R1, R2: " + ", ".join(f"{number:,} {name}" for name, number in tally.items()))


@pytest.mark.parametrize("seed", _seeds())
def test_conservation(dip, seed, tally):
    case = Case(seed, dip.folder)
    try:
        run = _play(dip, case)
        results = check_results(run, case.scene) if run.results() else None
        # A frame is known by its content alone in a raw segment without an index.
        archived = check_archive(run, case.scene, **case.archive)
        if case.npy or case.archive["index"]:
            _compare(run, case, results, archived)
    except Exception as error:
        raise AssertionError(f"DIP_SEED={seed} repeats this") from error
    ledger = run.report["ledger"]
    for name, number in (
            ("configurations", 1), ("frames due", run.due()), ("missed", run.stats["dma_missed"]),
            ("decided", run.stats["proc_frames"]), ("archived", run.stats["arch_frames"]),
            ("lost before decision", _losses(ledger["proc"], ("proc_offered", "proc_frames"))),
            ("lost before archiving", _losses(ledger["arch"], ("dma_arch_offered",
                                                               "arch_frames"))),
            ("failed devices", run.status)):
        tally[name] += number
