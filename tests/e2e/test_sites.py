# SPDX-License-Identifier: BSD-3-Clause
"""Sites from a file, weights, maps of the pixels, priors, and what telemetry tells of a site: each
decision compared with numpy, each wrong file refused in one line."""

import os
import shutil

import numpy as np
import pytest

import harness
from oracle import read_results
from telemetry_client import Client, runtime_folder
from test_bad_input import refuse

FRAMES, HEIGHT, WIDTH = 40, 48, 60
KERNELS = ["scalar", "avx2", "avx512"]


@pytest.fixture(name="noise", scope="module")
def noise_frames(tmp_path_factory):
    """(folder, frames): pixels of 16 bits, all values."""
    frames = np.random.default_rng(5).integers(0, 65536, (FRAMES, HEIGHT, WIDTH), dtype=np.uint16)
    folder = tmp_path_factory.mktemp("noise") / "frames"
    folder.mkdir()
    for i, frame in enumerate(frames):
        np.save(folder / f"frame_{i:03}.npy", frame)
    return folder, frames


def sites_file(folder, sites, weights=None, extra=""):
    """Write one. sites: dicts of the keys; weights: arrays by name."""
    def text(value):
        return f'"{value}"' if isinstance(value, str) else str(value)
    out = ["version = 1;", f"frame = {{ width = {WIDTH}; height = {HEIGHT}; }};", extra]
    out += ["weights = {"]
    for name, patch in (weights or {}).items():
        out += [f"  {name} = {{ h = {patch.shape[0]}; w = {patch.shape[1]}; values = ["
                f"{', '.join(map(str, patch.ravel()))} ]; }};"]
    out += ["};", "sites = ("]
    out += [",\n".join("  { " + " ".join(f"{key} = {text(value)};" for key, value in site.items())
                       + " }" for site in sites), ");"]
    path = folder / "sites.cfg"
    path.write_text("\n".join(out) + "\n")
    return path


def mixed_sites(rng, frames):
    """Boxes and weights, overlapping, at every edge; thresholds at the median of their sums, so that
    about half are occupied. Returns (sites, weights, sums of shape (frames, sites))."""
    weights = {"spot": rng.integers(-9, 10, (5, 7)), "big": rng.integers(-32768, 32768, (9, 20)),
               "dot": np.array([[3]])}
    sites, sums = [], []
    for i in range(60):
        name = [None, "spot", "big", "dot"][i % 4]
        patch = weights[name] if name else np.ones(rng.integers(1, 12, 2), int)
        h, w = patch.shape
        row, col = rng.integers(0, HEIGHT - h + 1), rng.integers(0, WIDTH - w + 1)
        if i < 8:
            row, col = (HEIGHT - h) * (i & 1), (WIDTH - w) * (i >> 1 & 1)
        values = (frames[:, row:row + h, col:col + w].astype(np.int64) * patch).sum((1, 2))
        site = {"name": f"s{i}", "row": int(row), "col": int(col), "h": h, "w": w,
                "threshold": int(np.median(values)) + 1}
        if name:
            site["weights"] = name
        sites.append(site)
        sums.append(values)
    return sites, weights, np.stack(sums, axis=1)


def decided(run, sites):
    """The bits of the results file, (frames, sites), in order of seq from 0."""
    seqs, bits = read_results(run.results(), sites)
    assert list(seqs) == list(range(len(seqs)))
    return np.asarray(bits, dtype=bool)


def process_all(dip, folder, **sets):
    """One pass over the frames, none lost."""
    return dip.run(folder, sets={"dma.loop_frames": False, "dma.pace_frames": False,
                                 "main.overrun": "block", "main.nth_archive": 0, **sets})


@pytest.mark.parametrize("kernel", KERNELS)
def test_sites_of_every_kind(dip, noise, kernel):
    """Each decision is that of numpy, in the order of the file."""
    folder, frames = noise
    sites, weights, sums = mixed_sites(np.random.default_rng(7), frames)
    path = sites_file(dip.folder, sites, weights)
    run = dip.start(folder, sets={"dma.loop_frames": False, "dma.pace_frames": False,
                                  "main.overrun": "block", "main.nth_archive": 0,
                                  "pois.sites": path, "proc.kernel": kernel}).finish()
    if run.status == 2 and "this CPU lacks it" in run.stderr:
        pytest.skip(run.stderr.splitlines()[-1])
    dip.end(run)
    thresholds = np.array([site["threshold"] for site in sites])
    assert (decided(run, len(sites)) == (sums >= thresholds)).all()
    detector = run.report["detector"]
    assert detector["sites"] == len(sites) and detector["kernel"] == kernel
    assert detector["threshold"] is None
    assert detector["threshold_min"] == thresholds.min()
    assert detector["threshold_max"] == thresholds.max()
    assert detector["false_positive"] is None


