# SPDX-License-Identifier: BSD-3-Clause
"""dma_file with more frames than it may hold in memory: read ahead from the disk, the same frames to
the bit, without a loss."""

import os
import shutil

import numpy as np
import pytest

import harness
from oracle import Scene, check_archive, check_lossless, check_results
from test_faults import complaints
from test_replay import forget, resident

BLOCK = {"main.nth_archive": 1, "main.overrun": "block", "dma.pace_frames": False}


def play(dip, path, scene, seconds=None, status=0, workers=2, start=False, prefix=(), sets=None,
         **given):
    """A run of dma_file with arguments of its own."""
    arguments = "".join(f",{key}={value}" for key, value in given.items())
    argv = [*prefix, *dip.command(
        None, seconds, device="dma_file0", sets=scene.sets(**{**BLOCK, **(sets or {})}),
        eal_args=harness.eal(workers, vdevs=[f"dma_file0,path={path}{arguments}"]))]
    run = dip.start(argv=argv)
    return run if start else dip.end(run, status)


def stacks(folder, frames, dtype, fortran=False):
    """Two stacks with all frames."""
    folder.mkdir()
    half = len(frames) // 2
    for name, part in (("a", frames[:half]), ("b", frames[half:])):
        part = part.astype(dtype)
        np.save(folder / f"{name}.npy", np.asfortranarray(part) if fortran else part)
    return folder


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("form", ["files", "<u2", ">u2", "<i2", "|u1"])
@pytest.mark.parametrize("loop", [True, False])
def test_the_same_frames(dip, tmp_path, form, workers, loop):
    """From a tenth of the memory, whatever they are stored as: the archive and the results of a run
    that holds all of them, bit by bit."""
    scene = Scene(120, 32, 24, seed=8)
    top = {"<i2": 32768, "|u1": 256}.get(form)
    if top:
        scene.frames %= top
    path = scene.write(tmp_path / "frames") if form == "files" else stacks(
        tmp_path / "frames", scene.frames, form)
    sets = {"dma.loop_frames": loop}
    runs = [play(dip, path, scene, 0.3 if loop else None, workers=workers, sets=sets,
                 **given) for given in ({}, {"preload_bytes": 12 * 1536})]
    for run in runs:
        assert run.stats["dma_missed"] == 0 and run.due() >= 120
        seqs = check_results(run, scene) if not top else np.arange(run.due())
        assert np.array_equal(seqs, np.arange(run.due()))
        assert run.due() > 120 if loop else run.due() == 120
    first, second = (np.concatenate([np.load(p) for p in sorted(run.archive().glob("*.npy"))])
                     for run in runs)
    for records in (first, second):
        kinds = records["seq"].astype(np.int64) % 120
        assert np.array_equal(records["image"], scene.frames[kinds])
        assert np.array_equal(np.sort(records["seq"]), np.arange(len(records)))
    if not loop:
        assert runs[0].results().read_bytes() == runs[1].results().read_bytes()


def test_a_thousand_frames_a_second_from_the_disk(dip, tmp_path):
    """Ten times as many as are held, none of them in the page cache: no miss, none late by more than
    what the slabs hold."""
    scene = Scene(1500, 160, 160, roi=(20, 20), seed=9)
    size = 160 * 160 * 2
    folder = stacks(tmp_path / "frames", scene.frames, "<u2")
    forget(folder)
    if max(resident(path) for path in folder.iterdir()) > 0.01:
        pytest.skip("this file system forgets nothing: is it in memory?")
    run = play(dip, folder, scene, preload_bytes=150 * size, sets={
        "main.overrun": "drop", "main.nth_archive": 10, "dma.pace_frames": True,
        "main.fps": 1000, "dma.loop_frames": False, "main.slabs": 512})
    check_lossless(run, scene, nth=10)
    assert run.due() == 1500 and run.stats["arch_frames"] == 150
    assert 1.5 <= run.stats["elapsed_sec"] < 2.5


def test_a_stack_that_is_cut_while_it_is_read(dip, tmp_path):
    """The device fails: said once, exit status 1, what came before it is whole."""
    scene = Scene(200, 32, 24, seed=8)
    folder = stacks(tmp_path / "frames", scene.frames, "<u2")
    run = play(dip, folder, scene, 0, start=True, preload_bytes=20 * 1536, sets={
        "dma.pace_frames": True, "main.fps": 100, "dma.loop_frames": True})
    dip.wait_for_results(run)
    os.truncate(folder / "b.npy", 128 + 1536 * 10)
    run = dip.end(run, status=1)
    assert run.stats["dma_errors"] >= 1 and run.stats["dma_missed"] >= 1
    assert run.stats["dma_damaged"] == run.stats["dma_pool_exhaust"] == 0
    assert np.array_equal(check_results(run, scene), np.arange(110))
    line = complaints(run, "b.npy")
    assert len(line) == 1 and "cut short since its header was read" in line[0]
    assert len(complaints(run, "the device has failed")) == 1


