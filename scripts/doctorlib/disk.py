# SPDX-License-Identifier: BSD-3-Clause
"""The archive's folder: whether it takes O_DIRECT, and how fast. Nothing stays behind."""

import contextlib
import errno
import mmap
import os
import tempfile
import time

from doctorlib.machine import ok, problem, warning

BLOCK = 1 << 20
MOST_BLOCKS = 256
SECONDS = 1.0


@contextlib.contextmanager
def _nameless(folder, flags=0):
    """A new file without a name: even a kill leaves nothing."""
    fd, name = tempfile.mkstemp(prefix=".doctor-", dir=folder)
    try:
        if flags:
            os.close(fd)
            fd = -1
            fd = os.open(name, os.O_RDWR | flags)
    finally:
        os.unlink(name)
    try:
        yield fd
    finally:
        os.close(fd)


def write_speed(folder, flags):
    """MB/s of blocks of 1 MiB, one at a time, until the disk has confirmed them; OSError."""
    statistics = os.statvfs(folder)
    most = min(MOST_BLOCKS, statistics.f_bavail * statistics.f_frsize // BLOCK // 2)
    if most < 4:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mmap.mmap(-1, BLOCK) as block, _nameless(folder, flags) as fd:  # page-aligned
        block[:] = os.urandom(BLOCK)  # no disk can compress that
        start, done = time.monotonic(), 0
        while done < most and time.monotonic() - start < SECONDS:
            if os.write(fd, block) != BLOCK:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done += 1
        os.fdatasync(fd)
        return done * BLOCK / (time.monotonic() - start) / 1e6


def archive(machine):
    """Can be written into, with O_DIRECT, at the speed that is needed."""
    folder = machine.archive
    if not folder.is_dir():
        there = folder.exists()
        yield problem(f"{folder}: {'not a folder' if there else 'no such folder'}",
                      "" if there else f"mkdir -p {folder}")
        return
    buffered = False
    try:
        try:
            speed = write_speed(folder, os.O_DIRECT)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            buffered = True
            speed = write_speed(folder, 0)
    except OSError as error:
        mend = {errno.EACCES: f"chown {machine.uid()} {folder}",
                errno.EROFS: f"mount -o remount,rw $(stat -c %m {folder})",
                errno.ENOSPC: f"df -h {folder}"}.get(error.errno, "")
        yield problem(f"{folder}: cannot be written into: {error.strerror}", mend)
        return
    if buffered:
        yield warning(f"{folder}: this file system has no O_DIRECT: the archive goes through the "
                      "page cache; better --archive on ext4 or xfs",
                      f"findmnt --target {folder}")
    else:
        yield ok(f"{folder}: takes O_DIRECT")
    told = f"{folder}: {speed:,.0f} MB/s written, one MiB at a time"
    if machine.rate and speed < machine.rate:
        yield problem(f"{told}; expected {machine.rate:g}: archive fewer frames",
                      "-s main.nth_archive=N, or --archive on a faster disk")
    else:
        yield ok(told)
