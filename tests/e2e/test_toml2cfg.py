# SPDX-License-Identifier: BSD-3-Clause
"""scripts/toml2cfg.py: its text, its errors, and, with DIP_BINARY set, that the program takes
what it writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.tool

TOOL = Path(__file__).resolve().parents[2] / "scripts" / "toml2cfg.py"

FULL_TOML = """\
# Every key of the original, some in upper case.
[MAIN]
IMAGE_W = 300
image_h = 300
frame_bytes = 180_000
slabs = 1024
FPS = 20.0
nth_archive = 1
drain_queues = true
[pois]
row_start = 50
col_start = 50
row_end = 250
col_end = 250
roi_w = 10
roi_h = 10
lambda_occ = 10.0
lambda_empty = 0.5
fp_target = 1e-3
max_k = 0x40
[dma]
pace_frames = true
cpu_affinity = -1
thread_nice = 0
loop_frames = false
[Proc]
worker_threads = 1
print_stdout = false
interval_print = 100
proc_output_dir = "/tmp/results of today"
[arch]
segment_bytes = 4294967296
io_buffer_bytes = 1073741824
make_index = true
use_io_uring = true
direct_io = false
uring_qd = 64
max_inflight = 32
block_bytes = 4096
arch_output_dir = 'C:\\new "one"'
arch_output_prefix = "pr\\tefix\\u007f\\u00e9"
"""

FULL_CFG = """\
main = {
	image_w = 300;
	image_h = 300;
	frame_bytes = 180000;
	slabs = 1024;
	fps = 20.0;
	nth_archive = 1;
	drain_queues = true;
};

pois = {
	row_start = 50;
	col_start = 50;
	row_end = 250;
	col_end = 250;
	roi_w = 10;
	roi_h = 10;
	lambda_occ = 10.0;
	lambda_empty = 0.5;
	fp_target = 0.001;
	max_k = 64;
};

dma = {
	pace_frames = true;
	cpu_affinity = -1;
	thread_nice = 0;
	loop_frames = false;
};

proc = {
	worker_threads = 1;
	print_stdout = false;
	interval_print = 100;
	proc_output_dir = "/tmp/results of today";
};

arch = {
	segment_bytes = 4294967296L;
	io_buffer_bytes = 1073741824;
	make_index = true;
	use_io_uring = true;
	direct_io = false;
	uring_qd = 64;
	max_inflight = 32;
	block_bytes = 4096;
	arch_output_dir = "C:\\\\new \\"one\\"";
	arch_output_prefix = "pr\\x09efix\\x7fé";
};
"""


def run(*args, **kwargs):
    """The tool's exit status, stdout and stderr; never a traceback."""
    done = subprocess.run([sys.executable, TOOL, *map(str, args)], check=False, timeout=60,
                          stderr=subprocess.PIPE, **{"stdout": subprocess.PIPE, **kwargs})
    error = done.stderr.decode()
    assert "Traceback" not in error
    return done.returncode, (done.stdout or b"").decode(), error


def toml(folder, text):
    """A TOML file with this text, or these bytes."""
    path = folder / "in.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_key_to_stdout_and_to_a_file(tmp_path):
    source = toml(tmp_path, FULL_TOML)
    assert run(source) == (0, FULL_CFG, "")
    out = tmp_path / "out.cfg"
    assert run(source, out) == (0, "", "")
    assert out.read_text(encoding="utf-8") == FULL_CFG
    assert run(toml(tmp_path, "")) == (0, "", "")


@pytest.mark.parametrize("value, text", [
    ("2147483647", "2147483647"), ("2147483648", "2147483648L"), ("-2147483648", "-2147483648"),
    ("-2147483649", "-2147483649L"), ("9223372036854775807", "9223372036854775807L"),
    ("-9223372036854775808", "-9223372036854775808L"), ("0xFFFFFFFF", "4294967295L"),
    ("1.0", "1.0"), ("100000000000000000000.0", "1e+20"), ("-0.0", "-0.0"), ("5e-324", "5e-324"),
    ("0.1", "0.1"), ("false", "false"), ('""', '""'), ('"""a\nb"""', '"a\\x0ab"'),
])
def test_value(tmp_path, value, text):
    source = toml(tmp_path, f"main.fps = {value}")
    assert run(source) == (0, f"main = {{\n\tfps = {text};\n}};\n", "")


