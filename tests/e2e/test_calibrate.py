# SPDX-License-Identifier: BSD-3-Clause
"""scripts/calibrate.py: from frames to sites.cfg, on the sample images, on simulated frames whose
truth is known, and on everything that cannot be calibrated."""

import contextlib
import importlib
import io
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from harness import ROOT

SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))
libconf = pytest.importorskip("libconf", reason="apt-get install python3-libconf")
pytest.importorskip("scipy", reason="apt-get install python3-scipy")

from scipy import special  # noqa: E402

import dipformat  # noqa: E402
import fidelity  # noqa: E402
from caliblib import find, goodness, layout, mixture, response, threshold  # noqa: E402
from dipformat import Trouble  # noqa: E402

pytestmark = pytest.mark.tool

GRID = "50,50,250,250,10,10"
SMALL = "10,10,50,50,10,10"  # 16 sites on 60 x 60


def run(tool, *args):
    """The tool's exit status, stdout and stderr, as a process of its own."""
    done = subprocess.run([sys.executable, SCRIPTS / tool, *map(str, args)], text=True,
                          capture_output=True, check=False, timeout=170)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def here(tool, *args):
    """The same in this process, which has imported everything already."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, [tool, *map(str, args)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = dipformat.run_tool(importlib.import_module(tool.split(".")[0]).main)
    except SystemExit as error:
        status = error.code
    finally:
        sys.argv = before
    return status, out.getvalue(), err.getvalue()


def calibrate(*args, status=0):
    """A calibration that ends as expected: (stdout, stderr)."""
    done = here("calibrate.py", *args)
    assert done[0] == status, done
    return done[1:]


def simulate(folder, *options):
    """Frames and their truth."""
    status, _, stderr = here("simulate.py", "-o", folder, "--stack", *options)
    assert status == 0, stderr
    return np.load(folder / "stack.npy"), np.load(f"{folder}.truth.npy")


def small(folder, *options, frames=400):
    """16 sites on frames of 60 x 60, half of them occupied."""
    return simulate(folder, "--height", 60, "--width", 60, "--grid", SMALL, "--fill", 0.5,
                    "--frames", frames, *options)


def read(path):
    """A sites file, by a reader that is not ours."""
    with open(path, encoding="utf-8") as file:
        config = libconf.load(file)
    assert config.version == 1
    return config


def decide(config, frames):
    """What the program decides: integer dot product >= T, (frames, sites)."""
    patches = {name: np.array(patch["values"], dtype=np.int64).reshape(patch.h, patch.w)
               for name, patch in config.get("weights", {}).items()}
    out = []
    for site in config.sites:
        pixels = frames[:, site.row:site.row + site.h, site.col:site.col + site.w].astype(np.int64)
        weights = patches[site.weights] if "weights" in site else np.ones((site.h, site.w), int)
        assert weights.shape == (site.h, site.w)
        out.append((pixels * weights).sum(axis=(1, 2)) >= site.threshold)
    return np.array(out).T


def sigmas(wrong, number, predicted):
    """How many standard errors a rate of wrong decisions is off."""
    return abs(wrong / number - predicted) / np.sqrt(predicted * (1 - predicted) / number)


# The sample images.

def test_samples_by_grid(samples, tmp_path):
    stdout, stderr = calibrate(samples, "-o", tmp_path / "sites.cfg", "--grid", GRID)
    assert stderr == "" and stdout.count("\n") == 1
    text = (tmp_path / "sites.cfg").read_text()
    found = re.search(r"p = ([\d.]+), l0 = ([\d.]+), l1 = ([\d.]+) ", text)
    for value, expected in zip(found.groups(), (0.87259, 0.45770, 10.46243)):
        assert abs(float(value) - expected) < 1e-3
    config = read(tmp_path / "sites.cfg")
    assert (config.frame.width, config.frame.height) == (300, 300)
    assert [(s.row, s.col) for s in config.sites] == [
        (r, c) for r in range(50, 250, 10) for c in range(50, 250, 10)]
    assert all((s.h, s.w) == (10, 10) and "weights" not in s for s in config.sites)
    assert [s.name for s in config.sites[18:22]] == ["r0c18", "r0c19", "r1c0", "r1c1"]
    for site in config.sites:
        assert 1 <= site.threshold <= 6 and 0 < site.false_positive < 0.2
        assert 0 < site.false_negative < 0.2 and 0 <= site.goodness <= 1 and "note" not in site


def test_samples_are_found(samples, tmp_path):
    calibrate(samples, "-o", tmp_path / "grid.cfg", "--grid", GRID)
    stdout, _ = calibrate(samples, "-o", tmp_path / "find.cfg", "--find")
    assert "20 x 20 places, a spot at 400 of 400" in stdout
    grid, found = read(tmp_path / "grid.cfg"), read(tmp_path / "find.cfg")
    assert grid.sites == found.sites


def test_samples_with_weights(samples, tmp_path):
    calibrate(samples, "-o", tmp_path / "box.cfg", "--grid", GRID, "--fill", 0.5)
    calibrate(samples, "-o", tmp_path / "llr.cfg", "--grid", GRID, "--fill", 0.5, "--weights",
              "llr")
    box, llr = read(tmp_path / "box.cfg"), read(tmp_path / "llr.cfg")
    mean = {name: np.mean([s.false_positive + s.false_negative for s in config.sites])
            for name, config in (("box", box), ("llr", llr))}
    assert mean["box"] > 3 * mean["llr"]
    for patch in llr.weights.values():
        values = np.array(patch["values"]).reshape(patch.h, patch.w)
        assert 400 <= values.max() <= 32767 and np.abs(values).sum() <= 32767
        row, col = np.unravel_index(values.argmax(), values.shape)
        assert 1 < row < patch.h - 1 and 1 < col < patch.w - 1
    for site in llr.sites:  # inside the box of the grid
        assert site.row >= 50 + 10 * int(site.name[1:].split("c")[0])
        assert site.row + site.h <= 60 + 10 * int(site.name[1:].split("c")[0])


def test_same_frames_make_the_same_bytes(tmp_path, monkeypatch):
    small(tmp_path / "a", frames=100)
    made = []
    for seed in ("0", "7"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        monkeypatch.setenv("TZ", f"UTC{seed}")
        paths = tmp_path / f"{seed}.cfg", tmp_path / f"{seed}.html"
        status, _, stderr = run("calibrate.py", tmp_path / "a", "-o", paths[0], "--find",
                                "--weights", "llr", "--report", paths[1])
        assert status == 0, stderr
        made.append([path.read_bytes() for path in paths])
    assert made[0] == made[1]
    page = made[0][1].decode()
    assert page.startswith("<!DOCTYPE html>") and page.endswith("</html>\n")
    images = re.findall(r'<img id="(\w+)" [^>]*src="data:image/png;base64,iVBOR', page)
    assert images == ["scores", "array", "maps", "spots", "sites"]
    assert not re.search(r"https?://|<script|<link", page)
    assert page.count("<td>r3c") == 4


# Thresholds: golden values, and every response against what happens.

@pytest.mark.parametrize("empty, occupied, target, t, fp, fn", [
    (0.2, 10, 1e-3, 4, 5.6840240758156611e-5, 1.0336050675925718e-2),
    (0.5, 10, 1e-3, 5, 1.7211562995584078e-4, 2.9252688076961073e-2),
    (0.5, 10, 1, 4, 1.7516225562908237e-3, 1.0336050675925718e-2),
    (2, 20, 1e-4, 10, 4.6498075017263808e-5, 4.9954123083075872e-3),
    (10, 60, 1e-9, 35, 6.0603237102914412e-10, 1.8791758120215468e-4),
    (50, 200, 1e-12, 109, 3.7507653953321519e-13, 7.2814366837566272e-13),
    (400, 500, 1, 449, 8.5049940165937938e-3, 9.722241491350707e-3),
    (800, 1000, 1, 897, 4.0084099267197812e-4, 4.3950944690144274e-4)])
def test_golden_thresholds(empty, occupied, target, t, fp, fn):
    light = np.array([empty], dtype=float), np.array([occupied], dtype=float)
    ones = response.Response(response.Camera(), np.ones(9), np.ones(9))
    for found in (threshold.poisson_threshold(*light, 0.5, target),
                  threshold.score_threshold((ones, ones), light, np.zeros(1), 0.5, target)):
        assert found.t[0] == t
        assert found.false_positive[0] == pytest.approx(fp, rel=1e-10)
        assert found.false_negative[0] == pytest.approx(fn, rel=1e-10)


def test_the_prior_moves_the_threshold():
    """Against all thresholds there are, tried out."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        empty, occupied = np.sort(10**rng.uniform(-1, 2, 2)) * (0.8, 1.5)
        fill = rng.uniform(0.02, 0.98)
        found = threshold.poisson_threshold(np.array([empty]), np.array([occupied]), fill, 1.0)
        every = np.arange(1, 400)
        errors = ((1 - fill) * threshold.at_least(every, empty)
                  + fill * threshold.below(every, occupied))
        mine = ((1 - fill) * found.false_positive + fill * found.false_negative)[0]
        assert mine == pytest.approx(errors.min(), rel=1e-9)


