# SPDX-License-Identifier: BSD-3-Clause
"""scripts/doctor against made-up machines in a folder, each check in every state it knows, and once
against this one."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
from doctorlib import disk, system  # noqa: E402
from doctorlib.machine import Machine, listed, numbers  # noqa: E402

pytestmark = pytest.mark.tool

CPU = "sys/devices/system/cpu"
POOL = "sys/kernel/mm/hugepages/hugepages-2048kB"
CLOCK = "sys/devices/system/clocksource/clocksource0"
NODE = "sys/devices/system/node"


def _package(name, version, status="install ok installed"):
    return f"Package: {name}\nStatus: {status}\nVersion: {version}\n\n"


PACKAGES = {"librte-eal23": "22.11.5-1~deb12u1", "librte-rawdev23": "22.11.5-1~deb12u1",
            "liburing2": "2.3-3", "libconfig9": "1.5-0.4", "libisal2": "2.30.0-5",
            "libhdf5-103-1": "1.10.8+repack1-1"}


def _dpkg(**changed):
    return "".join(_package(name, changed.get(name.replace("-", "_"), version))
                   for name, version in PACKAGES.items()
                   if changed.get(name.replace("-", "_"), "") is not None)


# A machine that nothing is to be said about: CPUs 0-3, 2 and 3 of them for us.
GOOD = {
    "var/lib/dpkg/status": _dpkg(),
    f"{CPU}/online": "0-3", f"{CPU}/isolated": "2-3", f"{CPU}/nohz_full": "2-3",
    "proc/cmdline": "quiet isolcpus=2-3 nohz_full=2-3 rcu_nocbs=2-3",
    **{f"{CPU}/cpu{i}/cpufreq/scaling_governor": "performance" for i in range(4)},
    **{f"{CPU}/cpu{i}/topology/thread_siblings_list": str(i) for i in range(4)},
    f"{CPU}/intel_pstate/no_turbo": "1",
    "proc/irq/24/smp_affinity_list": "0-3", "proc/irq/24/effective_affinity_list": "0",
    f"{POOL}/nr_hugepages": "256", f"{POOL}/free_hugepages": "200",
    "proc/mounts": "proc /proc proc rw 0 0\nnone /dev/hugepages hugetlbfs rw 0 0\n",
    "dev/hugepages/": "", "var/run/dpdk/": "",
    f"{NODE}/node0/cpulist": "0-3",
    f"{NODE}/node0/hugepages/hugepages-2048kB/free_hugepages": "200",
    "proc/self/limits": "Max locked memory         unlimited      unlimited      bytes",
    "proc/self/status": "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t\nCapEff:\t000001ffffffffff",
    "proc/sys/kernel/io_uring_disabled": "0", "proc/net/unix": "",
    "proc/cpuinfo": "processor : 0\nflags : fpu constant_tsc nonstop_tsc\n",
    f"{CLOCK}/current_clocksource": "tsc", f"{CLOCK}/available_clocksource": "tsc hpet",
}
USER = {"proc/self/status": "Uid:\t7\t7\t7\t7\nGid:\t7\t7\t7\t7\nGroups:\t7 9\n"
                            "CapEff:\t0000000000000000"}


@pytest.fixture(name="make")
def make_machine(tmp_path):
    """Makes the good machine with some files changed; None takes one away."""
    def make(changes=()):
        root = tmp_path / "root"
        for name, text in {**GOOD, **dict(changes)}.items():
            if text is None:
                continue
            path = root / name
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text + "\n", encoding="utf-8")
        return root
    return make


def doctor(*args, **kwargs):
    """Exit status, stdout, stderr; never a traceback."""
    done = subprocess.run([sys.executable, SCRIPTS / "doctor", *map(str, args)], text=True,
                          capture_output=True, check=False, timeout=120, **kwargs)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def examined(root, check, *args, **kwargs):
    """The findings of one check."""
    status, stdout, stderr = doctor("--root", root, "--only", check, "--json", *args, **kwargs)
    assert stderr == "", stderr
    report = json.loads(stdout)
    assert report["exit_status"] == status
    assert status == int(any(f["level"] == "problem" for f in report["findings"]))
    assert {f["check"] for f in report["findings"]} == {check}
    return report["findings"]


def test_a_good_machine(make, tmp_path):
    status, stdout, _ = doctor("--root", make(), "--archive", tmp_path, "--json")
    report = json.loads(stdout)
    assert status == 0 and report["cores"] == [2, 3] and report["fixed"] == []
    assert len({f["check"] for f in report["findings"]}) == 16
    # The disk is this machine's.
    assert [f for f in report["findings"] if f["level"] != "ok" and f["check"] != "archive"] == []


WARN, BAD = "warning", "problem"
IRQ = "proc/irq/24/effective_affinity_list"


@pytest.mark.parametrize("check, changes, level, text, mend", [
    ("packages", {"var/lib/dpkg/status": _dpkg(liburing2=None)}, BAD,
     "liburing2 is not installed", "apt-get install liburing2"),
    ("packages", {"var/lib/dpkg/status": _dpkg(librte_eal23="20.11.1-1")}, BAD,
     "librte-eal23 20.11.1-1; expected 22.11", "apt-get install librte-eal23"),
    ("packages", {"var/lib/dpkg/status": _dpkg(libisal2=None) + _package(
        "libisal2", "2.30.0-5", "deinstall ok config-files")}, BAD, "libisal2 is not", "libisal2"),
    ("packages", {"var/lib/dpkg/status": None}, WARN, "no list of Debian packages", ""),
    ("hugepages", {f"{POOL}/nr_hugepages": "0", f"{POOL}/free_hugepages": "0"}, WARN,
     "no hugepages", "echo 256 > /proc/sys/vm/nr_hugepages"),
    ("hugepages", {f"{POOL}/free_hugepages": "0"}, WARN, "0 of 256 of 2048 KiB",
     "echo 512 > /proc/sys/vm/nr_hugepages"),
    ("hugepages", {f"{POOL}/nr_hugepages": None, f"{POOL}/free_hugepages": None}, WARN,
     "this kernel has no hugepages", ""),
    ("mounts", {"dev/hugepages/": None}, BAD, "mounted, but not there",
     "mount -t hugetlbfs nodev /dev/hugepages"),
    ("mounts", USER, WARN, "/dev/hugepages: not ours", "chown 7 /dev/hugepages"),
    ("cores", {f"{CPU}/isolated": "2-5"}, BAD, "CPU 4-5 is not online; online are 0-3", ""),
    ("cores", {f"{CPU}/isolated": "0-3"}, WARN, "CPUs 0-3 are all", "scripts/doctor --cores 1-3"),
    ("isolation", {f"{CPU}/isolated": ""}, WARN, "isolcpus lacks CPUs 0-3",
     "isolcpus=managed_irq,domain,1-3 nohz_full=1-3 rcu_nocbs=1-3"),
    ("isolation", {f"{CPU}/nohz_full": "(null)"}, WARN, "nohz_full lacks CPUs 2-3",
     "nohz_full=2-3"),
    ("isolation", {f"{CPU}/nohz_full": "2", "proc/cmdline": "rcu_nocbs=2"}, WARN,
     "rcu_nocbs lacks CPUs 3", "update-grub"),
    ("governor", {f"{CPU}/cpu3/cpufreq/scaling_governor": "powersave"}, WARN,
     "governor powersave on CPUs 3",
     "echo performance | tee /sys/devices/system/cpu/cpu3/cpufreq/scaling_governor"),
    ("turbo", {f"{CPU}/intel_pstate/no_turbo": "0"}, WARN, "turbo is on",
     "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo"),
    ("turbo", {f"{CPU}/intel_pstate/no_turbo": None, f"{CPU}/cpufreq/boost": "1"}, WARN,
     "turbo is on", "echo 0 > /sys/devices/system/cpu/cpufreq/boost"),
    ("smt", {f"{CPU}/cpu2/topology/thread_siblings_list": "1-2"}, WARN, "CPU 2 and CPU 1",
     "echo 0 > /sys/devices/system/cpu/cpu1/online"),
    ("smt", {f"{CPU}/cpu2/topology/thread_siblings_list": "2-3",
             f"{CPU}/cpu3/topology/thread_siblings_list": "2-3"}, WARN, "CPU 2 and CPU 3",
     "echo 0 > /sys/devices/system/cpu/cpu3/online"),
    ("irqs", {IRQ: "3"}, WARN, "interrupts 24 go to CPUs 2-3",
     "for irq in 24; do echo 0-1 > /proc/irq/$irq/smp_affinity_list; done"),
    ("irqs", {IRQ: "", f"{CPU}/isolated": "0-3"}, WARN, "no CPU is left", ""),
    ("numa", {f"{NODE}/node0/cpulist": "0-2", f"{NODE}/node1/cpulist": "3"}, WARN,
     "on NUMA nodes 0-1", "scripts/doctor --cores"),
    ("numa", {f"{NODE}/node0/hugepages/hugepages-2048kB/free_hugepages": "0"}, WARN,
     "NUMA node 0 of our CPUs has no free hugepage",
     "node0/hugepages/hugepages-2048kB/nr_hugepages"),
    ("memlock", {**USER, "proc/self/limits": "Max locked memory  8388608  8388608  bytes"}, WARN,
     "memlock 8192 KiB", "prlimit --pid $$ --memlock=1073741824"),
    ("memlock", {"proc/self/limits": None}, "ok", "CAP_IPC_LOCK", ""),
    ("memlock", {**USER, "proc/self/limits": None}, WARN, "not known", ""),
    ("io_uring", {"proc/sys/kernel/io_uring_disabled": "2"}, BAD, "io_uring_disabled is 2",
     "sysctl -w kernel.io_uring_disabled=0"),
    ("io_uring", {**USER, "proc/sys/kernel/io_uring_disabled": "1"}, BAD, "is 1", "sysctl -w"),
    ("io_uring", {"proc/sys/kernel/io_uring_disabled": "1"}, "ok", "allowed", ""),
    ("io_uring", {**USER, "proc/sys/kernel/io_uring_disabled": "1",
                  "proc/sys/kernel/io_uring_group": "9"}, "ok", "allowed", ""),
    ("telemetry", {"var/run/dpdk/": None, "var/run/dpdk": "a file"}, BAD, "no folder",
     "rm /var/run/dpdk"),
    ("clock", {f"{CLOCK}/current_clocksource": "hpet"}, WARN, "clock source hpet",
     "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource"),
    ("clock", {f"{CLOCK}/current_clocksource": "acpi_pm", f"{CLOCK}/available_clocksource": "hpet"},
     WARN, "does not trust tsc", ""),
    ("clock", {"proc/cpuinfo": "flags : fpu constant_tsc"}, WARN, "the CPU lacks nonstop_tsc", ""),
])
def test_what_is_amiss_is_told(make, check, changes, level, text, mend):
    findings = examined(make(changes), check)
    found = [f for f in findings if text in f["text"]]
    assert found, findings
    assert found[0]["level"] == level and mend in found[0]["mend"]
    assert bool(found[0]["mend"]) == bool(mend)


def test_a_telemetry_folder_of_somebody_else(make):
    root = make({**USER, "run/user/": ""})
    os.chmod(root / "run/user", 0o755)
    environment = {**os.environ, "XDG_RUNTIME_DIR": "/run/user/7"}
    findings = examined(root, "telemetry", env=environment)
    if os.geteuid() != 7:
        assert findings[0]["level"] == "problem"
        assert findings[0]["text"].startswith("/run/user: of user")
    os.chmod(root / "run/user", 0o777)
    assert examined(root, "telemetry", env=environment)[0]["level"] == "ok"


def _age(path):
    then = time.time() - 3600
    os.utime(path, (then, then))


def test_stale_files_are_found_and_removed(make):
    """Those that are old, and neither open nor bound; the rest stays."""
    root = make({"dev/hugepages/old_map_0": "", "dev/hugepages/open_map_1": "",
                 "dev/hugepages/new_map_2": "", "dev/hugepages/notes": "",
                 "var/run/dpdk/old/config": "", "var/run/dpdk/bound/config": "",
                 "var/run/dpdk/bound2/": "", "var/run/dpdk/new/": "",
                 "proc/net/unix": "0: 2 0 10000 5 1 7 /run/dpdk/bound/dpdk_telemetry.v2\n"
                                  "0: 2 0 10000 5 1 8 /var/run/dpdk/bound2/dpdk_telemetry.v2",
                 "proc/77/maps": "7f00-7f01 rw-s 00 00:1 5 /dev/hugepages/open_map_1"})
    for name in ["dev/hugepages/old_map_0", "dev/hugepages/open_map_1", "dev/hugepages/notes",
                 "var/run/dpdk/old", "var/run/dpdk/bound", "var/run/dpdk/bound2"]:
        _age(root / name)
    findings = examined(root, "stale")
    assert [f["level"] for f in findings] == ["warning"]
    assert findings[0]["mend"] == "rm -r /dev/hugepages/old_map_0 /var/run/dpdk/old"
    assert (root / "dev/hugepages/old_map_0").exists()  # nothing without --fix
    status, stdout, _ = doctor("--root", root, "--only", "stale", "--fix", "--json")
    report = json.loads(stdout)
    assert status == 0 and report["fixed"] == ["stale"]
    assert [f["level"] for f in report["findings"]] == ["ok"]
    assert sorted(p.name for p in (root / "dev/hugepages").iterdir()) == [
        "new_map_2", "notes", "open_map_1"]
    assert sorted(p.name for p in (root / "var/run/dpdk").iterdir()) == ["bound", "bound2", "new"]


@pytest.mark.parametrize("number, word", [(errno.EPERM, "filter of system calls"),
                                          (errno.ENOSYS, "does not have it"),
                                          (errno.ENOMEM, "ulimit -l")])
def test_a_refused_ring(monkeypatch, number, word):
    machine = Machine()
    if machine.number("/proc/sys/kernel/io_uring_disabled"):
        pytest.skip("kernel.io_uring_disabled is not 0 here")
    monkeypatch.setattr(system, "try_io_uring", lambda: number)
    finding, = system.io_uring(machine)
    assert finding.level == "problem" and word in finding.text


def test_the_ring_is_really_tried():
    """A filter of system calls is not at hand; the limit of open files refuses a ring, too."""
    code = ("import resource, sys; sys.path.insert(0, sys.argv[1]); from doctorlib import system\n"
            "print(system.try_io_uring())\n"
            "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard)); print(system.try_io_uring())")
    done = subprocess.run([sys.executable, "-c", code, SCRIPTS], capture_output=True, text=True,
                          check=True)
    first, second = map(int, done.stdout.split())
    if first:
        pytest.skip(f"no io_uring here: {os.strerror(first)}")
    assert second == errno.EMFILE


def test_the_disk(tmp_path):
    finding = examined("/", "archive", "--archive", tmp_path)
    assert "MB/s written" in finding[-1]["text"] and list(tmp_path.iterdir()) == []
    finding = examined("/", "archive", "--archive", tmp_path, "--rate", 1e6)[-1]
    assert finding["level"] == "problem" and "expected 1e+06" in finding["text"]
    finding, = examined("/", "archive", "--archive", tmp_path / "none")
    assert finding["level"] == "problem" and finding["mend"] == f"mkdir -p {tmp_path / 'none'}"
    (tmp_path / "file").write_text("")
    finding, = examined("/", "archive", "--archive", tmp_path / "file")
    assert finding["level"] == "problem" and "not a folder" in finding["text"]


def test_a_disk_without_direct_io(monkeypatch, tmp_path):
    """As tmpfs of Debian 12: the open is refused, and the speed is that of the page cache."""
    really = os.open

    def refuse(path, flags, *args, **kwargs):
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return really(path, flags, *args, **kwargs)
    monkeypatch.setattr(disk.os, "open", refuse)
    findings = list(disk.archive(Machine(archive=tmp_path)))
    assert findings[0].level == "warning" and "no O_DIRECT" in findings[0].text
    assert "MB/s" in findings[1].text and list(tmp_path.iterdir()) == []


def test_a_small_disk_is_not_filled(small_disk):
    findings = examined("/", "archive", "--archive", small_disk)
    assert "MB/s" in findings[-1]["text"] and list(small_disk.iterdir()) == []
    (small_disk / "full").write_bytes(bytes(6 << 20))
    finding, = examined("/", "archive", "--archive", small_disk)
    assert finding["level"] == "problem" and "No space" in finding["text"]


def test_a_disk_that_fails(monkeypatch, tmp_path):
    """Whatever goes wrong while writing, no file stays."""
    def fail(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    monkeypatch.setattr(disk.os, "write", fail)
    finding, = disk.archive(Machine(archive=tmp_path))
    assert finding.level == "problem" and "Read-only" in finding.text
    assert list(tmp_path.iterdir()) == []


def test_lists():
    assert numbers("0-2,7") == {0, 1, 2, 7} and numbers("") == set()
    assert listed({7, 2, 1, 0}) == "0-2,7" and listed([]) == ""
    with pytest.raises(ValueError):
        numbers("(null)")


@pytest.mark.parametrize("args, word", [
    (["--cores", "two"], "expected CPU numbers"), (["--cores", ""], "expected CPU numbers"),
    (["--rate", "-1"], "expected 0..1e6"), (["--rate", "nan"], "expected 0..1e6"),
    (["--only", "disk"], "expected some of packages,"), (["--root", "/none"], "no such folder"),
    (["--fixx"], "unrecognized arguments"),
])
def test_wrong_usage(args, word):
    status, stdout, stderr = doctor(*args)
    assert (status, stdout) == (2, "") and word in stderr


def test_cores_are_chosen(make):
    findings = examined(make(), "isolation", "--cores", "1-2")
    assert findings[0]["text"].startswith("isolcpus lacks CPUs 1:")
    assert "isolcpus=managed_irq,domain,1-2" in findings[0]["mend"]


def test_this_machine(tmp_path):
    """For people: a line for each finding, its command below, a sum at the end."""
    status, stdout, stderr = doctor("--archive", tmp_path)
    assert stderr == "" and status in (0, 1) and list(tmp_path.iterdir()) == []
    lines = stdout.splitlines()
    levels = [line.split()[0] for line in lines[:-1] if not line.startswith(" ")]
    assert set(levels) <= {"ok", "warning", "problem"} and len(levels) >= 16
    assert lines[-1] == f"{levels.count('problem')} problems, {levels.count('warning')} warnings"
    assert status == int("problem" in levels)
    assert "\033" not in stdout


def test_help():
    status, stdout, stderr = doctor("--help")
    assert (status, stderr) == (0, "") and "Exit status: 0" in stdout
    assert os.access(SCRIPTS / "doctor", os.X_OK)
