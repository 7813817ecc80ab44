# SPDX-License-Identifier: BSD-3-Clause
"""R27: with main.overrun = "overwrite" a sink that sleeps loses the oldest frames of its queue, the
newest survive, each is counted, and what is being processed or written is never touched. A consumer
sleeps because its thread is stopped, wherever it is just then; every pixel of what it did is compared."""

import time

import numpy as np
import pytest

import harness
import proof
from oracle import check_archive, check_images, check_lossless, check_results
from sleeper import sleep

pytestmark = pytest.mark.ownership

FPS = 1000
SLABS = 1024  # a second: a busy machine must not be what overwrites
CALM_S = 0.3
SLEEP_S = proof.count(2, 10)
RUN_S = SLEEP_S + 3  # by their own count: a stop would lose what is due and not taken
LIVE = {"main.fps": FPS, "main.nth_archive": 1, "main.overrun": "overwrite", "main.slabs": SLABS,
        "proc.results": "npy", "proc.ring_size": 8192, "arch.ring_size": 8192,
        "arch.segment_bytes": 4 << 20}


def _archived(run, scene):
    """(seqs, timestamps) of the archive in order of seq, every pixel checked."""
    seqs, stamps = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for path in sorted(run.archive().glob("*.npy")):
        records = np.load(path, mmap_mode="r")
        check_images(records["image"], records["seq"].astype(np.int64), scene)
        seqs.append(records["seq"].astype(np.int64))
        stamps.append(records["timestamp_ns"].astype(np.int64))
    seqs, stamps = np.concatenate(seqs), np.concatenate(stamps)
    order = np.argsort(seqs)
    return seqs[order], stamps[order]


def _decided(run, scene):
    """(seqs, timestamps) of the results, every bit checked."""
    seqs = check_results(run, scene)
    return seqs, np.load(run.results())["timestamp_ns"].astype(np.int64)


def _check_newest_survive(run, sink, seqs, stamps, woken):
    """The frames that are lost are one behind the other, the oldest ones; then comes a full queue of those
    that were there when the sink woke up. Of these a few are still overwritten: while it holds what it
    has taken, the next is the oldest in the queue."""
    lost = np.setdiff1d(np.arange(run.due()), seqs)
    assert len(lost) == run.stats[f"{sink}_stale_desc"] > 0, "other losses than by overwriting"
    row = np.count_nonzero(lost - lost[0] == np.arange(len(lost)))
    assert row > 0.8 * len(lost), "frames were overwritten, and older ones were not"
    waiting = np.count_nonzero((seqs > lost[row - 1]) & (stamps < woken))
    capacity = min(SLABS, run.config[f"{sink}.ring_size"])
    assert waiting > capacity / 2, f"{waiting} of the newest frames survived of {capacity}"
    return len(lost)


