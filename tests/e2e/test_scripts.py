# SPDX-License-Identifier: BSD-3-Clause
"""The tools in scripts/, against segments built here by hand."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
import dipformat  # noqa: E402

pytestmark = pytest.mark.tool

H, W = 6, 7
IMAGE_BYTES = H * W * 2
STRIDE = 4096
RUN_ID = 0x1122334455667788
MAGIC = int.from_bytes(b"DIPF", "little")


def run(tool, *args):
    """The tool's exit status, stdout and stderr; never a traceback."""
    done = subprocess.run([sys.executable, SCRIPTS / tool, *map(str, args)], text=True,
                          capture_output=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def bitwise_crc32c(data):
    """CRC-32C one bit at a time, straight from its definition."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def image_of(seq, height=H, width=W):
    """Pixels that only this frame has, of all 16 bits."""
    return np.random.default_rng(seq).integers(0, 1 << 16, (height, width), dtype="<u2")


def record(seq, run_id=RUN_ID, flags=1, stride=STRIDE, image=None, **other):
    """The bytes of one good record; other: trailer fields to set before the checksum."""
    image = image_of(seq) if image is None else image
    trailer = np.zeros(1, dtype=[("magic", "<u4"), ("version", "<u2"), ("flags", "<u2"),
                                 ("seq", "<u8"), ("timestamp_ns", "<u8"), ("run_id", "<u8"),
                                 ("length", "<u4"), ("crc32c", "<u4")])
    values = {"magic": MAGIC, "version": 1, "flags": flags, "seq": seq, "run_id": run_id,
              "timestamp_ns": 10**18 + seq, "length": image.nbytes, **other}
    for name, value in values.items():
        trailer[name] = value
    if flags & 1:
        trailer["crc32c"] = bitwise_crc32c(image.tobytes() + trailer.tobytes()[:36])
    return (image.tobytes() + trailer.tobytes()).ljust(stride, b"\0")


def header(count, height=H, width=W, stride=STRIDE):
    """4,096 bytes of header that promise count records."""
    fields = [("image", "<u2", (height, width)), ("magic", "<u4"), ("version", "<u2"),
              ("flags", "<u2"), ("seq", "<u8"), ("timestamp_ns", "<u8"), ("run_id", "<u8"),
              ("length", "<u4"), ("crc32c", "<u4")]
    pad = stride - height * width * 2 - 40
    if pad:
        fields.append(("pad", f"|V{pad}"))
    text = repr({"descr": fields, "fortran_order": False, "shape": (count,)})
    return b"\x93NUMPY\x01\x00" + (4086).to_bytes(2, "little") + text.ljust(4085).encode() + b"\n"


def write_segment(path, seqs, index=True, promised=None):
    """A closed npy segment, or one that promises more than there is."""
    records = [record(seq) for seq in seqs]
    promised = len(records) if promised is None else promised
    path.write_bytes(header(promised) + b"".join(records))
    if index:
        path.with_suffix(".idx").write_text("".join(
            f"{seq} {4096 + i * STRIDE}\n" for i, seq in enumerate(seqs)))
    return path


def flip(path, offset, bit=0):
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


@pytest.fixture(name="segment")
def segment_fixture(tmp_path):
    """Five good records, 10..14."""
    return write_segment(tmp_path / "frames_000000.npy", range(10, 15))


# The checksum.

def test_crc32c_known_vectors():
    assert dipformat.crc32c(b"123456789") == 0xE3069283
    assert bitwise_crc32c(b"123456789") == 0xE3069283
    assert dipformat.crc32c(b"") == 0
    assert dipformat.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert dipformat.crc32c(b"\xff" * 32) == 0x62A8AB43


@pytest.mark.parametrize("length", [*range(1, 70), 127, 128, 129, 1023, 4099])
def test_crc32c_equals_bitwise(length):
    data = np.random.default_rng(length).bytes(length)
    assert dipformat.crc32c(data) == bitwise_crc32c(data)


def test_crc32c_of_many_rows_across_batches():
    rows = np.random.default_rng(3).integers(0, 256, (5, 300_001), dtype=np.uint8)
    rows[:, :299_900] = 0  # keeps the bitwise reference of the rows cheap below
    sums = dipformat.crc32c_rows(rows)
    register = 0xFFFFFFFF
    for _ in range(299_900 * 8):
        register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    for row, value in zip(rows, sums):
        state = register
        for byte in row[299_900:].tolist():
            state ^= byte
            for _ in range(8):
                state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
        assert value == state ^ 0xFFFFFFFF


# What the format module takes for a segment.

def test_records_read_by_numpy_are_those_read_by_us(segment):
    theirs = np.load(segment)
    assert theirs.dtype == dipformat.record_dtype(H, W, STRIDE)
    ours = list(dipformat.Segment(segment))
    assert [r.fault for r in ours] == [None] * 5
    assert [r.seq for r in ours] == theirs["seq"].tolist() == list(range(10, 15))
    for mine, his in zip(ours, theirs):
        assert np.array_equal(mine.image, his["image"])
        assert mine.offset == 4096 + mine.index * STRIDE


def test_record_without_padding(tmp_path):
    image = image_of(1, 3, 4)
    path = tmp_path / "a_000000.npy"
    path.write_bytes(header(2, 3, 4, 64) + record(1, stride=64, image=image) * 2)
    assert np.load(path).dtype.names[-1] == "crc32c"
    got = list(dipformat.Segment(path))
    assert [r.fault for r in got] == [None, None]
    assert np.array_equal(got[1].image, image)


@pytest.mark.parametrize("old, new", [
    ("'fortran_order': False", "'fortran_order': True"),
    ("'fortran_order': False, ", ""),
    ("'<u2', (6, 7)", "'<i2', (6, 7)"),
    ("'<u2', (6, 7)", "'<u2', (6, 7, 1)"),
    ("(6, 7)", "(0, 7)"),
    ("('seq', '<u8'), ('timestamp_ns', '<u8')", "('timestamp_ns', '<u8'), ('seq', '<u8')"),
    ("'|V3972'", "'<u2'"),
    ("(2,)", "(1, 2)"),
    ("(2,)", "(-1,)"),
    ("}", "}; import os"),
    ("\n", " "),
])
def test_header_of_another_layout_is_refused(tmp_path, old, new):
    path = write_segment(tmp_path / "a_000000.npy", [1, 2])
    data = path.read_bytes()
    text = data[10:4096].decode()
    assert old in text
    text = text.replace(old, new)
    end = text[-1]
    text = text.rstrip().ljust(4085) + end
    path.write_bytes(data[:10] + text.encode() + data[4096:])
    with pytest.raises(dipformat.Trouble, match="its header|its dtype"):
        dipformat.Segment(path)


def test_every_flipped_bit_of_the_header_is_found(tmp_path):
    path = write_segment(tmp_path / "a_000000.npy", [1, 2], index=False)
    good = path.read_bytes()
    text_end = good.index(b"}") + 20
    found = 0
    for offset in [*range(text_end), *range(text_end, 4096, 61), 4094, 4095]:
        for bit in range(8):
            data = bytearray(good)
            data[offset] ^= 1 << bit
            path.write_bytes(data)
            try:
                segment = dipformat.Segment(path)
            except dipformat.Trouble as error:
                assert str(error).startswith(f"{path}: ")
                found += 1
                continue
            assert segment.faults or any(r.fault for r in segment), (offset, bit)
            found += 1
    assert found > 8 * text_end


def test_every_flipped_bit_of_image_and_trailer_is_found(tmp_path):
    records = [record(seq) for seq in (1, 2, 3)]
    path = tmp_path / "a_000000.npy"
    for victim in (0, 1):
        for offset in range(IMAGE_BYTES + 40):
            for bit in range(8):
                data = bytearray(header(3) + b"".join(records))
                data[4096 + victim * STRIDE + offset] ^= 1 << bit
                path.write_bytes(data)
                faults = [r.fault is not None for r in dipformat.Segment(path)]
                assert faults == [index == victim for index in range(3)], (victim, offset, bit)


def test_trailer_without_checksum(tmp_path):
    path = tmp_path / "a_000000.npy"
    path.write_bytes(header(3) + record(1, flags=0) + record(2, flags=0) + record(3, flags=2))
    faults = [r.fault for r in dipformat.Segment(path)]
    assert faults[:2] == [None, None]
    assert "flags 0x0002" in faults[2]


@pytest.mark.parametrize("fields, word", [
    ({"version": 2}, "version 2; expected 1"),
    ({"length": IMAGE_BYTES - 2}, f"length {IMAGE_BYTES - 2}; expected {IMAGE_BYTES}"),
    ({"run_id": 7}, "run_id 0x7; expected 0x1122334455667788"),
    ({"magic": 1}, "magic 0x00000001; expected 0x46504944"),
])
def test_wrong_trailer_field_with_right_checksum(tmp_path, fields, word):
    path = tmp_path / "a_000000.npy"
    path.write_bytes(header(3) + record(1) + record(2, **fields) + record(3))
    faults = [r.fault for r in dipformat.Segment(path)]
    assert faults[0] is None and faults[2] is None
    assert word in faults[1]


# decode.py

def test_decode_segment(segment, tmp_path):
    out = tmp_path / "out"
    status, stdout, stderr = run("decode.py", segment, "-o", out)
    assert (status, stderr) == (0, "")
    assert stdout.count("\n") == 1
    assert "5 frames of 6x7, seq 10..14, 0 gaps, 0 bad records" in stdout
    assert sorted(p.name for p in out.iterdir()) == [
        *(f"frame_{seq:012d}.npy" for seq in range(10, 15)), "seq.npy", "stack.npy"]
    stack = np.load(out / "stack.npy", mmap_mode="r")
    assert stack.dtype == "<u2" and stack.shape == (5, H, W)
    assert np.load(out / "seq.npy").tolist() == list(range(10, 15))
    for index, seq in enumerate(range(10, 15)):
        assert np.array_equal(np.load(out / f"frame_{seq:012d}.npy"), image_of(seq))
        assert np.array_equal(stack[index], image_of(seq))


def test_decode_only_what_is_asked_for(segment, tmp_path):
    assert run("decode.py", segment, "-o", tmp_path / "a", "--no-frames")[0] == 0
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["seq.npy", "stack.npy"]
    assert run("decode.py", segment, "-o", tmp_path / "b", "--no-stack")[0] == 0
    assert len(list((tmp_path / "b").iterdir())) == 5
    assert run("decode.py", segment, "-o", tmp_path / "c", "--no-stack", "--no-frames")[0] == 0
    assert not (tmp_path / "c").exists()


def test_decode_into_used_folder(segment, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("stays")
    assert run("decode.py", segment, "-o", out)[0] == 0
    other = write_segment(tmp_path / "other_000000.npy", [99])
    status, stdout, stderr = run("decode.py", other, "-o", out)
    assert (status, stdout) == (2, "")
    assert stderr.startswith(f"decode.py: {out}: ") and "--force" in stderr
    assert run("decode.py", other, "-o", out, "--force")[0] == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "frame_000000000099.npy", "mine.txt", "seq.npy", "stack.npy"]


@pytest.mark.parametrize("where", [0, IMAGE_BYTES - 1, IMAGE_BYTES + 8, IMAGE_BYTES + 36])
def test_decode_leaves_bad_record_out(segment, tmp_path, where):
    flip(segment, 4096 + 2 * STRIDE + where, 5)
    status, stdout, stderr = run("decode.py", segment, "-o", tmp_path / "out")
    assert status == 1
    assert "4 frames of 6x7, seq 10..14, 1 gaps (1 frames missing), 1 bad records" in stdout
    lines = stderr.splitlines()
    assert lines[0].startswith(f"decode.py: {segment}: record 2 at byte 12288: crc32c 0x")
    assert "expected 0x" in lines[0] and "left out" in lines[0]
    assert np.load(tmp_path / "out/seq.npy").tolist() == [10, 11, 13, 14]
    assert np.array_equal(np.load(tmp_path / "out/stack.npy")[2], image_of(13))
    assert not (tmp_path / "out/frame_000000000012.npy").exists()


def test_decode_open_segment(segment, tmp_path):
    data = segment.read_bytes()
    segment.write_bytes(header(9) + data[4096:] + bytes(4 * STRIDE))
    status, stdout, stderr = run("decode.py", segment, "-o", tmp_path / "out")
    assert (status, stderr) == (0, "")
    assert "5 frames" in stdout and "not closed: 5 of 9 records written" in stdout


def test_decode_hole_before_good_records_is_bad(segment, tmp_path):
    data = bytearray(segment.read_bytes())
    data[4096 + STRIDE:4096 + 2 * STRIDE] = bytes(STRIDE)
    segment.write_bytes(data)
    status, stdout, stderr = run("decode.py", segment, "-o", tmp_path / "out")
    assert status == 1 and "record 1 at byte 8192: never written" in stderr
    assert "4 frames" in stdout and "1 bad records" in stdout


def test_decode_stale_records_of_another_run(tmp_path):
    path = tmp_path / "a_000000.npy"
    path.write_bytes(header(4) + record(5) + record(6) + record(7, run_id=3) + bytes(STRIDE))
    status, stdout, stderr = run("decode.py", path, "-o", tmp_path / "out")
    assert status == 1 and "run_id 0x3; expected 0x1122334455667788" in stderr
    assert "2 frames of 6x7, seq 5..6" in stdout
    assert not (tmp_path / "out/frame_000000000007.npy").exists()


@pytest.mark.parametrize("cut", [1, 100, STRIDE - IMAGE_BYTES, STRIDE - 1])
def test_decode_torn_tail(segment, tmp_path, cut):
    segment.write_bytes(segment.read_bytes()[:-cut])
    status, stdout, stderr = run("decode.py", segment, "-o", tmp_path / "out")
    assert status == 1
    assert f"record 4 at byte 20480: cut short: {STRIDE - cut} bytes; expected 4096" in stderr
    assert "cut short: " in stderr.splitlines()[0] and "4 whole records" in stderr
    assert "4 frames of 6x7, seq 10..13, 0 gaps, 1 bad records" in stdout


def test_decode_file_of_other_length_than_promised(segment, tmp_path):
    data = segment.read_bytes()
    segment.write_bytes(data[:-STRIDE])
    status, stdout, stderr = run("decode.py", segment, "-o", tmp_path / "a")
    assert status == 1 and "4 frames" in stdout
    assert "20480 bytes, 4 whole records; expected 24576 bytes, 5 records" in stderr
    segment.write_bytes(header(4) + data[4096:])
    status, stdout, stderr = run("decode.py", segment, "-o", tmp_path / "b")
    assert status == 1 and "5 frames" in stdout and "more than its header says" in stderr


def test_decode_duplicate_seq(tmp_path):
    path = write_segment(tmp_path / "a_000000.npy", [1, 2, 2])
    status, stdout, stderr = run("decode.py", path, "-o", tmp_path / "out")
    assert status == 1 and "record 2" in stderr and "seq 2 a second time" in stderr
    assert "2 frames" in stdout


@pytest.mark.parametrize("seqs, text", [
    ([0, 1, 4, 5, 9], "seq 0..9, 2 gaps (5 frames missing)"),
    ([0, 10, 20, 50, 60], "seq 0..60 by 10, 1 gaps (2 frames missing)"),
    ([3], "seq 3..3, 0 gaps"),
    ([2**63, 2**63 + 1], "seq 9223372036854775808..9223372036854775809, 0 gaps"),
])
def test_decode_gaps(tmp_path, seqs, text):
    path = write_segment(tmp_path / "a_000000.npy", seqs)
    status, stdout, _ = run("decode.py", path, "--no-frames", "--no-stack")
    assert status == 0 and text in stdout


def test_decode_many_batches(tmp_path):
    path = write_segment(tmp_path / "a_000000.npy", range(600))
    flip(path, 4096 + 599 * STRIDE)
    flip(path, 4096 + 300 * STRIDE)
    status, stdout, stderr = run("decode.py", path, "-o", tmp_path / "out", "--no-frames")
    assert status == 1 and "598 frames of 6x7, seq 0..598, 1 gaps" in stdout
    assert "record 300 at byte 1232896: crc32c" in stderr
    assert "record 599 at byte 2457600: crc32c" in stderr
    assert "index" not in stderr
    assert np.array_equal(np.load(tmp_path / "out/stack.npy")[597], image_of(598))


def test_decode_empty_segment(tmp_path):
    path = write_segment(tmp_path / "a_000000.npy", [])
    status, stdout, _ = run("decode.py", path, "-o", tmp_path / "out")
    assert status == 0 and "0 frames" in stdout
    assert np.load(tmp_path / "out/stack.npy").shape == (0, H, W)


@pytest.mark.parametrize("line, text", [
    ("11 8192", None),
    ("12 8192", "index line 2: seq 12; the record there has 11"),
    ("11 8193", "index line 2: offset 8193; expected that of a record"),
    ("11 8192000", "index line 2: offset 8192000; expected that of a record"),
    ("11-8192", "index line 2: '11-8192\\n'; expected \"seq offset\""),
])
def test_decode_checks_the_index(segment, tmp_path, line, text):
    index = segment.with_suffix(".idx")
    lines = index.read_text().splitlines()
    lines[1] = line
    index.write_text("\n".join(lines) + "\n")
    status, stdout, stderr = run("decode.py", segment, "-o", tmp_path / "out")
    assert "5 frames" in stdout and "0 bad records" in stdout
    if text is None:
        assert (status, stderr) == (0, "")
    else:
        assert status == 1 and text in stderr and stderr.count("\n") == 1


def test_decode_cut_index_is_told(segment, tmp_path):
    index = segment.with_suffix(".idx")
    index.write_text("".join(index.read_text().splitlines(True)[:3]))
    status, stdout, _ = run("decode.py", segment, "-o", tmp_path / "out")
    assert status == 0 and "frames_000000.idx lacks 2 frames" in stdout


def test_decode_run_folder(tmp_path):
    folder = tmp_path / "20260102_030405"
    folder.mkdir()
    write_segment(folder / "frames_000001.npy", [13, 14])
    write_segment(folder / "frames_000000.npy", [10, 11])
    status, stdout, stderr = run("decode.py", folder)
    assert (status, stderr) == (0, "")
    assert "4 frames of 6x7, seq 10..14, 1 gaps (1 frames missing), 0 bad records" in stdout
    out = tmp_path / "20260102_030405.decoded"
    assert np.load(out / "seq.npy").tolist() == [10, 11, 13, 14]
    assert np.array_equal(np.load(out / "stack.npy")[3], image_of(14))


def test_decode_run_with_damaged_missing_and_foreign_segments(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    write_segment(folder / "f_000000.npy", [0, 1])
    (folder / "f_000001.npy").write_bytes(b"junk")
    (folder / "f_000003.npy").write_bytes(header(1) + record(2, run_id=9))
    (folder / "f_000004.npy").write_bytes(
        header(1, 2, 2) + record(3, image=image_of(3, 2, 2)))
    status, stdout, stderr = run("decode.py", folder, "-o", tmp_path / "out")
    assert status == 2 and "3 frames" in stdout
    assert "segment _000002 is missing" in stderr
    assert f"{folder / 'f_000001.npy'}: not an .npy file" in stderr
    assert "run_id 0x9; expected 0x1122334455667788 as in the segments before it" in stderr
    assert f"{folder / 'f_000004.npy'}: frames of 2x2; expected 6x7" in stderr


def raw_segment(tmp_path, seqs, index=True):
    """Bare frames with their index."""
    path = tmp_path / "frames_000000.bin"
    path.write_bytes(b"".join(image_of(seq).tobytes() for seq in seqs))
    if index:
        path.with_suffix(".idx").write_text("".join(
            f"{seq} {i * IMAGE_BYTES}\n" for i, seq in enumerate(seqs)))
    return path


def test_decode_raw_with_index(tmp_path):
    path = raw_segment(tmp_path, [7, 8, 10])
    status, stdout, stderr = run("decode.py", path, "--shape", "6x7", "-o", tmp_path / "out")
    assert (status, stderr) == (0, "")
    assert "3 frames of 6x7, seq 7..10, 1 gaps (1 frames missing)" in stdout
    assert np.array_equal(np.load(tmp_path / "out/frame_000000000010.npy"), image_of(10))


def test_decode_raw_without_index(tmp_path):
    path = raw_segment(tmp_path, [7, 8, 10], index=False)
    status, stdout, _ = run("decode.py", path, "--shape", "6x7", "-o", tmp_path / "out")
    assert status == 0 and "has no index: numbered by position" in stdout
    assert np.array_equal(np.load(tmp_path / "out/frame_000000000002.npy"), image_of(10))


def test_decode_raw_frame_that_the_index_does_not_name(tmp_path):
    path = raw_segment(tmp_path, [7, 8, 10])
    path.with_suffix(".idx").write_text(f"7 0\n10 {2 * IMAGE_BYTES}\n10 3\n")
    status, stdout, stderr = run("decode.py", path, "--shape", "6x7", "-o", tmp_path / "out")
    assert status == 1 and "2 frames" in stdout and "1 bad records" in stdout
    assert "record 1 at byte 84: not in the index" in stderr
    assert "index line 3: offset 3; expected a multiple of 84" in stderr


def test_decode_raw_with_a_rest(tmp_path):
    path = raw_segment(tmp_path, [7, 8])
    path.write_bytes(path.read_bytes() + b"12345")
    status, stdout, stderr = run("decode.py", path, "--shape", "6x7", "-o", tmp_path / "out")
    assert (status, stdout) == (1, "")
    assert stderr.startswith(f"decode.py: {path}: ") and "a rest of 5 bytes" in stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("shape", [None, "6", "0x7", "6x70000", "axb"])
def test_decode_raw_needs_a_shape(tmp_path, shape):
    path = raw_segment(tmp_path, [7])
    status, stdout, stderr = run("decode.py", path, *(["--shape", shape] if shape else []))
    assert (status, stdout) == (2, "")
    assert "--shape" in stderr and "HxW" in stderr and stderr.count("\n") == 1


def test_decode_what_is_no_segment(tmp_path):
    cases = {"plain_000000.npy": "a plain array of '<u2'; expected an archive segment",
             "text_000000.npy": "not an .npy file", "notes.txt": "expected a name that ends in",
             "none_000000.npy": "No such file", "cut_000000.npy": "its header is not",
             "zero_000000.npy": "not an .npy file", "folder": "no segment in it"}
    np.save(tmp_path / "plain_000000.npy", image_of(1))
    (tmp_path / "text_000000.npy").write_text("hello")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "cut_000000.npy").write_bytes(header(3)[:3000])
    (tmp_path / "zero_000000.npy").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name, text in cases.items():
        status, stdout, stderr = run("decode.py", tmp_path / name, "-o", tmp_path / "out")
        assert (status, stdout) == (2, ""), name
        assert stderr.startswith(f"decode.py: {tmp_path / name}: "), name
        assert text in stderr and stderr.count("\n") == 1, name
        assert not (tmp_path / "out").exists()


# image.py

def test_image_pixels_and_contrast(tmp_path):
    ramp = np.arange(256, dtype="<u2").reshape(8, 32) * 4
    np.save(tmp_path / "ramp.npy", ramp)
    status, stdout, stderr = run("image.py", tmp_path / "ramp.npy", "-o", tmp_path / "out",
                                 "--min", 0, "--max", 1020, "--scale", 2)
    assert (status, stderr) == (0, "")
    assert "1 PNGs" in stdout and "black 0, white 1020" in stdout
    with Image.open(tmp_path / "out/ramp.png") as png:
        assert png.mode == "L" and png.size == (64, 16)
        pixels = np.asarray(png)
    assert np.array_equal(pixels, (ramp // 4).repeat(2, axis=0).repeat(2, axis=1))


def test_image_default_contrast_is_of_each_file(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    values = np.arange(100_000, dtype="<u2").reshape(250, 400) % 1000 + 100
    np.save(folder / "a.npy", values)
    np.save(folder / "b.npy", values.astype("<f4") * 2)
    status, stdout, _ = run("image.py", folder)
    assert status == 0 and "2 PNGs" in stdout
    low, high = np.percentile(values, (0.1, 99.9))
    assert f"black {low:g}..{2 * low:g}, white {high:g}..{2 * high:g}" in stdout
    first, second = (np.asarray(Image.open(tmp_path / "in.png" / name))
                     for name in ("a.png", "b.png"))
    assert np.array_equal(first, second) and first.min() == 0 and first.max() == 255
    assert abs(int(first[0, 500 % 400]) - round(100 / 999 * 255)) <= 1


def test_image_stack_nan_and_clipping(tmp_path):
    stack = np.array([[[0.0, 10.0]], [[np.nan, 99.0]], [[-5.0, np.inf]]])
    np.save(tmp_path / "s.npy", stack)
    status, _, _ = run("image.py", tmp_path / "s.npy", "-o", tmp_path, "--min", 0, "--max", 20)
    assert status == 0
    got = [np.asarray(Image.open(tmp_path / f"s_{i:012d}.png"))[0].tolist() for i in range(3)]
    assert got == [[0, 128], [0, 255], [0, 255]]


def test_image_constant_frame(tmp_path):
    np.save(tmp_path / "c.npy", np.full((3, 3), 7, dtype="<u2"))
    assert run("image.py", tmp_path / "c.npy", "-o", tmp_path)[0] == 0
    assert np.asarray(Image.open(tmp_path / "c.png")).max() == 0


def test_image_segment_leaves_bad_record_out(segment, tmp_path):
    flip(segment, 4096 + STRIDE + 3)
    status, stdout, stderr = run("image.py", segment, "-o", tmp_path / "out", "--min", 0,
                                 "--max", 65535)
    assert status == 1 and "4 PNGs" in stdout and "record 1: crc32c" in stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        f"frame_{seq:012d}.png" for seq in (10, 12, 13, 14)]
    pixels = np.asarray(Image.open(tmp_path / "out/frame_000000000013.png"))
    assert np.array_equal(pixels, (image_of(13) * (255 / 65535) + 0.5).astype(np.uint8))


def test_image_of_decoded_folder_draws_each_frame_once(segment, tmp_path):
    assert run("decode.py", segment, "-o", tmp_path / "d")[0] == 0
    status, stdout, _ = run("image.py", tmp_path / "d", "--frame", 12)
    assert status == 0 and "1 PNGs" in stdout
    assert [p.name for p in (tmp_path / "d.png").iterdir()] == ["frame_000000000012.png"]
    status, stdout, _ = run("image.py", tmp_path / "d", "-o", tmp_path / "all")
    assert status == 0 and "5 PNGs" in stdout


def test_image_stack_takes_its_numbers_from_seq_file(segment, tmp_path):
    assert run("decode.py", segment, "-o", tmp_path / "d", "--no-frames")[0] == 0
    status, _, _ = run("image.py", tmp_path / "d", "-o", tmp_path / "out", "--frame", 12,
                       "--min", 0, "--max", 65535)
    assert status == 0
    pixels = np.asarray(Image.open(tmp_path / "out/stack_000000000012.png"))
    assert np.array_equal(pixels, (image_of(12) * (255 / 65535) + 0.5).astype(np.uint8))


def grid_frames(tmp_path):
    """Two frames of 8 x 8 with four boxes of 3 x 3 from (1, 1); frame 0 has box 0 and 3 lit,
    frame 1 has box 1."""
    folder = tmp_path / "grid"
    folder.mkdir()
    for seq, lit in enumerate([[(2, 2), (5, 5)], [(2, 5)]]):
        frame = np.zeros((8, 8), dtype="<u2")
        for row, col in lit:
            frame[row, col] = 9
        np.save(folder / f"image_{seq:04d}.npy", frame)
    return folder


EMPTY, OCCUPIED = (70, 110, 220), (255, 190, 0)


def check_boxes(path, occupied, scale):
    """Every pixel of the PNG: outlines of the four boxes, black or white inside, black outside."""
    pixels = np.asarray(Image.open(path))
    assert pixels.shape == (8 * scale, 8 * scale, 3)
    expected = np.zeros_like(pixels)
    for site, (row, col) in enumerate([(1, 1), (1, 4), (4, 1), (4, 4)]):
        top, left, size = row * scale, col * scale, 3 * scale
        expected[top:top + size, left:left + size] = OCCUPIED if site in occupied else EMPTY
        expected[top + 1:top + size - 1, left + 1:left + size - 1] = 0
        if site in occupied:
            expected[top + scale:top + 2 * scale, left + scale:left + 2 * scale] = 255
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("scale", [1, 4])
def test_image_sites_by_threshold(tmp_path, scale):
    folder = grid_frames(tmp_path)
    common = (folder, "-o", tmp_path / "out", "--sites", "1,1,7,7,3,3", "--min", 0, "--max", 9,
              "--scale", scale)
    assert run("image.py", *common, "--threshold", 9)[0] == 0
    check_boxes(tmp_path / "out/image_0000.png", {0, 3}, scale)
    check_boxes(tmp_path / "out/image_0001.png", {1}, scale)
    assert run("image.py", *common, "--threshold", 10)[0] == 0
    pixels = np.asarray(Image.open(tmp_path / "out/image_0000.png"))
    assert not (pixels == OCCUPIED).all(axis=2).any() and (pixels == EMPTY).all(axis=2).any()


def test_image_sites_by_results(tmp_path):
    folder = grid_frames(tmp_path)
    results = tmp_path / "results.txt"
    results.write_text("[frame 1] rois=4\n0100\n[frame 7] rois=4\n1111\n")
    status, stdout, _ = run("image.py", folder, "-o", tmp_path / "out", "--sites", "1,1,7,7,3,3",
                            "--results", results, "--min", 0, "--max", 9)
    assert status == 0 and "1 frames not in the results" in stdout
    check_boxes(tmp_path / "out/image_0001.png", {1}, 1)
    pixels = np.asarray(Image.open(tmp_path / "out/image_0000.png"))
    assert not (pixels == OCCUPIED).all(axis=2).any()


@pytest.mark.parametrize("text, line, word", [
    ("[frame 1] rois=9\n000000000\n", 1, "rois=9; expected 4"),
    ("[frame 1] rois=4\n010\n", 2, "of 3 characters; expected 4"),
    ("[frame 1] rois=4\n01x0\n", 2, "'01x0'"),
    ("[frame 1] rois=4\n", 2, "expected 4 characters"),
    ("frame 1\n0100\n", 1, "'frame 1'; expected"),
])
def test_image_bad_results(tmp_path, text, line, word):
    folder = grid_frames(tmp_path)
    results = tmp_path / "results.txt"
    results.write_text(text)
    status, stdout, stderr = run("image.py", folder, "--sites", "1,1,7,7,3,3", "--results",
                                 results)
    assert (status, stdout) == (1, "")
    assert stderr.startswith(f"image.py: {results}: line {line}: ") and word in stderr


def write_npy_results(folder, bits, seqs=(1, 7), sites=4):
    """Two records and the table of the four sites of grid_frames."""
    kind = [("seq", "<u8"), ("timestamp_ns", "<u8"), ("latency_ns", "<u8"), ("occupied", "<u4"),
            ("bits", "u1", (4,))]
    records = np.zeros(len(seqs), kind)
    records["seq"] = seqs
    records["bits"][:, :1] = np.packbits(bits, axis=1, bitorder="little")
    records["occupied"] = np.sum(bits, axis=1)
    np.save(folder / "results_1.npy", records)
    table = np.zeros(sites, [("index", "<u4"), ("row", "<u2"), ("col", "<u2"), ("h", "<u2"),
                             ("w", "<u2")])
    table["row"], table["col"] = [1, 1, 4, 4][:sites], [1, 4, 1, 4][:sites]
    table["h"] = table["w"] = 3
    np.save(folder / "results_1.sites.npy", table)
    return folder / "results_1.npy"


@pytest.mark.parametrize("sites", [[], ["--sites", "1,1,7,7,3,3"], ["--sites", "TABLE"]])
def test_image_sites_by_npy_results(tmp_path, sites):
    """The table beside the results is enough."""
    folder = grid_frames(tmp_path)
    results = write_npy_results(tmp_path, [[0, 1, 0, 0], [1, 1, 1, 1]])
    sites = [str(tmp_path / "results_1.sites.npy") if text == "TABLE" else text for text in sites]
    status, stdout, _ = run("image.py", folder, "-o", tmp_path / "out", *sites, "--results",
                            results, "--min", 0, "--max", 9)
    assert status == 0 and "1 frames not in the results" in stdout
    check_boxes(tmp_path / "out/image_0001.png", {1}, 1)
    pixels = np.asarray(Image.open(tmp_path / "out/image_0000.png"))
    assert not (pixels == OCCUPIED).all(axis=2).any()


def test_image_bad_npy_results(tmp_path):
    folder = grid_frames(tmp_path)
    results = write_npy_results(tmp_path, [[0, 1, 0, 1], [1, 1, 1, 1]])

    def refused(word, *options, status=1):
        found, stdout, stderr = run("image.py", folder, "-o", tmp_path / "out", "--results", results,
                                    *options)
        assert (found, stdout) == (status, "") and word in stderr and stderr.count("\n") == 1

    refused("record 0: 2 sites occupied, but 1 of the first 2 bits", "--sites", "1,1,4,7,3,3")
    refused("32 bits; expected 36", "--sites", "1,1,7,7,1,1")
    whole = results.read_bytes()
    results.write_bytes(whole[:-1])
    refused("not a readable .npy file")
    results.write_bytes(b"[frame 1] rois=4\n0101\n")
    refused("not a readable .npy file")
    np.save(results, np.zeros(3))
    refused("expected records with the fields seq, occupied, bits")
    results.write_bytes(whole)
    results.with_name("results_1.sites.npy").unlink()
    refused("results_1.sites.npy: No such file", status=2)


@pytest.mark.parametrize("options, word", [
    (["--threshold", "5"], "need --sites"),
    (["--sites", "1,1,7,7,3"], "expected six numbers"),
    (["--sites", "1,1,7,7,0,3"], "no box in it"),
    (["--sites", "7,1,7,7,3,3"], "no box in it"),
    (["--sites", "1,1,8,8,3,3"], "leaves the frame of 8x8"),
    (["--frame", "5"], "no such frame; the source has seq 0..1"),
    (["--scale", "0"], "expected 1..64"),
    (["--min", "5", "--max", "5"], "--min below --max"),
])
def test_image_wrong_usage(tmp_path, options, word):
    status, stdout, stderr = run("image.py", grid_frames(tmp_path), *options)
    assert (status, stdout) == (2, "") and word in stderr


def test_image_what_cannot_be_read(tmp_path):
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "one.npy", np.zeros(4))
    np.save(tmp_path / "complex.npy", np.zeros((4, 4), dtype=complex))
    np.save(tmp_path / "cut.npy", np.zeros((40, 40)))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-1])
    for name, word in {"text.npy": "not an .npy file", "folder": "no .npy file in it",
                       "one.npy": "shape (4,); expected (H, W)", "complex.npy": "complex128",
                       "cut.npy": "not a readable .npy", "none.npy": "No such file"}.items():
        status, stdout, stderr = run("image.py", tmp_path / name)
        assert (status, stdout) == (2, ""), name
        assert stderr.startswith(f"image.py: {tmp_path / name}: ") and word in stderr, name


def test_image_progress_only_on_a_terminal(tmp_path):
    folder = grid_frames(tmp_path)
    assert run("image.py", folder)[2] == ""
    try:
        parent, child = pty.openpty()
    except OSError as error:
        pytest.skip(f"no terminal to be had: {error}")
    with subprocess.Popen([sys.executable, SCRIPTS / "image.py", folder], stderr=child,
                          stdout=subprocess.PIPE) as tool:
        os.close(child)
        shown = os.read(parent, 4096)
        assert b"PNGs" in tool.communicate(timeout=60)[0]
    os.close(parent)
    assert tool.returncode == 0 and b"1/2" in shown


# npydiff.py

def pair(tmp_path, a, b):
    """Two arrays as files."""
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    return tmp_path / "a.npy", tmp_path / "b.npy"


def test_npydiff_equal(tmp_path):
    files = pair(tmp_path, image_of(1), image_of(1))
    status, stdout, stderr = run("npydiff.py", *files)
    assert (status, stderr) == (0, "") and "equal, uint16 (6, 7)" in stdout
    assert run("npydiff.py", "-q", *files) == (0, "", "")


@pytest.mark.parametrize("a, b, text", [
    (np.zeros((2, 3)), np.zeros((3, 2)), "shapes differ: (2, 3) and (3, 2)"),
    (np.zeros(3, "<u2"), np.zeros(3, "<i2"), "dtypes differ: uint16 and int16"),
    (np.zeros(3, "<u2"), np.zeros(3, ">u2"), "dtypes differ: uint16 and >u2"),
    (np.array([[1, 2], [3, 4]], "<u2"), np.array([[1, 9], [3, 65535]], "<u2"),
     "2 of 4 differ, by at most 65531, first at [0, 1]: 2 and 9"),
    (np.array([-128, 5], "i1"), np.array([127, 5], "i1"),
     "1 of 2 differ, by at most 255, first at [0]: -128 and 127"),
    (np.array([-2**63]), np.array([2**63 - 1]), "by at most 18446744073709551615"),
    (np.array([1.5, np.nan]), np.array([1.0, np.nan]), "2 of 2 differ, by at most 0.5"),
    (np.array([True, False]), np.array([False, False]), "1 of 2 differ, by at most 1"),
    (np.array(3), np.array(5), "1 of 1 differ, by at most 2, first at []"),
    (np.array(["ab", "c"]), np.array(["ab", "d"]), "1 of 2 differ, first at [1]: c and d"),
])
def test_npydiff_different(tmp_path, a, b, text):
    status, stdout, stderr = run("npydiff.py", *pair(tmp_path, a, b))
    assert (status, stderr) == (1, "") and text in stdout and stdout.count("\n") == 1


def test_npydiff_nan(tmp_path):
    files = pair(tmp_path, np.array([1, np.nan, np.nan]), np.array([1, np.nan, 2]))
    assert "2 of 3 differ, first at [1]" in run("npydiff.py", *files)[1]
    status, stdout, _ = run("npydiff.py", "--equal-nan", *files)
    assert status == 1 and "1 of 3 differ, first at [2]" in stdout
    files = pair(tmp_path, np.array([1, np.nan]), np.array([1, np.nan]))
    assert run("npydiff.py", "--equal-nan", *files)[0] == 0


@pytest.mark.parametrize("order", ["CC", "CF", "FF"])
def test_npydiff_across_chunks(tmp_path, order):
    a = np.zeros((5000, 2000), dtype="<u4", order=order[0])
    b = np.zeros((5000, 2000), dtype="<u4", order=order[1])
    assert run("npydiff.py", *pair(tmp_path, a, b))[0] == 0
    b[2500, 17] = 7
    b[4999, 1999] = 3
    status, stdout, _ = run("npydiff.py", *pair(tmp_path, a, b))
    assert status == 1
    assert "2 of 10000000 differ, by at most 7, first at [2500, 17]: 0 and 7" in stdout


def test_npydiff_segments_by_field(segment, tmp_path):
    other = tmp_path / "other.npy"
    records = [record(10), record(11, timestamp_ns=5), *map(record, (12, 13, 14))]
    other.write_bytes(header(5) + b"".join(records))
    status, stdout, stderr = run("npydiff.py", segment, other)
    assert (status, stderr) == (1, "")
    lines = stdout.splitlines()
    assert len(lines) == 2
    assert "field timestamp_ns: 1 of 5 differ, by at most 1000000000000000006, first at [1]" in \
        lines[0]
    assert "field crc32c: 1 of 5 differ" in lines[1]
    status, stdout, _ = run("npydiff.py", segment, other, "--field", "image", "--field", "seq")
    assert status == 0 and "equal, image, seq" in stdout
    flip(other, 4096 + 4 * STRIDE + 2 * (2 * W + 3), 2)
    flip(other, 4096 + 3 * STRIDE - 1)
    status, stdout, _ = run("npydiff.py", segment, other)
    assert f"field image: 1 of {5 * H * W} differ, by at most 4, first at [4, 2, 3]" in stdout
    assert "field pad: 1 of 5 differ, first at [2]" in stdout
    status, _, stderr = run("npydiff.py", segment, other, "--field", "imag")
    assert status == 2 and "no such field; the files have image, magic" in stderr


def test_npydiff_trouble(tmp_path):
    good, _ = pair(tmp_path, image_of(1), image_of(1))
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "cut.npy").write_bytes(good.read_bytes()[:-1])
    (tmp_path / "head.npy").write_bytes(good.read_bytes()[:128])
    (tmp_path / "page.npy").write_bytes(header(5))
    np.save(tmp_path / "object.npy", np.array([None, {}]), allow_pickle=True)
    for name, word in {"text.npy": "not an .npy file", "cut.npy": "cut short",
                       "head.npy": "cut short", "page.npy": "cut short",
                       "object.npy": "cannot be mapped", "none.npy": "No such file"}.items():
        status, stdout, stderr = run("npydiff.py", good, tmp_path / name)
        assert (status, stdout) == (2, ""), name
        assert stderr.startswith(f"npydiff.py: {tmp_path / name}: ") and word in stderr
        assert stderr.count("\n") == 1
    assert run("npydiff.py", good)[0] == 2


def test_npydiff_empty_arrays(tmp_path):
    empty = write_segment(tmp_path / "e_000000.npy", [], index=False)
    assert run("npydiff.py", empty, empty)[0] == 0
    assert run("npydiff.py", *pair(tmp_path, np.zeros((0, 3)), np.zeros((0, 3))))[0] == 0


# simulate.py

def test_simulate_statistics(tmp_path):
    status, stdout, stderr = run("simulate.py", "-o", tmp_path / "sim", "--frames", 100)
    assert (status, stderr) == (0, "") and "100 frames of 300x300 <u2, 400 sites" in stdout
    files = sorted((tmp_path / "sim").iterdir())
    assert [f.name for f in files] == [f"image_{i:04d}.npy" for i in range(100)]
    frames = np.array([np.load(f) for f in files])
    assert frames.dtype == "<u2" and frames.shape == (100, 300, 300)
    truth = np.load(tmp_path / "sim.truth.npy")
    assert truth.dtype == bool and truth.shape == (100, 400)
    # Five standard errors everywhere: 40,000 sites, some 34,800 occupied and 5,200 empty.
    assert abs(truth.mean() - 0.87) < 5 * (0.87 * 0.13 / 40000)**0.5
    sums = frames[:, 50:250, 50:250].reshape(100, 20, 10, 20, 10).sum(axis=(2, 4)).reshape(100, -1)
    # The spots put a little light into their neighbours: 10 * 4 * 0.87 * Q(5 / 1.5) = 0.015.
    assert abs(sums[~truth].mean() - 0.515) < 5 * (0.515 / 5200)**0.5
    assert abs(sums[truth].mean() - 10.5) < 5 * (10.5 / 34800)**0.5 + 0.02
    assert abs(sums[truth].var() / sums[truth].mean() - 1) < 0.05
    background = frames[:, :40].sum() / (100 * 40 * 300)
    assert abs(background - 0.005) < 5 * (0.005 / (100 * 40 * 300))**0.5
    # The spot is centred in its box and as wide as asked for.
    boxes = frames[:, 50:250, 50:250].reshape(100, 20, 10, 20, 10).sum(axis=(0, 1, 3))
    boxes = boxes - 0.005 * 100 * 400
    places = np.arange(10) - 4.5
    for axis in (0, 1):
        share = boxes.sum(axis=axis) / boxes.sum()
        assert abs((share * places).sum()) < 0.02
        assert abs((share * places**2).sum() - (1.5**2 + 1 / 12)) < 0.06


def test_simulate_is_deterministic(tmp_path):
    small = ("--frames", 3, "--height", 40, "--width", 50, "--grid", "5,5,35,45,5,8")
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        assert run("simulate.py", "-o", tmp_path / name, *small, "--seed", seed)[0] == 0
    def content(name):
        return [p.read_bytes() for p in sorted((tmp_path / name).iterdir())] + \
            [(tmp_path / f"{name}.truth.npy").read_bytes()]
    assert content("a") == content("b")
    assert all(x != y for x, y in zip(content("a"), content("c")))
    assert np.load(tmp_path / "a.truth.npy").shape == (3, 30)


@pytest.mark.parametrize("dtype, name", [("u2", "<u2"), ("i2", "<i2"), ("u1", "|u1")])
def test_simulate_stack_and_dtype(tmp_path, dtype, name):
    common = ("--frames", 4, "--height", 20, "--width", 20, "--grid", "0,0,20,20,10,10",
              "--dtype", dtype)
    assert run("simulate.py", "-o", tmp_path / "s", "--stack", *common)[0] == 0
    assert run("simulate.py", "-o", tmp_path / "f", *common)[0] == 0
    assert [p.name for p in (tmp_path / "s").iterdir()] == ["stack.npy"]
    stack = np.load(tmp_path / "s/stack.npy")
    assert stack.dtype.str == name and stack.shape == (4, 20, 20)
    for index, path in enumerate(sorted((tmp_path / "f").iterdir())):
        frame = np.load(path)
        assert frame.dtype.str == name and np.array_equal(frame, stack[index])


def test_simulate_cuts_what_the_dtype_cannot_hold(tmp_path):
    status, stdout, _ = run("simulate.py", "-o", tmp_path / "s", "--frames", 1, "--height", 9,
                            "--width", 9, "--grid", "0,0,9,9,9,9", "--lambda-empty", 81 * 1000,
                            "--dtype", "u1")
    assert status == 0 and "81 pixels cut to 0..255" in stdout
    assert (np.load(tmp_path / "s/image_0000.npy") == 255).all()


def dark_and_lit(tmp_path, *options):
    """Values of pixels of mean light 0 and 4, 40 frames of 50 x 50 of each."""
    common = ("--frames", 40, "--height", 50, "--width", 50, "--grid", "0,0,50,50,50,50",
              "--lambda-occ", 0, "--stack", *options)
    stacks = []
    for name, light in (("dark", 0), ("lit", 4 * 2500)):
        assert run("simulate.py", "-o", tmp_path / name, "--lambda-empty", light, *common)[0] == 0
        stacks.append(np.load(tmp_path / name / "stack.npy").astype(float))
    return stacks


def test_simulated_cmos(tmp_path):
    """Mean offset + gain * light, variance gain^2 (light + noise^2) and that of rounding."""
    dark, lit = dark_and_lit(tmp_path, "--camera", "cmos", "--offset", 100, "--gain", 5,
                             "--read-noise", 1.5)
    n = dark.size
    for values, light in ((dark, 0), (lit, 4)):
        variance = 25 * (light + 1.5**2) + 1 / 12
        assert abs(values.mean() - 100 - 5 * light) < 5 * (variance / n)**0.5
        assert abs(values.var() / variance - 1) < 5 * (2.5 / n)**0.5


def test_simulated_cmos_has_pixels_of_its_own(tmp_path):
    dark, lit = dark_and_lit(tmp_path, "--camera", "cmos", "--offset", 500, "--gain", 20,
                             "--read-noise", 0.5, "--spread", 0.1)
    # What stands still: offsets of 0.1 gains, gains of 10 %.
    offset, light = dark.mean(axis=0), (lit - dark).mean(axis=0)
    assert abs(offset.std() / np.hypot(2, 10 / 40**0.5) - 1) < 0.1
    assert abs(light.std() / np.hypot(8, (2 * 100 + 1600)**0.5 / 40**0.5) - 1) < 0.1


def test_simulated_emccd(tmp_path):
    """Variance 2 gain^2 light, and induced charge where there is no light."""
    dark, lit = dark_and_lit(tmp_path, "--camera", "emccd", "--offset", 200, "--gain", 100,
                             "--read-noise", 0.05, "--induced", 0.02)
    n = dark.size
    for values, light in ((dark, 0.02), (lit, 4.02)):
        variance = 2 * 1e4 * light + 25
        assert abs(values.mean() - 200 - 100 * light) < 5 * (variance / n)**0.5
        assert abs(values.var() / variance - 1) < 0.1
    # A pixel without an electron shows the read noise alone.
    assert abs((np.abs(dark - 200) < 26).mean() - (1 - 0.02 * np.exp(-0.26))) < 0.01


def test_simulated_loss(tmp_path):
    """A lost atom has sent half of its light on average; the truth is that it was there."""
    common = ("--frames", 200, "--height", 30, "--width", 30, "--grid", "0,0,30,30,10,10",
              "--fill", 1, "--lambda-occ", 100, "--lambda-empty", 0, "--psf-sigma", 1, "--stack")
    assert run("simulate.py", "-o", tmp_path / "s", "--loss", 0.5, *common)[0] == 0
    assert np.load(tmp_path / "s.truth.npy").all()
    sums = np.load(tmp_path / "s/stack.npy").reshape(200, 3, 10, 3, 10).sum(axis=(2, 4)).reshape(-1)
    assert abs(sums.mean() - 75) < 5 * (100 * 100 / 6 / len(sums))**0.5
    assert abs((sums < 50).mean() - 0.25) < 5 * (0.25 * 0.75 / len(sums))**0.5


def test_simulate_refuses_a_used_folder(tmp_path):
    small = ("-o", tmp_path / "s", "--height", 9, "--width", 9, "--grid", "0,0,9,9,3,3")
    assert run("simulate.py", *small, "--frames", 5)[0] == 0
    before = (tmp_path / "s/image_0000.npy").read_bytes()
    status, stdout, stderr = run("simulate.py", *small, "--frames", 2, "--seed", 2)
    assert (status, stdout) == (2, "")
    assert "not empty, it holds image_0000.npy" in stderr and "--force" in stderr
    assert (tmp_path / "s/image_0000.npy").read_bytes() == before
    assert run("simulate.py", *small, "--frames", 2, "--seed", 2, "--force")[0] == 0
    assert len(list((tmp_path / "s").iterdir())) == 2


@pytest.mark.parametrize("options, word", [
    (["--grid", "1,2,3"], "expected six numbers"),
    (["--grid", "50,50,250,305,10,10"], "leaves the frame of 300x300"),
    (["--grid", "50,50,250,250,0,10"], "no box in it"),
    (["--fill", "1.5"], "expected 0..1"),
    (["--frames", "0"], "expected 1..1e+07"),
    (["--psf-sigma", "0"], "expected 0.001..1000"),
    (["--psf-sigma", "nan"], "expected 0.001..1000"),
    (["--dtype", "f4"], "invalid choice"),
    (["--frames", "many"], "invalid whole number value"),
    (["--loss", "2"], "expected 0..1"),
    (["--camera", "film"], "invalid choice"),
    (["--gain", "8"], "expected --camera emccd or cmos with them"),
])
def test_simulate_wrong_usage(tmp_path, options, word):
    status, stdout, stderr = run("simulate.py", "-o", tmp_path / "s", *options)
    assert (status, stdout) == (2, "") and word in stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("tool", ["decode.py", "fidelity.py", "image.py", "npydiff.py",
                                  "simulate.py"])
def test_help(tool):
    status, stdout, stderr = run(tool, "--help")
    assert (status, stderr) == (0, "") and "usage:" in stdout and "Exit status: 0" in stdout
    assert os.access(SCRIPTS / tool, os.X_OK)
    assert (SCRIPTS / tool).read_text().startswith("#!/usr/bin/env python3\n# SPDX-License-Id")
