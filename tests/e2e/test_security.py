# SPDX-License-Identifier: BSD-3-Clause
"""What docs/security.md says: who may read what is made, that links which others leave lead nowhere,
how the programs are hardened, and what takes the place of root."""

import os
import re
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

import harness
from oracle import Scene, check_lossless
from telemetry_client import Client, Connection, runtime_folder
from test_archive_tool import tool
from test_bad_input import refuse
from test_environments import LIVE, guest_options, remarks

ALL = {"main.nth_archive": 1, "main.overrun": "block", "main.fps": 800, "proc.results": "npy",
       "arch.segment_bytes": 1 << 19, "arch.hdf5": True}


def mode(path):
    """Who may do what."""
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(name="open_umask")
def nothing_masked():
    """What the program does not forbid is allowed."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_others_cannot_read_what_is_made(dip, scene, open_umask):
    run = dip.run(scene.folder, 0.5, sets=scene.sets(**ALL))
    made = [path for name in ("archive", "results") for path in [
        dip.folder / name, *(dip.folder / name).rglob("*")]]
    assert len(made) > 8 and {".npy", ".idx", ".h5", ".jsonl"} <= {path.suffix for path in made}
    for path in made:
        assert mode(path) == (0o750 if path.is_dir() else 0o640), path
    # What the tool makes again.
    for path in run.archive().glob("*.idx"):
        path.unlink()
    tool("index", run.archive())
    assert all(mode(path) == 0o640 for path in run.archive().glob("*.idx"))


def test_the_umask_takes_more_away(dip, tiny):
    before = os.umask(0o077)
    try:
        run = dip.run(tiny.folder, 0.2, sets=tiny.sets(**ALL))
    finally:
        os.umask(before)
    assert mode(run.archive()) == 0o700 and mode(run.results()) == 0o600


def stranger(gid, task):
    """Whether a user without rights, in one group, manages to do something."""
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(65534)
        try:
            task()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def ask_for_the_pool(path):
    """What a client of telemetry does."""
    Connection(path).ask("/dip/pool")["slabs"]  # pylint: disable=expression-not-assigned


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_telemetry_is_the_owners(dip, scene, open_umask):
    """The run folder is closed, whatever the umask."""
    prefix = f"dipsec{os.getpid()}"
    try:
        run = dip.start(scene.folder, 0, eal_args=harness.eal(2, prefix=prefix),
                        sets=scene.sets(**LIVE))
        Client(prefix, run.pid).close()
        path = runtime_folder(prefix) / "dpdk_telemetry.v2"
        assert mode(runtime_folder(prefix)) == 0o700
        assert not stranger(65534, lambda: ask_for_the_pool(path))
        dip.stop(run)
    finally:
        shutil.rmtree(runtime_folder(prefix), ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_telemetry_for_a_group(dip, scene, open_umask):
    """Its members may ask, and do nothing else in EAL's folder; others may not ask."""
    group, prefix = 64123, f"dipgroup{os.getpid()}"
    folder = runtime_folder(prefix)
    try:
        run = dip.start(scene.folder, 0, eal_args=harness.eal(2, prefix=prefix), sets=scene.sets(
            **LIVE, **{"main.telemetry_group": str(group)}))
        dip.wait_for_results(run)
        path = folder / "dpdk_telemetry.v2"
        assert stranger(group, lambda: ask_for_the_pool(path))
        assert not stranger(65534, lambda: ask_for_the_pool(path))
        assert not stranger(group, lambda: os.listdir(folder))
        assert not stranger(group, lambda: (folder / "mine").touch())
        assert not stranger(65534, lambda: os.listdir(folder.parent))
        others = [other for other in folder.iterdir() if other != path]
        assert not any(mode(other) & 0o077 for other in others), others
        dip.stop(run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_groups_that_cannot_be(dip, scene):
    sets = scene.sets(**LIVE, **{"main.telemetry_group": "no such group"})
    refuse(dip, ['main.telemetry_group = "no such group": there is no such group', "getent"],
           scene.folder, 0, sets=sets)
    sets["main.telemetry_group"] = "0"
    refuse(dip, ["EAL has no telemetry socket", "expected a start without --no-telemetry"],
           scene.folder, 0, sets=sets, eal_args=[*harness.eal(2), "--no-telemetry"])


def test_a_run_folder_that_becomes_a_link(dip, scene):
    """Whoever may write beside it puts a link in its place: no segment is made where it leads."""
    elsewhere = dip.folder / "elsewhere"
    elsewhere.mkdir()
    run = dip.start(scene.folder, 0, sets=scene.sets(**ALL))
    dip.wait_for_results(run)
    folder = next((dip.folder / "archive").iterdir())
    folder.rename(dip.folder / "away")
    folder.symlink_to(elsewhere)
    time.sleep(0.6)
    folder.unlink()
    dip.stop(run, status=1)
    assert not list(elsewhere.iterdir())
    assert run.stats["arch_segment_errors"] + run.stats["arch_io_errors"] > 0


def test_links_with_the_names_of_outputs(dip, scene):
    """Left for the seconds to come: the run takes other names."""
    victim = dip.folder / "victim"
    victim.write_text("kept", encoding="ascii")
    for name in ("archive", "results"):
        (dip.folder / name).mkdir()
    for second in range(4):
        stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(time.time() + second))
        (dip.folder / "archive" / stamp).symlink_to(dip.folder)
        for suffix in (".npy", ".stats.jsonl", ".sites.npy"):
            (dip.folder / f"results/results_{stamp}{suffix}").symlink_to(victim)
    run = dip.run(scene.folder, 0.3, sets=scene.sets(**ALL))
    assert victim.read_text(encoding="ascii") == "kept"
    assert not run.results().is_symlink() and not run.archive().is_symlink()
    assert not list(dip.folder.glob("frames_*"))


