# SPDX-License-Identifier: BSD-3-Clause
"""Wrong usage, configuration or input: exit status 2, one clear line that names the file or key,
what was found and what was expected, and nothing is made."""

import ctypes
import os
import re
import struct

import numpy as np
import pytest

import harness

GOOD = np.zeros((16, 16), "<u2")
SMALL = {"pois.row_start": 0, "pois.col_start": 0, "pois.row_end": 16, "pois.col_end": 16,
         "pois.roi_w": 4, "pois.roi_h": 4}
# What EAL and we say before anything is examined.
TOLERATED = re.compile(r"dma-image-processor: EAL arguments chosen|TELEMETRY|EAL:")


def refuse(dip, words, *args, **kwargs):
    """Run, and expect the refusal: one line that has all the words. args, kwargs: of Launcher."""
    run = dip.start(*args, **kwargs).finish()
    lines = [line for line in run.stderr.splitlines() if not TOLERATED.match(line)]
    assert run.status == 2, f"exit {run.status}:\n{run.stderr}"
    assert run.stdout == ""
    assert len(lines) == 1, f"expected one line:\n{run.stderr}"
    for word in words:
        assert word in lines[0], f"{word!r} is not in: {lines[0]}"
    for folder in ("archive", "results"):
        assert not (dip.folder / folder).exists(), f"{folder} was made"


def npy(descr="'<u2'", order="False", shape="(16, 16)", data=bytes(512), version=1, length=None,
        text=None):
    """An npy file as its author wanted it, true or not."""
    text = text or f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    head = text.encode("latin1").ljust(117) + b"\n"
    size = len(head) if length is None else length
    return (b"\x93NUMPY" + bytes([version, 0]) +
            struct.pack("<H" if version == 1 else "<I", size) + head + data)


NPY_FILES = {
    "empty file": (b"", ["empty"]),
    "no npy": (b"P5 16 16 65535\n" + bytes(512), ["not an .npy file"]),
    "cut in the magic": (b"\x93NUM", ["found 4 bytes"]),
    "cut in the header": (npy()[:40], ["found 40 bytes", "expected"]),
    "cut in the data": (npy()[:-1], ["found 511", "expected 512"]),
    "no data": (npy(data=b""), ["found 0", "expected 512"]),
    "too much data": (npy(data=bytes(513)), ["found 513", "expected 512"]),
    "float16": (npy(descr="'<f2'"), ["<f2", "<u2"]),
    "float64": (npy(descr="'<f8'", data=bytes(2048)), ["<f8", "<u2"]),
    "int32": (npy(descr="'<i4'", data=bytes(1024)), ["<i4", "<u2"]),
    "int8": (npy(descr="'|i1'", data=bytes(256)), ["|i1", "<u2"]),
    "a structure": (npy(descr="[('a', '<u2')]"), ["structured", "<u2"]),
    "an object": (npy(descr="'|O'"), ["|O", "<u2"]),
    "1-D": (npy(shape="(256,)"), ["(256,)", "1-D", "(H, W)"]),
    "0-D": (npy(shape="()", data=bytes(2)), ["()", "0-D", "(H, W)"]),
    "4-D": (npy(shape="(1, 1, 16, 16)"), ["4-D", "(H, W)"]),
    "no frames": (npy(shape="(0, 16, 16)", data=b""), ["(0, 16, 16)", "expected"]),
    "no rows": (npy(shape="(0, 16)", data=b""), ["(0, 16)", "expected"]),
    "a shape beyond the file": (npy(shape="(4096, 16, 16)"), ["found 512", "expected 2097152"]),
    "an overflowing shape": (npy(shape="(72057594037927936, 16, 16)"), ["overflows", "2^64"]),
    "a product that wraps to the truth": (
        npy(shape="(36028797018963969, 16, 16)"), ["overflows", "2^64"]),
    "a dimension beyond 64 bits": (npy(shape="(99999999999999999999, 16)"), ["2^64"]),
    "a negative dimension": (npy(shape="(-16, -16)"), ["-16", "expected"]),
    "a header longer than the file": (npy(length=60000), ["header", "60010"]),
    "a header of 4 GiB": (npy(version=2, length=0xffffffff), ["4294967295", "expected"]),
    "version 9": (npy(version=9), ["version 9.0", "1.0"]),
    "no dict": (npy(text="import os"), ["dict"]),
    "no order": (npy(text="{'descr': '<u2', 'shape': (16, 16), }"), ["fortran_order"]),
}


