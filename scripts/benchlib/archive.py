# SPDX-License-Identifier: BSD-3-Clause
"""Bytes archived a second, against fio on the same file system; every frame is verified."""

import collections
import os
import pathlib
import re
import shutil
import subprocess
import time

from benchlib import fio
from benchlib.common import (alternate, bar, commands, cpus, fail, lcores, memory, on_hugepages,
                             random_frames, ratios, refuse, run_program, scratch, show)
from benchlib.threads import Threads, kernel_seconds, kernel_seconds_since

HEADER, TRAILER, BLOCK = 4096, 40, 4096  # docs/archive.md
GATHER = 262144                          # arch.io_buffer_bytes
FASTEST = 6e9                            # no disk is expected to be faster, bytes/s
SYNC_FIRST = 2**30                       # bytes fio syncs after when the program has not run yet
LASTING = 4                              # GB a run, or a cache of the device may hold them

# Writes in flight: fewer large ones keep a disk busy. What is asked for, None: nothing: the ratio
# to the limit, and the archiver's microseconds of CPU a frame with the checksum.
Shape = collections.namedtuple("Shape", "width height depth ratio cpu_us")


def shape_name(shape):
    """As it is given on the command line."""
    return f"{shape.width}x{shape.height}"


SHAPES = {shape_name(shape): shape for shape in (
    Shape(300, 300, 64, 0.95, 15), Shape(64, 64, 64, 0.90, None),
    Shape(2048, 2048, 16, 0.90, None), Shape(4096, 4096, 8, None, None))}


def stride(shape):
    """Bytes of a record."""
    return (2 * shape.width * shape.height + TRAILER + BLOCK - 1) // BLOCK * BLOCK


