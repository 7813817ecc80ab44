# SPDX-License-Identifier: BSD-3-Clause
"""R5: kill -9 at any moment of a run that archives everything and rotates often. Every indexed frame
is exact, recover finds every whole one, and the next run starts beside what is left."""

import os
import random
import shutil
import signal
import time

import numpy as np
import pytest

import harness
import proof
from oracle import check_lossless, dipformat
from test_archive_tool import bytes_of, tool
from test_faults import strace_command

pytestmark = pytest.mark.archive


def whole_frames(path, scene):
    """The numbers of the frames that lie whole in a segment, in order, and the offset of each; by
    NumPy and the source alone."""
    head = 4096
    stride = -(-(scene.frames[0].nbytes + 40) // 4096) * 4096
    size = max(path.stat().st_size - head, 0) // stride
    records = np.memmap(path, dipformat.record_dtype(*scene.frames[0].shape, stride), "r", head,
                        size) if size else []
    found = {}
    for i, record in enumerate(records):
        seq = int(record["seq"])
        if record["magic"] == dipformat.MAGIC and np.array_equal(
                record["image"], scene.frames[seq % len(scene.frames)]):
            found[head + i * stride] = seq
    return found


def check_remains(folder, scene):
    """What a killed run has left. Returns (frames, index lines)."""
    left, lines = {}, 0
    for path in sorted(folder.glob("*.npy")):
        left[path.name] = whole_frames(path, scene)
        index = path.with_suffix(".idx")  # made after the segment
        indexed, faults = dipformat.read_index(index) if index.exists() else ([], [])
        assert not faults, "a line that is not whole"
        for _, seq, offset in indexed:
            assert left[path.name].get(offset) == seq, f"{path.name}: {seq} {offset}"
        lines += len(indexed)
    if not left:
        return 0, 0
    tool("recover", folder)
    tool("verify", folder)
    for path in sorted(folder.glob("*.npy")):
        assert np.load(path)["seq"].tolist() == list(left[path.name].values()), path.name
        assert list(whole_frames(path, scene).values()) == list(left[path.name].values())
    before = bytes_of(folder)
    tool("recover", folder)
    assert bytes_of(folder) == before
    return sum(map(len, left.values())), lines


def settings(rng, scene):
    """Slowly into tiny segments, or as fast as it goes into small ones; by any back end."""
    slow = rng.random() < 0.5
    return scene.sets(**{
        "main.nth_archive": 1, "main.overrun": "block", "main.fps": 3000,
        "dma.pace_frames": slow, "arch.segment_bytes": 1 << 17 if slow else 1 << 20,
        "arch.use_io_uring": rng.random() < 0.5, "arch.direct_io": rng.random() < 0.5,
        "arch.sync_interval_ms": rng.choice([0, 20, 100])})


def runs(dip):
    """The folders of all runs."""
    return set((dip.folder / "archive").glob("*"))


def kill_once(dip, scene, start, kill):
    """One run among what the others have left; the oldest of that goes. Returns as
    check_remains."""
    before = runs(dip)
    run = start()
    try:
        dip.wait_for(run, lambda: any(folder.glob("*.npy")
                                      for folder in runs(dip) - before))
        kill(run)
    except AssertionError:  # a named point came before that
        assert not run.running()
    if run.status is None:
        run.finish()
    assert run.status in (-signal.SIGKILL, 128 + signal.SIGKILL), run.stderr
    new = runs(dip) - before
    assert len(new) <= 1
    counts = check_remains(new.pop(), scene) if new else (0, 0)
    for folder in before:
        shutil.rmtree(folder)
    for path in (dip.folder / "results").glob("*"):
        path.unlink()
    return counts


def check_next_start(dip, scene):
    """A run in the same folder, without cleaning up."""
    run = dip.run(scene.folder, sets=scene.sets(**{
        "main.nth_archive": 1, "main.overrun": "block", "dma.pace_frames": False,
        "dma.loop_frames": False}))
    check_lossless(run, scene)


def test_killed_at_random_moments(dip, scene):
    rng = random.Random(int(os.environ.get("DIP_SEED", "5")))
    kills, frames, lines = proof.count(5, 200), 0, 0

    def kill(run):
        time.sleep(rng.uniform(0, 0.3))
        run.signal(signal.SIGKILL)

    for _ in range(kills):
        found = kill_once(dip, scene, lambda: dip.start(
            scene.folder, 0, sets=settings(rng, scene)), kill)
        frames, lines = frames + found[0], lines + found[1]
    assert frames > kills and lines > 0
    check_next_start(dip, scene)
    proof.say(f"R5: {kills} kills at random moments: {frames} whole frames, all found by recover; "
              f"{lines} index lines, each of an exact frame")


def test_killed_at_named_points(dip, scene):
    """Before its n-th sync, change of name, reservation, cut, write to a file."""
    points = [(call, n) for call in ("fdatasync", "renameat2", "fallocate", "ftruncate",
                                     "pwrite64") for n in range(1, 11)]
    if not proof.long_form():
        points = points[1::13]  # the first of all writes is among them
    rng, frames = random.Random(7), 0
    for call, n in points:
        argv = [*strace_command(), "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e",
                f"inject={call}:signal=KILL:when={n}",
                *dip.command(scene.folder, 2, eal_args=harness.eal(2), sets={
                    **settings(rng, scene), "dma.pace_frames": True,
                    "arch.segment_bytes": 1 << 17, "arch.sync_interval_ms": 20})]
        frames += kill_once(dip, scene, lambda argv=argv: dip.start(argv=argv),
                            lambda run: None)[0]
    check_next_start(dip, scene)
    proof.say(f"R5: {len(points)} kills at named points: {frames} whole frames, all found")
