# SPDX-License-Identifier: BSD-3-Clause
"""run.h5, opened with stock h5py: every pixel, number and time of a run, without a copied byte."""

import os
import shutil
import subprocess

import numpy as np
import pytest

from oracle import check_lossless
from test_archive_tool import bytes_of, make_header, make_records, tool, write_segment

# HDF5 looks for relative names in the current directory otherwise; read when h5py is imported.
os.environ["HDF5_EXTFILE_PREFIX"] = "${ORIGIN}"
h5py = pytest.importorskip("h5py", reason="h5py is not installed (Debian: python3-h5py)")

NOLOOP = {"main.nth_archive": 1, "main.overrun": "block", "dma.pace_frames": False,
          "dma.loop_frames": False}


def check_h5(folder, segments):
    """The file against the segments as NumPy reads them."""
    records = np.concatenate([np.load(path) for path in segments])
    with h5py.File(folder / "run.h5") as f:
        data = f[f.attrs["default"]][f["entry"].attrs["default"]]
        assert data.attrs["NX_class"] == b"NXdata" and data.attrs["signal"] == b"data"
        assert np.array_equal(data["data"][:], records["image"])
        assert np.array_equal(data["seq"][:], records["seq"])
        assert np.array_equal(data["timestamp_ns"][:], records["timestamp_ns"])
        assert data["data"].is_virtual and len(data["data"].virtual_sources()) == len(segments)


@pytest.mark.parametrize("segment_bytes", [1 << 30, 1 << 17], ids=["one", "many"])
def test_a_run_opens_as_one_dataset(dip, scene, segment_bytes):
    run = dip.run(scene.folder, sets=scene.sets(**NOLOOP, **{"arch.segment_bytes": segment_bytes}))
    check_lossless(run, scene)
    folder = run.archive()
    segments = sorted(folder.glob("*.npy"))
    assert (len(segments) > 1) == (segment_bytes < 1 << 30)
    check_h5(folder, segments)
    assert (folder / "run.h5").stat().st_size < 16384 + 8192 * len(segments)
    before = bytes_of(folder)
    tool("h5", folder)
    assert bytes_of(folder) == before, "the tool and the program write the same file"
    moved = shutil.move(folder, folder.parent / "moved")
    check_h5(moved, sorted(moved.glob("*.npy")))


def test_raw_segments_have_their_numbers(dip, scene):
    run = dip.run(scene.folder, sets=scene.sets(**{
        **NOLOOP, "main.nth_archive": 3, "arch.format": "raw", "arch.segment_bytes": 1 << 16}))
    folder = run.archive()
    images = np.concatenate([np.fromfile(path, "<u2") for path in sorted(folder.glob("*.bin"))])
    seqs = np.concatenate([np.loadtxt(path, np.int64, ndmin=2)[:, 0]
                           for path in sorted(folder.glob("*.idx"))])
    with h5py.File(folder / "run.h5") as f:
        data = f["entry/data"]
        assert np.array_equal(data["data"][:].ravel(), images)
        assert np.array_equal(data["seq"][:], seqs) and "timestamp_ns" not in data
    before = (folder / "run.h5").read_bytes()
    height, width = scene.frames.shape[1:]
    tool("h5", "--shape", f"{height}x{width}", folder)
    assert (folder / "run.h5").read_bytes() == before


def test_it_can_be_switched_off(dip, scene):
    run = dip.run(scene.folder, sets=scene.sets(**NOLOOP, **{"arch.hdf5": False}))
    assert not (run.archive() / "run.h5").exists()


