# SPDX-License-Identifier: BSD-3-Clause
"""What copies frames into slabs, engine=: the same results and archive whatever does, nothing lost
unless it is counted, and one line for what cannot be. dma_skeleton is DPDK's dmadev in software."""

import subprocess
import time

import numpy as np
import pytest

import harness
from oracle import Scene, check_archive, check_lossless, check_results
from telemetry_client import Client

BLOCK = {"main.nth_archive": 1, "main.overrun": "block", "dma.pace_frames": False,
         "dma.loop_frames": False}
ENGINES = ["auto", "cached", "streaming", "dma_skeleton"]


@pytest.fixture(name="skeleton", scope="module")
def driver_of_dpdk():
    """Skips where DPDK has no dma_skeleton."""
    if harness.program() is None:
        pytest.skip("DIP_BINARY does not name the program; set it to build/app/dma-image-processor")
    done = subprocess.run(
        [harness.program(), *harness.eal(1, 64, ["dma_skeleton"]), "--", "--device", "none"],
        capture_output=True, text=True, check=False, timeout=30)
    if "--device none" not in done.stderr:
        pytest.skip("EAL finds no driver dma_skeleton: --vdev=dma_skeleton fails")


def command(dip, device, engine, scene, seconds=None, workers=1, sets=None, vdevs=(), **given):
    """The argument list of a run with an engine."""
    arguments = "".join(f",{key}={value}" for key, value in given.items())
    return dip.command(
        None, seconds, device=device.split(",")[0], sets=scene.sets(**{**BLOCK, **(sets or {})}),
        eal_args=harness.eal(workers, vdevs=[f"{device},engine={engine}{arguments}", *vdevs]))


def play(dip, scene, engine, *args, status=0, start=False, **kwargs):
    """A run of dma_file with an engine, the dmadev behind it on the command line."""
    device = f"dma_file0,path={scene.folder}"
    kwargs.setdefault("vdevs", ["dma_skeleton"] if engine == "dma_skeleton" else [])
    run = dip.start(argv=command(dip, device, engine, scene, *args, **kwargs))
    return run if start else dip.end(run, status)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_bits(dip, scene, skeleton, workers):
    """Results and archived images, whatever copies the frames."""
    for engine in ENGINES:
        run = play(dip, scene, engine, workers=workers)
        check_lossless(run, scene)
        told = run.report["device"]["engine"]
        assert told.split(":")[0].removeprefix("dmadev ") == engine or engine == "auto"
        assert f"copy engine {told}" in run.stderr
        records = np.concatenate([np.load(p) for p in sorted(run.archive().glob("*.npy"))])
        records.sort(order="seq")
        assert np.array_equal(records["image"], scene.frames)
        if engine == "auto":
            first = run.results().read_bytes()
        assert run.results().read_bytes() == first
        assert run.stats["dma_copy_errors"] == 0