@pytest.mark.parametrize("text, error", [
    ("main.fps = [1, 2]", "main.fps = [1, 2]: found an array; expected a number, a string, true or "
     "false"),
    ("main.fps = {a = 1}", "main.fps = {'a': 1}: found a table; expected a number, a string, true "
     "or false"),
    ("main.fps = 2024-01-01", "main.fps = datetime.date(2024, 1, 1): found a date or time; "
     "expected a number, a string, true or false"),
    ("main.fps = 9223372036854775808", "main.fps = 9223372036854775808: beyond 64 bits; expected "
     "a whole number from -9223372036854775808 to 9223372036854775807"),
    ("main.fps = nan", "main.fps = nan: expected a finite number"),
    ("main.fps = -inf", "main.fps = -inf: expected a finite number"),
    ('arch.arch_output_dir = "a\\u0000b"', "arch.arch_output_dir: a string with a NUL character; "
     "libconfig cannot hold it"),
    ("main = 5", "main = 5: not a table; expected [main] and keys below it"),
    ("[main]\nfps = 5\nFPS = 6", "main.fps: found twice, in upper and lower case; expected it "
     "once"),
    ("[main]\n[Main]", "main: found twice, in upper and lower case; expected it once"),
    ("[main]\nfps = \n", "not TOML: Invalid value (at line 2, column 7)"),
    (b"[main]\nfps = '\xff'", "not UTF-8 at byte 14; expected a TOML file"),
    ("[main]\nfsp = 1\n[extra]\na = 1\n[dma]\nfps = 2\n[pois]\nzzzzzz = 1",
     "unknown: main.fsp (did you mean main.fps?), extra, dma.fps (did you mean main.fps?), "
     "pois.zzzzzz; correct them, or keep them as comments with --keep-unknown"),
    ("fps = 1", "unknown: fps (did you mean main.fps?); correct them, or keep them as comments "
     "with --keep-unknown"),
    ("[MAIN]\nFSP = 1", "unknown: MAIN.FSP (did you mean main.fps?); correct them, or keep them as "
     "comments with --keep-unknown"),
    ("[mian]", "unknown: mian (did you mean main?); correct them, or keep them as comments with "
     "--keep-unknown"),
])
def test_refused(tmp_path, text, error):
    source, out = toml(tmp_path, text), tmp_path / "out.cfg"
    assert run(source, out) == (2, "", f"toml2cfg.py: {source}: {error}\n")
    assert not out.exists()


def test_keep_unknown(tmp_path):
    source = toml(tmp_path, '[main]\nfps = 5\nfsp = "a\\nb"\n["ex\\ntra"]\na = [1]\n')
    assert run("--keep-unknown", source) == (
        0, "main = {\n\tfps = 5;\n};\n\n# Not known to dma-image-processor:\n"
        "# main.fsp = 'a\\nb'\n# ex\\ntra = {'a': [1]}\n", "")


def test_a_key_that_did_nothing_is_dropped(tmp_path):
    assert run(toml(tmp_path, "[main]\nFPS = 5\nFRAME_PERIOD = 1000\nslabs = 8\n")) == (
        0, "main = {\n\tfps = 5;\n\t# frame_period = 1000: dropped, it did nothing; the rate is "
        "main.fps\n\tslabs = 8;\n};\n", "")
    # A comment ends with its line, whatever the value.
    _, text, _ = run(toml(tmp_path, "[main]\nframe_period = 'a'\n"))
    _, tricky, _ = run(toml(tmp_path, '[main]\nframe_period = "a\\nfps = 1;"\n'))
    assert text.count("\n") == tricky.count("\n")
    # Only there: elsewhere it is unknown, and twice is once too often.
    assert "unknown: dma.FRAME_PERIOD" in run(toml(tmp_path, "[dma]\nFRAME_PERIOD = 1\n"))[2]
    assert "main.frame_period: found twice" in run(
        toml(tmp_path, "[main]\nFRAME_PERIOD = 1\nframe_period = 2\n"))[2]


def test_files_that_cannot_be_used(tmp_path):
    missing = tmp_path / "none.toml"
    assert run(missing) == (2, "", f"toml2cfg.py: {missing}: cannot be read: No such file or "
                            "directory; expected a TOML file\n")
    status, _, error = run(tmp_path)
    assert status == 2 and "Is a directory" in error
    source = toml(tmp_path, "main.fps = 5")
    assert run(source, tmp_path / "no" / "out.cfg") == (
        1, "", f"toml2cfg.py: {tmp_path}/no/out.cfg: cannot be written: No such file or "
        "directory\n")
    assert run(source, source) == (
        2, "", f"toml2cfg.py: {source}: is the input; expected another file to write to\n")
    assert source.read_text(encoding="utf-8") == "main.fps = 5"
    with open("/dev/full", "wb") as full:
        assert run(source, stdout=full) == (
            1, "", "toml2cfg.py: stdout: cannot be written: No space left on device\n")


def test_usage():
    status, text, _ = run("--help")
    assert status == 0 and "--keep-unknown" in text and "IN.toml" in text
    assert run()[0] == 2
    assert run("a", "b", "c")[0] == 2


def test_the_program_takes_it(tmp_path):
    binary = os.environ.get("DIP_BINARY")
    if not binary:
        pytest.skip("DIP_BINARY does not name the program, so nothing can check its file")
    out = tmp_path / "out.cfg"
    source = toml(tmp_path, FULL_TOML.replace("FPS", "FRAME_PERIOD = 50000\nFPS"))
    assert run(source, out)[0] == 0
    done = subprocess.run([binary, "-c", out, "--check-config"], capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "segment_bytes = 4294967296L;" in done.stdout
