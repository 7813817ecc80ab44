# SPDX-License-Identifier: BSD-3-Clause
"""Which frames are due, and the shapes that they come in: paced and unpaced, loop and no loop,
block and drop, frames from 16 x 16 to 2048 x 2048, pools from 2 slabs."""

import pytest

import harness
from oracle import Scene, check_archive, check_lossless, check_results


def test_two_seconds_at_a_thousand(dip, samples):
    """No drift, no rounding of the period; a quiet machine also misses nothing."""
    run = dip.run(samples, 2, sets={"main.nth_archive": 0})
    assert run.due() == 2000
    assert 1.9 < run.stats["elapsed_sec"] < 2.5


@pytest.mark.parametrize("fps,seconds,due", [
    (150000, 1, 150000), (333.3, 0.5, 167), (7, 0.5, 4), (0.5, 0.3, 1)])
def test_due_frames_are_exact(dip, fps, seconds, due):
    """Frame k is due at k / fps: those with k / fps < seconds, delivered or missed."""
    run = dip.run(None, seconds, device="dma_null0", sets={
        "main.fps": fps, "main.nth_archive": 0, "main.slabs": 512, "pois.row_start": 0,
        "pois.col_start": 0, "pois.row_end": 10, "pois.col_end": 10},
                  eal_args=harness.eal(2, vdevs=["dma_null0,width=16,height=16"]))
    assert run.due() == due
    assert run.stats["dma_frames"] + run.stats["dma_missed"] == due


def test_due_frames_beyond_the_machine(dip, scene):
    """A camera does not wait: what was due in 0.3 s and could not be taken is missed, by name."""
    run = dip.run(scene.folder, 0.3, sets=scene.sets(**{
        "main.fps": 20e6, "main.nth_archive": 0}))
    assert run.due() == 6000000
    assert run.stats["dma_missed"] > 0
    check_results(run, scene)


@pytest.mark.parametrize("pace", [True, False], ids=["paced", "unpaced"])
@pytest.mark.parametrize("overrun", ["block", "drop"])
@pytest.mark.parametrize("archiving", [0, 1])
def test_noloop_ends_by_itself(dip, scene, pace, overrun, archiving):
    """Each frame exactly once; a drop does not keep it from ending."""
    run = dip.run(scene.folder, sets=scene.sets(**{
        "dma.loop_frames": False, "dma.pace_frames": pace, "main.overrun": overrun,
        "main.nth_archive": archiving, "main.slabs": 16}))
    assert run.due() == len(scene.frames)
    if overrun == "block":
        check_lossless(run, scene, nth=archiving)
    else:
        check_results(run, scene)
        check_archive(run, scene)


def test_noloop_with_a_tight_pool_ends(dip, scene):
    """Drops at the very end of the pass: two slabs, a queue of one, the archive behind."""
    run = dip.run(scene.folder, sets=scene.sets(**{
        "dma.loop_frames": False, "main.fps": 100000, "main.nth_archive": 1, "main.slabs": 2,
        "proc.ring_size": 1, "arch.ring_size": 1, "arch.max_inflight": 1}))
    assert run.due() == len(scene.frames)
    check_results(run, scene)
    check_archive(run, scene)


def test_run_seconds_ends_a_pass_early(dip, scene):
    run = dip.run(scene.folder, 0.1, sets=scene.sets(**{
        "dma.loop_frames": False, "main.overrun": "block", "main.nth_archive": 1}))
    assert run.due() == 100
    check_lossless(run, scene)


@pytest.mark.parametrize("pace", [True, False], ids=["paced", "unpaced"])
@pytest.mark.parametrize("overrun", ["block", "drop"])
def test_looping(dip, tiny, pace, overrun):
    """More than a pass; seq counts on, the frames come again."""
    run = dip.run(tiny.folder, 0.3, sets=tiny.sets(**{
        "dma.pace_frames": pace, "main.overrun": overrun, "main.nth_archive": 7}))
    assert run.due() == 300 if pace else run.due() > 300
    if overrun == "block":
        check_lossless(run, tiny, nth=7)
    else:
        check_results(run, tiny)
        check_archive(run, tiny, nth=7)


