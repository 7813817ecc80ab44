# SPDX-License-Identifier: BSD-3-Clause
"""R15: archives of every released version of the format stay readable, by numpy and by the tools.
The files were written by the program of that time; tests/fixtures/README.md says what is in them."""

import shutil
import subprocess

import numpy as np
import pytest

from harness import ROOT
from oracle import dipformat
from test_archive_tool import bytes_of, tool
from test_replay import records, replay

SEQS = np.arange(0, 10, 2)
FRAMES = (SEQS[:, None, None] * 1000 + np.arange(48).reshape(6, 8)).astype(np.uint16)


@pytest.fixture(name="old", params=["format-1"])
def released(request, tmp_path):
    """A copy, so that nothing can be written into the fixture."""
    return shutil.copytree(ROOT / "tests" / "fixtures" / request.param, tmp_path / "old")


def test_numpy_reads_it(old):
    records = np.load(old / "npy" / "frames_000000.npy", mmap_mode="r")
    assert np.array_equal(records["seq"], SEQS) and np.array_equal(records["image"], FRAMES)
    assert np.all(records["magic"] == 0x46504944) and np.all(records["version"] == 1)
    assert np.all(records["length"] == 96) and len(set(records["run_id"])) == 1
    assert np.all(np.diff(records["timestamp_ns"].astype(np.int64)) > 0)
    covered = records.view(np.uint8).reshape(len(SEQS), -1)[:, :96 + 36]
    assert np.array_equal(dipformat.crc32c_rows(np.ascontiguousarray(covered)), records["crc32c"])
    assert records.dtype.itemsize == 512
    images = np.fromfile(old / "raw" / "frames_000000.bin", "<u2").reshape(-1, 6, 8)
    assert np.array_equal(images, FRAMES)


def test_the_tools_read_it(old, tmp_path):
    npy, raw = old / "npy", old / "raw"
    assert "5 frames of 6x8, seq 0..8 by 2, 0 gaps (0 frames missing), 0 bad" in tool("verify", npy)
    assert "5 frames of 6x8" in tool("verify", raw, "--shape", "6x8")
    before = bytes_of(npy)
    assert "nothing to do" in tool("recover", npy)
    (npy / "frames_000000.idx").unlink()
    tool("index", npy)
    assert bytes_of(npy) == before
    for folder, args in ((npy, []), (raw, ["--shape", "6x8"])):
        stack = tmp_path / f"{folder.name}.npy"
        tool("extract", folder, *args, "--stack", stack)
        assert np.array_equal(np.load(stack), FRAMES)
        assert np.array_equal(np.load(stack.with_suffix(".seq.npy")), SEQS)


def test_the_program_replays_it(old, dip):
    site = {"pois__row_start": 0, "pois__row_end": 1, "pois__col_start": 0, "pois__col_end": 1,
            "pois__roi_w": 1, "pois__roi_h": 1}
    for folder, shape in ((old / "npy", {}), (old / "raw", {"width": 8, "height": 6})):
        run = replay(dip, folder, main__nth_archive=1, **shape, **site)
        again = records(run.archive())
        assert np.array_equal(again["seq"], SEQS) and np.array_equal(again["image"], FRAMES)


def test_decode_py_reads_it(old, tmp_path):
    subprocess.run(["/usr/bin/python3", ROOT / "scripts" / "decode.py",
                    old / "npy" / "frames_000000.npy", "-o", tmp_path / "out"], check=True,
                   capture_output=True)
    for seq, frame in zip(SEQS, FRAMES):
        assert np.array_equal(np.load(tmp_path / "out" / f"frame_{seq:012d}.npy"), frame)
