# SPDX-License-Identifier: BSD-3-Clause
"""Time of a frame against the bytes of it, the sites and the slabs; start-up and memory."""

import pathlib
import re
import tempfile
import time

from benchlib.common import (alternate, bar, cpus, lcores, memory, processor, random_frames, ratios,
                             run_json, run_program, show, spread)
from benchlib.machine import Grid, bare_fps, bare_program

HUGE_MIB = 1536
SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
FEW = Grid((0, 60), (0, 60), 15)
SITES = {1: Grid((0, 8), (0, 8), 8), 100: Grid((0, 80), (0, 80), 8),
         1024: Grid((0, 256), (0, 256), 8), 10000: Grid((0, 800), (0, 800), 8)}
SITES_SIZE = 1024
SLABS = (16, 64, 256, 1024, 4096, 16384)
SLABS_SIZE = 64
SLACK = 1.15  # growth that is noise
SETTINGS = ["dma.pace_frames=false", "main.overrun=block", "main.nth_archive=0",
            "lcores.idle=busy", "proc.results=none"]
START_SLABS = 2**30 // (180000 // 4096 * 4096 + 4096)  # 1 GiB of slabs of 300 x 300
START_MOST_S = 2
MEMORY_SHARE, MEMORY_MORE = 1.05, 64 * 2**20


def needs(options):
    """Files that must be there."""
    return [bare_program(options)]


def hugepages(_options):
    """MiB of hugepages that it wants."""
    return HUGE_MIB


def _us(options, name, source, folder, settings):
    eal = lcores(cpus(options)[:1]) + memory(options, HUGE_MIB)
    report = run_program(options, f"scale, {name}", eal, [*SETTINGS, *settings], source, folder)
    return 1e6 / report["stats"]["proc_fps"]


class _Memory:
    """The most that a process holds, hugepages included."""

    def __init__(self):
        self.most = 0

    def look(self, pid):
        """Called while it runs."""
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            return
        held = sum(int(kb) for kb in re.findall(r"^(?:Rss|Private_Hugetlb|Shared_Hugetlb): +(\d+)",
                                                text, re.M))
        self.most = max(self.most, 1024 * held)


def _start(options, folder):
    """Seconds until the first frame can come, of a run with 1 GiB of slabs; bytes that it holds."""
    held, begin = _Memory(), time.monotonic()
    command = [processor(options), *lcores(cpus(options)[:1]), *memory(options, HUGE_MIB),
               "--vdev=dma_null0,width=300,height=300", "--log-level=*:error", "--", "--report",
               "json", "-s", f"main.slabs={START_SLABS}", "-s", "proc.results=none", "-s",
               "main.nth_archive=0", "--device=dma_null0", "1"]
    report = run_json("scale, start-up", command, folder, held.look)
    return {"s": time.monotonic() - begin - report["stats"]["elapsed_sec"], "bytes": held.most}


def _cases(options, folder):
    """By (table, x): a function that returns us a frame."""
    cases = {}
    for size in SIZES:
        frames = random_frames(folder / f"size{size}", size, size, max(2, min(100, 2**25 // size**2)))
        cases["bytes", 2 * size * size] = lambda size=size, frames=frames: _us(
            options, f"{size} x {size}", frames, folder,
            [*FEW.settings(), f"main.slabs={max(8, min(512, 2**28 // (2 * size * size)))}"])
        cases["bare", 2 * size * size] = lambda size=size, frames=frames: 1e6 / bare_fps(
            options, f"scale, {size} x {size}, bare loop", frames, cpus(options)[0], FEW)
    sites_frames = folder / f"size{SITES_SIZE}"
    for sites, grid in SITES.items():
        cases["sites", sites] = lambda sites=sites, grid=grid: _us(
            options, f"{sites} sites", sites_frames, folder, [*grid.settings(), "main.slabs=64"])
    for slabs in SLABS:
        cases["slabs", slabs] = lambda slabs=slabs: _us(
            options, f"{slabs} slabs", folder / f"size{SLABS_SIZE}", folder,
            [*FEW.settings(), f"main.slabs={slabs}"])
    return cases


def _growth(medians, costs):
    """The largest growth from a row to the next over that of what it is compared with."""
    steps = zip(zip(medians, costs), list(zip(medians, costs))[1:])
    return max((b / a) / (y / x) for (a, x), (b, y) in steps)


def _show_growth(table, results):
    """The time against the bytes, and against what the bare loop takes for the same frames: what is the
    machine's is in both."""
    found = {}
    medians = [row["median"] for row in table.values()]
    bare = {x: show(f"{x:,} bytes a frame, the bare loop", results["bare", x], "us") for x in table}
    found["bare"] = {str(x): row for x, row in bare.items()}
    found["bare, ratio"] = {
        str(x): show(f"{x:,} bytes a frame, the bare loop / the program",
                     ratios(results["bare", x], results["bytes", x]), "") for x in table}
    found["bytes, bar"] = bar("growth of the time / of the bytes, worst step",
                              _growth(medians, list(table)), SLACK, True)
    found["bare, bar"] = bar("growth of the time / of the bare loop's, worst step",
                             _growth(medians, [row["median"] for row in bare.values()]), SLACK, True)
    return found


def run(options):
    """Unpaced, one worker lcore."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        runs = _cases(options, folder)
        runs["start", 0] = lambda: _start(options, folder)
        results = alternate(runs, options.repeat)
    print("scale: time of a frame, one worker lcore, unpaced")
    start = results.pop(("start", 0))
    tables = {"bytes": {}, "sites": {}, "slabs": {}}
    for (what, x), values in results.items():
        if what == "bare":
            continue
        text = {"bytes": f"{x:,} bytes a frame, 16 sites",
                "sites": f"{x:,} sites of 8 x 8, {SITES_SIZE} x {SITES_SIZE}",
                "slabs": f"{x:,} slabs, {SLABS_SIZE} x {SLABS_SIZE}"}[what]
        tables[what][x] = show(text, values, "us")
    result = {name: {str(x): row for x, row in table.items()} for name, table in tables.items()}
    result.update(_show_growth(tables["bytes"], results))
    slabs = [row["median"] for row in tables["slabs"].values()]
    result["slabs, worst"] = show("slowest number of slabs / fastest", [max(slabs) / min(slabs)], "")
    result["start"] = show("start-up and end with 1 GiB of slabs", [row["s"] for row in start], "s")
    result["start, bar"] = bar("s", result["start"]["median"], START_MOST_S, True)
    result["memory"] = show("memory held then", [row["bytes"] / 2**20 for row in start], "MiB")
    allowed = (MEMORY_SHARE * START_SLABS * (180000 // 4096 * 4096 + 4096) + MEMORY_MORE) / 2**20
    result["memory, bar"] = bar("MiB", spread([row["bytes"] / 2**20 for row in start])["median"],
                                allowed, True)
    return result
