# SPDX-License-Identifier: BSD-3-Clause
"""What the disk can do: one sequential writer or reader, fio."""

import shutil

from benchlib.common import refuse, run_json


def check():
    """It must be there."""
    if shutil.which("fio") is None:
        refuse("fio is not installed, and it is the limit to be compared with; "
               "expected it in PATH: scripts/setup, or apt-get install fio")


def _command(path, block, depth, batch, cpu, huge):
    """Direct, io_uring, registered buffers and file, depth transfers in flight, submitted batch at a
    time so that the block layer can merge them; buffers from hugepages if huge says so."""
    return ["fio", "--name=limit", f"--filename={path}", f"--bs={block}", "--direct=1",
            "--ioengine=io_uring", f"--iodepth={depth}", f"--iodepth_batch_submit={batch}",
            f"--iodepth_batch_complete_max={depth}", "--fixedbufs=1", "--registerfiles=1",
            f"--iomem={'mmaphuge' if huge else 'malloc'}", f"--cpus_allowed={cpu}",
            "--output-format=json"]


def read(name, path, seconds, block, depth, batch, offset, size, cpu, huge):
    """GB/s of reading blocks of that many bytes, over and over, of the size bytes of a file that
    begin at an offset, as the replay does."""
    command = [*_command(path, block, depth, batch, cpu, huge), "--rw=read", "--readonly",
               f"--offset={offset}", f"--size={size // block * block}", "--time_based",
               f"--runtime={int(seconds * 1000)}ms"]
    job = run_json(name, command)["jobs"][0]
    return job["read"]["io_bytes"] / job["read"]["runtime"] / 1e6


def write(name, path, seconds, block, depth, batch, most, cpu, huge, sync_every=0):
    """GB/s of writing blocks of that many bytes to a new, reserved file, as the archive does, and
    microseconds of fio's CPU a block; a sync after each sync_every blocks, 0: none. At most that many
    bytes."""
    command = [*_command(path, block, depth, batch, cpu, huge), "--rw=write",
               f"--size={most // block * block}", f"--runtime={int(seconds * 1000)}ms",
               "--fallocate=native", f"--fdatasync={sync_every}"]
    try:
        job = run_json(name, command)["jobs"][0]
    finally:
        path.unlink(missing_ok=True)
    share = (job["usr_cpu"] + job["sys_cpu"]) / 100
    return {"gbps": job["write"]["io_bytes"] / job["write"]["runtime"] / 1e6,
            "cpu_us": share * job["job_runtime"] * 1e3 / job["write"]["total_ios"]}
