# SPDX-License-Identifier: BSD-3-Clause
"""R7 and R8 on real file systems: ext4 on a disk that turns out to be too small when its data are
synced, a folder that becomes read-only, a file system that the kernel makes read-only."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import proof
from disks import MIB, sh
from oracle import check_results, dipformat
from test_archive_tool import tool
from test_faults import check_readable, complaints

def exact_frames(path, scene):
    """The frames that lie exact in a segment: {seq: timestamp}."""
    records = np.load(path, mmap_mode="r")
    seqs = records["seq"].astype(np.int64)
    exact = (records["magic"] == dipformat.MAGIC) & (
        records["image"] == scene.frames[seqs % len(scene.frames)]).all(axis=(1, 2))
    return dict(zip(seqs[exact].tolist(), records["timestamp_ns"][exact].tolist()))


@pytest.mark.archive
def test_a_disk_that_loses_what_it_took(dip, scene, loop_disk):
    """R8: a sync that really fails condemns its segment; no frame of it is called good after that
    sync; when the disk works again a new segment is opened, within a second."""
    disk = loop_disk(64, 20)
    run = dip.start(scene.folder, 0, sets=scene.sets(**{
        "main.nth_archive": 1, "main.fps": 1000, "main.overrun": "drop",
        "arch.arch_output_dir": str(disk.mount / "archive"), "arch.direct_io": False,
        "arch.use_io_uring": False, "arch.segment_bytes": 4 * MIB, "arch.sync_interval_ms": 100}))
    dip.wait_for(run, lambda: list(disk.mount.glob("archive/*/*.npy.condemned")))
    time.sleep(0.3)
    disk.enlarge(200)
    at_end = time.time_ns()
    time.sleep(1.5)
    run = dip.stop(run, status=1)
    assert len(check_results(run, scene)) == run.stats["dma_frames"]
    assert complaints(run, "condemned, ") and run.stats["arch_condemned"] >= 1
    # No frame goes into a segment after it that could not be synced first.
    assert complaints(run, ".npy: sync: ") and run.stats["arch_io_errors"] > 0
    assert len(run.stderr.splitlines()) < 20, "the log must not flood"
    disk.again()
    folder = run.archive()
    condemned = sorted(folder.glob("*.npy.condemned"))
    assert len(condemned) == run.stats["arch_condemned"]
    durable, stamps = 0, []
    for path in sorted(folder.glob("*.npy")):
        frames = exact_frames(path, scene)
        assert len(frames) == len(np.load(path, mmap_mode="r")), "a segment that is called good"
        durable += len(frames)
        stamps += frames.values()
    # Of a condemned one the lines written before the failure are still true.
    for path in condemned:
        copy = dip.folder / path.name.removesuffix(".condemned")
        shutil.copy(path, copy)
        lines, _ = dipformat.read_index(path.with_name(
            path.name.replace(".npy.condemned", ".idx.condemned")))
        # Without a line it has never been synced: not even its header need be there.
        frames = exact_frames(copy, scene) if lines else {}
        assert {seq for _, seq, _ in lines} <= set(frames)
        durable += len(lines)
    assert durable == run.stats["arch_durable"] <= run.stats["arch_frames"]
    later = [stamp for stamp in stamps if stamp > at_end]
    assert later and min(later) - at_end < 1_000_000_000, "a new segment within a second"
    tool("verify", folder, status=1)
    assert "condemned segments" in tool.stderr
    proof.say(f"R8: {len(condemned)} segments condemned by a failing disk, "
              f"{durable} durable frames found on it")


@pytest.mark.parametrize("uring", [True, False], ids=["uring", "pwrite"])
def test_a_disk_that_refuses(dip, scene, loop_disk, uring):
    """R7, past the page cache: the writes themselves fail, late, from the block layer."""
    disk = loop_disk(64, 20)
    run = dip.start(scene.folder, 0, sets=scene.sets(**{
        "main.nth_archive": 1, "main.fps": 1500, "main.overrun": "drop",
        "arch.arch_output_dir": str(disk.mount / "archive"), "arch.use_io_uring": uring,
        "arch.segment_bytes": 4 * MIB}))
    dip.wait_for(run, lambda: os.statvfs(disk.backing).f_bavail == 0)
    time.sleep(0.4)
    disk.enlarge(200)
    at_end = time.time_ns()
    time.sleep(1.3)
    run = dip.stop(run, status=1)
    assert len(check_results(run, scene)) == run.stats["dma_frames"]
    assert run.stats["arch_io_errors"] + run.stats["arch_condemned"] > 0
    disk.again()
    found, stamps = set(), []
    for path in sorted(run.archive().glob("*.npy")):
        frames = exact_frames(path, scene)
        found |= set(frames)
        stamps += frames.values()
    if run.stats["arch_condemned"] == 0:
        assert len(found) == run.stats["arch_frames"]
    later = [stamp for stamp in stamps if stamp > at_end]
    assert later and min(later) - at_end < 1_000_000_000, "archiving goes on within a second"


def test_a_folder_that_becomes_read_only(dip, scene):
    """R7: the next segments cannot be made; then they can again."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount")
    run = dip.start(scene.folder, 0, sets=scene.sets(**{
        "main.nth_archive": 1, "main.fps": 1000, "main.overrun": "drop",
        "arch.segment_bytes": 1 << 19}))
    dip.wait_for(run, lambda: len(list(dip.folder.glob("archive/*/*.npy"))) > 2)
    folder = next((dip.folder / "archive").iterdir())
    done = subprocess.run(["mount", "--bind", "-o", "ro", folder, folder], capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        dip.stop(run)
        pytest.skip(f"no bind mount here: {done.stderr.strip()}")
    try:
        time.sleep(0.8)
    finally:
        sh("umount", folder)
    at_end = time.time_ns()
    time.sleep(1.2)
    run = dip.stop(run, status=1)
    assert len(check_results(run, scene)) == run.stats["dma_frames"]
    seqs = check_readable(run, scene)
    assert run.stats["arch_io_errors"] > 0
    told = complaints(run, "Read-only file system")
    assert len([line for line in told if ".npy: cannot be made" in line]) == 1
    # Nor can run.h5 be written, if a segment was closed meanwhile.
    sidecar = [line for line in told if "run.h5" in line]
    assert len(sidecar) <= 1 and len(told) == 1 + len(sidecar)
    assert len(complaints(run, "archiving again")) == 1
    segments = sorted(folder.glob("*.npy"))
    stamps = np.concatenate([np.load(path)["timestamp_ns"] for path in segments]).astype(np.int64)
    later = stamps[stamps > at_end]
    assert len(later) and later.min() - at_end < 1_000_000_000
    # 42 records fit into a segment: no more of them than the frames need.
    assert len(segments) == -(-len(seqs) // 42)
