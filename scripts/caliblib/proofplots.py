# SPDX-License-Identifier: BSD-3-Clause
"""The plot of the proof: how the infidelity grows with the background, predicted for known light and
measured."""

import math

import numpy as np

from caliblib import draw
from caliblib.draw import plt
from caliblib.response import Camera, Response
from caliblib.spot import Images
from caliblib.threshold import score_threshold
from caliblib.weights import ideal_weights, to_integers

_COLOURS = {"box": "#4a5568", "psf": "#2b6cb0", "llr": "#d9822b"}


def gaussian_spot(sigma, photons):
    """Mean light of a spot in the middle of 10 x 10 pixels, each integrated over, (100)."""
    edges = [0.5 * math.erf(edge / (sigma * math.sqrt(2))) for edge in range(-5, 6)]
    share = np.diff(edges)
    return photons * np.outer(share, share).ravel()


def _weights(kind, spot, background):
    """Integer weights for a known spot and background, (pixels)."""
    if kind == "box":
        return np.ones(len(spot), dtype=np.int64)
    images = Images(np.full((1, len(spot)), background), spot[None], np.zeros(1, dtype=int))
    return to_integers(ideal_weights(kind, images, 0.0))[0]


def predicted_infidelity(kind, spot, background):
    """The least mean of FP and FN of one site, exactly."""
    weights = _weights(kind, spot, background)
    empty = np.full(len(spot), background)
    classes = (Response(Camera(), weights, empty), Response(Camera(), weights, empty + spot))
    light = (np.array([empty.sum()]), np.array([(empty + spot).sum()]))
    return float(score_threshold(classes, light, np.zeros(1), 0.5, 1.0).infidelity[0])


def draw_proof(folder, sigma, photons, scenes):
    """infidelity.png. sigma, photons: of a spot; scenes: [(photons of an empty box, figures by
    kind)] as measured."""
    spot = gaussian_spot(sigma, photons)
    at = np.geomspace(0.05, 100, 24)
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for kind, colour in _COLOURS.items():
        axes.plot(at, [predicted_infidelity(kind, spot, light / len(spot)) for light in at],
                  color=colour, label=f"{kind}, predicted for known light")
        for background, rules in scenes:
            of = rules["closed" if kind == "box" else kind]["mean"]
            axes.errorbar([background], [of["rate"]],
                          [[of["rate"] - of["low"]], [of["high"] - of["rate"]]], fmt="o",
                          color=colour, markersize=4, capsize=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("photons of an empty box")
    axes.set_ylabel("mean of FP and FN")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    (folder / "infidelity.png").write_bytes(draw.png(figure))


def draw_scenes(folder, scenes):
    """proof.png: for each scene FP and FN of the box with the closed-form threshold, measured,
    predicted by the closed form and expected of that threshold; and by how much the mean of both is
    lower with weights, each seed a point. scenes: [(scene, figures by kind)]."""
    figure, (errors, gains) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    at = np.arange(len(scenes))
    for side, key, colour in ((-0.15, "false_positive", "#2b6cb0"),
                              (0.15, "false_negative", "#d9822b")):
        which = 0 if key == "false_positive" else 1
        of = [rules["closed"] for _, rules in scenes]
        rates = np.array([[one[key][end] for end in ("rate", "low", "high")] for one in of])
        errors.errorbar(at + side, rates[:, 0],
                        [rates[:, 0] - rates[:, 1], rates[:, 2] - rates[:, 0]], fmt="o",
                        color=colour, markersize=4, capsize=3,
                        label=f"{'FP' if which == 0 else 'FN'}, measured")
        for mark, told in (("_", "expected"), ("x", "predicted")):
            errors.plot(at + side, [one[told][which] for one in of], mark, color="#1a202c",
                        markersize=14 if mark == "_" else 6, zorder=3,
                        label=None if which else {"_": "the exact distribution",
                                                  "x": "the closed form"}[mark])
    for side, kind in ((-0.15, "psf"), (0.15, "llr")):
        for place, (_, rules) in enumerate(scenes):
            each = rules[kind]["gains"]
            gains.plot([place + side] * len(each), each, "o", color=_COLOURS[kind], markersize=4,
                       label=None if place else kind)
            if rules[kind] is rules["llr"] and scenes[place][0].ratio:
                gains.plot([place - 0.3, place + 0.4], [scenes[place][0].ratio] * 2, "--",
                           color="#c53030", label=None if place else "asked for")
    errors.set_yscale("log")
    errors.set_ylabel("error rate of the box")
    gains.set_ylabel("mean of FP and FN: lower than the box's by")
    gains.set_ylim(bottom=0)
    for axes in (errors, gains):
        axes.set_xticks(at, [scene.told.split(",")[0].replace(" in each box", "")
                             for scene, _ in scenes], rotation=20, fontsize=8)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    (folder / "proof.png").write_bytes(draw.png(figure))
