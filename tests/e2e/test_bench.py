# SPDX-License-Identifier: BSD-3-Clause
"""scripts/bench: that it finds what is wrong before it runs, that a run that is not good fails it,
and that its figures are those of the runs. Programs of a few lines stand in for the real ones,
which run once."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

import harness

SCRIPTS = harness.ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))
from benchlib import archive, common, detect, replay, threads  # noqa: E402

pytestmark = pytest.mark.tool

FAKE = {
    "app/dma-image-processor": """
import json, os, sys, time
def missed():
    # With a rate of its own: more than it can take.
    rate = next((float(a[9:]) for a in sys.argv if a.startswith("main.fps=")), 0)
    return MISSED or int(rate > 0.8 * FPS and rate != 1000)
def slower(ns):
    return ns * SLOWER if "main.nth_archive=1" in sys.argv else ns
if "main.fps=1000" in sys.argv:
    time.sleep(1.6)
out = next((a[21:] for a in sys.argv if a.startswith("arch.arch_output_dir=")), None)
if out:
    os.makedirs(out + "/run")
    open(out + "/run/frames_000000.npy", "w").close()
json.dump({"stats": {"arch_frames": 1000, "dma_frames": LOST + 1000, "arch_fps": 2000.0,
                     "proc_frames": 1000, "dma_missed": missed(), "proc_fps": FPS, "elapsed_sec": 0.5,
                     "drops_proc_queue": 0, "drops_arch_queue": 0},
           "latency": {"archived": {"max_ns": 5000000}, "result": {
               "p50_ns": slower(4000), "p99_ns": slower(9000), "p999_ns": 20000, "max_ns": 50000}},
           "lcores": [{"role": "control", "busy": 0.0}, {"role": "ingest+process", "busy": 0.25},
                      {"role": "archive", "busy": 0.02}],
           "outputs": {"archive": out and out + "/run"}}, sys.stdout)
sys.exit(STATUS)
""",
    "app/archive/dma-image-archive": """
import sys
print(f"{sys.argv[2]}: {FOUND} frames of 300x300, seq 0..999 by 1")
sys.exit(VERIFY)
""",
    "tests/bench/bare_loop": 'print(\'{"fps": 100}\')\n',
    "tests/bench/detect": """
import json, sys
cpu, kernel, seconds, rounds, *cases = sys.argv[1:]
n = int(rounds)
if DETECT:
    sys.exit("detect: no")
ns = {"auto": 1000, "avx512": 1000, "avx2": 2000}[kernel]
one = {"sites": 400, "ns": [ns] * n}
full = {"boxes": {**one, "rival_ns": [800] * n}, "boxes-cold": {**one, "rival_ns": [500] * n},
        "noted-all": {**one, "rival_ns": [100] * n},
        "weighted-10000": {"sites": 10000, "ns": [ns * 200] * n},
        "weighted-10000-cold": {**one, "rival_ns": [100] * n},
        "weighted-2x2": {**one, "rival_ns": [ns] * n},
        "weighted-9x9": {**one, "rival_ns": [ns / WORST] * n}}
print(json.dumps({"kernel": "avx512" if kernel == "auto" else kernel,
                  "cases": {name: full[name] for name in cases or full}}))
""",
    "tests/bench/limits": """
import json, sys
what = sys.argv[1]
if what == LIMIT:
    sys.exit("limits: no")
print(json.dumps({"hop": {"ns": 300.0}, "read": {"gbps": 20.0}, "copy": {"gbps": 10.0}, "gaps": {
    "p50_ns": 20, "p99_ns": 100, "p999_ns": 1000, "max_ns": 5000}}[what]))
""",
    "bin/fio": """
import sys
path = next(a[11:] for a in sys.argv if a.startswith("--filename="))
if "--rw=write" in sys.argv:
    open(path, "x").write("x")
else:
    open(path)
