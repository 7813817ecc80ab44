# SPDX-License-Identifier: BSD-3-Clause
"""On what the figures were measured, and what disturbed them."""

import os
import pathlib
import platform
import resource
import subprocess

from benchlib.common import HUGEPAGES, cpus, free_hugepages, processor
from doctorlib.checks import CHECKS, examine
from doctorlib.machine import OK, Machine

TICKS = os.sysconf("SC_CLK_TCK")
IDLE, IOWAIT, STEAL = 3, 4, 7  # columns of /proc/stat


def _read(path, default=""):
    try:
        return pathlib.Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return default


def _first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout.splitlines() or [""])[0]


def _caches():
    found = {}
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = {"Data": "d", "Instruction": "i"}.get(_read(index / "type"), "")
        found[f"L{_read(index / 'level')}{kind}"] = _read(index / "size")
    return found


def environment(options):
    """The machine and the versions, for the JSON."""
    model = next((line.split(":")[1].strip() for line in _read("/proc/cpuinfo").splitlines()
                  if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cpus": os.cpu_count(), "used": cpus(options), "caches": _caches(),
            "isolated": _read("/sys/devices/system/cpu/isolated"),
            "kernel": platform.release(),
            "dpdk": _first_line("pkg-config", "--modversion", "libdpdk"),
            "program": _first_line(processor(options), "--version"),
            "hugepages_free_mib": free_hugepages(),
            "hugepages": int(_read(HUGEPAGES / "nr_hugepages", "0")), "load": os.getloadavg()}


def describe(env):
    """One line for people."""
    return (f"{env['cpu']}, {env['cpus']} CPUs, Linux {env['kernel']}, DPDK {env['dpdk']}, "
            f"{env['hugepages_free_mib']} MiB of hugepages")


def _ours():
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def _times():
    return [int(field) / TICKS for field in _read("/proc/stat").splitlines()[0].split()[1:9]]


class Disturbance:
    """What else went on while we measured."""

    def __init__(self):
        self.load = os.getloadavg()[0]
        self.times, self.ours = _times(), _ours()

    def shares(self):
        """Of all CPU time since: stolen by the hypervisor, and used by others, the kernel's own
        threads among them."""
        passed = [now - then for now, then in zip(_times(), self.times)]
        total = max(sum(passed), 1 / TICKS)
        busy = total - passed[IDLE] - passed[IOWAIT] - passed[STEAL]
        return {"stolen": passed[STEAL] / total,
                "others": max(0.0, busy - (_ours() - self.ours)) / total}

    def warnings(self, env):
        """Lines about what may have spoiled the figures."""
        shares = self.shares()
        machine = Machine(cores=env["used"])
        for _, finding in examine(machine, [check for check in CHECKS if check.timing]):
            if finding.level != OK:
                yield finding.text
        if self.load > 0.5:
            yield f"the load was {self.load:.1f} at the start; expected an idle machine"
        if shares["stolen"] > 0.01:
            yield f"the hypervisor stole {shares['stolen']:.1%} of the CPU time"
        if shares["others"] > 0.1:
            yield f"others, the kernel's threads among them, took {shares['others']:.1%} of the CPU"
