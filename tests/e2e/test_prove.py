# SPDX-License-Identifier: BSD-3-Clause
"""scripts/prove.py: the proof against the truth that the program decides as predicted, and what it
says when that is not so."""

import json
import math
import subprocess
import sys

import pytest

import harness
from harness import ROOT

pytest.importorskip("scipy", reason="apt-get install python3-scipy")
sys.path.insert(0, str(ROOT / "scripts"))

import numpy as np  # noqa: E402
import prove as tool  # noqa: E402
from dipformat import Trouble  # noqa: E402

pytestmark = pytest.mark.tool


def prove(*args):
    """The finished process."""
    done = subprocess.run([sys.executable, ROOT / "scripts/prove.py", *map(str, args)],
                          text=True, capture_output=True, check=False, timeout=600)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_predictions_hold_and_weights_gain(tmp_path):
    """A million decisions of the program for each rule and scene; the bars are looked at again here,
    by the counts of errors and by the closed form's golden values for these means."""
    if harness.program() is None:
        pytest.skip("DIP_BINARY does not name the program; set it to build/app/dma-image-processor")
    out = tmp_path / "figures.json"
    done = prove("--program", harness.program(), "--scenes", "seed,background", "--frames", 2500,
                 "--calibration", 200, "--json", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MISS" not in done.stdout and done.stdout.count("pass") == 4
    scenes = json.loads(out.read_text())["scenes"]
    assert [len(scenes[name]["runs"]) for name in scenes] == [1, 1]
    for name, least in (("seed", 3), ("background", 5)):
        closed, llr = scenes[name]["closed"], scenes[name]["llr"]
        assert closed["infidelity"]["of"] == llr["infidelity"]["of"] == 1_000_000
        means = 0.45770 + (5 if name == "background" else 0), 10.00473
        t = math.ceil(means[1] / math.log1p(means[1] / means[0]))
        below = [sum(math.exp(n * math.log(light) - light - math.lgamma(n + 1)) for n in range(t))
                 for light in (means[0], sum(means))]
        for key, predicted in (("false_positive", 1 - below[0]), ("false_negative", below[1])):
            assert abs(closed[key]["errors"] / closed[key]["of"] - predicted) < \
                5 * math.sqrt(predicted * (1 - predicted) / closed[key]["of"]), (name, key)
        mean = [sum(rule[key]["errors"] / rule[key]["of"]
                    for key in ("false_positive", "false_negative")) for rule in (closed, llr)]
        assert mean[0] >= least * mean[1]


@pytest.mark.parametrize("name, rates", [
    ("loss", (1.2715584050411177e-3, 0.98 * 7.349733094549379e-3 + 0.02 * 0.3531180)),
    ("emccd", (0.1165, 0.0461)), ("qcmos", (0.1719, 0.0576))])
def test_what_is_expected_where_a_box_is_no_poisson_number(name, rates):
    """Against draws, photoelectron by photoelectron, of a million pixels of each class."""
    scene, threshold = tool.SCENES[name], 4
    camera, draw, found = scene.camera, np.random.default_rng(20261124), []
    for light in (scene.empty, scene.empty + tool.PHOTONS):
        share = np.ones((40_000, 1))
        if scene.loss and light > scene.empty:
            lost = draw.random(share.shape) < scene.loss
            share = np.where(lost, draw.random(share.shape), share)
        mean = (scene.empty + (light - scene.empty) * share) / tool.BOX_PIXELS
        electrons = draw.poisson(np.broadcast_to(mean, (40_000, 100))).astype(float)
        if camera.multiplied:
            electrons = draw.standard_gamma(electrons)
        electrons += camera.read_noise * draw.standard_normal(electrons.shape)
        pixels = np.rint(camera.offset + camera.gain * electrons)
        found.append(np.mean((pixels - camera.offset).sum(axis=1) >=
                             camera.gain * (threshold - 0.5)))
    expected = tool.expected(scene, threshold)
    for p, drawn, rough in zip(expected, (found[0], 1 - found[1]), rates):
        assert abs(drawn - p) < 5 * math.sqrt(p * (1 - p) / 40_000)
        assert p == pytest.approx(rough, rel=0.02)


def test_a_scene_that_is_no_poisson_number(tmp_path):
    """Atoms that are lost: the exact distribution holds, the closed form's prediction does not."""
    if harness.program() is None:
        pytest.skip("DIP_BINARY does not name the program; set it to build/app/dma-image-processor")
    out = tmp_path / "figures.json"
    args = ("--program", harness.program(), "--scenes", "loss", "--frames", 2500,
            "--calibration", 100, "--json", out)
    done = prove(*args)
    assert done.returncode == 0, done.stdout + done.stderr
    closed = json.loads(out.read_text())["scenes"]["loss"]["closed"]
    rates = [closed[key]["rate"] for key in ("false_positive", "false_negative")]
    for rate_, exact in zip(rates, closed["expected"]):
        assert abs(rate_ - exact) < 5 * math.sqrt(exact * (1 - exact) / 5e5)
    assert rates[1] > 1.5 * closed["predicted"][1]
    again = prove(*args, "--resume")  # nothing is measured again: it ends at once
    assert again.returncode == 0 and "calibrate" not in again.stdout
    assert "loss: exact distribution, sigmas off" in again.stdout
    other = prove(*args[:-2], "--json", out, "--resume", "--seed", 5)
    assert other.returncode == 2 and "made with other" in other.stderr


def rate(errors):
    """As fidelity.wilson() gives it, of 1000."""
    return tool.fidelity.wilson(errors, 1000, 1.96)


@pytest.mark.parametrize("gain, off, status", [(3.1, 4.9, 0), (2.9, 4.9, 1), (3.1, -5.1, 1)])
def test_a_missed_bar_is_exit_status_1(monkeypatch, capsys, gain, off, status):
    rules = {kind: {"false_positive": rate(10), "false_negative": rate(20), "infidelity": rate(30),
                    "mean": rate(15), "predicted": [0.01, None], "gain": gain,
                    "gains": [gain]} for kind in ("closed", *tool.KINDS)}
    rules["closed"].update(expected=[0.01, 0.02], sigmas=[[0.0, off]])
    monkeypatch.setattr(tool, "measure", lambda *_: rules)
    monkeypatch.setattr(tool, "judge", lambda *_: rules)
    monkeypatch.setattr(sys, "argv", ["prove.py", "--scenes", "seed", "--program", __file__])
    assert tool.main() == status
    assert capsys.readouterr().out.count("MISS") == status


def test_sigmas_and_gain():
    assert tool.sigmas(rate(20), 0.01) == pytest.approx(0.01 / math.sqrt(0.01 * 0.99 / 1000))
    factor, (low, high) = tool.gain(rate(90), rate(30))
    assert factor == pytest.approx(3) and 1.5 < low < 3 < high < 5
    assert tool.gain(rate(90), rate(0))[0] == math.inf


def test_a_run_that_fails_is_told(tmp_path):
    with pytest.raises(Trouble, match="exit status 1, expected 0; it said: nothing"):
        tool.finish(["false"], tmp_path, (0,))


@pytest.mark.parametrize("args, word", [
    (["--scenes", "seed,none"], "expected some of seed,background"),
    (["--frames", "3"], "expected 2500..1e+07"),
    (["--plots", "/nowhere"], "expected a folder"),
    (["--json", "/nowhere/x.json"], "no such folder"),
    (["--resume"], "expected --json FILE"),
    (["--seeds", "0"], "expected 1..1000"),
    (["--program", "/nowhere/x"], "no such file"),
])
def test_wrong_usage(args, word):
    done = prove(*args)
    assert done.returncode == 2 and done.stdout == "" and word in done.stderr
