# SPDX-License-Identifier: BSD-3-Clause
"""A steady state: lcores that take and decide frames and poll on make no system call, and no frame
costs an allocation or a line of the log."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import harness
from test_nth_call import shim

SECONDS = 1.5
ALLOCATORS = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "rte_malloc_socket",
              "rte_zmalloc_socket")


def workers(run):
    """Thread ids of the worker lcores."""
    return [task.name for task in Path(f"/proc/{run.pid}/task").iterdir()
            if (task / "comm").read_text(encoding="ascii").startswith("rte-worker")]


def system_calls(threads, seconds):
    """By name, those of the threads in so many seconds."""
    command = ["strace", "-c", "-U", "calls,name"]
    for thread in threads:
        command += ["-p", thread]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)[1]
    if "Operation not permitted" in said:
        pytest.skip("strace may not look at another process here")
    assert said.count("attached") == len(threads), said
    return {name: int(count) for count, name in re.findall(r"^ *(\d+) (\w+)$", said, re.M)
            if name != "total"}


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.skipif("DIP_SANITIZE" in os.environ, reason="a sanitizer makes calls of its own")
@pytest.mark.parametrize("layout", ["fused", "split"])
def test_polling_lcores_make_no_system_call(dip, scene, layout):
    sets = scene.sets(**{"main.overrun": "drop", "main.nth_archive": 0, "dma.pace_frames": False,
                         "lcores.layout": layout, "lcores.idle": "busy", "proc.results": "npy"})
    run = dip.start(scene.folder, 0, eal_args=harness.eal(2), sets=sets)
    dip.wait_for(run, lambda: len(workers(run)) == 2 and any((dip.folder / "results").glob("*.npy")))
    time.sleep(0.5)
    calls = system_calls(workers(run), SECONDS)
    dip.stop(run)
    assert run.stats["proc_frames"] > 0 and calls == {}


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.skipif("DIP_SANITIZE" in os.environ, reason="a sanitizer makes calls of its own")
def test_sleeping_lcores_are_seen_to_sleep(dip, scene):
    """That the test above would see a call."""
    sets = scene.sets(**{"main.fps": 100, "main.nth_archive": 0, "lcores.idle": "sleep"})
    run = dip.start(scene.folder, 0, eal_args=harness.eal(2), sets=sets)
    dip.wait_for(run, lambda: len(workers(run)) == 2)
    time.sleep(0.5)
    calls = system_calls(workers(run), SECONDS)
    dip.stop(run)
    assert calls.get("clock_nanosleep", 0) > 10


def cpu_seconds(run):
    """CPU time of a process so far."""
    fields = Path(f"/proc/{run.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif("DIP_SANITIZE" in os.environ, reason="a sanitizer takes CPU time of its own")
def test_sleeping_lcores_take_little_cpu_time(dip, scene):
    """At 1,000 frames a second on two lcores: 0.1 of a core on a quiet machine; it is more than a third
    when they sleep without knowing when the next frame comes."""
    sets = scene.sets(**{"main.fps": 1000, "main.nth_archive": 0, "main.overrun": "block",
                         "lcores.layout": "fused", "lcores.idle": "sleep"})
    run = dip.start(scene.folder, 0, eal_args=harness.eal(2), sets=sets)
    dip.wait_for_results(run)
    time.sleep(0.5)
    begin, used = time.monotonic(), cpu_seconds(run)
    time.sleep(SECONDS)
    share = (cpu_seconds(run) - used) / (time.monotonic() - begin)
    dip.stop(run)
    assert share < 0.35
    assert run.stats["proc_frames"] == run.due()


def costs_of(dip, frames):
    """Calls of each allocator, and lines of the log, of a run of so many frames."""
    costs = {}
    for call in ALLOCATORS:
        said = dip.folder / "said"
        env = {**os.environ, "LD_PRELOAD": str(shim()), "FAIL_CALL": call, "FAIL_OF": "program",
               "FAIL_NTH": str(10**9), "FAIL_SAID": str(said),
               "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        run = dip.start(device="dma_null0", options={"env": env}, sets={
            "main.nth_archive": 0, "main.overrun": "block", "dma.pace_frames": False,
            "dma.loop_frames": False, "pois.row_start": 0, "pois.row_end": 16, "pois.col_start": 0,
            "pois.col_end": 16, "pois.roi_h": 16, "pois.roi_w": 16},
            eal_args=harness.eal(2, vdevs=[f"dma_null0,width=16,height=16,frames={frames}"]))
        dip.end(run)
        assert run.stats["proc_frames"] == run.stats["results_frames"] == frames
        costs[call] = int(said.read_text(encoding="ascii"))
        said.unlink()
        costs["lines"] = run.stderr.count("\n")
    return costs


def test_no_frame_costs_an_allocation_or_a_line(dip):
    few, many = costs_of(dip, 1000), costs_of(dip, 101000)
    assert few["calloc"] > 0  # they are counted
    for what, count in few.items():
        assert many[what] - count < 100, f"{what}: {count}, and {many[what]} of 100,000 frames more"