rate = '{"io_bytes": 450560000, "runtime": 1000, "total_ios": 2500}'
cpu = '"usr_cpu": 1.5, "sys_cpu": 3.5, "job_runtime": 1000'
print('{"jobs": [{"write": %s, "read": %s, %s}]}' % (rate, rate, cpu))
sys.exit(FIO)
""",
}


def stand_ins(folder, **values):
    """A build folder of programs that answer as if they had worked, but for what values say."""
    values = {"LOST": 0, "MISSED": 0, "FPS": 50.0, "STATUS": 0, "FOUND": 1000, "VERIFY": 0, "FIO": 0,
              "DETECT": 0, "WORST": 1.4, "LIMIT": "0", "SLOWER": 1, **values}
    for name, text in FAKE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for key, value in values.items():
            text = text.replace(key, str(value))
        path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        path.chmod(0o755)
    return folder


def bench(folder, *args, build=None, path=None):
    """Exit status, stdout and stderr; whatever happens, no file is left and no traceback shown."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    build = build or folder / "build"
    path = path or f"{build}/bin:{os.environ['PATH']}"
    done = subprocess.run([sys.executable, SCRIPTS / "bench", "--no-huge", "--build", build,
                           "--folder", work, *map(str, args)], cwd=folder, text=True, check=False,
                          capture_output=True, timeout=60, env={**os.environ, "PATH": path})
    assert "Traceback" not in done.stderr, done.stderr
    assert not list(work.iterdir())
    return done.returncode, done.stdout, done.stderr


SHORT = ("--seconds", 0.1, "--repeat", 1)
ARCHIVE = ("archive", "--shapes", "300x300", *SHORT)
REPLAY = ("replay", "--shapes", "300x300", *SHORT)


@pytest.mark.parametrize("args, text", [
    (["--seconds", "0"], "--seconds 0: expected 0.1..3600"),
    (["--seconds", "nan"], "--seconds nan: expected"),
    (["--repeat", "0"], "--repeat 0: expected 1..1000"),
    (["--cores", "one"], "--cores one: expected CPU numbers"),
    (["--cores", "4095"], "--cores 4095: expected some of the CPUs"),
    (["--shapes", "64x64,7x7"], "found 7x7; expected some of 300x300,"),
    (["--folder", "none"], "none: no such folder"),
    (["--json", "none/figures.json"], "none/figures.json: its folder cannot be written into"),
    (["--build", "none"], "none/app/dma-image-processor is not there; build it first"),
    (["--seconds", "3600"], "GB free; expected 21600.0 GB"),
])
def test_it_refuses_before_it_runs(tmp_path, args, text):
    stand_ins(tmp_path / "build")
    status, stdout, stderr = bench(tmp_path, "archive", *SHORT, *args)
    assert (status, stdout) == (2, "")
    assert text in stderr and stderr.startswith("bench: ") and stderr.count("\n") == 1


def test_it_refuses_without_fio(tmp_path):
    stand_ins(tmp_path / "build")
    status, stdout, stderr = bench(tmp_path, *ARCHIVE, path="/nowhere")
    assert (status, stdout) == (2, "") and "fio is not installed" in stderr
    assert "scripts/setup" in stderr
    # The other part does without.
    assert bench(tmp_path, "pipeline", *SHORT, "--frames", tmp_path, path="/nowhere")[0] == 0


@pytest.mark.parametrize("values, text", [
    ({"LOST": 1}, "1000 frames archived of 1001; expected all"),
    ({"STATUS": 1}, "archive 300x300: exit status 1"),
    ({"VERIFY": 1}, "verify: exit status 1"),
    ({"FOUND": 999}, "expected 1000 frames"),
    ({"FIO": 1}, "archive 300x300, fio: exit status 1"),
])
def test_a_bad_run_fails_it(tmp_path, values, text):
    stand_ins(tmp_path / "build", **values)
    status, _, stderr = bench(tmp_path, *ARCHIVE, "--json", tmp_path / "figures.json")
    assert status == 1 and text in stderr
    assert not (tmp_path / "figures.json").exists()


@pytest.mark.parametrize("values, text", [
    ({"LOST": 1}, "1000 frames decided of 1001 replayed, 0 missed; expected all"),
    ({"MISSED": 2}, "1000 frames decided of 1000 replayed, 2 missed; expected all"),
    ({"STATUS": 1}, "replay 300x300, archive: exit status 1"),
    ({"FIO": 1}, "replay 300x300, fio: exit status 1"),
])
def test_a_bad_replay_fails_it(tmp_path, values, text):
    stand_ins(tmp_path / "build", **values)
    status, _, stderr = bench(tmp_path, *REPLAY, "--json", tmp_path / "figures.json")
    assert status == 1 and text in stderr
    assert not (tmp_path / "figures.json").exists()


