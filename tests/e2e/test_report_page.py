# SPDX-License-Identifier: BSD-3-Clause
"""scripts/report.py: the page of real runs of every kind, from whatever is at hand of them, looked at
in a browser; and every bad input."""

import contextlib
import html
import io
import json
import re
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

import browser
import harness
from harness import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
pytest.importorskip("matplotlib", reason="apt-get install python3-matplotlib")

import dipformat  # noqa: E402
import report as report_tool  # noqa: E402
from reportlib.figures import Figures  # noqa: E402
from reportlib.results import Decisions  # noqa: E402

pytestmark = pytest.mark.tool

PLOTS = ["rate", "drops", "pool", "lcores", "latency", "latency_time", "map", "history", "counts",
         "frames"]
KINDS = {
    "text": {"proc.results": "text"},
    "sums": {"proc.results": "npy", "proc.sums": True},
    "plain": {"proc.results": "npy", "proc.stats": False},
    "alone": {"proc.results": "text", "main.nth_archive": 0},
    "raw": {"proc.results": "text", "arch.format": "raw"},
    "drops": {"proc.results": "npy", "proc.sums": True, "main.slabs": 2, "main.fps": 4000},
}


@pytest.fixture(name="runs", scope="module")
def real_runs(tmp_path_factory):
    """A run of each kind, in a folder of its own; made when asked for."""
    if harness.program() is None:
        pytest.skip("DIP_BINARY does not name the program; set it to build/app/dma-image-processor")
    made = {}

    def run(kind):
        if kind not in made:
            dip = harness.Launcher(tmp_path_factory.mktemp(kind))
            made[kind] = dip.run(None, 2.3, device="dma_sim0", sets={
                "main.fps": 300, "main.nth_archive": 10, **KINDS[kind]}, eal_args=harness.eal(
                    vdevs=["dma_sim0,photons=12"]))
        return made[kind]
    return run


@pytest.fixture(name="copy")
def copied_run(runs, tmp_path):
    """A run of a kind, copied, so that a test may damage it: (archive, results, figures)."""
    def copy(kind):
        run = runs(kind)
        folder = tmp_path / "run"
        shutil.copytree(run.folder, folder)
        outputs = run.report["outputs"]
        return tuple(folder / outputs[name] if outputs[name] else None
                     for name in ("archive", "results", "stats"))
    return copy


def report(*args, status=0, cwd=None):
    """(stdout, stderr) of a report that ends as expected, in this process, which has imported
    everything already; a warning is a failure."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["report.py", *map(str, args)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), \
                contextlib.chdir(cwd or "."), warnings.catch_warnings():
            for kind in (RuntimeWarning, UserWarning):
                warnings.simplefilter("error", kind)
            code = dipformat.run_tool(report_tool.main)
    except SystemExit as error:
        code = error.code
    finally:
        sys.argv = before
    assert code == status, (code, out.getvalue(), err.getvalue())
    return out.getvalue(), err.getvalue()


def parts_of(page):
    """{name: the reason, None when it is drawn} of a page's parts, in its order."""
    text = page.read_text(encoding="utf-8")
    found = {}
    for name in PLOTS:
        inside = re.search(rf'<section[^>]* id="{name}">(.*?)</section>', text, re.S)[1]
        found[name] = None if "<img" in inside else html.unescape(
            re.search(r"<p[^>]*>(.*?)</p>", inside, re.S)[1])
    return found


def page_of(tmp_path, *args, status=0):
    """The parts, the text, and stderr."""
    page = tmp_path / "page.html"
    _, stderr = report(*args, "-o", page, status=status)
    return parts_of(page), html.unescape(page.read_text(encoding="utf-8")), stderr


