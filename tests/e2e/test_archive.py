# SPDX-License-Identifier: BSD-3-Clause
"""Both formats, both back ends, with and without O_DIRECT: every byte of every archived frame."""

import itertools
import os

import numpy as np
import pytest

from oracle import Scene, check_archive, check_lossless, dipformat

NOLOOP = {"main.nth_archive": 1, "main.overrun": "block", "dma.pace_frames": False,
          "dma.loop_frames": False}


def test_the_checksum_of_the_tests_is_crc32c():
    """The oracle's own foundation: the check value of the CRC catalogue."""
    assert dipformat.crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("form", ["npy", "raw"])
@pytest.mark.parametrize("uring", [True, False], ids=["uring", "pwrite"])
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "buffered"])
def test_every_format_and_back_end(dip, scene, form, uring, direct):
    run = dip.run(scene.folder, sets=scene.sets(**NOLOOP, **{
        "arch.format": form, "arch.use_io_uring": uring, "arch.direct_io": direct}))
    assert run.due() == len(scene.frames)
    check_lossless(run, scene, npy=form == "npy")


def _direct_possible(folder):
    try:
        os.close(os.open(folder / "probe", os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("uring,direct", itertools.product([True, False], repeat=2))
def test_back_end_and_direct_are_what_was_asked(dip, scene, uring, direct):
    """Seen from outside: the descriptor of an io_uring, the O_DIRECT flag of the segment."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**{
        "main.nth_archive": 1, "main.overrun": "block", "arch.use_io_uring": uring,
        "arch.direct_io": direct}))
    dip.wait_for_results(run)
    flags, links = None, []
    for fd in os.listdir(f"/proc/{run.pid}/fd"):
        links.append(os.readlink(f"/proc/{run.pid}/fd/{fd}"))
        if links[-1].endswith("frames_000000.npy"):
            with open(f"/proc/{run.pid}/fdinfo/{fd}", encoding="ascii") as info:
                flags = int(dict(line.split(":", 1) for line in info)["flags"], 8)
    run = dip.stop(run)
    check_lossless(run, scene)
    fallback = "writing with pwrite instead" in run.stderr
    assert any("io_uring" in link for link in links) == (uring and not fallback)
    assert bool(flags & os.O_DIRECT) == (direct and _direct_possible(dip.folder))


@pytest.mark.parametrize("form,slots", [("npy", 7), ("npy", 1), ("raw", 7), ("raw", 1)])
def test_rotation_keeps_every_frame_once(dip, scene, form, slots):
    """Tiny segments: cut to the truth, the header's shape is the number of records."""
    stride = 12288 if form == "npy" else 8192
    head = 4096 if form == "npy" else 0
    run = dip.run(scene.folder, sets=scene.sets(**NOLOOP, **{
        "arch.format": form, "arch.segment_bytes": head + slots * stride + stride // 2}))
    check_lossless(run, scene, npy=form == "npy")
    sizes = sorted(path.stat().st_size for path in run.archive().glob(f"*.{form[:1]}*"))
    segments = sorted(run.archive().glob("*.npy" if form == "npy" else "*.bin"))
    assert len(segments) == -(-203 // slots) == run.stats["arch_segments"], sizes
    assert run.stats["arch_rotations"] == len(segments) - 1
    assert {path.stat().st_size for path in segments[:-1]} == {head + slots * stride}


def test_segment_smaller_than_a_record_holds_one(dip, tmp_path):
    scene = Scene(5, 64, 64, seed=9)
    run = dip.run(scene.write(tmp_path / "frames"), sets=scene.sets(
        **NOLOOP, **{"arch.segment_bytes": 4096}))
    check_lossless(run, scene)
    assert run.stats["arch_segments"] == 5


@pytest.mark.parametrize("key,value", [
    ("arch.io_buffer_bytes", 4096), ("arch.io_buffer_bytes", 1 << 20), ("arch.uring_qd", 1),
    ("arch.max_inflight", 1), ("arch.ring_size", 1)])
@pytest.mark.parametrize("uring", [True, False], ids=["uring", "pwrite"])
def test_depths_and_gathering_change_no_byte(dip, scene, key, value, uring):
    run = dip.run(scene.folder, sets=scene.sets(**NOLOOP, **{
        key: value, "arch.use_io_uring": uring}))
    check_lossless(run, scene)


@pytest.mark.parametrize("block", [512, 1024, 2048, 4096])
def test_records_are_padded_to_the_block(dip, tiny, block):
    run = dip.run(tiny.folder, sets=tiny.sets(**NOLOOP, **{"arch.block_bytes": block}))
    check_lossless(run, tiny, block_bytes=block)


def test_without_index(dip, scene):
    for form in ("npy", "raw"):
        run = dip.run(scene.folder, sets=scene.sets(**NOLOOP, **{
            "arch.format": form, "arch.make_index": False}))
        check_lossless(run, scene, npy=form == "npy", index=False)


def test_without_checksum(dip, scene):
    run = dip.run(scene.folder, sets=scene.sets(**NOLOOP, **{"arch.checksum": False}))
    check_lossless(run, scene, checksum=False)


@pytest.mark.parametrize("nth", [0, 1, 3, 202, 203])
def test_every_nth_frame(dip, scene, nth):
    run = dip.run(scene.folder, sets=scene.sets(**{**NOLOOP, "main.nth_archive": nth}))
    check_lossless(run, scene, nth=nth)
    assert (run.archive() is None) == (nth == 0)
    if nth == 0:
        assert not (dip.folder / "archive").exists()


def test_prefix_names_the_segments(dip, scene):
    run = dip.run(scene.folder, sets=scene.sets(**NOLOOP, **{
        "arch.arch_output_prefix": "atoms 1%d"}))
    check_lossless(run, scene)
    assert [path.name for path in run.archive().glob("*.npy")] == ["atoms 1%d_000000.npy"]


def test_unpaced_for_a_while(dip, scene):
    """Full speed, archiving all: what is dropped is counted, what is archived is right."""
    for overrun in ("block", "drop"):
        run = dip.run(scene.folder, 0.4, sets=scene.sets(**{
            "main.nth_archive": 1, "main.overrun": overrun, "dma.pace_frames": False,
            "arch.segment_bytes": 20 << 20}))
        seqs = check_archive(run, scene)
        assert len(seqs) > len(scene.frames)
        if overrun == "block":
            check_lossless(run, scene)


def test_timestamps_follow_the_pace(dip, tiny):
    """Arrival is the due time, whenever the poll came: frame k is k / fps after frame 0."""
    run = dip.run(tiny.folder, 0.5, sets=tiny.sets(**{"main.nth_archive": 1}))
    records = np.load(run.archive() / "frames_000000.npy", mmap_mode="r")
    order = np.argsort(records["seq"])
    stamps = records["timestamp_ns"][order].astype(np.int64)
    late = stamps - stamps[0] - records["seq"][order].astype(np.int64) * 1_000_000
    assert abs(np.median(late)) < 2_000_000


def test_runs_have_ids_of_their_own(dip, tiny):
    """run_id tells the records of one run from stale blocks of another."""
    ids = set()
    for _ in range(3):
        run = dip.run(tiny.folder, sets=tiny.sets(**NOLOOP))
        ids.add(int(np.load(run.archive() / "frames_000000.npy")["run_id"][0]))
    assert len(ids) == 3 and 0 not in ids
