# SPDX-License-Identifier: BSD-3-Clause
"""The figures of a calibration, as PNG bytes: the same ones for the same calibration."""

import io

import matplotlib
import numpy as np

from caliblib.fitting import fitted_distribution

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402, pylint: disable=wrong-import-position
from matplotlib.collections import (LineCollection, PatchCollection,  # noqa: E402
                                    PolyCollection)  # pylint: disable=wrong-import-position
from matplotlib.patches import Rectangle  # noqa: E402, pylint: disable=wrong-import-position

SHEET_SITES = 400
_BINS = 40
DATA, EMPTY, OCCUPIED, BAD = "#b8c4d6", "#2b6cb0", "#d9822b", "#c53030"


def png(figure):
    """A figure as PNG, without the date and the version that would make it differ."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100, metadata={"Software": None})
    plt.close(figure)
    return out.getvalue()


def _binned(scores, lowest, *masses):
    """Edges of at most _BINS bins of whole scores, how many scores fall into each, and of each
    mass what falls into it."""
    low, high = int(scores.min()), int(scores.max()) + 1
    width = max(1, -(-(high - low) // _BINS))
    edges = np.arange(low, high + width, width)
    counts = np.histogram(scores, edges)[0]
    sums = []
    for mass in masses:
        total = np.append(np.cumsum(mass), mass.sum())
        at = total[np.searchsorted(lowest, edges, side="left") - 1]
        at[edges <= lowest[0]] = 0.0
        sums.append(np.diff(at))
    return edges, counts, sums


def all_scores(found):
    """The histogram of the scores of all sites with the sum of all fits."""
    scores = found.scores.scores - np.rint(found.scores.shift).astype(np.int64)
    edges = _binned(scores, np.arange(2), np.zeros(2))[0]
    counts = np.histogram(scores, edges)[0]
    expected = np.zeros((2, len(edges) - 1))
    shift = np.rint(found.scores.shift).astype(np.int64)
    for site in range(scores.shape[1]):
        lowest, *masses = fitted_distribution(found.scores, found.mixture, site)
        for kind, mass in enumerate(masses):
            total = np.concatenate([[0.0], np.cumsum(mass)])
            at = total[np.searchsorted(lowest - shift[site], edges, side="left")]
            expected[kind] += np.diff(at) * len(scores)
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    middle, width = (edges[:-1] + edges[1:] - 1) / 2, edges[1] - edges[0]
    axes.bar(middle, counts, width, color=DATA, label="counted")
    for kind, colour, name in ((0, EMPTY, "empty, fitted"), (1, OCCUPIED, "occupied, fitted")):
        axes.plot(middle, expected[kind], color=colour, marker=".", label=name)
    axes.axvspan(*np.percentile(found.threshold.t - shift, (5, 95)) - 0.5, color="black",
                 alpha=0.15, label="threshold, 5 to 95 % of the sites")
    axes.set_yscale("log")
    axes.set_ylim(0.5, 2 * counts.max())
    axes.set_xlabel("score" + (", above that of a dark site" if shift.any() else ""))
    axes.set_ylabel("frames x sites")
    axes.legend(fontsize=8)
    return png(figure)


def array_image(found, image):
    """The averaged image with every box, coloured by how many errors its site makes."""
    layout = found.layout
    rows, cols = layout.rows, layout.cols
    top, bottom = max(rows.min() - 20, 0), min(rows.max() + layout.h + 20, image.shape[0])
    left, right = max(cols.min() - 20, 0), min(cols.max() + layout.w + 20, image.shape[1])
    figure, axes = plt.subplots(figsize=(8, 7), layout="constrained")
    axes.imshow(image, cmap="gray", vmin=np.percentile(image, 1), vmax=np.percentile(image, 99.7))
    boxes = [Rectangle((c - 0.5, r - 0.5), layout.w, layout.h) for r, c in zip(rows, cols)]
    collection = PatchCollection(boxes, facecolor="none", linewidth=0.8, cmap="viridis")
    collection.set_array(np.log10(np.maximum(found.threshold.infidelity, 1e-12)))
    collection.set_facecolor("none")
    axes.add_collection(collection)
    bad = [box for box, reason in zip(boxes, found.reasons) if reason]
    axes.add_collection(PatchCollection(bad, facecolor="none", edgecolor=BAD, linewidth=1.6))
    axes.set_xlim(left - 0.5, right - 0.5)
    axes.set_ylim(bottom - 0.5, top - 0.5)
    figure.colorbar(collection, shrink=0.7, label="log10 of the mean of FP and FN")
    return png(figure)


def array_maps(found):
    """What was fitted to each site, by its place in the array."""
    layout, own = found.layout, found.own
    panels = (("fill", own.fill), ("light, empty", own.empty), ("light, occupied", own.occupied),
              ("threshold", found.threshold.t),
              ("log10 infidelity", np.log10(np.maximum(found.threshold.infidelity, 1e-12))),
              ("goodness", found.goodness.p))
    figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
    for (name, values), axis in zip(panels, axes.flat):
        grid = np.full((layout.j.max() + 1, layout.i.max() + 1), np.nan)
        grid[layout.j, layout.i] = values
        shown = axis.imshow(grid, cmap="viridis", interpolation="nearest")
        bad = [site for site, reason in enumerate(found.reasons) if reason]
        axis.plot(layout.i[bad], layout.j[bad], "x", color=BAD, markersize=4)
        axis.set_title(name, fontsize=9)
        figure.colorbar(shown, ax=axis, shrink=0.8)
    return png(figure)


def shown_sites(found):
    """The sites of the sheet: all, or the refused and then the worst ones, in their order."""
    bad = np.array([reason is not None for reason in found.reasons])
    order = np.lexsort((np.nan_to_num(found.goodness.p, nan=1.0), ~bad))
    return np.sort(order[:SHEET_SITES])


def site_sheet(found):
    """A small histogram of each site, with fit and threshold."""
    sites = shown_sites(found)
    names = found.layout.names()
    across = min(20, max(1, int(np.ceil(np.sqrt(len(sites))))))
    down = -(-len(sites) // across)
    bars, colours, lines, marks = [], [], {0: [], 1: []}, []
    figure, axes = plt.subplots(figsize=(max(4, across * 0.9), max(1.5, down * 0.7 + 0.2)),
                                layout="constrained")
    for place, site in enumerate(sites):
        x, y = place % across, down - 1 - place // across
        scores = found.scores.scores[:, site]
        edges, counts, fits = _binned(scores, *fitted_distribution(found.scores, found.mixture,
                                                                   site))
        span, height = max(edges[-1] - edges[0], 1), 0.8 / counts.max()
        at = x + 0.05 + 0.9 * (edges - edges[0]) / span
        colour = BAD if found.reasons[site] else DATA
        for left, right, count in zip(at[:-1], at[1:], counts):
            if count:
                top = y + count * height
                bars.append([(left, y), (left, top), (right, top), (right, y)])
                colours.append(colour)
        for kind in (0, 1):
            lines[kind].append(np.stack([(at[:-1] + at[1:]) / 2,
                                         y + np.minimum(fits[kind] * len(scores) * height, 0.85)],
                                        axis=1))
        cut = x + 0.05 + 0.9 * np.clip((found.threshold.t[site] - edges[0]) / span, 0, 1)
        marks.append([(cut, y), (cut, y + 0.85)])
        axes.text(x + 0.95, y + 0.82, names[site], fontsize=5, ha="right", va="top",
                  color=BAD if found.reasons[site] else "black")
    axes.add_collection(PolyCollection(bars, facecolors=colours, edgecolors="none"))
    axes.add_collection(LineCollection(lines[0], colors=EMPTY, linewidths=0.7))
    axes.add_collection(LineCollection(lines[1], colors=OCCUPIED, linewidths=0.7))
    axes.add_collection(LineCollection(marks, colors="black", linewidths=0.7))
    axes.set_xlim(0, across)
    axes.set_ylim(-0.05, down)
    axes.axis("off")
    return png(figure)


def spot_images(found):
    """The measured spots and their weights."""
    layout, count = found.layout, min(len(found.weights), 8)
    figure, axes = plt.subplots(2, count, figsize=(max(3, 1.6 * count), 3.4), squeeze=False,
                                layout="constrained")
    for shape in range(count):
        for axis, values, name in ((axes[0, shape], found.images.spot, "spot"),
                                   (axes[1, shape], found.weights, "weights")):
            axis.imshow(values[shape].reshape(layout.h, layout.w), cmap="magma")
            axis.set_title(f"{name} {shape}", fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
    return png(figure)
