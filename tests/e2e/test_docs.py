# SPDX-License-Identifier: BSD-3-Clause
"""The documents against the program and the tree. Needs DIP_BINARY where the program has a say."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import samples

pytestmark = pytest.mark.tool

ROOT = Path(__file__).resolve().parents[2]
MANUAL = ROOT / "docs/man/dma-image-processor.8"
PROFILES = ["default", "maxpaced", "noloop", "unpaced"]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("config/*.md"), *ROOT.glob("docs/**/*.md")])
SCRIPTS = sorted(path.name for path in ROOT.glob("scripts/*")
                 if path.is_file() and path.name != "meson.build")


@pytest.fixture(name="binary")
def program():
    """The program under test."""
    path = os.environ.get("DIP_BINARY")
    if not path:
        pytest.skip("DIP_BINARY does not name the program; set it to build/app/dma-image-processor")
    return os.path.abspath(path)


def run(*command, **kwargs):
    """The finished process."""
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False,
                          timeout=120, **kwargs)


def gen_docs(binary, *args):
    return run(sys.executable, ROOT / "scripts/gen-docs", "--program", binary, *args)


def test_generated_parts_are_up_to_date(binary):
    done = gen_docs(binary, "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name, old, new", [
    ("config/README.md", "frame buffers in hugepage memory", "some buffers"),
    ("docs/man/dma-image-processor.8", ".It Va main.slabs No = 128", ".It Va main.slabs No = 127"),
    ("docs/metrics.md", "| `dma_missed` | frames", "| `dma_mised` | frames"),
    ("scripts/dipmetrics.py", '("dma_missed", "frames"', '("dma_missed", "frame"'),
    ("docs/metrics.md", "| `dip_dma_missed_frames_total` |", "| `dip_dma_missed_total` |"),
    ("docs/sources.md", "| `width` | whole number | `300`", "| `width` | whole number | `200`"),
    ("docs/man/dip-bench.1", ".It Fl Fl repeat Ar N", ".It Fl Fl again Ar N"),
])
def test_a_stale_document_is_found_and_mended(binary, tmp_path, name, old, new):
    for path in ["config/README.md", "docs/man/dma-image-processor.8", "docs/metrics.md",
                 "docs/sources.md", "scripts/dipmetrics.py", "docs/man/dip-bench.1",
                 "docs/man/dip-fuzz.1", "docs/man/dip-gen-docs.1", "docs/man/dip-prove.1"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new), encoding="utf-8")
    done = gen_docs(binary, "--check", "--root", tmp_path)
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert any(line.startswith("-") and new in line for line in lines)
    assert any(line.startswith("+") and old in line for line in lines)
    assert gen_docs(binary, "--root", tmp_path).returncode == 0
    assert (tmp_path / name).read_text(encoding="utf-8") == text
    assert gen_docs(binary, "--check", "--root", tmp_path).returncode == 0


def test_gen_docs_says_what_is_missing(binary, tmp_path):
    done = gen_docs(tmp_path / "none", "--check")
    assert done.returncode == 2 and "cannot be run: No such file or directory" in done.stderr
    done = gen_docs(binary, "--root", tmp_path)
    assert done.returncode == 2 and "README.md: cannot be read" in done.stderr
    (tmp_path / "config").mkdir()
    (tmp_path / "config/README.md").write_text("nothing\n", encoding="utf-8")
    done = gen_docs(binary, "--root", tmp_path)
    assert done.returncode == 2 and "expected the lines" in done.stderr


def test_the_reference_is_what_the_program_prints(binary):
    """Not by way of gen-docs, which could be wrong on both sides."""
    listed = run(binary, "--list-options").stdout
    assert listed.count("| `") > 40
    assert listed.rstrip("\n") in (ROOT / "config/README.md").read_text(encoding="utf-8")
    manual = MANUAL.read_text(encoding="utf-8")
    group = ""
    for line in listed.splitlines():
        if line.startswith("## "):
            group = line[3:]
        elif line.startswith("| `"):
            assert f".It Va {group}.{line.split('`')[1]} No = " in manual


@pytest.mark.parametrize("name", PROFILES)
def test_profile_is_accepted(binary, name):
    done = run(binary, "-c", ROOT / f"config/{name}.cfg", "--check-config")
    assert (done.returncode, done.stderr) == (0, "")


def value(binary, profile, key):
    """One effective value under a profile, as text."""
    printed = run(binary, "-c", ROOT / f"config/{profile}.cfg", "--check-config").stdout
    group, name = key.split(".")
    body = re.search(rf"^{group} = {{\n(.*?)^}};", printed, re.DOTALL | re.MULTILINE).group(1)
    return re.search(rf"^\t{name} = ([^;]*);", body, re.MULTILINE).group(1)


@pytest.mark.parametrize("profile, key, expected", [
    ("default", "main.image_w", "300"), ("default", "main.image_h", "300"),
    ("default", "main.slabs", "128"), ("default", "main.fps", "1000.0"),
    ("default", "main.nth_archive", "5"), ("default", "pois.max_k", "1000"),
    ("default", "main.drain_queues", "true"), ("default", "proc.interval_print", "37"),
    ("default", "arch.arch_output_dir", '"archive"'),
    ("default", "proc.proc_output_dir", '"results"'),
    ("maxpaced", "main.fps", "150000.0"), ("maxpaced", "main.slabs", "4096"),
    ("maxpaced", "dma.pace_frames", "true"), ("maxpaced", "main.nth_archive", "5"),
    ("maxpaced", "proc.worker_threads", "16"), ("maxpaced", "arch.make_index", "false"),
    ("maxpaced", "arch.use_io_uring", "true"), ("maxpaced", "arch.uring_qd", "64"),
    ("maxpaced", "arch.max_inflight", "32"), ("maxpaced", "arch.segment_bytes", "4294967296L"),
    ("unpaced", "main.slabs", "2048"), ("unpaced", "dma.pace_frames", "false"),
    ("unpaced", "dma.loop_frames", "true"), ("unpaced", "arch.use_io_uring", "true"),
    ("noloop", "main.slabs", "2048"), ("noloop", "dma.pace_frames", "false"),
    ("noloop", "dma.loop_frames", "false"),
])
def test_profile_says(binary, profile, key, expected):
    assert value(binary, profile, key) == expected


def test_the_default_profile_names_every_key_of_the_original():
    keys = ("image_w image_h frame_bytes slabs fps nth_archive drain_queues row_start col_start "
            "row_end col_end roi_w roi_h lambda_occ lambda_empty fp_target max_k pace_frames "
            "cpu_affinity thread_nice loop_frames worker_threads print_stdout interval_print "
            "proc_output_dir segment_bytes io_buffer_bytes make_index use_io_uring direct_io "
            "uring_qd max_inflight block_bytes arch_output_dir arch_output_prefix").split()
    text = (ROOT / "config/default.cfg").read_text(encoding="utf-8")
    assert re.findall(r"^\t(\w+) = ", text, re.MULTILINE) == keys


def test_every_option_is_in_the_manual(binary):
    manual = MANUAL.read_text(encoding="utf-8")
    usage = run(binary, "--help").stdout
    options = re.findall(r"^ +(?:-(\w), )? *--([a-z-]+)", usage, re.MULTILINE)
    assert len(options) >= 10
    for short, name in options:
        assert re.search(rf"^\.It .*Fl Fl {name}\b", manual, re.MULTILINE), name
        assert not short or re.search(rf"^\.It Fl {short}\b", manual, re.MULTILINE), short


def test_every_telemetry_command_is_in_the_manual():
    source = (ROOT / "app/telemetry.c").read_text(encoding="utf-8")
    commands = re.findall(r'"(/dip/\w+)"', source)
    manual = MANUAL.read_text(encoding="utf-8")
    assert len(commands) >= 7
    for command in commands:
        assert re.search(rf"^\.It Li {command}\b", manual, re.MULTILINE), command


def test_every_driver_is_told(binary):
    listed = run(binary, "--list-drivers").stdout
    names = re.findall(r"^  ([a-z_, ]+?)(?: [a-z_]+=.*)?$", listed, re.MULTILINE)
    assert "dma_file" in names
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in names:
        for word in name.split(", "):
            assert re.search(rf"\b{word}\b", text), word


def test_every_metric_is_told(binary, tmp_path):
    frames = tmp_path / "frames.npy"
    np.save(frames, np.zeros((3, 16, 16), dtype="<u2"))
    done = run(binary, "--report", "json", "-s", "dma.loop_frames=false", "-s", "main.slabs=4",
               "-s", "pois.row_start=0", "-s", "pois.col_start=0", "-s", "pois.row_end=10",
               "-s", "pois.col_end=10", frames, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+)` \|", text.split("## Lcores")[0], re.MULTILINE))
    report = json.loads(done.stdout)
    counted = set(report["stats"])
    assert counted - told == set()
    accounts = {"device", "proc", "arch", "results"}
    assert told - counted == accounts and set(report["ledger"]) == accounts
    for account in report["ledger"].values():
        for term in set(account) - {"in_flight", "imbalance"}:
            assert f"`{term}`" in text, term


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_told(name):
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert re.search(rf"scripts/{re.escape(name)}(?![\w.-])", text)


@pytest.mark.parametrize("page", sorted(MANUAL.parent.iterdir()), ids=lambda page: page.name)
def test_the_manual_has_no_warning(page):
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed; apt-get install mandoc")
    done = run("mandoc", "-T", "lint", "-W", "warning", page)
    assert (done.returncode, done.stdout) == (0, "")


def installed_tools():
    """{script: command} of all that `meson install` makes commands of."""
    text = (ROOT / "scripts/meson.build").read_text(encoding="utf-8")
    names = re.findall(r"'(\w+)'", re.search(r"foreach tool : \[(.*?)\]", text, re.DOTALL).group(1))
    return {"calibrate.py": "dma-image-calibrate", "doctor": "dip-doctor",
            **{f"{name}.py": f"dip-{name}" for name in names}}


def tree_scripts():
    """{script: page} of all others that a user starts: they are run in the tree alone."""
    return {name: f"dip-{name.removesuffix('.py')}" for name in SCRIPTS
            if os.access(ROOT / "scripts" / name, os.X_OK) and name not in installed_tools()}


def test_every_command_has_a_manual_that_is_installed():
    commands = {"dma-image-processor", "dma-image-archive", *installed_tools().values()}
    pages = {path.name.rsplit(".", 1)[0]: path.name for path in MANUAL.parent.iterdir()}
    assert set(pages) == commands | set(tree_scripts().values())
    assert set(re.findall(r"'man/([\w.-]+)'", (ROOT / "docs/meson.build").read_text(
        encoding="utf-8"))) == {pages[command] for command in commands}


def started(script, *args, cwd):
    """The finished script, started as from a folder beside the tree."""
    path = ROOT / "scripts" / script
    with open(path, encoding="utf-8") as file:
        interpreter = [sys.executable] if "python" in file.readline() else []
    return run(*interpreter, os.path.relpath(path, os.path.realpath(cwd)), *args, cwd=cwd,
               env={**os.environ, "COLUMNS": "1000"})


@pytest.mark.parametrize("script", sorted({**installed_tools(), **tree_scripts()}))
def test_every_script_says_how_it_is_used(tmp_path, script):
    done = started(script, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and "usage: " in done.stdout.lower()
    done = started(script, "--nonsense", cwd=tmp_path)
    assert done.returncode == (125 if script == "with-hugepages" else 2) and done.stdout == ""
    # argparse repeats the usage above its line.
    lines = [line for line in done.stderr.splitlines() if not re.match("usage: | ", line)]
    assert len(lines) == 1 and lines[0].startswith(script.removesuffix(".py"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", sorted(tree_scripts()))
def test_the_manual_of_a_script_is_what_it_says_itself(tmp_path, script):
    """The same options, values and names of parts: in the synopsis, and below it."""
    told = started(script, "--help", cwd=tmp_path).stdout
    page = next(MANUAL.parent.glob(tree_scripts()[script] + ".[18]")).read_text(encoding="utf-8")
    usage = re.search("usage: (.*?)(?:   |$)", told, re.MULTILINE | re.IGNORECASE)[1]
    synopsis = re.search(r"^\.Sh SYNOPSIS\n(.*?)^\.Sh", page, re.DOTALL | re.MULTILINE)[1]
    options = set(re.findall(r"--([a-z-]+)", usage))
    assert set(re.findall(r"Fl Fl ([a-z-]+)", synopsis)) == options
    assert set(re.findall(r"^\.It Fl Fl ([a-z-]+)", page, re.MULTILINE)) == options
    choices = re.findall(r"\{(.*?)\}", usage)
    values = set(re.findall(r"\b[A-Z]+\b", usage)) | ({"PART"} if choices else set())
    assert {value.upper() for value in re.findall(r"Ar (\w+)", synopsis)} == values
    listed = re.findall(r"^  ([a-z]+(?:, [a-z]+)*)  ", told, re.MULTILINE)
    named = re.findall(r"^\.It Cm (.*)", page, re.MULTILINE)
    assert set(re.findall(r"\w+", " ".join(choices + listed))) == set(re.findall(
        r"\w+", " ".join(named)))


@pytest.mark.parametrize("script", sorted(installed_tools()))
def test_every_option_of_a_script_is_in_its_manual(script):
    usage = run(sys.executable, ROOT / "scripts" / script, "--help").stdout
    options = set(re.findall(r"(?:^ +|, )(?:-\w [\w:.\[\]|]+, )?--([a-z-]+)", usage,
                             re.MULTILINE)) - {"help"}
    page = next(MANUAL.parent.glob(installed_tools()[script] + ".[18]"))
    told = set(re.findall(r"Fl Fl ([a-z-]+)", "".join(re.findall(
        r"^\.It .*$", page.read_text(encoding="utf-8"), re.MULTILINE))))
    assert options and options == told - {"help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"\w+:", target):
            assert (page.parent / target.split("#")[0]).exists(), target


# The command lines that are shown.

SHOWN = {page.relative_to(ROOT).as_posix(): page for page in [*PAGES, *MANUAL.parent.iterdir()]}


@pytest.fixture(name="judge")
def judge_of_samples(binary, tmp_path):
    return samples.Judge(binary, tmp_path)


@pytest.mark.parametrize("page", sorted(SHOWN))
def test_every_command_line_shown_is_accepted(judge, page):
    find = samples.lines if page.endswith(".md") else samples.manual_lines
    wrong = [f"{page}:{number}: {line}: {complaint}"
             for number, line in find(SHOWN[page].read_text(encoding="utf-8"))
             for complaint in judge.line(line)]
    assert wrong == []


def test_command_lines_are_found():
    """All of them: fenced, indented, continued, in a span, with something before and behind."""
    text = """
