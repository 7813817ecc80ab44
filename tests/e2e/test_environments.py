# SPDX-License-Identifier: BSD-3-Clause
"""R19 and R20: what a machine may lack. Each time the program runs all the same, without loss, and says
in a line what it does without; or it ends with exit status 2 and one line with the remedy, and
nothing is made. However it ends, the hugepages come back."""

import contextlib
import ctypes
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest

import harness
import proof
from oracle import Scene, check_lossless
from telemetry_client import Client, runtime_folder
from test_faults import complaints

pytestmark = pytest.mark.environments

LIVE = {"main.nth_archive": 1, "main.overrun": "block", "main.fps": 500}
# What the program always says of itself.
ORDINARY = ("EAL arguments chosen", " sites, detector ", "lcores: ", "copy engine ")


@pytest.fixture(name="auto", autouse=True)
def the_program_chooses(monkeypatch):
    """No EAL arguments unless a test gives them."""
    monkeypatch.delenv("DIP_MEMORY", raising=False)


def remarks(run):
    """Lines of the program's own about what is not as it should be."""
    return [line for line in run.stderr.splitlines()
            if line and not line.startswith(("EAL:", "TELEMETRY:"))
            and not any(words in line for words in ORDINARY)]


def check_degraded(run, scene, *words):
    """Nothing is lost, and one line for each of the words tells what is done without."""
    check_lossless(run, scene)
    said = remarks(run)
    assert len(said) == len(words), said
    for word in words:
        assert [line for line in said if word in line], f"{word!r} is not in {said}"


def check_refused(run, *words):
    """Exit status 2 and one line that holds the words; the folder is as it was."""
    run.finish()
    assert run.status == 2, f"exit {run.status}:\n{run.stderr}"
    assert run.stdout == ""
    said = remarks(run)
    assert len(said) == 1, said
    for word in words:
        assert word in said[0], f"{word!r} is not in: {said[0]}"
    assert not (run.folder / "archive").exists() and not (run.folder / "results").exists()


# --- who runs it ---

@pytest.fixture(name="guest")
def another_users_launcher(public):
    """(launcher, scene) in a folder of everybody's."""
    scene = Scene(40, 64, 64, seed=4)
    scene.folder = scene.write(public / "frames")
    dip = harness.Launcher(public)
    yield dip, scene
    dip.close()


def guest_options(folder, memlock=None):
    """Options of subprocess for a user without rights and without a home."""
    def limit():
        if memlock is not None:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (memlock, memlock))
    return {**harness.NOBODY, "preexec_fn": limit, "env": {
        **os.environ, "HOME": "/nonexistent", "XDG_RUNTIME_DIR": str(folder)}}


def test_not_root(guest):
    """Runs; its telemetry is in its own run folder; as much locked memory as it takes."""
    dip, scene = guest
    run = dip.start(scene.folder, 0, sets=scene.sets(**LIVE),
                    options=guest_options(dip.folder, memlock=8 << 20))
    client = Client(None, run.pid, folder=dip.folder / "dpdk" / "rte")
    dip.wait_for_results(run)
    assert client.ask("/dip/stats")["dma_frames"] > 0
    client.close()
    dip.stop(run)
    check_lossless(run, scene)


def test_not_root_and_little_locked_memory(guest):
    dip, scene = guest
    run = dip.run(scene.folder, 0.5, sets=scene.sets(**LIVE),
                  options=guest_options(dip.folder, memlock=65536))
    check_degraded(run, scene, "ulimit -l is 64 KiB")
    assert "scripts/doctor" in remarks(run)[0]


def test_not_root_and_nowhere_to_write(guest):
    dip, scene = guest
    dip.folder.chmod(0o755)
    run = dip.start(scene.folder, 0.5, sets=scene.sets(**LIVE), options=guest_options("/tmp"))
    check_refused(run, "arch.arch_output_dir", "Permission denied", "expected a folder")


