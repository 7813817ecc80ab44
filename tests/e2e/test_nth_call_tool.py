# SPDX-License-Identifier: BSD-3-Clause
"""R9 for dma-image-archive: the n-th call of a function fails, in each of its commands. It ends, with no
crash, by itself: as without a failure where there is another way, or with 1 or 2 and a line that says
what failed. The archive is as it was, or as the command makes it, never in between."""

import re
import shutil
import subprocess

import numpy as np
import pytest

import proof
from test_archive_tool import bytes_of, index_of, make_records, tool, tool_path, write_segment
from test_nth_call import calls_in, failing, to_fail

pytestmark = [pytest.mark.calls,
              pytest.mark.skipif(tool_path() is None, reason="there is no dma-image-archive")]

CALLS = """malloc calloc realloc open64 fopen64 opendir fstat64 stat64 pread64 pwrite64 write fsync
    fdatasync ftruncate64 rename mkdir""".split()
# Command, and its arguments.
COMMANDS = {
    "info": ["info", "run"],
    "verify": ["verify", "run"],
    "index": ["index", "run"],
    "recover": ["recover", "run"],
    "extract": ["extract", "-o", "out", "run"],
    "stack": ["extract", "--stack", "out.npy", "run"],
    "h5": ["h5", "run"],
}
FRAMES = 7


def make_run(folder):
    """A run of two segments, the second one torn, with an index that is one line short."""
    run = folder / "run"
    run.mkdir(parents=True)
    write_segment(run / "frames_000000.npy", make_records(range(4)))
    records = make_records(range(4, FRAMES), seed=2)
    torn = write_segment(run / "frames_000001.npy", records, promised=9, tail=b"\1" * 70)
    torn.with_suffix(".idx").write_bytes(index_of(records[:-1]))
    return run


def run_failing(folder, command, call, n):
    """One run of the tool in an archive of its own. Returns (status, stderr, calls that counted or None
    when one failed)."""
    shutil.rmtree(folder, ignore_errors=True)
    make_run(folder)
    said = folder / "said"
    done = subprocess.run([tool_path(), *COMMANDS[command]], cwd=folder,
                          env=failing("program", call, n, said), capture_output=True, text=True,
                          errors="replace", check=False, timeout=20)
    return done.returncode, done.stderr, calls_in(said)


def segments_of(run):
    """Every segment and its bytes."""
    return {name: data for name, data in bytes_of(run).items() if name.endswith(".npy")}


def check_outputs(folder):
    """What was copied out is whole: frames, or a stack with its numbers."""
    wanted = np.concatenate([make_records(range(4)), make_records(range(4, FRAMES), seed=2)])["image"]
    for path in (folder / "out").glob("*.npy"):
        assert np.array_equal(np.load(path), wanted[int(path.stem.rsplit("_", 1)[1])]), path.name
    if (folder / "out.npy").exists():
        assert np.array_equal(np.load(folder / "out.npy"), wanted[np.load(folder / "out.seq.npy")])
    names = {path.name for path in folder.rglob("*")}
    assert not [name for name in names if ".part" in name or ".tmp" in name], names


def check_archive(folder, command, before):
    """It is as it was, or can be mended as before."""
    run = folder / "run"
    if command != "recover":
        assert segments_of(run) == segments_of(before)
    subprocess.run([tool_path(), "recover", run], capture_output=True, check=True, timeout=20)
    assert f"{FRAMES} frames" in tool("verify", run)
    for path in run.glob("*.npy"):
        assert path.with_suffix(".idx").read_bytes() == index_of(np.load(path))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("call", CALLS)
def test_the_nth_call_fails(command, call, tmp_path):
    before = make_run(tmp_path / "before")
    clean, _, calls = run_failing(tmp_path / "run", command, call, 0)
    assert clean in (0, 1) and calls is not None
    if calls == 0:
        pytest.skip(f"{command} makes no such call")
    numbers = to_fail(calls, few=3)
    failed = 0
    for n in numbers:
        status, stderr, _ = run_failing(tmp_path / "run", command, call, n)
        what = f"call {n} of {calls} of {call}: exit {status}\n{stderr}"
        assert status in (0, 1, 2), what
        lines = stderr.splitlines()
        assert all(re.match("dma-image-archive: .*(run|out)", line) for line in lines), what
        assert status == clean or lines, what
        failed += status != clean
        check_outputs(tmp_path / "run")
        check_archive(tmp_path / "run", command, before)
    proof.say(f"R9: {call} of dma-image-archive {command}: {len(numbers)} of {calls} calls failed in turn: "
              f"{len(numbers) - failed} runs as without, {failed} refused")
