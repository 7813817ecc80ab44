# SPDX-License-Identifier: BSD-3-Clause
"""Frames processed a second, against one core's bare copy + decide loop. The main lcore, which writes
the results, floats over both CPUs; results are text unless a row says otherwise."""

import pathlib
import tempfile

from benchlib.common import (alternate, bar, cpus, lcores, memory, random_frames, ratios,
                             run_program, show, simulated_frames)
from benchlib.machine import Grid, bare_fps, bare_program, limit as limit_of, limits_program

HUGE_MIB = 256
SETTINGS = ["dma.pace_frames=false", "main.overrun=block", "main.nth_archive=0",
            "lcores.idle=busy"]
ONE_LEAST, TWO_LEAST = 0.90, 1.8  # of the bare loop on one core, what is asked for
SMALL = Grid((2, 62), (2, 62), 15)  # 16 sites, of 64 x 64 pixels
SMALL_LEAST_FPS, SMALL_LEAST = 1e6, 0.8  # one of these
WHOLE = Grid((0, 16), (0, 16), 16)  # one site, of 16 x 16 pixels
OVERHEAD_MOST_NS = 250


def needs(options):
    """Files that must be there."""
    return [bare_program(options), limits_program(options)]


def hugepages(_options):
    """MiB of hugepages that it wants."""
    return HUGE_MIB


def _fps(options, name, workers, source, folder, more=(), devices=()):
    eal = lcores(workers, cpus(options)[:2]) + memory(options, HUGE_MIB) + list(devices)
    return run_program(options, name, eal, [*SETTINGS, *more], source, folder)["stats"]["proc_fps"]


def _runs(options, source, small, folder):
    """By name."""
    workers = cpus(options)[:2]
    runs = {"bare": lambda: bare_fps(options, "bare loop", source, workers[0]),
            "one": lambda: _fps(options, "pipeline, 1 worker lcore", workers[:1], source, folder),
            "overhead": lambda: _fps(
                options, "pipeline, overhead", workers[:1], "--device=dma_null0", folder,
                [*WHOLE.settings(), "proc.results=none"], ["--vdev=dma_null0,width=16,height=16"])}
    if len(workers) < 2:
        return runs
    small_settings = [*SMALL.settings(), "proc.results=npy"]
    runs["two"] = lambda: _fps(options, "pipeline, 2 worker lcores", workers, source, folder)
    runs["two npy"] = lambda: _fps(options, "pipeline, npy", workers, source, folder,
                                   ["proc.results=npy"])
    runs["split"] = lambda: _fps(options, "pipeline, split", workers, source, folder,
                                 ["lcores.layout=split"])
    runs["hop"] = lambda: limit_of(options, "hop", *workers)["ns"]
    runs["small bare"] = lambda: bare_fps(options, "bare loop, 64x64", small, workers[0], SMALL)
    runs["small"] = lambda: _fps(options, "pipeline, 64x64", workers, small, folder, small_settings)
    return runs


def _show_ratio(result, name, values, limit, least=None):
    result[name] = show(name, values, "frames/s")
    row = result[name + ", ratio"] = show("  ratio to the bare loop", ratios(values, limit), "")
    if least is not None:
        result[name + ", bar"] = bar("ratio to the bare loop", row["median"], least)


def run(options):
    """Unpaced, no archiving, results on, block."""
    with tempfile.TemporaryDirectory() as folder:
        source = simulated_frames(options, folder)
        small = random_frames(pathlib.Path(folder) / "small", 64, 64, 100)
        rates = alternate(_runs(options, source, small, folder), options.repeat)
    print(f"pipeline: frames processed a second, unpaced, results on, no archiving; "
          f"{len(cpus(options)[:2])} CPUs")
    limit = rates["bare"]
    result = {"bare loop, 1 core": show("bare copy + decide loop, 1 core", limit, "frames/s")}
    _show_ratio(result, "1 worker lcore", rates["one"], limit, ONE_LEAST)
    if "two" in rates:
        _show_ratio(result, "2 worker lcores", rates["two"], limit, TWO_LEAST)
        _show_ratio(result, "2 worker lcores, npy", rates["two npy"], limit)
        _show_ratio(result, "2 worker lcores, split", rates["split"], limit)
        result["hop"] = show("a descriptor through a ring to the other CPU", rates["hop"], "ns")
        result["bare loop, 64x64"] = show("64 x 64, 16 sites: bare loop, 1 core",
                                          rates["small bare"], "frames/s")
        _show_ratio(result, "64 x 64, npy, 2 worker lcores", rates["small"], rates["small bare"])
        share = max(result["64 x 64, npy, 2 worker lcores"]["median"] / SMALL_LEAST_FPS,
                    result["64 x 64, npy, 2 worker lcores, ratio"]["median"] / SMALL_LEAST)
        result["64 x 64, bar"] = bar("share of 1,000,000 a second, or of 0.8 of it", share, 1)
    cost = [1e9 / fps for fps in rates["overhead"]]
    result["overhead"] = show("no frames moved, 16 x 16, one site, results off", cost, "ns/frame")
    result["overhead, bar"] = bar("ns a frame", result["overhead"]["median"], OVERHEAD_MOST_NS,
                                  at_most=True)
    return result
