# SPDX-License-Identifier: BSD-3-Clause
"""Several sources in one process: each with its own pool, sinks, books and files, as if it ran alone,
whatever happens to another one."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import harness
from harness import check_ledger
from oracle import Scene, check_archive, check_lossless, check_results
from telemetry_client import Client
from test_bad_input import refuse

ONCE = {"main.nth_archive": 3, "main.overrun": "block", "dma.pace_frames": False,
        "dma.loop_frames": False}
PACED = {"main.nth_archive": 2, "main.fps": 500}
SUMS = {"proc.results": "npy", "proc.sums": True}
SIM = "dma_sim0,width=64,height=64,rows=4,cols=4,frames=150,photons=40"


@pytest.fixture(name="other", scope="session")
def other_scene(tmp_path_factory):
    """As the scene, other frames, and folder."""
    scene = Scene(127, 64, 64, roi=(8, 8), seed=7)
    scene.folder = scene.write(tmp_path_factory.mktemp("other") / "frames")
    return scene


def name_of(vdev):
    """The device of its arguments."""
    return vdev.split(",", maxsplit=1)[0]


def files(scene, number, **arguments):
    """A device that plays a scene."""
    return f"dma_file{number},path={scene.folder}" + "".join(
        f",{key}={value}" for key, value in arguments.items())


def command(vdevs, workers=3, prefix=None, **kwargs):
    """What Launcher.run() takes, for a run of these devices."""
    return {"device": [name_of(vdev) for vdev in vdevs],
            "eal_args": harness.eal(workers, megabytes=512, vdevs=vdevs, prefix=prefix), **kwargs}


def connect(dip, run, prefix):
    """A client of a program in full flight: all commands are there."""
    dip.wait_for_results(run)
    return Client(prefix, run.pid)


def records(path):
    """Results as NumPy records, without what the clock says."""
    every = np.load(path)
    return every[[name for name in every.dtype.names
                  if name not in ("timestamp_ns", "latency_ns")]]


def archived(source):
    """A source's archived records, in order of seq: two lanes may have them in another."""
    every = np.concatenate([np.load(path) for path in sorted(source.archive().glob("*.npy"))])
    return every[np.argsort(every["seq"])]


# --- each as if it ran alone ---

def test_results_are_those_of_single_runs(dip, scene, other):
    """File, file and simulator at a time: bit by bit what each gives alone, with its sums."""
    vdevs = [files(scene, 0), SIM, files(other, 1)]
    sets = scene.sets(**ONCE, **SUMS)
    together = dip.run(**command(vdevs, sets=sets))
    for vdev in vdevs:
        alone = dip.run(**command([vdev], sets=sets))
        source = together.sources[name_of(vdev)]
        assert source.due() == alone.due() > 100
        assert np.array_equal(records(source.results()), records(alone.results()))
        kept, again = archived(alone), archived(source)
        assert len(kept) == (alone.due() + 2) // 3
        for field in ("image", "seq", "length"):
            assert np.array_equal(kept[field], again[field])
    assert together.stats["dma_frames"] == 203 + 150 + 127


@pytest.mark.parametrize("workers", [0, 1, 2, 3, 5, 7])
@pytest.mark.parametrize("layout", ["fused", "split"])
def test_lossless_on_any_number_of_lcores(dip, scene, other, workers, layout):
    """Three sources on one lcore, up to two and more for each."""
    vdevs = [files(scene, 0), files(other, 1), "dma_null0,width=64,height=64"]
    run = dip.run(None, 0.3, **command(vdevs, workers, sets=scene.sets(**{
        **ONCE, "dma.loop_frames": True, "lcores.layout": layout})))
    check_lossless(run.sources["dma_file0"], scene, nth=3)
    check_lossless(run.sources["dma_file1"], other, nth=3)
    assert run.sources["dma_null0"].stats["results_frames"] == run.sources["dma_null0"].due() > 0
    for source in run.sources:
        assert f"{source}: 64 x 64 pixels" in run.stderr
    if workers == 7 and layout == "fused":  # two lcores for each source, and one for all archives
        told = [line for line in run.stderr.splitlines() if "; lcores:" in line]
        lcores = [n for line in told for n in re.findall(r"\d+", line.split("; lcores:")[1])]
        assert len(told) == 3 and lcores.count("1") == 2  # it ingests and processes
        assert lcores.count("7") == 3


