# SPDX-License-Identifier: BSD-3-Clause
"""What frames can come from: every dtype, order and header version, single files and stacks, odd
names, the null and the error device, several devices at once."""

import io

import numpy as np
import pytest

import harness
from oracle import (ROOT, Scene, check_archive, check_lossless, check_results, grid_sums,
                    read_results)

NOLOOP = {"main.nth_archive": 1, "main.overrun": "block", "dma.pace_frames": False,
          "dma.loop_frames": False}
# The grid that fits into 16 x 16.
GRID = {"pois.row_start": 0, "pois.col_start": 0, "pois.row_end": 16, "pois.col_end": 16,
        "pois.roi_w": 4, "pois.roi_h": 4}


def save(path, array, version, fortran):
    """An npy file of one header version."""
    array = np.asfortranarray(array) if fortran else np.ascontiguousarray(array)
    body = io.BytesIO()
    np.lib.format.write_array(body, array, version=version)
    data = body.getvalue()
    assert data[6] == version[0] and (array.ndim < 2 or b"True" in data[:128]) == fortran
    path.write_bytes(data)


def scene_of(kind):
    """A scene whose pixels the dtype can hold."""
    scene = Scene(11, 16, 24, seed=4)
    top = min(np.iinfo(kind).max, 65535) + 1
    scene.frames = (scene.frames.astype(np.uint32) % top).astype(np.uint16)
    mean = (top - 1) / 2 * 16
    scene.lambdas = (mean * 0.98, mean * 1.02)
    return scene


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<i2", ">i2", "|u1"])
@pytest.mark.parametrize("fortran", [False, True], ids=["C", "F"])
@pytest.mark.parametrize("shape", ["folder", "stack", "stacks", "single"])
def test_dtypes_and_orders(dip, tmp_path, kind, fortran, shape):
    scene = scene_of(kind)
    folder = tmp_path / "frames"
    folder.mkdir()
    frames = scene.frames.astype(kind)
    source = folder
    if shape == "folder":
        for i, frame in enumerate(frames):
            save(folder / f"{i:03d}.npy", frame, (1 + i % 3, 0), fortran)
    elif shape == "stack":
        source = folder / "stack.npy"
        save(source, frames, (2, 0), fortran)
    elif shape == "stacks":
        save(folder / "a.npy", frames[:4], (1, 0), fortran)
        save(folder / "b.npy", frames[4], (2, 0), fortran)
        save(folder / "c.npy", frames[5:], (3, 0), fortran)
    else:
        source = folder / "frame.npy"
        scene.frames = scene.frames[:1]
        save(source, frames[0], (1, 0), fortran)
    run = dip.run(source, sets=scene.sets(**NOLOOP))
    assert run.due() == len(scene.frames)
    check_lossless(run, scene)


def test_name_order_and_other_files(dip, tmp_path):
    """Order of bytes, whatever the locale or the order in the folder; only *.npy count."""
    scene = Scene(4, 16, 16, seed=5)
    folder = tmp_path / "frames"
    folder.mkdir()
    for name, frame in sorted(zip(["B.npy", "a.npy", "b10.npy", "b9.npy"], scene.frames),
                              reverse=True):
        np.save(folder / name, frame)
    (folder / "notes.txt").write_text("no frame")
    (folder / ".hidden.npy").write_text("no frame")
    (folder / "frame.npy.bak").write_text("no frame")
    check_lossless(dip.run(folder, sets=scene.sets(**NOLOOP)), scene)


@pytest.mark.parametrize("name", [
    "a,b", "a b", "it's", 'a"b', "100%", "%41", "a=b", "[x]", "ü", "a\\b", "a;b#c", "a:b", "{}$()"])
def test_odd_names(dip, tmp_path, name):
    """Device arguments know commas and brackets; a folder's name may hold anything."""
    scene = Scene(3, 16, 16, seed=6)
    run = dip.run(scene.write(tmp_path / name / name), sets=scene.sets(**NOLOOP))
    check_lossless(run, scene)


@pytest.mark.parametrize("name", ["a b", "it's", "100%", "a,b", "ü", "a\nb"])
def test_odd_output_names(dip, tiny, name):
    """The report names the outputs so that they are found."""
    run = dip.run(tiny.folder, sets=tiny.sets(**NOLOOP, **{
        "arch.arch_output_dir": f'"arch {name}"'.replace("\n", "\\n"),
        "proc.proc_output_dir": f'"res {name}/deeper"'.replace("\n", "\\n")}))
    check_lossless(run, tiny)
    assert run.archive().parent == dip.folder / f"arch {name}"


def test_sample_images(dip, samples):
    """The published count: 34,075 of 40,000 sites at T = 5."""
    run = dip.run(samples, sets={**NOLOOP, "main.nth_archive": 5})
    frames = np.stack([np.load(path) for path in sorted(samples.glob("*.npy"))])
    sums = grid_sums(frames, (50, 50, 20, 20, 10, 10))
    assert int(sums.sum()) == 367509
    seqs, bits = read_results(run.results(), 400)
    assert np.array_equal(seqs, np.arange(100))
    assert np.array_equal(bits, sums >= 5)
    assert bits.size == 40000 and int(bits.sum()) == 34075 == run.stats["proc_occupied"]
    assert int(bits[0].sum()) == 366
    assert run.report["detector"]["threshold"] == 5 and "T = 5," in run.stderr
    errors = [run.report["detector"][name] for name in ("false_positive", "false_negative")]
    assert errors == pytest.approx([1.7211562995584078e-4, 2.9252688076961073e-2], rel=1e-9)
    records = np.load(run.archive() / "frames_000000.npy", mmap_mode="r")
    assert np.array_equal(np.sort(records["seq"]), np.arange(0, 100, 5))
    assert np.array_equal(records["image"], frames[records["seq"].astype(int)])


