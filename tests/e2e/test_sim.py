# SPDX-License-Identifier: BSD-3-Clause
"""dma_sim: its frames against the physics that they claim, at five standard errors; the truth; and
the decisions of the program against the truth, by scripts/fidelity.py."""

import json
import math
import subprocess
import sys
import time

import numpy as np
import pytest

import harness
from oracle import ROOT, Scene, check_lossless

SIGMAS = 5
# 8 x 8 sites in frames of 100 x 96 pixels, boxes of 10 x 10 around them.
LATTICE = {"width": 96, "height": 100, "rows": 8, "cols": 8, "origin_row": 14.5, "origin_col": 12.5}
GRID = {"pois.row_start": 10, "pois.col_start": 8, "pois.row_end": 90, "pois.col_end": 88,
        "pois.roi_w": 10, "pois.roi_h": 10}
ALL = {"main.nth_archive": 1, "main.overrun": "block", "dma.pace_frames": False,
       "dma.loop_frames": False}


def vdev(**arguments):
    """The device's arguments."""
    return "dma_sim0," + ",".join(f"{key}={value}" for key, value in arguments.items())


def simulate(dip, frames, sets=None, **arguments):
    """(images, occupied, the run) of that many frames in order of seq."""
    truth = dip.folder / f"truth{len(dip.runs)}.npy"
    run = dip.run(None, device="dma_sim0", sets={**ALL, **GRID, **(sets or {})},
                  eal_args=harness.eal(2, vdevs=[vdev(**{
                      **LATTICE, "frames": frames, "truth": truth, **arguments})]))
    parts = [np.load(path) for path in sorted(run.archive().glob("*.npy"))]
    records = np.concatenate(parts)
    records = records[np.argsort(records["seq"])]
    assert np.array_equal(records["seq"], np.arange(frames))
    rows = np.load(truth)
    assert np.array_equal(rows["seq"], np.arange(frames))
    assert np.isin(rows["occupied"], (0, 1)).all()
    return records["image"], rows["occupied"] == 1, run


def near(what, found, expected, sigma):
    """Within five standard errors."""
    assert abs(found - expected) <= SIGMAS * sigma, f"{what}: {found}, expected {expected} +- {sigma}"


def sums(images, cols=8):
    """(frames, sites): the counts of the boxes."""
    boxes = images[:, 10:90, 8:8 + 10 * cols].astype(np.int64)
    return boxes.reshape(len(images), 8, 10, cols, 10).sum((2, 4)).reshape(len(images), -1)


def inside(sigma):
    """The share of a spot that falls into its box of 10 x 10."""
    return math.erf(5 / sigma / math.sqrt(2))**2


def test_photon_counting(dip):
    """Poisson: in boxes with and without an atom, in mean and variance."""
    images, occupied, _ = simulate(dip, 1000, photons=20, background=0.02, sigma=1.0, fill=0.6)
    n = occupied.size
    near("fill", occupied.mean(), 0.6, math.sqrt(0.24 / n))
    counts = sums(images)
    for there, mean in ((True, 2 + 20 * inside(1)), (False, 2)):
        part = counts[occupied == there]
        near("mean", part.mean(), mean, math.sqrt(mean / part.size) + 1e-5)
        near("variance", part.var(), mean,
             math.sqrt((mean + 2 * mean**2) / part.size) + 1e-4)
    edge = images[:, :5]
    near("background", edge.mean(), 0.02, math.sqrt(0.02 / edge.size))


@pytest.mark.parametrize("background", [0.0, 0.05, 0.199, 0.2, 3, 255, 300])
def test_background(dip, background):
    """Whichever way it is drawn: every pixel alike, Poisson, independent of its neighbours."""
    images, _, _ = simulate(dip, 200, background=background, fill=0)
    pixels = images.astype(np.int64)
    n = pixels.size
    near("mean", pixels.mean(), background, math.sqrt(background / n) + 1e-12)
    near("variance", pixels.var(), background,
         math.sqrt((background + 2 * background**2) / n) + 1e-12)
    places = pixels.sum(axis=0)
    if background:
        chi = ((places - 200 * background)**2 / (200 * background)).sum()
        near("evenness", chi, places.size,
             math.sqrt(2 * places.size + places.size / (200 * background)))
        for shifted in (pixels[:, :, 1:], pixels[:, 1:], pixels[1:]):
            same = pixels[:shifted.shape[0], :shifted.shape[1], :shifted.shape[2]]
            near("correlation", ((same - background) * (shifted - background)).mean(), 0,
                 background / math.sqrt(shifted.size))