def test_files_of_their_own(dip, scene, other):
    """Each source's files carry its name; nothing collides, also with another run's of that second."""
    vdevs = [files(scene, 0), files(other, 1)]
    first, second = (dip.run(**command(vdevs, sets=scene.sets(**ONCE, **SUMS))) for _ in range(2))
    paths = [source.report["outputs"][kind] for run in (first, second)
             for source in run.sources.values() for kind in ("archive", "results", "stats")]
    assert len(set(paths)) == len(paths) == 12
    for run in (first, second):
        for name, source in run.sources.items():
            for kind in ("archive", "results", "stats"):
                assert f"_{name}" in Path(source.report["outputs"][kind]).name
            table = str(source.results()).replace(".npy", ".sites.npy")
            assert len(np.load(table)) == scene.sites
            images = np.load(source.archive() / "frames_000000.npy", mmap_mode="r")["image"]
            assert np.array_equal(images[1], (scene if name[-1] == "0" else other).frames[3])


def test_the_program_chooses(dip, scene, other):
    """Without EAL arguments: lcores and memory for all; the text report has each."""
    argv = dip.command(None, None, eal_args=None, report=None, sets=scene.sets(**ONCE), device=[
        files(scene, 0), SIM, files(other, 1)])
    if "--" in argv:  # DIP_MEMORY asks for EAL arguments
        argv = [argv[0], *argv[argv.index("--") + 1:]]
    run = dip.start(argv=argv).finish()
    assert run.status == 0, run.stderr
    assert "EAL arguments chosen" in run.stderr
    for name, frames in (("dma_file0", 203), ("dma_sim0", 150), ("dma_file1", 127)):
        part = run.stdout.split(f"=== Source {name}, exit status 0 ===")[1].split("=== Source")[0]
        assert f"produced={frames} " in part and f"_{name}\n" in part
    whole = run.stdout.split("=== All 3 sources ===")[1]
    assert "produced=480 " in whole and "IMBALANCE" not in run.stdout


def test_endless_and_finite(dip, scene):
    """A source that has ended waits for the others; a number of seconds ends all."""
    vdevs = [SIM, "dma_null0,width=64,height=64"]
    run = dip.run(None, 1, **command(vdevs, sets=scene.sets(**{
        **ONCE, "dma.pace_frames": True, "main.fps": 1000})))
    assert run.sources["dma_sim0"].due() == 150 and run.sources["dma_null0"].due() == 1000
    assert run.sources["dma_sim0"].stats["elapsed_sec"] < 0.5
    assert run.sources["dma_null0"].stats["elapsed_sec"] > 0.9


# --- one fails ---

def test_a_source_that_dies(dip, scene, other):
    """The other plays on to its end, loses nothing, and is not late; the status says that one died."""
    vdevs = [files(scene, 0, faults="dead@100"), files(other, 1), SIM + ",faults=lost@10"]
    run = dip.run(None, 1.5, status=1, **command(vdevs, sets=scene.sets(**{
        **PACED, "main.overrun": "block"})))
    dead, whole, lossy = run.sources.values()
    assert (dead.status, whole.status, lossy.status) == (1, 0, 0)
    assert dead.due() == 100 and dead.stats["dma_errors"] == 1
    assert dead.stats["elapsed_sec"] < 0.5
    assert whole.due() == 750 and whole.stats["dma_errors"] == whole.stats["dma_missed"] == 0
    check_lossless(whole, other, nth=2)
    assert np.array_equal(check_results(dead, scene), np.arange(100))
    assert lossy.stats["dma_missed"] == 1 and lossy.stats["results_frames"] == 749
    assert run.stderr.count("dma_file0: the device has failed") == 2  # at once, and at the end
    assert "dma_file1: the device" not in run.stderr


