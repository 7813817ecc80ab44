# SPDX-License-Identifier: BSD-3-Clause
"""scripts/top.py: its arithmetic, one frame of a running program, and the view in a terminal."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import harness
from telemetry_client import Client

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TOP = SCRIPTS / "top.py"
sys.path.insert(0, str(SCRIPTS))
import top  # noqa: E402

pytestmark = pytest.mark.tool


def start(dip, scene, prefix):
    """A program that runs until it is stopped."""
    run = dip.start(scene.folder, 0, eal_args=harness.eal(1, prefix=prefix),
                    sets=scene.sets(**{"main.fps": 200, "main.nth_archive": 2}))
    Client(prefix, run.pid).close()
    return run


def shown(*args, **environment):
    """Exit status, stdout, stderr; never a traceback."""
    done = subprocess.run([sys.executable, TOP, *map(str, args)], text=True, capture_output=True,
                          check=False, timeout=60, env={**os.environ, **environment})
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def made_up(seconds=0.0, frames=0, lcores=1, pid=1, imbalance=0):
    """A sample."""
    zero = dict.fromkeys([*top.SHOWN.values(), *top.DROPS], 0)
    account = {"in": 100, "done": 60, "lost_a": 3, "lost_b": 4, "in_flight": 33,
               "imbalance": imbalance}
    return {"pid": pid, "monotonic_s": seconds,
            "stats": {**zero, "dma_frames": frames, "elapsed_sec": "1.5"},
            "ledger": {"device": account, "proc": account, "arch": {**account, "in_flight": 5}},
            "latency": {"result": {"count": 1, "p50_ns": 500, "p99_ns": 2500, "p999_ns": 3e6,
                                   "max_ns": 4e9}, "archived": {"count": 0}},
            "lcores": {str(i): {"role": "process", "busy": "0.5"} for i in range(lcores)},
            "archive": {"bytes": 12345678, "segments": 1, "durable": 5, "io_errors": 0,
                        "backend": "uring", "direct": 1},
            "device": {"name": "dma_sim0", "width": 300, "height": 200},
            "config": {"main": {"slabs": "128"}}}


def test_rates_and_history():
    history = top.History(30)  # two intervals a minute
    for second, frames in ((0, 0), (2, 100), (4, 500), (6, 500)):
        history.add(made_up(second, frames))
    assert [r["dma"] for r in history.rates] == [200, 0]
    history.add(made_up(7, 9000, pid=2))  # another program: nothing of the first is mixed in
    assert list(history.rates) == [] and history.newest()["dma"] == 0


def test_numbers_for_people():
    assert [top.short(v) for v in (0, 9999, 10000, 1234567, 2e9, 3e12)] == [
        "0", "9999", "10.0k", "1.2M", "2.0G", "3.0T"]
    assert [top.duration(v) for v in (999, 1500, 2.5e6, 3e9)] == [
        "999 ns", "1.5 us", "2.5 ms", "3 s"]
    assert top.sparkline([0, 1, 2, 4, 8], 4) == "▂▃▅█" and top.sparkline([0, 0], 9) == "▁▁"
    assert top.slabs_held(made_up()) == (33, 38)


def test_a_frame_fits():
    history = top.History(0.5)
    history.add(made_up(imbalance=-2, lcores=64))
    for width, height in ((80, 24), (40, 10), (79, 24), (200, 100), (1, 1)):
        lines = top.frame(history, width, height)
        assert len(lines) <= height and all(len(line) <= width for line in lines)
    text = "\n".join(top.frame(history))
    assert "slabs held 33..38 of 128" in text and "IMBALANCE -2" in text
    assert "lost       7  queued     33" in text and "p99.9    3 ms" in text
    assert "lcores more" in text and "12.3MB in 1 segments" in text
    assert "lcore 63" in "\n".join(top.frame(history, 80, 100))


def test_once_and_json(dip, scene, prefix):
    run = start(dip, scene, prefix)
    dip.wait_for_results(run)
    status, stdout, stderr = shown("--prefix", prefix, "--once")
    lines = stdout.splitlines()
    assert (status, stderr) == (0, "") and len(lines) <= 24 and max(map(len, lines)) <= 80
    assert lines[0].startswith(f"pid {run.pid}  dma_file0 64x64")
    assert sum(line.endswith("balanced") for line in lines) == 4
    status, stdout, stderr = shown("--pid", run.pid, "--json", "--interval", 1)
    data = json.loads(stdout)
    assert (status, stderr) == (0, "") and data["pid"] == run.pid
    assert 150 < data["rates"]["dma"] < 250 and 75 < data["rates"]["arch"] < 125
    harness.check_ledger(data["ledger"], drained=False)
    status, stdout, _ = shown("--prefix", prefix, "--once", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert status == 0 and stdout.isascii()
    dip.stop(run)
    status, stdout, stderr = shown("--prefix", prefix, "--once")
    assert (status, stdout) == (1, "") and "no program of ours answers" in stderr


@pytest.fixture(name="terminal")
def tmux_session():
    """A terminal of 80 x 24: (run a command in it, what it shows, type a key)."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed; apt-get install tmux")
    server = f"diptop{os.getpid()}"

    def tmux(*args):
        return subprocess.run(["tmux", "-L", server, "-f", "/dev/null", "-u", *args], text=True,
                              capture_output=True, check=True).stdout
    yield tmux
    subprocess.run(["tmux", "-L", server, "kill-server"], check=False, capture_output=True)