def test_segments_that_are_moved_away(dip, scene):
    """During a run: it presents those that are still there."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**{
        "main.nth_archive": 1, "main.fps": 500, "arch.segment_bytes": 1 << 17}))
    dip.wait_for(run, lambda: len(list(dip.folder.glob("archive/*/*.idx"))) > 6)
    folder = next((dip.folder / "archive").iterdir())
    gone = sorted(folder.glob("*.npy"))[:3]
    for path in gone:
        path.unlink()
    run = dip.stop(run)
    segments = sorted(folder.glob("*.npy"))
    assert sum(len(np.load(path)) for path in segments) < run.stats["arch_frames"]
    check_h5(folder, segments)


def test_only_closed_segments_while_it_grows(dip, scene):
    """Read again and again while the run goes on: whole frames only, and more of them."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**{
        "main.nth_archive": 1, "main.fps": 500, "arch.segment_bytes": 1 << 17}))
    seen = []

    def read():
        files = list((dip.folder / "archive").glob("*/run.h5"))
        if files:
            with h5py.File(files[0]) as f:
                data = f["entry/data"]
                assert np.array_equal(data["seq"][:], np.arange(len(data["seq"])))
                assert (data["data"][:].reshape(len(data["seq"]), -1).any(axis=1)).all()
                seen.append(len(data["seq"]))
        return len(set(seen)) >= 3
    dip.wait_for(run, read)
    run = dip.stop(run)
    check_h5(run.archive(), sorted(run.archive().glob("*.npy")))


@pytest.mark.parametrize("shape,stride", [((1, 1), 128), ((17, 13), 512), ((3, 5), 4096)])
def test_odd_sizes_and_gaps(tmp_path, shape, stride):
    paths = [tmp_path / f"f_{i:06d}.npy" for i in range(3)]
    for i, path in enumerate(paths):
        records = make_records([100 * i + 7 * k for k in range(i + 1)], shape=shape,
                               stride=stride, seed=i)
        path.write_bytes(make_header(len(records), shape, stride) + records.tobytes())
    tool("h5", tmp_path)
    check_h5(tmp_path, paths)


def test_a_torn_run(tmp_path):
    """Never more than what is there: the whole frames before the tear, and all after recover."""
    first = write_segment(tmp_path / "f_000000.npy", make_records([0, 1, 2]))
    torn = make_records([3, 4, 5, 6])
    torn["magic"][2] = 0
    write_segment(tmp_path / "f_000001.npy", torn, promised=9)
    tool("h5", tmp_path)
    with h5py.File(tmp_path / "run.h5") as f:
        assert f["entry/data/seq"][:].tolist() == [0, 1, 2, 3, 4]
    tool("recover", tmp_path)
    check_h5(tmp_path, [first, tmp_path / "f_000001.npy"])
    with h5py.File(tmp_path / "run.h5") as f:
        assert f["entry/data/seq"][:].tolist() == [0, 1, 2, 3, 4, 6]


def test_absolute_names_work_from_anywhere(tmp_path):
    write_segment(tmp_path / "f_000000.npy", make_records([0, 1, 2]))
    tool("h5", "--absolute", tmp_path)
    code = ("import h5py, sys; print(h5py.File(sys.argv[1])['entry/data/data'][:].sum())")
    env = {k: v for k, v in os.environ.items() if k != "HDF5_EXTFILE_PREFIX"}
    done = subprocess.run(["/usr/bin/python3", "-c", code, tmp_path / "run.h5"], cwd="/",
                                  env=env, capture_output=True, text=True, check=True)
    assert int(done.stdout) == np.load(tmp_path / "f_000000.npy")["image"].sum()


def test_what_cannot_be_presented(tmp_path):
    write_segment(tmp_path / "f_000000.npy", make_records([0])[:0], promised=4)
    assert "no good frame" in (tool("h5", tmp_path, status=1), tool.stderr)[1]
    assert not (tmp_path / "run.h5").exists()
    assert "expected the folder of a run" in (
        tool("h5", tmp_path / "f_000000.npy", status=2), tool.stderr)[1]
    write_segment(tmp_path / "f_000000.npy", make_records([0]))
    (tmp_path / "run.h5.new").mkdir()
    assert "run.h5: Is a directory" in (tool("h5", tmp_path, status=2), tool.stderr)[1]