def test_an_archive_that_is_removed(dip, scene, other, prefix):
    """It is made again, what was in it is told of; the other's frames are all there."""
    vdevs = [files(scene, 0), files(other, 1)]
    run = dip.start(None, 0, **command(vdevs, prefix=prefix, sets=scene.sets(**{
        **PACED, "main.nth_archive": 1, "arch.segment_bytes": 1 << 20})))
    client = connect(dip, run, prefix)
    dip.wait_for(run, lambda: client.ask("/dip/stats,dma_file0")["arch_frames"] > 100)
    shutil.rmtree(dip.folder / client.ask("/dip/archive,dma_file0")["folder"])
    dip.wait_for(run, lambda: client.ask("/dip/stats,dma_file0")["arch_segment_errors"] > 0)
    before = client.ask("/dip/stats,dma_file1")["arch_frames"]
    dip.wait_for(run, lambda: client.ask("/dip/stats,dma_file1")["arch_frames"] > before + 100)
    client.close()
    run = dip.stop(run, status=1)
    bad, good = run.sources.values()
    assert (bad.status, good.status) == (1, 0)
    assert len(check_results(bad, scene)) == bad.due()
    check_lossless(good, other)
    assert good.stats["arch_segment_errors"] == 0 and "dma_file1/frames" not in run.stderr
    assert len(archived(bad)) < bad.stats["arch_frames"]


