# SPDX-License-Identifier: BSD-3-Clause
"""Stops single threads of a running program, wherever they are just then, as a kernel does that gives
their CPU to others."""

import contextlib
import ctypes
import os
import time
from pathlib import Path

_SEIZE, _INTERRUPT, _DETACH, _WALL = 0x4206, 0x4207, 17, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def _ptrace(request, tid):
    if _libc.ptrace(request, tid, None, None) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"ptrace: {os.strerror(error)}")


def threads(pid):
    """{lcore: thread} of the workers."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            name = (task / "comm").read_text(encoding="utf-8").strip()
            if "-worker-" in name:
                found[int(name.rsplit("-", 1)[1])] = int(task.name)
    return found


def sleep(run, lcores, seconds):
    """The workers on these lcores stop for so long. Returns the UTC nanoseconds at which they go on."""
    stopped = []
    try:
        for tid in (threads(run.pid)[lcore] for lcore in lcores):
            _ptrace(_SEIZE, tid)
            _ptrace(_INTERRUPT, tid)
            os.waitpid(tid, _WALL)
            stopped.append(tid)
        time.sleep(seconds)
        woken = time.time_ns()
    finally:
        for tid in stopped:
            _ptrace(_DETACH, tid)
    return woken
