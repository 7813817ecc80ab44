# SPDX-License-Identifier: BSD-3-Clause
"""dma_replay: an archived run as a source. What a replay decides and archives is what the live run
did, bit by bit."""

import contextlib
import ctypes
import mmap
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

import harness
from oracle import dipformat
from test_faults import strace_command

SIM = "dma_sim0,width=64,height=48,rows=4,cols=5,origin_row=8,origin_col=9,seed=11"
GRID = {"pois.row_start": 3, "pois.col_start": 4, "pois.row_end": 43, "pois.col_end": 54,
        "pois.roi_w": 10, "pois.roi_h": 10}
LIVE = {"main.nth_archive": 1, "main.overrun": "block", "dma.pace_frames": False,
        "dma.loop_frames": False}
ONCE = {"main.nth_archive": 0, "main.overrun": "block", "dma.pace_frames": False,
        "dma.loop_frames": False}


def live(dip, frames=300, sim=SIM, faults=None, seconds=None, **sets):
    """An archived run of the simulator."""
    vdev = f"{sim},frames={frames}" + (f",faults={faults}" if faults else "")
    return dip.run(None, seconds, device="dma_sim0",
                   sets={**LIVE, **GRID, **{k.replace("__", "."): v for k, v in sets.items()}},
                   eal_args=harness.eal(2, vdevs=[vdev]))


def replay(dip, path, seconds=None, workers=2, status=0, start=False, prefix=(), **given):
    """A replay of it. Arguments of the device are those without a point in their name."""
    sets = {k.replace("__", "."): v for k, v in given.items() if "__" in k}
    arguments = "".join(f",{k}={v}" for k, v in given.items() if "__" not in k)
    vdev = f"dma_replay0,path={str(path).replace(',', '%2C')}{arguments}"
    argv = [*prefix, *dip.command(None, seconds, device="dma_replay0", sets={
        **ONCE, **GRID, **sets}, eal_args=harness.eal(workers, vdevs=[vdev]))]
    run = dip.start(argv=argv)
    return run if start else dip.end(run, status)


def records(folder):
    """All records of an archive in order of seq."""
    parts = np.concatenate([np.load(path) for path in sorted(Path(folder).glob("*.npy"))])
    return parts[np.argsort(parts["seq"])]


def lines(run):
    """{seq: the line of bits}."""
    text = run.results().read_text(encoding="ascii").splitlines()
    return {int(re.match(r"\[frame (\d+)\]", head)[1]): bits
            for head, bits in zip(text[::2], text[1::2])}


def test_more_segments_than_files_may_be_open(dip):
    """The soft limit is raised as far as is needed; where the hard one is too low, it is told."""
    original = live(dip, arch__segment_bytes=1 << 16)
    segments = len(list(original.archive().glob("*.npy")))
    assert segments > 30
    run = replay(dip, original.archive(), prefix=["prlimit", f"--nofile={segments + 20}:4096"])
    assert run.stats["proc_frames"] == 300 and lines(run) == lines(original)
    run = replay(dip, original.archive(), start=True, prefix=["prlimit", f"--nofile={segments + 20}"])
    run.finish()
    assert run.status == 2
    assert f"a run of {segments} segments needs more open files than are allowed; allow them: ulimit -n" \
        in run.stderr


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("way", ["uring", "buffered", "no uring", "paced", "depth 1", "path"])
def test_results_are_those_of_the_live_run(dip, way, workers):
    """To the byte, however the records are read."""
    original = live(dip, arch__segment_bytes=1 << 20)
    assert len(list(original.archive().glob("*.npy"))) > 1
    options = {"buffered": {"direct": "false"}, "depth 1": {"depth": 1},
               "paced": {"dma__pace_frames": True, "speed": 3}}.get(way, {})
    prefix = []
    if way == "no uring":
        prefix = [*strace_command(), "-f", "-qq", "-o", os.devnull, "-e", "trace=io_uring_setup", "-e",
                  "inject=io_uring_setup:error=EPERM"]
    if way == "path":
        run = dip.run(original.archive(), sets={**ONCE, **GRID})
        assert run.report["device"]["name"] == "dma_replay0"
    else:
        run = replay(dip, original.archive(), workers=workers, prefix=prefix, **options)
    assert run.due() == 300 == run.stats["dma_frames"] and run.stats["dma_gaps"] == 0
    assert run.results().read_bytes() == original.results().read_bytes()
    assert run.stderr.count("pread instead") == (way == "no uring")
    assert "page cache" not in run.stderr