def test_the_figures_of_the_replay(tmp_path):
    stand_ins(tmp_path / "build", FPS=2000.0)
    status, stdout, stderr = bench(tmp_path, *REPLAY, "--repeat", 2, "--json",
                                   tmp_path / "figures.json")
    assert (status, stderr) == (0, "")
    report = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    figures = report["replay"]["300x300"]["speed"]
    # 2,000 records of 180,224 bytes a second against 450,560,000 bytes.
    assert figures["program"]["values"] == [pytest.approx(0.360448)] * 2
    assert figures["fio, ratio"]["median"] == pytest.approx(0.8)
    assert figures["bar"] == {"value": pytest.approx(0.8), "limit": 0.9, "passed": False}
    assert figures["busy"]["median"] == 0.25
    assert "ratio to fio >= 0.9" in stdout and "MISS" in stdout
    # The same file, blocks and depth; and each frame is checked.
    limit = report["commands"]["replay 300x300, fio"]
    for part in ("/run/frames_000000.npy ", "--rw=read", "--bs=180224", "--iodepth=64",
                 "--offset=4096", "--size=180224000", "--direct=1", "--readonly"):
        assert part in limit
    assert "depth=64,verify=true" in report["commands"]["replay 300x300"]
    assert "verify=false" in report["commands"]["replay 300x300, not verified"]


def test_a_replay_that_is_fast_enough(tmp_path):
    stand_ins(tmp_path / "build", FPS=2300.0)
    status, stdout, _ = bench(tmp_path, *REPLAY)
    assert status == 0 and "MISS" not in stdout


@pytest.mark.skipif(len(harness.cpus()) < 2, reason="one CPU: the archiver has none of its own")
def test_the_figures_of_the_archive(tmp_path):
    stand_ins(tmp_path / "build")
    status, stdout, stderr = bench(tmp_path, *ARCHIVE, "--repeat", 2, "--json",
                                   tmp_path / "figures.json")
    assert (status, stderr) == (0, "")
    report = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    figures = report["archive"]["300x300"]
    # 2,000 records of 180,224 bytes a second against 450,560,000 bytes.
    assert figures["speed"]["program"]["values"] == [pytest.approx(0.360448)] * 2
    assert figures["speed"]["fio, ratio"]["median"] == pytest.approx(0.8)
    assert figures["speed"]["bar"] == {"value": pytest.approx(0.8), "limit": 0.95, "passed": False}
    assert "ratio to fio >= 0.95" in stdout and "MISS" in stdout
    # 2 % of half a second for 1,000 frames.
    assert figures["cpu"]["archiver"]["median"] == pytest.approx(10, abs=0.1)
    assert figures["cpu bar"]["passed"]
    # 5 % of a second for 2,500 blocks.
    assert figures["cpu, fio"]["median"] == pytest.approx(20)
    assert figures["cpu, no checksum"]["archiver"]["median"] == pytest.approx(10, abs=0.1)
    assert report["environment"]["cpus"] == os.cpu_count()
    assert "--iodepth_batch_submit=16" in report["commands"]["archive 300x300, fio"]
    assert "main.nth_archive=1" in report["commands"]["archive 300x300"]
    assert "arch.checksum=false" in report["commands"]["archive 300x300, no checksum"]
    # As often as the program: every second, in blocks.
    assert "--fdatasync=2000" in report["commands"]["archive 300x300, fio, synced"].split()
    assert "sync_interval_ms" not in report["commands"]["archive 300x300, synced"]
    assert figures["speed"]["fio, synced, ratio"]["median"] == pytest.approx(0.8)
    assert "expected 4 GB or more" in stdout


