# SPDX-License-Identifier: BSD-3-Clause
"""What a run prints, and what it leaves: the text report, results on stdout, runs side by side."""

import json
import re
import subprocess

import numpy as np
import pytest

import harness
from oracle import check_lossless, read_results

NOLOOP = {"main.nth_archive": 3, "main.overrun": "block", "dma.pace_frames": False,
          "dma.loop_frames": False}
BLOCKS = """\
=== Component Stats ===
DMA:    produced=31  archived_offered=11  pool_exhaust=0
PROC:   frames=31  stale_desc=0  empty_polls=# dropped_proc_queue=0
ARCH:   frames=11  bytes=5632  rotations=0  stale_desc=0  io_errors=0 dropped_arch_queue=0

=== End-to-end Throughput ===
Elapsed: # s
DMA:     # fps
PROC:    # fps
ARCH:    # fps | # GB/s (# GiB/s)
"""


def test_text_report_has_the_originals_blocks(dip, tiny):
    """Word for word, then the ledger."""
    run = dip.start(tiny.folder, sets=tiny.sets(**NOLOOP), report=None).finish()
    assert run.status == 0
    pattern = "".join(r"\d+(\.\d+)?" if part == "#" else re.escape(part)
                      for part in re.split("(#)", BLOCKS))
    assert re.match(pattern, run.stdout), run.stdout
    assert len(re.findall(r"in_flight=0  balanced$", run.stdout, re.M)) == 4
    assert "IMBALANCE" not in run.stdout
    for folder in ("archive", "results"):
        path = re.search(rf"^{folder.title()}: (.*)$", run.stdout, re.M)[1]
        assert (dip.folder / path).exists()


@pytest.mark.parametrize("interval", [1, 7, 37])
@pytest.mark.parametrize("results", ["text", "none"])
def test_print_stdout(dip, tiny, interval, results):
    """Every interval-th result, the first one first, in the file's own words."""
    run = dip.start(tiny.folder, report="text", sets=tiny.sets(**NOLOOP, **{
        "proc.print_stdout": True, "proc.interval_print": interval, "proc.results": results}))
    run.finish()
    assert run.status == 0
    printed, mark, _ = run.stdout.partition("=== Component Stats ===")
    assert mark
    copy = dip.folder / "printed"
    copy.write_text(printed)
    seqs, bits = read_results(copy, tiny.sites)
    assert np.array_equal(seqs, np.arange(0, 31, interval))
    assert np.array_equal(bits, tiny.bits()[seqs])


def test_print_stdout_and_json_exclude_each_other(dip, tiny):
    run = dip.start(tiny.folder, sets=tiny.sets(**{"proc.print_stdout": True})).finish()
    assert run.status == 2 and run.stdout == "" and "proc.print_stdout" in run.stderr


@pytest.mark.parametrize("workers", [1, 3])
def test_results_none(dip, tiny, workers):
    """Nothing is written, everything is decided."""
    run = dip.run(tiny.folder, eal_args=harness.eal(workers), sets=tiny.sets(**NOLOOP, **{
        "proc.results": "none"}))
    assert run.results() is None and not (dip.folder / "results").exists()
    assert run.stats["proc_frames"] == 31
    assert run.stats["proc_occupied"] == int(tiny.bits().sum())


def test_neither_sink(dip, tiny):
    """No results, no archive: no folder is made."""
    run = dip.run(tiny.folder, sets=tiny.sets(**{
        **NOLOOP, "proc.results": "none", "main.nth_archive": 0}))
    assert run.stats["proc_frames"] == 31
    assert not list(dip.folder.iterdir())


def test_runs_of_the_same_second(dip, tiny, scene):
    """Four at once: each has outputs of its own, whole."""
    runs = [dip.start(source.folder, sets=source.sets(**{
        **NOLOOP, "dma.pace_frames": True, "main.fps": 500}))
            for source in (scene, tiny, scene, tiny)]
    runs = [dip.end(run) for run in runs]
    assert len({run.report["outputs"]["archive"] for run in runs}) == 4
    assert len({run.report["outputs"]["results"] for run in runs}) == 4
    for run, source in zip(runs, (scene, tiny, scene, tiny)):
        check_lossless(run, source, nth=3)