def test_lattice_is_the_grid(dip, noise):
    """A lattice that lies on pixel rows gives what the grid keys give."""
    folder, _ = noise
    lambdas = {"pois.lambda_empty": 520000.0, "pois.lambda_occ": 528000.0, "pois.max_k": 1000000,
               "pois.fp_target": 1.0}
    grid = process_all(dip, folder, **lambdas, **{
        "pois.row_start": 4, "pois.col_start": 5, "pois.row_end": 44, "pois.col_end": 53,
        "pois.roi_h": 4, "pois.roi_w": 4})
    (dip.folder / "sites.cfg").write_text(
        "version = 1;\nlattices = ( { origin = [5.5, 6.5]; a = [0.0, 4.0]; b = [4.0, 0.0];\n"
        "  na = 12; nb = 10; h = 4; w = 4; } );\n")
    lattice = process_all(dip, folder, **lambdas, **{"pois.sites": "sites.cfg"})
    bits = decided(grid, 120)
    assert (bits == decided(lattice, 120)).all()
    assert 0.1 < bits.mean() < 0.9
    assert lattice.report["detector"] == grid.report["detector"]
    assert isinstance(grid.report["detector"]["threshold"], int)


def test_prior_refused(dip, samples):
    """The ends of the fraction."""
    refuse(dip, ["pois.fill: found 1", "below 1"], samples, 1, sets={"pois.fill": 1.0})


def test_prior(dip, samples):
    """pois.fill moves the threshold, and the start says it."""
    run = dip.run(samples, 1, sets={"pois.fill": 0.87259, "pois.fp_target": 1, "main.fps": 50,
                                    "pois.lambda_empty": 0.4577, "pois.lambda_occ": 10.46243,
                                    "main.nth_archive": 0})
    assert run.report["detector"]["threshold"] == 3
    assert ", T = 3, FP = 0.01" in run.stderr


def photons(frames, offset, gain, hot, least):
    """What each pixel counts, by the definition."""
    values = (frames - offset) / gain
    if least > 0:
        values = (values >= least).astype(float)
    return np.where(hot, 0, values)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("least", [0, 4000.5])
def test_maps(dip, noise, kernel, least):
    """Offset, gain, hot pixels, threshold of a pixel: photons = (pixel - offset) / gain."""
    folder, frames = noise
    rng = np.random.default_rng(11)
    offset = rng.uniform(90, 110, (HEIGHT, WIDTH))
    gain = rng.uniform(2, 8, (HEIGHT, WIDTH)).astype(np.float32)
    hot = rng.random((HEIGHT, WIDTH)) < 0.05
    gain[np.nonzero(hot)[0][0], np.nonzero(hot)[1][0]] = 0  # nobody divides by it
    np.save(dip.folder / "offset.npy", np.asfortranarray(offset))
    np.save(dip.folder / "gain.npy", gain.astype(">f4"))
    np.save(dip.folder / "hot.npy", hot)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = photons(frames, offset, gain.astype(float), hot, least)
    sums = values[:, 4:44, 5:53].reshape(FRAMES, 10, 4, 12, 4).sum((2, 4)).reshape(FRAMES, 120)
    threshold = int(np.median(sums))
    (dip.folder / "sites.cfg").write_text(
        "version = 1;\nlattices = ( { origin = [5.5, 6.5]; a = [0.0, 4.0]; b = [4.0, 0.0];\n"
        f"  na = 12; nb = 10; h = 4; w = 4; threshold = {threshold}; }} );\n")
    run = dip.start(folder, sets={
        "dma.loop_frames": False, "dma.pace_frames": False, "main.overrun": "block",
        "main.nth_archive": 0, "pois.sites": "sites.cfg", "pois.offset_map": "offset.npy",
        "pois.gain_map": "gain.npy", "pois.hot_pixels": "hot.npy",
        "pois.pixel_threshold": float(least), "proc.kernel": kernel}).finish()
    if run.status == 2 and "this CPU lacks it" in run.stderr:
        pytest.skip(run.stderr.splitlines()[-1])
    dip.end(run)
    # The weights are whole numbers of at least eight bits: their rounding may turn a near thing.
    bits, clear = decided(run, 120), np.abs(sums - (threshold - 0.5)) > 1e-3 * threshold * (least == 0)
    assert clear.mean() > 0.98
    assert (bits == (sums >= threshold - 0.5))[clear].all()
    assert 0.2 < bits.mean() < 0.8


