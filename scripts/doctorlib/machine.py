# SPDX-License-Identifier: BSD-3-Clause
"""The machine to look at, or a copy of its /proc, /sys and /var in a folder; what is found there."""

import os
import re
from collections import namedtuple
from pathlib import Path

OK, WARNING, PROBLEM = "ok", "warning", "problem"

# mend: the command that mends it. fix: a function that does it, where that harms nobody.
Finding = namedtuple("Finding", "level text mend fix", defaults=("", None))


def ok(text):
    """Nothing stands in the way."""
    return Finding(OK, text)


def warning(text, mend="", fix=None):
    """A run works, but slower, or with later frames, than it could."""
    return Finding(WARNING, text, mend, fix)


def problem(text, mend="", fix=None):
    """A run fails, or does not do what was asked for."""
    return Finding(PROBLEM, text, mend, fix)


def numbers(text):
    """The set of CPUs or nodes in a list of the kernel's, as 0-3,8. ValueError if it is none."""
    found = set()
    for part in text.split(","):
        if part.strip():
            first, _, last = part.strip().partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return found


def listed(values):
    """The reverse: 0-3,8."""
    runs = []
    for value in sorted(values):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


class Machine:
    """root: / or the folder of a copy. cores: CPUs that the program is to have; none: isolated
    ones, else all. archive: the folder to write into. rate: MB/s that it has to take, or 0."""

    def __init__(self, root="/", cores=None, archive=".", rate=0):
        self.root, self.archive, self.rate = Path(root), Path(archive), rate
        self.real = self.root.resolve() == Path("/")
        self.chosen = cores is not None
        self.cores = set(cores) if self.chosen else self.isolated() or self.allowed()

    def path(self, name):
        """Where an absolute path of the machine is."""
        return self.root / name.lstrip("/")

    def read(self, name, default=""):
        """The text of a small file without the blanks around it; default if it cannot be read."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return default

    def number(self, name, default=0):
        """The number in a file."""
        text = self.read(name)
        return int(text) if re.fullmatch(r"-?\d+", text) else default

    def list(self, name):
        """The CPUs or nodes in a file."""
        try:
            return numbers(self.read(name))
        except ValueError:  # "(null)"
            return set()

    def glob(self, pattern):
        """Paths of the machine, as absolute ones, in order."""
        return sorted("/" + str(path.relative_to(self.root))
                      for path in self.root.glob(pattern.lstrip("/")))

    def cpu(self, core, name):
        """A file of a CPU's folder."""
        return f"/sys/devices/system/cpu/cpu{core}/{name}"

    def online(self):
        """CPUs that run."""
        return self.list("/sys/devices/system/cpu/online")

    def isolated(self):
        """CPUs that the scheduler leaves alone."""
        return self.list("/sys/devices/system/cpu/isolated")

    def allowed(self):
        """CPUs that we may use."""
        return set(os.sched_getaffinity(0)) if self.real else self.online()

    def others(self):
        """CPUs that are left for everything else."""
        return self.online() - self.cores

    def status(self, field):
        """A line of /proc/self/status, without its name."""
        match = re.search(rf"^{field}:\s*(.*)$", self.read("/proc/self/status"), re.MULTILINE)
        return match.group(1) if match else ""

    def capable(self, bit):
        """Whether we have a capability."""
        return bool(int(self.status("CapEff") or "0", 16) >> bit & 1)

    def uid(self):
        """Whose run it would be."""
        fields = self.status("Uid").split()
        return int(fields[1]) if len(fields) > 1 else os.geteuid()

    def pools(self):
        """Hugepages: {size in KiB: (reserved, free)}."""
        base = "/sys/kernel/mm/hugepages"
        return {int(re.search(r"-(\d+)kB$", name).group(1)):
                (self.number(f"{name}/nr_hugepages"), self.number(f"{name}/free_hugepages"))
                for name in self.glob(f"{base}/hugepages-*kB")}