@pytest.mark.parametrize("workers", [1, 3])
def test_records_of_the_results_are_those_of_the_live_run(dip, workers):
    """With sums, margins and time stamps; only how long a decision took is of the run itself."""
    npy = {"proc__results": "npy", "proc__sums": True}
    original = live(dip, 300, faults="lost@17", **npy)
    run = replay(dip, original.archive(), workers=workers, **npy)
    before, after = np.load(original.results()), np.load(run.results())
    assert before.dtype == after.dtype and len(before) == len(after) == 299
    assert {"seq", "timestamp_ns", "sums", "margin", "latency_ns"} < set(before.dtype.names)
    assert len(np.unique(before["sums"])) > 10
    for field in before.dtype.names:
        if field != "latency_ns":
            assert before[field].tobytes() == after[field].tobytes(), field


def resident(path):
    """The share of a file's pages that are in the page cache."""
    size = path.stat().st_size
    with open(path, "rb") as file, mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) as pages:
        count = -(-size // mmap.PAGESIZE)
        marks = (ctypes.c_ubyte * count)()
        address = np.frombuffer(pages, np.uint8).ctypes.data
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), marks) == 0
    return sum(mark & 1 for mark in marks) / count


def forget(folder):
    """Nothing of it is in the page cache any more."""
    for path in sorted(folder.iterdir()):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def ring_info(pid):
    """What the kernel says of a process's io_uring: [{name: value}], with the bytes of registered
    memory as "bytes". It leaves them out while the ring is in use."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        if os.readlink(entry) == "anon_inode:[io_uring]":
            for _ in range(100):
                text = Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text(encoding="ascii")
                if "UserBufs" in text:
                    break
            info = dict(re.findall(r"^(\w+):\s*(\S+)", text, re.M))
            buffers = text.partition("UserBufs")[2].partition("PollList")[0]
            info["bytes"] = sum(int(size) for size in re.findall(
                r"^\s*\d+:\s*0x[0-9a-f]+/(\d+)", buffers, re.M))
            found.append(info)
    return found


def opened(pid, folder):
    """[the flags] of the descriptors that a process has of files in a folder."""
    flags = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if Path(os.readlink(entry)).parent == folder:
                text = Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text(encoding="ascii")
                flags.append(int(re.search(r"flags:\s*(\d+)", text)[1], 8))
    return flags


BIG = {"pois__row_start": 0, "pois__col_start": 0, "pois__row_end": 100, "pois__col_end": 100}


@pytest.mark.parametrize("direct", [True, False])
def test_the_disk_fills_the_slabs(dip, direct):
    """By io_uring, into memory that is registered and is the slabs, and past the page cache unless
    told otherwise: afterwards the frames are not in it."""
    original = live(dip, 200, "dma_sim0,width=200,height=200,cycle=3", **BIG)
    folder = original.archive()
    segment = next(folder.glob("*.npy"))
    forget(folder)
    if resident(segment) > 0.02:
        pytest.skip("this file system forgets nothing: is it in memory?")
    # What gives each frame its time is to read all of them and then wait.
    run = replay(dip, folder, 0, start=True, direct=str(direct).lower(), dma__loop_frames=True,
                 dma__pace_frames=True, main__slabs=64, depth=8, speed=0.2, **BIG)
    dip.wait_for_results(run, 2)
    rings, flags = ring_info(run.pid), opened(run.pid, folder)
    assert len(rings) == 2  # one for each lcore that takes frames
    # Slabs of a run that does not archive have no room for a trailer.
    slab = -(-200 * 200 * 2 // 4096) * 4096
    assert all(ring["bytes"] == 64 * slab for ring in rings)
    assert all(int(ring["UserFiles"]) == 1 for ring in rings)
    submitted = sum(int(ring["SqTail"]) for ring in rings)
    assert submitted >= 8
    assert any(flag & os.O_DIRECT for flag in flags) == direct
    dip.stop(run)
    # Trailers were read beforehand: a page of each record, of twenty.
    if direct:
        assert resident(segment) < 0.3
    else:
        assert "page cache" not in run.stderr  # it was asked for
    assert run.stats["dma_missed"] == 0 and run.stats["dma_frames"] >= 8


@pytest.mark.parametrize("shape", ["64x48", "64x32", "16x16", "300x200", "1x1"])
@pytest.mark.parametrize("block", [512, 4096])
@pytest.mark.parametrize("checksum", [True, False])
def test_archived_again_it_is_the_same(dip, shape, block, checksum):
    """Images, numbers and time stamps, whatever the stride is to the slab: 64 x 32 pixels fill a
    page, so that the record is longer than a slab of a run that does not archive."""
    width, height = map(int, shape.split("x"))
    sim = (f"dma_sim0,width={width},height={height},rows=1,cols=1,origin_row=0,origin_col=0,"
           "background=3")
    grid = {"pois__row_start": 0, "pois__col_start": 0, "pois__row_end": 1, "pois__col_end": 1,
            "pois__roi_w": 1, "pois__roi_h": 1}
    original = live(dip, 100, sim, arch__block_bytes=block, arch__checksum=checksum, **grid)
    again = replay(dip, original.archive(), main__nth_archive=1, **grid)
    before, after = records(original.archive()), records(again.archive())
    for field in ("image", "seq", "timestamp_ns"):
        assert np.array_equal(before[field], after[field]), field
    assert again.results().read_bytes() == original.results().read_bytes()
    only = replay(dip, original.archive(), **grid)
    assert only.results().read_bytes() == original.results().read_bytes()


def test_every_nth_frame(dip):
    """The numbers between are gaps: not due, not missed, and counted under their own name."""
    original = live(dip, 301, main__nth_archive=5)
    run = replay(dip, original.archive())
    assert (run.due(), run.stats["dma_frames"], run.stats["dma_gaps"]) == (301, 61, 240)
    assert run.stats["dma_missed"] == 0
    whole = lines(original)
    assert lines(run) == {seq: whole[seq] for seq in range(0, 301, 5)}


def test_gaps_as_they_were(dip):
    """Frames that the live run lost are lost in the replay, and it says so."""
    original = live(dip, 200, faults="lost@0+lost@7+lost@8+lost@150")
    run = replay(dip, original.archive(), workers=3)
    assert run.due() == 200 and run.stats["dma_gaps"] == 4 and run.stats["dma_missed"] == 0
    assert run.results().read_bytes() == original.results().read_bytes()


@pytest.mark.parametrize("nth", [1, 4])
def test_over_and_over(dip, nth):
    """Numbers go on rising, with the step of the run, and so do moments, where one lcore takes all."""
    original = live(dip, 40, main__nth_archive=nth, proc__worker_threads=1)
    run = replay(dip, original.archive(), 0.5, dma__loop_frames=True, main__nth_archive=1,
                 proc__worker_threads=1)
    assert run.stats["dma_frames"] > 100
    seqs = np.array(sorted(lines(run)))
    assert np.array_equal(seqs, np.arange(len(seqs)) * nth)
    first, again = records(original.archive()), records(run.archive())
    kinds = np.arange(len(again)) % len(first)
    assert np.array_equal(again["image"], first["image"][kinds])
    assert (np.diff(again["timestamp_ns"].astype(np.int64)) > 0).all()


@pytest.mark.parametrize("speed", [1, 5])
def test_spacing(dip, speed):
    """Frames come when they came, or so many times faster; a pause is a pause."""
    original = live(dip, 200, faults="late:400@100", seconds=1.5, dma__pace_frames=True,
                    main__fps=500)
    stamps = records(original.archive())["timestamp_ns"].astype(np.int64)
    length = (stamps[-1] - stamps[0]) / 1e9
    assert 0.4 < length < 2
    run = replay(dip, original.archive(), speed=speed, dma__pace_frames=True,
                 main__overrun="block", main__fps=1e9)
    assert run.stats["dma_frames"] == 200 and run.stats["dma_missed"] == 0
    assert length / speed <= run.stats["elapsed_sec"] < length / speed + 1


@pytest.mark.parametrize("index", [True, False])
def test_raw_run(dip, index):
    """Its numbers are in its index; it knows no moments, so that main.fps paces it."""
    original = live(dip, 150, arch__format="raw", arch__make_index=index,
                    faults="lost@9" if index else None)
    run = replay(dip, original.archive(), width=64, height=48)
    assert run.results().read_bytes() == original.results().read_bytes()
    run = replay(dip, original.archive(), width=64, height=48, dma__pace_frames=True,
                 main__fps=300)
    assert run.results().read_bytes() == original.results().read_bytes()
    assert 0.49 <= run.stats["elapsed_sec"] < 1.2


def test_without_o_direct(dip):
    """Frames of 60 x 48 pixels do not begin where it wants them to: a line says so, once."""
    original = live(dip, 150, SIM.replace("width=64", "width=60"), arch__format="raw")
    run = replay(dip, original.archive(), width=60, height=48)
    assert run.results().read_bytes() == original.results().read_bytes()
    line = [line for line in run.stderr.splitlines() if "O_DIRECT" in line]
    assert len(line) == 1 and line[0].endswith(
        "O_DIRECT is not to be had for 1 of 1 segments; reading them through the page cache "
        "instead")
    run = replay(dip, original.archive(), width=60, height=48, direct="false")
    assert run.results().read_bytes() == original.results().read_bytes()
    assert "O_DIRECT" not in run.stderr


def test_one_segment(dip):
    original = live(dip, 300, arch__segment_bytes=1 << 20)
    second = sorted(original.archive().glob("*.npy"))[1]
    run = replay(dip, second)
    seqs = np.load(second)["seq"]
    assert sorted(lines(run)) == sorted(seqs.tolist())
    assert run.stats["dma_gaps"] == run.due() - len(seqs)


def flip(path, offset):
    """One bit of a file."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 4]))


