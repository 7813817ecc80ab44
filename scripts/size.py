#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tell what frames of W x H pixels at FPS need: lcores, slabs, hugepages, rings, disk.

The memory is what the program itself says that it takes (--check-config). How many frames an lcore
decides is measured: the program plays random frames of that size for a second, here and now, on one
lcore as fast as it can, its copy into the slab included. --lcore-fps gives that figure instead, for
another machine's.

Exit status: 0 told; 1 the program failed; 2 wrong usage, or more than the program can do.
"""

import argparse
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SIDE_MAX = 8192
SITES_MAX = 100_000
SLABS = (2, 100_000)
RING_MAX = 1 << 20
LCORES_MAX = 126      # that process: of DPDK's 128 one is for control, one for the archive
LEAST_SLABS = 128     # the program's own default
HICCUP_S = 0.02       # that an lcore may be away for without a loss
LOAD = 0.7            # of what an lcore can do, what it is to do
MEASURE_BYTES = 64 << 20  # of frames played, more than a cache holds


class Trouble(Exception):
    """What is said in one line; status: the exit status."""

    def __init__(self, text, status=2):
        super().__init__(text)
        self.status = status


def number(low, high, kind=int, least_open=False):
    """An argparse type: a number of a range."""
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low < value if least_open else low <= value) or not value <= high:
            raise argparse.ArgumentTypeError(
                f'"{text}": expected a {"whole " if kind is int else ""}number, '
                f'{"more than " if least_open else ""}{low:g} to {high:g}')
        return value
    return parse


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="size", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("width", metavar="W", type=number(1, SIDE_MAX), help="pixels of a row")
    parser.add_argument("height", metavar="H", type=number(1, SIDE_MAX), help="rows")
    parser.add_argument("fps", metavar="FPS", type=number(0, 1e7, float, True),
                        help="frames a second")
    parser.add_argument("--sites", metavar="N", type=number(1, SITES_MAX), default=400,
                        help="sites to decide (default: 400)")
    parser.add_argument("--archive", metavar="N", type=number(0, 10**9), default=5,
                        help="archive every Nth frame; 0: none (default: 5)")
    parser.add_argument("--stall", metavar="SECONDS", type=number(0, 3600, float), default=0.1,
                        help="pause of the disk that loses nothing (default: 0.1)")
    parser.add_argument("--bits", metavar="N", type=number(1, 16), default=16,
                        help="of a pixel; up to 16, and each takes two bytes (default: 16)")
    parser.add_argument("--disk", metavar="MB/S", type=number(0, 1e6, float, True),
                        help="what the disk takes, to say whether that is enough")
    parser.add_argument("--lcore-fps", metavar="FPS", type=number(0, 1e9, float, True),
                        help="frames a second that an lcore decides (default: measured now)")
    parser.add_argument("--program", metavar="FILE", type=Path, default=find_program(),
                        help="the program (default: the built or installed one)")
    parser.add_argument("--json", action="store_true", help="print one object")
    return parser.parse_args()


def find_program():
    """The one built here, or the one installed."""
    built = Path(__file__).resolve().parents[1] / "build/app/dma-image-processor"
    return built if built.exists() else Path(shutil.which("dma-image-processor") or built)


def run(argv, **kwargs):
    """What the program prints."""
    try:
        done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False,
                              timeout=120, **kwargs)
    except (OSError, subprocess.TimeoutExpired) as error:
        why = getattr(error, "strerror", None) or "no end within 120 s"
        raise Trouble(f"{argv[0]}: {why}; expected dma-image-processor; build it "
                      "(scripts/build), or say where it is with --program") from error
    if done.returncode != 0:
        raise Trouble(f"the program failed: {done.stderr.strip().splitlines()[-1:]}", 1)
    return done.stdout


def grid(options):
    """Settings of a grid of so many sites, the last row filled up."""
    cols = max(1, min(options.width, math.ceil(math.sqrt(options.sites))))
    rows = min(options.height, math.ceil(options.sites / cols))
    if rows * cols < options.sites:
        raise Trouble(f"--sites {options.sites}: a frame of {options.width} x {options.height} has "
                      f"room for {rows * cols} side by side; expected fewer")
    h, w = min(10, options.height // rows), min(10, options.width // cols)
    return {"pois.row_start": 0, "pois.col_start": 0, "pois.roi_h": h, "pois.roi_w": w,
            "pois.row_end": rows * h, "pois.col_end": cols * w}


def assignments(settings):
    """As arguments."""
    return [part for key, value in settings.items() for part in ("-s", f"{key}={value}")]


def memory(options, settings):
    """{name: number} of what the program says that it takes."""
    printed = run([options.program, "--check-config", *assignments(settings)])
    told = {name: int(value)
            for name, value in re.findall(r"^# memory\.(\w+) = (\d+)$", printed, re.MULTILINE)}
    if "hugepages" not in told:
        raise Trouble(f"{options.program}: tells no memory; expected this version's program")
    return told


def measure(options, settings):
    """Frames a second that one lcore takes and decides."""
    count = max(2, min(256, MEASURE_BYTES // (2 * options.width * options.height)))
    with tempfile.TemporaryDirectory(prefix="size-") as folder:
        frames = np.random.default_rng(1).integers(
            0, min(200, 1 << options.bits), (count, options.height, options.width), dtype="<u2")
        np.save(Path(folder) / "frames.npy", frames)
        slabs = max(8, min(LEAST_SLABS, MEASURE_BYTES // (2 * options.width * options.height)))
        measured = {**settings, "main.slabs": slabs, "main.nth_archive": 0,
                    "main.overrun": "block", "dma.pace_frames": "false",
                    "proc.worker_threads": 1}
        report = json.loads(run([options.program, "--report", "json", *assignments(measured),
                                 "frames.npy", 1], cwd=folder))
    return report["stats"]["proc_fps"]


def slabs_for(options):
    """Enough for an lcore that is away and a disk that pauses."""
    away = HICCUP_S * options.fps
    held = options.stall * options.fps / options.archive if options.archive else 0
    # With main.overrun = "drop" a quarter stays for others, and the processors' hiccup besides.
    return max(LEAST_SLABS if options.fps > 100 else 16, math.ceil((away + held) * 4 / 3) + 8)


def plan(options):
    """Everything, as one dict."""
    slabs = slabs_for(options)
    if slabs > SLABS[1]:
        raise Trouble(f"{slabs:,} slabs would be needed for {options.fps:g} frames a second and a "
                      f"stall of {options.stall:g} s; expected {SLABS[1]:,} at most: a shorter "
                      "--stall, or a larger --archive")
    settings = {"main.image_w": options.width, "main.image_h": options.height, **grid(options),
                "main.fps": f"{options.fps:.12g}", "main.nth_archive": options.archive}
    rate = options.lcore_fps or measure(options, settings)
    processors = math.ceil(options.fps / (LOAD * rate))
    if processors > LCORES_MAX:
        raise Trouble(f"{processors:,} lcores would be needed, at {rate:,.0f} frames a second each; "
                      f"expected {LCORES_MAX} at most: fewer --sites, or a lower FPS")
    ring = max(64, slabs)
    settings.update({"main.slabs": slabs, "proc.worker_threads": processors,
                     "proc.ring_size": ring, "arch.ring_size": ring})
    if options.archive:
        settings["arch.max_inflight"] = max(1, min(256, slabs // 4))
    told = memory(options, settings)
    workers = processors + (1 if options.archive else 0)
    archived = options.fps / options.archive if options.archive else 0
    stride = told["slab_bytes"] if options.archive else 0
    return {"width": options.width, "height": options.height, "fps": options.fps,
            "lcore_fps": rate, "measured": options.lcore_fps is None,
            "lcores": {"control": 1, "process": processors, "archive": workers - processors,
                       "all": 1 + workers},
            "memory": told, "hugepages_command":
                f"echo {told['hugepages']} > /proc/sys/vm/nr_hugepages",
            "archived_fps": archived, "disk_bytes_s": archived * stride,
            "disk_bytes_hour": archived * stride * 3600,
            "disk_enough": None if options.disk is None else
                options.disk * 1e6 >= archived * stride,
            "stall_s": stall_of(options, told, archived), "settings": settings}


def stall_of(options, told, archived):
    """Seconds of a pause of the disk until a frame is dropped; None without archive."""
    return (told["arch_ring"] + told["arch_inflight"]) / archived if options.archive else None


def config_lines(settings):
    """As a configuration file."""
    lines, group = [], None
    for key, value in sorted(settings.items()):
        name, field = key.split(".")
        if name != group:
            lines += (["};"] if group else []) + [f"{name} = {{"]
            group = name
        if field == "fps" and "." not in str(value) and "e" not in str(value):
            value = f"{value}.0"
        lines.append(f"\t{field} = {value};")
    return lines + ["};"]


def launch(found):
    """The command line, as it is typed."""
    return shlex.join(["dma-image-processor", "-l", f"0-{found['lcores']['all'] - 1}",
                       "--main-lcore", "0", "--in-memory", "--no-pci", "--iova-mode=va",
                       "--file-prefix", "camera", "--vdev=dma_file0,path=images", "--", "-c",
                       "camera.cfg", "--device", "dma_file0", "0"])


def show(found, options):
    """For people."""
    m, lcores = found["memory"], found["lcores"]
    how = "measured here" if found["measured"] else "as given"
    print(f"{options.width} x {options.height} pixels of {options.bits} bits, {options.fps:g} "
          f"frames a second, {options.sites} sites")
    print(f"lcores     {lcores['all']}: 1 control and results, {lcores['process']} process, "
          f"{lcores['archive']} archive; one decides {found['lcore_fps']:,.0f} frames a second "
          f"({how}), and is to be busy {LOAD:.0%} of the time at most")
    print(f"memory     {found['settings']['main.slabs']} slabs of {m['slab_bytes']:,} bytes, "
          f"{m['pool_bytes']:,} bytes; {m['total_bytes']:,} bytes in all")
    print(f"hugepages  {m['hugepages']} of 2 MiB: {found['hugepages_command']}")
    print(f"rings      {m['proc_ring']} frames to the processors of a lane, "
          f"{m['arch_ring']} to the archive and {m['arch_inflight']} being written")
    if options.archive:
        print(f"disk       {found['disk_bytes_s'] / 1e6:,.1f} MB/s, "
              f"{found['disk_bytes_hour'] / 1e9:,.1f} GB an hour; a pause of "
              f"{found['stall_s']:.2f} s loses nothing")
    if found["disk_enough"] is not None:
        print(f"           {options.disk:g} MB/s "
              f"{'are enough' if found['disk_enough'] else 'are NOT enough'}")
    print(f"\n{launch(found)}\n\ncamera.cfg:\n")
    print("\n".join(config_lines(found["settings"])))


def main():
    """Returns the exit status."""
    options = parse()
    try:
        found = plan(options)
    except Trouble as error:
        print(f"size: {error}", file=sys.stderr)
        return error.status
    if found["lcores"]["all"] > len(os.sched_getaffinity(0)):
        print(f"size: this machine has {len(os.sched_getaffinity(0))} CPUs for "
              f"{found['lcores']['all']} lcores", file=sys.stderr)
    if options.json:
        print(json.dumps({**found, "launch": launch(found),
                          "config": "\n".join(config_lines(found["settings"])) + "\n"}, indent=2))
    else:
        show(found, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