NOT_THERE = {
    "text": {"drops": "No frame was lost in any second."},
    "sums": {"drops": "No frame was lost in any second."},
    "plain": {"rate": ".stats.jsonl was found", "drops": ".stats.jsonl", "pool": ".stats.jsonl",
              "lcores": ".stats.jsonl", "latency_time": ".stats.jsonl",
              "counts": "no sums (proc.sums = false)"},
    "alone": {"drops": "No frame was lost in any second.", "counts": "the run archived nothing",
              "frames": "the run archived nothing (main.nth_archive = 0"},
    "raw": {"drops": "No frame was lost in any second."},
    "drops": {},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_is_there_or_says_why(runs, tmp_path, kind):
    run = runs(kind)
    parts, text, stderr = page_of(tmp_path, run.results())
    missing = {name: why for name, why in parts.items() if why is not None}
    assert set(missing) == set(NOT_THERE[kind]), missing
    for name, words in NOT_THERE[kind].items():
        assert words in missing[name], missing
        if name != "drops" or kind == "plain":
            assert missing[name].removeprefix("Not shown: ").rstrip(".") in stderr
    if kind != "plain":
        for word, name in (("frames due", run.due()), ("decided", run.stats["proc_frames"]),
                           ("archived", run.stats["arch_frames"])):
            assert f"<b>{name:,}</b><span>{word}</span>" in text
        for key, value in run.stats.items():
            assert f">{key}</td><td class=\"text\">{value:,}<" in text
    share = run.stats["proc_occupied"] / run.stats["proc_frames"] / 400
    assert f"<b>{100 * share:.1f} %</b><span>of the sites occupied</span>" in text


def test_losses_are_told(runs, tmp_path):
    """With their cause, as the counters have them."""
    run = runs("drops")
    assert run.stats["dma_missed"] > 0
    _, text, _ = page_of(tmp_path, run.results())
    assert f"{run.stats['dma_missed']:,} frames: missed by the source" in text
    assert "The run lost frames" in text


@pytest.mark.parametrize("kind", ["text", "sums"])
def test_any_file_of_the_run_will_do(runs, tmp_path, kind):
    """The same page from each."""
    run = runs(kind)
    archive, results = run.archive(), run.results()
    stem = results.with_suffix("")
    given = {"text": [results, archive, run.folder],
             "sums": [f"{stem}.stats.jsonl", f"{stem}.sites.npy", results.parent,
                      next(archive.glob("*_000000.npy"))]}[kind]
    pages = set()
    for one in given:
        parts, text, _ = page_of(tmp_path, one)
        assert [name for name, why in parts.items() if why] == ["drops"], one
        pages.add(text)
    assert len(pages) == 1


def test_the_default_name_and_a_relative_path(copy):
    """Beside the results; whoever stands in the folder names it as a person would."""
    _, results, _ = copy("text")
    folder = results.parents[1]
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/report.py", results.relative_to(folder)], text=True,
        capture_output=True, check=False, timeout=120, cwd=folder)
    page = results.with_suffix(".html")
    assert (done.returncode, done.stderr) == (0, "")
    assert str(page.relative_to(folder)) in done.stdout and page.exists()
    assert not list(folder.glob("**/*.part"))


def test_only_the_archive_is_left(copy, tmp_path):
    archive, results, _ = copy("text")
    shutil.rmtree(results.parent)
    parts, text, _ = page_of(tmp_path, archive)
    assert parts["frames"] is None and parts["map"] is not None
    assert "There are no figures of this run" in text


def test_an_archive_elsewhere(copy, tmp_path):
    """It is not found, which is told, and is found when named."""
    archive, results, _ = copy("text")
    moved = tmp_path / "elsewhere"
    archive.rename(moved)
    parts, _, _ = page_of(tmp_path, results)
    assert "name it with --archive" in parts["frames"]
    parts, _, _ = page_of(tmp_path, results, "--archive", moved)
    assert parts["frames"] is None and parts["counts"] is None


def test_a_run_that_was_killed(copy, tmp_path):
    """Half a last line of either file is no damage of the figures; that of the results is told."""
    _, results, stats = copy("text")
    lines = stats.read_bytes().splitlines(True)
    stats.write_bytes(b"".join(lines[:-1]) + lines[-1][:100])
    results.write_bytes(results.read_bytes()[:-50])
    parts, text, stderr = page_of(tmp_path, results, status=1)
    assert [name for name, why in parts.items() if why] == ["drops"]
    assert "had not ended when this page was made, or was killed" in text
    assert "ends within a result" in stderr and "ends within a result" in text


