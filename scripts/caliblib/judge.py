# SPDX-License-Identifier: BSD-3-Clause
"""Whether a site's own fit may be used."""

from typing import NamedTuple

import numpy as np


class Limits(NamedTuple):
    """frames: a class has at least so many of a site's frames; infidelity: the mean of FP and FN, at
    the threshold that is best for it, is at most this; goodness and misfit: a fit is bad when its chi-square is less likely than the one
    and it is off by more than the other."""
    frames: float = 3.0
    infidelity: float = 0.1
    goodness: float = 1e-4
    misfit: float = 0.1


def reason(limits, mixture, infidelity, goodness):
    """Why a fit (of one site: fields are numbers) is refused, or None."""
    frames = mixture.frames_empty + mixture.frames_occupied
    for name, count in (("empty", mixture.frames_empty), ("occupied", mixture.frames_occupied)):
        if not count >= limits.frames:
            return (f"{count:.1f} of {frames:.0f} frames {name}, expected {limits.frames:g} or "
                    "more; more frames would help")
    if not infidelity <= limits.infidelity:
        return (f"empty ({mixture.empty:.3g}) and occupied ({mixture.occupied:.3g}) overlap: mean "
                f"of FP and FN at best {infidelity:.2g}, expected {limits.infidelity:g} or less")
    p, misfit = goodness
    if p < limits.goodness and misfit > limits.misfit:
        return (f"the counts are not those of two classes: chi-square probability {p:.1g}, misfit "
                f"{misfit:.2g}; expected {limits.goodness:g} or more, or a misfit of "
                f"{limits.misfit:g} or less")
    return None


def reasons(limits, mixture, infidelity, goodness):
    """The same for every site, a list."""
    return [reason(limits, mixture.pick(site), infidelity[site],
                   (goodness.p[site], goodness.misfit[site]))
            for site in range(len(np.atleast_1d(infidelity)))]
