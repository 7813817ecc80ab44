# SPDX-License-Identifier: BSD-3-Clause
"""dma-image-archive against segments that NumPy builds and that the real program writes, and
against damage of every kind. DIP_ARCHIVE_TOOL names it; else it is where meson puts it, beside
DIP_BINARY."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import harness
from oracle import dipformat

H, W, BLOCK = 3, 5, 128
STRIDE = 128
# The leak checker of an instrumented build does not work under strace.
NO_LSAN = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}


def tool_path():
    """The program under test, or None."""
    path = os.environ.get("DIP_ARCHIVE_TOOL")
    if not path and harness.program():
        path = Path(harness.program()).parent / "archive" / "dma-image-archive"
    return os.path.abspath(path) if path and os.access(path, os.X_OK) else None


pytestmark = pytest.mark.skipif(tool_path() is None, reason="DIP_ARCHIVE_TOOL names no program")


def tool(*args, status=0):
    """Run it; stdout. What it complains about is one line each, under its name."""
    done = subprocess.run([tool_path(), *map(str, args)], capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    lines = done.stderr.splitlines()
    assert all(line.startswith("dma-image-archive: ") for line in lines), done.stderr
    assert bool(lines) == (status != 0), done.stderr
    tool.stderr = done.stderr
    return done.stdout


def make_records(seqs, run_id=77, crc=True, shape=(H, W), stride=STRIDE, seed=1, start=10**18):
    """Good records, by NumPy alone."""
    records = np.zeros(len(seqs), dipformat.record_dtype(*shape, stride))
    rng = np.random.default_rng(seed)
    records["image"] = rng.integers(0, 65536, records["image"].shape)
    records["magic"], records["version"], records["flags"] = dipformat.MAGIC, 1, int(crc)
    records["seq"], records["run_id"] = seqs, run_id
    records["timestamp_ns"] = np.arange(len(seqs)) * 1_000_000 + start
    records["length"] = shape[0] * shape[1] * 2
    if crc:
        rows = records.view(np.uint8).reshape(len(seqs), stride)
        records["crc32c"] = dipformat.crc32c_rows(rows[:, :shape[0] * shape[1] * 2 + 36])
    return records


def make_header(count, shape=(H, W), stride=STRIDE):
    """The header, by NumPy's own description of the dtype."""
    dtype = dipformat.record_dtype(*shape, stride)
    text = f"{{'descr': {dtype.descr!r}, 'fortran_order': False, 'shape': ({count},), }}"
    return b"\x93NUMPY\x01\x00" + (4086).to_bytes(2, "little") + text.ljust(4085).encode() + b"\n"


def index_of(records, stride=STRIDE):
    """The index of a clean run."""
    return "".join(f"{seq} {4096 + i * stride}\n" for i, seq in enumerate(records["seq"])).encode()


def write_segment(path, records, promised=None, tail=b"", index=True):
    """A segment; a killed one promises more than it has."""
    path.write_bytes(make_header(len(records) if promised is None else promised) +
                     records.tobytes() + tail)
    if index:
        path.with_suffix(".idx").write_bytes(index_of(records))
    return path


@pytest.fixture(name="run")
def small_run(tmp_path):
    """Three closed segments, every fifth frame."""
    folder = tmp_path / "run"
    folder.mkdir()
    for i in range(3):
        write_segment(folder / f"frames_{i:06d}.npy",
                      make_records([5 * k for k in range(4 * i, 4 * i + 4)], seed=i))
    return folder