@pytest.mark.parametrize("where", ["single", "folder", "second"])
@pytest.mark.parametrize("kind", NPY_FILES)
def test_files_that_are_no_frames(dip, tmp_path, kind, where):
    """By itself, in a folder, and behind a good one."""
    data, words = NPY_FILES[kind]
    folder = tmp_path / "frames"
    folder.mkdir()
    if where == "second":
        np.save(folder / "a.npy", GOOD)
    (folder / "bad.npy").write_bytes(data)
    refuse(dip, ["bad.npy", *words], folder / "bad.npy" if where == "single" else folder,
           1, sets=SMALL)


@pytest.mark.parametrize("kind", ["<i2", ">i2"])
def test_negative_pixel(dip, tmp_path, kind):
    frames = np.zeros((3, 16, 16), kind)
    frames[1, 2, 5] = -7
    np.save(tmp_path / "stack.npy", frames)
    refuse(dip, ["stack.npy", "-7", "expected"], tmp_path / "stack.npy", 1, sets=SMALL)


def test_shapes_that_differ(dip, tmp_path):
    np.save(tmp_path / "a.npy", GOOD)
    np.save(tmp_path / "b.npy", np.zeros((16, 17), "<u2"))
    refuse(dip, ["b.npy", "16x17", "a.npy", "16x16"], tmp_path, 1, sets=SMALL)


def test_frames_too_large(dip, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 9000), "<u2"))
    refuse(dip, ["9000", "8192"], tmp_path, 1)


def test_missing_folder(dip, tmp_path):
    refuse(dip, [str(tmp_path / "none"), "No such file", "expected"], tmp_path / "none", 1)


def test_empty_folder(dip, tmp_path):
    (tmp_path / "frames").mkdir()
    refuse(dip, [str(tmp_path / "frames"), "no .npy file", "expected"], tmp_path / "frames", 1)


def _obey_file_modes():
    """Drop what lets root pass by them (capabilities(7)); others have no such right to drop."""
    drop, dac_override, dac_read_search = 24, 1, 2  # PR_CAPBSET_DROP
    libc = ctypes.CDLL(None)
    for capability in (dac_override, dac_read_search):
        libc.prctl(drop, capability, 0, 0, 0)


def test_unreadable_folder(dip, tmp_path):
    """Root reads everything, unless it gives that right up."""
    folder = tmp_path / "frames"
    folder.mkdir()
    np.save(folder / "a.npy", GOOD)
    folder.chmod(0)
    refuse(dip, [str(folder), "Permission denied"], folder, 1,
           options={"preexec_fn": _obey_file_modes})


@pytest.mark.parametrize("kind", ["a FIFO", "a device"])
def test_what_is_no_file(dip, tmp_path, kind):
    """Not opened, not waited for."""
    path = tmp_path / "frames.npy"
    if kind == "a FIFO":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    refuse(dip, ["frames.npy", "not a regular file"], path, 1)