@pytest.mark.parametrize("kind", ["mask", "list of rows", "text"])
def test_hot_pixels(dip, noise, kind):
    """Three ways to name the same two pixels."""
    folder, frames = noise
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[3, 4] = mask[10, 59] = 1
    value = {"mask": "hot.npy", "list of rows": "hot.npy", "text": '"3:4, 10:59"'}[kind]
    np.save(dip.folder / "hot.npy", mask if kind == "mask" else np.argwhere(mask))
    path = sites_file(dip.folder, [
        {"row": 3, "col": 4, "h": 1, "w": 2, "threshold": 30000},
        {"row": 10, "col": 58, "h": 1, "w": 2, "threshold": 30000}])
    run = process_all(dip, folder, **{"pois.sites": path, "pois.hot_pixels": value})
    want = np.stack([frames[:, 3, 5] >= 30000, frames[:, 10, 58] >= 30000], axis=1)
    assert (decided(run, 2) == want).all()


BAD_SITES = {
    "nothing": ("", ["sites.cfg", "version = 1"]),
    "version": ("version = 3;", [":1", "found 3", "expected 1"]),
    "syntax": ("version = 1;\nsites = ( { row = = 3; } );\n", [":2", "syntax error"]),
    "no site": ("version = 1;\n", ["found 0 sites"]),
    "frame": ("version = 1;\nframe = { width = 1; height = 2; };\n", [":2", "width = 1", "60"]),
    "outside": ("version = 1;\nsites = (\n{ name = \"Q\"; row = 40; col = 3; h = 9; w = 1; } );\n",
                [":3", 'site 0 "Q"', "9x1", "row 40", "48 x 60"]),
    "unknown key": ("version = 1;\nsites = ( { row = 1; colum = 3; } );\n",
                    [":2", "colum", "did you mean col?"]),
    "weights unknown": ("version = 1;\nsites = ( { row = 1; col = 3; weights = \"a\"; } );\n",
                        [":2", '"a"', "weights group"]),
    "weights too large": ("version = 1;\nweights = { a = { h = 1; w = 1; values = [ 99999 ]; }; };\n",
                          [":2", "99999", "32767"]),
    "no threshold": ("version = 1;\nweights = { a = { h = 1; w = 1; values = [ 9 ]; }; };\n"
                     "sites = ( { row = 1; col = 3; weights = \"a\"; lambda_occ = 2.0; } );\n",
                     [":3", "no Poisson count"]),
    "out of reach": ("version = 1;\nsites = ( { row = 1; col = 3; h = 1; w = 1;\n"
                     "threshold = 70000; } );\n", [":2", "70000", "1 to 65535"]),
    "lambdas": ("version = 1;\nsites = ( { row = 1; col = 3; h = 1; w = 1; lambda_occ = 0.1; } );\n",
                [":2", "sites[0]", "lambda_occ: found 0.1"]),
    "lattice": ("version = 1;\nlattices = ( { origin = [1, 2]; a = [0, 3]; na = 2; nb = 2; } );\n",
                [":2", "lattices[0]", "no b"]),
    "too many": ("version = 1;\nlattices = ( { origin = [1, 2]; a = [0, 0]; b = [0, 0];\n"
                 "na = 50000; nb = 3; h = 1; w = 1; } );\n", ["150000", "100000"]),
    "binary": ("\x00\x01", ["sites.cfg"]),
}


@pytest.mark.parametrize("kind", BAD_SITES)
def test_bad_sites(dip, noise, kind):
    """One line with file, line, site, found, expected; nothing is made."""
    text, words = BAD_SITES[kind]
    (dip.folder / "sites.cfg").write_text(text)
    refuse(dip, ["sites.cfg", *words], noise[0], 1, sets={"pois.sites": "sites.cfg"})


