# SPDX-License-Identifier: BSD-3-Clause
"""CPU time of threads, as the scheduler counts it."""

import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")


def _seconds(task):
    return int((task / "schedstat").read_text().split()[0]) / 1e9


class Threads:
    """The threads of a process by name, looked at again and again: some end before it does."""

    def __init__(self):
        self.seen = {}  # thread id: (name, seconds)

    def look(self, pid):
        """Called while the process runs."""
        for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
            try:
                self.seen[task.name] = ((task / "comm").read_text().strip(), _seconds(task))
            except (OSError, ValueError, IndexError):
                continue  # it has ended

    def seconds(self, prefix):
        """Of all threads whose name begins so."""
        return sum(seconds for name, seconds in self.seen.values() if name.startswith(prefix))


def process_seconds(pid):
    """CPU time of a process, threads that have ended included; None when it has ended itself."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS


def kernel_seconds():
    """CPU time of each thread of the kernel, by its id."""
    seconds = {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            # After the name in parentheses: state, parent. The kernel's threads are of parent 2.
            if (process / "stat").read_text().rpartition(")")[2].split()[1] == "2":
                seconds[process.name] = _seconds(process)
        except (OSError, ValueError, IndexError):
            continue
    return seconds


def kernel_seconds_since(before):
    """CPU time of all threads of the kernel since then."""
    return sum(max(0, now - before.get(pid, 0)) for pid, now in kernel_seconds().items())