@pytest.mark.parametrize("camera", [
    response.Camera(), response.Camera(offset=100, gain=8.0, read_noise=0.3),
    response.Camera(offset=37.25, gain=2.5, read_noise=1.5),
    response.Camera(offset=200, gain=50.0, read_noise=0.1, multiplied=True)], ids=repr)
@pytest.mark.parametrize("kind", ["box", "weighted", "signed"])
def test_predicted_errors_happen(camera, kind):
    """200,000 scores of either class, pixel by pixel."""
    rng, n = np.random.default_rng(3), 200_000
    y, x = np.mgrid[-2:3, -2:3]
    spot, background = 8 * np.exp(-(x**2 + y**2) / 2.5).ravel() / 7.8, np.full(25, 0.03)
    weights = {"box": np.ones(25), "weighted": np.rint(60 * np.log1p(spot / background)),
               "signed": np.rint(100 * spot) - 9}[kind]
    means = background, background + spot
    classes = [response.Response(camera, weights, mean) for mean in means]
    shift = np.array([weights.sum() * camera.offset])
    light = [np.array([mean.sum()]) for mean in means]
    found = threshold.score_threshold(classes, light, shift, 0.6, 1.0)
    for occupied, mean in enumerate(means):
        values = rng.poisson(mean, (n, 25)).astype(float)
        if camera.multiplied:
            values = rng.standard_gamma(values)
        if not camera.counts_photons:
            values += camera.read_noise * rng.standard_normal(values.shape)
            values = np.rint(camera.offset + camera.gain * values)
        above = values @ weights >= found.t[0]
        wrong = (~above if occupied else above).sum()
        predicted = (found.false_negative if occupied else found.false_positive)[0]
        assert 20 < n * predicted < n / 2
        assert sigmas(wrong, n, predicted) < 5


