# SPDX-License-Identifier: BSD-3-Clause
"""R21: signals at any moment of a run under load, from its start on and while segments rotate: what is
taken is finished, counted and reported, and no file is half made. A reader of stdout that goes away
and a full disk do not change that."""

import os
import random
import shutil
import signal
import time

import pytest

import harness
import proof
from harness import check_ledger
from oracle import check_archive, check_lossless, check_results, read_results
from test_faults import RATE, check_readable, complaints, free
from test_kill import settings
from test_stats_file import read

pytestmark = pytest.mark.signals

# 2 s are promised on a machine of its own; the rest is for a busy one.
STOP_S = 5
STOPS = [signal.SIGINT, signal.SIGTERM]


def load(rng, scene):
    """As a run that is to be killed, in all its ways; and the two ways to be overrun."""
    return {**settings(rng, scene), "main.overrun": rng.choice(["block", "drop"])}


def clear(dip):
    """What one run of many has left."""
    for name in ("archive", "results"):
        shutil.rmtree(dip.folder / name, ignore_errors=True)


def timed_end(dip, run, begin, status=0):
    """Seconds to the end, which is checked."""
    dip.end(run, status)
    seconds = time.monotonic() - begin
    assert seconds < STOP_S
    return seconds


def check_files(dip, run, scene):
    """What is in the files is what was counted, and there are no others."""
    check_results(run, scene)
    check_archive(run, scene)
    outputs = [run.results(), run.folder / run.report["outputs"]["stats"]]
    assert sorted((dip.folder / "results").iterdir()) == sorted(outputs)
    assert list((dip.folder / "archive").iterdir()) in ([], [run.archive()])


def catches(run):
    """Whether the program has got as far as to catch signals."""
    with open(f"/proc/{run.pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return bool(int(fields["SigCgt"], 16) & 1 << (signal.SIGTERM - 1))


def test_stops_at_random_moments(dip, scene):
    """Of a start, and of a run that rotates some ten times a second or some hundred times."""
    rng = random.Random(int(os.environ.get("DIP_SEED", "21")))
    stops, slowest, frames, rotations, early, no_run = proof.count(12, 100), 0, 0, 0, 0, 0
    for i in range(stops):
        sets = load(rng, scene)
        run = dip.start(scene.folder, 0, eal_args=harness.eal(rng.randrange(3)), sets=sets)
        if i % 4 < 2:
            dip.wait_for_results(run)
        elif i % 4 == 2:
            dip.wait_for(run, lambda run=run: catches(run))
        time.sleep(rng.uniform(0, 0.03 if i % 4 == 3 else 0.4))
        begin, number = time.monotonic(), rng.choice(STOPS)
        run.signal(number)
        if i % 4 == 3 and run.finish().status == -number:  # before it catches any
            assert not list(dip.folder.iterdir())
            no_run += 1
            continue
        slowest = max(slowest, timed_end(dip, run, begin))
        check_files(dip, run, scene)
        if sets["main.overrun"] == "block":
            check_lossless(run, scene)
        frames, rotations = frames + run.stats["arch_frames"], rotations + run.stats["arch_rotations"]
        early += run.due() == 0
        clear(dip)
    assert rotations > stops and frames > 0
    proof.say(f"R21: {stops} stops at random moments, {no_run} before anything is made, {early} "
              f"before the first frame, among {rotations} rotations: {frames} frames archived and all there; "
              f"the slowest end came after {slowest:.2f} s")


def test_second_signals_at_random_moments(dip, scene):
    """The first one drains, the second one discards: at once, whatever is queued, and all counted."""
    rng = random.Random(22)
    stops, slowest, discarded = proof.count(4, 50), 0, 0
    for _ in range(stops):
        run = dip.start(scene.folder, 0, sets={**load(rng, scene), **{
            "main.slabs": 2048, "arch.max_rate": 4 << 20, "dma.pace_frames": False}})
        dip.wait_for_results(run)
        time.sleep(rng.uniform(0.1, 0.3))
        for number in rng.sample(STOPS, 2):
            run.signal(number)
            begin = time.monotonic()
            time.sleep(rng.uniform(0, 0.02))
        slowest = max(slowest, timed_end(dip, run, begin))
        check_files(dip, run, scene)
        discarded += run.stats["arch_discarded"] + run.stats["arch_offer_discarded"]
        clear(dip)
    # Four MiB a second: what is queued would take seconds.
    assert discarded > 100 * stops
    proof.say(f"R21: {stops} second signals: {discarded} frames in queues given back and counted; "
              f"the slowest end came after {slowest:.2f} s")


def report_of_file(dip, run):
    """The last line of the figures of a run whose report nobody has read."""
    line = read(next((dip.folder / "results").glob("*.stats.jsonl")))[-1]
    assert line["final"]
    check_ledger(line["ledger"])
    run.report = line
    return line


@pytest.mark.parametrize("report,more", [
    ("text", {"proc.print_stdout": True}), ("text", {}), ("json", {})],
    ids=["print_stdout", "text", "json"])
@pytest.mark.parametrize("when", ["from the start", "while it runs"])
def test_the_reader_of_stdout_goes(dip, scene, report, more, when):
    """The run goes on to its end; the exit status and a line say that not all could be printed."""
    run = dip.start(scene.folder, 1, report=report, sets=scene.sets(**RATE, **{
        **more, "main.overrun": "block"}))
    if when == "while it runs":
        dip.wait_for_results(run)
    run.process.stdout.close()
    run.finish()
    assert run.status == 1, run.stderr
    assert len(complaints(run, "stdout: Broken pipe")) == 1, run.stderr
    assert report_of_file(dip, run)["exit_status"] == 0
    assert run.due() == 2000
    seqs, bits = read_results(run.results(), scene.sites)
    assert seqs.tolist() == list(range(2000)) == sorted(check_archive(run, scene))
    assert (bits == scene.bits()[seqs % len(scene.frames)]).all()


def test_stdout_on_a_full_disk(dip, scene):
    """The same, of a file that takes no more."""
    for action in (["--list-drivers"], ["--check-config"], ["--version"], ["--help"]):
        run = dip.start(argv=["sh", "-c", '"$@" >/dev/full', "sh", harness.program(), *action])
        assert run.finish().status == 1
        assert complaints(run, "stdout: No space left on device")
    assert not list((dip.folder).iterdir())


@pytest.mark.parametrize("number", STOPS, ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("full", ["archive", "results"])
def test_stop_while_the_disk_is_full(dip, scene, small_disk, number, full):
    """Nothing waits for space: it ends in time, and what is counted as written can be read."""
    key = {"archive": "arch.arch_output_dir", "results": "proc.proc_output_dir"}[full]
    run = dip.start(scene.folder, 0, sets=scene.sets(**{**RATE, key: f"disk/{full}"}, **{
        "main.overrun": "block", "arch.segment_bytes": 1 << 20}))
    dip.wait_for(run, lambda: list(small_disk.glob(f"{full}/**/*0*")))
    time.sleep(0.1)
    harness.fill_up(small_disk)
    time.sleep(0.3)
    assert free(small_disk) == 0
    begin = time.monotonic()
    run.signal(number)
    timed_end(dip, run, begin, status=1)
    assert complaints(run, "No space left on device")
    assert len(check_results(run, scene)) == run.stats["results_frames"]
    check_readable(run, scene)
    lost = run.stats["arch_io_errors" if full == "archive" else "results_io_errors"]
    assert lost > 0