def test_output_names(dip, tiny):
    """<YYYYmmdd_HHMMSS>, the same in both."""
    run = dip.run(tiny.folder, sets=tiny.sets(**NOLOOP))
    stamp = run.archive().name
    assert re.fullmatch(r"\d{8}_\d{6}", stamp)
    assert run.results().name == f"results_{stamp}.txt"


def test_stats_interval(dip, tiny):
    """A line of figures every so often, on stderr alone."""
    run = dip.run(tiny.folder, 1, sets=tiny.sets(), extra=["--stats-interval", "0.2"])
    lines = [line for line in run.stderr.splitlines() if re.match(r" +\d+\.\d s  dma \d+", line)]
    assert 3 <= len(lines) <= 5


def _print(argv, folder):
    return subprocess.run([harness.program(), *argv], cwd=folder, text=True, check=True,
                          capture_output=True, timeout=20).stdout


def test_check_config_reads_itself_back(dip):
    """Its output is a configuration file that means the same; nothing starts."""
    sets = ["--set", "main.fps=123.25", "--set", "arch.arch_output_prefix=a b", "--set",
            "main.overrun=block"]
    first = _print(["--check-config", *sets], dip.folder)
    (dip.folder / "all.cfg").write_text(first)
    again = _print(["--check-config", "-c", "all.cfg"], dip.folder)
    assert first == again and "fps = 123.25" in first
    assert [path.name for path in dip.folder.iterdir()] == ["all.cfg"]


def test_set_wins_over_the_file(dip, tiny):
    """Wherever it stands; the report has what was effective."""
    (dip.folder / "a.cfg").write_text("main = { nth_archive = 4; fps = 400.0; };\n")
    for extra in (["-s", "main.nth_archive=2", "-c", "a.cfg"],
                  ["-c", "a.cfg", "-s", "main.nth_archive=2"]):
        run = dip.run(tiny.folder, 0.2, sets=tiny.sets(**{"main.overrun": "block"}), extra=extra)
        assert run.report["config"]["main.nth_archive"] == 2
        assert run.report["config"]["main.fps"] == 400
        assert run.due() == 80
        check_lossless(run, tiny, nth=2)


def test_what_informs_needs_no_source(dip):
    """--help, --version, --list-drivers: exit 0, on stdout."""
    assert "Usage:" in _print(["--help"], dip.folder)
    version = _print(["--version"], dip.folder)
    assert re.fullmatch(r"dma-image-processor \d+\.\d+\.\d+\n", version)
    listed = _print(["--list-drivers"], dip.folder)
    for name in ("dma_file", "dma_null", "dma_error", "patch", "uring", "pwrite"):
        assert re.search(rf"^  .*\b{name}\b", listed, re.M)


def test_report_is_strict_json(dip, tiny):
    """No NaN, no Infinity, even when there is nothing to divide by; all stats are numbers."""
    run = dip.run(tiny.folder, sets=tiny.sets(**{**NOLOOP, "main.nth_archive": 0}))

    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    report = json.loads(run.stdout, parse_constant=refuse)
    assert set(report) == {"version", "stats", "ledger", "latency", "detector", "pool", "device",
                           "lcores", "config", "outputs", "exit_status"}
    assert all(type(value) in (int, float) for value in report["stats"].values())


def test_closed_stdout_is_a_failure(dip, tiny):
    """A report that cannot be printed is no success."""
    with open("/dev/full", "w", encoding="ascii") as full:
        process = subprocess.run(dip.command(tiny.folder, sets=tiny.sets(**NOLOOP)), stdout=full,
                                 stderr=subprocess.PIPE, cwd=dip.folder, timeout=30, check=False)
    assert process.returncode == 1
