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
# What a run without any fault moves as well: the work done, polls that found nothing or waited, times
# and rates. Any other counter that there is, or will be, is moved by a fault or not at all.
WORK = {"dma_frames", "dma_bytes", "dma_pool_waits", "dma_late_max_ns", "dma_faults", "ingest_waits",
        "proc_offered", "proc_frames", "proc_occupied", "proc_empty_polls", "results_offered",
        "results_frames", "results_bytes", "dma_arch_offered", "arch_frames", "arch_bytes",
        "arch_rotations", "arch_segments", "arch_durable", "ledger_checks", "elapsed_sec",
        "frame_checks", "drained_sec", "dma_fps", "proc_fps", "arch_fps", "arch_gbps", "arch_gibps"}
SOURCES = ["file", "stream", "replay"]


def device(dip, scene, source):
    """The arguments of a device that plays 400 frames of the scene, and the moment of the first."""
    if source != "replay":
        held = f",preload_bytes={20 * scene.frames[0].nbytes}" if source == "stream" else ""
        return f"dma_file0,path={scene.folder}{held}", None
    live = dip.run(scene.folder, 0.2, sets=scene.sets(**BLOCK))
    assert live.due() == live.stats["arch_frames"] == 400
    return f"dma_replay0,path={live.archive()}", live.t0


def run_with(dip, scene, faults, seconds=0.2, status=0, workers=2, source="file", **sets):
    """A run of a source with faults."""
    vdev, begin = device(dip, scene, source)
    once = {"dma.loop_frames": False} if source == "replay" else {}
    run = dip.run(None, seconds if not once else None, device=vdev.split(",", maxsplit=1)[0],
                  status=status, sets=scene.sets(**{
                      **BLOCK, **once, **{k.replace("__", "."): v for k, v in sets.items()}}),
                  eal_args=harness.eal(workers, vdevs=[f"{vdev},faults={faults}"]))
    run.t0 = begin or run.t0
    return run


def moved(run):
    """The counters that are not 0."""
    return {name: value for name, value in run.stats.items() if value and name not in WORK}


@pytest.mark.parametrize("source", SOURCES)
def test_no_fault(dip, scene, source):
    """Nothing is moved: what the other tests find is the faults' doing."""
    run = run_with(dip, scene, "lost~0", source=source)
    assert not moved(run) and run.stats["dma_faults"] == 0 and run.due() == 400
    assert WORK - set(run.stats) <= {"dma_late_max_ns"}  # else a name is wrong


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("workers", [1, 3])
def test_lost(dip, scene, workers, source):
    run = run_with(dip, scene, "lost@0+lost@7+lost@399", workers=workers, source=source)
    assert moved(run) == {"dma_missed": 3} and run.stats["dma_faults"] == 3
    expected = np.setdiff1d(np.arange(400), [0, 7, 399])
    assert run.due() == 400
    assert np.array_equal(check_results(run, scene), expected)
    assert np.array_equal(np.sort(check_archive(run, scene)), expected)


def test_lost_with_a_probability_twice_the_same(dip, scene):
    runs = [run_with(dip, scene, faults) for faults in
            ("lost~0.1+seed:4", "lost~0.1+seed:4", "lost~0.1+seed:5")]
    due = min(run.due() for run in runs)  # fewer where a busy machine is behind at the end
    seqs = [kept[kept < due] for kept in (check_results(run, scene) for run in runs)]
    assert 0.8 * due < len(seqs[0]) < 0.975 * due and due > 350
    assert np.array_equal(seqs[0], seqs[1]) and not np.array_equal(seqs[0], seqs[2])


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("workers", [1, 3])
def test_duplicate(dip, scene, workers, source):
    """Decided and archived once."""
    run = run_with(dip, scene, "duplicate@0+duplicate@100+duplicate@399", workers=workers,
                   source=source)
    assert moved(run) == {"dma_duplicates": 3} and run.stats["dma_faults"] == 3
    assert np.array_equal(check_results(run, scene), np.arange(400))
    assert np.array_equal(np.sort(check_archive(run, scene)), np.arange(400))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fault", ["burst:100@50", "stall:30@50", "late:30@50"])
