# SPDX-License-Identifier: BSD-3-Clause
"""Runs the real program, and checks after every run what must hold after any of them: the exit
status, one JSON object on stdout, that every frame and every slab is accounted for
(check_conservation), and that no process of it is left."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# How many times slower than usual the program is.
SLOW = float(os.environ.get("DIP_SLOW") or 1)
TIMEOUT_S = 60 * SLOW
# Options of subprocess: another user than root.
NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}
_prefixes = itertools.count()


def program():
    """Path of the program under test, or None."""
    path = os.environ.get("DIP_BINARY")
    return os.path.abspath(path) if path and os.access(path, os.X_OK) else None


def cpus():
    """The CPUs that the program may use."""
    return sorted(os.sched_getaffinity(0))


def _hugepage_bytes():
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["HugePages_Free"]) * int(fields["Hugepagesize"].split()[0]) * 1024


def memory(megabytes):
    """EAL's memory arguments: what DIP_MEMORY says, else hugepages when enough are free."""
    wanted = os.environ.get("DIP_MEMORY", "")
    assert wanted in ("", "huge", "no-huge"), f"DIP_MEMORY={wanted}: expected huge or no-huge"
    if wanted == "huge" or (wanted == "" and _hugepage_bytes() >= megabytes << 20):
        return ["--in-memory"]
    return ["--no-huge", "--no-shconf", "-m", str(megabytes)]


def eal(workers=2, megabytes=256, vdevs=(), prefix=None):
    """EAL arguments: lcore 0 is the main one and floats, workers 1.. are dealt to the CPUs."""
    every = ",".join(map(str, cpus()))
    lcores = [f"0@({every})"] + [f"{i + 1}@{cpus()[i % len(cpus())]}" for i in range(workers)]
    prefix = prefix or f"dip{os.getpid()}n{next(_prefixes)}"
    return ["--lcores", ",".join(lcores), "--main-lcore", "0", "--no-pci", "--iova-mode=va",
            "--log-level=lib.eal:warning", f"--file-prefix={prefix}",
            *memory(megabytes), *(f"--vdev={vdev}" for vdev in vdevs)]


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


# What is said of any start: by the program itself, and by DPDK, of hugepages of another size too.
_ORDINARY = ("dma-image-processor: EAL arguments chosen", "TELEMETRY", "EAL: No free ", "skeldma_")


def refusals(stderr):
    """The lines that say why a start was refused."""
    return [line for line in stderr.splitlines() if not line.startswith(_ORDINARY)]


class Reported:
    """What a report says, of a run or of one of its sources: report is its JSON object, folder where
    the run took place."""

    folder, report, config = None, None, None

    @property
    def stats(self):
        """Every counter of the final report."""
        return self.report["stats"]

    def archive(self):
        """The archive folder, or None."""
        path = self.report["outputs"]["archive"]
        return self.folder / path if path else None

    def results(self):
        """The results file, or None."""
        path = self.report["outputs"]["results"]
        return self.folder / path if path else None

    def due(self):
        """Frames due, delivered or not."""
        return self.report["ledger"]["device"]["due"]


class Source(Reported):
    """One source of a run of several."""

    def __init__(self, run, report):
        self.folder, self.report, self.status = run.folder, report, report["exit_status"]
        self.config = run.config
        self.t0, self.t1 = run.t0, run.t1