# The setting, and what the line must have beside the key.
SETTINGS = [
    ("pois.row_end", 400, ["400", "frame"]), ("pois.col_end", 301, ["301", "frame"]),
    ("pois.row_start", 300, ["300", "299"]), ("pois.col_start", 8192, ["8192", "299"]),
    ("pois.row_end", 50, ["50", "row_start"]), ("pois.col_end", 10, ["10", "col_start"]),
    ("pois.roi_w", 0, ["0", "1"]), ("pois.roi_h", 0, ["0", "1"]), ("pois.roi_w", -3, ["-3", "1"]),
    ("pois.roi_h", 301, ["301", "300"]), ("pois.row_start", -1, ["-1", "0"]),
    ("main.fps", 0, ["0"]), ("main.fps", -5, ["-5", "0"]), ("main.fps", "NaN", ["NaN"]),
    ("main.slabs", 0, ["0", "2"]), ("main.slabs", 1, ["1", "2"]), ("main.slabs", -1, ["-1", "2"]),
    ("main.slabs", 100001, ["100001", "100000"]), ("main.nth_archive", -1, ["-1", "0"]),
    ("pois.lambda_occ", 0.5, ["0.5", "lambda_empty"]),
    ("pois.lambda_occ", 0.25, ["0.25", "lambda_empty"]),
    ("pois.lambda_occ", -1, ["-1"]), ("pois.lambda_empty", -1, ["-1"]),
    ("pois.lambda_occ", "nan", ["nan"]), ("pois.lambda_empty", 10, ["10", "lambda_occ"]),
    ("pois.fp_target", 0, ["0"]), ("pois.fp_target", 1.5, ["1.5", "1"]),
    ("pois.max_k", 4, ["4", "5"]), ("pois.max_k", 0, ["0", "1"]),
    ("main.image_w", 299, ["299", "300"]), ("main.image_h", 301, ["301", "300"]),
    ("main.frame_bytes", 1000, ["1000", "180000"]),
    ("main.overrun", "dropp", ["dropp", "drop", "block", "overwrite"]),
    ("main.overrun", "overwritten", ["overwritten", "drop, block, overwrite"]),
    ("main.overun", "drop", ["main.overrun"]),
    ("man.fps", 1, ["man", "main"]), ("main.slabs", "many", ["many"]),
    ("main.slabs", '"128"', ["string"]), ("main.slabs", 12.5, ["fraction"]),
    ("main.drain_queues", 1, ["true or false"]),
    ("main.slabs", "99999999999999999999", ["main.slabs"]),
    ("arch.block_bytes", 1000, ["1000", "512"]), ("arch.block_bytes", 8192, ["8192", "4096"]),
    ("arch.segment_bytes", 0, ["0", "4096"]), ("arch.uring_qd", 0, ["0", "1"]),
    ("arch.format", "tiff", ["tiff", "npy", "raw"]), ("arch.arch_output_prefix", "a/b", ["a/b"]),
    ("arch.arch_output_prefix", '""', ["arch.arch_output_prefix"]),
    ("proc.ring_size", 0, ["0", "1"]), ("proc.interval_print", 0, ["0", "1"]),
    ("proc.detector", "pitch", ["pitch", "patch"]), ("proc.kernel", "mmx", ["mmx", "scalar"]),
    ("dma.thread_nice", 20, ["20", "19"]), ("dma.cpu_affinity", 1023, ["1023"]),
]


@pytest.mark.parametrize("key,value,words", SETTINGS, ids=lambda v: str(v)[:24])
def test_settings(dip, samples, key, value, words):
    """On the command line."""
    refuse(dip, [key.split(".")[1] if key != "man.fps" else "man", *words], samples, 1,
           sets={key: value})