@pytest.mark.parametrize("prefix", [False, True], ids=["uring", "no uring"])
def test_a_damaged_frame_is_lost(dip, prefix):
    """Counted, and no other is harmed; verify=false takes it as it is."""
    original = live(dip, 100)
    path = next(original.archive().glob("*.npy"))
    slot = int(np.flatnonzero(np.load(path)["seq"] == 42)[0])
    flip(path, 4096 + slot * 8192 + 1000)
    command = [*strace_command(), "-f", "-qq", "-o", os.devnull, "-e", "trace=io_uring_setup", "-e",
               "inject=io_uring_setup:error=EPERM"] if prefix else []
    run = replay(dip, original.archive(), prefix=command)
    assert run.stats["dma_missed"] == run.stats["dma_damaged"] == 1
    whole = lines(original)
    del whole[42]
    assert lines(run) == whole
    run = replay(dip, original.archive(), verify="false", prefix=command)
    assert run.stats["dma_missed"] == 0 and len(lines(run)) == 100


def test_a_segment_cut_while_it_is_read(dip):
    """The device fails: exit status 1, everything before it whole, every frame accounted for."""
    original = live(dip, 400, arch__segment_bytes=1 << 30)
    path = next(original.archive().glob("*.npy"))
    run = replay(dip, original.archive(), 0, start=True, dma__pace_frames=True, speed=1e-2)
    dip.wait_for_results(run, 2)
    os.truncate(path, 4096 + 8192 * 2)
    run = dip.end(run, status=1)
    assert run.stats["dma_errors"] >= 1 and run.stats["dma_missed"] >= 1
    assert "the device has failed" in run.stderr


