# SPDX-License-Identifier: BSD-3-Clause
"""proc.results = "npy": records that numpy reads by itself, while they are written, after the end
and after a crash, and that say what the text says."""

import itertools
import os
import shutil
import signal
import time

import numpy as np
import pytest

import harness
from oracle import Scene, check_archive, check_lossless, check_results, grid_sums, results_dtype
from oracle import read_results, unpack
from test_faults import complaints

NOLOOP = {"main.overrun": "block", "dma.pace_frames": False, "dma.loop_frames": False}
NPY = {"proc.results": "npy"}
SUMS = {"proc.results": "npy", "proc.sums": True}


def records_of(run):
    """The records of a run's results, mapped."""
    return np.load(run.results(), mmap_mode="r")


def table_of(run):
    """The table of the sites beside a run's results."""
    path = run.results()
    return np.load(path.with_name(path.stem + ".sites.npy"))


def check_sums(run, scene, wide=False):
    """Every record of a run with sums, and that its times and latencies are those of the run."""
    records = records_of(run)
    assert records.dtype == results_dtype(scene.sites, True, wide)
    sums = grid_sums(scene.frames, scene.grid).astype(np.int64)
    kinds = records["seq"].astype(np.int64) % len(scene.frames)
    assert np.array_equal(records["sums"], sums[kinds])
    assert np.array_equal(records["margin"], sums[kinds] - scene.threshold)
    assert np.array_equal(unpack(records, scene.sites), records["margin"] >= 0)
    stamps, latency = records["timestamp_ns"].astype(np.int64), records["latency_ns"]
    assert np.all((stamps >= run.t0) & (stamps <= run.t1))
    assert np.all(latency > 0)
    if run.stats["results_io_errors"] == 0:
        assert latency.max() == run.report["latency"]["result"]["max_ns"]


@pytest.mark.parametrize("workers", [1, 3])
def test_text_and_npy_agree(dip, scene, workers):
    """The same frames, once as text, once as records, once with sums: bit for bit."""
    every = []
    for results in ({}, NPY, SUMS):
        run = dip.run(scene.folder, eal_args=harness.eal(workers), sets=scene.sets(
            **NOLOOP, **results, **{"main.nth_archive": 0}))
        check_lossless(run, scene, nth=0)
        every.append(read_results(run.results(), scene.sites))
    assert run.results().suffix == ".npy"
    for seqs, bits in every[1:]:
        assert np.array_equal(seqs, every[0][0]) and np.array_equal(bits, every[0][1])
    check_sums(run, scene)


