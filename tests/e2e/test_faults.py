# SPDX-License-Identifier: BSD-3-Clause
"""Faults while running: a full disk, folders that go away, files that may not grow. Each is
counted and reported, the other sink is unharmed, the exit status is 1."""

import os
import re
import resource
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import harness
from test_archive_tool import tool
from oracle import check_archive, check_images, check_results, dipformat

RATE = {"main.nth_archive": 1, "main.fps": 2000}


def free(folder):
    """Bytes free on its file system."""
    st = os.statvfs(folder)
    return st.f_bavail * st.f_frsize


def complaints(run, word):
    """The lines of stderr that hold a word."""
    return [line for line in run.stderr.splitlines() if word in line]


def check_readable(run, scene):
    """Every frame that is counted as archived is there, whole, in a segment that reads as one."""
    seqs = []
    for path in sorted(run.archive().glob("*.npy")):
        segment = dipformat.open_segment(path)
        records = list(segment)
        assert not segment.faults and not [r for r in records if r.fault], path.name
        seqs += [record.seq for record in records]
        check_images(np.stack([r.image for r in records]), np.array(seqs[-len(records):]), scene)
        index = path.with_suffix(".idx")
        lines, faults = dipformat.read_index(index) if index.exists() else ([], [])
        assert not faults and [line[1] for line in lines] == [r.seq for r in records][:len(lines)]
    assert len(set(seqs)) == len(seqs) == run.stats["arch_frames"]
    return np.array(seqs)


@pytest.mark.parametrize("uring", [True, False], ids=["uring", "pwrite"])
@pytest.mark.parametrize("form", ["npy", "raw"])
@pytest.mark.parametrize("overrun", ["drop", "block"])
@pytest.mark.parametrize("segment", [1 << 30, 1 << 20], ids=["large", "small"])
def test_disk_full(dip, scene, small_disk, uring, form, overrun, segment):
    """8 MiB hold about 680 of the 1,200 frames. There are slabs for all of them: none is missed where
    somebody else has the CPU."""
    run = dip.run(scene.folder, 0.6, status=1, sets=scene.sets(**RATE, **{"main.slabs": 1300,
        "arch.arch_output_dir": "disk/archive", "arch.use_io_uring": uring, "arch.format": form,
        "main.overrun": overrun, "arch.segment_bytes": segment}))
    assert run.stats["arch_io_errors"] > 0
    assert 400 < run.stats["arch_frames"] < 1030
    assert np.array_equal(check_results(run, scene), np.arange(1200)), "results are complete"
    if form == "npy":
        check_readable(run, scene)
    else:
        check_archive(run, scene, npy=False)
    assert len(complaints(run, "No space left on device")) >= 1
    assert len(run.stderr.splitlines()) < 20, "the log must not flood"


@pytest.mark.parametrize("uring", [True, False], ids=["uring", "pwrite"])
@pytest.mark.parametrize("segment", [1 << 30, 1 << 20], ids=["large", "small"])
def test_archiving_resumes_when_space_comes_back(dip, scene, small_disk, uring, segment):
    """Within a second, by itself; the frames in between are counted."""
    filler = small_disk / "filler"
    filler.write_bytes(bytes(6 << 20))
    run = dip.start(scene.folder, 0, sets=scene.sets(**{
        "main.nth_archive": 1, "main.fps": 500, "arch.arch_output_dir": "disk/archive",
        "arch.use_io_uring": uring, "arch.segment_bytes": segment}))
    dip.wait_for(run, lambda: free(small_disk) < 32768)  # too little for one more segment
    time.sleep(0.4)
    at_end = time.time_ns()
    filler.unlink()
    time.sleep(1.2)
    run = dip.stop(run, status=1)
    check_readable(run, scene)
    check_results(run, scene)
    assert run.stats["arch_io_errors"] > 0
    stamps = np.concatenate([np.load(path)["timestamp_ns"]
                             for path in sorted(run.archive().glob("*.npy"))]).astype(np.int64)
    later = stamps[stamps > at_end]
    assert len(later) > 0, "archiving has not resumed"
    assert later.min() - at_end < 1_000_000_000
    assert complaints(run, "archiving again")