# Lcores of the sink that sleeps. proc.worker_threads, so that two processors share a queue.
PLACES = {
    "a-processor": ("proc", "split", 3, [2], {}),
    "two-processors-of-a-queue": ("proc", "split", 4, [2, 3], {}),
    "a-short-queue": ("proc", "split", 3, [2], {"proc.ring_size": 512}),
    "an-archiver": ("arch", "fused", 3, [3], {}),
    "an-archiver-of-a-short-queue": ("arch", "split", 3, [3], {"arch.ring_size": 512}),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_sink_that_sleeps(dip, scene, place):
    """Only it loses frames; of its queue the oldest."""
    sink, layout, workers, lcores, sets = PLACES[place]
    run = dip.start(scene.folder, RUN_S, eal_args=harness.eal(workers), sets=scene.sets(**{
        **LIVE, "lcores.layout": layout, **sets}))
    dip.wait_for_results(run)
    time.sleep(CALM_S)
    woken = sleep(run, lcores, SLEEP_S)
    run = dip.end(run)
    decided, archived = _decided(run, scene), _archived(run, scene)
    other, whole = ("arch", archived) if sink == "proc" else ("proc", decided)
    assert run.stats["dma_missed"] == 0
    assert run.stats[f"{other}_stale_desc"] == 0
    assert np.array_equal(whole[0], np.arange(run.due())), "the other sink has lost frames"
    lost = _check_newest_survive(run, sink, *(decided if sink == "proc" else archived), woken)
    proof.say(f"R27: {place} asleep for {SLEEP_S} s at {FPS} frames/s: {lost} oldest frames "
              f"overwritten, {run.stats['dma_overwritten']} by their slabs")


def test_a_disk_that_stalls(dip, scene):
    """The archiver is awake, and holds what is being written: the source ends while it does. Those
    held, and the newest, are archived."""
    run = dip.run(scene.folder, 3, eal_args=harness.eal(2), sets=scene.sets(**{
        **LIVE, "arch.max_inflight": 64, "arch.backend": "delay",
        "arch.stall_write": 4, "arch.stall_ms": 4000, "arch.io_buffer_bytes": 4096}))
    seqs, _ = _archived(run, scene)
    assert np.array_equal(_decided(run, scene)[0], np.arange(run.due()))
    lost = np.setdiff1d(np.arange(run.due()), seqs)
    assert len(lost) == run.stats["arch_stale_desc"] > 1000
    assert lost[-1] - lost[0] + 1 == len(lost)
    held = lost[0]
    assert 64 <= held < 512, "those that were being written"
    assert run.due() - SLABS <= lost[-1] < run.due() - SLABS / 2, "the newest are not there"


def test_sources_are_on_their_own(dip, scene):
    """One source's sink sleeps, the other's frames are all there."""
    devices = ["dma_file0", "dma_file1"]
    run = dip.start(None, RUN_S, device=devices, eal_args=harness.eal(4, vdevs=[
        f"{device},path={scene.folder}" for device in devices]), sets=scene.sets(**{
            **LIVE, "lcores.layout": "split"}))
    dip.wait_for_results(run, 2)
    time.sleep(CALM_S)
    sleep(run, [2], SLEEP_S)
    run = dip.end(run)
    first, second = (run.sources[device] for device in devices)
    assert first.stats["proc_stale_desc"] > 0 and first.stats["dma_overwritten"] > 0
    lost = np.setdiff1d(np.arange(first.due()), _decided(first, scene)[0])
    assert len(lost) == first.stats["proc_stale_desc"] + first.stats["drops_results_queue"]
    check_lossless(second, scene)
    assert second.stats["dma_overwritten"] == second.stats["queue_overwritten"] == 0


def test_slabs_taken_from_each_other(dip):
    """Two slabs and two lanes: a slab is taken again while its frame is on its way from queue to queue.
    The books, which every run is checked by, tell of one descriptor too few or too many."""
    vdev = "dma_sim0,width=16,height=16,cycle=1000,rows=1,cols=1,origin_row=8,origin_col=8"
    run = dip.run(None, 3, device="dma_sim0", eal_args=harness.eal(2, vdevs=[vdev]), sets={
        "main.fps": 300_000, "main.nth_archive": 2, "main.overrun": "overwrite", "main.slabs": 2,
        "proc.results": "npy", "pois.row_start": 0, "pois.row_end": 10, "pois.col_start": 0,
        "pois.col_end": 10})
    assert run.stats["dma_overwritten"] > 1000 and run.stats["arch_frames"] > 0


@pytest.mark.parametrize("workers,layout", [(0, "auto"), (2, "fused"), (4, "fused"), (4, "split")])
@pytest.mark.parametrize("slabs", [2, 5, 64])
def test_faster_than_anybody(dip, tiny, slabs, workers, layout):
    """A source that nobody keeps up with: what is decided and archived is right, all else is counted."""
    run = dip.run(tiny.folder, 0.4, eal_args=harness.eal(workers), sets=tiny.sets(**{
        "main.fps": 300_000, "main.nth_archive": 2, "main.overrun": "overwrite", "main.slabs": slabs,
        "proc.results": "npy", "lcores.layout": layout}))
    assert len(check_results(run, tiny)) > 0
    assert len(check_archive(run, tiny, nth=2)) > 0


def test_a_source_without_a_pace_waits(dip, scene):
    """It would overwrite without end."""
    run = dip.run(scene.folder, sets=scene.sets(**{
        "main.overrun": "overwrite", "main.slabs": 16, "main.nth_archive": 1,
        "dma.pace_frames": False, "dma.loop_frames": False}))
    check_lossless(run, scene)
    assert run.stats["dma_pool_waits"] + run.stats["ingest_waits"] > 0


def test_nothing_is_overwritten_without_need(dip, scene):
    run = dip.run(scene.folder, 1, sets=scene.sets(**LIVE))
    check_lossless(run, scene)


def test_the_queue_leaves_tickets_for_the_newest(dip, scene):
    """Fewer results in the window than frames in the queue: the queue is overwritten all the same. (A
    processor that is stopped in the midst of a frame holds up the results of all later ones.)"""
    run = dip.start(scene.folder, 0, eal_args=harness.eal(3), sets=scene.sets(**{
        **LIVE, "lcores.layout": "split", "proc.results_window": 512}))
    dip.wait_for_results(run)
    for _ in range(3):
        sleep(run, [2], 0.9)
        time.sleep(0.1)
    run = dip.stop(run)
    check_results(run, scene)
    assert run.stats["proc_stale_desc"] > 500
