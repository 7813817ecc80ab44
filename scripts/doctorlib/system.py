# SPDX-License-Identifier: BSD-3-Clause
"""Packages, limits and permissions."""

import ctypes
import errno
import os
import re

from doctorlib.machine import ok, problem, warning
from doctorlib.memory import runtime_folder

# What runs the program: library, Debian's package, the least version.
PACKAGES = [("dpdk", "librte-eal23", "22.11"), ("dpdk rawdev", "librte-rawdev23", "22.11"),
            ("liburing", "liburing2", "2.3"), ("libconfig", "libconfig9", "1.5"),
            ("isa-l", "libisal2", "2.30"), ("hdf5", "libhdf5-103-1", "1.10")]
IO_URING_SETUP = 425  # the same on every architecture
CAP_IPC_LOCK, CAP_SYS_ADMIN = 14, 21
MEMLOCK_BYTES = 64 << 20  # 128 slabs of 300 x 300 pixels are 24 MiB


def _version(text):
    """Numbers of upstream's version, to compare."""
    return [int(number) for number in re.findall(r"\d+", text.split(":")[-1].split("-")[0]
                                                 .split("+")[0])]


def packages(machine):
    """The libraries that the program links."""
    text = machine.read("/var/lib/dpkg/status")
    if not text:
        yield warning("no list of Debian packages here: which libraries there are is not known")
        return
    versions = {}
    for entry in text.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Status): (.*)$", entry, re.MULTILINE))
        if fields.get("Status", "").endswith(" ok installed"):
            versions[fields.get("Package")] = fields.get("Version", "")
    for name, package, least in PACKAGES:
        found = versions.get(package)
        if found is None:
            yield problem(f"{name}: {package} is not installed", f"apt-get install {package}")
        elif _version(found) < _version(least):
            yield problem(f"{name}: {package} {found}; expected {least} or later",
                          f"apt-get install {package}")
        else:
            yield ok(f"{name}: {package} {found}")


def memlock(machine):
    """Slabs are registered with io_uring, and pinned for it."""
    match = re.search(r"^Max locked memory\s+(\S+)", machine.read("/proc/self/limits"),
                      re.MULTILINE)
    limit = match.group(1) if match else "unknown"
    if limit == "unlimited" or machine.capable(CAP_IPC_LOCK):
        return [ok(f"memlock {limit}" + (", and CAP_IPC_LOCK" if limit != "unlimited" else ""))]
    if not limit.isdigit():
        return [warning("the limit of locked memory is not known")]
    if int(limit) < MEMLOCK_BYTES:
        return [warning(f"memlock {int(limit) >> 10} KiB; expected {MEMLOCK_BYTES >> 10} or more, "
                        "or the slabs are not registered with io_uring: slower",
                        f"prlimit --pid $$ --memlock={1 << 30}   # as root, for this shell")]
    return [ok(f"memlock {int(limit) >> 10} KiB")]


def try_io_uring():
    """0, or the errno with which the kernel refuses a ring."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    fd = libc.syscall(ctypes.c_long(IO_URING_SETUP), ctypes.c_uint(4),
                      ctypes.create_string_buffer(256))  # struct io_uring_params has 120 bytes
    if fd < 0:
        return ctypes.get_errno()
    os.close(fd)
    return 0


def io_uring(machine):
    """Allowed by the sysctl, by seccomp and in the kernel; the ring is tried."""
    mode = machine.number("/proc/sys/kernel/io_uring_disabled")
    without = "or write without it: -s arch.use_io_uring=false"
    if mode == 2 or (mode == 1 and not machine.capable(CAP_SYS_ADMIN)):
        group = machine.read("/proc/sys/kernel/io_uring_group", "-1")
        if mode == 2 or group not in {machine.status("Gid").split("\t")[-1],
                                      *machine.status("Groups").split()}:
            return [problem(f"kernel.io_uring_disabled is {mode}; {without}",
                            "sysctl -w kernel.io_uring_disabled=0")]
    if not machine.real:
        return [ok(f"io_uring allowed, not tried (kernel.io_uring_disabled is {mode})")]
    error = try_io_uring()
    if error:
        why = {errno.ENOSYS: "this kernel, or a filter of system calls, does not have it",
               errno.EPERM: "a filter of system calls, as a container has, refuses it",
               errno.ENOMEM: "too little memory may be locked (ulimit -l)"}
        return [problem(f"io_uring_setup: {os.strerror(error)}; {why.get(error, 'refused')}; "
                        f"{without}")]
    return [ok("io_uring works")]


def telemetry(machine):
    """EAL makes its socket below the folder."""
    folder = runtime_folder(machine)
    path = machine.path(folder)
    while not path.exists() and path != machine.root:
        path = path.parent
    name = "/" + str(path.relative_to(machine.root)) if path != machine.root else "/"
    if not path.is_dir():
        return [problem(f"{name}: no folder; DPDK's sockets belong into {folder}", f"rm {name}")]
    status = path.stat()
    if machine.uid() != 0 and status.st_uid != machine.uid() and not status.st_mode & 0o002:
        return [problem(f"{name}: of user {status.st_uid}, not ours: no telemetry; give DPDK "
                        "another folder", f"export XDG_RUNTIME_DIR=/run/user/{machine.uid()}")]
    if not machine.real or os.access(path, os.W_OK | os.X_OK):
        if status.st_mode & 0o300 == 0o300:
            return [ok(f"telemetry sockets in {folder}, for user {machine.uid()}")]
    return [problem(f"{name}: cannot be written into: no telemetry", f"chmod u+wx {name}")]