@pytest.mark.parametrize("paced", [True, False])
def test_stopped_in_flight(dip, paced):
    """A signal: what is on its way is still delivered, and the books balance."""
    original = live(dip, 300)
    for before in range(1, 4):
        run = replay(dip, original.archive(), 0, start=True, dma__loop_frames=True,
                     dma__pace_frames=paced, speed=0.5)
        dip.wait_for_results(run, before + 1)
        run = dip.stop(run, signal.SIGTERM)
        assert run.stats["dma_frames"] == len(lines(run)) > 0
        assert run.stats["dma_missed"] == 0


def test_dropping_replay(dip):
    """Under drop a paced replay that cannot be kept up with loses frames, counted."""
    original = live(dip, 300)
    run = replay(dip, original.archive(), 1, dma__pace_frames=True, speed=1e6, main__slabs=4,
                 main__overrun="drop", dma__loop_frames=True, depth=4)
    assert run.stats["dma_missed"] == run.stats["dma_pool_exhaust"] > 0


# --- what is no run ---

def refuse(dip, words, path, by_name=True, **arguments):
    """Exit 2, one line, by --device and, without other arguments, by the path alone."""
    made = set(dip.folder.iterdir())
    text = "".join(f",{k}={v}" for k, v in arguments.items())
    ways = [["--device", f"dma_replay0,path={path}{text}"]]
    if by_name and not arguments:
        ways.append([str(path)])
    for way in ways:
        run = dip.start(argv=[harness.program(), *way, "1"]).finish()
        said = harness.refusals(run.stderr)
        assert run.status == 2 and run.stdout == "" and len(said) == 1, run.stderr
        assert all(word in said[0] for word in words), said[0]
    assert set(dip.folder.iterdir()) == made


@pytest.fixture(name="run")
def archived_run(dip):
    """A folder with a run of two segments."""
    return live(dip, 200, arch__segment_bytes=1 << 20).archive()