def _spoil(path, at, what):
    data = bytearray(path.read_bytes())
    data[at:at + len(what)] = what
    path.write_bytes(data)


DAMAGE = {
    "figures": (lambda a, r, s: _spoil(s, 0, b"xx"), "line 1: ", None),
    "figures_empty": (lambda a, r, s: s.write_bytes(b""), "no line of figures in it", "rate"),
    "figures_other": (lambda a, r, s: s.write_bytes(b'{"a": 1}\n'), "expected a JSON object", "rate"),
    "results_text": (lambda a, r, s: _spoil(r, 40, b"7"), "characters 0 or 1", "map"),
    "results_empty": (lambda a, r, s: r.write_bytes(b""), "no results; expected", "history"),
    "record": (lambda a, r, s: _spoil(next(a.glob("*.npy")), 4096 + 1000, b"\xff\xff\xff"), "crc32c",
               None),
    "segment": (lambda a, r, s: _spoil(next(a.glob("*.npy")), 0, b"x"), "not an .npy file", "frames"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_told_and_the_rest_is_shown(copy, tmp_path, name):
    damage, words, part = DAMAGE[name]
    archive, results, stats = copy("text")
    damage(archive, results, stats)
    parts, text, stderr = page_of(tmp_path, results, status=1)
    assert words in stderr and words in text
    if part:
        assert words in parts[part] or "expected a JSON object" in parts[part], parts
    assert parts["history"] is None or parts["rate"] is None, parts


@pytest.mark.parametrize("cut, words", [(1000, "not a readable .npy file"), (1024, "no result in it")])
def test_damaged_records(copy, tmp_path, cut, words):
    _, results, _ = copy("sums")
    if cut == 1024:
        np.save(results, np.load(results)[:0])
    else:
        results.write_bytes(results.read_bytes()[:cut])
    parts, _, _ = page_of(tmp_path, results, status=1)
    assert words in parts["map"] and parts["rate"] is None


def test_a_table_that_is_gone_or_another(copy, tmp_path):
    _, results, _ = copy("sums")
    table = results.with_suffix(".sites.npy")
    np.save(table, np.load(table)[:390])
    parts, _, _ = page_of(tmp_path, results, status=1)
    assert "its table is of another run" in parts["map"]
    table.unlink()
    parts, _, _ = page_of(tmp_path, results, status=1)
    assert "expected the table of the sites" in parts["map"]


@pytest.mark.parametrize("args, words", [
    (["nosuch"], "nosuch: no such file or folder"),
    (["."], ".: no run in it; expected files results_*"),
    (["notes.txt"], "notes.txt: not a file of a run; expected results_<stamp>"),
    (["results_20260101_000000.txt"], "nothing of the run can be read"),
    (["results_20260101_000000.txt", "--archive", "nosuch"], "--archive nosuch: no such folder"),
    (["results_20260101_000000.txt", "--shape", "4"], "--shape 4: expected HxW"),
    ([], "the following arguments are required: RUN"),
])
def test_wrong_usage(tmp_path, args, words):
    """Exit status 2, one line, no page."""
    if args != ["."]:
        (tmp_path / "notes.txt").write_text("hello")
        (tmp_path / "results_20260101_000000.txt").write_text("")
    out, err = report(*args, status=2, cwd=tmp_path)
    assert out == "" and words in err and not list(tmp_path.glob("*.html"))


def test_the_page_never_replaces_a_file_of_the_run(copy):
    _, results, _ = copy("text")
    before = results.read_bytes()
    _, err = report(results, "-o", results, status=2)
    assert "a file of the run itself" in err and results.read_bytes() == before
    _, err = report(results, "-o", "/nosuch/page.html", status=2)
    assert "/nosuch" in err


def test_results_of_another_run(runs):
    one, another = runs("text").results(), runs("alone").results()
    _, err = report(one, "--results", another, status=2)
    stamps = [path.stem.removeprefix("results_") for path in (another, one)]
    assert f"of the run {stamps[0]}; expected one of {stamps[1]}" in err


def test_the_history_holds_for_any_number_of_frames():
    """Bins are joined as frames come; nothing is lost or counted twice."""
    rng = np.random.default_rng(5)
    bits = rng.random((5003, 7)) < np.linspace(0.1, 0.9, 7)
    decisions = Decisions(7, [17, 5002])
    for first in range(0, len(bits), 61):
        part = bits[first:first + 61]
        seqs = np.arange(first, first + len(part), dtype=np.uint64)
        decisions.add(seqs, seqs * 1000, part)
    assert np.array_equal(decisions.occupied, bits.sum(axis=0))
    assert np.array_equal(decisions.bits[17], bits[17]) and np.array_equal(
        decisions.bits[5002], bits[5002])
    size = decisions.size
    seqs, times, share, least, most, rows = decisions.history()
    assert 200 <= len(share) <= 400 and seqs[-1] == 5003 and times[1] == 1000 * seqs[1]
    assert np.allclose(share[3], bits[3 * size:4 * size].mean())
    assert np.allclose(rows[5], bits[5 * size:6 * size].mean(axis=0))
    each = bits[2 * size:3 * size].sum(axis=1) / 7
    assert (least[2], most[2]) == (each.min(), each.max())
    widths = np.diff(seqs)
    assert np.allclose((share * widths).sum() * 7, bits.sum())


def test_rates_are_of_their_interval(tmp_path):
    """Known lines; a short rest at the end is joined with the second before it."""
    def line(second, frames, final=False):
        return {"time_ns": int((100 + second) * 1e9), "final": final, "stats": {
            "elapsed_sec": second, "dma_frames": frames}, "ledger": {}, "latency": {}, "interval": {},
            "pool": {}, "lcores": []}
    path = tmp_path / "results_20260101_000000.stats.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (
        line(0.0, 0), line(1.0, 100), line(2.0, 300), line(2.05, 305, True))))
    edges, gained = Figures(path).gained("dma_frames")
    assert np.allclose(edges, [0, 1, 2.05]) and gained.tolist() == [100, 205]