def test_the_figures_of_the_pipeline(tmp_path):
    stand_ins(tmp_path / "build")
    status, _, stderr = bench(tmp_path, "pipeline", *SHORT, "--frames", tmp_path, "--json",
                              tmp_path / "figures.json", "--cores", harness.cpus()[0])
    assert (status, stderr) == (0, "")
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["pipeline"]
    assert figures["bare loop, 1 core"]["median"] == 100
    assert figures["1 worker lcore"]["median"] == 50
    assert figures["1 worker lcore, ratio"]["median"] == 0.5


def figures_of(folder, part, *args):
    """All of a part that went well, and what it printed."""
    status, stdout, stderr = bench(folder, part, *SHORT, *args, "--json", folder / "figures.json")
    assert (status, stderr) == (0, "")
    return json.loads((folder / "figures.json").read_text(encoding="utf-8")), stdout


def test_the_bars_of_the_pipeline(tmp_path):
    """100 a second on one core without anything else; a program that takes 20 ms a frame."""
    stand_ins(tmp_path / "build")
    report, stdout = figures_of(tmp_path, "pipeline", "--frames", tmp_path)
    figures = report["pipeline"]
    assert figures["1 worker lcore, bar"] == {"value": 0.5, "limit": 0.9, "passed": False}
    assert figures["overhead"]["median"] == 2e7 and not figures["overhead, bar"]["passed"]
    if len(harness.cpus()) > 1:
        assert figures["2 worker lcores, bar"] == {"value": 0.5, "limit": 1.8, "passed": False}
        assert figures["64 x 64, bar"]["value"] == pytest.approx(0.5 / 0.8)
        assert "lcores.layout=split" in report["commands"]["pipeline, split"]
        assert figures["hop"]["median"] == 300
    assert "--vdev=dma_null0,width=16,height=16" in report["commands"]["pipeline, overhead"]
    # The same sites for the program and for the limit.
    assert report["commands"]["bare loop"].endswith(" 50 50 250 250 10 10")
    assert "MISS" in stdout


def test_the_figures_of_the_sources(tmp_path):
    stand_ins(tmp_path / "build", FPS=50000.0)
    figures = figures_of(tmp_path, "source")[0]["source"]
    # 50,000 frames of 180,000 bytes a second against 10 GB of a copy.
    assert figures["dma_file"]["median"] == pytest.approx(9)
    assert figures["dma_sim, ratio"]["median"] == pytest.approx(0.9)
    assert figures["read"]["median"] == 20


def test_the_figures_of_the_latency(tmp_path):
    stand_ins(tmp_path / "build", FPS=5000.0)
    figures = figures_of(tmp_path, "latency")[0]["latency"]
    # The kernel takes 1 us of a cold frame.
    assert figures["p50 bar"] == {"value": 4, "limit": 3.5, "passed": False}
    assert figures["archiving, p99 bar"]["passed"] and figures["archiving, p50 bar"]["value"] == 1
    assert figures["floor"]["p99.9"]["median"] == 1
    assert 0 <= figures["cpu"]["median"] < 0.1 and figures["cpu bar"]["passed"]
    assert figures["sleeping"]["p50"]["median"] == 4
    if len(harness.cpus()) > 1:
        assert figures["apart"]["p99"]["median"] == 9
    # It loses frames at more than 0.8 of its rate: found to a part in 32.
    assert 0.8 - 1 / 32 <= figures["lossless"]["median"] <= 0.8
    assert figures["lossless bar"]["passed"]


def test_a_disk_that_disturbs_the_decisions(tmp_path):
    stand_ins(tmp_path / "build", FPS=5000.0, SLOWER=2)
    figures = figures_of(tmp_path, "latency")[0]["latency"]
    assert figures["archiving, p50 bar"] == {"value": 2, "limit": 1.1, "passed": False}
    assert not figures["archiving, p99 bar"]["passed"]


@pytest.mark.parametrize("part, what", [("source", "copy"), ("latency", "gaps")])
def test_limits_that_cannot_be_measured(tmp_path, part, what):
    stand_ins(tmp_path / "build", LIMIT=repr(what))
    status, _, stderr = bench(tmp_path, part, *SHORT)
    assert status == 1 and f"bench: limit, {what}: exit status 1" in stderr


