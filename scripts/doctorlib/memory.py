# SPDX-License-Identifier: BSD-3-Clause
"""Hugepages, where they are, and what earlier runs have left in them and beside them."""

import os
import re
import shutil
import time

from doctorlib.machine import listed, ok, problem, warning

PAGES = 256  # of 2 MiB, what README.md reserves
STALE_S = 600  # a program that is just starting has not bound its socket yet


def hugepages(machine):
    """Reserved, and free."""
    pools = machine.pools()
    if not pools:
        return [warning("this kernel has no hugepages: slower than the program can be")]
    reserved = sum(count for count, _ in pools.values())
    free = sum(size * count for size, (_, count) in pools.items()) >> 10
    command = f"echo {PAGES} > /proc/sys/vm/nr_hugepages"
    if not reserved:
        return [warning("no hugepages: slower than the program can be", command)]
    told = ", ".join(f"{spare} of {count} of {size} KiB"
                     for size, (count, spare) in sorted(pools.items()) if count)
    if not free:
        more = pools.get(2048, (0, 0))[0] + PAGES
        return [warning(f"no hugepage is free ({told}): the next run is without",
                        f"echo {more} > /proc/sys/vm/nr_hugepages")]
    return [ok(f"hugepages free: {told}, {free} MiB")]


def hugetlbfs(machine):
    """The mounts of them, as (folder, options)."""
    for line in machine.read("/proc/mounts").splitlines():
        fields = line.split()
        if len(fields) >= 4 and fields[2] == "hugetlbfs":
            yield fields[1].replace("\\040", " "), fields[3]


def mounts(machine):
    """Needed by runs that share memory with other processes, which ours do not by themselves."""
    found = list(hugetlbfs(machine))
    if not found:
        yield ok("no hugetlbfs is mounted; runs with --in-memory need none")
    for folder, _ in found:
        path = machine.path(folder)
        if not path.is_dir():
            yield problem(f"{folder}: mounted, but not there", f"mount -t hugetlbfs nodev {folder}")
        elif not _writable(machine, path):
            yield warning(f"{folder}: not ours to write into; runs need --in-memory",
                          f"chown {machine.uid()} {folder}")
        else:
            yield ok(f"{folder}: hugetlbfs that we may write into")


def _writable(machine, path):
    """By owner and mode: root may everything, a copy is judged as the machine's."""
    if machine.real:
        return os.access(path, os.W_OK | os.X_OK)
    status = path.stat()
    return machine.uid() == 0 or (status.st_mode & 0o300 == 0o300
                                  if machine.uid() == status.st_uid
                                  else status.st_mode & 0o003 == 0o003)


def runtime_folder(machine):
    """Where EAL keeps a folder for every file prefix."""
    if machine.uid() == 0:
        return "/var/run/dpdk"
    return os.environ.get("XDG_RUNTIME_DIR", "/tmp") + "/dpdk"


def in_use(machine):
    """Every path that a process has open or mapped, or a socket is bound to, as one text."""
    found = [machine.read("/proc/net/unix")]
    for folder in machine.glob("/proc/[0-9]*"):
        found.append(machine.read(f"{folder}/maps"))
        for link in machine.glob(f"{folder}/fd/*"):
            try:
                found.append(os.readlink(machine.path(link)))
            except OSError:
                continue
    return "\n".join(found).replace("/run/", "/var/run/").replace("/var/var/", "/var/")


def _stale(machine):
    """Files in hugetlbfs and folders of EAL that nobody uses."""
    candidates = []
    for folder, _ in hugetlbfs(machine):
        candidates += [name for name in machine.glob(f"{folder}/*")
                       if re.search(r"map_\d+$", name)]
    candidates += [name for name in machine.glob(f"{runtime_folder(machine)}/*")
                   if machine.path(name).is_dir()]
    used = in_use(machine) if candidates else ""
    old = time.time() - STALE_S
    for name in candidates:
        path = machine.path(name)
        try:
            mine = machine.uid() in (0, path.stat().st_uid)  # else its user cannot be seen
            aged = path.stat().st_mtime < old
        except OSError:
            continue
        if mine and aged and not re.search(re.escape(name) + r"(?![\w.-])", used):
            yield name


def stale(machine):
    """What killed runs have left."""
    names = list(_stale(machine))
    if not names:
        return [ok("no files of earlier runs")]

    def remove():
        for name in _stale(machine):
            path = machine.path(name)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    mend = f"rm -r {' '.join(names)}" if len(names) <= 3 else "scripts/doctor --fix"
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return [warning(f"left by earlier runs, and used by nobody: {names[0]}{more}", mend, remove)]


def numa(machine):
    """The memory is where the cores are."""
    nodes = {}
    for name in machine.glob("/sys/devices/system/node/node[0-9]*"):
        cpus = machine.list(f"{name}/cpulist")
        if cpus & machine.cores:
            nodes[int(re.search(r"(\d+)$", name).group(1))] = cpus
    if len(nodes) > 1:
        best = max(nodes.values(), key=lambda cpus: len(cpus & machine.cores))
        return [warning(f"CPUs {listed(machine.cores)} are on NUMA nodes {listed(nodes)}: half of "
                        "the memory is far away",
                        f"scripts/doctor --cores {listed(best & machine.cores)}")]
    for node in nodes:
        pool = f"/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB"
        if machine.pools().get(2048, (0, 0))[1] and machine.read(f"{pool}/free_hugepages") == "0":
            return [warning(f"NUMA node {node} of our CPUs has no free hugepage, another node has",
                            f"echo {PAGES} > {pool}/nr_hugepages")]
    return [ok(f"NUMA node {listed(nodes) or 0}")]