@pytest.mark.parametrize("what", ["segment's folder", "all of it"])
def test_archive_removed_while_running(dip, scene, what):
    """Noticed, counted, said; results unharmed."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**RATE, **{"main.overrun": "drop"}))
    dip.wait_for_results(run)
    shutil.rmtree(dip.folder / "archive" if what == "all of it"
                  else next((dip.folder / "archive").iterdir()))
    time.sleep(0.5)
    run = dip.stop(run, status=1)
    assert run.stats["arch_segment_errors"] + run.stats["arch_io_errors"] > 0
    assert complaints(run, "removed")
    seqs = check_results(run, scene)
    assert len(seqs) == run.stats["dma_frames"]


def test_results_file_removed_while_running(dip, scene):
    """An unlinked file takes every write; its results are gone all the same."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**RATE))
    dip.wait_for_results(run)
    shutil.rmtree(dip.folder / "results")
    time.sleep(0.4)
    run = dip.stop(run, status=1)
    assert run.stats["results_io_errors"] > 0
    assert complaints(run, "removed")
    check_archive(run, scene)


@pytest.mark.parametrize("overrun", ["drop", "block"])
def test_results_on_a_full_disk(dip, scene, small_disk, overrun):
    """Counted; whole lines only; the archive is unharmed."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**RATE, **{
        "proc.proc_output_dir": "disk/results", "main.overrun": overrun}))
    dip.wait_for(run, lambda: list(small_disk.glob("results/*.txt")) and
                 next(small_disk.glob("results/*.txt")).stat().st_size > 0)
    harness.fill_up(small_disk)
    time.sleep(0.5)
    run = dip.stop(run, status=1)
    assert run.stats["results_io_errors"] > 0
    assert run.stats["proc_frames"] == run.stats["dma_frames"]
    assert len(check_results(run, scene)) == run.stats["results_frames"]
    check_archive(run, scene)
    assert run.stats["arch_io_errors"] == 0
    assert len(complaints(run, "No space left on device; results")) == 1


def test_results_resume_when_space_comes_back(dip, scene, small_disk):
    run = dip.start(scene.folder, 0, sets=scene.sets(**RATE, **{
        "proc.proc_output_dir": "disk/results"}))
    dip.wait_for(run, lambda: list(small_disk.glob("results/*.txt")))
    filler = harness.fill_up(small_disk)
    time.sleep(0.5)
    filler.unlink()
    time.sleep(0.6)
    run = dip.stop(run, status=1)
    seqs = check_results(run, scene)
    assert run.stats["results_io_errors"] > 0
    assert len(seqs) == run.stats["results_frames"]
    assert seqs[-1] >= run.due() - 2, "results are not written again"
    check_archive(run, scene)


def _limit_files(run, size):
    """The shell's ulimit -f, once EAL has its memory: hugepages are files to it."""
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("uring", [True, False], ids=["uring", "pwrite"])
def test_files_that_may_not_grow(dip, scene, uring):
    """ulimit -f: EFBIG is an I/O error like others, and the signal with it kills nobody."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**RATE, **{
        "arch.use_io_uring": uring, "arch.segment_bytes": 16 << 20, "proc.results": "none"}))
    dip.wait_for(run, lambda: list(dip.folder.glob("archive/*/*.npy")))
    _limit_files(run, 2 << 20)
    time.sleep(0.5)
    run = dip.stop(run, status=1)
    assert run.stats["arch_io_errors"] > 0
    assert run.stats["proc_frames"] == run.stats["dma_frames"]


def test_results_file_that_may_not_grow(dip, scene):
    """64 KiB of results, then EFBIG; the archive's own files stay below."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**{**RATE, "main.nth_archive": 0}))
    dip.wait_for(run, lambda: list(dip.folder.glob("results/*.txt")))
    _limit_files(run, 65536)
    time.sleep(0.8)
    run = dip.stop(run, status=1)
    assert run.stats["results_io_errors"] > 0
    assert len(check_results(run, scene)) == run.stats["results_frames"]