CONFIGS = {
    "unknown key": ("main = {\n fps = 5.0;\n nth_archiv = 1;\n};\n",
                    [":3", "nth_archiv", "nth_archive"]),
    "unknown group": ("mane = { };\n", [":1", "mane", "main"]),
    "wrong type": ("main = {\n\n slabs = \"128\";\n};\n", [":3", "slabs", "string", "number"]),
    "out of range": ("main = {\n slabs = 1;\n};\n", [":2", "slabs", "2", "100000"]),
    "syntax": ("main = {\n fps = = 5;\n};\n", [":2"]),
    "not closed": ("main = {\n fps = 5.0;\n", ["bad.cfg"]),
    "not even text": ("\x00\x01\x02", ["bad.cfg"]),
    "twice": ("main = {\n fps = 5.0;\n fps = 6.0;\n};\n", [":3"]),
    "no group": ("main = 5;\n", [":1", "main"]),
    "included file missing": ('@include "none.cfg"\n', ["none.cfg"]),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_configuration_files(dip, samples, kind):
    """With the file and the line."""
    text, words = CONFIGS[kind]
    (dip.folder / "bad.cfg").write_text(text)
    refuse(dip, ["bad.cfg", *words] if kind != "included file missing" else words, samples, 1,
           extra=["-c", "bad.cfg"])


@pytest.mark.parametrize("arguments,words", [
    (["-c", "none.cfg"], ["none.cfg", "No such file"]), (["-c", "."], ["."]),
    (["--confg", "x"], ["--confg"]), (["-x"], ["-x"]), (["-xc"], ["option -x"]),
    (["-c"], ["-c", "value"]),
    (["--report", "xml"], ["xml", "json"]), (["--stats-interval", "often"], ["often"]),
    (["--stats-interval", "-1"], ["-1"]), (["-s", "main.fps"], ["main.fps"]),
    (["-s", "fps=3"], ["fps"]), (["-s", "main.fps="], ["main.fps"]),
    (["5", "6"], ['"6"', "one too many"]), (["abc"], ["run_seconds", '"abc"', "number"]),
    (["5s"], ["run_seconds", '"5s"', "number"]), ([""], ["run_seconds", '""', "number"]),
    (["nan"], ["run_seconds", '"nan"', "number"]), (["inf"], ["run_seconds", '"inf"', "number"]),
    (["x" * 2000], ["run_seconds", "...", "expected a number"]),
    (["1e300"], ["run_seconds", '"1e300"', "number"]), (["-1"], ["-1"])],
    ids=lambda v: "_".join(v)[:24])
def test_arguments(dip, samples, arguments, words):
    refuse(dip, words, argv=[harness.program(), str(samples), *arguments])


def test_no_source(dip):
    refuse(dip, ["no source", "--device"], argv=[harness.program()])


@pytest.mark.parametrize("key", ["arch.arch_output_dir", "proc.proc_output_dir"])
@pytest.mark.parametrize("kind", ["below a file", "a file", "empty", "too long", "read-only"])
def test_output_folders_that_cannot_be_made(dip, samples, key, kind):
    (dip.folder / "file").write_text("")
    value = {"below a file": "file/deeper", "a file": "file", "empty": '""',
             "too long": "x" * 300, "read-only": "/proc/dip"}[kind]
    found = {"below a file": "Not a directory", "a file": "Not a directory", "empty": '""',
             "too long": "File name too long", "read-only": "No such file"}[kind]
    other = {"arch.arch_output_dir": "results", "proc.proc_output_dir": "archive"}[key]
    refuse(dip, [key, found, "expected"], samples, 1, sets={key: value})
    assert not (dip.folder / other).exists()


@pytest.mark.parametrize("sets,words", [
    ({"lcores.ingest": "9"}, ["lcores.ingest", "9", "does not exist"]),
    ({"lcores.process": "1,77"}, ["lcores.process", "77", "does not exist"]),
    ({"lcores.archive": "1,2"}, ["lcores.archive", "1,2", "one lcore"]),
    ({"lcores.process": "1,1"}, ["lcores.process", "twice"]),
    ({"lcores.process": "2-1"}, ["lcores.process", "2-1"]),
    ({"lcores.process": "one"}, ["lcores.process", "one"]),
    ({"lcores.process": "1,"}, ["lcores.process", "1,"]),
    ({"lcores.ingest": "1,2", "lcores.process": "3"}, ["lcores.process", "lcores.ingest"]),
    ({"lcores.exclusive": "1", "lcores.ingest": "1", "lcores.process": "1"},
     ["lcores.exclusive", "lcore 1", "2 roles"]),
    ({"lcores.exclusive": "3", "lcores.archive": "3", "lcores.results": "3"},
     ["lcores.exclusive", "lcore 3", "2 roles"]),
    ({"lcores.exclusive": "0", "lcores.results": "0"}, ["lcores.exclusive", "lcore 0"]),
    ({"dma.cpu_affinity": 1023}, ["dma.cpu_affinity", "1023"]),
], ids=lambda v: str(v)[:40])
def test_lcores(dip, samples, sets, words):
    refuse(dip, words, samples, 1, sets=sets, eal_args=harness.eal(3))


def test_too_little_memory(dip, samples):
    """The bytes needed, the bytes there are, and what to do; before and after EAL has chosen."""
    refuse(dip, ["main.slabs = 100000", "needs", "found"], samples, 1, sets={"main.slabs": 100000},
           eal_args=["--no-huge", "-m", "64", "--no-shconf", "--no-pci", "--iova-mode=va",
                     "--log-level=lib.eal:warning"])


@pytest.mark.parametrize("vdev,words", [
    ("dma_file0", ["path"]), ("dma_file0,path=/none", ["/none", "expected"]),
    ("dma_null0,width=0", ["width=0", "1"]), ("dma_null0,wide=5", ["wide=5", "width"]),
    ("dma_null0,width=x", ["width=x"])])
def test_device_arguments(dip, vdev, words):
    """EAL adds lines of its own; ours says what is wrong."""
    name = vdev.partition(",")[0]
    run = dip.start(None, 1, device=name, eal_args=harness.eal(2, vdevs=[vdev])).finish()
    assert run.status == 2 and run.stdout == ""
    lines = [line for line in run.stderr.splitlines() if line.startswith(f"{name}:")]
    assert len(lines) == 1, run.stderr
    assert all(word in lines[0] for word in words)
    assert not list(dip.folder.iterdir())
