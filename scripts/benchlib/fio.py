# SPDX-License-Identifier: BSD-3-Clause
"""What the disk can do: one sequential writer, fio."""

import shutil

from benchlib.common import refuse, run_json


def check():
    """It must be there."""
    if shutil.which("fio") is None:
        refuse("fio is not installed, and it is the limit to be compared with; "
               "expected it in PATH: scripts/setup, or apt-get install fio")


def write(name, path, seconds, block, depth, batch, most, cpu, huge, sync_every=0):
    """GB/s of writing blocks of that many bytes to a new, reserved file, as the archive does:
    direct, io_uring, registered buffers and file, depth writes in flight, submitted batch at a
    time so that the block layer can merge them; a sync after each sync_every blocks, 0: none. At
    most that many bytes, from hugepages if huge says so."""
    command = ["fio", "--name=limit", f"--filename={path}", "--rw=write", f"--bs={block}",
               f"--size={most // block * block}", f"--runtime={int(seconds * 1000)}ms",
               "--direct=1", "--ioengine=io_uring", f"--iodepth={depth}",
               f"--iodepth_batch_submit={batch}", f"--iodepth_batch_complete_max={depth}",
               "--fixedbufs=1", "--registerfiles=1", "--fallocate=native",
               f"--iomem={'mmaphuge' if huge else 'malloc'}", f"--cpus_allowed={cpu}",
               f"--fdatasync={sync_every}", "--output-format=json"]
    try:
        job = run_json(name, command)["jobs"][0]
    finally:
        path.unlink(missing_ok=True)
    return job["write"]["io_bytes"] / job["write"]["runtime"] / 1e6