class Run(Reported):
    """A run of the program, from its start on. After finish(): status, report (the JSON object),
    stdout, stderr, and t0 and t1, the UTC nanoseconds around it."""

    def __init__(self, folder, argv, **options):
        self.folder, self.argv = Path(folder), argv
        self.report, self.status = None, None
        self.t0 = time.time_ns()
        # A session of its own: what is left of it afterwards can be found.
        self.process = subprocess.Popen(
            argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="surrogateescape", stdin=subprocess.DEVNULL, start_new_session=True, **options)
        self.pid = self.process.pid

    def signal(self, number):
        """Send it a signal."""
        self.process.send_signal(number)

    def running(self):
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def finish(self, timeout=TIMEOUT_S, conserved=True):
        """Wait for the end and collect everything; it is killed when it does not come. A report that
        there is must be that of a run in which nothing is uncounted, unless a test has spoilt it."""
        try:
            self.stdout, self.stderr = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.stdout, self.stderr = self.process.communicate()
            raise AssertionError(f"no end within {timeout} s: {self.argv}\n{self.stderr}") from None
        self.t1 = time.time_ns()
        self.status = self.process.returncode
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, 0)
            raise AssertionError("a process of the run is left")
        if self.stdout.startswith("{"):
            self.parse()
            if conserved:
                check_conservation(self)
        return self

    def kill(self):
        """At the end of a test that has failed."""
        if self.running():
            self.process.kill()
            self.process.communicate()

    def parse(self):
        """stdout is one JSON object and nothing else."""
        try:
            self.report = json.loads(self.stdout)
        except ValueError:
            raise AssertionError(f"stdout is no JSON object:\n{self.stdout[:2000]}\nstderr:\n"
                                 f"{self.stderr}") from None
        self.config = self.report["config"]
        return self

    @property
    def sources(self):
        """The sources of a run of several, by name."""
        return {part["name"]: Source(self, part) for part in self.report["sources"]}


# What came in, what was done; everything else in an account but these and the sums is a loss.
_ACCOUNTS = {"device": ("due", "dma_frames"), "proc": ("proc_offered", "proc_frames"),
             "arch": ("dma_arch_offered", "arch_frames"),
             "results": ("results_offered", "results_frames")}
# What makes a run a failure: exit status 1 if any of them is not 0, and only then.
_FAILURES = ("dma_errors", "arch_io_errors", "arch_segment_errors", "arch_condemned",
             "results_io_errors", "results_removed", "frame_changes")


