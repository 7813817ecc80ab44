# SPDX-License-Identifier: BSD-3-Clause
"""Bytes replayed and decided a second, against fio reading the same file; every frame is checked."""

import pathlib

from benchlib import archive, fio
from benchlib.archive import BLOCK, HEADER, shape_name, stride
from benchlib.common import (alternate, bar, cpus, fail, lcores, memory, on_hugepages,
                             random_frames, ratios, run_program, scratch, show)

RATIO = 0.9  # to fio, what is asked for


def needs(options):
    """Files that must be there."""
    archive.needs(options)
    return []


def hugepages(options):
    """MiB of hugepages: the slabs, or fio's buffers, and EAL's own."""
    return archive.hugepages(options)


def slabs(shape):
    """Enough for all reads in flight, and as many that are decided meanwhile."""
    return 2 * shape.depth + 64


def block(shape):
    """Bytes of a read: the record, as far as a slab of whole blocks for the image has room."""
    return min(stride(shape), (2 * shape.width * shape.height + BLOCK - 1) // BLOCK * BLOCK)


def _megabytes(shape):
    return 256 + slabs(shape) * (stride(shape) + BLOCK) // 2**20


def _make_run(options, shape, folder):
    """An archived run of one segment, written past the page cache. Returns its folder."""
    source = random_frames(folder / "frames", shape.width, shape.height, 4)
    report = run_program(
        options, f"replay {shape_name(shape)}, archive", lcores(cpus(options)[:2][-1:])
        + memory(options, archive.hugepages(options)),
        [*archive.settings(shape, True), f"arch.arch_output_dir={folder / 'archive'}",
         f"arch.segment_bytes={int(archive.FASTEST * options.seconds)}"], source, folder)
    archive.settle()
    return folder / report["outputs"]["archive"], report["stats"]["arch_frames"]


def settings(shape):
    """Unpaced, with processing: results are written as text, as by default."""
    return ["main.nth_archive=0", "main.overrun=block", f"main.slabs={slabs(shape)}",
            "dma.pace_frames=false", "lcores.idle=busy",
            *(archive.small_grid() if shape.height < 300 else [])]


def figures(report, shape):
    """Of one run: GB/s and frames a second."""
    stats = report["stats"]
    frames = stats["proc_frames"]
    if frames == 0 or stats["dma_missed"] > 0 or frames != stats["dma_frames"]:
        fail(f"{frames} frames decided of {stats['dma_frames']} replayed, {stats['dma_missed']} "
             "missed; expected all, and some")
    busy = next(lcore["busy"] for lcore in report["lcores"] if "ingest" in lcore["role"])
    return {"gbps": stats["proc_fps"] * block(shape) / 1e9, "fps": stats["proc_fps"],
            "busy": busy}


def _program_run(options, shape, folder, run, checked):
    eal = lcores(cpus(options)[:2][-1:]) + memory(options, _megabytes(shape)) + [
        f"--vdev=dma_replay0,path={run},depth={shape.depth},verify={str(checked).lower()}"]
    name = f"replay {shape_name(shape)}" + ("" if checked else ", not verified")
    return figures(run_program(options, name, eal, settings(shape), "--device=dma_replay0",
                               folder), shape)


def _limit_run(options, name, shape, segment, frames, batch):
    size = block(shape)
    huge = on_hugepages(options, 2 * size * shape.depth // 2**20)
    return fio.read(name, segment, options.seconds, size, shape.depth, batch, HEADER,
                    frames * stride(shape), cpus(options)[:2][-1], huge)


def _measure(options, shape, folder):
    run, frames = _make_run(options, shape, folder)
    segment = next(run.glob("*_000000.npy"))
    name = f"replay {shape_name(shape)}"
    results = alternate({
        "program": lambda: _program_run(options, shape, folder, run, True),
        "fio": lambda: _limit_run(options, f"{name}, fio", shape, segment, frames,
                                  shape.depth // 4),
        "fio, one at a time": lambda: _limit_run(options, f"{name}, fio, one at a time", shape,
                                                 segment, frames, 1),
        "not verified": lambda: _program_run(options, shape, folder, run, False),
    }, options.repeat)
    print(f"{name}: {shape.depth} reads in flight, {block(shape):,} bytes a read; "
          f"{frames:,} records of {stride(shape):,} bytes over and over")
    rates = archive.column(results["program"], "gbps")
    result = {"program": show("replayed and decided", rates, "GB/s"),
              "busy": show("  lcore busy", archive.column(results["program"], "busy"), "")}
    for limit in ("fio", "fio, one at a time"):
        result[limit] = show(limit, results[limit], "GB/s")
        result[limit + ", ratio"] = show("  ratio to that", ratios(rates, results[limit]), "")
    if shape.ratio is not None:
        result["bar"] = bar("ratio to fio", result["fio, ratio"]["median"], RATIO)
    unchecked = archive.column(results["not verified"], "gbps")
    result["not verified"] = show("replayed and decided, not verified", unchecked, "GB/s")
    result["not verified, ratio"] = show("  ratio to fio", ratios(unchecked, results["fio"]), "")
    return {"speed": result, "runs": results}


def run(options):
    """Unpaced, over and over, with processing."""
    found = {}
    for shape in archive.chosen(options):
        with scratch(options) as folder:
            found[shape_name(shape)] = _measure(options, shape, pathlib.Path(folder))
    return found