See `scripts/top.py --once`, `scripts/top.py` and `main.fps`.

    $ scripts/size.py 300 300 1000
    lcores 2
    build/app/dma-image-processor -l 0 -- \\
        --device dma_sim0 5   # five seconds

```sh
CC=clang scripts/build build-clang && taskset -c 1 dma-image-processor images
```
"""
    found = samples.lines(text)
    assert [number for number, _ in found] == [2, 4, 6, 10]
    assert [samples.commands(line) for _, line in found] == [
        [["scripts/top.py", "--once"]], [["scripts/size.py", "300", "300", "1000"]],
        [["build/app/dma-image-processor", "-l", "0", "--", "--device", "dma_sim0", "5"]],
        [["scripts/build", "build-clang"], ["dma-image-processor", "images"]]]
    assert samples.manual_lines(".Bd -literal\ndip\\-top \\-\\-once\n.Ed\ndip-top\n") == [
        (2, "dip-top --once")]
    shown = [line for page in PAGES for _, line in samples.lines(page.read_text(encoding="utf-8"))]
    assert len(shown) > 60


@pytest.mark.parametrize("line, complaint", [
    ("dma-image-processor -s main.fpss=3 images", "did you mean main.fps"),
    ("dma-image-processor -s main.fps=fast images", "main.fps"),
    ("dma-image-processor --devices dma_sim0", "--devices"),
    ("dma-image-processor --device dma_sim0,photns=12 5", "photns"),
    ("dma-image-processor -l 0 --vdev=dma_sim0,photns=12 -- --device dma_sim0 5", "photns"),
    ("dma-image-processor -l 0 --no-hugepages -- images", "EAL has no option --no-hugepages"),
    ("dma-image-processor -c config/defaults.cfg images", "config/defaults.cfg"),
    ("dma-image-processor -c FILE --cheque-config", "no option --cheque-config"),
    ("dma-image-processor picture 5", "picture"),
    ("--device 'dma_sim0,faults=lots@100'", "faults"),
    ("dma-image-archive repair RUN", "no command repair"),
    ("dma-image-archive verify --nonsense RUN", "no option --nonsense"),
    ("scripts/size.py 1 1 1 --archives 1", "no option --archives"),
    ("scripts/sizes.py 1 1 1", "not there"),
    ("dip-sizes 1 1 1", "not there"),
    ("scripts/size.py W H FPS [--archives N]", "no option --archives"),
    ("scripts/bench pipelines", "knows no pipelines"),
    ("scripts/test --long everything", "knows no everything"),
    ("scripts/with-hugepages 512 scripts/test --on huge", "no option --on"),
    ("CC=clang scripts/build build-fuzz -Dfuss=true", "no option fuss"),
    ("meson setup build -Dtest=false && meson compile -C build", "no option test"),
    ("apt-get install libdpdk-devel", "installs no libdpdk-devel"),
    ("build/tests/unit/test_nothing", "not there"),
    ("taskset -c 1 dma-image-processor -s main.fpss=3 images", "main.fps"),
])
def test_a_wrong_command_line_is_seen(judge, line, complaint):
    assert complaint in " ".join(judge.line(line))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_keys_and_files_named_are_there(binary, page):
    group, keys = "", set()
    for line in run(binary, "--list-options").stdout.splitlines():
        group = line[3:] if line.startswith("## ") else group
        keys |= {f"{group}.{name}" for name in re.findall(r"^\| `(\w+)`", line)}
    groups = "|".join({key.split(".")[0] for key in keys})
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(rf"`((?:{groups})\.[a-z]\w+)(?=[`= ])", text))
    assert named - keys == set()
    folders = "app|config|docs|drivers|lib|scripts|tests"
    files = set(re.findall(rf"`((?:{folders})/[\w./-]+)`", text)) - {"lib/systemd/system"}
    assert {file for file in files if not (ROOT / file).exists()} == set()
