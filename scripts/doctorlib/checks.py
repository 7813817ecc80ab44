# SPDX-License-Identifier: BSD-3-Clause
"""The table of checks."""

from collections import namedtuple

from doctorlib import cores, disk, memory, system

# timing: what is amiss there also spoils a measurement, and scripts/bench tells it.
Check = namedtuple("Check", "name run timing")

CHECKS = [
    Check("packages", system.packages, False),
    Check("hugepages", memory.hugepages, True),
    Check("mounts", memory.mounts, False),
    Check("stale", memory.stale, False),
    Check("cores", cores.cores, False),
    Check("isolation", cores.isolation, True),
    Check("governor", cores.governor, True),
    Check("turbo", cores.turbo, True),
    Check("smt", cores.smt, True),
    Check("irqs", cores.irqs, True),
    Check("numa", memory.numa, True),
    Check("memlock", system.memlock, False),
    Check("io_uring", system.io_uring, False),
    Check("archive", disk.archive, False),
    Check("telemetry", system.telemetry, False),
    Check("clock", cores.clock, True),
]


def examine(machine, checks=None):
    """(name, finding) of every check, or of those given."""
    for check in checks or CHECKS:
        for finding in check.run(machine):
            yield check.name, finding