def bytes_of(folder):
    """Every file and its bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_help_and_version():
    assert "recover" in tool("--help") and tool("--version").startswith("dma-image-archive ")
    for command in ("info", "verify", "recover", "index", "extract", "tail", "h5"):
        assert command in tool(command, "--help")


@pytest.mark.parametrize("args", [
    (), ("melt",), ("info",), ("info", "a", "b"), ("verify", "--json", "x"), ("verify", "/nowhere"),
    ("verify", "--max-lines", "-1", "x"), ("extract", "x"), ("verify", "--shape", "0x3", "x"),
    ("verify", "/dev/null"), ("extract", "--seq", "5-1", "-o", "o", "x")])
def test_wrong_usage_is_status_2_and_one_line(args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tool(*args, status=2) == ""
    assert len(tool.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_info(run):
    told = json.loads(tool("info", "--json", run))
    assert told == {
        "path": str(run), "format": "npy", "segments": 3, "open_segments": 0,
        "bytes": 3 * (4096 + 4 * STRIDE), "height": H, "width": W, "frames": 12, "bad_records": 0,
        "repeated_seqs": 0, "seq_min": 0, "seq_max": 55, "seq_step": 5, "gaps": 0, "missing": 0,
        "timestamp_ns_min": 10**18, "timestamp_ns_max": 10**18 + 3_000_000,
        "frames_per_s": 3666.667, "run_id": f"{77:016x}"}
    assert "0 to 55 by 5" in tool("info", run)


def test_gaps(tmp_path):
    path = write_segment(tmp_path / "frames_000000.npy", make_records([0, 5, 10, 25, 30, 40]))
    told = json.loads(tool("info", "--json", path))
    assert (told["gaps"], told["missing"], told["seq_step"]) == (2, 3, 5)
    assert "2 gaps (3 frames missing)" in tool("verify", path)
    tool("verify", "--complete", path, status=1)
    assert len(tool.stderr.splitlines()) == 2


def test_verify_good(run):
    assert tool("verify", run).endswith("0 bad records: good\n")
    assert len(tool("verify", *sorted(run.glob("*.npy"))).splitlines()) == 3


def test_a_flipped_bit_is_found(run):
    """The status and the line that tell; tests/unit/test_bits.c tries every bit."""
    segment = run / "frames_000001.npy"
    for path, at, word in ((segment, 30, "header"), (segment, 4096, "crc32c"),
                           (segment, 4096 + STRIDE - 1, "padding"),
                           (segment.with_suffix(".idx"), 3, ".idx: line 1")):
        good = path.read_bytes()
        bad = bytearray(good)
        bad[at] ^= 1
        path.write_bytes(bad)
        tool("verify", run, status=1)
        assert word in tool.stderr, tool.stderr
        path.write_bytes(good)


def test_records_judged_as_decode_py_does(tmp_path):
    """Random damage: the same frames are good to both."""
    rng = np.random.default_rng(7)
    seqs = list(range(40))
    for _ in range(25):
        records = make_records(seqs, crc=bool(rng.integers(2)))
        raw = records.view(np.uint8).reshape(len(seqs), STRIDE)
        for _ in range(6):
            kind, slot = rng.integers(4), rng.integers(len(seqs))
            if kind == 0:
                raw[slot, rng.integers(STRIDE)] ^= 1 << rng.integers(8)
            elif kind == 1:
                raw[slot] = 0
            elif kind == 2:
                records["run_id"][slot] = 5
            else:
                raw[slot, rng.integers(STRIDE):] = 0
        path = write_segment(tmp_path / "frames_000000.npy", records, index=False,
                             tail=bytes(int(rng.integers(STRIDE))))
        # One seq may come twice after damage without a checksum; both leave it to a later step.
        seen, expected = set(), []
        for record in dipformat.open_segment(path):
            if record.fault is None:
                expected.append(record.seq)
                seen.add(record.seq)
        if len(seen) != len(expected) or not expected:
            continue
        done = subprocess.run([tool_path(), "extract", path, "--force", "--stack",
                               tmp_path / "s.npy"], capture_output=True, check=False)
        assert done.returncode in (0, 1)
        assert np.load(tmp_path / "s.seq.npy").tolist() == expected, done.stderr


def test_max_lines(tmp_path):
    records = make_records(range(50))
    records["image"][10:40, 0, 0] ^= 1
    path = write_segment(tmp_path / "frames_000000.npy", records)
    tool("verify", path, "--max-lines", 4, status=1)
    lines = tool.stderr.splitlines()
    assert len(lines) == 5 and "26 more" in lines[-1] and "crc32c" in lines[0]
    tool("verify", path, status=1)
    assert len(tool.stderr.splitlines()) == 21


def test_missing_segment_and_repeated_seq(run):
    shutil.copy(run / "frames_000000.npy", run / "frames_000003.npy")
    tool("verify", run, status=1)
    assert tool.stderr.count("a second time") == 4
    (run / "frames_000003.npy").unlink()
    (run / "frames_000001.npy").unlink()
    tool("verify", run, status=1)
    assert "000001" in tool.stderr


def test_index_cut_anywhere_is_found_and_rebuilt(run):
    """R13."""
    path = run / "frames_000001.idx"
    good = path.read_bytes()
    for cut in range(len(good)):
        path.write_bytes(good[:cut])
        tool("verify", run, status=1)
        assert "rebuilt" in tool("index", path.with_suffix(".npy"))
        assert path.read_bytes() == good
    path.unlink()
    tool("index", run)
    assert path.read_bytes() == good
    path.write_bytes((run / "frames_000000.idx").read_bytes())
    tool("verify", run, status=1)
    tool("index", run)
    assert path.read_bytes() == good
    assert tool("index", run).count("left alone") == 3


def test_recover_leaves_a_clean_run_alone(run):
    before = bytes_of(run)
    times = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    assert tool("recover", run).count("nothing to do") == 3
    assert bytes_of(run) == before
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == times


def check_recovered(path, records, was):
    """Exactly these records, closed; nothing of what was there is lost; a second time: nothing."""
    assert path.read_bytes() == make_header(len(records)) + records.tobytes()
    assert path.with_suffix(".idx").read_bytes() == index_of(records)
    after = bytes_of(path.parent)
    assert "nothing to do" in tool("recover", path)
    assert bytes_of(path.parent) == after
    if len(records):
        tool("verify", path)
    side = Path(f"{path}.cut")
    cut = side.read_bytes() if side.exists() else b""
    kept = {records[i:i + 1].tobytes() for i in range(len(records))}
    lost = [was[i:i + STRIDE] for i in range(4096, len(was), STRIDE)]
    lost = [slot for slot in lost if slot not in kept and slot.strip(b"\0")]
    # Of a record whose padding alone was cut, nothing is lost.
    lost = [slot for slot in lost if slot.ljust(STRIDE, b"\0") not in kept]
    assert cut == b"".join(lost)
    side.unlink(missing_ok=True)


def test_recover_torn_at_every_byte(tmp_path):
    """The file ends anywhere in its last two records."""
    records = make_records(range(0, 15, 5))
    path = tmp_path / "frames_000000.npy"
    whole = 2 * H * W + dipformat.TRAILER_BYTES
    for end in range(STRIDE, 3 * STRIDE + 1):
        was = make_header(9) + records.tobytes()[:end]
        path.write_bytes(was)
        tool("recover", path)
        check_recovered(path, records[:end // STRIDE + (end % STRIDE >= whole)], was)


def test_recover_torn_write_in_place(tmp_path):
    """Preallocated: behind the tear are zeros, and reserved space."""
    records = make_records(range(4))
    path = tmp_path / "frames_000000.npy"
    whole = 2 * H * W + dipformat.TRAILER_BYTES
    for end in range(3 * STRIDE, 4 * STRIDE + 1):
        was = make_header(50) + records.tobytes()[:end].ljust(50 * STRIDE, b"\0")
        path.write_bytes(was)
        tool("recover", path)
        # A checksum that ends in zeros may be whole before its last byte is written.
        good = 3 + (records[3:].tobytes()[:end - 3 * STRIDE].ljust(STRIDE, b"\0") ==
                    records[3:].tobytes())
        assert good == 4 or end < 3 * STRIDE + whole
        check_recovered(path, records[:good], was)


@pytest.mark.parametrize("crc", [True, False])
def test_recover_behind_holes(tmp_path, crc):
    """Every pattern of 6 slots: good, never written, torn, of an older run. With checksums one good
    record is enough to know it by."""
    records = make_records(range(0, 60, 10), crc=crc)
    other = make_records(range(100, 106), run_id=3, crc=crc, start=9 * 10**17)
    path = tmp_path / "frames_000000.npy"
    rng = random.Random(11)
    for _ in range(120):
        kinds = [rng.choice("ggggzto") for _ in range(6)]
        if kinds.count("g") <= (0 if crc else kinds.count("o")):
            continue
        slots, good = [], [i for i in range(6) if kinds[i] == "g"]
        for i, kind in enumerate(kinds):
            torn = bytearray(records[i:i + 1].tobytes())
            torn[2 * H * W] ^= 1
            slots.append({"g": records[i:i + 1].tobytes(), "z": bytes(STRIDE), "t": bytes(torn),
                          "o": other[i:i + 1].tobytes()}[kind])
        was = make_header(10) + b"".join(slots) + bytes(4 * STRIDE)
        path.write_bytes(was)
        tool("recover", path)
        check_recovered(path, records[good], was)


def test_recover_keeps_to_one_run(tmp_path):
    """A segment with nothing but records of an older run has none of this one's; the run is told by
    an index, or by the newest record; one whose own index names another run's keeps those."""
    new = make_records(range(3))
    old = make_records(range(100, 104), run_id=3, start=9 * 10**17)
    paths = [tmp_path / f"frames_{i:06d}.npy" for i in range(3)]
    for indexed in (True, False):
        write_segment(paths[0], old, promised=6, index=False)
        write_segment(paths[1], new, promised=6, index=indexed)
        tool("recover", tmp_path)
        assert [len(np.load(path)) for path in paths[:2]] == [0, 3]
        assert Path(f"{paths[0]}.cut").read_bytes() == old.tobytes()
        for path in tmp_path.iterdir():
            path.unlink()
    write_segment(paths[0], new)
    write_segment(paths[1], old, promised=6)
    before = paths[1].read_bytes()[4096:]
    tool("recover", tmp_path)
    assert paths[1].read_bytes()[4096:] == before
    tool("verify", tmp_path, status=1)
    assert "it is of another run" in tool.stderr