def test_the_figures_of_the_scale(tmp_path):
    """Any frame takes 500 us, whatever its size."""
    stand_ins(tmp_path / "build", FPS=2000.0)
    figures = figures_of(tmp_path, "scale")[0]["scale"]
    assert figures["bytes"]["8192"]["median"] == figures["sites"]["10000"]["median"] == 500
    assert figures["bytes, bar"] == {"value": 0.25, "limit": 1.15, "passed": True}
    assert figures["bare, bar"] == {"value": 1, "limit": 1.15, "passed": True}
    assert figures["bare, ratio"]["8192"]["median"] == figures["bare"]["8192"]["median"] / 500
    assert figures["slabs, worst"]["median"] == 1
    assert figures["start, bar"]["passed"] and figures["memory, bar"]["passed"]


def test_the_plot_of_the_scale(tmp_path):
    """Drawn from the figures: another machine's differ."""
    pages = []
    for fps in (2000.0, 2000.0, 700.0):
        stand_ins(tmp_path / "build", FPS=fps)
        status, _, stderr = bench(tmp_path, "scale", *SHORT, "--plot", tmp_path / "scale.svg")
        assert (status, stderr) == (0, "")
        pages.append((tmp_path / "scale.svg").read_text(encoding="utf-8"))
    assert "<svg" in pages[0] and pages[0] == pages[1] != pages[2]


@pytest.mark.parametrize("part, name, why", [
    ("source", "scale.svg", "there is a plot of the part scale only"),
    ("scale", "scale.txt", "expected a file name with .svg, .png or .pdf"),
    ("scale", "nowhere/scale.svg", "its folder cannot be written into")])
def test_a_plot_that_cannot_be_drawn(tmp_path, part, name, why):
    """Found before anything is measured."""
    stand_ins(tmp_path / "build", STATUS=1)
    status, stdout, stderr = bench(tmp_path, part, *SHORT, "--plot", tmp_path / name)
    assert (status, stdout) == (2, "") and why in stderr and stderr.count("\n") == 1


def test_the_figures_of_the_kernels(tmp_path):
    stand_ins(tmp_path / "build")
    status, stdout, stderr = bench(tmp_path, "detect", *SHORT, "--repeat", 2, "--json",
                                   tmp_path / "figures.json", "--cores", harness.cpus()[-1])
    assert (status, stderr) == (0, "")
    report = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    # The best kernel of the CPU, and the one below it.
    assert list(report["detect"]) == ["avx512", "avx2"]
    figures, slower = report["detect"].values()
    assert figures["boxes"]["us"]["values"] == [1] * 2 * detect.ROUNDS
    assert figures["boxes"]["ratio"]["median"] == 1.25
    bars = figures["bars"]
    assert bars["boxes"] == {"value": 0.8, "limit": 0.8, "passed": True}
    assert bars["boxes-cold"] == {"value": 2, "limit": 1.3, "passed": False}
    assert bars["weighted-10000"] == {"value": 200, "limit": 250, "passed": True}
    # Of geometries only: neither what is cold nor what is noted.
    assert bars["weighted"] == {"value": pytest.approx(1.4), "limit": 1.5, "passed": True}
    assert slower["bars"]["boxes"] == {"value": 0.4, "limit": 0.8, "passed": False}
    assert not slower["bars"]["weighted-10000"]["passed"]
    assert "detect: kernel avx2, one core" in stdout and "MISS" in stdout
    program, cpu, kernel, seconds, rounds = report["commands"]["detect, avx2"].split()
    assert program.endswith("tests/bench/detect")
    assert (cpu, kernel, rounds) == (str(harness.cpus()[-1]), "avx2", str(detect.ROUNDS))
    assert 0 < float(seconds) <= 0.1


def test_a_geometry_whose_weights_cost_too_much(tmp_path):
    stand_ins(tmp_path / "build", WORST=1.6)
    status, stdout, _ = bench(tmp_path, "detect", *SHORT)
    assert status == 0 and "weighted / boxes, worst geometry <= 1.5" in stdout
    assert [line.split()[-1] for line in stdout.splitlines() if "worst geometry" in line] == [
        "MISS", "MISS"]


