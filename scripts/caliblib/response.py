# SPDX-License-Identifier: BSD-3-Clause
"""How light becomes a score, and the exact distribution of that score.

A pixel's value is offset + gain * light, plus read noise. Light is a Poisson number of
photoelectrons; behind an electron-multiplying register each of them is an exponentially distributed
number of mean 1 (a sum of n is gamma(n)). A score is the sum of weights times values over the
pixels of a site, a box sum when all weights are one. With u = weight * gain of a pixel and q its
share of the mean light lam, the cumulant generating function of the score is

    K(s) = lam (sum q psi(u s) - 1) + V s^2 / 2,  psi(x) = exp(x), or 1 / (1 - x) when multiplied

with V the variance of the read noise in the score. The distribution itself is a Fourier transform
of exp(K) on a lattice, exact but for rounding; tilted by exp(theta s), so that the tail asked for
is where the mass is, it is exact relative to the tail as well, however small.

Next to no light behind a multiplying register is the exception: nearly all the mass is that of the
frames without any electron, and to move the mean of all frames into the tail, the few others have to
be tilted until they reach farther than any lattice. Without the dark frames, which are read noise and
nothing else, there is no such trouble: Response.lit() is what is left."""

import copy
from typing import NamedTuple, Union

import numpy as np

_LATTICE_MAX = 1 << 17
# Lattice points in a standard deviation of the noise, below which nothing has a structure.
_STEPS = 16
# Frequencies looked at together, and the logarithm of what counts as nothing.
_BLOCK = 256
_NOTHING = -45.0


class Camera(NamedTuple):
    """offset: value of a dark pixel, one number or a map (rows, columns); gain: value for each
    photoelectron; read_noise: of a pixel, in photoelectrons, standard deviation; multiplied:
    whether the gain is that of an electron-multiplying register."""
    offset: Union[float, np.ndarray] = 0.0
    gain: float = 1.0
    read_noise: float = 0.0
    multiplied: bool = False

    @property
    def counts_photons(self):
        """Whether a sum of pixels is simply a Poisson number."""
        return (self.gain == 1.0 and self.read_noise == 0.0 and not self.multiplied
                and not np.any(np.asarray(self.offset) % 1))

    @property
    def pixel_variance(self):
        """Variance of a dark pixel's value. Rounding to whole numbers adds to it, except where
        nothing is rounded."""
        return 0.0 if self.counts_photons else (self.read_noise * self.gain)**2 + 1 / 12

    @property
    def excess(self):
        """Variance of the light over its mean."""
        return 2.0 if self.multiplied else 1.0