def box_spot():
    """The weights of a spot in a box of 10 x 10."""
    y, x = np.mgrid[:10, :10] - 4.5
    return np.rint(500 * np.exp(-(x**2 + y**2) / 2)).ravel()


def drawn_rate(camera, weights, means, t, n=20_000):
    """The part of the scores above a dark one that reach t, and its standard error: the multiplied
    photoelectrons of n patches drawn one by one, read noise and rounding as a normal number."""
    rng = np.random.default_rng(20261130)
    pixels = rng.choice(len(means), p=means / means.sum(), size=rng.poisson(n * means.sum()))
    patch = rng.integers(0, n, len(pixels))
    light = weights[pixels] * camera.gain * rng.standard_exponential(len(pixels))
    scores = np.bincount(patch, light, n)
    noise = np.sqrt((weights**2).sum() * ((camera.read_noise * camera.gain)**2 + 1 / 12))
    reach = special.ndtr((scores - (t - 0.5)) / noise)
    return reach.mean(), reach.std() / np.sqrt(n)


@pytest.mark.parametrize("light", [0.0, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("noise", [0.02, 1 / 6])
@pytest.mark.parametrize("weights", [np.ones(100), box_spot()], ids=["box", "weighted"])
def test_next_to_no_light_behind_an_emccd(weights, noise, light):
    """Nearly every frame of an empty site is without any electron, and what it scores is noise."""
    camera = response.Camera(500.0, 60.0, noise, True)
    empty = np.full(100, max(light, 1e-12) / 100)
    means = empty, empty + 10 * box_spot() / box_spot().sum()
    classes = [response.Response(camera, weights, mean) for mean in means]
    shift = 500 * weights.sum()
    found = threshold.score_threshold(classes, [np.array([mean.sum()]) for mean in means],
                                      np.array([shift]), 0.5, 1.0)
    told = found.false_positive[0], 1 - found.false_negative[0]
    for mean, predicted in zip(means, told):
        rate, error = drawn_rate(camera, weights, mean, found.t[0] - shift)
        # 1e-7: what the least light that is reckoned with, 1e-9, may do where there is none.
        assert abs(rate - predicted) < 5 * error + 1e-5 * min(rate, 1 - rate) + 1e-7
    # No other threshold would make fewer errors.
    wrong = [drawn_rate(camera, weights, means[0], t)[0]
             + 1 - drawn_rate(camera, weights, means[1], t)[0]
             for t in (found.t[0] - shift) * np.array([0.5, 1.0, 2.0])]
    assert wrong[1] <= 1.05 * min(wrong)


def test_a_target_raises_the_threshold():
    y, x = np.mgrid[-2:3, -2:3]
    spot = 8 * np.exp(-(x**2 + y**2) / 2.5).ravel() / 7.8
    weights = np.rint(60 * np.log1p(spot / 0.03))
    means = np.full(25, 0.03), 0.03 + spot
    classes = [response.Response(response.Camera(), weights, mean) for mean in means]
    light = [np.array([mean.sum()]) for mean in means]
    before = -1
    for target in (1, 1e-4, 1e-8, 1e-16, 1e-40):
        found = threshold.score_threshold(classes, light, np.zeros(1), 0.5, target)
        assert found.false_positive[0] <= target and found.t[0] > before
        before = found.t[0]
    assert found.false_positive[0] > 1e-42  # no further than asked for


# Fits.

def test_an_empty_site_behind_an_emccd_that_never_counted():
    """Its scores are tilted so far that the window reaches where rounding alone is left."""
    y, x = np.mgrid[:10, :10] - 4.5
    spot = np.exp(-(x**2 + y**2) / 2)
    weights = np.maximum(1, 500 * spot).astype(int).reshape(-1)
    camera = response.Camera(500.0, 60.0, 1 / 6, True)
    classes = [response.Response(camera, weights, light) for light in (np.ones(100), weights)]
    with np.errstate(over="raise", invalid="raise"):
        found = threshold.score_threshold(classes, [np.zeros(1), np.full(1, 40.0)], np.zeros(1),
                                          0.5, 1.0)
    assert 0 < found.t[0] < classes[1].mean(40.0)
    assert 0 <= found.false_positive[0] < 1e-4 and 0 <= found.false_negative[0] < 1e-4


@pytest.mark.parametrize("noise", [None, 0.4], ids=["Poisson", "Poisson and normal"])
def test_fit_finds_what_was_put_in(noise):
    rng, n = np.random.default_rng(5), 20_000
    occupied = rng.random((2, n)) < 0.3
    counts = rng.poisson(np.where(occupied, [[7.0], [12.0]], [[0.8], [2.0]]))
    if noise is None:
        data, scores = mixture.PoissonCounts(counts), counts
    else:
        camera = response.Camera(offset=20, gain=4.0, read_noise=noise)
        scores = np.rint(180 + 4.0 * (counts + noise * 3 * rng.standard_normal(counts.shape)))
        scores = scores.astype(np.int64)
        one = response.Response(camera, np.ones(9), np.ones(9))
        data = mixture.NoisyCounts((one, one), np.full(2, 180.0), scores)
    found = mixture.fit_best(data, np.ones(scores.shape), [(0.5, 1.0, 9.0), (0.1, 3.0, 5.0)])
    for site, (low, high) in enumerate(((0.8, 7.0), (2.0, 12.0))):
        variance = 0 if noise is None else 9 * noise**2
        # Overlap makes the fit less certain than counting would be: by less than half.
        assert abs(found.fill[site] - 0.3) < 7.5 * np.sqrt(0.21 / n)
        assert abs(found.empty[site] - low) < 7.5 * np.sqrt((low + variance) / (0.7 * n))
        assert abs(found.occupied[site] - high) < 7.5 * np.sqrt((high + variance) / (0.3 * n))
        assert found.frames_empty[site] + found.frames_occupied[site] == pytest.approx(n)


def test_a_class_that_never_counted_is_not_taken_at_its_word():
    counts = np.array([[0] * 10 + [9, 10, 11, 8, 12] * 8])
    alone = mixture.fit_best(mixture.PoissonCounts(counts), np.ones(counts.shape),
                             [(0.8, 0.5, 10.0)])
    assert alone.empty[0] < 1e-6
    helped = mixture.shrink(alone, 4.0, (0.1, 10.0))
    assert helped.empty[0] == pytest.approx(4 * 0.1 / 14, rel=1e-3)
    # But what was clearly counted is believed.
    assert mixture.shrink(alone, 4.0, (0.1, 40.0)).occupied[0] == alone.occupied[0]


def test_goodness_is_uniform_when_the_fit_is_right_and_small_when_not():
    rng = np.random.default_rng(8)
    cells = np.arange(60)
    mass = 0.4 * threshold.below(cells + 1, 1.5) + 0.6 * threshold.below(cells + 1, 9.0)
    mass = np.diff(mass, prepend=0)
    scores = np.where(rng.random((2000, 300)) < 0.6, rng.poisson(9.0, (2000, 300)),
                      rng.poisson(1.5, (2000, 300)))
    right = np.array([goodness.chi_square(cells, mass, row) for row in scores])
    # No parameter was fitted here: with three degrees too few the statistic looks larger.
    assert 0.02 < (right[:, 0] < 0.05).mean() < 0.4 and (right[:, 0] > 0.5).mean() > 0.1
    assert abs(np.median(right[:, 1])) < 0.03
    third = np.where(rng.random((200, 300)) < 0.3, rng.poisson(20.0, (200, 300)), scores[:200])
    wrong = np.array([goodness.chi_square(cells, mass, row) for row in third])
    assert (wrong[:, 0] < 1e-4).all() and (wrong[:, 1] > 0.1).all()


# Finding sites.

class Averaged:
    """Frames of spots at given points, as caliblib.frames.Frames gives their average."""

    def __init__(self, points, hot=0, seed=0, shape=(200, 260), count=60):
        rng = np.random.default_rng(seed)
        rows, cols = np.arange(shape[0]), np.arange(shape[1])
        spots = np.array([np.outer(np.exp(-(rows - r)**2 / 2.9), np.exp(-(cols - c)**2 / 2.9))
                          for r, c in points]) * 12 / 9.0
        base = np.full(shape, 0.02)
        for _ in range(hot):
            base[rng.integers(shape[0]), rng.integers(shape[1])] += rng.uniform(0.2, 5)
        frames = np.array([rng.poisson(base + np.tensordot(rng.random(len(points)) < 0.6, spots, 1))
                           for _ in range(count)]).astype(float)
        self.image = frames.mean(axis=0)
        self.noise = (frames[::2].mean(axis=0) - frames[1::2].mean(axis=0)) / 2
        self.shape, self.path = shape, "frames"

    def average(self):
        return self.image, self.noise


def points_of(origin, a, b, na, nb):
    return np.array([np.array(origin) + i * np.array(a) + j * np.array(b)
                     for j in range(nb) for i in range(na)])


LATTICES = {
    "square": ((30, 30), (0, 9), (9, 0), 18, 14),
    "turned by 7 degrees": ((50, 30), (1.097, 8.933), (8.933, -1.097), 15, 12),
    "turned by 30 degrees": ((90, 30), (-5, 8.66), (8.66, 5), 12, 8),
    "turned by 45 degrees": ((40, 40), (7.07, 7.07), (7.07, -7.07), 9, 6),
    "sheared": ((30, 40), (1.5, 10.3), (8.7, -2.2), 15, 14),
    "spaced": ((20, 20), (0, 12.7), (6.6, 0), 16, 20),
    "triangular": ((20, 30), (0, 10), (8.66, 5), 14, 12),
    "row": ((100, 20), (0.2, 7.3), (7.3, -0.2), 25, 1),
    "column": ((20, 100), (7.3, 0.2), (0.2, -7.3), 20, 1),
    "two rows": ((100, 20), (0, 7.3), (10, 0), 25, 2),
}


@pytest.mark.parametrize("name", LATTICES)
@pytest.mark.parametrize("missing, hot", [(0, 0), (0.2, 8)], ids=["whole", "holes, hot pixels"])
def test_lattice_is_found(name, missing, hot):
    points = points_of(*LATTICES[name])
    there = points[np.random.default_rng(5).random(len(points)) >= missing]
    sites, found, lost = find.find_sites(Averaged(there, hot))
    assert lost == 0
    _, a, b, *_ = LATTICES[name]
    assert np.allclose(found.lattice.a, a, atol=0.06)
    assert found.lattice.nb == 1 or np.allclose(found.lattice.b, b, atol=0.06)
    at = found.lattice.points(found.i, found.j)
    distance = np.sqrt(((there[:, None] - at[None])**2).sum(axis=-1))
    assert distance.min(axis=1).max() < 0.4  # every spot has its site
    # A site without a spot is a hole of the array; with hot pixels one may seem to be a spot.
    places = np.sqrt(((points[:, None] - at[None])**2).sum(axis=-1)).min(axis=0)
    assert (places > 0.4).sum() <= hot / 2
    if not missing:
        assert sites.count == len(points) and found.missing == 0
        middle = np.stack([sites.rows + (sites.h - 1) / 2, sites.cols + (sites.w - 1) / 2], axis=1)
        assert np.abs(middle - at).max() < 0.62
        step = np.abs(at[:, None] - at[None]).max(axis=2)
        np.fill_diagonal(step, np.inf)
        assert sites.h == sites.w and step.min() - 1 < sites.h + 0.1 <= step.min() + 0.2


def test_what_is_no_lattice_is_refused():
    rng = np.random.default_rng(11)
    for points, word in ((rng.uniform(20, 180, (120, 2)), "no lattice fits: "),
                         (np.array([[50.0, 50], [90, 100]]), "expected 4 or more on a lattice"),
                         (np.array([[50, 50], [90, 100], [20, 200], [150, 33.0]]), "no lattice")):
        with pytest.raises(Trouble, match=word) as caught:
            find.find_sites(Averaged(points))
        assert "--grid" in str(caught.value)
    with pytest.raises(Trouble):
        find.find_sites(Averaged(np.array([[-90.0, -90.0]])))  # no spot at all


def test_boxes_stand_around_their_points():
    lattice = layout.Lattice((10.0, 10.0), (0.0, 6.4), (7.0, 0.3), 3, 2)
    j, i = (axis.reshape(-1) for axis in np.indices((2, 3)))
    sites, lost = layout.place_boxes(lattice, i, j, (5, 4), (20, 26), "")
    assert list(zip(sites.rows, sites.cols)) == [(8, 8), (8, 15), (8, 21), (15, 9), (15, 15),
                                                 (15, 22)]
    assert lost == []
    sites, lost = layout.place_boxes(lattice, i, j, (5, 4), (20, 25), "")
    assert lost == ["r1c2"] and sites.names() == ["r0c0", "r0c1", "r0c2", "r1c0", "r1c1"]


# Whole calibrations against the truth.

CAMERAS = {
    "photons": ([], []),
    "qcmos": (["--camera", "cmos", "--offset", 100, "--gain", 8, "--read-noise", 0.3],
              ["--offset", 100, "--gain", 8, "--read-noise", 0.3]),
    "emccd": (["--camera", "emccd", "--offset", 200, "--gain", 100, "--read-noise", 0.1],
              ["--offset", 200, "--gain", 100, "--read-noise", 0.1, "--em"]),
}


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("weights", ["box", "psf", "llr"])
def test_calibration_predicts_its_errors(tmp_path, camera, weights):
    simulated, told = CAMERAS[camera]
    light = ["--lambda-occ", 12, "--lambda-empty", 2, "--psf-sigma", 1.1, *simulated]
    small(tmp_path / "a", *light, "--seed", 1)
    calibrate(tmp_path / "a", "-o", tmp_path / "sites.cfg", "--grid", SMALL, "--weights", weights,
              "--max-infidelity", 0.3, *told)
    config = read(tmp_path / "sites.cfg")
    assert len(config.sites) == 16 and all("note" not in s for s in config.sites)
    frames, truth = small(tmp_path / "b", *light, "--seed", 2, frames=2000)
    decided = decide(config, frames)
    fp = np.mean([s.false_positive for s in config.sites])
    fn = np.mean([s.false_negative for s in config.sites])
    wrong = (decided & ~truth).sum() / (~truth).sum(), (~decided & truth).sum() / truth.sum()
    # A calibration on 400 frames knows each site's light to some percent: so does its prediction.
    assert wrong[0] == pytest.approx(fp, rel=0.35, abs=2e-3)
    assert wrong[1] == pytest.approx(fn, rel=0.35, abs=2e-3)
    limit = {"box": 0.12, "psf": 0.06, "llr": 0.06}[weights]
    assert sum(wrong) / 2 < limit


def test_fill_is_the_share_expected(tmp_path):
    small(tmp_path / "a", "--lambda-empty", 2, frames=200)
    at = {}
    for fill in (0.02, 0.5, 0.98):
        out = tmp_path / f"{fill}.cfg"
        calibrate(tmp_path / "a", "-o", out, "--grid", SMALL, "--fill", fill)
        at[fill] = np.mean([s.threshold for s in read(out).sites])
    assert at[0.02] > at[0.5] + 0.5 > at[0.98] + 1


def test_fp_target(tmp_path):
    small(tmp_path / "a", "--lambda-empty", 2, frames=200)
    for weights in ("box", "llr"):
        calibrate(tmp_path / "a", "-o", tmp_path / f"{weights}.cfg", "--grid", SMALL, "--weights",
                  weights, "--fp-target", 1e-5)
        for site in read(tmp_path / f"{weights}.cfg").sites:
            assert 1e-7 < site.false_positive <= 1e-5


def test_config_gives_grid_target_and_fill(tmp_path):
    small(tmp_path / "a", frames=100)
    (tmp_path / "run.cfg").write_text(
        'pois = { row_start = 10; col_start = 10; row_end = 50; col_end = 50; roi_h = 10; '
        'roi_w = 10; fp_target = 1e-6; fill = 0.25; };\n')
    calibrate(tmp_path / "a", "-o", tmp_path / "config.cfg", "--config", tmp_path / "run.cfg")
    calibrate(tmp_path / "a", "-o", tmp_path / "grid.cfg", "--grid", SMALL, "--fp-target", 1e-6,
              "--fill", 0.25)
    assert read(tmp_path / "config.cfg").sites == read(tmp_path / "grid.cfg").sites
    calibrate(tmp_path / "a", "-o", tmp_path / "own.cfg", "--config", ROOT / "config/default.cfg",
              status=2)


# Sites that cannot be calibrated.

def damaged(folder):
    """Frames in which site 1 is always occupied, site 2 never, site 3 is dim, and site 4 counts as
    if it held up to two atoms."""
    frames, _ = small(folder, "--lambda-occ", 30, "--lambda-empty", 1, frames=200)
    rng = np.random.default_rng(4)
    boxes = {n: frames[:, 10 + 10 * (n // 4):20 + 10 * (n // 4),
                       10 + 10 * (n % 4):20 + 10 * (n % 4)] for n in (1, 2, 3, 4)}
    boxes[1][:] = rng.poisson(0.31, boxes[1].shape)
    boxes[2][:] = rng.poisson(0.01, boxes[2].shape)
    atoms = rng.random((200, 1, 1)) < 0.5
    boxes[3][:] = rng.poisson(np.where(atoms, 0.035, 0.01), boxes[3].shape)
    atoms = rng.choice([0.01, 0.31, 1.0], (200, 1, 1))
    boxes[4][:] = rng.poisson(atoms, boxes[4].shape)
    np.save(folder / "stack.npy", frames)
    return folder


@pytest.mark.parametrize("weights", ["box", "llr"])
def test_bad_sites_are_told_and_have_the_pooled_threshold(tmp_path, weights):
    source = damaged(tmp_path / "a")
    _, stderr = calibrate(source, "-o", tmp_path / "all.cfg", "--grid", SMALL, "--weights",
                          weights, "--report", tmp_path / "page.html", status=1)
    lines = stderr.splitlines()
    assert [line.split(":")[1] for line in lines] == [" site r0c1", " site r0c2", " site r0c3",
                                                      " site r1c0"]
    few, overlap, unlike = (r"\d of 200 frames (empty|occupied), expected 3 or more; more frames",
                            r"empty \(.*\) and occupied \(.*\) overlap: mean of FP and FN at best",
                            "the counts are not those of two classes: chi-square probability")
    for line, expected in zip(lines, (f"{few}|{overlap}", f"{few}|{overlap}",
                                      overlap if weights == "box" else ".",
                                      unlike if weights == "box" else ".")):
        assert "has the pooled threshold: " in line and re.search(expected, line), line
    sites = read(tmp_path / "all.cfg").sites
    noted = {s.name for s in sites if "note" in s}
    assert noted == {"r0c1", "r0c2", "r0c3", "r1c0"} and len(sites) == 16
    good = np.mean([s.threshold for s in sites if "note" not in s])
    for site in sites:
        if "note" in site:
            assert site.note.startswith("pooled threshold: ")
            assert abs(site.threshold - good) < 0.35 * good
    assert (tmp_path / "page.html").read_text().count("<tr class=bad>") == 4


def test_bad_sites_are_dropped(tmp_path):
    source = damaged(tmp_path / "a")
    _, stderr = calibrate(source, "-o", tmp_path / "some.cfg", "--grid", SMALL, "--drop-bad",
                          status=1)
    assert stderr.count("left out: ") == 4
    names = [s.name for s in read(tmp_path / "some.cfg").sites]
    assert len(names) == 12 and not {"r0c1", "r0c2", "r0c3", "r1c0"} & set(names)


def test_a_class_with_too_few_frames_is_told(tmp_path):
    frames, truth = small(tmp_path / "a", "--lambda-occ", 30, frames=100)
    empty = np.flatnonzero(~truth[:, 5])
    # Site 5 is shown occupied wherever it is empty, but for two frames.
    full = np.flatnonzero(truth[:, 5])[0]
    frames[empty[2:], 20:30, 20:30] = frames[full, 20:30, 20:30]
    np.save(tmp_path / "a/stack.npy", frames)
    _, stderr = calibrate(tmp_path / "a", "-o", tmp_path / "s.cfg", "--grid", SMALL, status=1)
    assert stderr == ("calibrate.py: site r1c1: has the pooled threshold: 2.0 of 100 frames empty, "
                      "expected 3 or more; more frames would help\n")


def test_many_frames_do_not_condemn_a_fit_that_is_nearly_right(tmp_path):
    """Sites that lose atoms are not quite two Poissons; with enough frames any test says so."""
    small(tmp_path / "a", "--loss", 0.1, "--lambda-occ", 30, frames=3000)
    calibrate(tmp_path / "a", "-o", tmp_path / "s.cfg", "--grid", SMALL)
    assert min(s.goodness for s in read(tmp_path / "s.cfg").sites) < 1e-6


# What is no source for a calibration, and no place for its outcome.

def frames_file(path, change=None, count=40):
    """A stack of good frames, changed."""
    rng = np.random.default_rng(1)
    frames = rng.poisson(np.where(rng.random((count, 1, 1)) < 0.5, 0.3, 0.01), (count, 60, 60))
    frames = frames.astype("<u2")
    np.save(path, frames if change is None else change(frames))
    return path


def some(change):
    return lambda tmp_path: [frames_file(tmp_path / "f.npy", change), "--grid", SMALL]


def unequal(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for n in range(30):
        np.save(folder / f"f{n:02}.npy", np.ones((60, 60 + (n == 17)), dtype="<u2"))
    return [folder, "--grid", SMALL]


def put(value):
    def change(frames):
        frames = frames.astype("<i4")
        frames[7, 3, 5] = value
        return frames
    return change


BAD = {
    "no such folder": (lambda tmp_path: [tmp_path / "none", "--grid", SMALL], "No such file"),
    "an empty folder": (lambda tmp_path: [tmp_path, "--grid", SMALL], "no .npy file in it"),
    "one frame": (some(lambda f: f[0]), "1 frames; expected 20 or more"),
    "19 frames": (some(lambda f: f[:19]), "19 frames; expected 20 or more"),
    "unequal frames": (unequal, "f17: a frame of 60x61; expected 60x60"),
    "a negative pixel": (some(put(-3)), "pixel -3 at row 3, column 5; expected 0..65535"),
    "a pixel too large": (some(put(65536)), "pixel 65536 at row 3, column 5"),
    "floats": (some(lambda f: f.astype(float)), "pixels of float64; expected integers"),
    "dark frames": (some(np.zeros_like), "every count of every site is 0"),
    "even frames": (some(np.ones_like), "every count of every site is 100"),
    "no atoms": (some(lambda f: np.random.default_rng(2).poisson(0.05, f.shape).astype("<u2")),
                 "all sites together: "),
    "always full": (some(lambda f: np.random.default_rng(2).poisson(0.3, f.shape).astype("<u2")),
                    "all sites together: "),
    "grid outside": (lambda tmp_path: [frames_file(tmp_path / "f.npy"), "--grid",
                                       "10,10,61,50,10,10"], "leaves the frame of 60x60"),
    "grid of nothing": (lambda tmp_path: [frames_file(tmp_path / "f.npy"), "--grid",
                                          "10,10,10,50,10,10"], "no box in it"),
    "grid of five": (lambda tmp_path: [frames_file(tmp_path / "f.npy"), "--grid", "1,2,3,4,5"],
                     "expected six numbers"),
    "no way to the sites": (lambda tmp_path: [frames_file(tmp_path / "f.npy")],
                            "one of the arguments --find --grid --config is required"),
    "nothing to find": (lambda tmp_path: [frames_file(tmp_path / "f.npy"), "--find"],
                        "name the sites with --grid"),
    "a box that is none": (lambda tmp_path: [frames_file(tmp_path / "f.npy"), "--find", "--box", "5"],
                           "--box 5: expected HxW"),
    "no such map": (lambda tmp_path: [frames_file(tmp_path / "f.npy"), "--grid", SMALL, "--offset",
                                      "none.npy"], "--offset none.npy: no such file; expected a"),
    "no such configuration": (lambda tmp_path: [frames_file(tmp_path / "f.npy"), "--config",
                                                "none.cfg"], "--config none.cfg: No such file"),
    "a text": (lambda tmp_path: [__file__, "--grid", SMALL], "it does not begin as one"),
    "a box alone": (lambda tmp_path: [frames_file(tmp_path / "f.npy"), "--grid", SMALL, "--box",
                                      "9x9"], "expected --find with it"),
    "an offset above the counts": (lambda tmp_path: [frames_file(tmp_path / "f.npy"), "--grid",
                                                     SMALL, "--offset", "1"],
                                   "below 100 of a dark one; lower the offset"),
    "a map of another size": (lambda tmp_path: [
        frames_file(tmp_path / "f.npy"), "--grid", SMALL, "--offset",
        frames_file(tmp_path / "map.npy", lambda f: f[0, :50])], "expected one of (60, 60)"),
    "a page of another kind": (lambda tmp_path: [frames_file(tmp_path / "f.npy"), "--grid", SMALL,
                                                 "--report", tmp_path / "page.pdf"],
                               "expected a name that ends in .html"),
    "a configuration without grid": (lambda tmp_path: [
        frames_file(tmp_path / "f.npy"), "--config", ROOT / "config/noloop.cfg"],
        "pois.row_start: found None; expected a whole number"),
    "a configuration that is none": (lambda tmp_path: [
        frames_file(tmp_path / "f.npy"), "--config", tmp_path / "f.npy"], "not a libconfig file"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_calibrated(tmp_path, name):
    make, word = BAD[name]
    out = tmp_path / "out"
    out.mkdir()
    args = make(tmp_path)
    stdout, stderr = calibrate(*args, "-o", out / "sites.cfg", status=2)
    assert word in stderr and stdout == ""
    lines = [line for line in stderr.splitlines() if not line.startswith(("usage:", " "))]
    assert len(lines) == 1 and lines[0].startswith("calibrate.py: ")
    assert list(out.iterdir()) == []


def test_outputs_that_cannot_be_written(tmp_path):
    source = frames_file(tmp_path / "f.npy")
    (tmp_path / "there.cfg").write_text("mine")
    (tmp_path / "folder").mkdir()
    for out, word in ((tmp_path / "there.cfg", "it exists; name another file, or give --force"),
                      (tmp_path / "folder", "a folder; expected the name of a file"),
                      (tmp_path / "none/sites.cfg", "no folder ")):
        stdout, stderr = calibrate(source, "-o", out, "--grid", SMALL, status=2)
        assert stderr.count("\n") == 1 and word in stderr and str(out) in stderr and stdout == ""
    assert (tmp_path / "there.cfg").read_text() == "mine"
    stdout, stderr = calibrate(source, "-o", tmp_path / "new.cfg", "--grid", SMALL, "--report",
                               tmp_path / "folder/x/page.html", status=2)
    assert "--report " in stderr and not (tmp_path / "new.cfg").exists()
    if os.geteuid() != 0:
        (tmp_path / "folder").chmod(0o500)
        _, stderr = calibrate(source, "-o", tmp_path / "folder/s.cfg", "--grid", SMALL, status=2)
        assert "cannot be written into" in stderr
    (tmp_path / "full").symlink_to("/dev/full")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.npy", "folder", "full", "there.cfg"]


def test_force_replaces(tmp_path):
    small(tmp_path / "a", frames=60)
    (tmp_path / "s.cfg").write_text("mine")
    calibrate(tmp_path / "a", "-o", tmp_path / "s.cfg", "--grid", SMALL, "--force")
    assert len(read(tmp_path / "s.cfg").sites) == 16
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "a.truth.npy", "s.cfg"]


def test_frames_are_spread_over_a_long_source(tmp_path):
    frames, _ = small(tmp_path / "a", frames=90)
    calibrate(tmp_path / "a", "-o", tmp_path / "s.cfg", "--grid", SMALL, "--frames", 30)
    text = (tmp_path / "s.cfg").read_text()
    assert "30 of 90 frames" in text
    np.save(tmp_path / "third.npy", frames[::3])
    calibrate(tmp_path / "third.npy", "-o", tmp_path / "t.cfg", "--grid", SMALL)
    assert read(tmp_path / "s.cfg").sites == read(tmp_path / "t.cfg").sites


# Archives, as the program itself writes them.

@pytest.mark.parametrize("form", ["npy", "raw"])
def test_an_archive_calibrates_as_its_frames_do(dip, tmp_path, form):
    small(tmp_path / "a", frames=60)
    grid = dict(zip("row_start col_start row_end col_end roi_h roi_w".split(), SMALL.split(",")))
    ran = dip.run(tmp_path / "a/stack.npy", sets={
        "main.nth_archive": 1, "main.overrun": "block", "dma.pace_frames": False,
        "dma.loop_frames": False, "arch.format": form,
        **{f"pois.{key}": value for key, value in grid.items()}})
    shape = ["--shape", "60x60"] if form == "raw" else []
    calibrate(tmp_path / "a", "-o", tmp_path / "frames.cfg", "--grid", SMALL)
    calibrate(ran.archive(), "-o", tmp_path / "run.cfg", "--grid", SMALL, *shape)
    assert read(tmp_path / "run.cfg") == read(tmp_path / "frames.cfg")
    if form == "raw":
        _, stderr = calibrate(ran.archive(), "-o", tmp_path / "x.cfg", "--grid", SMALL, status=2)
        assert "give --shape HxW" in stderr and not (tmp_path / "x.cfg").exists()
        return
    segment, = ran.archive().glob("*.npy")
    data = bytearray(segment.read_bytes())
    data[4096 + 1000] ^= 1
    segment.write_bytes(data)
    _, stderr = calibrate(segment, "-o", tmp_path / "bad.cfg", "--grid", SMALL, status=1)
    assert "record 0: crc32c" in stderr and "left out" in stderr
    assert "59 of 59 frames" in (tmp_path / "bad.cfg").read_text()


@pytest.mark.parametrize("weights", ["box", "llr"])
def test_the_program_decides_as_the_file_says(dip, samples, tmp_path, weights):
    """The real program reads the file, and its decisions are those of integer dot products."""
    sites = tmp_path / "sites.cfg"
    calibrate(samples, "-o", sites, "--find", "--weights", weights)
    ran = dip.run(samples, sets={
        "main.nth_archive": 0, "main.overrun": "block", "dma.pace_frames": False,
        "dma.loop_frames": False, "pois.sites": sites})
    seqs, decided = fidelity.read_results(ran.results())
    assert sorted(seqs) == list(range(100)) and decided.shape == (100, 400)
    frames = np.array([np.load(path) for path in sorted(samples.glob("*.npy"))])
    expected = decide(read(sites), frames)
    assert (decided == expected[seqs.astype(int)]).all()
    assert abs(decided.mean() - 0.87259) < 0.01
