# SPDX-License-Identifier: BSD-3-Clause
"""R14: readers of an archive that grows see whole frames only, every one of them."""

import subprocess
import sys
import time

import numpy as np
import pytest

import proof
from harness import ROOT
from test_archive_tool import tool_path

pytestmark = pytest.mark.archive


def test_ten_readers_of_a_growing_archive(dip, scene):
    """Five of dma-image-archive tail, five of numpy; segments come, grow and are closed."""
    frames = dip.folder / "frames.npy"
    np.save(frames, scene.frames)
    run = dip.start(scene.folder, 0, sets=scene.sets(**{
        "main.nth_archive": 1, "main.fps": 300, "main.overrun": "block",
        "arch.segment_bytes": 1 << 20, "arch.sync_interval_ms": 50}))
    dip.wait_for(run, lambda: list(dip.folder.glob("archive/*/*.npy")))
    folder = next((dip.folder / "archive").iterdir())
    tails = [subprocess.Popen([tool_path(), "tail", "--until-closed", folder],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
             for _ in range(5)]
    readers = [subprocess.Popen([sys.executable, ROOT / "tests" / "e2e" / "growing_reader.py",
                                 folder, frames], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for _ in range(5)]
    try:
        time.sleep(proof.count(2, 60))
        run = dip.stop(run)
        archived, looks = run.stats["arch_frames"], 0
        for reader in readers:
            out, err = reader.communicate("", timeout=60)
            assert reader.returncode == 0, err
            count, times = map(int, out.split())
            assert count == archived
            looks += times
        expected = [(int(r["seq"]), int(r["timestamp_ns"]), path.name)
                    for path in sorted(folder.glob("*.npy")) for r in np.load(path)]
        for tail in tails:
            out, err = tail.communicate(timeout=60)
            assert tail.returncode == 0 and not err, err
            told = [(int(seq), int(stamp), name) for seq, stamp, _, name in
                    (line.split() for line in out.splitlines())]
            assert told == expected
    finally:
        for process in tails + readers:
            if process.poll() is None:
                process.kill()
                process.wait()
    assert archived > 300 and len(expected) == archived
    proof.say(f"R14: 10 readers of {archived} frames as they came, {looks} looks of the five of "
              "numpy: whole frames only, all of them")
