# SPDX-License-Identifier: BSD-3-Clause
"""R26: hours under load leave nothing behind. Frames are paced, decided, archived; segments rotate, are
read, verified and removed; the disk fills and empties; clients of telemetry and viewers come and go.
Memory, descriptors, threads and hugepages have to stay as they are, and the ledger exact at any time."""

import contextlib
import fcntl
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import harness
import proof
from harness import ROOT, check_ledger, fill_up
from telemetry_client import Client, Gone
from test_archive_tool import tool_path

pytestmark = pytest.mark.soak

SECONDS = int(os.environ.get("DIP_SOAK_S") or proof.count(12, 7200))
FPS = 500
FULL_S = 1.0  # how long the disk stays full
RESUMED_S = 1.0  # how soon after that archiving goes on
EPISODES = max(2, SECONDS // 30)
KEPT = 4  # newest segments that are left for readers
COMMANDS = ["/", "/info", "/dip/stats", "/dip/ledger", "/dip/latency", "/dip/latency,reset", "/dip/worst",
            "/dip/lcores", "/dip/archive", "/dip/sites", "/dip/pool", "/dip/stats,nobody", "/dip/%n", ","]
SETTINGS = {"main.nth_archive": 1, "main.fps": FPS, "main.slabs": 512, "proc.results": "npy",
            "arch.segment_bytes": 1 << 20, "arch.sync_interval_ms": 200}


class Company:
    """Those who do something again and again beside the run, each in a thread. What goes wrong with one of
    them is raised at the end."""

    def __init__(self):
        self.leaving, self.threads, self.errors = threading.Event(), [], []

    def add(self, task, pause_s):
        """Call task() with pauses between."""
        def repeat():
            try:
                while not self.leaving.wait(pause_s):
                    task()
            except Exception as error:  # pylint: disable=broad-exception-caught
                self.errors.append(error)
                self.leaving.set()
        self.threads.append(threading.Thread(target=repeat))
        self.threads[-1].start()

    def leave(self):
        """All go."""
        self.leaving.set()
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]


def segments(folder):
    """The archived segments, the newest last."""
    return sorted(folder.glob("archive/*/*.npy"))


def remove_old(folder):
    """What somebody does who moves what is done to another place."""
    for path in segments(folder)[:-KEPT]:
        path.unlink()
        path.with_suffix(".idx").unlink(missing_ok=True)


def ask_and_hang_up(prefix, pid, chance):
    """A client: it asks some questions, and may go before the last answer."""
    with contextlib.suppress(Gone, OSError):  # ten at a time are served, others sent away
        client = Client(prefix, pid, timeout=5)
        try:
            for _ in range(chance.randrange(4)):
                client.ask(chance.choice(COMMANDS[:-1]))
            client.socket.send(chance.choice(COMMANDS).encode())
        finally:
            client.close()


def view(prefix, folder):
    """A viewer, and a reader of the archive: each ends with what it came for."""
    subprocess.run([sys.executable, ROOT / "scripts" / "top.py", "--once", "--prefix", prefix], check=True,
                   stdout=subprocess.DEVNULL, timeout=60)
    for path in segments(folder)[-KEPT:-2]:
        done = subprocess.run([tool_path(), "verify", path], capture_output=True, text=True, check=False,
                              timeout=60)
        # Meanwhile somebody may have removed it.
        assert done.returncode == 0 or not path.exists(), done.stdout + done.stderr


class Samples:
    """What the process holds, from time to time."""

    def __init__(self, prefix, pid):
        self.pid, self.rows, self.disk_full = pid, [], threading.Event()
        self.client = Client(prefix, pid)

    def take(self):
        """One more; the ledger has to be exact meanwhile. While the disk is full no segment is open: those
        moments are left out, since like has to be compared with like."""
        check_ledger(self.client.ask("/dip/ledger"), drained=False)
        if self.disk_full.is_set():
            return
        status = dict(line.split(":", 1) for line in
                      Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines())
        heap = self.client.ask("/eal/heap_info,0")
        memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        self.rows.append({
            "resident KiB": int(status["VmRSS"].split()[0]),
            "threads": int(status["Threads"]), "descriptors": len(os.listdir(f"/proc/{self.pid}/fd")),
            "EAL's heap": int(heap["Alloc_size"]), "hugepages": -int(memory["HugePages_Free"])})

    def floors(self):
        """By name, the least of the second quarter and of the last one: the first one warms up, and
        clients and segments come and go."""
        quarter = len(self.rows) // 4
        return {name: tuple(min(row[name] for row in rows)
                            for rows in (self.rows[quarter:2 * quarter], self.rows[-quarter:]))
                for name in self.rows[0]}


def test_soak(dip, scene, small_disk, prefix):
    run = dip.start(scene.folder, 0, eal_args=harness.eal(2, prefix=prefix), sets=scene.sets(**{
        **SETTINGS, "arch.arch_output_dir": "disk/archive"}))
    fcntl.fcntl(run.process.stderr, fcntl.F_SETPIPE_SZ, 1 << 20)  # nobody reads it before the end
    dip.wait_for(run, lambda: len(segments(small_disk)) > 1)
    samples, company, chance = Samples(prefix, run.pid), Company(), random.Random(26)
    full, views = [], []

    def fill_and_empty():
        samples.disk_full.set()
        filler = fill_up(small_disk)
        time.sleep(FULL_S)
        filler.unlink()
        full.append(time.monotonic())
        time.sleep(RESUMED_S)
        samples.disk_full.clear()

    def look():
        view(prefix, small_disk)
        views.append(time.monotonic())

    try:
        company.add(lambda: remove_old(small_disk), 0.3)
        company.add(lambda: ask_and_hang_up(prefix, run.pid, chance), 0.05)
        company.add(look, max(1.0, SECONDS / 200))
        company.add(fill_and_empty, SECONDS / EPISODES - FULL_S - RESUMED_S)
        company.add(samples.take, max(0.2, SECONDS / 1000))
        company.leaving.wait(SECONDS)
    finally:
        company.leave()
    # What it tells of the disk is counted; the rest is checked as after any run.
    run = dip.stop(run, status=1)
    stats, floors = run.stats, samples.floors()
    proof.say(f"R26: {SECONDS} s, {run.due()} frames due, {stats['dma_missed']} missed, "
              f"{stats['proc_frames']} decided, {stats['arch_frames']} archived in "
              f"{stats['arch_segments']} segments, the disk full {len(full)} times, {len(views)} views, "
              + ", ".join(f"{name} {abs(a)} to {abs(b)}" for name, (a, b) in floors.items()))
    assert len(full) >= EPISODES - 1 and views and stats["arch_io_errors"] > 0
    assert stats["proc_frames"] + stats["dma_missed"] == run.due() > 0.9 * FPS * SECONDS
    # DPDK has one of its own for each client that hangs up.
    said = [line for line in run.stderr.splitlines() if line.startswith("dma-image-processor")]
    assert len(said) < 20 + 4 * len(full), "one line an episode"
    # Every slab and every buffer has been touched after some minutes.
    slack = {"resident KiB": 256 if SECONDS >= 300 else 4096,
             "descriptors": 4}  # record and index of a segment, and of the next one, made ahead
    if os.environ.get("DIP_SANITIZE"):  # what is freed is kept for a while
        slack["resident KiB"] = 256 << 10
    grown = {name: b - a for name, (a, b) in floors.items() if b - a > slack.get(name, 0)}
    assert not grown, f"it has grown: {grown}"