# --- CPUs ---

def one_cpu():
    """The last of those there are."""
    return harness.cpus()[-1]


@contextlib.contextmanager
def cpuset_of(cpu):
    """A function that makes the caller's process a member of a cpuset with one CPU."""
    base = next((base for base in (Path("/sys/fs/cgroup/cpuset"), Path("/sys/fs/cgroup"))
                 if (base / "cpuset.cpus").exists() or (base / "cpuset.cpus.effective").exists()),
                None)
    if base is None or os.geteuid() != 0:
        pytest.skip("no cpuset can be made here")
    folder = base / f"dip{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cpuset can be made here: {error}")
    try:
        try:
            (folder / "cpuset.cpus").write_text(str(cpu), encoding="ascii")
            (folder / "cpuset.mems").write_text("0", encoding="ascii")
        except OSError as error:
            pytest.skip(f"no cpuset can be made here: {error}")
        yield lambda: (folder / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    finally:
        folder.rmdir()


@pytest.mark.parametrize("how", ["affinity", "cpuset"])
def test_one_cpu(dip, scene, how):
    """All lcores share it, and the line of lcores shows which there are."""
    with cpuset_of(one_cpu()) if how == "cpuset" else contextlib.nullcontext(
            lambda: os.sched_setaffinity(0, {one_cpu()})) as confine:
        run = dip.run(scene.folder, 0.5, sets=scene.sets(**LIVE),
                      options={"preexec_fn": confine})
    check_degraded(run, scene)
    chosen = complaints(run, "EAL arguments chosen")[0]
    assert f"--lcores 0@({one_cpu()}),1@{one_cpu()},2@({one_cpu()})" in chosen


# --- io_uring ---

def without_io_uring():
    """For the process that calls it, and its children: io_uring_setup is refused, as in a container.
    A seccomp filter: load the number of the call; that one returns EPERM, others are allowed."""
    code = b"".join(struct.pack("HBBI", *line) for line in (
        (0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(
        buffer := ctypes.create_string_buffer(code, len(code))))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # no new privileges
    assert libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0) == 0
    del buffer


def test_io_uring_forbidden_by_the_kernel(dip, scene):
    if os.uname().machine != "x86_64":
        pytest.skip("the filter has the number that x86-64 gives the call")
    run = dip.run(scene.folder, 0.5, sets=scene.sets(**LIVE),
                  options={"preexec_fn": without_io_uring})
    check_degraded(run, scene, "writing with pwrite instead")


# --- folders ---

def among(mounts, argv):
    """The command among other mounts than those of this machine. mounts: lines of shell."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount")
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no namespace of mounts can be made here")
    return ["unshare", "-m", "sh", "-ec", f'{mounts}\nexec "$@"', "sh", *argv]


READ_ONLY = "mount -t tmpfs -o ro tmpfs "


@pytest.mark.parametrize("key", ["arch.arch_output_dir", "proc.proc_output_dir"])
def test_read_only_output(dip, scene, key):
    (dip.folder / "closed").mkdir()
    run = dip.start(argv=among(READ_ONLY + "closed", dip.command(
        scene.folder, 0.5, sets=scene.sets(**LIVE, **{key: "closed/here"}))))
    check_refused(run, key, "closed/here", "Read-only file system", "expected a folder")


def test_no_shared_memory(dip, scene):
    run = dip.end(dip.start(argv=among(READ_ONLY + "/dev/shm", dip.command(
        scene.folder, 0.5, sets=scene.sets(**LIVE)))))
    check_degraded(run, scene)


@pytest.mark.parametrize("mount", ["/run", "/run/dpdk"])
def test_no_run_folder(dip, scene, mount):
    """Telemetry is elsewhere then, and that is said."""
    runtime_folder("").mkdir(exist_ok=True)
    argv = among(READ_ONLY + mount, dip.command(scene.folder, 0, sets=scene.sets(**LIVE)))
    run = dip.start(argv=argv)
    dip.wait_for_results(run)
    dip.wait_for(run, lambda: Path("/tmp/dpdk_telemetry.v2").exists())
    Client(None, run.pid, folder="/tmp").close()
    dip.stop(run)
    check_degraded(run, scene, "telemetry is at /tmp/dpdk_telemetry.v2; expected a /var/run/dpdk")


# --- each other ---

def test_two_at_once(dip, scene):
    """In one folder, of one prefix, in one second: each has files of its own."""
    runs = [dip.start(scene.folder, 1, sets=scene.sets(**LIVE)) for _ in range(2)]
    for run in runs:
        dip.end(run)
        check_degraded(run, scene)
    assert runs[0].archive() != runs[1].archive() and runs[0].results() != runs[1].results()


def shared_configuration(prefix):
    """EAL arguments of a process that others may join: one of a prefix at a time."""
    return [word for word in harness.eal(1, 128, prefix=prefix)
            if word not in ("--in-memory", "--no-shconf", "--no-huge", "-m", "128")] + [
                "--no-huge", "-m", "128"]


def test_two_of_a_prefix_that_is_one_processs(dip, scene):
    """The second is refused, and does not touch the first."""
    prefix = f"diptwo{os.getpid()}"
    try:
        first = dip.start(scene.folder, 0, eal_args=shared_configuration(prefix),
                          sets=scene.sets(**LIVE))
        dip.wait_for_results(first)
        argv = dip.command(scene.folder, 0.5, eal_args=shared_configuration(prefix),
                           sets=scene.sets(**{**LIVE, "arch.arch_output_dir": "other",
                                              "proc.proc_output_dir": "other"}))
        second = dip.start(argv=argv).finish()
        assert second.status == 2
        assert complaints(second, "Is another primary process running?")
        assert len(remarks(second)) == 1
        assert "EAL does not start" in remarks(second)[0] and "doctor" in remarks(second)[0]
        assert "Success" not in remarks(second)[0]
        assert not (dip.folder / "other").exists()
        dip.stop(first)
        check_lossless(first, scene)
    finally:
        shutil.rmtree(runtime_folder(prefix), ignore_errors=True)


def test_what_a_killed_one_leaves(dip, scene):
    """Its socket and its files of one prefix: the next one starts, and is the one that answers."""
    prefix = f"dipleft{os.getpid()}"
    try:
        for _ in range(2):
            run = dip.start(scene.folder, 0, eal_args=shared_configuration(prefix),
                            sets=scene.sets(**LIVE))
            dip.wait_for_results(run)
            run.signal(signal.SIGKILL)
            run.finish()
            assert (runtime_folder(prefix) / "dpdk_telemetry.v2").exists()
            shutil.rmtree(dip.folder / "results")
        run = dip.start(scene.folder, 0, eal_args=shared_configuration(prefix),
                        sets=scene.sets(**LIVE))
        Client(prefix, run.pid).close()
        dip.wait_for_results(run)
        dip.stop(run)
        check_degraded(run, scene)
    finally:
        shutil.rmtree(runtime_folder(prefix), ignore_errors=True)


# --- hugepages ---

POOL = Path("/proc/sys/vm/nr_hugepages")
PAGES = 64


def pages_in_use():
    """Hugepages that are not free."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    total, free = (int(re.search(rf"HugePages_{name}: *(\d+)", text)[1])
                   for name in ("Total", "Free"))
    return total - free


@contextlib.contextmanager
def reserved(pages):
    """So many more pages than are in the pool; given back at the end."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to reserve hugepages")
    before = int(POOL.read_text(encoding="ascii"))
    POOL.write_text(str(before + pages), encoding="ascii")
    try:
        if int(POOL.read_text(encoding="ascii")) < before + pages:
            pytest.skip("no hugepages are to be had here")
        yield
    finally:
        POOL.write_text(str(max(0, int(POOL.read_text(encoding="ascii")) - pages)),
                        encoding="ascii")


def hugepages_args(*more):
    """EAL arguments of a run on hugepages."""
    return [word for word in harness.eal(1, 64) if word not in (
        "--in-memory", "--no-huge", "--no-shconf", "-m", "64")] + list(more)


@pytest.mark.parametrize("pages", [0, 1])
def test_too_few_hugepages(dip, scene, pages):
    """None, or one: the program's own choice is to do without; who asks for them is told."""
    if int(POOL.read_text(encoding="ascii")) > 0:
        pytest.skip("hugepages are reserved already")
    with reserved(pages):
        run = dip.run(scene.folder, 0.5, sets=scene.sets(**LIVE))
        check_degraded(run, scene)
        assert "--no-huge" in complaints(run, "EAL arguments chosen")[0]
        shutil.rmtree(dip.folder / "archive")
        shutil.rmtree(dip.folder / "results")
        run = dip.start(scene.folder, 0.5, eal_args=hugepages_args("--in-memory"),
                        sets=scene.sets(**LIVE))
        check_refused(run, *(["EAL does not start", "scripts/doctor"] if pages == 0 else
                             ["main.slabs"]))
        assert pages_in_use() == 0


def check_pages_come_back(before):
    """Within a second of the end."""
    end = time.monotonic() + 1
    while pages_in_use() != before:
        assert time.monotonic() < end, f"{pages_in_use() - before} hugepages are not given back"
        time.sleep(0.01)


@pytest.fixture(name="huge_folder")
def mounted_hugetlbfs(tmp_path):
    """A hugetlbfs."""
    folder = tmp_path / "huge"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "hugetlbfs", "none", folder], check=False,
                          capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no hugetlbfs can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def cycle(dip, scene, eal_args, number):
    """One run, ended by a signal in full flight."""
    run = dip.start(scene.folder, 0, eal_args=eal_args, sets=scene.sets(**LIVE), options={
        "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0))})
    dip.wait_for_results(run)
    assert pages_in_use() > 0
    if number == signal.SIGINT:
        dip.stop(run)
        check_lossless(run, scene)
    else:
        run.signal(number)
        assert run.finish().status == -number
    for name in ("archive", "results"):
        shutil.rmtree(dip.folder / name)


def test_hugepages_come_back(dip, scene):
    """After the end, an abort, a kill: at once, with nothing cleaned."""
    cycles = proof.count(6, 50)
    with reserved(PAGES):
        before = pages_in_use()
        for i in range(cycles):
            cycle(dip, scene, hugepages_args("--in-memory"),
                  (signal.SIGINT, signal.SIGABRT, signal.SIGKILL)[i % 3])
            check_pages_come_back(before)
    proof.say(f"R19: {cycles} ends, by SIGINT, SIGABRT and SIGKILL in turn: every hugepage was free "
              "again")


@pytest.mark.usefixtures("huge_folder")
def test_hugepages_of_its_own_choice_come_back(dip, scene):
    """Where there is a hugetlbfs, in which EAL would leave files by itself."""
    with reserved(PAGES):
        before = pages_in_use()
        cycle(dip, scene, None, signal.SIGKILL)
        check_pages_come_back(before)


def test_hugepages_in_files_come_back(dip, scene, huge_folder):
    """Files outlive a kill. With --huge-unlink there are none; else the next start takes them away."""
    with reserved(PAGES):
        before = pages_in_use()
        folder = ["--huge-dir", str(huge_folder)]
        cycle(dip, scene, hugepages_args(*folder, "--huge-unlink"), signal.SIGKILL)
        check_pages_come_back(before)
        args = hugepages_args(*folder)
        cycle(dip, scene, args, signal.SIGKILL)
        assert pages_in_use() > before
        cycle(dip, scene, args, signal.SIGINT)
        check_pages_come_back(before)