def test_an_archive_that_is_full(dip, scene, other, prefix):
    """A small disk in the place of one source's folder."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small tmpfs")
    vdevs = [files(scene, 0), files(other, 1)]
    run = dip.start(None, 0, **command(vdevs, prefix=prefix, sets=scene.sets(**{
        **PACED, "main.nth_archive": 1, "arch.segment_bytes": 256 << 10})))
    client = connect(dip, run, prefix)
    dip.wait_for(run, lambda: client.ask("/dip/stats,dma_file0")["arch_frames"] > 10)
    folder = dip.folder / client.ask("/dip/archive,dma_file0")["folder"]
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        dip.wait_for(run, lambda: client.ask("/dip/stats,dma_file0")["arch_io_errors"] > 50)
        client.close()
        run = dip.stop(run, status=1)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
    bad, good = run.sources.values()
    assert (bad.status, good.status) == (1, 0)
    assert bad.stats["arch_io_errors"] > 50 and len(check_results(bad, scene)) == bad.due()
    check_lossless(good, other)


def test_a_results_file_that_is_removed(dip, scene, other, prefix):
    """What was in it is gone, and only that."""
    vdevs = [files(scene, 0), files(other, 1)]
    run = dip.start(None, 0, **command(vdevs, prefix=prefix, sets=scene.sets(**PACED)))
    client = connect(dip, run, prefix)
    dip.wait_for_results(run, 2)
    next((dip.folder / "results").glob("*_dma_file0.txt")).unlink()
    dip.wait_for(run, lambda: client.ask("/dip/stats,dma_file0")["results_removed"] == 1)
    client.close()
    run = dip.stop(run, status=1)
    bad, good = run.sources.values()
    assert (bad.status, good.status) == (1, 0)
    assert good.stats["results_removed"] == 0
    check_lossless(good, other, nth=2)


def test_a_slow_archive_of_one(dip, scene, other):
    """It drops its own frames at its own limit; the other has all of its own."""
    big = "dma_null0,width=1024,height=1024"
    run = dip.run(None, 1, **command([big, files(other, 0)], sets=scene.sets(**{
        "main.nth_archive": 1, "main.fps": 200, "arch.max_rate": 20 << 20, "main.slabs": 64})))
    slow, good = run.sources.values()
    assert slow.stats["drops_arch_queue"] > 0
    # Another process that has the CPU for a third of a second takes all slabs.
    assert slow.stats["proc_frames"] + slow.stats["dma_missed"] == slow.due()
    assert slow.stats["proc_frames"] > slow.stats["arch_frames"]
    check_lossless(good, other)
    assert scene.sites == other.sites


# --- telemetry, the figures of each second, the tools ---

@pytest.fixture(name="live")
def two_alive(dip, scene, other, prefix):
    """(run, client): dma_file0 at 500 frames a second, a dma_file1 that dies at frame 50."""
    vdevs = [files(scene, 0), files(other, 1, faults="dead@50")]
    run = dip.start(None, 0, **command(vdevs, prefix=prefix, sets=scene.sets(**PACED)))
    client = connect(dip, run, prefix)
    dip.wait_for(run, lambda: client.ask("/dip/sources")["1"]["state"] == "failed")
    dip.wait_for(run, lambda: client.ask("/dip/stats,dma_file1")["results_frames"] == 50 and
                 client.ask("/dip/stats,dma_file1")["arch_frames"] == 25)
    yield run, client
    client.close()


def test_telemetry_by_name(dip, live):
    """Each has its own; without a name it is the sum."""
    run, client = live
    sources = client.ask("/dip/sources")
    assert [entry["name"] for entry in sources.values()] == ["dma_file0", "dma_file1"]
    assert sources["0"]["state"] == "running"
    lcores = {lcore: entry["role"].split("+") for lcore, entry in client.ask("/dip/lcores").items()}
    for entry in sources.values():
        for role in ("ingest", "process", "archive", "results"):
            assert all(role in lcores[str(lcore)] for lcore in entry[role]) and entry[role]
    dead = client.ask("/dip/stats,dma_file1")
    polled_by = len(sources["1"]["ingest"])
    assert (dead["dma_frames"], dead["dma_errors"], dead["proc_frames"]) == (50, polled_by, 50)
    first, whole, later = (client.ask(f"/dip/stats{end}") for end in
                           (",dma_file0", "", ",dma_file0"))
    assert first["dma_frames"] <= whole["dma_frames"] - 50 <= later["dma_frames"]
    assert set(first) == set(whole) == set(dead)
    check_ledger(client.ask("/dip/ledger,dma_file1"), drained=True)
    for end in ("", ",dma_file0"):
        check_ledger(client.ask(f"/dip/ledger{end}"), drained=False)
    assert client.ask("/dip/device,dma_file1")["due"] == 50
    assert client.ask("/dip/device,dma_file0")["dev_id"] == 0
    assert client.ask("/dip/pool,dma_file1") == {"slabs": 128, "available": 128}
    assert client.ask("/dip/pool")["slabs"] == 256
    assert client.ask("/dip/archive,dma_file1")["frames"] == 25
    assert client.ask("/dip/archive,dma_file1")["folder"].endswith("_dma_file1")
    assert client.ask("/dip/occupancy,dma_file1")["seq"] == 49
    assert client.ask("/dip/site,dma_file1,3")["site"] == 3
    assert client.ask("/dip/latency,dma_file1")["result"]["count"] == 50
    assert client.ask("/dip/latency,dma_file1,buckets")["archived"]["count"] == 25
    assert client.ask("/dip/latency,dma_file1,0")["result"]["count"] <= 50
    assert len(client.ask("/dip/worst,dma_file1")) > 0
    dip.stop(run, status=1)


def test_a_window_of_one_source(dip, live):
    """A new window of the dead source leaves the other's; one of all leaves neither."""
    run, client = live
    assert client.ask("/dip/latency,dma_file1,reset")["result"]["count"] == 50
    empty = client.ask("/dip/latency,dma_file1")["result"]
    assert empty["count"] == 0 and empty["max_ns"] == 0
    assert client.ask("/dip/worst,dma_file1") == {}
    other = client.ask("/dip/latency,dma_file0")["result"]
    assert other["count"] >= 50 and other["max_ns"] > 0
    assert len(client.ask("/dip/worst,dma_file0")) > 0
    assert client.ask("/dip/latency,reset")["result"]["count"] >= other["count"]
    assert client.ask("/dip/latency,dma_file0")["result"]["count"] < other["count"]
    assert client.ask("/dip/latency,dma_file1,buckets")["result"]["count"] == 50
    dip.stop(run, status=1)