@pytest.mark.parametrize("row, col, sigma", [(14.5, 12.5, 1.5), (14.8, 13.3, 0.7), (14, 12, 2.5)])
def test_the_spot_is_integrated_over_pixels(dip, row, col, sigma):
    """Each pixel of the box gets the integral of the Gaussian over it."""
    images, _, _ = simulate(dip, 400, origin_row=row, origin_col=col, sigma=sigma, fill=1,
                            background=0, photons=50, rows=1, cols=1)
    def shares(middle, first):
        edges = [0.5 * math.erf((first + i - 0.5 - middle) / sigma / math.sqrt(2)) for i in range(11)]
        return np.diff(edges)
    expected = 400 * 50 * np.outer(shares(row, 10), shares(col, 8))
    found = images[:, 10:20, 8:18].sum(axis=0)
    chi = ((found - expected)**2 / expected).sum()
    spread = (2 + 1 / expected).sum()
    near("chi square", chi, 100, math.sqrt(spread))


def test_the_lattice_may_be_oblique(dip):
    """Every spot is where origin and steps say."""
    steps = {"col_step_row": 2.5, "col_step_col": 9, "row_step_row": 8, "row_step_col": 3.25}
    images, _, _ = simulate(dip, 300, fill=1, background=0, photons=200, sigma=0.5, rows=3, cols=4,
                            **steps)
    image = images.sum(axis=0)
    for i in range(3):
        for j in range(4):
            row, col = 14.5 + 8 * i + 2.5 * j, 12.5 + 3.25 * i + 9 * j
            top, left = int(row) - 3, int(col) - 3
            part = image[top:top + 7, left:left + 7]
            error = math.sqrt((0.5**2 + 1 / 12) / part.sum())
            near("row", (part.sum(1) * (np.arange(7) + top)).sum() / part.sum(), row, error)
            near("column", (part.sum(0) * (np.arange(7) + left)).sum() / part.sum(), col,
                 error)


def test_drift(dip):
    """The spot sways as a sine of the frame."""
    images, _, _ = simulate(dip, 40, fill=1, background=0, photons=2000, sigma=0.5, rows=1, cols=1,
                            origin_row=50, origin_col=50, drift_row=4, drift_col=-2.5,
                            drift_period=40)
    for k, image in enumerate(images):
        sway = math.sin(2 * math.pi * k / 40)
        error = math.sqrt((0.5**2 + 1 / 12) / image.sum())
        near("row", (image.sum(1) * (np.arange(100))).sum() / image.sum(), 50 + 4 * sway,
             error)
        near("column", (image.sum(0) * (np.arange(96))).sum() / image.sum(), 50 - 2.5 * sway,
             error)


def test_crosstalk(dip):
    """A site shines with a share of its four neighbours' light, at the edges of those it has; an
    empty one counts as empty all the same."""
    images, occupied, _ = simulate(dip, 1500, photons=100, sigma=0.8, background=0, crosstalk=0.07,
                                   fill=0.5, rows=8, cols=3)
    there = np.pad(occupied.reshape(-1, 8, 3), ((0, 0), (1, 1), (1, 1))).astype(int)
    neighbours = (there[:, :-2, 1:-1] + there[:, 2:, 1:-1] + there[:, 1:-1, :-2] +
                  there[:, 1:-1, 2:]).reshape(len(images), -1)
    counts, mean = sums(images, 3), 100 * (occupied + 0.07 * neighbours)
    for site in range(24):
        for own in (False, True):
            part = occupied[:, site] == own
            expected = mean[part, site]
            near(f"site {site}", (counts[part, site] - expected).mean(), 0,
                 math.sqrt(expected.mean() / part.sum()) + 1e-3)


def test_survival_and_reload(dip):
    """Atoms stay, or are lost between frames; after reload frames all sites are loaded anew."""
    _, occupied, _ = simulate(dip, 2000, fill=0.8, survival=0.9, reload=10, photons=0)
    shots = occupied.reshape(200, 10, 64)
    assert not (shots[:, 1:] & ~shots[:, :-1]).any(), "an atom came back"
    n = 200 * 64
    for j in range(10):
        p = 0.8 * 0.9**j
        near(f"frame {j}", shots[:, j].mean(), p, math.sqrt(p * (1 - p) / n))
    kept = shots[:, 1:][shots[:, :-1]]
    near("survival", kept.mean(), 0.9, math.sqrt(0.09 / kept.size))
    # From loading to loading nothing is remembered.
    first, second = shots[:-1, 0].ravel(), shots[1:, 0].ravel()
    near("memory", (first & second).mean(), 0.64, math.sqrt(0.64 * 0.36 / first.size) * 1.5)