@pytest.mark.parametrize("crc", [True, False])
def test_recover_mends_the_padding(tmp_path, crc):
    """A record whose padding did not reach the disk is good; after recover so is the file."""
    records = make_records(range(6), crc=crc)
    raw = bytearray(records.tobytes())
    for slot in (1, 4):
        raw[slot * STRIDE + 100] = 7
    path = tmp_path / "frames_000000.npy"
    path.write_bytes(make_header(6) + raw)
    path.with_suffix(".idx").write_bytes(index_of(records))
    assert "padding of 2 mended" in tool("recover", path)
    assert path.read_bytes() == make_header(6) + records.tobytes()
    # A torn record leaves its padding to the one that moves there.
    raw[2 * STRIDE + 2 * H * W], raw[2 * STRIDE + 110] = 0, 9
    path.write_bytes(make_header(9) + raw)
    tool("recover", path)
    keep = [0, 1, 3, 4, 5]
    assert path.read_bytes() == make_header(5) + records[keep].tobytes()


def test_recover_killed_at_every_write(tmp_path):
    """Stopped before its n-th write, cut, sync or rename, and begun anew: the same result."""
    if shutil.which("strace") is None:
        pytest.skip("no strace; install it")
    for crc in (True, False):
        records = make_records(range(12), crc=crc)
        good = [0, 2, 3, 5, 6, 7, 8, 10, 11]
        was = bytearray(make_header(30) + records.tobytes() + bytes(18 * STRIDE))
        for slot in (1, 4, 9):
            was[4096 + slot * STRIDE + 2 * H * W] ^= 1
        ended = False
        for call in ("pwrite64", "fdatasync", "fsync", "ftruncate", "write", "rename"):
            for n in range(1, 60):
                folder = tmp_path / f"{crc}{call}{n}"
                folder.mkdir()
                path = folder / "frames_000000.npy"
                path.write_bytes(was)
                done = subprocess.run(
                    ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                     f"inject={call}:signal=KILL:when={n}", tool_path(), "recover", path],
                    capture_output=True, check=False, env=NO_LSAN)
                ended = done.returncode == 0
                tool("recover", path)
                side = Path(f"{path}.cut").read_bytes()
                for slot in (1, 4, 9):
                    at = 4096 + slot * STRIDE
                    assert was[at:at + STRIDE] in side, (call, n)
                assert path.read_bytes() == (make_header(len(good)) + records[good].tobytes()), (
                    call, n)
                assert path.with_suffix(".idx").read_bytes() == index_of(records[good])
                if ended:
                    break
            assert ended or n > 1