@pytest.mark.parametrize("uring", [True, False], ids=["uring", "pwrite"])
def test_segments_of_a_removed_folder_do_not_come_back_as_whole(dip, scene, uring):
    """What is counted as archived and still there is readable; the rest is told."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**RATE, **{
        "arch.use_io_uring": uring, "arch.segment_bytes": 1 << 20}))
    dip.wait_for(run, lambda: len(list(dip.folder.glob("archive/*/*.npy"))) > 2)
    newest = max(dip.folder.glob("archive/*/*.npy"))
    newest.unlink()
    time.sleep(0.4)
    run = dip.stop(run, status=1)
    assert run.stats["arch_segment_errors"] == 1
    assert complaints(run, "removed while it was written")
    seqs = []
    for path in sorted(run.archive().glob("*.npy")):
        segment = dipformat.open_segment(path)
        records = list(segment)
        assert not segment.faults and not [r for r in records if r.fault], path.name
        seqs += [r.seq for r in records]
    assert 0 < len(seqs) < run.stats["arch_frames"]
    check_results(run, scene)


def strace_command():
    """strace plays a kernel whose calls fail. The leak sanitizer does not work below it."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed; it makes calls fail")
    options = f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0".lstrip(":")
    return [strace, "-E", f"ASAN_OPTIONS={options}"]


def test_without_io_uring(dip, scene):
    """Forbidden by the kernel: it says so and writes with pwrite."""
    argv = [*strace_command(), "-f", "-qq", "-o", os.devnull, "-e", "trace=io_uring_setup", "-e",
            "inject=io_uring_setup:error=EPERM",
            *dip.command(scene.folder, 0.3, sets=scene.sets(**RATE, **{"main.overrun": "block"}),
                         eal_args=harness.eal(2))]
    run = dip.end(dip.start(argv=argv))
    assert complaints(run, "writing with pwrite instead")
    assert len(check_archive(run, scene)) == run.due() == len(check_results(run, scene))


def run_with_call_failing(dip, scene, call, when, status, uring=True, **more):
    argv = [*strace_command(), "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e",
            f"inject={call}:error=EIO:when={when}",
            *dip.command(scene.folder, 0.4, eal_args=harness.eal(2), sets=scene.sets(**RATE, **{
                "arch.use_io_uring": uring, "arch.segment_bytes": 1 << 20, **more}))]
    run = dip.end(dip.start(argv=argv), status=status)
    assert complaints(run, "Input/output error")
    check_results(run, scene)
    return run


@pytest.mark.parametrize("uring,call", [(False, "pwritev"), (False, "fallocate"),
                                        (True, "fallocate")])
def test_calls_that_fail(dip, scene, uring, call):
    """The n-th call fails: counted and said, what counts as archived is readable."""
    # A segment that cannot be reserved is tried again in time: nothing need be lost by that.
    run = run_with_call_failing(dip, scene, call, 3, 0 if call == "fallocate" else 1, uring)
    lost = run.stats["arch_io_errors"] + run.stats["arch_segment_errors"]
    assert lost == 0 if call == "fallocate" else lost > 0
    check_readable(run, scene)


def test_a_failed_sync_condemns_its_segment(dip, scene):
    """The segment is kept and marked, the others are good, and the exit status tells."""
    # strace counts thread by thread: the keeper's own syncs are of the oldest segment's records.
    run = run_with_call_failing(dip, scene, "fdatasync", 2, 1, **{
        "arch.sync_interval_ms": 50, "arch.segment_bytes": 1 << 24})
    condemned = list(run.archive().glob("*.npy.condemned"))
    assert run.stats["arch_condemned"] == len(condemned) == 1
    assert len(complaints(run, "condemned")) == 1
    good = sum(len(np.load(path)) for path in run.archive().glob("*.npy"))
    kept = condemned[0].with_name(condemned[0].name.replace(".npy", ".idx")).read_text("ascii")
    assert good + kept.count("\n") == run.stats["arch_durable"] < run.stats["arch_frames"]
    assert run.stats["arch_frames"] <= good + len(np.load(condemned[0]))
    tool("verify", run.archive(), status=1)
    assert "found 1 condemned segments" in tool.stderr