def test_in_a_browser(runs, tmp_path):
    """Each plot is really there: loaded, wide, with colours of its own and not cut; nothing is asked of
    the network; nothing goes wrong."""
    if browser.missing():
        pytest.skip(browser.missing())
    pages = {}
    for kind in ("drops", "text"):
        pages[kind] = tmp_path / f"{kind}.html"
        report(runs(kind).results(), "-o", pages[kind])
    with browser.Browser(tmp_path / "profile") as chromium:
        chromium.open(pages["drops"])
        images = chromium.run("""return [...document.images].map(i => ({
            name: i.parentElement.id, done: i.complete, natural: [i.naturalWidth, i.naturalHeight],
            shown: [i.getBoundingClientRect().width, i.getBoundingClientRect().height]}))""")
        assert [image["name"] for image in images] == PLOTS
        for image in images:
            width, height = image["shown"]
            assert image["done"] and min(image["natural"]) > 100 and width > 700 and height > 150
            pixels = chromium.picture(f"#{image['name']} img")
            ink = np.any(pixels != 255, axis=2)
            coloured = np.ptp(pixels.astype(int), axis=2) > 40
            assert ink.mean() > 0.01, image
            assert coloured.mean() > 0.002, image
            # What is drawn reaches over the plot, and not beyond it.
            rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
            assert np.ptp(columns) > 0.8 * ink.shape[1] and np.ptp(rows) > 0.6 * ink.shape[0], image
        assert chromium.run("return document.documentElement.scrollWidth <= innerWidth")
        assert chromium.log("browser") == []
        requests = [entry["message"] for entry in chromium.log("performance")
                    if '"Network.requestWillBeSent"' in entry["message"]]
        assert len(requests) >= 1 and not any(re.search(r'"url":"(https?|ftp|wss?):', one)
                                              for one in requests)
        chromium.open(pages["text"])
        assert "No frame was lost in any second." in chromium.run(
            "return document.getElementById('drops').innerText")
        assert chromium.run("return document.images.length") == len(PLOTS) - 1
