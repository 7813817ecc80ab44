# SPDX-License-Identifier: BSD-3-Clause
"""The figures of each second, results_<stamp>.stats.jsonl: what is in them, that the last line is the
final report, however a run ends, and what a disk that fails does to them."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import harness
from harness import check_ledger
from test_faults import complaints

NOLOOP = {"main.nth_archive": 3, "main.overrun": "block", "dma.pace_frames": False,
          "dma.loop_frames": False}
PACED = {"main.fps": 200, "main.nth_archive": 2}
# What --report json has as well.
SHARED = ("stats", "ledger", "latency", "lcores", "outputs", "exit_status")


def read(path):
    """The lines, each whole."""
    text = Path(path).read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def file_of(run):
    """The figures of a run that has ended."""
    return run.folder / run.report["outputs"]["stats"]


def check_last(run):
    """All lines; the last one says what the final report says."""
    lines = read(file_of(run))
    assert [line["final"] for line in lines] == [False] * (len(lines) - 1) + [True]
    for name in SHARED:
        assert lines[-1][name] == run.report[name], name
    check_ledger(lines[-1]["ledger"])
    return lines


def test_the_lines_of_a_run(dip, scene):
    """One at the start, one each second, one at the end; counters grow; UTC."""
    run = dip.run(scene.folder, 2.5, sets=scene.sets(**PACED))
    lines = check_last(run)
    assert 3 <= len(lines) <= 5
    times = [line["time_ns"] for line in lines]
    assert run.t0 <= times[0] < times[-1] <= run.t1
    assert all(0.5e9 < gap < 2.5e9 for gap in np.diff(times)[:-1])
    for before, line in zip(lines, lines[1:]):
        assert set(line["stats"]) == set(run.stats)
        assert all(type(value) in (int, float) for value in line["stats"].values())
        assert all(line["stats"][name] >= value for name, value in before["stats"].items()
                   if isinstance(value, int))
    # A paced source is never ahead; frame 0 is due at once.
    assert all(line["stats"]["dma_frames"] <= 200 * line["stats"]["elapsed_sec"] + 2
               for line in lines)
    assert all(0 <= line["pool"]["available"] <= line["pool"]["slabs"] == 128 for line in lines)


def test_no_frame_is_in_two_intervals(dip, scene):
    """What the intervals say adds up to what the run says, and each histogram to its count."""
    run = dip.run(scene.folder, 2.2, sets=scene.sets(**PACED))
    lines = check_last(run)
    for stage, whole in run.report["latency"].items():
        parts = [line["interval"]["latency"][stage] for line in lines]
        assert sum(part["count"] for part in parts) == whole["count"] > 0
        for part in parts:
            assert sum(n for _, n in part["steps"]) == part["count"]
            assert [upper for upper, _ in part["steps"]] == sorted(u for u, _ in part["steps"])
        assert max(part["steps"][-1][0] for part in parts if part["count"]) >= whole["max_ns"] > 0
        assert max(part["max_ns"] for part in parts) >= whole["max_ns"]
    passed = sum(line["interval"]["seconds"] for line in lines)
    assert run.stats["elapsed_sec"] <= passed < run.stats["elapsed_sec"] + 2


def test_what_the_run_is_stands_in_the_first_line(dip, scene):
    """Enough to know the sites of text results."""
    run = dip.run(scene.folder, sets=scene.sets(**NOLOOP))
    lines = check_last(run)
    assert all("run" not in line for line in lines[1:])
    told = lines[0]["run"]
    for name in ("version", "device", "detector", "config"):
        assert told[name] == run.report[name], name
    row, col, rows, cols, height, width = scene.grid
    sites = told["sites"]
    assert sites["count"] == rows * cols and not sites["weighted"]
    assert sites["row"] == [row + height * (i // cols) for i in range(rows * cols)]
    assert sites["col"] == [col + width * (i % cols) for i in range(rows * cols)]
    assert set(sites["h"]) == {height} and set(sites["w"]) == {width}
    assert set(sites["threshold"]) == {run.report["detector"]["threshold"]}


@pytest.mark.parametrize("sets", [{"proc.stats": False}, {"proc.results": "none"}])
def test_none(dip, tiny, sets):
    run = dip.run(tiny.folder, sets=tiny.sets(**{**NOLOOP, **sets}))
    assert run.report["outputs"]["stats"] is None
    assert not list(dip.folder.glob("**/*.jsonl"))


def test_nothing_is_left_of_a_run_that_does_not_begin(dip, tiny):
    """The results' window is refused after the files are made, or before: no file either way."""
    run = dip.start(tiny.folder, sets=tiny.sets(**{
        "arch.backend": "nosuch", "main.nth_archive": 1})).finish()
    assert run.status == 2 and not list(dip.folder.glob("**/*.jsonl"))