@pytest.mark.parametrize("crc", [True, False])
def test_recover_writes_over_nothing_that_is_not_durable(tmp_path, crc):
    """Seen in its system calls: between two syncs no slot is written that was copied from since;
    the side file is synced before the segment is touched."""
    if shutil.which("strace") is None:
        pytest.skip("no strace; install it")
    records = make_records(range(12), crc=crc)
    was = bytearray(make_header(30) + records.tobytes() + bytes(18 * STRIDE))
    for slot in (0, 4, 5):
        was[4096 + slot * STRIDE + 2 * H * W] ^= 1
    good = [1, 2, 3, 6, 7, 8, 9, 10, 11]
    path = tmp_path / "frames_000000.npy"
    path.write_bytes(was)
    log = tmp_path / "log"
    subprocess.run(["strace", "-qq", "-y", "-o", log, "-e",
                    "trace=pwrite64,fdatasync,fsync,ftruncate", tool_path(), "recover", path],
                   check=True, capture_output=True, env=NO_LSAN)
    copied, touched, synced = set(), 0, False
    for line in log.read_text().splitlines():
        if ".npy.cut>" in line:
            synced = line.startswith("fsync")
            assert not touched
        elif line.startswith("fdatasync"):
            copied = set()
        elif line.startswith("pwrite64") and ".npy>" in line:
            assert synced, line
            at = int(line.rsplit(") = ", 1)[0].rsplit(", ", 1)[1])
            touched += 1
            if at < 4096:
                assert not copied, "the header before the moves are durable"
                continue
            slot = (at - 4096) // STRIDE
            assert slot not in copied, line
            copied.add(good[slot])
        elif line.startswith("ftruncate"):
            assert not copied
    assert touched > len(good)