def test_nothing_there(dip, tmp_path, run):
    refuse(dip, ["/none", "No such file"], "/none")
    (tmp_path / "empty").mkdir()
    refuse(dip, ["empty", "no segments", "expected"], tmp_path / "empty", by_name=False)
    refuse(dip, ["no path", "expected"], "")
    refuse(dip, ["speed=0", "out of range"], run, speed=0)
    refuse(dip, ["speed=abc", "expected a number"], run, speed="abc")
    refuse(dip, ["speed=nan", "expected a number"], run, speed="nan")
    refuse(dip, ["verify=2", "expected true or false"], run, verify=2)
    refuse(dip, ["sped=1", "unknown argument", "speed"], run, sped=1)
    refuse(dip, ["faults=...seed:x", "no whole number"], run, faults="lost@1+seed:x")
    refuse(dip, ["depth=257", "256"], run, depth=257)
    (tmp_path / "text.npy").write_text("no segment")
    refuse(dip, ["text.npy"], tmp_path / "text.npy")


def test_plain_frames_are_no_run(dip, tmp_path):
    (tmp_path / "plain").mkdir()
    np.save(tmp_path / "plain/frames_000000.npy", np.zeros((64, 48), "<u2"))
    refuse(dip, ["frames_000000.npy", "plain array"], tmp_path / "plain", by_name=False)


@pytest.mark.parametrize("what", ["cut in a record", "cut at a record", "longer", "header", "magic",
                                  "run_id", "hole"])
def test_damaged_segments(dip, run, what):
    """Named, with the remedy."""
    path = sorted(run.glob("*.npy"))[-1]
    size, end = path.stat().st_size, 4096 + 8192 * 3 + 64 * 48 * 2
    words = {"cut in a record": ["promises", "recover"], "cut at a record": ["promises", "recover"],
             "longer": ["promises", "recover"], "header": ["damaged"],
             "magic": ["record 3", "magic", "recover"], "run_id": ["record 3", "run_id"],
             "hole": ["record 3", "never written"]}[what]
    if what.startswith("cut"):
        os.truncate(path, size - (100 if what == "cut in a record" else 8192))
    elif what == "longer":
        os.truncate(path, size + 8192)
    elif what == "hole":
        with open(path, "r+b") as file:
            file.seek(end)
            file.write(bytes(40))
    else:
        flip(path, {"header": 5, "magic": end, "run_id": end + 24}[what])
    if what == "header":
        words = [path.name]
    refuse(dip, [path.name, *words], run)


def test_segments_of_another_run(dip, run):
    """Foreign records are not played as if they belonged here."""
    other = live(dip, 100).archive()
    shutil.copy(next(other.glob("*.npy")), run / "frames_000002.npy")
    refuse(dip, ["frames_000002.npy", "record 0", "run_id", "another run"], run)


def test_segments_of_another_shape(dip, run):
    other = live(dip, 100, SIM.replace("height=48", "height=50")).archive()
    shutil.copy(next(other.glob("*.npy")), run / "frames_000002.npy")
    refuse(dip, ["frames_000002.npy", "50x64", "48x64"], run)


def test_a_frame_that_is_there_twice(dip, run):
    shutil.copy(run / "frames_000000.npy", run / "frames_000002.npy")
    refuse(dip, ["twice", "expected every number once"], run)


def test_a_run_without_frames(dip, run):
    path = run / "frames_000000.npy"
    (run / "frames_000001.npy").unlink()
    promised = dipformat.Segment(path).promised
    text = path.read_bytes()[:4096].rstrip().replace(f"({promised},)".encode(), b"(0,)")
    path.write_bytes(text.ljust(4095) + b"\n")
    refuse(dip, ["a run without frames", "expected"], run)


def test_raw_without_its_shape(dip):
    folder = live(dip, 20, arch__format="raw").archive()
    refuse(dip, ["frames_000000.bin", "width=", "height="], folder)
    refuse(dip, ["frames_000000.bin", "whole frames"], folder, width=63, height=48)


def test_a_run_that_is_being_written(dip, run):
    with open(run / "frames_000001.npy", "r+b"):
        probe = subprocess.run(
            ["/usr/bin/python3", "-c", "import fcntl,sys; f=open(sys.argv[1]); "
             "fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_RDLCK)", run / "frames_000001.npy"],
            check=False, capture_output=True)
        if probe.returncode == 0:
            pytest.skip("no leases on this file system")
        refuse(dip, ["frames_000001.npy", "being written"], run)