def test_loss_during_the_exposure(dip):
    """It takes light away: half of it on the average, evenly distributed."""
    images, occupied, _ = simulate(dip, 1000, fill=1, loss=0.3, survival=1, reload=2, photons=400,
                                   sigma=0.7, background=0)
    shots = occupied.reshape(500, 2, 64)
    assert shots[:, 0].all(), "there at the begin of the exposure"
    near("kept", shots[:, 1].mean(), 0.7, math.sqrt(0.21 / shots[:, 1].size))
    counts = sums(images).reshape(500, 2, 64)[:, 0]
    lost = counts[~shots[:, 1]]
    kept = counts[shots[:, 1]]
    near("light of those kept", kept.mean(), 400, math.sqrt(400 / kept.size) + 1e-3)
    near("light of those lost", lost.mean(), 200, math.sqrt((200 + 400**2 / 12) / lost.size))
    near("evenness", (lost < 100).mean(), 0.25, math.sqrt(0.1875 / lost.size) + 0.001)
    near("evenness", (lost > 370).mean(), 0.075, math.sqrt(0.07 / lost.size) + 0.001)


def test_emccd(dip):
    """Offset, gamma gain with its excess noise, clock-induced charge, read noise."""
    images, _, _ = simulate(dip, 300, camera="emccd", fill=0, background=1.5, cic=0.5, em_gain=100,
                            gain=2, offset=1000, read_noise=20)
    pixels = images.astype(np.float64)
    near("mean", pixels.mean(), 1000 + 2 * 100 * 2, 2 * math.sqrt((2 * 100**2 * 2 + 400) / pixels.size))
    # Poisson of mean 2 through a gain of 100: 2 gain^2 lambda; in counts times 4; rounding 1/12.
    variance = 4 * (2 * 100**2 * 2 + 20**2) + 1 / 12
    fourth = ((pixels - pixels.mean())**4).mean()
    near("variance", pixels.var(), variance, math.sqrt((fourth - variance**2) / pixels.size))
    # Pixels without an electron: a normal distribution around the offset.
    dark, _, _ = simulate(dip, 100, camera="emccd", fill=0, background=0, cic=0, gain=1, offset=500,
                          read_noise=30)
    near("dark mean", dark.mean(), 500, 30 / math.sqrt(dark.size))
    near("dark noise", dark.std(), math.sqrt(900 + 1 / 12), 30 / math.sqrt(2 * dark.size))
    # One electron: an exponential distribution.
    one, _, _ = simulate(dip, 100, camera="emccd", fill=0, background=0.01, cic=0, em_gain=1000,
                         gain=1, offset=0, read_noise=0)
    bright = one[one > 0]
    share = 1 - math.exp(-0.01)
    near("pixels with light", bright.size / one.size, share, math.sqrt(share / one.size) + 1e-5)
    near("above the mean", (bright > 1000).mean(), math.exp(-1) * 1.003,
         math.sqrt(0.23 / bright.size) + 0.002)


@pytest.mark.parametrize("camera, gain, noise", [("qcmos", 9.3, 0.3), ("scmos", 2.2, 1.6)])
def test_cmos(dip, camera, gain, noise):
    """Every pixel has an offset, a gain and a read noise of its own, the same in all frames."""
    dark, _, _ = simulate(dip, 400, camera=camera, fill=0, background=0, offset=300,
                          offset_spread=4, read_noise_spread=0.3)
    light, _, _ = simulate(dip, 400, camera=camera, fill=0, background=40, offset=300,
                           offset_spread=4, read_noise_spread=0.3, gain_spread=0.05)
    offset, pixels = dark.mean(axis=0), dark[0].size
    # Noise of the mean of 400 frames, squared, and its expectation over pixels.
    square = (gain * noise)**2 * math.exp(2 * 0.3**2) + 1 / 12
    near("offset", offset.mean(), 300, 4 / math.sqrt(pixels))
    near("spread of offset", offset.var(), 16 + square / 400, 16 * math.sqrt(2 / pixels))
    noises = dark.var(axis=0, ddof=1)
    spread = (gain * noise)**2 * math.sqrt(math.exp(8 * 0.3**2)) / math.sqrt(pixels) * 1.2
    near("read noise", noises.mean(), square, spread)
    assert noises.std() > 0.3 * square, "all pixels are equally noisy"
    gains = (light.mean(axis=0) - offset) / 40
    near("gain", gains.mean(), gain, gain * 0.06 / math.sqrt(pixels))
    near("spread of gain", gains.std(), gain * math.sqrt(0.05**2 + 1 / 40 / 400),
         gain * 0.06 / math.sqrt(pixels))
    near("noise in light", light.var(axis=0, ddof=1).mean(), gain**2 * 40 * 1.0025 + square,
         gain**2 * 40 * 0.01)


