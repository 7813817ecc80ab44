# SPDX-License-Identifier: BSD-3-Clause
"""Bytes a second that a source puts into slabs, one lcore, against a copy and a read of memory."""

import pathlib
import tempfile

from benchlib.common import alternate, cpus, lcores, memory, random_frames, ratios, run_program, show
from benchlib.machine import Grid, limit, limits_program

HUGE_MIB = 512
SHAPE = 300
BYTES = 2 * SHAPE * SHAPE
SITE = Grid((0, 1), (0, 1), 1)  # next to nothing to decide
SETTINGS = [*SITE.settings(), "dma.pace_frames=false", "main.overrun=block", "main.nth_archive=0",
            "lcores.idle=busy", "proc.results=none"]
SIM = f"width={SHAPE},height={SHAPE},cycle=100"


def needs(options):
    """Files that must be there."""
    return [limits_program(options)]


def hugepages(_options):
    """MiB of hugepages that it wants."""
    return HUGE_MIB


def _gbps(options, name, source, folder, devices=()):
    eal = lcores(cpus(options)[:1]) + memory(options, HUGE_MIB) + list(devices)
    stats = run_program(options, f"source, {name}", eal, SETTINGS, source, folder)["stats"]
    return stats["proc_fps"] * BYTES / 1e9


def run(options):
    """Unpaced, block, nothing decided or written to speak of."""
    cpu = cpus(options)[0]
    with tempfile.TemporaryDirectory() as folder:
        frames = random_frames(pathlib.Path(folder) / "frames", SHAPE, SHAPE, 1000)
        rates = alternate({
            "read": lambda: limit(options, "read", cpu)["gbps"],
            "copy": lambda: limit(options, "copy", cpu)["gbps"],
            "dma_file": lambda: _gbps(options, "dma_file", frames, folder),
            "dma_sim": lambda: _gbps(options, "dma_sim", "--device=dma_sim0", folder,
                                     [f"--vdev=dma_sim0,{SIM}"]),
        }, options.repeat)
    print(f"source: {SHAPE} x {SHAPE} pixels into slabs, one worker lcore, one site of one pixel")
    result = {"read": show("linear read of memory, one core", rates["read"], "GB/s"),
              "copy": show("copy from memory into one slab", rates["copy"], "GB/s")}
    for name, what in (("dma_file", "1,000 frames in memory"), ("dma_sim", "a cycle of 100")):
        result[name] = show(f"{name}, {what}", rates[name], "GB/s")
        result[name + ", ratio"] = show("  ratio to the copy", ratios(rates[name], rates["copy"]),
                                        "")
    return result
