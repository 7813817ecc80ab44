# SPDX-License-Identifier: BSD-3-Clause
"""Faults on demand in the whole program: each moves the counters that it should and no others, what
is lost is lost everywhere, and nothing else is harmed."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

import harness
from oracle import check_archive, check_results

BLOCK = {"main.nth_archive": 1, "main.overrun": "block", "main.fps": 2000}
# What a fault could move.
WATCHED = ("dma_missed", "dma_pool_exhaust", "dma_errors", "dma_gaps", "dma_damaged",
           "dma_duplicates", "drops_proc_queue", "drops_arch_queue", "drops_results_queue",
           "arch_io_errors", "results_io_errors")


def run_with(dip, scene, faults, seconds=0.2, status=0, workers=2, **sets):
    """A run of dma_file with faults."""
    vdev = f"dma_file0,path={scene.folder},faults={faults}"
    return dip.run(None, seconds, device="dma_file0", status=status,
                   sets=scene.sets(**{**BLOCK, **{k.replace("__", "."): v for k, v in
                                                  sets.items()}}),
                   eal_args=harness.eal(workers, vdevs=[vdev]))


def moved(run):
    """The counters that are not 0."""
    return {name: run.stats[name] for name in WATCHED if run.stats[name]}


@pytest.mark.parametrize("workers", [1, 3])
def test_lost(dip, scene, workers):
    run = run_with(dip, scene, "lost@0+lost@7+lost@399", workers=workers)
    assert moved(run) == {"dma_missed": 3} and run.stats["dma_faults"] == 3
    expected = np.setdiff1d(np.arange(400), [0, 7, 399])
    assert run.due() == 400
    assert np.array_equal(check_results(run, scene), expected)
    assert np.array_equal(np.sort(check_archive(run, scene)), expected)


def test_lost_with_a_probability_twice_the_same(dip, scene):
    seqs = [check_results(run_with(dip, scene, faults), scene) for faults in
            ("lost~0.1+seed:4", "lost~0.1+seed:4", "lost~0.1+seed:5")]
    assert 320 < len(seqs[0]) < 390
    assert np.array_equal(seqs[0], seqs[1]) and not np.array_equal(seqs[0], seqs[2])


@pytest.mark.parametrize("workers", [1, 3])
def test_duplicate(dip, scene, workers):
    """Decided and archived once."""
    run = run_with(dip, scene, "duplicate@0+duplicate@100+duplicate@399", workers=workers)
    assert moved(run) == {"dma_duplicates": 3} and run.stats["dma_faults"] == 3
    assert np.array_equal(check_results(run, scene), np.arange(400))
    assert np.array_equal(np.sort(check_archive(run, scene)), np.arange(400))


@pytest.mark.parametrize("fault", ["burst:100@50", "stall:30@50", "late:30@50"])
def test_what_only_moves_frames_in_time(dip, scene, fault):
    run = run_with(dip, scene, fault)
    assert not moved(run) and run.stats["dma_faults"] == 1
    assert np.array_equal(check_results(run, scene), np.arange(400))
    assert np.array_equal(np.sort(check_archive(run, scene)), np.arange(400))
    kind = fault.split(":", maxsplit=1)[0]
    if kind != "burst":
        # A stall is of our making and is latency; a camera that is late is not.
        assert (run.report["latency"]["result"]["max_ns"] > 29e6) == (kind == "stall") or \
            run.report["latency"]["result"]["p50_ns"] > 10e6  # a busy machine


def test_a_stall_that_is_too_long_costs_frames(dip, scene):
    """As a ring would: the oldest, for want of slabs, and the books say so."""
    run = run_with(dip, scene, "stall:60@50", main__overrun="drop", main__slabs=32)
    assert run.stats["dma_missed"] >= 80
    assert moved(run).keys() >= {"dma_missed", "dma_pool_exhaust"}
    assert run.stats["dma_missed"] == run.stats["dma_pool_exhaust"]
    assert run.due() == 400
    check_results(run, scene)
    check_archive(run, scene)


def test_corrupt(dip, scene):
    """Wrong pixels are archived as they came, with a checksum that is right."""
    run = run_with(dip, scene, "corrupt:7@33")
    assert not moved(run) and run.stats["dma_faults"] == 1
    records = np.load(next(run.archive().glob("*.npy")))
    wrong = (records["image"] != scene.frames[records["seq"] % len(scene.frames)]).sum((1, 2))
    assert np.array_equal(records["seq"][wrong > 0], [33]) and 1 <= wrong.max() <= 7
    done = subprocess.run(
        [Path(harness.program()).parent / "archive/dma-image-archive", "verify",
         run.archive()], check=False, capture_output=True)
    assert done.returncode == 0


def test_clock_jump(dip, scene):
    """Time stamps jump, numbers and latencies do not."""
    run = run_with(dip, scene, "jump:-86400000@100")
    assert not moved(run) and run.stats["dma_faults"] == 1
    records = np.load(next(run.archive().glob("*.npy")))
    stamps = records["timestamp_ns"][np.argsort(records["seq"])].astype(np.int64)
    steps = np.diff(stamps)
    assert steps[99] < -86.3e12
    assert (np.delete(steps, 99) > 0).all()
    assert run.report["latency"]["result"]["max_ns"] < 10e9
    assert np.array_equal(check_results(run, scene), np.arange(400))


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("frame", [0, 100])
def test_dead(dip, scene, frame, workers):
    """The frames before it are whole, the exit status is 1, and nobody waits for it."""
    run = run_with(dip, scene, f"dead@{frame}", seconds=3, status=1, workers=workers)
    assert moved(run).keys() == {"dma_errors"}
    assert run.due() == frame
    assert np.array_equal(check_results(run, scene), np.arange(frame))
    assert np.array_equal(np.sort(check_archive(run, scene)), np.arange(frame))
    assert run.stats["elapsed_sec"] < 2
    line = [line for line in run.stderr.splitlines() if "the device has failed" in line]
    assert len(line) == 1 and "dma_file0" in line[0] and "Input/output error" in line[0]


def refused(dip, scene, faults, **sets):
    """What the device says of itself."""
    vdev = f"dma_file0,path={scene.folder},faults={faults}"
    run = dip.start(None, 1, device="dma_file0", sets=scene.sets(**sets),
                    eal_args=harness.eal(2, vdevs=[vdev])).finish()
    assert run.status == 2 and run.stdout == ""
    assert not list(dip.folder.iterdir())
    return run.stderr


def test_refuse(dip, scene):
    assert "the source refuses its configuration: Input/output" in refused(dip, scene, "refuse@1")


def test_faults_that_are_none(dip, scene):
    text = refused(dip, scene, "lots@1")
    assert "dma_file0: faults=...lots@1: unknown; expected lost, duplicate" in text
    text = refused(dip, scene, "burst:5@1", **{"dma.pace_frames": False})
    assert "faults=burst:5@1: a burst, but the source is not paced" in text


def test_many_at_once(dip, scene):
    """Under drop, with several lanes: the ledger is checked with every run."""
    run = run_with(dip, scene, "lost~0.02+duplicate~0.05+stall:3~0.01+late:2~0.01+burst:20~0.02+"
                   "corrupt:1~0.01+jump:1~0.01", seconds=0.5, workers=3, main__overrun="drop",
                   main__fps=4000)
    assert run.stats["dma_faults"] > 50 and run.due() == 2000
    assert run.stats["dma_missed"] > 10 and run.stats["dma_duplicates"] > 20