def test_more_light_than_a_pixel_holds(dip):
    images, _, _ = simulate(dip, 3, photons=1000000, sigma=0.1, fill=1, rows=1, cols=1,
                            camera="poisson")
    assert images.max() == 65535


# --- the program on it ---

def poisson_below(threshold, mean):
    """P(N < threshold)."""
    return sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(threshold))


def fidelity(*args, status=0):
    """What scripts/fidelity.py prints, or complains of."""
    done = subprocess.run([sys.executable, ROOT / "scripts/fidelity.py", *map(str, args)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_fidelity_of_the_program(dip):
    """False positives and negatives are as predicted for boxes whose light is known exactly."""
    images, occupied, run = simulate(
        dip, 2000, sets={"main.nth_archive": 1, "pois.lambda_empty": 1, "pois.lambda_occ": 8,
                         "pois.fp_target": 1},
        photons=7, sigma=0.2, background=0.01, reload=3, survival=0.9)
    threshold = run.report["detector"]["threshold"]
    figures = json.loads(fidelity(run.results(), dip.folder / "truth0.npy", "--json"))
    wrong_empty = (sums(images) >= threshold) & ~occupied
    wrong_full = (sums(images) < threshold) & occupied
    positive, negative = figures["false_positive"], figures["false_negative"]
    assert (positive["errors"], positive["of"]) == (wrong_empty.sum(), (~occupied).sum())
    assert (negative["errors"], negative["of"]) == (wrong_full.sum(), occupied.sum())
    assert figures["infidelity"]["errors"] == (wrong_empty | wrong_full).sum()
    for row, p in ((positive, 1 - poisson_below(threshold, 1)),
                   (negative, poisson_below(threshold, 8))):
        near("rate", row["rate"], p, math.sqrt(p * (1 - p) / row["of"]))
        assert 0 < row["low"] < row["rate"] < row["high"] < 1


def test_truth_on_a_disk_that_fills(dip, small_disk):
    """It ends with a whole row, and the run says where; frames are decided on."""
    truth = small_disk / "truth.npy"
    run = dip.start(None, 0, device="dma_sim0", sets={**GRID, "main.nth_archive": 0, "main.fps": 5000},
                    eal_args=harness.eal(2, vdevs=[vdev(**{**LATTICE, "cycle": 10, "truth": truth})]))
    dip.wait_for(run, lambda: truth.exists() and truth.stat().st_size > 20_000)
    harness.fill_up(small_disk)
    size = truth.stat().st_size
    dip.wait_for(run, lambda: truth.stat().st_size == size)
    time.sleep(0.3)
    run = dip.stop(run)
    said = [line for line in run.stderr.splitlines() if "truth.npy" in line]
    assert len(said) == 1 and "No space left on device; the truth ends at frame " in said[0], run.stderr
    rows = np.load(truth)
    assert 0 < len(rows) == int(said[0].rsplit(" ", 1)[1]) < run.stats["dma_frames"]
    assert np.array_equal(rows["seq"], np.arange(len(rows)))


def test_fidelity_prints_for_people(dip):
    _, _, run = simulate(dip, 20, sets={"main.nth_archive": 1})
    text = fidelity(run.results(), dip.folder / "truth0.npy")
    assert text.startswith("20 frames of 64 sites\nfalse positives: ")
    assert "false negatives: " in text and "infidelity:      " in text and "at 95%" in text


def write_results(path, seqs, bits):
    path.write_text("".join(f"[frame {seq}] rois={len(row)}\n{''.join(map(str, row))}\n"
                            for seq, row in zip(seqs, bits)), encoding="ascii")


def write_truth(path, seqs, bits):
    rows = np.zeros(len(seqs), [("seq", "<u8"), ("occupied", "|u1", (len(bits[0]),))])
    rows["seq"], rows["occupied"] = seqs, bits
    np.save(path, rows)


def test_fidelity_counts(tmp_path):
    """By hand: frames that were lost are left out; Wilson's interval of 1 in 4."""
    results, truth = tmp_path / "r.txt", tmp_path / "t.npy"
    write_results(results, [3, 7], [[1, 0, 1, 0], [1, 1, 1, 1]])
    write_truth(truth, [2, 3, 5, 7], [[0] * 4, [0, 0, 1, 1], [0] * 4, [1, 1, 0, 0]])
    figures = json.loads(fidelity(results, truth, "--json", "--confidence", 0.9))
    assert (figures["false_positive"]["errors"], figures["false_positive"]["of"]) == (3, 4)
    negative = figures["false_negative"]
    assert (negative["errors"], negative["of"], negative["rate"]) == (1, 4, 0.25)
    z = 1.6448536269514722
    low = (1 / 4 + z * z / 8 - z * math.sqrt(0.1875 / 4 + z * z / 64)) / (1 + z * z / 4)
    assert abs(negative["low"] - low) < 1e-12
    assert figures["infidelity"]["rate"] == 0.5 and figures["mean"]["rate"] == 0.5
    assert "2 frames of the truth have no result" in fidelity(results, truth)


def test_fidelity_with_the_truth_of_simulate(tmp_path):
    """Which starts over after its last frame, and may have no empty site."""
    results, truth = tmp_path / "r.txt", tmp_path / "t.npy"
    write_results(results, [0, 1, 2, 3], [[1, 1], [1, 0], [1, 1], [0, 1]])
    np.save(truth, np.ones((2, 2), bool))
    figures = json.loads(fidelity(results, truth, "--json"))
    assert figures["false_negative"]["errors"] == 2 and figures["false_positive"]["rate"] is None
    assert figures["mean"]["rate"] is None
    assert "none to be judged" in fidelity(results, truth)


@pytest.mark.parametrize("text, truth, status, words", [
    ("", np.ones((2, 2), bool), 2, ["r.txt", "no results"]),
    ("[frame 0] rois=2\n10\n[frame 1] rois=2\n1\n", np.ones((2, 2), bool), 2, ["r.txt:3"]),
    ("[frame 0] rois=2\n12\n", np.ones((2, 2), bool), 2, ["r.txt:1"]),
    ("[frame 0] rois=2\n10\n", np.ones((2, 3), bool), 1, ["2 sites", "3", "same lattice"]),
    ("[frame 0] rois=2\n10\n", np.ones((2, 2)), 2, ["float64", "expected"]),
    ("[frame 0] rois=2\n10\n", np.ones((0, 2), bool), 2, ["no rows"]),
])
def test_fidelity_refuses(tmp_path, text, truth, status, words):
    (tmp_path / "r.txt").write_text(text, encoding="ascii")
    np.save(tmp_path / "t.npy", truth)
    complaint = fidelity(tmp_path / "r.txt", tmp_path / "t.npy", status=status)
    assert all(word in complaint for word in words) and len(complaint.splitlines()) == 1


def test_fidelity_refuses_another_truth(tmp_path):
    results, truth = tmp_path / "r.txt", tmp_path / "t.npy"
    write_results(results, [3], [[1, 0]])
    write_truth(truth, [0, 2], [[0, 0], [0, 0]])
    assert "no row for frame 3" in fidelity(results, truth, status=1)
    write_truth(truth, [2, 1], [[0, 0], [0, 0]])
    assert "does not rise" in fidelity(results, truth, status=1)
    assert "No such file" in fidelity(results, tmp_path / "none.npy", status=2)
    (tmp_path / "text.npy").write_text("no array", encoding="ascii")
    assert "expected an .npy file" in fidelity(results, tmp_path / "text.npy", status=2)


def test_config_file(dip):
    """All arguments from a file; what is beside it comes after it."""
    (dip.folder / "sim.cfg").write_text(
        "# a small camera\ndma_sim = {\n width = 16; height = 16; rows = 2; cols = 2;\n"
        " origin_row = 3.5; origin_col = 3.5; col_step_col = 8.0; row_step_row = 8.0;\n"
        ' camera = "qcmos"; frames = 30;\n};\n', encoding="ascii")
    run = dip.run(None, device="dma_sim0", sets={**ALL, "pois.row_start": 0, "pois.col_start": 0,
                                                 "pois.row_end": 16, "pois.col_end": 16,
                                                 "pois.roi_w": 8, "pois.roi_h": 8},
                  eal_args=harness.eal(2, vdevs=["dma_sim0,config=sim.cfg,frames=20"]))
    assert run.due() == 20 and run.report["device"]["width"] == 16


def test_cycle_is_a_scene(dip):
    """A cycle archived once is a folder of frames for others; played again it is the same."""
    images, _, _ = simulate(dip, 40, cycle=40)
    scene = Scene(40, 100, 96, roi=(10, 10))
    scene.frames = images.copy()
    scene.grid, scene.lambdas = (10, 8, 8, 8, 10, 10), (0.5, 10)
    run = dip.run(None, device="dma_sim0", sets=scene.sets(**{**ALL, "dma.loop_frames": True}), seconds=0.3,
                  eal_args=harness.eal(2, vdevs=[vdev(**LATTICE, frames=40, cycle=40)]))
    assert run.due() > 100
    check_lossless(run, scene)


@pytest.mark.parametrize("arguments, words", [
    ("seed=many", ["seed=many", "expected a whole number"]),
    ("truth=/none/truth.npy", ["truth=/none/truth.npy", "No such file", "expected"]),
    ("config=none.cfg", ["none.cfg", "No such file"]),
    ("camera=eye", ["camera=eye", "poisson", "emccd"]),
])
def test_wrong_arguments(dip, arguments, words):
    run = dip.start(None, 1, device="dma_sim0",
                    eal_args=harness.eal(2, vdevs=[f"dma_sim0,{arguments}"])).finish()
    assert run.status == 2 and run.stdout == ""
    lines = [line for line in run.stderr.splitlines() if line.startswith("dma_sim0:")]
    assert len(lines) == 1, run.stderr
    assert all(word in lines[0] for word in words)
    assert not list(dip.folder.iterdir())


@pytest.mark.parametrize("device, words", [
    ("dma_sim0,seed=x", ["dma_sim0: seed=x", "whole number"]),
    ("dma_sim0,width=9000", ["dma_sim0: width=9000", "8192"]),
    ("dma_sim", ["dma_sim:", "no source", "--list-drivers"]),
    ("dma_simx0", ["dma_simx0", "no source"]), ("eth0", ["eth0", "no source"]),
    ("dma_sim0,width=20", ["main.image_w = 300", "20"]),
    ("x" * 100, ["xxx", "expected the name of a device"]),
    ("dma_sim0,truth=/none/t.npy", ["dma_sim0: truth=/none/t.npy", "No such file"])],
    ids=lambda v: str(v)[:20])
def test_devices_that_cannot_be_made(dip, device, words):
    """Exit 2, one line, nothing made."""
    run = dip.start(argv=[harness.program(), "-s", "main.image_w=300", "--device", device,
                          "1"]).finish()
    lines = harness.refusals(run.stderr)
    assert run.status == 2 and len(lines) == 1, run.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert not list(dip.folder.iterdir())


def test_a_device_made_by_the_program(dip):
    """Without EAL arguments --device makes it, and there is memory for its frames."""
    run = dip.end(dip.start(argv=[
        harness.program(), "--report", "json", "-s", "main.slabs=20", "-s", "dma.loop_frames=false",
        "-s", "main.overrun=block", "-s", "pois.row_end=1000", "--device",
        "dma_sim0,width=1200,height=1300,rows=95,frames=40,truth=truth%2Ca.npy"]))
    assert run.due() == 40 and run.report["detector"]["sites"] == 95 * 20
    assert len(np.load(dip.folder / "truth,a.npy")) == 40
    assert json.loads(fidelity(run.results(), dip.folder / "truth,a.npy", "--json"))["frames"] == 40


def test_no_truth_is_left_of_a_run_that_did_not_start(dip):
    run = dip.start(None, 1, device="dma_sim0", sets={"pois.row_end": 9999},
                    eal_args=harness.eal(2, vdevs=["dma_sim0,truth=truth.npy"])).finish()
    assert run.status == 2
    assert not list(dip.folder.iterdir())