@pytest.mark.parametrize("program", ["dma-image-processor", "archive/dma-image-archive"])
def test_hardening(program):
    """Position independent, addresses read-only at run time, no stack that is code; checked copies
    and guarded stacks in the ordinary build."""
    if shutil.which("readelf") is None or harness.program() is None:
        pytest.skip("needs readelf (Debian package binutils) and DIP_BINARY")
    path = Path(harness.program()).parent / program

    def read(*options):
        return subprocess.run(["readelf", "-W", *options, path], check=True, capture_output=True,
                              text=True).stdout

    assert re.search(r"Type:\s+DYN \(Position-Independent", read("-h"))
    segments, dynamic = read("-l"), read("-d")
    assert "GNU_RELRO" in segments
    assert re.search(r"FLAGS_1\).*NOW.*PIE", dynamic)
    assert re.search(r"GNU_STACK .* RW ", segments)
    names = read("--dyn-syms")
    assert "__stack_chk_fail" in names
    if not os.environ.get("DIP_SANITIZE"):
        assert len(set(re.findall(r"__\w+_chk\b", names))) >= 3


def test_a_user_with_one_capability(public):
    """CAP_IPC_LOCK in place of root: the slabs are registered, however little may be locked."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv (Debian package util-linux)")
    scene = Scene(40, 64, 64, seed=4)
    scene.folder = scene.write(public / "frames")
    dip = harness.Launcher(public)
    options = guest_options(public, memlock=65536)
    for key in ("user", "group", "extra_groups"):
        del options[key]
    try:
        argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                "--inh-caps=-all,+ipc_lock", "--ambient-caps=-all,+ipc_lock",
                "--bounding-set=-all,+ipc_lock"]
        run = dip.start(argv=[*argv, *dip.command(scene.folder, 0.5, sets=scene.sets(**LIVE))],
                        options=options)
        dip.end(run)
        check_lossless(run, scene)
        assert not [line for line in remarks(run) if "cannot be registered" in line], run.stderr
    finally:
        dip.close()