@pytest.mark.parametrize("asked,words", [
    ("stats,dma_file2", ["dma_file2", "/dip/sources"]), ("ledger,dma_file", ["dma_file"]),
    ("stats,dma_file0,more", ["more"]), ("pool,x", ["x"]), ("worst,1", ["1"]),
    ("latency,dma_file2", ["dma_file2"]), ("latency,dma_file0,99", ["99"]),
    ("device", ["2 sources", "/dip/device,NAME"]), ("device,nobody", ["nobody"]),
    ("archive", ["2 sources", "/dip/archive,NAME"]), ("archive,nobody", ["nobody"]),
    ("occupancy", ["2 sources"]), ("site,3", ["3"]), ("site,dma_file0,999", ["dma_file0", "999"]),
    ("stats," + "a" * 900, ["aaaa"]), ('stats,"\\', ["?"]), ("stats,%s%n", ["%s%n"])])
def test_a_name_that_nobody_has(dip, live, asked, words):
    """An answer with the reason."""
    run, client = live
    answer = client.ask(f"/dip/{asked}")
    assert list(answer) == ["error"], answer
    for word in words:
        assert word in answer["error"], answer
    dip.stop(run, status=1)


def test_names_of_a_single_source(dip, scene, prefix):
    """It answers to its name, too, and as ever without."""
    run = dip.start(None, 0, **command([files(scene, 0)], prefix=prefix, sets=scene.sets(**PACED)))
    client = connect(dip, run, prefix)
    dip.wait_for(run, lambda: client.ask("/dip/latency,dma_file0,reset")["result"]["count"] > 0)
    assert set(client.ask("/dip/stats,dma_file0")) == set(client.ask("/dip/stats"))
    assert client.ask("/dip/device,dma_file0")["name"] == "dma_file0"
    assert client.ask("/dip/site,dma_file0,1")["site"] == client.ask("/dip/site,1")["site"] == 1
    assert list(client.ask("/dip/sources")) == ["0"]
    client.close()
    run = dip.stop(run)
    assert "sources" not in run.report


def test_figures_of_each_second(dip, scene, other):
    """A file for each source; its last line is that source's part of the report."""
    vdevs = [files(scene, 0), files(other, 1, faults="dead@50")]
    run = dip.run(None, 2.2, status=1, **command(vdevs, sets=scene.sets(**PACED)))
    for name, source in run.sources.items():
        text = (dip.folder / source.report["outputs"]["stats"]).read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        assert lines[0]["run"]["device"]["name"] == name and len(lines) >= 3
        for part in ("stats", "ledger", "latency", "outputs", "exit_status"):
            assert lines[-1][part] == source.report[part], part
        taken = sum(line["interval"]["latency"]["result"]["count"] for line in lines)
        assert taken == source.stats["proc_frames"]


