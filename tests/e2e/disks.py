# SPDX-License-Identifier: BSD-3-Clause
"""ext4 on a loop device: a file system that can be made to fail, or to hang."""

import os
import subprocess
from pathlib import Path

MIB = 1 << 20


def sh(*args, **more):
    """Run a command; it must succeed. Returns what came of it."""
    return subprocess.run(list(map(str, args)), check=True, capture_output=True, text=True, **more)


class LoopDisk:
    """ext4 on a loop device on a file in a small tmpfs. The file says that it is larger than the
    tmpfs: writes to it fail when the kernel writes them back, not before."""

    def __init__(self, folder, image_mib, backing_mib):
        self.backing, self.mount = folder / "backing", folder / "disk"
        self.device = None
        self.undo = []
        self.backing.mkdir()
        self.mount.mkdir()
        sh("mount", "-t", "tmpfs", "-o", f"size={backing_mib}m", "tmpfs", self.backing)
        self.undo.append(("umount", "-l", self.backing))
        image = self.backing / "image"
        with open(image, "wb") as file:
            file.truncate(image_mib * MIB)
        # Its own structures are written now, so that only data can fail later.
        sh("mkfs.ext4", "-q", "-F", "-b", 4096, "-m", 0, "-J", "size=4", "-E",
            "lazy_itable_init=0,lazy_journal_init=0,nodiscard", image,
            env={**os.environ, "UNIX_IO_NOZEROOUT": "1"})
        self.device = sh("losetup", "--find", "--show", image).stdout.strip()
        self.undo.append(("losetup", "-d", self.device))
        # The loop driver calls a write done of which its file took a part only. A page is taken
        # whole or not at all.
        queue = Path("/sys/block") / Path(self.device).name / "queue" / "max_sectors_kb"
        queue.write_text("4", encoding="ascii")
        self.attach()

    def attach(self):
        """Mount it."""
        sh("mount", "-t", "ext4", "-o", "errors=continue", self.device, self.mount)
        self.undo.append(("umount", "-l", self.mount))

    def again(self):
        """Take it off and on: what the disk has, not what the page cache remembers."""
        sh("umount", self.mount)
        self.undo.pop()
        self.attach()

    def enlarge(self, backing_mib):
        """The disk gets its space."""
        sh("mount", "-o", f"remount,size={backing_mib}m", self.backing)

    def freeze(self):
        """Whoever writes to it from now on hangs in the kernel."""
        sh("fsfreeze", "--freeze", self.mount)
        self.undo.append(("fsfreeze", "--unfreeze", self.mount))

    def thaw(self):
        """And goes on."""
        sh(*self.undo.pop())

    def close(self):
        """Undo everything, the last first."""
        for command in reversed(self.undo):
            subprocess.run(command, check=False, capture_output=True)