def wait_for(screen, words, timeout=20):
    """The screen, once it shows all words."""
    end = time.monotonic() + timeout
    while not all(word in (text := screen()) for word in words):
        assert time.monotonic() < end, f"no {words} in:\n{text}"
        time.sleep(0.1)
    return text


def test_in_a_terminal(dip, scene, prefix, terminal):
    """80 x 24; the program comes, ends, another comes; q leaves the terminal as it was."""
    command = shlex.join([sys.executable, str(TOP), "--prefix", prefix])
    terminal("new-session", "-d", "-x", "80", "-y", "24", f"{command}; echo left $?; sleep 60")

    def screen():
        return terminal("capture-pane", "-p")
    wait_for(screen, ["waiting for a program"])
    first = start(dip, scene, prefix)
    text = wait_for(screen, [f"pid {first.pid}", "source", "lcore 1", "archive", "█"])
    assert text.count("balanced") == 4 and len(text.splitlines()) <= 24
    assert "Traceback" not in text
    shot = text.splitlines()[0]
    wait_for(lambda: str(screen().splitlines()[0] != shot), ["True"])  # it goes on
    terminal("resize-window", "-x", "50", "-y", "12")
    wait_for(lambda: str(len(screen().rstrip().splitlines()) <= 12 and screen()),
             [f"pid {first.pid}"])
    terminal("resize-window", "-x", "80", "-y", "24")
    dip.stop(first)
    wait_for(screen, ["waiting for a program"])
    second = start(dip, scene, prefix)
    wait_for(screen, [f"pid {second.pid}", "balanced"])
    terminal("send-keys", "q")
    wait_for(screen, ["left 0"])
    dip.stop(second)


@pytest.mark.parametrize("args, word", [
    (["--interval", "0"], "expected 0.05..60"), (["--interval", "nan"], "expected 0.05..60"),
    (["--prefix", "a/b"], "expected a name"), (["--pid", "x"], "invalid int value"),
    ([], "expected a terminal"),
])
def test_wrong_usage(args, word):
    status, stdout, stderr = shown(*args)
    assert (status, stdout) == (2, "") and word in stderr


def test_help():
    status, stdout, stderr = shown("--help")
    assert (status, stderr) == (0, "") and "Exit status: 0" in stdout and os.access(TOP, os.X_OK)
