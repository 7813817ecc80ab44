# SPDX-License-Identifier: BSD-3-Clause
"""R11: the ways in which a record gets to the disk differ in no byte; where one is not to be had,
the next best is taken, with one line in the log and a field in /dip/archive."""

import itertools
import os
import resource
import shutil
import subprocess

import numpy as np
import pytest

import harness
from oracle import Scene, check_lossless
from telemetry_client import Client
from test_faults import strace_command

NOLOOP = {"main.nth_archive": 1, "main.overrun": "block", "dma.pace_frames": False,
          "dma.loop_frames": False}
LIVE = {"main.nth_archive": 1, "main.overrun": "block", "main.fps": 500}


def without_its_own(path):
    """The bytes of a file of an archive but for those that differ from run to run."""
    data = bytearray(path.read_bytes())
    if path.suffix == ".npy":
        records = np.frombuffer(data, np.load(path, mmap_mode="r").dtype, offset=4096)
        for name in ("timestamp_ns", "run_id", "crc32c"):
            records[name] = 0
    return bytes(data)


@pytest.mark.parametrize("form", ["npy", "raw"])
def test_four_ways_make_the_same_files(dip, scene, form):
    made = []
    for uring, direct in itertools.product([True, False], repeat=2):
        run = dip.run(scene.folder, sets=scene.sets(**NOLOOP, **{
            "arch.format": form, "arch.use_io_uring": uring, "arch.direct_io": direct,
            "proc.worker_threads": 1,  # two lcores hand frames to the archive in any order
            "arch.segment_bytes": 1 << 19}))
        check_lossless(run, scene, npy=form == "npy")
        made.append({path.name: without_its_own(path) for path in run.archive().iterdir()})
        shutil.rmtree(run.archive())
    assert len(made[0]) > 8
    for other in made[1:]:
        assert set(other) == set(made[0])
        for name, data in made[0].items():
            assert other[name] == data, name


def look_and_stop(dip, run, scene, client, lines):
    """(/dip/archive, the lines of the log that hold a word); the run is stopped and judged."""
    dip.wait_for_results(run)  # before that telemetry may have no answer yet
    dip.wait_for(run, lambda: client.ask("/dip/stats")["arch_frames"] > 20)
    told = client.ask("/dip/archive")
    client.close()
    run = dip.stop(run)
    check_lossless(run, scene)
    found = [line for line in run.stderr.splitlines() if any(word in line for word in lines)]
    return told, found


ANY_LINE = ("pwrite", "io_uring", "registered", "O_DIRECT", "page cache")


def test_all_of_it_where_nothing_is_forbidden(dip, scene, prefix):
    """So that the others show a difference."""
    if os.geteuid() != 0:
        pytest.skip("locked memory may be limited for an ordinary user")
    run = dip.start(scene.folder, 0, eal_args=harness.eal(2, prefix=prefix),
                    sets=scene.sets(**LIVE))
    told, lines = look_and_stop(dip, run, scene, Client(prefix, run.pid), ANY_LINE)
    if told["backend"] != "uring":
        pytest.skip("io_uring is not to be had on this machine")
    assert told["registered_buffers"] and told["registered_files"] and told["direct"]
    assert not lines


def start_refusing(dip, scene, prefix, call, error):
    """A run whose calls of one kind all fail."""
    # -DDD: the program itself is the child; strace has a session of its own.
    return dip.start(argv=[
        *strace_command(), "-DDD", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e",
        f"inject={call}:error={error}",
        *dip.command(scene.folder, 0, eal_args=harness.eal(2, prefix=prefix), sets=scene.sets(**LIVE))])


def test_io_uring_forbidden(dip, scene, prefix):
    run = start_refusing(dip, scene, prefix, "io_uring_setup", "EPERM")
    told, lines = look_and_stop(dip, run, scene, Client(prefix, run.pid), ANY_LINE)
    assert told["backend"] == "pwrite"
    assert not told["registered_buffers"] and not told["registered_files"]
    assert len(lines) == 1 and "writing with pwrite instead" in lines[0], lines


def test_nothing_to_be_registered(dip, scene, prefix):
    """io_uring all the same, of buffers and files that the kernel looks up at each write."""
    run = start_refusing(dip, scene, prefix, "io_uring_register", "ENOMEM")
    told, lines = look_and_stop(dip, run, scene, Client(prefix, run.pid), ANY_LINE)
    if told["backend"] != "uring":
        pytest.skip("io_uring is not to be had on this machine")
    assert not told["registered_buffers"] and not told["registered_files"]
    assert len(lines) == 1 and "cannot be registered" in lines[0], lines


def test_too_little_locked_memory(public):
    """An ordinary user with ulimit -l 64: no registered buffers, and io_uring all the same."""
    scene = Scene(40, 64, 64, seed=4)
    scene.write(public / "frames")
    dip, prefix = harness.Launcher(public), f"dippath{os.getpid()}"
    every = ",".join(map(str, harness.cpus()))
    # Hugepages are root's.
    eal_args = ["--lcores", f"0@({every}),1@({every}),2@({every})", "--main-lcore", "0",
                "--no-pci", "--iova-mode=va", "--log-level=lib.eal:warning", "--no-huge",
                "--no-shconf", "-m", "256", f"--file-prefix={prefix}"]
    try:
        run = dip.start(public / "frames", 0, eal_args=eal_args, sets=scene.sets(**LIVE), options={
            **harness.NOBODY, "env": {**os.environ, "XDG_RUNTIME_DIR": str(public)},
            "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))})
        client = Client(prefix, run.pid, folder=public / "dpdk" / prefix)
        told, lines = look_and_stop(dip, run, scene, client, ANY_LINE)
    finally:
        dip.close()
    if told["backend"] != "uring":
        pytest.skip("io_uring is not to be had on this machine")
    assert not told["registered_buffers"] and told["registered_files"]
    assert len(lines) == 1 and "cannot be registered" in lines[0], lines
    assert "ulimit -l is 64 KiB" in lines[0]


@pytest.fixture(name="plain_disk")
def mounted_ramfs(tmp_path):
    """A file system that knows neither O_DIRECT nor reservations."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a ramfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "ramfs", "ramfs", folder], capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no ramfs can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_file_system_without_o_direct(dip, scene, prefix, plain_disk):
    try:
        os.close(os.open(plain_disk / "probe", os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
        pytest.skip("ramfs knows O_DIRECT here")
    except OSError:
        (plain_disk / "probe").unlink(missing_ok=True)
    run = dip.start(scene.folder, 0, eal_args=harness.eal(2, prefix=prefix), sets=scene.sets(
        **LIVE, **{"arch.arch_output_dir": "disk/archive", "arch.direct_io": True,
                   "arch.segment_bytes": 1 << 20}))
    told, lines = look_and_stop(dip, run, scene, Client(prefix, run.pid), ("O_DIRECT",))
    assert not told["direct"]
    assert len(lines) == 1 and "writing through the page cache" in lines[0], lines