@pytest.mark.parametrize("overrun", ["block", "drop"])
@pytest.mark.parametrize("height,width,slabs", [
    (16, 16, 64), (64, 64, 128), (300, 300, 128), (257, 333, 32), (2048, 2048, 8)])
def test_frame_sizes(dip, tmp_path, height, width, slabs, overrun):
    """Sites up to each edge, as far as whole ones fit."""
    roi = (10, 10) if height == 300 else (32, 32) if height == 2048 else (4, 4)
    scene = Scene(7, height, width, roi=roi, seed=height)
    seconds = 1 if height == 2048 else 0.3
    run = dip.run(scene.write(tmp_path / "frames"), seconds, sets=scene.sets(**{
        "dma.pace_frames": False, "main.overrun": overrun, "main.nth_archive": 5,
        "main.slabs": slabs, "main.image_w": width, "main.image_h": height,
        "main.frame_bytes": height * width * 2}))
    assert len(check_results(run, scene)) > len(scene.frames)
    if overrun == "block":
        check_lossless(run, scene, nth=5)
    else:
        check_archive(run, scene, nth=5)


@pytest.mark.parametrize("overrun", ["block", "drop"])
@pytest.mark.parametrize("slabs", [2, 3, 4, 5, 17])
def test_few_slabs(dip, scene, slabs, overrun):
    """Both sinks go on, down to two slabs for all."""
    run = dip.run(scene.folder, 0.3, sets=scene.sets(**{
        "main.slabs": slabs, "main.overrun": overrun, "main.nth_archive": 1,
        "dma.pace_frames": False}))
    assert len(check_results(run, scene)) > 0
    assert len(check_archive(run, scene)) > 0
    if overrun == "block":
        check_lossless(run, scene)


@pytest.mark.parametrize("overrun", ["block", "drop"])
def test_rings_of_one(dip, scene, overrun):
    run = dip.run(scene.folder, 0.3, sets=scene.sets(**{
        "proc.ring_size": 1, "arch.ring_size": 1, "proc.results_window": 64,
        "main.overrun": overrun, "main.nth_archive": 1, "dma.pace_frames": False}))
    assert len(check_results(run, scene)) > 0
    assert len(check_archive(run, scene)) > 0
    if overrun == "block":
        check_lossless(run, scene)


@pytest.mark.parametrize("workers,layout", [(2, "fused"), (4, "split")])
def test_a_small_results_window_drops_and_counts(dip, tiny, workers, layout):
    """Results that are not written fast enough cost frames, each counted; the order stands."""
    run = dip.run(tiny.folder, 0.4, eal_args=harness.eal(workers), sets=tiny.sets(**{
        "proc.results_window": 64, "main.nth_archive": 0, "dma.pace_frames": False,
        "main.slabs": 1024, "lcores.layout": layout}))
    assert run.stats["drops_results_queue"] > 0
    assert len(check_results(run, tiny)) > 64


@pytest.mark.parametrize("kernel", ["scalar", "avx2", "avx512"])
def test_every_kernel_decides_alike(dip, scene, kernel):
    flags = open("/proc/cpuinfo", encoding="ascii").read()
    if {"avx2": "avx2", "avx512": "avx512bw"}.get(kernel, "") not in flags:
        pytest.skip(f"this CPU has no {kernel}")
    run = dip.run(scene.folder, sets=scene.sets(**{
        "dma.loop_frames": False, "dma.pace_frames": False, "main.overrun": "block",
        "main.nth_archive": 0, "proc.kernel": kernel}))
    assert run.report["detector"]["kernel"] == kernel
    check_lossless(run, scene, nth=0)