def fill_up(folder):
    """Leave no block free on a small disk. Returns the file that takes the room."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    return filler


def check_conservation(run):
    """Nothing is uncounted after a run, however it ended: frames, slabs, and the exit status."""
    check_ledger(run.report["ledger"])
    if "sources" not in run.report:
        _check_source(run)
        return
    for part in run.sources.values():
        check_ledger(part.report["ledger"])
        _check_source(part)
    check_sums(run)


def _check_source(part):
    """A source, or a run with one."""
    pool = part.report["pool"]
    assert pool["available"] == pool["slabs"], f"slabs that did not come back: {pool}"
    check_stats(part)
    failures = {name: part.stats[name] for name in _FAILURES if part.stats[name]}
    assert part.status == (1 if failures else 0), f"exit status {part.status} with {failures}"


def check_ledger(ledger, drained=True):
    """Add every account up again, by its own figures."""
    assert set(ledger) == set(_ACCOUNTS)
    for name, account in ledger.items():
        offered, done = _ACCOUNTS[name]
        assert account["imbalance"] == 0, f"{name} does not balance: {account}"
        if drained:
            assert account["in_flight"] == 0, f"{name} is not drained: {account}"
        rest = account[offered] - sum(value for term, value in account.items()
                                      if term not in (offered, "imbalance"))
        assert rest == 0, f"{name} does not add up: {account}"
        assert all(value >= 0 for value in account.values()), f"{name} is negative: {account}"


def check_stats(run):
    """What the counters of one account say about those of another, in any run."""
    stats, ledger = run.stats, run.report["ledger"]
    for account in ledger.values():
        for term, value in account.items():
            if term in stats:
                assert stats[term] == value, f"{term}: ledger and stats differ"
    device = run.report["device"]
    frame_bytes = device["width"] * device["height"] * 2
    assert stats["proc_offered"] == stats["dma_frames"]
    assert stats["dma_bytes"] == stats["dma_frames"] * frame_bytes
    assert stats["arch_bytes"] == stats["arch_frames"] * frame_bytes
    assert stats["dma_pool_exhaust"] <= stats["dma_missed"]
    assert run.report["latency"]["result"]["count"] == stats["proc_frames"]
    assert run.report["latency"]["archived"]["count"] == stats["arch_frames"]
    assert run.report["exit_status"] == run.status
    _check_overwritten(run)


def _check_overwritten(run):
    """A frame that lost its slab was queued for one sink or for both; one that lost its place in a
    queue was queued there."""
    stats = run.stats
    stale = stats["proc_stale_desc"] + stats["arch_stale_desc"]
    slabs, places = stats["dma_overwritten"], stats["queue_overwritten"]
    if run.config["main.overrun"] != "overwrite" or not run.config["dma.pace_frames"]:
        assert stale == slabs == places == 0, "nothing was ever meant to be refused as stale"
    assert slabs + places <= stale <= 2 * slabs + places


def check_sums(run):
    """What a run of several sources says of all together is what it says of each, added up."""
    for name, total in run.stats.items():
        if isinstance(total, int):
            assert total == sum(source.stats[name] for source in run.sources.values()), name
    for account, terms in run.report["ledger"].items():
        for term, total in terms.items():
            assert total == sum(source.report["ledger"][account][term]
                                for source in run.sources.values()), f"{account} {term}"
    assert run.status == max(source.status for source in run.sources.values())
    assert run.report["exit_status"] == run.status


class Launcher:
    """Starts runs in one folder, with outputs in archive/ and results/ there."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.runs = []

    def command(self, source=None, seconds=None, sets=None, eal_args=None, device=None,
                report="json", extra=()):
        """The argument list. sets: settings by key, __ for the point: main__fps=100. device: a name, or
        several."""
        if eal_args is None and os.environ.get("DIP_MEMORY"):
            eal_args = eal()
        settings = {"arch.arch_output_dir": "archive", "proc.proc_output_dir": "results"}
        if eal_args is not None:
            # On shared cores more pollers than CPUs must not spin; placement tests say otherwise.
            settings["lcores.idle"] = "sleep"
        settings.update({key.replace("__", "."): value for key, value in (sets or {}).items()})
        if seconds and settings.get("dma.pace_frames") is False:
            # How much is done depends on how fast it is.
            seconds *= SLOW
        argv = [program(), *(eal_args + ["--"] if eal_args is not None else [])]
        argv += ["--report", report] if report else []
        argv += itertools.chain.from_iterable(
            ("--set", f"{key}={_text(value)}") for key, value in settings.items())
        devices = [device] if isinstance(device, str) else device or []
        argv += itertools.chain.from_iterable(("--device", name) for name in devices)
        argv += [*extra, *([str(source)] if source is not None else []),
                 *([str(seconds)] if seconds is not None else [])]
        return argv

    def start(self, *args, argv=None, options=None, **kwargs):
        """Start and go on; the test finishes the run. argv: all of it, in place of the rest."""
        run = Run(self.folder, argv or self.command(*args, **kwargs), **(options or {}))
        self.runs.append(run)
        return run

    def end(self, run, status=0, timeout=TIMEOUT_S):
        """Finish a run and check what every run must satisfy."""
        run.finish(timeout).parse()
        assert run.status == status, f"exit {run.status}, expected {status}:\n{run.stderr}"
        return run

    def run(self, *args, status=0, timeout=TIMEOUT_S, **kwargs):
        """Run to the end, checked. status 0 unless told otherwise."""
        return self.end(self.start(*args, **kwargs), status, timeout)

    def stop(self, run, number=signal.SIGINT, **kwargs):
        """End a run that has no end of its own."""
        run.signal(number)
        return self.end(run, **kwargs)

    def wait_for(self, run, condition, timeout=20):
        """Wait until condition() is true while the run goes on."""
        end = time.monotonic() + timeout * SLOW
        while not condition():
            assert run.running(), f"it has ended:\n{run.finish().stderr}"
            assert time.monotonic() < end, "waited too long"
            time.sleep(0.01)

    def wait_for_results(self, run, count=1, timeout=20):
        """Wait until it is in full flight: results files have appeared and hold something."""
        folder = self.folder / "results"

        def begun(path):
            return path.stat().st_size > (1024 if path.suffix == ".npy" else 0)

        self.wait_for(run, lambda: sum(begun(f) for f in folder.glob("results_*")
                                       if not f.name.endswith((".sites.npy", ".stats.jsonl")))
                      >= count, timeout)

    def close(self):
        """Nothing survives the test."""
        for run in self.runs:
            run.kill()