def test_recover_header_destroyed(run):
    """The shape comes from the run, or from the command line; a wrong one changes nothing."""
    before = bytes_of(run)
    path = run / "frames_000001.npy"
    was = bytearray(path.read_bytes())
    was[:4096] = bytes(4096)
    path.write_bytes(was)
    tool("verify", run, status=1)
    assert "header made anew" in tool("recover", run)
    assert bytes_of(run) == before
    path.write_bytes(was)
    tool("recover", path, status=1)
    tool("recover", path, "--shape", "4x5", "--block", BLOCK, status=2)
    assert path.read_bytes() == was
    tool("recover", path, "--shape", f"{H}x{W}", "--block", BLOCK)
    assert bytes_of(run) == before


def test_recover_header_of_another_shape(run):
    """A header that is well-formed and does not fit: nothing is cut off by it."""
    before = bytes_of(run)
    for slot, pad in (((H + 2, W), STRIDE), ((H, W + 2), STRIDE), ((H, W), STRIDE + 2)):
        path = run / "frames_000000.npy"
        was = make_header(4, slot, pad) + path.read_bytes()[4096:]
        path.write_bytes(was)
        tool("recover", path, status=2)
        assert "nothing was changed" in tool.stderr and path.read_bytes() == was
        tool("recover", path, "--shape", f"{H}x{W}", "--block", BLOCK)
        assert bytes_of(run) == before
        path.write_bytes(was)
        assert "header made anew" in tool("recover", run)
        assert bytes_of(run) == before


def test_what_is_being_written_is_left_alone(run):
    before = bytes_of(run)
    path = run / "frames_000002.npy"
    with open(path, "r+b"):
        for command in ("recover", "index"):
            tool(command, path, status=2)
            assert "open for writing" in tool.stderr
    assert bytes_of(run) == before


def test_raw_segments(tmp_path):
    frames = np.random.default_rng(1).integers(0, 65536, (5, H, W), dtype=np.uint16)
    path = tmp_path / "frames_000000.bin"
    frames.tofile(path)
    tool("verify", path, status=2)
    assert "--shape" in tool.stderr
    assert "5 frames" in tool("verify", path, "--shape", f"{H}x{W}")
    tool("index", path, "--shape", f"{H}x{W}", status=2)
    tool("index", path, "--shape", f"{H}x{W}", "--first", 10, "--step", 2)
    index = path.with_suffix(".idx")
    assert index.read_text() == "".join(f"{10 + 2 * i} {30 * i}\n" for i in range(5))
    assert "seq 10..18 by 2" in tool("verify", path, "--shape", f"{H}x{W}")
    index.write_text(index.read_text()[:-6])
    tool("verify", path, "--shape", f"{H}x{W}", status=1)
    tool("verify", path, "--shape", "4x5", status=1)
    tool("recover", path, status=2)


def test_extract(run, tmp_path):
    frames = np.concatenate([np.load(path) for path in sorted(run.glob("*.npy"))])
    out = tmp_path / "out"
    tool("extract", run, "-o", out)
    assert len(list(out.iterdir())) == 12
    for record in frames:
        assert (np.load(out / f"frame_{record['seq']:012d}.npy") == record["image"]).all()
    tool("extract", run, "-o", out, status=2)
    tool("extract", run, "-o", out, "--force")
    stack = tmp_path / "stack.npy"
    tool("extract", run, "--seq", "5,20-40", "--stack", stack)
    assert np.load(tmp_path / "stack.seq.npy").tolist() == [5, 20, 25, 30, 35, 40]
    assert (np.load(stack) == frames["image"][[1, 4, 5, 6, 7, 8]]).all()
    tool("extract", run, "--raw", tmp_path / "all.bin")
    assert (tmp_path / "all.bin").read_bytes() == frames["image"].tobytes()
    tool("extract", run, "--seq", "5,7", "--raw", tmp_path / "two.bin", status=1)
    assert "found no good frame 7" in tool.stderr
    tool("extract", run, "--seq", "1-4", "--raw", tmp_path / "none.bin", status=1)
    assert not (tmp_path / "none.bin").exists() and not list(tmp_path.glob("*.part"))


