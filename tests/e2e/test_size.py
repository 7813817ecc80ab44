# SPDX-License-Identifier: BSD-3-Clause
"""scripts/size.py: what it tells against what the program says, and against what a run of it really
takes."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import harness
from telemetry_client import Client, runtime_folder

pytestmark = pytest.mark.tool

SIZE = harness.ROOT / "scripts/size.py"
MIB = 1 << 20


def size(*args):
    """Exit status, stdout and stderr; never a traceback."""
    done = subprocess.run([sys.executable, SIZE, *map(str, args)], capture_output=True, text=True,
                          check=False, timeout=150)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(name="plan")
def planner(dip):
    """plan(W, H, FPS, ...): what size.py says, as an object; its configuration is camera.cfg."""
    def plan(*args):
        status, stdout, stderr = size(*args, "--json", "--program", harness.program())
        assert status == 0, stderr
        found = json.loads(stdout)
        (dip.folder / "camera.cfg").write_text(found["config"], encoding="utf-8")
        return found

    return plan


@pytest.mark.parametrize("args, text", [
    ([], "required: W, H, FPS"),
    (["300", "300"], "required: FPS"),
    (["x", "300", "100"], 'argument W: "x": expected a whole number, 1 to 8192'),
    (["300", "0", "100"], 'argument H: "0": expected a whole number, 1 to 8192'),
    (["300", "-5", "100"], "-5"),
    (["300", "1e3", "100"], 'argument H: "1e3": expected a whole number'),
    (["99999999999999999999", "300", "100"], "expected a whole number, 1 to 8192"),
    (["300", "300", "0"], 'argument FPS: "0": expected a number, more than 0'),
    (["300", "300", "nan"], 'argument FPS: "nan": expected a number'),
    (["300", "300", "inf"], 'argument FPS: "inf": expected a number'),
    (["300", "300", "1e99"], 'argument FPS: "1e99": expected a number'),
    (["300", "300", "100", "7"], "unrecognized arguments: 7"),
    (["300", "300", "100", "--sites", "0"], 'argument --sites: "0": expected a whole number'),
    (["300", "300", "100", "--bits", "17"], 'argument --bits: "17": expected a whole number, 1 to 16'),
    (["300", "300", "100", "--archive", "-1"], "argument --archive"),
    (["300", "300", "100", "--disk", "0"], "argument --disk"),
    (["8", "8", "100", "--sites", "400", "--lcore-fps", "1"], "has room for 64 side by side"),
    (["300", "300", "1e6", "--stall", "60", "--lcore-fps", "1e6"], "expected 100,000 at most"),
    (["300", "300", "1e6", "--stall", "0", "--lcore-fps", "10"], "expected 126 at most"),
    (["300", "300", "100", "--program", "/nowhere/program"], "/nowhere/program: No such file"),
    (["300", "300", "100", "--program", "/bin/true", "--lcore-fps", "9"], "tells no memory"),
])
def test_bad_input(args, text):
    status, stdout, stderr = size(*args)
    assert (status, stdout) == (2, "") and text in stderr.splitlines()[-1]


def test_a_program_that_fails():
    status, _, stderr = size(300, 300, 100, "--program", "/bin/false")
    assert status == 1 and stderr.startswith("size: the program failed")


def told_by_the_program(folder, *args):
    """The figures of --check-config."""
    printed = subprocess.run([harness.program(), "--check-config", *map(str, args)], cwd=folder,
                             capture_output=True, text=True, check=True).stdout
    return {name: int(value)
            for name, value in re.findall(r"^# memory\.(\w+) = (\d+)$", printed, re.MULTILINE)}


def test_check_config_knows_the_frames(dip, scene):
    """Of the source that is given; without one and without main.image_w it says nothing of them."""
    told = told_by_the_program(dip.folder, scene.folder)
    assert told["image_bytes"] == 64 * 64 * 2 and told["slab_bytes"] == 12288
    assert told_by_the_program(dip.folder, "--device", "dma_null0,width=64,height=64") == told
    assert told_by_the_program(dip.folder) == {}


@pytest.mark.parametrize("args, stride", [
    ((300, 300, 2000), 180224), ((64, 64, 20000, "--archive", 1), 12288),
    ((1000, 700, 50, "--archive", 0), 1400832), ((300, 300, 100000, "--sites", 5000), 180224)])
def test_memory_is_what_the_program_takes(dip, plan, args, stride):
    """Not more than is told, and not much less: by DPDK's own count of its heap, by the segment's
    stride, by the size of the rings; and the command line is one that runs."""
    found = plan(*args, "--lcore-fps", 60000)
    told = found["memory"]
    assert told == told_by_the_program(dip.folder, "-c", "camera.cfg")
    assert told["slab_bytes"] == stride
    assert found["hugepages_command"] == (
        f"echo {-(-told['total_bytes'] // (2 * MIB))} > /proc/sys/vm/nr_hugepages")
    prefix = f"dipsize{os.getpid()}"
    lcores = found["lcores"]
    assert lcores["all"] == 1 + lcores["process"] + (1 if found["archived_fps"] else 0)
    run = dip.start(seconds=0, eal_args=harness.eal(
        lcores["all"] - 1, told["total_bytes"] // MIB + 64, prefix=prefix, vdevs=[
            f"dma_null0,width={args[0]},height={args[1]}"]), device="dma_null0",
        extra=["-c", "camera.cfg"], sets={"main.fps": 50})
    client = Client(prefix, run.pid)
    try:
        dip.wait_for(run, lambda: client.ask("/dip/stats").get("proc_frames", 0) > 10)
        taken = client.ask("/eal/heap_info,0")["Alloc_size"]
        huge = re.search(r"HugetlbPages:\s+(\d+)", open(
            f"/proc/{run.pid}/status", encoding="utf-8").read())
        assert client.ask("/dip/pool")["slabs"] == found["settings"]["main.slabs"]
    finally:
        client.close()
        shutil.rmtree(runtime_folder(prefix), ignore_errors=True)
    assert told["total_bytes"] - 10 * MIB < taken <= told["total_bytes"]
    if os.environ.get("DIP_MEMORY") == "huge":
        pages = int(huge.group(1)) // 2048
        assert told["hugepages"] - 6 <= pages <= told["hugepages"]
    run = dip.stop(run)
    if found["archived_fps"]:
        segment = next(run.archive().glob("*.npy"))
        assert np.load(segment, mmap_mode="r").dtype.itemsize == stride
        assert found["disk_bytes_s"] == pytest.approx(found["archived_fps"] * stride)
        assert found["disk_bytes_hour"] == pytest.approx(3600 * found["disk_bytes_s"])
    for role, count in (("process", lcores["process"]), ("archive", lcores["archive"])):
        assert sum(role in entry["role"].split("+") for entry in run.report["lcores"]) == count


def test_the_rate_is_kept(dip, plan, tmp_path):
    """What is measured is what a run reaches; and a run as planned loses nothing."""
    frames = np.random.default_rng(3).integers(0, 200, (200, 300, 300), dtype="<u2")
    np.save(tmp_path / "frames.npy", frames)
    found = plan(300, 300, 2000, "--stall", 0.5)
    assert found["measured"] and found["lcores"]["process"] == max(
        1, int(np.ceil(2000 / (0.7 * found["lcore_fps"]))))
    eal = harness.eal(1, 256)
    fast = dip.run("frames.npy", 1, eal_args=eal, extra=["-c", "camera.cfg"], sets={
        "main.nth_archive": 0, "dma.pace_frames": False, "main.overrun": "block"})
    assert found["lcore_fps"] / 3 < fast.stats["proc_fps"] < found["lcore_fps"] * 3
    for _ in range(3):  # a shared machine may be away for longer than anyone plans for
        run = dip.run("frames.npy", 2, eal_args=harness.eal(
            found["lcores"]["all"] - 1, found["memory"]["total_bytes"] // MIB + 64),
            extra=["-c", "camera.cfg"])
        if run.due() == run.stats["proc_frames"] == 4000 and run.stats["arch_frames"] == 800:
            return
    pytest.fail(f"frames are lost: {run.report['ledger']}")


def test_slabs_ride_out_the_stall(plan):
    """Twice the stall holds twice the frames; what the archive may hold is enough for it."""
    slabs = {}
    for stall in (0.5, 1, 2):
        found = plan(300, 300, 5000, "--stall", stall, "--lcore-fps", 60000)
        assert found["stall_s"] >= stall
        slabs[stall] = found["settings"]["main.slabs"]
    assert slabs[2] - slabs[1] == pytest.approx(2 * (slabs[1] - slabs[0.5]), abs=2)


def test_it_is_told_to_people(dip, plan):
    status, stdout, _ = size(300, 300, 1000, "--lcore-fps", 50000, "--disk", 10, "--program",
                             harness.program())
    assert status == 0
    found = plan(300, 300, 1000, "--lcore-fps", 50000)
    for text in (found["hugepages_command"], found["config"].rstrip(), found["launch"],
                 "36.0 MB/s", "10 MB/s are NOT enough"):
        assert text in stdout
