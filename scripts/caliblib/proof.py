# SPDX-License-Identifier: BSD-3-Clause
"""The scenes of the proof, and what is to be expected of a box in each of them.

A box whose pixels count photoelectrons is a Poisson number, and the closed form tells its errors
exactly. Behind an EMCCD or with the read noise of a qCMOS it is none, and an atom that is lost during
the exposure gives light of no fixed mean. There the closed form's threshold is used all the same,
and `expected` says what it will do: from the distribution of response.py, cut at that threshold."""

import math
import statistics
from typing import NamedTuple

import numpy as np

from caliblib.response import Camera, Response, tabulate

# What a calibration finds in the sample images; 10.1 pixels from spot to spot in boxes of 10 let the
# spots scatter by 0.58 pixels around the middles of their boxes, as theirs do.
PHOTONS, EMPTY, FILL = 10.00473, 0.45770, 0.87259
BOX_PIXELS = 100
_DEVIATIONS = 40
_MOMENTS = 48  # of a lost atom's last moment: nodes of a Gauss-Legendre sum


class Scene(NamedTuple):
    """background: mean photons more in an empty box; ratio: the least that llr must gain over the
    box with the closed-form threshold, or None. device: arguments of dma_sim beside the light;
    camera: the same as scripts/calibrate.py knows it; induced: clock-induced electrons of a pixel;
    loss: probability that an atom is lost in the course of a frame."""
    told: str
    background: float = 0.0
    ratio: float = None
    device: dict = {}
    camera: Camera = Camera()
    induced: float = 0.0
    loss: float = 0.0

    @property
    def empty(self):
        """Mean photoelectrons of an empty box."""
        return EMPTY + self.background + BOX_PIXELS * self.induced

    @property
    def poisson(self):
        """Whether a box of it is a Poisson number, as the closed form has it."""
        return self.camera.counts_photons and self.loss == 0


# The EMCCD and the qCMOS are dma_sim's typical ones. A qCMOS pixel has an offset of its own, which a
# map takes off; here they are all alike, as they are after that. Gains scatter by 1 % all the same,
# and the read noise of a pixel, log-normal with 0.2, has a mean square of exp(2 x 0.2^2) times 0.3^2.
SCENES = {
    "seed": Scene("as the sample images", ratio=3.0),
    "background": Scene("5 photons more in each box", 5.0, 5.0),
    "bright": Scene("20 photons more in each box", 20.0),
    "loss": Scene("2 % of the atoms lost during a frame, else as the samples", loss=0.02,
                  device={"loss": 0.02}),
    "emccd": Scene("EMCCD", induced=0.005, camera=Camera(500, 0.2 * 300, 50 / 300, True),
                   device={"camera": "emccd", "em_gain": 300, "cic": 0.005, "offset": 500,
                           "gain": 0.2, "read_noise": 50}),
    "qcmos": Scene("qCMOS", camera=Camera(200, 9.3, 0.3 * math.exp(0.2**2)),
                   device={"camera": "qcmos", "offset": 200, "gain": 9.3, "read_noise": 0.3,
                           "offset_spread": 0, "gain_spread": 0.01, "read_noise_spread": 0.2}),
}


def _below(camera, light, counts):
    """The probability that a box of mean light (n) counts less than so many photoelectrons."""
    response = Response(camera, np.ones(BOX_PIXELS), np.ones(BOX_PIXELS))
    shift = np.full(len(light), float(BOX_PIXELS * camera.offset))
    # Whole sums of raw pixels; a count is rounded half up.
    at = shift[0] + math.ceil(camera.gain * (counts - 0.5))
    spread = _DEVIATIONS * response.deviation(light) + 8 * camera.gain
    table = tabulate(response, light, shift, shift - spread, shift + response.mean(light) + spread)
    return np.array([np.interp(at, lowest, np.append(0.0, np.cumsum(mass))[:-1])
                     for lowest, mass in zip(table.lowest(), table.probabilities())])


def expected(scene, threshold):
    """[FP, FN] of a box with that threshold, in photoelectrons."""
    occupied = scene.empty + PHOTONS
    empty, whole = _below(scene.camera, np.array([scene.empty]), threshold), \
        _below(scene.camera, np.array([occupied]), threshold)
    missed = float(whole[0])
    if scene.loss > 0:
        node, weight = np.polynomial.legendre.leggauss(_MOMENTS)
        part = _below(scene.camera, scene.empty + PHOTONS * (node + 1) / 2, threshold)
        missed += scene.loss * (float(weight @ part) / 2 - missed)
    return [1 - float(empty[0]), missed]


def sigmas(rate, predicted):
    """How many standard errors a rate is above the prediction."""
    return (rate["rate"] - predicted) / math.sqrt(predicted * (1 - predicted) / rate["of"])


def gain(closed, mine):
    """By how much an infidelity is lower, with an interval from those of both."""
    if mine["rate"] == 0:
        return math.inf, (closed["low"] / mine["high"], math.inf)
    factor = closed["rate"] / mine["rate"]
    below = math.hypot(closed["low"] / closed["rate"] - 1, mine["high"] / mine["rate"] - 1)
    above = math.hypot(closed["high"] / closed["rate"] - 1, mine["low"] / mine["rate"] - 1)
    return factor, (factor / (1 + below), factor * (1 + above))


def pool(runs, wilson, mean_of):
    """One kind of rule in all seeds, as if it were one run. runs: its figures, a seed each; wilson,
    mean_of: fidelity.py's."""
    figures = {}
    for key in ("false_positive", "false_negative", "infidelity"):
        errors, of = (sum(run[key][what] for run in runs) for what in ("errors", "of"))
        figures[key] = wilson(errors, of, statistics.NormalDist().inv_cdf(0.975))
    figures["mean"] = mean_of(figures["false_positive"], figures["false_negative"])
    for key in ("predicted", "expected"):
        if key in runs[0]:
            figures[key] = [None if one[0] is None else statistics.fmean(one)
                            for one in zip(*(run[key] for run in runs))]
    return figures