class Response:
    """Of one class of sites of one shape: weights and shares of the light, both (pixels). dark:
    whether frames without any photoelectron are among those that it tells of."""

    def __init__(self, camera, weights, shares):
        weights = np.asarray(weights, dtype=np.float64)
        units, which = np.unique(weights * camera.gain, return_inverse=True)
        self.units, self.multiplied = units, camera.multiplied
        self.shares = np.bincount(which, weights=np.asarray(shares)) / np.sum(shares)
        self.variance = camera.pixel_variance * float((weights**2).sum())
        # Whether scores are whole numbers by nature and not only by rounding.
        self.on_lattice = self.variance == 0.0
        self.dark = True
        self._untilted = {}

    def lit(self):
        """Of the frames with one photoelectron or more alone: exp(K) is then their part of the
        whole, 1 - exp(-light) where s is 0. Its probabilities add up to that, too."""
        part = copy.copy(self)
        part.dark = False
        return part

    def mean(self, light):
        """Mean score at a mean light."""
        return np.asarray(light) * (self.shares @ self.units)

    def deviation(self, light):
        """Standard deviation of the score."""
        excess = 2.0 if self.multiplied else 1.0
        return np.sqrt(np.asarray(light) * excess * (self.shares @ self.units**2) + self.variance)

    def _psi(self, x):
        return 1 / (1 - x) if self.multiplied else np.exp(x)

    def one_photon(self, s):
        """E exp(s score) of the score of one photoelectron."""
        return sum(share * self._psi(unit * s) for unit, share in zip(self.units, self.shares))

    def one_photon_at(self, theta, size, step, index):
        """The same at theta + i w for some of the frequencies of a lattice. Without tilt it is the
        same whatever the light, and asked for again and again."""
        s = theta[:, None] + 2j * np.pi / (size * step) * index
        if theta.any() or len(theta) > 1:
            return self.one_photon(s)
        key = (size, step, int(index[0]))
        if key not in self._untilted:
            self._untilted[key] = self.one_photon(s)
        return self._untilted[key]

    def cumulant(self, light, s, one=None):
        """K(s) for light (n) and s (n, m), real or complex; one: one_photon(s), where it is known."""
        one = self.one_photon(s) if one is None else one
        mean = light[:, None] * one
        noise = self.variance * s * s / 2
        if self.dark:
            return mean - light[:, None] + noise
        return mean - light[:, None] + np.log(-np.expm1(-mean)) + noise

    def slopes(self, light, s):
        """K'(s) and K''(s), for light and real s of one dimension."""
        x = self.units * s[:, None]
        if self.multiplied:
            first, second = (1 - x)**-2, 2 * (1 - x)**-3
        else:
            first = second = np.exp(x)
        first = light * (first @ (self.shares * self.units))
        second = light * (second @ (self.shares * self.units**2))
        if not self.dark:
            # With m the mean, K has log(exp(m) - 1) in place of m, whose derivative by m this is.
            by_mean = -1 / np.expm1(-light * self.one_photon(s))
            first, second = (first * by_mean,
                             second * by_mean + first**2 * by_mean * (1 - by_mean))
        return first + self.variance * s, second + self.variance

    def tilt(self, light, target):
        """theta with K'(theta) = target, for arrays of one dimension: Newton's method between
        bounds, since K' only grows."""
        theta = np.zeros(len(target))
        low, high = np.full(len(target), -np.inf), np.full(len(target), np.inf)
        if self.multiplied and (self.units > 0).any():
            high[:] = 1 / self.units.max()
        if self.multiplied and (self.units < 0).any():
            low[:] = 1 / self.units.min()
        biggest = np.abs(self.units).max()
        for _ in range(200):
            slope, curve = self.slopes(light, theta)
            low = np.where(slope < target, theta, low)
            high = np.where(slope >= target, theta, high)
            step = theta + np.clip((target - slope) / curve, -1 / biggest, 1 / biggest)
            middle = (low + high) / 2
            new = np.where((step > low) & (step < high) | ~np.isfinite(middle), step, middle)
            if np.all(np.abs(new - theta) * biggest < 1e-12):
                break
            theta = new
        return theta