@pytest.mark.tool
def test_the_tools(dip, live, prefix):
    """The exporter's samples have the source as a label, top shows the one that is asked for."""
    run, client = live
    scripts = harness.ROOT / "scripts"
    done = subprocess.run(["/usr/bin/python3", scripts / "exporter.py", "--once", "-f", prefix],
                          capture_output=True, text=True, check=True, timeout=60)
    dead = [line for line in done.stdout.splitlines() if 'source="dma_file1"' in line]
    assert f'dip_dma_frames_total{{process="{prefix}",source="dma_file1"}} 50.0' in dead
    assert any(line.startswith("dip_latency_seconds_count{") and 'stage="result"' in line and
               line.endswith(" 50.0") for line in dead)
    whole = [line for line in done.stdout.splitlines() if line.startswith("dip_dma_frames_total{")]
    assert len(whole) == 2  # each, and no sum: that is Prometheus' business
    for extra, name in (([], "dma_file0"), (["--source", "dma_file1"], "dma_file1")):
        done = subprocess.run(
            ["/usr/bin/python3", scripts / "top.py", "--prefix", prefix, "--once", *extra],
            capture_output=True, text=True, check=True, timeout=60)
        assert f"{name} 64x64" in done.stdout
        assert ("50 all" in done.stdout) == (name == "dma_file1")
    assert client.ask("/dip/sources")["0"]["state"] == "running"
    dip.stop(run, status=1)


# --- bad input ---

def test_check_config(dip, scene):
    """Which files each would write."""
    done = dip.start(argv=dip.command(eal_args=None, report=None, sets=scene.sets(**PACED), device=[
        "dma_null0", "dma_sim3,seed=2"], extra=["--check-config"])).finish()
    assert done.status == 0
    for name in ("dma_null0", "dma_sim3"):
        assert f"# source {name}: archive/<YYYYmmdd_HHMMSS>_{name} " in done.stdout
    single = dip.start(argv=dip.command(eal_args=None, report=None, device=["dma_null0"],
                                        extra=["--check-config"])).finish()
    assert "# source" not in single.stdout


@pytest.mark.parametrize("devices,words", [
    (["dma_null0", "dma_null0"], ["--device dma_null0", "twice"]),
    (["dma_null0,width=8", "dma_sim0", "dma_null0,width=9"], ["--device dma_null0", "twice"]),
    ([f"dma_null{i}" for i in range(17)], ["--device dma_null16", "one too many", "16"]),
    (["dma_null0", "dma_nobody0"], ["dma_nobody0", "--list-drivers"]),
    (["dma_null0", ""], ["no source is called so"]),
    (["dma_null0", "dma_null1,width=banana"], ["dma_null1", "banana"]),
    (["dma_null0,width=300,height=300", "dma_null1,width=20,height=20"], ["dma_null1", "pois."]),
], ids=["twice", "twice with arguments", "17", "unknown", "no name", "argument", "geometry"])
def test_bad_devices(dip, devices, words):
    """One line, exit status 2, and nothing left of any source."""
    argv = [harness.program()]
    for device in devices:
        argv += ["--device", device]
    refuse(dip, words, argv=argv + ["1"])
    assert not (dip.folder / "archive").exists() and not (dip.folder / "results").exists()


def test_bad_devices_of_eal(dip, samples):
    refuse(dip, ["--device dma_null1", "no such device", "dma_null0"],
           argv=dip.command(None, 1, device=["dma_null0", "dma_null1"],
                            eal_args=harness.eal(1, vdevs=["dma_null0"])))
    refuse(dip, [f'NPY_DIR "{samples}"', "--device dma_null0", "one of the two"],
           argv=dip.command(samples, 1, device=["dma_null0", "dma_null1"], eal_args=harness.eal(
               1, vdevs=["dma_null0", "dma_null1"])))


def test_sixteen(dip, scene):
    """As many as there may be, on two lcores."""
    vdevs = [f"dma_null{i},width=64,height=64" for i in range(16)]
    run = dip.run(None, 0.5, **command(vdevs, 2, sets=scene.sets(**{
        **PACED, "main.fps": 100, "main.slabs": 16, "proc.results_window": 64,
        "main.overrun": "block", "arch.segment_bytes": 1 << 20})))
    assert len(run.sources) == 16
    for source in run.sources.values():
        assert source.due() == source.stats["results_frames"] == 50
        assert np.array_equal(archived(source)["seq"], np.arange(0, 50, 2))
