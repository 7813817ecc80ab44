# SPDX-License-Identifier: BSD-3-Clause
"""What the program must have written, computed with numpy: every decided bit, every archived
byte."""

import math
import re
import sys

import numpy as np

from harness import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import dipformat  # noqa: E402, pylint: disable=wrong-import-position

_CHUNK_BYTES = 64 << 20


class Scene:
    """Source frames whose contents all differ, and a grid over them of which about half the sites
    are occupied, so that a frame decided in another's place shows."""

    def __init__(self, count, height, width, roi=(4, 4), seed=1, margin=0):
        rng = np.random.default_rng(seed)
        top = min(65536, 2 * 900_000 // (roi[0] * roi[1]))
        self.frames = rng.integers(0, top, (count, height, width), dtype=np.uint16)
        rows, cols = (height - 2 * margin) // roi[0], (width - 2 * margin) // roi[1]
        assert rows > 0 and cols > 0
        self.grid = (margin, margin, rows, cols, *roi)
        mean = (top - 1) / 2 * roi[0] * roi[1]
        self.lambdas = (mean * 0.98, mean * 1.02)

    @property
    def sites(self):
        """Sites of the grid."""
        return self.grid[2] * self.grid[3]

    @property
    def threshold(self):
        """T of the closed form; fp_target is 1 in sets()."""
        low, high = self.lambdas
        return math.ceil((high - low) / math.log(high / low))

    def sets(self, **others):
        """The settings that belong to the scene, and others."""
        row, col, rows, cols, height, width = self.grid
        return {"pois.row_start": row, "pois.col_start": col, "pois.roi_h": height,
                "pois.roi_w": width, "pois.row_end": row + rows * height,
                "pois.col_end": col + cols * width, "pois.lambda_empty": self.lambdas[0],
                "pois.lambda_occ": self.lambdas[1], "pois.fp_target": 1, "pois.max_k": 1000000,
                **others}

    def write(self, folder):
        """One file a frame; returns the folder."""
        folder.mkdir(parents=True)
        for i, frame in enumerate(self.frames):
            np.save(folder / f"frame_{i:05d}.npy", frame)
        return folder

    def bits(self):
        """(frames, sites) of 0 and 1."""
        return grid_sums(self.frames, self.grid) >= self.threshold


def grid_sums(frames, grid):
    """(frames, sites): the sum of the pixels of each site, row by row."""
    row, col, rows, cols, height, width = grid
    part = frames[:, row:row + rows * height, col:col + cols * width].astype(np.uint64)
    return part.reshape(len(frames), rows, height, cols, width).sum((2, 4)).reshape(len(frames), -1)


def results_dtype(sites, sums=False, wide=False):
    """Of the records of an npy results file."""
    fields = [("seq", "<u8"), ("timestamp_ns", "<u8"), ("latency_ns", "<u8"), ("occupied", "<u4"),
              ("bits", "u1", (-(-(28 + -(-sites // 8)) // 8) * 8 - 28,))]
    kind = "<i8" if wide else "<i4"
    if sums:
        fields += [("sums", kind, (sites,)), ("margin", kind, (sites,))]
    return np.dtype(fields)


def unpack(records, sites):
    """(records, sites) of occupied or not; what is behind the last site is zero."""
    bits = np.unpackbits(records["bits"], axis=1, bitorder="little")
    assert not bits[:, sites:].any()
    assert np.array_equal(records["occupied"], bits.sum(axis=1))
    return bits[:, :sites].astype(bool)


def read_npy_results(path, sites):
    """The same of a file of NumPy records that numpy reads by itself, with nothing behind them."""
    records = np.load(path, mmap_mode="r")
    sums = "sums" in records.dtype.names
    wide = sums and records.dtype["sums"].base == np.dtype("<i8")
    assert records.dtype == results_dtype(sites, sums, wide)
    assert path.stat().st_size == 1024 + records.nbytes, "not whole records"
    return records["seq"].astype(np.int64), unpack(records, sites)


def read_results(path, sites):
    """(seqs, bits) of a results file; anything but whole, canonical lines is an error."""
    if path.suffix == ".npy":
        return read_npy_results(path, sites)
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b"", "the results file ends within a line"
    heads, rows = lines[0::2], lines[1::2]
    assert len(heads) == len(rows), "a frame without its line of sites"
    seqs = [int(re.match(rb"\[frame (\d+)\]", head)[1]) for head in heads]
    for seq, head in zip(seqs, heads):
        assert head == b"[frame %d] rois=%d" % (seq, sites)
    bits = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), sites) - ord("0")
    assert all(len(row) == sites for row in rows)
    assert bits.size == 0 or bits.max() <= 1
    return np.array(seqs, dtype=np.int64), bits.astype(bool)


def check_results(run, scene):
    """Every processed frame's bits, in strictly ascending order. Returns the seqs."""
    seqs, bits = read_results(run.results(), scene.sites)
    assert run.report["detector"]["threshold"] == scene.threshold
    assert run.report["detector"]["sites"] == scene.sites
    assert len(seqs) == run.stats["results_frames"]
    assert np.all(np.diff(seqs) > 0), "results are not in strictly ascending order of seq"
    assert len(seqs) == 0 or seqs[-1] < run.due()
    wrong = np.flatnonzero((bits != scene.bits()[seqs % len(scene.frames)]).any(axis=1))
    assert len(wrong) == 0, f"{len(wrong)} frames with wrong bits, the first is {seqs[wrong[0]]}"
    if run.stats["results_io_errors"] == 0:
        assert run.stats["proc_occupied"] == int(bits.sum())
        assert run.stats["proc_frames"] == len(seqs)
    return seqs


def check_images(images, seqs, scene):
    """Every pixel of every archived frame, in parts that fit into memory."""
    step = max(1, _CHUNK_BYTES // max(1, images[:1].nbytes))
    for first in range(0, len(seqs), step):
        part, kinds = images[first:first + step], seqs[first:first + step] % len(scene.frames)
        for kind in np.unique(kinds):
            same = (part[kinds == kind] == scene.frames[kind]).all(axis=(1, 2))
            bad = seqs[first:first + step][kinds == kind][~same]
            assert same.all(), f"frame {bad[0]} is archived with wrong pixels"


def _expected_crcs(records, scene, covered):
    """CRC-32C of image and trailer. It is linear but for a constant: that of an image with a zero
    trailer, which few frames share, and what the trailer adds to it, give the whole."""
    size = scene.frames[0].nbytes
    rows = np.zeros((len(scene.frames), size + covered), np.uint8)
    rows[:, :size] = scene.frames.reshape(len(rows), -1).view(np.uint8).reshape(len(rows), -1)
    of_images = dipformat.crc32c_rows(rows)
    head = [name for name, _ in dipformat.TRAILER if name != "crc32c"]
    trailers = np.zeros(len(records), np.dtype(
        [(name, kind) for name, kind in dipformat.TRAILER if name != "crc32c"]))
    for name in head:
        trailers[name] = records[name]
    assert trailers.itemsize == covered
    of_trailers = dipformat.crc32c_rows(trailers.view(np.uint8).reshape(len(records), covered))
    of_zeros = dipformat.crc32c(bytes(covered))
    kinds = records["seq"].astype(np.int64) % len(scene.frames)
    return of_images[kinds] ^ of_trailers ^ np.uint32(of_zeros)


def _check_trailers(records, run, scene, checksum):
    image_bytes = scene.frames[0].nbytes
    assert np.all(records["magic"] == int.from_bytes(b"DIPF", "little"))
    assert np.all(records["version"] == 1)
    assert np.all(records["length"] == image_bytes)
    assert np.all(records["flags"] == (1 if checksum else 0))
    stamps = records["timestamp_ns"].astype(np.int64)
    assert np.all((stamps >= run.t0) & (stamps <= run.t1)), "a timestamp outside of the run"
    if "pad" in records.dtype.names:
        assert not np.frombuffer(records["pad"].tobytes(), np.uint8).any()
    expected = _expected_crcs(records, scene, 36) if checksum else 0
    assert np.all(records["crc32c"] == expected), "a wrong CRC"


def _open_npy(path, scene, block_bytes):
    """A segment's records, through numpy alone, with the file's size checked."""
    records = np.load(path, mmap_mode="r")
    height, width = scene.frames[0].shape
    stride = -(-(scene.frames[0].nbytes + 40) // block_bytes) * block_bytes
    assert records.dtype == dipformat.record_dtype(height, width, stride)
    assert path.stat().st_size == 4096 + len(records) * stride, "not cut to the truth"
    return records, 4096, stride


def _read_index(path):
    """(seqs, offsets) of an index."""
    lines, faults = dipformat.read_index(path)
    assert not faults
    table = np.array([line[1:] for line in lines], dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _check_npy(path, run, scene, options):
    records, start, stride = _open_npy(path, scene, options["block_bytes"])
    seqs = records["seq"].astype(np.int64)
    check_images(records["image"], seqs, scene)
    _check_trailers(records, run, scene, options["checksum"])
    return seqs, start, stride, set(records["run_id"].tolist())


def _check_raw(path, run, scene, options):
    del run, options
    images = np.fromfile(path, "<u2")
    stride = scene.frames[0].nbytes
    assert images.nbytes == path.stat().st_size and images.nbytes % stride == 0
    images = images.reshape(-1, *scene.frames[0].shape)
    # Without an index a raw frame is known by its content alone.
    kinds = {frame.tobytes(): i for i, frame in enumerate(scene.frames)}
    seqs = np.array([kinds[image.tobytes()] for image in images], dtype=np.int64)
    if path.with_suffix(".idx").exists():
        seqs = _read_index(path.with_suffix(".idx"))[0]
        check_images(images, seqs, scene)
    return seqs, 0, stride, set()


def check_archive(run, scene, **given):
    """Every archived frame of a run. Returns the seqs, segment after segment."""
    options = {"npy": True, "block_bytes": 4096, "checksum": True, "index": True, "nth": 1, **given}
    folder = run.archive()
    if folder is None or not folder.exists():
        assert run.stats["arch_frames"] == 0
        return np.zeros(0, np.int64)
    suffix = "npy" if options["npy"] else "bin"
    segments = sorted(folder.glob(f"*.{suffix}"))
    assert [s.stem[-6:] for s in segments] == [f"{i:06d}" for i in range(len(segments))]
    files = len(segments) * (2 if options["index"] else 1)
    assert len(list(folder.iterdir())) == files + (folder / "run.h5").exists()
    every, run_ids = [], set()
    for path in segments:
        check = _check_npy if options["npy"] else _check_raw
        seqs, start, stride, ids = check(path, run, scene, options)
        assert len(seqs) > 0, f"{path.name} is empty"
        run_ids |= ids
        every.append(seqs)
        if options["index"]:
            idx_seqs, offsets = _read_index(path.with_suffix(".idx"))
            assert np.array_equal(idx_seqs, seqs), f"{path.name}: its index names other frames"
            assert np.array_equal(offsets, start + stride * np.arange(len(seqs)))
    assert len(run_ids) <= 1, "several run_ids in one run"
    seqs = np.concatenate(every) if every else np.zeros(0, np.int64)
    assert len(seqs) == run.stats["arch_frames"]
    if options["index"] or options["npy"]:
        assert len(np.unique(seqs)) == len(seqs), "a frame is archived twice"
        assert np.all(seqs % options["nth"] == 0) and np.all(seqs < run.due())
    return seqs


def check_lossless(run, scene, nth=1, **given):
    """No frame of the run is missing anywhere."""
    assert run.stats["dma_missed"] == 0
    assert np.array_equal(check_results(run, scene), np.arange(run.due()))
    seqs = check_archive(run, scene, nth=nth, **given) if nth else np.zeros(0, np.int64)
    assert np.array_equal(np.sort(seqs), np.arange(0, run.due() if nth else 0, max(nth, 1)))