def test_what_only_moves_frames_in_time(dip, scene, fault, source):
    run = run_with(dip, scene, fault, source=source)
    assert not moved(run) and run.stats["dma_faults"] == 1
    assert np.array_equal(check_results(run, scene), np.arange(400))
    assert np.array_equal(np.sort(check_archive(run, scene)), np.arange(400))
    kind = fault.split(":", maxsplit=1)[0]
    if kind != "burst":
        # A stall is of our making and is latency; a camera that is late is not.
        assert (run.report["latency"]["result"]["max_ns"] > 29e6) == (kind == "stall") or \
            run.report["latency"]["result"]["p50_ns"] > 10e6  # a busy machine


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fault", ["stall:60@50", "late:60@50", "burst:150@50"])
def test_what_is_too_much_at_once_costs_frames(dip, scene, fault, source):
    """As a ring would: the oldest, for want of slabs, and the books say so. Some 88 to 118, where the
    frames that are replayed came in time."""
    run = run_with(dip, scene, fault, source=source, main__overrun="drop", main__slabs=32)
    assert run.stats["dma_missed"] >= (20 if source == "replay" else 80)
    # A sink that is handed so many at once may lose some as well.
    assert moved(run).keys() - {"drops_proc_queue", "drops_arch_queue"} == {
        "dma_missed", "dma_pool_exhaust"}
    assert run.stats["dma_missed"] == run.stats["dma_pool_exhaust"]
    assert run.due() == 400
    check_results(run, scene)
    check_archive(run, scene)


@pytest.mark.parametrize("source", SOURCES)
def test_corrupt(dip, scene, source):
    """Wrong pixels are archived as they came, with a checksum that is right."""
    run = run_with(dip, scene, "corrupt:7@33", source=source)
    assert not moved(run) and run.stats["dma_faults"] == 1
    records = np.load(next(run.archive().glob("*.npy")))
    wrong = (records["image"] != scene.frames[records["seq"] % len(scene.frames)]).sum((1, 2))
    assert np.array_equal(records["seq"][wrong > 0], [33]) and 1 <= wrong.max() <= 7
    done = subprocess.run(
        [Path(harness.program()).parent / "archive/dma-image-archive", "verify",
         run.archive()], check=False, capture_output=True)
    assert done.returncode == 0


@pytest.mark.parametrize("source", SOURCES)
def test_clock_jump(dip, scene, source):
    """Time stamps jump, numbers and latencies do not."""
    run = run_with(dip, scene, "jump:-86400000@100", source=source)
    assert not moved(run) and run.stats["dma_faults"] == 1
    records = np.load(next(run.archive().glob("*.npy")))
    stamps = records["timestamp_ns"].astype(np.int64)
    jumped = records["seq"] >= 100
    assert jumped.sum() == 300
    # In time but for that; on a busy machine a frame can overtake that of another queue.
    assert (np.abs(stamps + 86_400 * 10**9 * jumped - run.t0) < 60e9).all()
    assert run.report["latency"]["result"]["max_ns"] < 10e9
    assert np.array_equal(check_results(run, scene), np.arange(400))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("frame", [0, 100])
def test_dead(dip, scene, frame, workers, source):
    """The frames before it are whole, the exit status is 1, and nobody waits for it."""
    run = run_with(dip, scene, f"dead@{frame}", seconds=3, status=1, workers=workers,
                   source=source)
    assert moved(run).keys() == {"dma_errors"}
    assert run.due() == frame
    assert np.array_equal(check_results(run, scene), np.arange(frame))
    assert np.array_equal(np.sort(check_archive(run, scene)), np.arange(frame))
    assert run.stats["elapsed_sec"] < 2
    line = [line for line in run.stderr.splitlines() if "the device has failed" in line]
    assert len(line) == 1 and "0: the device has failed" in line[0] and "Input/output error" in line[0]


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