def test_kernels_that_cannot_be_measured(tmp_path):
    stand_ins(tmp_path / "build", DETECT=1)
    status, _, stderr = bench(tmp_path, "detect", *SHORT, "--json", tmp_path / "figures.json")
    assert status == 1 and "bench: detect, auto: exit status 1" in stderr
    assert not (tmp_path / "figures.json").exists()
    (tmp_path / "build/tests/bench/detect").unlink()
    status, stdout, stderr = bench(tmp_path, "detect", *SHORT)
    assert (status, stdout) == (2, "") and "tests/bench/detect is not there; build it" in stderr


def test_runs_take_turns():
    order = []
    runs = {name: lambda name=name: order.append(name) or len(order) for name in "abc"}
    assert common.alternate(runs, 3) == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}
    assert "".join(order) == "abccbaabc"
    assert common.ratios([1, 6], [2, 3]) == [0.5, 2]


def test_shapes():
    sizes = {name: (archive.stride(shape), archive.gathered(shape))
             for name, shape in archive.SHAPES.items()}
    assert sizes == {"300x300": (180224, 1), "64x64": (12288, 21), "2048x2048": (8392704, 1),
                     "4096x4096": (33558528, 1)}


def test_blocks_of_a_replay():
    """Where the image fills whole pages, a slab has no room for the trailer."""
    assert {name: replay.block(shape) for name, shape in archive.SHAPES.items()} == {
        "300x300": 180224, "64x64": 8192, "2048x2048": 8388608, "4096x4096": 33554432}


def test_bars():
    assert common.bar("ratio", 0.95, 0.95)["passed"]
    assert not common.bar("ratio", 0.949, 0.95)["passed"]
    assert common.bar("us", 15, 15, at_most=True)["passed"]
    assert not common.bar("us", 15.1, 15, at_most=True)["passed"]


def test_cpu_time_of_threads():
    """Two threads that have used half a second together, as their process says itself."""
    code = ("import threading, time\n"
            "def work():\n"
            "    while time.process_time() < 0.5: pass\n"
            "    print('done', flush=True)\n"
            "    time.sleep(60)\n"
            "threading.Thread(target=work).start()\n"
            "work()\n")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        name = Path(f"/proc/{process.pid}/comm").read_text(encoding="ascii").strip()
        process.stdout.readline()
        process.stdout.readline()
        seen = threads.Threads()
        seen.look(process.pid)
        process.kill()
    assert 0.45 < seen.seconds(name) < 0.8
    assert seen.seconds("another") == 0
    seen.look(process.pid)  # it has ended: what was seen stays
    assert 0.45 < seen.seconds(name) < 0.8


def test_cpu_time_of_the_kernel():
    before = threads.kernel_seconds()
    if not before:
        pytest.skip("no thread of the kernel can be seen here")
    assert str(os.getpid()) not in before
    time.sleep(0.1)
    assert 0 <= threads.kernel_seconds_since(before) < 0.1 * os.cpu_count()


def test_random_frames_can_be_read(tmp_path):
    np = pytest.importorskip("numpy")
    folder = common.random_frames(tmp_path / "frames", 5, 3, 2)
    first, second = (np.load(path) for path in sorted(folder.iterdir()))
    assert first.shape == (3, 5) and first.dtype.str == "<u2" and not np.array_equal(first, second)


def test_a_file_system_without_o_direct(tmp_path, capsys, monkeypatch):
    def refusing(*_args):
        raise OSError(errno.EINVAL, "no")
    monkeypatch.setattr(archive.fio, "check", lambda: None)
    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(SystemExit) as end:
        archive.needs(types.SimpleNamespace(folder=tmp_path, seconds=0.1, build=tmp_path))
    assert end.value.code == 2 and "expected O_DIRECT to work there" in capsys.readouterr().err


def test_a_scratch_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as end:
        common.scratch(types.SimpleNamespace(folder=tmp_path / "file"))
    assert end.value.code == 2 and "expected a folder to write into" in capsys.readouterr().err


