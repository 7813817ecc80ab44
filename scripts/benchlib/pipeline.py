# SPDX-License-Identifier: BSD-3-Clause
"""Frames processed a second, against one core's bare copy + decide loop."""

import tempfile

from benchlib.common import (alternate, cpus, lcores, memory, ratios, run_json, run_program, show,
                             simulated_frames)

HUGE_MIB = 256
SETTINGS = ["dma.pace_frames=false", "main.overrun=block", "main.nth_archive=0",
            "lcores.idle=busy"]


def _bare_loop(options):
    return options.build / "tests/bench/bare_loop"


def needs(options):
    """Files that must be there."""
    return [_bare_loop(options)]


def hugepages(_options):
    """MiB of hugepages that it wants."""
    return HUGE_MIB


def run(options):
    """Unpaced, no archiving, results on, block."""
    workers = cpus(options)
    with tempfile.TemporaryDirectory() as folder:
        source = simulated_frames(options, folder)

        def bare():
            return run_json("bare loop", [_bare_loop(options), source, f"{options.seconds:g}",
                                          workers[0]])["fps"]

        def program(count):
            eal = lcores(workers[:count]) + memory(options, HUGE_MIB)
            report = run_program(options, f"pipeline, {count} worker lcores", eal, SETTINGS,
                                 source, folder)
            return report["stats"]["proc_fps"]

        runs = {"bare": bare}
        for count in sorted({1, len(workers)}):
            name = f"{count} worker lcores" if count > 1 else "1 worker lcore"
            runs[name] = lambda count=count: program(count)
        rates = alternate(runs, options.repeat)
    print("pipeline: frames processed a second, unpaced, results on, no archiving")
    limit = rates.pop("bare")
    result = {"bare loop, 1 core": show("bare copy + decide loop, 1 core", limit, "frames/s")}
    for name, values in rates.items():
        result[name] = show(name, values, "frames/s")
        result[name + ", ratio"] = show("  ratio to the bare loop", ratios(values, limit), "")
    return result
