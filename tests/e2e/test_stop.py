# SPDX-License-Identifier: BSD-3-Clause
"""Stops in full flight: drained, reported, exit status 0, nothing uncounted."""

import os
import signal
import time

import pytest

import harness
from oracle import check_archive, check_lossless, check_results

# 2 s are promised; the rest is for a busy machine.
STOP_S = 5
FULL = {"main.nth_archive": 1, "dma.pace_frames": False, "arch.segment_bytes": 100 << 20}


def _stop_in_flight(dip, run, number, before=0.2):
    dip.wait_for_results(run)
    time.sleep(before)
    begin = time.monotonic()
    run = dip.stop(run, number)
    assert time.monotonic() - begin < STOP_S
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("overrun", ["block", "drop"])
def test_stop_in_full_flight(dip, scene, number, overrun):
    run = dip.start(scene.folder, 0, sets=scene.sets(**FULL, **{"main.overrun": overrun}))
    run = _stop_in_flight(dip, run, number)
    check_results(run, scene)
    check_archive(run, scene)
    if overrun == "block":
        check_lossless(run, scene)
    for term in ("proc_discarded", "proc_offer_discarded", "arch_discarded",
                 "arch_offer_discarded"):
        assert run.stats[term] == 0, "what was queued at a stop is finished"


@pytest.mark.parametrize("overrun", ["block", "drop"])
def test_stop_without_draining(dip, scene, overrun):
    """drain_queues = false: what is queued is discarded, and counted as that."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**FULL, **{
        "main.overrun": overrun, "main.drain_queues": False, "main.slabs": 1024,
        "arch.uring_qd": 1, "arch.io_buffer_bytes": 4096}))  # so that a queue there is
    run = _stop_in_flight(dip, run, signal.SIGTERM)
    check_results(run, scene)
    check_archive(run, scene)
    assert run.stats["arch_discarded"] + run.stats["arch_offer_discarded"] > 0


@pytest.mark.parametrize("overrun", ["block", "drop"])
def test_second_signal_stops_at_once(dip, scene, overrun):
    """Two signals, one after the other: at once, and still nothing uncounted."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**FULL, **{
        "main.overrun": overrun, "main.slabs": 1024}))
    dip.wait_for_results(run)
    run.signal(signal.SIGINT)
    run.signal(signal.SIGTERM)
    begin = time.monotonic()
    run = dip.end(run)
    assert time.monotonic() - begin < STOP_S
    check_results(run, scene)
    check_archive(run, scene)


def test_stop_of_a_paced_run(dip, scene):
    """Frames that are not due yet are no frames."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**{
        "main.nth_archive": 1, "main.overrun": "block"}))
    run = _stop_in_flight(dip, run, signal.SIGINT)
    assert 100 < run.due() < 20000
    check_lossless(run, scene)


@pytest.mark.parametrize("round_", range(5))
def test_stop_right_after_the_start(dip, scene, round_):
    """As soon as signals are caught, before there is anything to stop, they count."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**FULL))
    status = f"/proc/{run.pid}/status"

    def caught():
        fields = dict(line.split(":", 1) for line in open(status, encoding="ascii"))
        return int(fields["SigCgt"], 16) & 1 << (signal.SIGTERM - 1)

    dip.wait_for(run, caught)
    time.sleep(0.03 * round_)
    run = dip.stop(run, signal.SIGTERM)
    check_results(run, scene)
    check_archive(run, scene)


def test_stop_with_one_lcore(dip, scene):
    run = dip.start(scene.folder, 0, eal_args=harness.eal(0),
                    sets=scene.sets(**FULL, **{"main.overrun": "block"}))
    run = _stop_in_flight(dip, run, signal.SIGINT)
    check_lossless(run, scene)


def test_kill_leaves_no_obstacle(dip, scene):
    """kill -9 in full flight; the next run needs no cleaning, and leaves that archive alone."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**FULL))
    dip.wait_for_results(run)
    run.signal(signal.SIGKILL)
    run.finish()
    before = {path: path.stat().st_size for path in dip.folder.glob("archive/*/*")}
    run = dip.run(scene.folder, 0.2, sets=scene.sets(**FULL, **{"main.overrun": "block"}))
    check_lossless(run, scene)
    assert before == {path: os.stat(path).st_size for path in before}
