# SPDX-License-Identifier: BSD-3-Clause
"""sites.cfg, which pois.sites of the program's configuration names: the writing of it."""

import re
from pathlib import Path

import numpy as np

VERSION = 1


def program_version():
    """The version of the program that this belongs to."""
    try:
        from caliblib.version import VERSION as found  # made when it is installed
    except ImportError:
        tree = Path(__file__).resolve().parents[2] / "meson.build"
        found = re.search(r"^  version: '([^']+)'", tree.read_text(encoding="utf-8"), re.M)[1]
    return found


def shape_names(count):
    """Names of the patches of weights."""
    return ["spot"] if count == 1 else [f"spot{n}" for n in range(count)]


def _patch(name, values, h, w):
    """A patch of weights."""
    width = max(len(str(value)) for value in values)
    lines = [", ".join(str(value).rjust(width) for value in row) for row in values.reshape(h, w)]
    body = ",\n\t\t\t".join(lines)
    return f"\t{name} = {{ h = {h}; w = {w}; values = [\n\t\t\t{body} ]; }};"


def _site(found, site, name, names):
    """One site."""
    layout, threshold = found.layout, found.threshold
    fields = [f'name = "{name}"', f"row = {layout.rows[site]}", f"col = {layout.cols[site]}",
              f"h = {layout.h}", f"w = {layout.w}"]
    if names:
        fields.append(f'weights = "{names[found.images.shape_of[site]]}"')
    t = int(threshold.t[site])
    fields += [f"threshold = {t}{'' if -2**31 <= t < 2**31 else 'L'}",
               f"false_positive = {threshold.false_positive[site]:.4e}",
               f"false_negative = {threshold.false_negative[site]:.4e}"]
    if np.isfinite(found.goodness.p[site]):
        fields.append(f"goodness = {found.goodness.p[site]:.3e}")
    if found.reasons[site]:
        fields.append(f'note = "pooled threshold: {found.reasons[site]}"')
    return "\t{ " + "; ".join(fields) + "; }"


def _heading(found, frames, told):
    """What it was made from, as comments."""
    pooled, camera, lattice = found.pooled, found.camera, found.layout.lattice
    lines = [
        f"Sites of {frames.path.name or frames.path}: {frames.count} of {frames.total} frames of "
        f"{frames.shape[0]} x {frames.shape[1]}.",
        f"Written by dma-image-calibrate {program_version()}: {told}.",
        f"All sites together: p = {pooled.fill[0]:.5f}, l0 = {pooled.empty[0]:.5f}, "
        f"l1 = {pooled.occupied[0]:.5f} (two classes fitted to the box sums).",
        f"Thresholds make the fewest errors when {found.fill:.5f} of the sites are occupied."]
    if not camera.counts_photons:
        offset = "a map" if np.ndim(camera.offset) else f"{camera.offset:g}"
        lines.append(f"Camera: offset {offset}, gain {camera.gain:g}"
                     f"{' of an EM register' if camera.multiplied else ''}, read noise "
                     f"{camera.read_noise:g} photoelectrons; l0 and l1 are photoelectrons.")
    if lattice is not None:
        # A zero is added so that none is negative.
        origin, a, b = ("[{:.3f}, {:.3f}]".format(*(np.round(v, 3) + 0.0)) for v in lattice[:3])
        lines.append(f"Lattice: origin = {origin}, a = {a}, b = {b}, na = {lattice.na}, "
                     f"nb = {lattice.nb}.")
    return "".join(f"# {line}\n" for line in lines)


def sites_text(found, frames, told, drop_bad):
    """The whole file. told: how the sites and weights were chosen; drop_bad: leave refused sites
    out."""
    layout = found.layout
    names = [] if found.weights is None else shape_names(len(found.weights))
    parts = [_heading(found, frames, told), "\n" f"version = {VERSION};\n",
             f"frame = {{ width = {frames.shape[1]}; height = {frames.shape[0]}; }};\n"]
    if names:
        patches = "\n".join(_patch(name, values, layout.h, layout.w)
                            for name, values in zip(names, found.weights))
        parts.append(f"weights = {{\n{patches}\n}};\n")
    sites = [_site(found, site, name, names) for site, name in enumerate(layout.names())
             if not (drop_bad and found.reasons[site])]
    parts.append("sites = (\n" + ",\n".join(sites) + "\n);\n")
    return "".join(parts)