BAD_MAPS = {
    "none": ("offset_map", None, ["none.npy", "No such file"]),
    "no npy": ("offset_map", b"hello", ["not an .npy file"]),
    "shape": ("gain_map", np.ones((HEIGHT, WIDTH + 1)), ["(48, 61)", "(48, 60)"]),
    "three dimensions": ("gain_map", np.ones((1, HEIGHT, WIDTH)), ["two dimensions"]),
    "complex": ("gain_map", np.ones((HEIGHT, WIDTH), complex), ["<c1", "astype"]),
    "gain of zero": ("gain_map", np.zeros((HEIGHT, WIDTH)), ["row 4, column 5", "above 0"]),
    "NaN": ("offset_map", np.full((HEIGHT, WIDTH), np.nan), ["row 4, column 5", "nan"]),
    "hot outside": ("hot_pixels", np.array([[48, 0]]), ["row 48, column 0", "48 x 60"]),
    "hot shape": ("hot_pixels", np.zeros((5, 5)), ["(5, 5)", "(N, 2)"]),
    "all hot": ("hot_pixels", np.ones((HEIGHT, WIDTH)), ["site 0", "count is 0 to 0"]),
}


@pytest.mark.parametrize("kind", BAD_MAPS)
def test_bad_maps(dip, noise, kind):
    """One line that names the key, the file and what is wrong with it."""
    key, content, words = BAD_MAPS[kind]
    name = "none.npy" if content is None else "map.npy"
    if isinstance(content, bytes):
        (dip.folder / name).write_bytes(content)
    elif content is not None:
        np.save(dip.folder / name, content)
    grid = {"pois.row_start": 4, "pois.col_start": 5, "pois.row_end": 44, "pois.col_end": 53,
            "pois.roi_h": 4, "pois.roi_w": 4}
    refuse(dip, [f"pois.{key}" if kind != "all hot" else "hot pixels", *words], noise[0], 1,
           sets={f"pois.{key}": name, **grid})


def test_hot_list_in_text(dip, noise):
    """A list that is none."""
    refuse(dip, ["pois.hot_pixels", '" 4;5"', "ROW:COLUMN"], noise[0], 1,
           sets={"pois.hot_pixels": '"1:2, 4;5"', "pois.row_end": 40, "pois.col_end": 60,
                 "pois.row_start": 0, "pois.col_start": 0})


def test_telemetry(dip, noise):
    """/dip/site by number and by name, /dip/occupancy, against numpy over the whole run."""
    folder, frames = noise
    sites, weights, sums = mixed_sites(np.random.default_rng(7), frames)
    path = sites_file(dip.folder, sites, weights)
    prefix = f"dipsite{os.getpid()}"
    run = dip.start(folder, 0, eal_args=harness.eal(3, prefix=prefix), sets={
        "dma.loop_frames": True, "main.fps": 2000, "main.nth_archive": 0, "pois.sites": path,
        "proc.site_stats": 1})
    client = Client(prefix, run.pid)
    try:
        dip.wait_for(run, lambda: client.ask("/dip/site,0").get("frames", 0) >
                     3 * FRAMES)
        for text, number in (("0", 0), ("s13", 13), ("59", 59), ("s2", 2)):
            said, site = client.ask(f"/dip/site,{text}"), sites[number]
            assert (said["site"], said["name"]) == (number, site["name"])
            assert (said["row"], said["col"]) == (site["row"], site["col"])
            assert int(said["threshold"]) == site["threshold"]
            last = sums[said["last_seq"] % FRAMES, number]
            assert int(said["last_count"]) == last
            assert int(said["last_margin"]) == last - site["threshold"]
            # Over whole loops and a part of one: within what the part can move it.
            want, slack = sums[:, number], 2 * FRAMES / said["frames"]
            spread = want.max() - want.min()
            assert abs(float(said["mean"]) - want.mean()) <= slack * spread
            assert abs(float(said["occupancy"]) - (want >= site["threshold"]).mean()) <= slack
        said = client.ask("/dip/occupancy")
        row = sums[said["seq"] % FRAMES] >= [site["threshold"] for site in sites]
        assert said["occupied"] == row.sum() and said["sites"] == len(sites)
        assert 0 < said["latency_ns"] < 1e9
        for wrong in ("/dip/site", "/dip/site,60", "/dip/site,-1", "/dip/site,none"):
            client.socket.send(wrong.encode())
            assert "0 to 59, or its name" in next(iter(client.receive().values()))["error"]
    finally:
        client.close()
        dip.stop(run)
        shutil.rmtree(runtime_folder(prefix), ignore_errors=True)
