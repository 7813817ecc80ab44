# SPDX-License-Identifier: BSD-3-Clause
"""Simulated cameras: from the mean light of each pixel to the values that a camera would give.

`photons` counts every photoelectron. `emccd` multiplies each photoelectron in a register, so that n
of them become gamma(n) times the gain, with clock-induced charge among them, and adds read noise.
`cmos`, a qCMOS or sCMOS, has an offset, a gain and a read noise of its own in every pixel."""

from typing import NamedTuple

import numpy as np

KINDS = ("photons", "emccd", "cmos")


class CameraModel(NamedTuple):
    """kind: one of KINDS; offset: value of a dark pixel; gain: value for each photoelectron;
    read_noise: of a pixel, photoelectrons, standard deviation (emccd: before the register's gain,
    so often below one); induced: clock-induced photoelectrons of a pixel, mean (emccd); spread:
    relative scatter of gain and read noise from pixel to pixel, and of the offset in units of the
    gain (cmos)."""
    kind: str = "photons"
    offset: float = 0.0
    gain: float = 1.0
    read_noise: float = 0.0
    induced: float = 0.0
    spread: float = 0.0


class Sensor:
    """A camera of that model with pixels of that shape: offset, gain and read_noise of each."""

    def __init__(self, model, shape, rng):
        self.model = model
        self.offset = np.full(shape, float(model.offset))
        self.gain = np.full(shape, float(model.gain))
        self.read_noise = np.full(shape, float(model.read_noise))
        if model.kind == "cmos" and model.spread > 0:
            self.offset += model.spread * model.gain * rng.standard_normal(shape)
            self.gain *= np.maximum(1 + model.spread * rng.standard_normal(shape), 0.1)
            self.read_noise *= np.exp(model.spread * rng.standard_normal(shape))

    def expose(self, light, rng):
        """Values (.., rows, columns) for the mean light of each pixel, whole numbers, not cut to
        any range."""
        if self.model.kind == "photons":
            return rng.poisson(light)
        electrons = rng.poisson(light + self.model.induced).astype(np.float64)
        if self.model.kind == "emccd":
            electrons = rng.standard_gamma(electrons)
        electrons += self.read_noise * rng.standard_normal(electrons.shape)
        return np.rint(self.offset + self.gain * electrons).astype(np.int64)


def light_left(occupied, loss, rng):
    """The share of its light that each occupied site sends: all of it, or, where the atom is lost
    during the exposure, as much as the exposure had gone on. Empty sites send none."""
    share = occupied.astype(np.float64)
    if loss > 0:
        lost = rng.random(occupied.shape) < loss
        share *= np.where(lost, rng.random(occupied.shape), 1.0)
    return share