def test_lines_of_durable_frames_come_while_it_runs(dip, scene):
    """Every sync_interval_ms; with 0 not before the segment is closed."""
    for interval in (50, 0):
        run = dip.start(scene.folder, 0, sets=scene.sets(**{
            "main.nth_archive": 1, "main.fps": 500, "arch.sync_interval_ms": interval,
            "arch.arch_output_dir": f"archive{interval}"}))
        dip.wait_for_results(run, 1 + (interval == 0))
        time.sleep(0.7)
        index = next((dip.folder / f"archive{interval}").glob("*/*_000000.idx"))
        lines = index.read_text(encoding="ascii").count("\n")
        assert lines > 100 if interval else lines == 0
        run = dip.stop(run)
        assert index.read_text(encoding="ascii").count("\n") == run.stats["arch_frames"]
        assert run.stats["arch_durable"] == run.stats["arch_frames"]


def test_the_rate_of_the_archive_is_kept(dip, scene):
    """12,288 bytes a record; the decisions go on at full rate."""
    run = dip.run(scene.folder, 2, sets=scene.sets(**{
        "main.nth_archive": 1, "main.fps": 1000, "main.overrun": "drop", "main.slabs": 64,
        "arch.max_rate": 1228800}))
    check_results(run, scene)
    assert run.stats["drops_arch_queue"] > 1000
    # 100 a second, what was queued at the end, and what the slack of the pace allows.
    assert 150 < run.stats["arch_frames"] < 320


def _poke(run, symbol, add):
    """Add to a 64-bit number in the memory of the running program, as a stray write would."""
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm is not installed (Debian package binutils); it finds the number")
    binary = harness.program()
    names = subprocess.run([nm, binary], capture_output=True, text=True, check=True).stdout
    found = re.findall(rf"^([0-9a-f]+) [bBdD] {symbol}$", names, re.MULTILINE)
    assert len(found) == 1, f"{symbol}: {found}"
    maps = Path(f"/proc/{run.pid}/maps").read_text(encoding="utf-8").splitlines()
    base = min(int(line.split("-")[0], 16) for line in maps if line.endswith(binary))
    with open(f"/proc/{run.pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(base + int(found[0], 16))
        value = int.from_bytes(memory.read(8), "little")
        memory.seek(base + int(found[0], 16))
        memory.write((value + add).to_bytes(8, "little"))


def test_a_ledger_that_does_not_balance_is_told_once(dip, scene):
    """A million frame numbers are skipped behind the program's back: one line, once, and status 1,
    in the middle of the run, not only at its end."""
    run = dip.start(scene.folder, 6, sets=scene.sets(**{
        "main.nth_archive": 0, "dma.pace_frames": False, "main.overrun": "block"}))
    dip.wait_for_results(run)
    _poke(run, "shared", 1000000)
    run.finish(conserved=False).parse()
    assert run.status == 1
    account = run.report["ledger"]["device"]
    assert 900000 < account["imbalance"] <= 1000000
    line, = complaints(run, "the ledger of device does not balance: ")
    assert 900000 < int(re.search(r" balance: (\d+) frames; ", line)[1]) <= 1000000
    assert run.stats["ledger_checks"] >= 4
    assert 3 <= run.stats["ledger_imbalances"] <= run.stats["ledger_checks"]


def test_a_ledger_that_balances_is_looked_at_every_second(dip, scene):
    run = dip.run(scene.folder, 3.3, sets=scene.sets(**RATE))
    assert run.stats["ledger_checks"] == 3 and run.stats["ledger_imbalances"] == 0
