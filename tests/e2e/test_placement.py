# SPDX-License-Identifier: BSD-3-Clause
"""One to four processor lcores, fused and split, by hand and automatically: nothing that is
written may depend on it."""

import os
from pathlib import Path

import pytest

import harness
from oracle import check_archive, check_lossless, check_results
from test_stats_file import file_of, read

FAST = {"main.nth_archive": 3, "dma.pace_frames": False}


def roles(run):
    """Roles by lcore."""
    return {entry["lcore"]: entry["role"] for entry in run.report["lcores"]}


def count(run, role):
    """On how many lcores a role is."""
    return sum(role in text.split("+") for text in roles(run).values())


@pytest.mark.parametrize("layout", ["fused", "split"])
@pytest.mark.parametrize("processors", [1, 2, 3, 4])
def test_processors(dip, scene, processors, layout):
    """Lossless with block; in order and nothing uncounted with drop."""
    workers = processors + 1 + (layout == "split")
    for overrun in ("block", "drop"):
        run = dip.run(scene.folder, 0.3, eal_args=harness.eal(workers), sets=scene.sets(**FAST, **{
            "main.overrun": overrun, "lcores.layout": layout, "proc.worker_threads": processors}))
        assert count(run, "process") == processors
        assert count(run, "ingest") == (1 if layout == "split" else processors)
        assert len(check_results(run, scene)) > len(scene.frames)
        if overrun == "block":
            check_lossless(run, scene, nth=3)
        else:
            check_archive(run, scene, nth=3)


@pytest.mark.parametrize("workers", [0, 1, 2, 3, 5])
def test_automatic_placement(dip, scene, workers):
    """From one lcore that does everything to more lcores than CPUs."""
    run = dip.run(scene.folder, 0.3, eal_args=harness.eal(workers), sets=scene.sets(**FAST, **{
        "main.overrun": "block"}))
    check_lossless(run, scene, nth=3)
    assert len(roles(run)) == workers + 1
    for role in ("control", "ingest", "process", "archive", "results"):
        assert count(run, role) >= 1, roles(run)


def test_two_workers_decide_before_one_only_archives(dip, scene):
    """One that is enough is left alone with it, and an archive that waits for each write is."""
    for more, expected in (({}, ["ingest+process", "ingest+process+archive"]),
                           ({"proc.worker_threads": 1}, ["ingest+process", "archive"]),
                           ({"arch.use_io_uring": False}, ["ingest+process", "archive"])):
        run = dip.run(scene.folder, 0.3, eal_args=harness.eal(2), sets=scene.sets(**FAST, **{
            "main.overrun": "block", **more}))
        check_lossless(run, scene, nth=3)
        assert [roles(run)[lcore] for lcore in (1, 2)] == expected


@pytest.mark.parametrize("workers,drain", [(0, True), (0, False), (1, True)])
def test_one_lcore_drops_and_drains(dip, scene, workers, drain):
    """Run to completion: the sinks get their turn although the source never rests."""
    run = dip.run(scene.folder, 0.3, eal_args=harness.eal(workers), sets=scene.sets(**FAST, **{
        "main.drain_queues": drain, "main.slabs": 8}))
    assert len(check_results(run, scene)) > 0
    check_archive(run, scene, nth=3)


@pytest.mark.parametrize("named", [
    {"ingest": "1", "process": "2", "archive": "3", "results": "0"},
    {"ingest": "1,2", "process": "1,2", "archive": "3", "results": "3"},
    {"ingest": "1,2", "process": "3,4", "archive": "0"},
    {"ingest": "1", "process": "1-3", "archive": "4"},
    {"process": "2-3"},
    {"ingest": "0", "process": "0", "archive": "0", "results": "0"},
], ids=lambda named: "-".join(f"{role[0]}{named[role]}" for role in named))
def test_lcores_by_hand(dip, scene, named):
    run = dip.run(scene.folder, 0.3, eal_args=harness.eal(4), sets=scene.sets(
        **FAST, **{"main.overrun": "block"}, **{f"lcores.{r}": v for r, v in named.items()}))
    check_lossless(run, scene, nth=3)
    for role, text in named.items():
        first, _, last = text.replace(",", "-").partition("-")
        for lcore in range(int(first), int(last or first) + 1):
            assert role in roles(run)[lcore].split("+"), roles(run)


