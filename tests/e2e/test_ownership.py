# SPDX-License-Identifier: BSD-3-Clause
"""R4: no pixel of a slab changes between publication and last release. A build with
-Dcheck_frames=true compares them wherever a frame is received or given up; scripts/test has that in
the sanitized build, and in the long form."""

import pytest

import harness
import proof

pytestmark = pytest.mark.ownership

FRAMES = proof.count(20_000, 2_500_000)
OVERWRITTEN = proof.count(20_000, 500_000)


@pytest.mark.parametrize("slabs", [8, 2048])
@pytest.mark.parametrize("layout", ["fused", "split"])
def test_no_frame_changes(dip, layout, slabs):
    """Small frames as fast as they come, by four lcores; a slab is taken again at once."""
    run = dip.run(None, 0, device="dma_sim0", timeout=1200, eal_args=harness.eal(4, vdevs=[
        f"dma_sim0,width=16,height=16,cycle=1000,frames={FRAMES},rows=1,cols=1,origin_row=8,"
        "origin_col=8"]), sets={
            "main.slabs": slabs, "main.nth_archive": 50, "main.overrun": "block",
            "dma.pace_frames": False, "dma.loop_frames": False, "proc.results": "none",
            "lcores.layout": layout, "pois.row_start": 0, "pois.row_end": 10, "pois.col_start": 0,
            "pois.col_end": 10})
    if run.stats["frame_checks"] == 0:
        pytest.skip("the program is built without -Dcheck_frames=true")
    # Twice by a processor, twice by the archiver.
    assert run.stats["frame_checks"] == 2 * (run.stats["proc_frames"] + run.stats["arch_frames"])
    assert run.stats["proc_frames"] == FRAMES
    assert run.stats["frame_changes"] == 0
    proof.say(f"R4: {FRAMES:,} frames, {run.stats['frame_checks']:,} checks, no change "
              f"({layout}, {slabs} slabs)")


@pytest.mark.parametrize("layout", ["fused", "split"])
def test_no_overwritten_frame_changes(dip, layout):
    """Faster than the sinks: what they hold is left alone, and whole until its slab is taken."""
    fps = 100_000
    run = dip.run(None, OVERWRITTEN / fps, device="dma_sim0", timeout=1200, eal_args=harness.eal(
        4, vdevs=["dma_sim0,width=16,height=16,cycle=1000,rows=1,cols=1,origin_row=8,origin_col=8"]),
        sets={"main.slabs": 64, "main.nth_archive": 2, "main.overrun": "overwrite", "main.fps": fps,
              "arch.max_rate": 50_000_000,  # a quarter of what it is offered: 4 KiB a record
              "proc.results": "none", "lcores.layout": layout, "pois.row_start": 0,
              "pois.row_end": 10, "pois.col_start": 0, "pois.col_end": 10})
    stats = run.stats
    assert OVERWRITTEN / 2 < run.due() <= OVERWRITTEN  # it is stopped when it is late
    assert stats["dma_overwritten"] > 0
    if stats["frame_checks"] == 0:
        pytest.skip("the program is built without -Dcheck_frames=true")
    assert stats["frame_checks"] == 2 * (stats["proc_frames"] + stats["arch_frames"]) \
        + stats["dma_overwritten"] + stats["queue_overwritten"]
    assert stats["frame_changes"] == 0
    proof.say(f"R4: {run.due():,} frames, {stats['dma_overwritten']:,} overwritten, "
              f"{stats['frame_checks']:,} checks, no change ({layout})")