def test_files_that_go_away(dip, tmp_path):
    scene = Scene(200, 32, 24, seed=8)
    folder = scene.write(tmp_path / "frames")
    run = play(dip, folder, scene, 0, start=True, preload_bytes=20 * 1536, sets={
        "dma.pace_frames": True, "main.fps": 100, "dma.loop_frames": True})
    dip.wait_for_results(run)
    shutil.rmtree(folder)
    run = dip.end(run, status=1)
    assert 20 <= run.due() < 200 and run.stats["dma_errors"] >= 1
    done = check_results(run, scene)
    assert np.array_equal(done, np.arange(len(done)))
    assert len(complaints(run, "No such file")) == 1


def test_a_negative_pixel(dip, tmp_path):
    """Of a frame that is read while others are played: that frame is lost, under its own name."""
    scene = Scene(120, 32, 24, seed=8)
    scene.frames %= 32768
    frames = scene.frames.astype("<i2")
    frames[77, 3, 5] = frames[99, 0, 0] = -2
    np.save(tmp_path / "stack.npy", frames)
    run = play(dip, tmp_path / "stack.npy", scene, preload_bytes=12 * 1536,
               sets={"dma.loop_frames": False})
    assert run.stats["dma_missed"] == run.stats["dma_damaged"] == 2 and run.due() == 120
    records = np.load(next(run.archive().glob("*.npy")))
    assert np.array_equal(np.sort(records["seq"]), np.setdiff1d(np.arange(120), [77, 99]))
    line = complaints(run, "negative pixel")
    assert len(line) == 1 and "frame 77, row 3, column 5" in line[0]


@pytest.mark.parametrize("workers", [1, 3])
def test_frames_that_are_lost(dip, tmp_path, workers):
    """By faults and for want of slabs: what comes is right."""
    scene = Scene(200, 32, 24, seed=8)
    folder = stacks(tmp_path / "frames", scene.frames, "<u2")
    run = play(dip, folder, scene, 0.5, workers=workers, preload_bytes=20 * 1536,
               faults="lost~0.1+stall:40@300+duplicate~0.05", sets={
                   "dma.pace_frames": True, "main.fps": 2000, "main.overrun": "drop",
                   "main.slabs": 32, "dma.loop_frames": True})
    assert run.due() == 1000 and run.stats["dma_missed"] > 80
    assert len(check_results(run, scene)) > 100
    check_archive(run, scene)


@pytest.mark.parametrize("arguments, words", [
    ("preload_bytes=0", ["preload_bytes=0", "out of range", "1"]),
    ("preload_bytes=1k", ["preload_bytes=1k", "expected a whole number"]),
    ("preload_bytes=3000", ["preload_bytes=3000", "no room for two frames", "at least 3072"]),
])
def test_no_such_memory(dip, tmp_path, arguments, words):
    scene = Scene(10, 32, 24, seed=8)
    path = stacks(tmp_path / "frames", scene.frames, "<u2")
    refuse(dip, f"dma_file0,path={path},{arguments}", words)


def refuse(dip, device, words):
    """Exit 2 and one line."""
    run = dip.start(argv=[harness.program(), "--device", device, "1"]).finish()
    said = harness.refusals(run.stderr)
    assert run.status == 2 and run.stdout == "" and len(said) == 1, run.stderr
    assert all(word in said[0] for word in words), said[0]
    assert not (dip.folder / "results").exists()


def test_a_stack_in_fortran_order(dip, tmp_path):
    """Its frames lie all over it."""
    scene = Scene(100, 32, 24, seed=8)
    path = stacks(tmp_path / "frames", scene.frames, "<u2", fortran=True)
    refuse(dip, f"dma_file0,path={path},preload_bytes=15360",
           ["a.npy", "76800 bytes in Fortran order", "ascontiguousarray"])
    run = play(dip, path, scene, preload_bytes=80000, sets={"dma.loop_frames": False})
    assert np.array_equal(check_results(run, scene), np.arange(100))


def test_the_first_frames_are_checked_before_the_start(dip, tmp_path):
    frames = np.ones((100, 32, 24), "<i2")
    frames[7, 1, 2] = -1
    np.save(tmp_path / "stack.npy", frames)
    refuse(dip, f"dma_file0,path={tmp_path / 'stack.npy'},preload_bytes=15360",
           ["stack.npy", "frame 7, row 1, column 2", "negative pixel"])


def test_memory_from_a_file(dip, tmp_path):
    """As all arguments."""
    (tmp_path / "args.cfg").write_text("dma_file = { preload_bytes = 100; };")
    np.save(tmp_path / "stack.npy", np.ones((10, 32, 24), "<u2"))
    refuse(dip, f"dma_file0,path={tmp_path / 'stack.npy'},config={tmp_path / 'args.cfg'}",
           ["preload_bytes=100", "at least 3072"])