class Table(NamedTuple):
    """Probabilities of scores, one row for each site: the probability of the score
    x = start + k step, or of those around it when step is not 1, is
    mass[k] exp(scale - theta x)."""
    start: np.ndarray
    step: int
    mass: np.ndarray
    scale: np.ndarray
    theta: np.ndarray

    def lowest(self):
        """The lowest score of each place of the lattice, (sites, scores)."""
        return (np.arange(self.mass.shape[1]) * self.step + self.start[:, None]
                - (self.step - 1) // 2)

    def probabilities(self):
        """The same without tilt, (sites, scores)."""
        x = np.arange(self.mass.shape[1]) * self.step + self.start[:, None]
        # Far from where it is tilted to, mass is what rounding leaves: that must not become a number
        # that is none, nor one below 0, which would pass for the fewest errors.
        tilt = np.minimum(self.scale[:, None] - self.theta[:, None] * x, 700)
        return np.maximum(self.mass, 0) * np.exp(tilt)


def _on_lattice(response, light, theta, size):
    """The tilted distribution of whole scores 0, 1, .. size - 1, wrapped around, without noise: the
    transform of exp(K(theta + i w) - K(theta)), in which the sum over the pixels is a transform
    itself, of the tilted shares, each at its unit."""
    tilted = np.zeros((len(light), size))
    units = np.rint(response.units).astype(np.int64)
    np.add.at(tilted, (slice(None), units % size),
              response.shares * np.exp(theta[:, None] * response.units))
    grown = np.fft.rfft(tilted)
    grown -= tilted.sum(axis=1)[:, None]
    grown *= light[:, None]
    return np.fft.irfft(np.exp(grown), size)


def _by_frequency(response, light, theta, size, step, origin):
    """The same for any response, on a lattice from origin in steps, the mass within half a step of
    each point: frequencies from the low ones up until nothing is left. Returns what those frames
    would have with one photoelectron more, too. theta: (sites), or one for all."""
    plain, more = [], []
    scale = response.cumulant(light, theta[:, None])
    for first in range(0, size // 2 + 1, _BLOCK):
        index = np.arange(first, min(first + _BLOCK, size // 2 + 1))
        frequency = 2j * np.pi / (size * step) * index
        s = theta[:, None] + frequency
        one = response.one_photon_at(theta, size, step, index)
        k = response.cumulant(light, s, one) - scale
        # The mass of a step, tilted as its middle is: the transform of exp(theta x) over a step.
        plain.append(np.exp(np.conj(k - frequency * origin[:, None]))
                     * np.conj(np.sinc(s * step / (2j * np.pi))))
        more.append(plain[-1] * np.conj(one))
        if k.real.max() < _NOTHING:
            break
    return (np.fft.irfft(np.concatenate(parts, axis=1), size) for parts in (plain, more))


def _lattice(response, low, high):
    """First place, step and number of places of lattices from low to high. The step is odd: half of
    it to each side of a place lies between two scores then."""
    span = int(np.max(high - low)) + 2
    step = max(1, -(-span // _LATTICE_MAX), int(np.sqrt(response.variance) / _STEPS)) | 1
    return np.floor(low).astype(np.int64), step, 1 << max(4, (span // step + 1).bit_length())


def tabulate(response, light, shift, low, high, theta=None):
    """The distribution of the scores of some sites on lattices from low to high, (sites) each;
    shift: the score of a dark site. theta: tilts, none by default. What lies outside is folded in:
    choose low and high so that nothing does."""
    theta = np.zeros(len(light)) if theta is None else theta
    start, step, size = _lattice(response, low, high)
    if response.on_lattice and step == 1:
        mass = _on_lattice(response, light, theta, size)
        for row, first in zip(mass, start - np.rint(shift).astype(np.int64)):
            row[:] = np.roll(row, -(first % size))
    else:
        mass, _ = _by_frequency(response, light, theta, size, step, start - shift)
    scale = response.cumulant(light, theta[:, None])[:, 0] + theta * shift
    return Table(start, step, np.maximum(mass, 0.0, out=mass), scale, theta)


def look_up(response, light, shift, scores):
    """For scores (sites, n): their probabilities, and the mean number of photoelectrons behind each
    of them. One more of these shifts the distribution, and light times the ratio of the shifted
    and the plain one is that mean."""
    # The lattice depends on the scores alone: one that moved with the light would make the
    # likelihood jump by a hair, and no fit would come to rest.
    low, high = np.minimum(scores.min(axis=1), shift), scores.max(axis=1)
    spare = high - low + 20 * np.sqrt(response.variance) + 16
    start, step, size = _lattice(response, low - spare / 2, high + spare)
    places = (scores - start[:, None] + (step - 1) // 2) // step
    plain, more = (np.take_along_axis(np.maximum(mass, 1e-30), places, axis=1) for mass in
                   _by_frequency(response, light, np.zeros(1), size, step, start - shift))
    return plain, light[:, None] * more / plain
