# SPDX-License-Identifier: BSD-3-Clause
"""R9: the n-th call of a function fails, of the program's own calls and of those that DPDK makes for it.
It ends, with no crash: without loss and exit status 0 where there is another way; else with 1 or 2
and a line that says what failed. What is counted as written can be read; of a run that did not start
nothing is left."""

import os
import random
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

import harness
import proof
from harness import check_ledger
from oracle import check_lossless, check_results
from test_archive_tool import tool_path
from test_faults import check_readable

pytestmark = pytest.mark.calls

PROGRAM = """malloc calloc realloc strdup posix_memalign aligned_alloc mmap64 mkdir write pwrite64
    pread64 fstat64 stat64 opendir pwritev64 fsync fdatasync ftruncate64 fallocate64 renameat2 linkat
    pthread_create fopen64 open64
    io_uring_queue_init io_uring_register_buffers io_uring_register_files
    io_uring_register_files_sparse io_uring_register_files_update io_uring_submit
    rte_mempool_create_empty rte_mempool_set_ops_byname rte_mempool_populate_default
    rte_ring_create_elem rte_malloc_socket rte_zmalloc_socket rte_telemetry_register_cmd""".split()
DPDK = """mmap mmap64 mkdir open open64 openat pthread_create fopen fopen64 fallocate ftruncate
    rte_memzone_reserve rte_memzone_reserve_aligned rte_ring_create_elem
    rte_telemetry_register_cmd""".split()
# A function that the program does not use by this name counts no call, and is left out.
SECONDS = 0.25
# What a run takes that ends by itself, and the 2 s that are promised.
USUAL_S = 10
REASONS = ("memory", "Input/output error", "No space left", "Too many open files", "Invalid argument",
           "temporarily unavailable", "EAL does not start", "condemned", "main.slabs")
# What the system says is no line without the name of what it says it of.
SYSTEMS = ("Cannot allocate memory", "Input/output error", "No space left", "Too many open files",
           "Invalid argument", "Resource temporarily unavailable")


def shim():
    """The library that makes calls fail."""
    path = Path(harness.program()).parents[1] / "tests" / "calls" / "libfail_call.so"
    if not path.exists():
        pytest.skip(f"{path} is not built")
    return path


def failing(of, call, n, said):
    """The environment of a program whose n-th call fails."""
    return {**os.environ, "LD_PRELOAD": str(shim()), "FAIL_CALL": call, "FAIL_OF": of,
            "FAIL_NTH": str(n), "FAIL_SAID": str(said),
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}


def calls_in(said):
    """How many calls counted, or None when one failed."""
    text = said.read_text(encoding="ascii") if said.exists() else ""
    said.unlink(missing_ok=True)
    return int(text) if text not in ("", "-") else None


def to_fail(calls, few):
    """Which of them fail: all in the long form and where there are few, else a sample."""
    if proof.long_form() or calls <= few:
        return list(range(1, calls + 1))
    return sorted({1, calls, random.Random(calls).randrange(2, calls)})


def run_failing(dip, scene, of, call, n, sets):
    """One run. Returns (run, calls that counted or None when one failed)."""
    said = dip.folder / "said"
    run = dip.start(scene.folder, SECONDS, sets=sets, options={"env": failing(of, call, n, said)})
    run.finish(USUAL_S)
    return run, calls_in(said)


def check_kept(run, scene):
    """The archive of a run that has failed: what it counts is there. A segment that could not be cut to
    its size, which the run tells, has a tail that `recover` cuts off. One whose sync has failed is kept
    under another name, and counts no less."""
    for path in re.findall(r"^(\S+\.npy): closing: ", run.stderr, re.MULTILINE):
        done = subprocess.run([tool_path(), "recover", run.folder / path], capture_output=True, text=True,
                              check=False, timeout=60)
        assert done.returncode in (0, 1), done.stderr
    if run.stats["arch_condemned"] == 0:
        check_readable(run, scene)
        return
    condemned = list(run.archive().glob("*.npy.condemned"))
    assert len(condemned) == run.stats["arch_condemned"]
    files = [*run.archive().glob("*.npy"), *condemned]
    assert sum(len(np.load(path)) for path in files) >= run.stats["arch_frames"]


def check_end(dip, run, scene, what):
    """What holds of a run in which a call has failed."""
    said = [line for line in run.stderr.splitlines() if not line.startswith(("TELEMETRY:",))]
    if what.endswith("of dpdk") and run.status == -signal.SIGABRT:
        # EAL's own end, before anything of ours is there, when it cannot read what is mounted or start a
        # thread for an lcore.
        panics = ("PANIC in get_hugepage_dir", "PANIC in rte_eal_init")
        assert any(panic in run.stderr for panic in panics) and run.stdout == "", run.stderr
        return
    assert run.status in (0, 1, 2), f"{what}: exit {run.status}\n{run.stderr}"
    if run.status == 2:
        assert run.stdout == "" and said, what
        assert not [name for name in ("archive", "results") if (dip.folder / name).exists()], what
    elif run.stdout:
        run.parse()
        check_ledger(run.report["ledger"])
        if run.status == 0:
            check_lossless(run, scene)
        else:
            check_results(run, scene)
            check_kept(run, scene)
    if run.status != 0:
        assert any(reason in line for reason in REASONS for line in said), f"{what}:\n{run.stderr}"
    nameless = [line for line in said
                if line.removeprefix("dma-image-processor: ").lstrip(": ").startswith(SYSTEMS)]
    assert not nameless, f"{what}: {nameless}"


def clear(dip):
    for name in ("archive", "results"):
        shutil.rmtree(dip.folder / name, ignore_errors=True)


@pytest.mark.parametrize("of,call", [("program", call) for call in PROGRAM] +
                         [("dpdk", call) for call in DPDK])
def test_the_nth_call_fails(dip, scene, of, call):
    sets = scene.sets(**{"main.nth_archive": 1, "main.overrun": "block", "main.fps": 800,
                         "arch.segment_bytes": 1 << 19, "arch.sync_interval_ms": 50,
                         "arch.use_io_uring": call not in ("pwritev64",)})
    run, calls = run_failing(dip, scene, of, call, 0, sets)
    assert run.status == 0 and calls is not None, run.stderr
    clear(dip)
    if calls == 0:
        pytest.skip(f"{of} makes no such call")
    numbers = to_fail(calls, few=8)  # so few are each of another kind
    ends = {0: 0, 1: 0, 2: 0}
    for n in numbers:
        run, left = run_failing(dip, scene, of, call, n, sets)
        check_end(dip, run, scene, f"call {n} of {calls} of {call} of {of}")
        ends[2 if run.status < 0 else run.status] += 1
        clear(dip)
        if left is not None:  # fewer calls this time: a clean run
            break
    proof.say(f"R9: {call} of {of}: {len(numbers)} of {calls} calls failed in turn: "
              f"{ends[0]} runs without loss, {ends[1]} that failed, {ends[2]} refused")


def test_a_write_with_none_after_it(dip, scene):
    """What io_uring could not submit goes out with the next write, and by itself when there is none."""
    run, _ = run_failing(dip, scene, "program", "io_uring_submit", 1, scene.sets(**{
        "main.nth_archive": 1000, "main.overrun": "block", "main.fps": 800}))
    assert run.status == 0, run.stderr
    check_lossless(run.parse(), scene, nth=1000)
