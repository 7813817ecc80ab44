# SPDX-License-Identifier: BSD-3-Clause
"""Arrival to result at 1,000 frames a second, the CPU that takes, and the highest rate without a loss."""

import shutil
import tempfile
import time

from benchlib.common import (alternate, bar, cpus, fail, lcores, memory, run_json, run_program, show,
                             simulated_frames, spread)
from benchlib.machine import limit, limits_program
from benchlib.threads import process_seconds

HUGE_MIB = 512
FPS = 1000
KERNEL_TIMES, KERNEL_MORE_US = 1.5, 2  # p50 at most: so many times the kernel's own, and so much
ARCHIVING_P50, ARCHIVING_P99 = 1.10, 1.50  # times those without, at most
CPU_MOST = 0.10  # of a core
LOSSLESS_LEAST = 0.7  # of the unpaced rate
SLABS = 1024  # frames that may wait while the disk or the machine stalls
STEPS = 5  # of the search between nothing and the unpaced rate


def _detect(options):
    return options.build / "tests/bench/detect"


def needs(options):
    """Files that must be there."""
    return [limits_program(options), _detect(options)]


def hugepages(_options):
    """MiB of hugepages that it wants."""
    return HUGE_MIB


def _run(options, name, settings, source, folder, watch=None):
    eal = lcores(cpus(options)[:2]) + memory(options, HUGE_MIB)
    report = run_program(options, f"latency, {name}", eal,
                         [f"main.slabs={SLABS}", *settings, f"arch.arch_output_dir={folder}/archive"],
                         source, folder, watch)
    shutil.rmtree(f"{folder}/archive", ignore_errors=True)
    return report


BUSY = ["lcores.idle=busy"]
ARCHIVING = ["main.nth_archive=1"]
# One lcore decides, and the other one does nothing but archive.
APART = [*ARCHIVING, "lcores.ingest=1", "lcores.process=1", "lcores.archive=2"]


def _paced(options, name, more, source, folder, watch=None):
    report = _run(options, name, [f"main.fps={FPS}", *more], source, folder, watch)
    if report["stats"]["dma_missed"] > 0:
        print(f"  warning: {name}: {report['stats']['dma_missed']} frames missed")
    return {key: value / 1e3 for key, value in report["latency"]["result"].items()}


class _Cpu:
    """The share of a core that a process takes, its first second left out."""

    def __init__(self):
        self.begin, self.first, self.last = time.monotonic(), None, None

    def look(self, pid):
        """Called while it runs."""
        used = process_seconds(pid)
        if used is None or time.monotonic() < self.begin + 1:
            return
        self.last = (time.monotonic(), used)
        self.first = self.first or self.last

    def share(self):
        """Of one core."""
        if self.first is None or self.last[0] - self.first[0] < 0.2:
            fail("latency: a run too short to see its CPU time; expected 1.5 s or more of --seconds")
        return (self.last[1] - self.first[1]) / (self.last[0] - self.first[0])


def _sleeping(options, source, folder):
    cpu = _Cpu()
    latency = _paced(options, "sleeping", ["main.nth_archive=0", "lcores.idle=sleep"], source,
                     folder, cpu.look)
    return {**latency, "cores": cpu.share()}


UNPACED = ["dma.pace_frames=false", "main.overrun=block"]
TENTH = ["main.nth_archive=10", "lcores.idle=busy"]


def _lossless(options, source, folder, unpaced):
    """The highest share of the unpaced rate at which a run has lost nothing."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        share = (low + high) / 2
        stats = _run(options, f"lossless, {share:.2f}", [f"main.fps={unpaced * share:.0f}", *TENTH],
                     source, folder)["stats"]
        lost = stats["dma_missed"] + stats["drops_proc_queue"] + stats["drops_arch_queue"]
        low, high = (low, share) if lost > 0 else (share, high)
    return low


LATENCIES = {"alone": "arrival to result", "archiving": "arrival to result, archiving all",
             "apart": "the same, one lcore only archives",
             "sleeping": "arrival to result, sleeping"}


def _show_latency(title, rows):
    result = {}
    for key, text in (("p50_ns", "p50"), ("p99_ns", "p99"), ("p999_ns", "p99.9"), ("max_ns", "most")):
        result[text] = show(f"{title}, {text}", [row[key] for row in rows], "us")
    return result


def run(options):
    """Busy poll, two CPUs where there are."""
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as folder:
        source = simulated_frames(options, folder)
        cpu = cpus(options)[0]
        apart = {"apart": lambda: _paced(options, "one archives", [*BUSY, *APART], source, folder)}
        results = alternate({
            "kernel": lambda: run_json("detect, cold", [_detect(options), cpu, "auto", "0.02", 5,
                                                        "boxes-cold"])["cases"]["boxes-cold"]["ns"],
            "gaps": lambda: limit(options, "gaps", cpu),
            "alone": lambda: _paced(options, "alone", [*BUSY, "main.nth_archive=0"], source, folder),
            "archiving": lambda: _paced(options, "archiving", [*BUSY, *ARCHIVING], source, folder),
            **(apart if len(cpus(options)) > 1 else {}),
            "sleeping": lambda: _sleeping(options, source, folder),
            "unpaced": lambda: _run(options, "unpaced", [*UNPACED, *TENTH], source,
                                    folder)["stats"]["proc_fps"],
        }, options.repeat)
        unpaced = spread(results["unpaced"])["median"]
        lossless = [_lossless(options, source, folder, unpaced) for _ in range(options.repeat)]
    print(f"latency: arrival to result, {FPS:,} frames of 300 x 300 a second, busy poll")
    kernel = [spread(ns)["median"] / 1e3 for ns in results["kernel"]]
    result = {"kernel": show("the kernel alone, a cold frame", kernel, "us"),
              "floor": _show_latency("a loop that only reads the clock",
                                     [{k: v / 1e3 for k, v in row.items()}
                                      for row in results["gaps"]])}
    for name, title in LATENCIES.items():
        if name in results:
            result[name] = _show_latency(title, results[name])
    result["p50 bar"] = bar("p50, us", result["alone"]["p50"]["median"],
                            KERNEL_TIMES * result["kernel"]["median"] + KERNEL_MORE_US, True)
    for text, most in (("p50", ARCHIVING_P50), ("p99", ARCHIVING_P99)):
        times = result["archiving"][text]["median"] / result["alone"][text]["median"]
        result[f"archiving, {text} bar"] = bar(f"{text}, archiving / not", times, most, True)
    result["cpu"] = show("CPU of the whole program, sleeping",
                         [row["cores"] for row in results["sleeping"]], "cores")
    result["cpu bar"] = bar("cores", result["cpu"]["median"], CPU_MOST, True)
    result["unpaced"] = show("unpaced, every 10th archived", results["unpaced"], "frames/s")
    result["lossless"] = show("highest paced rate without a loss / that", lossless, "")
    result["lossless bar"] = bar("ratio to the unpaced rate", result["lossless"]["median"],
                                 LOSSLESS_LEAST)
    return result