def real_figures(tmp_path, part, shape):
    """Of one short run of the real programs."""
    if harness.program() is None:
        pytest.skip("DIP_BINARY does not name the program; set it to build/app/dma-image-processor")
    if shutil.which("fio") is None:
        pytest.skip("fio is not installed; scripts/setup")
    if shutil.disk_usage(tmp_path).free < 3e9:
        pytest.skip("less than 3 GB free")
    status, stdout, stderr = bench(
        tmp_path, part, "--shapes", shape, "--seconds", 0.3, "--repeat", 1, "--json",
        tmp_path / "figures.json", build=Path(harness.program()).parents[1])
    assert (status, stderr) == (0, ""), stdout
    report = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    return report[part][shape]["speed"]


def test_the_real_programs(tmp_path):
    """Once, with the real ones: 64 x 64, where gathering, the checksum and fio all take part."""
    speed = real_figures(tmp_path, "archive", "64x64")
    rates = [speed[name]["median"] for name in ("program", "fio", "fio, one at a time",
                                                "fio, as gathered")]
    assert all(0.001 < rate < 100 for rate in rates)


def test_the_real_replay(tmp_path):
    speed = real_figures(tmp_path, "replay", "300x300")
    assert all(0.001 < speed[name]["median"] < 100 for name in (
        "program", "fio", "fio, one at a time", "not verified"))


def test_the_real_kernels(tmp_path):
    if harness.program() is None:
        pytest.skip("DIP_BINARY does not name the program; set it to build/app/dma-image-processor")
    status, stdout, stderr = bench(tmp_path, "detect", *SHORT, "--json", tmp_path / "figures.json",
                                   build=Path(harness.program()).parents[1])
    assert (status, stderr) == (0, ""), stdout
    report = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["detect"]
    assert report
    for figures in report.values():
        assert len(figures) == 17 + 1
        assert all(0.01 < case["us"]["median"] < 1e6
                   for name, case in figures.items() if name != "bars")
        assert figures["weighted-10000"]["us"]["median"] > figures["boxes"]["us"]["median"]
        assert set(figures["bars"]) == {"boxes", "boxes-cold", "weighted-10000", "weighted"}


def test_the_real_telemetry(tmp_path):
    if harness.program() is None:
        pytest.skip("DIP_BINARY does not name the program; set it to build/app/dma-image-processor")
    if len(harness.cpus()) < 2:
        pytest.skip("one CPU")
    status, stdout, stderr = bench(
        tmp_path, "telemetry", "--seconds", 1, "--repeat", 1, "--json", tmp_path / "figures.json",
        build=Path(harness.program()).parents[1])
    assert (status, stderr) == (0, ""), stdout
    report = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["telemetry"]
    for results in ("text", "none"):
        figures = report[results]
        assert figures["clients"]["median"] > 100
        pairs = [a / q for a, q in zip(figures["abused"]["values"], figures["quiet"]["values"])]
        ratio = figures["ratio"]
        assert ratio["pairs"] == len(pairs) > 1
        assert ratio["mean"] == pytest.approx(sum(pairs) / len(pairs))
        assert ratio["low"] < ratio["mean"] < ratio["high"]
        assert figures["bar"]["passed"] == (ratio["mean"] >= 0.99)


def test_telemetry_wants_two_cpus(tmp_path):
    status, _, stderr = bench(tmp_path, "telemetry", "--cores", harness.cpus()[0],
                              build=Path(harness.program() or tmp_path / "a/b").parents[1])
    assert status == 2 and "expected two, one of them for the worker alone" in stderr


def test_warnings_are_those_of_the_doctor():
    """Of the checks that concern a measurement, all that are amiss with the CPUs used."""
    code = ("import sys; sys.path.insert(0, sys.argv[1])\n"
            "from benchlib.environment import Disturbance\n"
            "print('\\n'.join(Disturbance().warnings({'used': [0]})))")
    scripts = harness.ROOT / "scripts"
    told = subprocess.run([sys.executable, "-c", code, scripts], capture_output=True, text=True,
                          check=True).stdout.splitlines()
    names = "hugepages,isolation,governor,turbo,smt,irqs,numa,clock"
    done = subprocess.run([sys.executable, scripts / "doctor", "--cores", "0", "--only", names,
                           "--json"], capture_output=True, text=True, check=False)
    expected = [finding["text"] for finding in json.loads(done.stdout)["findings"]
                if finding["level"] != "ok"]
    assert told[:len(expected)] == expected