def test_sums_of_the_sample_images(dip, samples):
    """The golden numbers, from the file alone."""
    run = dip.run(samples, sets={**NOLOOP, **SUMS})
    records = records_of(run)
    frames = np.stack([np.load(path) for path in sorted(samples.glob("*.npy"))])
    assert np.array_equal(records["sums"], grid_sums(frames, (50, 50, 20, 20, 10, 10)))
    assert records["sums"].sum() == 367509
    assert records["sums"][0, :10].tolist() == [16, 13, 7, 0, 10, 6, 10, 12, 11, 7]
    assert records["occupied"].sum() == 34075 and records["occupied"][0] == 366
    assert np.array_equal(records["margin"], records["sums"] - 5)
    table = table_of(run)
    assert table.dtype.names[:6] == ("index", "row", "col", "h", "w", "threshold")
    assert np.array_equal(table["index"], np.arange(400))
    assert np.array_equal(table["row"], 50 + 10 * (np.arange(400) // 20))
    assert np.array_equal(table["col"], 50 + 10 * (np.arange(400) % 20))
    assert set(zip(table["h"].tolist(), table["w"].tolist())) == {(10, 10)}
    assert set(table["threshold"]) == set(table["limit"]) == {5} and set(table["scale"]) == {1}
    assert set(table["lambda_empty"]) == {0.5} and set(table["lambda_occ"]) == {10.0}
    detector = run.report["detector"]
    assert set(table["false_positive"]) == {detector["false_positive"]}
    assert set(table["false_negative"]) == {detector["false_negative"]}
    assert set(table["name"]) == {b""}


def test_sums_of_sites_too_large_for_32_bits(dip, tmp_path):
    """A box of 200 x 200 pixels may count more than 2^31: sums and margins have 64 bits."""
    scene = Scene(7, 200, 400, roi=(200, 200))
    run = dip.run(scene.write(tmp_path / "large"), sets=scene.sets(**NOLOOP, **SUMS))
    check_lossless(run, scene, nth=5)
    check_sums(run, scene, wide=True)


def test_stdout_has_text_all_the_same(dip, tiny):
    """print_stdout is about text, whatever the file holds."""
    run = dip.start(tiny.folder, report="text", sets=tiny.sets(**NOLOOP, **SUMS, **{
        "proc.print_stdout": True, "proc.interval_print": 7})).finish()
    assert run.status == 0
    copy = dip.folder / "printed"
    copy.write_text(run.stdout.partition("=== Component Stats ===")[0])
    seqs, bits = read_results(copy, tiny.sites)
    assert np.array_equal(seqs, np.arange(0, 31, 7))
    assert np.array_equal(bits, tiny.bits()[seqs])


def test_names_and_neighbours(dip, tiny, scene):
    """The table has the name of the results file; no two runs of a second share any."""
    runs = [dip.start(source.folder, sets=source.sets(**{
        **NOLOOP, **NPY, "main.nth_archive": 0, "dma.pace_frames": True, "main.fps": 500}))
            for source in (scene, tiny, scene)]
    runs = [dip.end(run) for run in runs]
    names = {run.results().name for run in runs}
    assert len(names) == 3
    for run, source in zip(runs, (scene, tiny, scene)):
        check_lossless(run, source, nth=0)
        assert len(table_of(run)) == source.sites
    beside = {name[:-len(".npy")] + suffix for name in names
              for suffix in (".sites.npy", ".stats.jsonl")}
    assert {path.name for path in (dip.folder / "results").iterdir()} == names | beside


def look_again_and_again(dip, run, scene):
    """Load a growing file in a loop as anybody would; returns how often there was news."""
    lengths = [0]
    while run.running():
        paths = [path for path in dip.folder.glob("results/*.npy")
                 if not path.name.endswith(".sites.npy")]
        if not paths:
            continue
        records = np.load(paths[0], mmap_mode="r")
        if len(records) != lengths[-1]:
            new = records[lengths[-1]:]
            assert np.array_equal(new["seq"], np.arange(lengths[-1], len(records)))
            assert np.array_equal(unpack(new, scene.sites),
                                  scene.bits()[new["seq"].astype(np.int64) % len(scene.frames)])
            lengths.append(len(records))
        if len(lengths) > 6 and run.running():
            run.signal(signal.SIGINT)
            break
    assert np.all(np.diff(lengths) > 0)
    return len(lengths)


@pytest.mark.parametrize("fps", [2000, 0])
def test_readers_of_a_growing_file(dip, tiny, fps):
    """numpy.load at any moment: whole records, never fewer than before, from the first moment on."""
    pace = {"dma.pace_frames": fps > 0, "main.fps": fps or 1}
    run = dip.start(tiny.folder, 0, eal_args=harness.eal(2), sets=tiny.sets(**{
        "main.overrun": "block", "main.nth_archive": 0, **SUMS, **pace}))
    assert look_again_and_again(dip, run, tiny) > 6
    run = dip.end(run)
    check_lossless(run, tiny, nth=0)


@pytest.mark.parametrize("wait", [0.35, 0.61, 0.83])
def test_killed(dip, tiny, wait):
    """The file is what its header says, and whole records behind that are found by their place."""
    run = dip.start(tiny.folder, 0, eal_args=harness.eal(2), sets=tiny.sets(**{
        "main.overrun": "block", "main.nth_archive": 0, "main.fps": 20000, **NPY}))
    dip.wait_for_results(run)
    time.sleep(wait)
    run.signal(signal.SIGKILL)
    run.finish()
    path, = (path for path in dip.folder.glob("results/*.npy")
             if not path.name.endswith(".sites.npy"))
    records = np.load(path, mmap_mode="r")
    assert len(records) > 1000
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        dtype = np.lib.format.read_array_header_1_0(file)[2]
    every = np.fromfile(path, dtype=dtype, offset=1024)
    assert len(every) >= len(records) and np.array_equal(every[:len(records)], records)
    assert np.array_equal(every["seq"], np.arange(len(every)))
    assert np.array_equal(unpack(every, tiny.sites),
                          tiny.bits()[every["seq"].astype(np.int64) % 31])


# Faults.

RATE = {"main.nth_archive": 1, "main.fps": 2000}


def test_full_disk(dip, scene, small_disk):
    """Whole records up to there; they go on when there is space again."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**RATE, **SUMS, **{
        "proc.proc_output_dir": "disk/results"}))
    dip.wait_for(run, lambda: list(small_disk.glob("results/*.npy")))
    filler = harness.fill_up(small_disk)
    time.sleep(0.5)
    lost = np.load(next(small_disk.glob("results/*[0-9].npy")), mmap_mode="r")
    assert len(lost) == 0 or lost["seq"][-1] < 2000
    filler.unlink()
    time.sleep(0.6)
    run = dip.stop(run, status=1)
    seqs = check_results(run, scene)
    check_sums(run, scene)
    assert run.stats["results_io_errors"] > 0
    assert seqs[-1] >= run.due() - 2, "results are not written again"
    assert len(complaints(run, "No space left on device; results")) == 1
    check_archive(run, scene)


def test_removed_and_emptied_file(dip, scene):
    """What is gone is told, and a new file begins, one that numpy reads."""
    for how in (os.unlink, lambda path: os.truncate(path, 10)):
        shutil.rmtree(dip.folder / "results", ignore_errors=True)
        run = dip.start(scene.folder, 0, sets=scene.sets(**{**RATE, **NPY, "main.nth_archive": 0}))
        dip.wait_for_results(run)
        how(next((dip.folder / "results").glob("*[0-9].npy")))
        time.sleep(0.5)
        run = dip.stop(run, status=1)
        assert run.stats["results_removed"] == 1 and run.stats["results_io_errors"] == 0
        seqs, bits = read_results(run.results(), scene.sites)
        assert 0 < len(seqs) < run.stats["results_frames"]
        # From its first one on all frames are in it but those that a busy machine has missed.
        assert (np.diff(seqs.astype(np.int64)) > 0).all()
        assert 0 <= run.due() - int(seqs[0]) - len(seqs) <= run.stats["dma_missed"]
        assert np.array_equal(bits, scene.bits()[seqs % len(scene.frames)])


# What cannot be.

@pytest.mark.parametrize("sets,words", [
    ({"proc.results": "csv"}, ["proc.results", "csv", "expected one of text, npy, none"]),
    ({"proc.sums": True}, ["proc.sums", 'proc.results = "text"', '"npy"']),
    ({"proc.sums": True, "proc.results": "none"}, ["proc.sums", 'proc.results = "none"', '"npy"']),
    ({"proc.results_window": 63}, ["proc.results_window = 63", "0 (", "64 to 1048576"]),
    ({"proc.results_window": -1}, ["proc.results_window", "-1", "0 to 1048576"]),
    ({"proc.sums": 1}, ["proc.sums", "true or false"]),
])
def test_bad_settings(dip, tiny, sets, words):
    """One line, exit status 2, and nothing is made."""
    run = dip.start(tiny.folder, sets=tiny.sets(**sets)).finish()
    assert run.status == 2 and run.stdout == ""
    line, = run.stderr.splitlines()
    for word in words:
        assert word in line, line
    assert not list(dip.folder.iterdir())


def test_as_many_sites_as_there_may_be(dip):
    """100,000 sites with sums: the program sizes its memory and its window by itself."""
    (dip.folder / "sites.cfg").write_text(
        "version = 1;\ndefaults = { h = 2; w = 2; threshold = 1; };\n"
        "lattices = ( { name = \"A\"; origin = [0.5, 0.5]; a = [0.0, 1.0]; b = [1.0, 0.0];"
        " na = 316; nb = 316; }, { name = \"B\"; origin = [0.5, 0.5]; a = [0.0, 1.0];"
        " b = [1.0, 0.0]; na = 144; nb = 1; } );\n", encoding="ascii")
    run = dip.end(dip.start(argv=[
        harness.program(), "--report", "json", "--device", "dma_sim0,width=320,height=320,frames=3",
        *itertools.chain.from_iterable(("-s", setting) for setting in (
            "pois.sites=sites.cfg", "proc.results=npy", "proc.sums=true", "main.slabs=16",
            "main.nth_archive=0", "main.overrun=block", "dma.pace_frames=false",
            "dma.loop_frames=false"))]))
    table = records_of(run)
    assert table.shape == (3,) and table["sums"].shape == (3, 100000)


def test_windows_that_no_memory_holds(dip, scene):
    """Sums for a million results waiting: the key, the bytes, the remedy; no file is left."""
    run = dip.start(scene.folder, eal_args=harness.eal(1, megabytes=128), sets=scene.sets(**{
        **SUMS, "proc.results_window": 1048576, "pois.roi_h": 2, "pois.roi_w": 2})).finish()
    assert run.status == 2
    assert [line for line in complaints(run, "proc.results_window") if "bytes" in line]
    assert not list(dip.folder.iterdir())