@pytest.mark.parametrize("name", ["default", "maxpaced", "unpaced", "noloop"])
def test_profiles_run(dip, samples, name):
    """The four configuration files, on the images that they were written for."""
    config = ROOT / "config" / f"{name}.cfg"
    if not config.exists():
        pytest.skip(f"{config}: not there")
    run = dip.run(samples, None if name == "noloop" else 0.5, extra=["-c", str(config)],
                  eal_args=harness.eal(2, megabytes=1024))
    assert len(read_results(run.results(), 400)[0]) == run.stats["results_frames"] > 0
    assert run.stats["arch_frames"] > 0
    if name == "noloop":
        assert run.due() == 100
    if name == "default":
        assert (run.due(), run.stats["dma_arch_offered"]) == (500, 100)
    if name == "maxpaced":
        assert run.due() == 75000, "frames that were due are not in the books"
        assert not list(run.archive().glob("*.idx"))


def test_null_device(dip):
    """Frames without a copy: nothing is decided wrong, since nothing is known of the pixels."""
    run = dip.run(None, 0.3, device="dma_null0", sets={**GRID, "dma.pace_frames": False},
                  eal_args=harness.eal(2, vdevs=["dma_null0,width=16,height=16"]))
    assert run.stats["proc_frames"] > 1000
    assert len(read_results(run.results(), 16)[0]) == run.stats["results_frames"]
    assert run.report["device"] == {"name": "dma_null0", "width": 16, "height": 16, "frames": 0,
                                    "max_queues": run.report["device"]["max_queues"],
                                    "engine": ""}


def test_null_device_with_an_end(dip):
    run = dip.run(None, device="dma_null0", sets={**GRID, **NOLOOP},
                  eal_args=harness.eal(2, vdevs=["dma_null0,width=16,height=16,frames=1000"]))
    assert run.due() == run.stats["arch_frames"] == 1000


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("frame", [0, 100])
def test_error_device_fails_at_a_frame(dip, frame, workers):
    """The frames before it are whole, those after it are not due or counted missed; exit 1."""
    vdev = f"dma_error0,width=16,height=16,fail_frame={frame}"
    run = dip.run(None, 2, device="dma_error0", status=1, sets={
        **GRID, "main.nth_archive": 1, "main.overrun": "block", "pois.lambda_empty": 10,
        "pois.lambda_occ": 100}, eal_args=harness.eal(workers, vdevs=[vdev]))
    scene = Scene(65536, 1, 1, roi=(1, 1))
    scene.frames = np.repeat(np.arange(300, dtype=np.uint16), 256).reshape(300, 16, 16)
    scene.grid, scene.lambdas = (0, 0, 4, 4, 4, 4), (10, 100)
    seqs = check_results(run, scene)
    assert np.array_equal(seqs, np.arange(frame))
    assert np.array_equal(np.sort(check_archive(run, scene)), np.arange(frame))
    assert run.stats["dma_errors"] >= 1 and run.stats["dma_frames"] == frame
    assert run.stats["elapsed_sec"] < 1.5, "a dead source must not be waited for"
    line = [line for line in run.stderr.splitlines() if "the device has failed" in line]
    assert len(line) == 1 and "dma_error0" in line[0] and "Input/output error" in line[0]


def test_error_device_refuses_its_configuration(dip):
    """Exit 2 before anything is made."""
    run = dip.start(None, 1, device="dma_error0", sets=GRID, eal_args=harness.eal(
        2, vdevs=["dma_error0,width=16,height=16,fail_configure=1"])).finish()
    assert run.status == 2 and run.stdout == ""
    assert "dma-image-processor: the source refuses its configuration" in run.stderr
    assert not list(dip.folder.iterdir())


def test_two_devices_and_a_choice(dip, tmp_path):
    """Both are there; the one that is named is read."""
    scenes = [Scene(5, 16, 16, seed=7), Scene(3, 16, 16, seed=8)]
    vdevs = [f"dma_file{i},path={scene.write(tmp_path / f'frames{i}')}"
             for i, scene in enumerate(scenes)]
    for i, scene in enumerate(scenes):
        run = dip.run(None, device=f"dma_file{i}", sets=scene.sets(**NOLOOP),
                      eal_args=harness.eal(2, vdevs=vdevs))
        assert run.report["device"]["name"] == f"dma_file{i}"
        assert run.due() == len(scene.frames)
        check_lossless(run, scene)


def test_a_folder_beside_devices(dip, tmp_path, tiny):
    """With devices there and a folder named, the folder is read."""
    other = Scene(5, 16, 16, seed=7)
    run = dip.run(tiny.folder, sets=tiny.sets(**NOLOOP), eal_args=harness.eal(
        2, vdevs=[f"dma_file0,path={other.write(tmp_path / 'other')}"]))
    assert run.report["device"]["name"] == "dma_file1"
    check_lossless(run, tiny)


def test_device_that_is_not_there(dip, tiny):
    """Exit 2, and the devices that are there."""
    run = dip.start(None, 1, device="dma_file7", eal_args=harness.eal(
        2, vdevs=[f"dma_file0,path={tiny.folder}", "dma_null3,width=16"])).finish()
    assert run.status == 2 and run.stdout == ""
    lines = [line for line in run.stderr.splitlines() if line.startswith("dma-image-processor:")]
    assert len(lines) == 1
    for word in ("dma_file7", "dma_file0", "dma_null3", "--vdev"):
        assert word in lines[0]
    assert not list(dip.folder.iterdir())