@pytest.mark.parametrize("how", ["int", "int_twice", "term", "lcores_alone"])
def test_however_it_ends(dip, scene, how):
    sets = scene.sets(**PACED)
    extra = {"eal_args": harness.eal(workers=0)} if how == "lcores_alone" else {}
    run = dip.start(scene.folder, 0, sets=sets, **extra)
    dip.wait_for_results(run)
    if how == "int_twice":
        run.signal(signal.SIGINT)
    dip.stop(run, signal.SIGTERM if how == "term" else signal.SIGINT)
    check_last(run)


def test_a_device_that_fails(dip, tiny):
    """Exit status 1 stands in the last line as well."""
    run = dip.run(None, 2, device="dma_error0", status=1, sets=tiny.sets(), eal_args=harness.eal(
        vdevs=["dma_error0,width=16,height=16,fail_frame=40"]))
    check_last(run)
    assert read(file_of(run))[-1]["exit_status"] == 1


def test_killed(dip, scene):
    """Whole lines, and the first tells what the run was."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**PACED))
    dip.wait_for_results(run)
    path, = dip.folder.glob("results/*.stats.jsonl")
    dip.wait_for(run, lambda: len(read(path)) >= 2)
    run.signal(signal.SIGKILL)
    run.finish()
    lines = read(path)
    assert "run" in lines[0] and not lines[-1]["final"]


def test_a_file_that_is_removed_costs_nothing_else(dip, scene):
    """Counted and logged once, however many lines were lost."""
    run = dip.start(scene.folder, 3.5, sets=scene.sets(**PACED))
    dip.wait_for_results(run)
    path, = dip.folder.glob("results/*.stats.jsonl")
    path.unlink()
    dip.end(run)
    assert run.stats["stats_errors"] == 1
    assert len(complaints(run, "lines of this file are missing")) == 1
    assert run.stats["results_frames"] == run.stats["proc_frames"] > 0
    assert not path.exists()


def _overdue(path):
    """Whether a line is missing: there is none for more than two seconds."""
    return time.time_ns() - read(path)[-1]["time_ns"] > 2_200_000_000


def test_full_disk(dip, scene, small_disk):
    """Whole lines only; once more told when it works again."""
    run = dip.start(scene.folder, 0, sets=scene.sets(**{
        **PACED, "main.nth_archive": 0, "proc.proc_output_dir": "disk/results"}))
    dip.wait_for(run, lambda: list(small_disk.glob("results/*.stats.jsonl")))
    path, = small_disk.glob("results/*.stats.jsonl")
    dip.wait_for(run, lambda: path.stat().st_size > 0)
    filler = harness.fill_up(small_disk)
    dip.wait_for(run, lambda: _overdue(path))
    filler.unlink()
    size = path.stat().st_size
    dip.wait_for(run, lambda: path.stat().st_size > size)
    run.signal(signal.SIGINT)
    run.finish().parse()
    assert run.status in (0, 1), run.stderr  # results may have been lost, too
    lines = check_last(run)
    assert run.stats["stats_errors"] == 1 and lines[-1]["stats"]["stats_errors"] == 1
    assert len(complaints(run, "No space left on device; the run goes on")) == 1
    assert len(complaints(run, "written again")) >= 1


def test_where_its_thread_runs(dip, scene):
    """Never on a worker's CPU, when the main lcore has one of its own."""
    first, second, *_ = harness.cpus() + [None]
    if second is None:
        pytest.skip("needs two CPUs")
    args = harness.eal(workers=1)
    args[args.index("--lcores") + 1] = f"0@{first},1@{second}"
    run = dip.start(scene.folder, 0, sets=scene.sets(**PACED), eal_args=args)
    dip.wait_for_results(run)
    allowed = [os.sched_getaffinity(int(task.name))
               for task in Path(f"/proc/{run.pid}/task").iterdir()
               if (task / "comm").read_text().strip() == "dip-stats"]
    dip.stop(run)
    assert len(allowed) == 1 and second not in allowed[0]