def test_a_simulated_camera(dip, tmp_path, skeleton):
    """dma_sim with frames rendered in advance; the dmadev comes first on the command line."""
    scene = Scene(10, 64, 64, roi=(8, 8))
    results = []
    for engine in ENGINES:
        run = dip.end(dip.start(argv=command(
            dip, "dma_sim0,width=64,height=64,rows=3,cols=3,origin_row=20,origin_col=20,cycle=20",
            engine, scene, 1.0, sets={"dma.loop_frames": True, "dma.pace_frames": True,
                                      "main.fps": 300, "main.nth_archive": 0},
            vdevs=["dma_skeleton"])), 0)
        assert run.due() == 300 and run.stats["dma_missed"] == 0
        results.append(run.results().read_bytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("copies", [1, 5, 256])
def test_stop_under_load(dip, scene, skeleton, copies):
    """At any moment; frames on their way are delivered, or counted."""
    for runs in range(1, 4):
        run = play(dip, scene, "dma_skeleton", 0, copies=copies, start=True,
                   sets={"dma.loop_frames": True, "main.slabs": 64})
        dip.wait_for_results(run, runs)
        time.sleep(0.05)
        run.signal(2)
        run = dip.end(run, 0)
        seqs = check_results(run, scene)
        assert np.array_equal(seqs, np.arange(run.due()))
        assert run.stats["dma_missed"] == 0


def test_a_paced_camera_with_faults(dip, scene, skeleton):
    """The counters move as they do without a dmadev."""
    runs = [play(dip, scene, engine, 1.0, faults="lost~0.1+duplicate@50+jump:5@60", sets={
        "dma.loop_frames": True, "dma.pace_frames": True, "main.fps": 500,
        "main.overrun": "drop"}) for engine in ("cached", "dma_skeleton")]
    for name in ("dma_missed", "dma_faults", "dma_frames", "dma_duplicates", "dma_copy_errors"):
        assert runs[0].stats[name] == runs[1].stats[name], name
    for run in runs:
        assert run.due() == 500 and run.stats["dma_missed"] > 20
        check_results(run, scene)
        check_archive(run, scene)


def test_told_by_telemetry(dip, scene, skeleton):
    """/dip/device."""
    prefix = f"dipengine{time.time_ns()}"
    argv = dip.command(
        None, 0, device="dma_file0", sets=scene.sets(**{
            **BLOCK, "main.fps": 100, "dma.loop_frames": True, "dma.pace_frames": True}),
        eal_args=harness.eal(1, prefix=prefix, vdevs=[
            f"dma_file0,path={scene.folder},engine=dma_skeleton,copies=4", "dma_skeleton"]))
    run = dip.start(argv=argv)
    dip.wait_for_results(run)
    client = Client(prefix, run.pid)
    assert client.ask("/dip/device")["engine"] == (
        "dmadev dma_skeleton: as asked for, 4 copies in flight")
    client.close()
    run.signal(2)
    dip.end(run, 0)


def refuse(dip, argv, words):
    """Exit 2 and one line, with these words; nothing is left behind."""
    run = dip.start(argv=argv).finish()
    said = harness.refusals(run.stderr)
    assert run.status == 2 and run.stdout == "" and len(said) == 1, run.stderr
    assert all(word in said[0] for word in words), said[0]
    assert not (dip.folder / "results").exists() and not (dip.folder / "archive").exists()


@pytest.mark.parametrize("engine, given, words", [
    ("dsa0", {}, ["engine=dsa0: there is no such engine", "auto, cached, streaming",
                  "dmadevs found: dma_skeleton;"]),
    ("dma_skeleton", {"copies": 0}, ["copies=0: out of range", "from 1 to 256"]),
    ("dma_skeleton", {"copies": -1}, ["copies=-1: out of range"]),
    ("dma_skeleton", {"copies": 257}, ["copies=257: out of range"]),
    ("dma_skeleton", {"copies": "few"}, ["copies=few", "expected a whole number"]),
    ("dma_skeleton", {"preload_bytes": 100000}, ["engine=dma_skeleton: there is nothing to copy",
                                                 "streamed", "preload_bytes"]),
    ("streaming", {"preload_bytes": 100000}, ["engine=streaming", "streamed"]),
])
def test_what_cannot_be(dip, scene, skeleton, engine, given, words):
    """Each with one line that says what is wrong."""
    device = f"dma_file0,path={scene.folder}"
    argv = command(dip, device, engine, scene, vdevs=["dma_skeleton"], **given)
    if "copies" in given or "preload_bytes" in given:
        # The bus adds a line of its own for a device that EAL could not make.
        run = dip.start(argv=argv).finish()
        assert run.status == 2
        assert sum(all(word in line for word in words) for line in run.stderr.splitlines()) == 1
    else:
        refuse(dip, argv, words)


@pytest.mark.parametrize("device, words", [
    ("dma_null0,engine=streaming", ["engine=streaming: there is nothing to copy"]),
    ("dma_sim0,engine=cached", ["there is nothing to copy", "cycle=N"]),
    ("dma_sim0,cycle=2,engine=dma_skeleton", ["no such engine", "dmadevs found: none"]),
    ("dma_sim0,cycle=2,engine=cached,copies=1k", ["copies=1k", "expected a whole number"]),
])
def test_without_eal_arguments(dip, device, words):
    """The program makes the device itself."""
    refuse(dip, [harness.program(), "--device", device, "1"], words)


def test_a_key_in_a_file(dip, tmp_path, scene, skeleton):
    """As all arguments; those that every source has are in the group source."""
    (tmp_path / "args.cfg").write_text('source = { engine = "streaming"; copies = 3; };')
    run = play(dip, scene, "dma_skeleton", config=tmp_path / "args.cfg")
    assert run.report["device"]["engine"] == "dmadev dma_skeleton: as asked for, 3 copies in flight"