# --- with the real program ---

def archive_run(dip, scene, seconds, **sets):
    """Start a run that archives every frame; it goes on."""
    return dip.start(scene.folder, seconds, sets=scene.sets(**{
        "main.nth_archive": 1, "main.overrun": "block", "arch.segment_bytes": 1 << 20,
        "main.fps": 2000, **sets}))


def run_folder(dip):
    """The folder of the latest run."""
    folders = sorted((dip.folder / "archive").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return folders[-1]


def test_clean_run(dip, scene):
    run = dip.run(scene.folder, 0.5, sets=scene.sets(**{
        "main.nth_archive": 3, "arch.segment_bytes": 1 << 20}))
    folder = run.archive()
    tool("verify", "--complete", folder)
    told = json.loads(tool("info", "--json", folder))
    assert told["frames"] == run.stats["arch_frames"] and told["seq_step"] == 3
    before = bytes_of(folder)
    tool("recover", folder)
    for path in folder.glob("*.idx"):
        path.unlink()
    tool("index", folder)
    assert bytes_of(folder) == before


def test_tail_follows_a_run_to_its_end(dip, scene):
    """R14: whole frames only, all of them, in order, over several segments."""
    run = archive_run(dip, scene, 1.5)
    dip.wait_for_results(run)
    dip.wait_for(run, lambda: (dip.folder / "archive").exists() and
                 list((dip.folder / "archive").iterdir()))
    folder = run_folder(dip)
    with subprocess.Popen([tool_path(), "tail", "--until-closed", folder], stdout=subprocess.PIPE,
                          text=True) as tail:
        # Readers of a growing run see nothing bad.
        while run.running():
            done = subprocess.run([tool_path(), "verify", folder], capture_output=True, text=True,
                                  check=False)
            assert done.returncode == 0 or "became shorter" in done.stderr or \
                "found no segment" in done.stderr, done.stderr
        dip.end(run)
        out, _ = tail.communicate(timeout=30)
    assert tail.returncode == 0
    expected = []
    for path in sorted(folder.glob("*.npy")):
        for i, record in enumerate(np.load(path)):
            expected.append(f"{record['seq']} {record['timestamp_ns']} "
                            f"{4096 + i * dipformat.open_segment(path).stride} {path.name}"
                            if i == 0 else (record["seq"], record["timestamp_ns"], path.name))
    lines = out.splitlines()
    assert len(lines) == len(expected) == run.stats["arch_frames"]
    for line, item in zip(lines, expected):
        parts = line.split()
        if isinstance(item, str):
            assert line == item
        else:
            assert (int(parts[0]), int(parts[1]), parts[3]) == item


def test_tail_skips_a_hole_and_ends_on_sigint(run):
    path = run / "frames_000000.npy"
    data = bytearray(path.read_bytes())
    data[4096 + STRIDE] ^= 1
    path.write_bytes(data)
    with subprocess.Popen([tool_path(), "tail", run], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as tail:
        lines = [tail.stdout.readline().split() for _ in range(11)]
        tail.send_signal(signal.SIGINT)
        out, err = tail.communicate(timeout=10)
    assert out == "" and tail.returncode == 1 and "record 1 " in err
    assert [int(line[0]) for line in lines] == [0, *range(10, 60, 5)]


def test_verify_is_fast_enough(tmp_path):
    """1.5 GB/s a core, from the page cache; far less where it is shared or instrumented."""
    if os.environ.get("DIP_SANITIZE"):
        pytest.skip("an instrumented build is slow")
    stride = 180224
    records = make_records(range(1500), shape=(300, 300), stride=stride)
    path = tmp_path / "frames_000000.npy"
    path.write_bytes(make_header(len(records), (300, 300), stride) + records.tobytes())
    best = 0
    for _ in range(5):
        start = time.monotonic()
        tool("verify", path)
        best = max(best, path.stat().st_size / (time.monotonic() - start) / 1e9)
    print(f"{best:.2f} GB/s", file=sys.stderr)
    assert best > 1.5