def test_exclusive_lcores(dip, scene):
    run = dip.run(scene.folder, 0.3, eal_args=harness.eal(3), sets=scene.sets(
        **FAST, **{"main.overrun": "block", "lcores.ingest": "1", "lcores.process": "2",
                   "lcores.archive": "3", "lcores.results": "0", "lcores.exclusive": "1-3"}))
    check_lossless(run, scene, nth=3)
    assert sorted(roles(run).items())[1:] == [(1, "ingest"), (2, "process"), (3, "archive")]


@pytest.mark.parametrize("idle", ["busy", "sleep"])
def test_idle_policy(dip, scene, idle):
    """Polling on, or sleeping: the same frames."""
    run = dip.run(scene.folder, 0.3, eal_args=harness.eal(1), sets=scene.sets(**{
        "lcores.idle": idle, "main.overrun": "block", "main.nth_archive": 3}))
    assert run.due() == 300
    check_lossless(run, scene, nth=3)


@pytest.mark.parametrize("own_eal", [True, False], ids=["eal", "auto"])
@pytest.mark.parametrize("cpu", harness.cpus()[:4])
def test_first_ingest_on_the_cpu_asked_for(dip, scene, cpu, own_eal):
    """dma.cpu_affinity: the ingesting thread may run on that CPU only, by the kernel's word."""
    run = dip.start(scene.folder, 0, eal_args=harness.eal(len(harness.cpus())) if own_eal else None,
                    sets=scene.sets(**{"dma.cpu_affinity": cpu, "proc.worker_threads": 1}))
    dip.wait_for_results(run)
    allowed = {}
    for task in Path(f"/proc/{run.pid}/task").iterdir():
        fields = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
        if "worker" in fields["Name"]:
            allowed[int(fields["Name"].rsplit("-", 1)[1])] = fields["Cpus_allowed_list"].strip()
    run = dip.stop(run)
    ingest = [lcore for lcore, text in roles(run).items() if "ingest" in text]
    assert len(ingest) == 1
    assert allowed[ingest[0]] == str(cpu)
    check_results(run, scene)


def test_an_lcore_of_its_own_frames_leaves_no_queue(dip, scene):
    """A source that never rests must not fill the queue of the lcore that decides its frames: each
    would wait until it is in no cache any more."""
    slabs, bursts = 512, 32 + 64
    run = dip.run(scene.folder, 2.5, eal_args=harness.eal(1), sets=scene.sets(**{
        "main.nth_archive": 0, "main.overrun": "block", "main.slabs": slabs,
        "dma.pace_frames": False, "lcores.layout": "fused"}))
    running = read(file_of(run))[1:-1]
    assert len(running) >= 2
    for line in running:
        assert line["pool"]["available"] >= slabs - bursts, line["pool"]


def affinities(run):
    """By name, the CPUs that each thread may use."""
    return {(task / "comm").read_text(encoding="ascii").strip(): os.sched_getaffinity(int(task.name))
            for task in Path(f"/proc/{run.pid}/task").iterdir()}


@pytest.mark.skipif(len(harness.cpus()) < 2, reason="one CPU")
@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_else_runs_where_frames_are_decided(dip, scene, workers):
    """Another lcore archives, or the same one; the rest keeps off the one that decides."""
    run = dip.start(scene.folder, 0, eal_args=harness.eal(workers), sets=scene.sets(**{
        "main.nth_archive": 1, "lcores.idle": "busy", "proc.worker_threads": 1}))
    dip.wait_for_results(run)
    may = affinities(run)
    dip.stop(run)
    decides = {int(harness.cpus()[0])}
    assert may.pop("rte-worker-1") == decides
    assert {"dip-keeper", "dip-maker", "dip-stats", "telemetry-v2"} <= may.keys()
    assert all(cpus and not cpus & decides for cpus in may.values()), may


@pytest.mark.skipif(len(harness.cpus()) < 2, reason="one CPU")
def test_threads_stay_where_there_is_no_other_place(dip, scene):
    """Lcores that decide are on every CPU."""
    run = dip.start(scene.folder, 0, eal_args=harness.eal(len(harness.cpus())), sets=scene.sets(**{
        "main.nth_archive": 0, "lcores.idle": "busy"}))
    dip.wait_for_results(run)
    may = affinities(run)
    dip.stop(run)
    every = set(map(int, harness.cpus()))
    assert may["rte-worker-1"] == {int(harness.cpus()[0])}
    assert all(cpus == every for name, cpus in may.items() if not name.startswith("rte-worker"))