def gathered(shape):
    """Frames in one write."""
    return max(1, min(64, GATHER // stride(shape)))


def slabs(shape):
    """Enough for all writes in flight, as many that wait, and as many more to be filled meanwhile."""
    return 4 * shape.depth * gathered(shape)


def chosen(options):
    """The shapes to measure."""
    names = options.shapes.split(",") if options.shapes else list(SHAPES)
    for name in names:
        if name not in SHAPES:
            refuse(f"--shapes {options.shapes}: found {name}; expected some of {','.join(SHAPES)}")
    return [SHAPES[name] for name in names]


def needs(options):
    """Files that must be there."""
    fio.check()
    try:
        os.close(os.open(options.folder, os.O_TMPFILE | os.O_RDWR | os.O_DIRECT))
    except OSError as error:
        refuse(f"--folder {options.folder}: {error.strerror}; expected O_DIRECT to work there, as "
               "on a disk's file system")
    space = shutil.disk_usage(options.folder).free
    if space < FASTEST * options.seconds:
        refuse(f"--folder {options.folder}: found {space / 1e9:.1f} GB free; expected "
               f"{FASTEST * options.seconds / 1e9:.1f} GB, what a disk may take in "
               f"{options.seconds:g} s; use fewer --seconds or another --folder")
    return [_tool(options)]


def hugepages(options):
    """MiB of hugepages: the slabs, or fio's buffers, and EAL's own."""
    return max(_megabytes(shape) for shape in chosen(options))


def _megabytes(shape):
    return 256 + slabs(shape) * (stride(shape) + BLOCK) // 2**20


def _tool(options):
    return options.build / "app/archive/dma-image-archive"


def small_grid():
    """Sites that fit into 64 x 64 pixels."""
    return [f"pois.{key}={value}" for key, value in
            zip(("row_start", "col_start", "row_end", "col_end"), (2, 2, 62, 62))]


def settings(shape, checksum):
    """What is archived: every frame, however long the source must wait."""
    return ["main.nth_archive=1", "main.overrun=block", f"main.slabs={slabs(shape)}",
            "dma.pace_frames=false", "proc.results=none", "lcores.idle=busy",
            f"arch.uring_qd={shape.depth}", f"arch.max_inflight={2 * shape.depth * gathered(shape)}",
            f"arch.io_buffer_bytes={GATHER}", f"arch.block_bytes={BLOCK}",
            f"arch.checksum={str(checksum).lower()}", *(small_grid() if shape.height < 300 else [])]


# Of two lcores the second one only archives.
APART = ["lcores.ingest=1", "lcores.process=1", "lcores.archive=2"]


def settle():
    """What others wrote, and the freeing of what we wrote, shall not disturb the next run."""
    os.sync()
    time.sleep(0.5)


def verify(options, folder, frames):
    """Every frame of the run is on the disk, and good; then it is removed."""
    command = [_tool(options), "verify", folder]
    commands["verify"] = " ".join(map(str, command))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fail(f"verify: exit status {done.returncode}\n{(done.stdout + done.stderr).rstrip()}")
    found = re.search(r": (\d+) frames of ", done.stdout)
    if found is None or int(found[1]) != frames:
        fail(f"verify: found {done.stdout.rstrip()}; expected {frames} frames")
    shutil.rmtree(folder)


def lcore_busy(report, role):
    """The share of its time in which the lcore with this role had work, or None."""
    return next((lcore["busy"] for lcore in report["lcores"] if lcore["role"] == role), None)


def figures(report, shape, threads, kernel):
    """Of one run: GB/s, padding included, and microseconds of CPU for each frame."""
    stats = report["stats"]
    frames = stats["arch_frames"]
    if frames == 0 or frames != stats["dma_frames"]:
        fail(f"{frames} frames archived of {stats['dma_frames']}; expected all, and some")
    seconds = frames / stats["arch_fps"]
    busy = lcore_busy(report, "archive")
    workers = threads.seconds("iou-wrk") * 1e6 / frames
    return {"gb": frames * stride(shape) / 1e9, "gbps": stats["arch_fps"] * stride(shape) / 1e9,
            "fps": stats["arch_fps"], "workers_us": workers,
            "archiver_us": None if busy is None else busy * seconds * 1e6 / frames + workers,
            "keeper_us": threads.seconds("dip-keeper") * 1e6 / frames,
            "kernel_us": kernel * 1e6 / frames,
            "ingest_busy": lcore_busy(report, "ingest+process"), "archive_busy": busy,
            "longest_ms": report["latency"]["archived"]["max_ns"] / 1e6}


# Like fio: one file, reserved in advance, no sync before its end. Else the defaults: segments of
# 1 GiB, a sync every second.
def _unsynced(options):
    return ["arch.sync_interval_ms=0", f"arch.segment_bytes={int(FASTEST * options.seconds)}"]


def _program_run(options, name, shape, folder, workers, more, checksum=True):
    out, source = folder / "archive", folder / shape_name(shape)
    threads, before = Threads(), kernel_seconds()
    report = run_program(
        options, name, lcores(workers) + memory(options, _megabytes(shape)),
        [*settings(shape, checksum), *more, f"arch.arch_output_dir={out}"], source, folder,
        threads.look)
    result = figures(report, shape, threads, kernel_seconds_since(before))
    verify(options, folder / report["outputs"]["archive"], report["stats"]["arch_frames"])
    settle()
    return result


def limits(shape):
    """What fio does in turn with the program, by name: bytes of a block, writes submitted at once.
    The first one is the limit that the bars are about: a batch lets the block layer merge."""
    batch = shape.depth // 4
    found = {"fio": (stride(shape), batch), "fio, one at a time": (stride(shape), 1)}
    if gathered(shape) > 1:
        found["fio, as gathered"] = (stride(shape) * gathered(shape), batch)
    return found


def _limit_run(options, name, depth, block, batch, folder, sync_every=0):
    huge = on_hugepages(options, 2 * block * depth // 2**20)
    result = fio.write(name, folder / "fio.dat", options.seconds, block, depth, batch,
                       int(FASTEST * options.seconds), cpus(options)[:2][-1], huge, sync_every)
    settle()
    return result


def _runs(options, shape, folder):
    """By name. On one lcore, so that a CPU is left for the disk as there is beside fio; what the
    archiver takes is measured on an lcore of its own."""
    name, one, two = f"archive {shape_name(shape)}", cpus(options)[:2][-1:], cpus(options)[:2]
    own = APART if len(two) > 1 else []
    blocks = 0  # that the program writes between two syncs

    def program_synced():
        nonlocal blocks
        row = _program_run(options, f"{name}, synced", shape, folder, one, [])
        blocks = max(1, round(row["fps"]))
        return row

    def fio_synced():
        return _limit_run(options, f"{name}, fio, synced", shape.depth, stride(shape),
                          shape.depth // 4, folder, blocks or SYNC_FIRST // stride(shape))

    runs = {"program": lambda: _program_run(options, name, shape, folder, one,
                                            _unsynced(options))}
    for limit, (block, batch) in limits(shape).items():
        runs[limit] = lambda args=(f"{name}, {limit}", shape.depth, block, batch): _limit_run(
            options, *args, folder)
    runs["program, synced"], runs["fio, synced"] = program_synced, fio_synced
    if shape.cpu_us is not None:
        runs["own lcore"] = lambda: _program_run(
            options, f"{name}, own lcore", shape, folder, two, [*own, *_unsynced(options)])
        runs["no checksum"] = lambda: _program_run(
            options, f"{name}, no checksum", shape, folder, two, [*own, *_unsynced(options)],
            False)
    return runs


def column(rows, key):
    """One figure of each run."""
    return [row[key] for row in rows]


def _show_speed(shape, results):
    rows = results["program"]
    rates = column(rows, "gbps")
    result = {"program": show("archived", rates, "GB/s"),
              "longest_ms": show("  slowest frame, arrival to archived",
                                 column(rows, "longest_ms"), "ms")}
    for name, (block, batch) in limits(shape).items():
        what = f"{name}, {batch} of {block:,} bytes" if batch > 1 else f"{name}, {block:,} bytes"
        limit = column(results[name], "gbps")
        result[name] = show(what, limit, "GB/s")
        result[name + ", ratio"] = show("  ratio to that", ratios(rates, limit), "")
    if shape.ratio is not None:
        result["bar"] = bar("ratio to fio", result["fio, ratio"]["median"], shape.ratio)
    synced = column(results["program, synced"], "gbps")
    result["program, synced"] = show("archived, synced every second", synced, "GB/s")
    limit = column(results["fio, synced"], "gbps")
    result["fio, synced"] = show("fio, synced as often", limit, "GB/s")
    result["fio, synced, ratio"] = show("  ratio to that", ratios(synced, limit), "")
    least = min(column(rows, "gb"))
    if least < LASTING:
        print(f"  warning: a run of {least:.1f} GB; expected {LASTING} GB or more, or a cache of "
              "the device may take them; use more --seconds")
    return result


def _show_cpu(rows, what):
    if rows[0]["archiver_us"] is None:
        print("  CPU of the archiver: it has no lcore of its own here; expected two --cores")
        return {}
    result = {"archiver": show(f"CPU a frame, archiver{what}", column(rows, "archiver_us"), "us")}
    for key, text in (("workers_us", "of it io_uring's workers"),
                      ("keeper_us", "beside it the segment keeper"),
                      ("kernel_us", "beside it all kernel threads")):
        result[key] = show("  " + text, column(rows, key), "us")
    for key in ("archive_busy", "ingest_busy"):
        result[key] = show(f"  {key.split('_')[0]} lcore busy", column(rows, key), "")
    return result


def _measure(options, shape, folder):
    # A few: they stay in a cache, so that the source is not what limits.
    source = random_frames(folder / shape_name(shape), shape.width, shape.height, 4)
    settle()
    results = alternate(_runs(options, shape, folder), options.repeat)
    shutil.rmtree(source)
    print(f"archive {shape_name(shape)}: {shape.depth} writes in flight, {gathered(shape)} frames "
          f"a write; {sum(column(results['program'], 'gb')):.1f} GB verified")
    result = {"speed": _show_speed(shape, results), "runs": results,
              "cpu": _show_cpu(results["own lcore"], "") if "own lcore" in results else {}}
    if "no checksum" in results:
        result["cpu, no checksum"] = _show_cpu(results["no checksum"], ", no checksum")
        result["cpu, fio"] = show("CPU a block, fio, which has no checksum",
                                  column(results["fio"], "cpu_us"), "us")
    if shape.cpu_us is not None and result["cpu"]:
        result["cpu bar"] = bar("us of the archiver a frame",
                                result["cpu"]["archiver"]["median"], shape.cpu_us, at_most=True)
    return result


def run(options):
    """Every frame, unpaced, with checksum, results none, block."""
    with scratch(options) as folder:
        return {shape_name(shape): _measure(options, shape, pathlib.Path(folder))
                for shape in chosen(options)}
