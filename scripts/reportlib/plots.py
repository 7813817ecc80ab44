# SPDX-License-Identifier: BSD-3-Clause
"""The plots of a run's page, as data URIs: lines as SVG, whose letters are outlines, pictures as PNG."""

import base64
import io
import math

import matplotlib
import numpy as np

from reportlib.figures import STEPS

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402, pylint: disable=wrong-import-position
from matplotlib.collections import PatchCollection  # noqa: E402, pylint: disable=wrong-import-position
from matplotlib.colors import (LinearSegmentedColormap, LogNorm,  # noqa: E402
                               Normalize)  # pylint: disable=wrong-import-position
from matplotlib.patches import Rectangle  # noqa: E402, pylint: disable=wrong-import-position
from matplotlib.ticker import FuncFormatter  # noqa: E402, pylint: disable=wrong-import-position

INK, FAINT, GRID = "#1f2937", "#6b7280", "#e5e7eb"
BLUE, ORANGE, TEAL, ROSE, VIOLET = "#3b6fd4", "#e8973a", "#1b998b", "#d1495b", "#7a5cc2"
LOSS_COLOURS = (ROSE, ORANGE, VIOLET, "#8c564b", "#52606d", TEAL, BLUE, "#b5838d")
OCCUPANCY = LinearSegmentedColormap.from_list(
    "occupancy", ("#f3f6fb", "#a9c4ee", "#3b6fd4", "#1d3a86", "#0b1740"))
HEAT = LinearSegmentedColormap.from_list("heat", ("#dbe7fb", "#3b6fd4", "#1d2a6b"))
STAGE_STYLE = {"result": (BLUE, "decided"), "archived": (ORANGE, "archived"),
               "dequeued": (TEAL, "taken by a processor")}
_STYLE = {
    "font.family": "sans-serif", "font.size": 10, "text.color": INK, "axes.labelcolor": FAINT,
    "axes.edgecolor": "#9ca3af", "xtick.color": FAINT, "ytick.color": FAINT, "axes.grid": True,
    "grid.color": GRID, "grid.linewidth": 0.8, "axes.axisbelow": True, "axes.spines.top": False,
    "axes.spines.right": False, "axes.spines.left": False, "xtick.major.size": 3,
    "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0, "legend.frameon": False, "legend.fontsize": 9, "svg.hashsalt": "dip",
    "axes.titlesize": 10, "axes.titlecolor": INK, "figure.constrained_layout.use": True,
}


def _finish(figure, kind):
    out = io.BytesIO()
    nothing = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(out, format=kind, dpi=160, metadata=nothing)
    plt.close(figure)
    name = "svg+xml" if kind == "svg" else kind
    return f"data:image/{name};base64,{base64.b64encode(out.getvalue()).decode('ascii')}"


def _new(height, width=9.2, **options):
    plt.rcParams.update(_STYLE)
    return plt.subplots(figsize=(width, height), **options)


def _thousands(value, _=None):
    return f"{value:,.0f}" if abs(value) >= 1 or value == 0 else f"{value:g}"


def duration(ns):
    """Nanoseconds for people."""
    for limit, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if ns >= limit:
            return f"{ns / limit:.3g} {unit}"
    return f"{ns:.0f} ns"


def _steps(axes, edges, values, colour, label, **options):
    axes.stairs(values, edges, color=colour, label=label, linewidth=1.8, baseline=None, **options)


def rate(figures):
    """Frames a second in each interval: delivered, decided, archived."""
    figure, axes = _new(3.0)
    top = 0.0
    for name, colour, words, line in (("dma_frames", TEAL, "delivered", "-"),
                                      ("proc_frames", BLUE, "decided", (0, (4, 2))),
                                      ("arch_frames", ORANGE, "archived", "-")):
        if figures.last["stats"].get(name, 0) == 0 and name == "arch_frames":
            continue
        edges, gained = figures.gained(name)
        per_second = gained / np.diff(edges)
        _steps(axes, edges, per_second, colour, words, linestyle=line)
        top = max(top, per_second.max())
    axes.set_ylim(0, 1.12 * top or 1)
    axes.set_xlim(0, edges[-1])
    axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.set_ylabel("frames / s")
    axes.set_xlabel("seconds since the start")
    axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return _finish(figure, "svg")


def drops(losses):
    """Frames lost in each interval, by cause, on each other."""
    figure, axes = _new(2.6)
    floor = None
    for (words, (edges, lost)), colour in zip(losses.items(), LOSS_COLOURS * 2):
        per_second = lost / np.diff(edges)
        base = np.zeros_like(per_second) if floor is None else floor
        floor = base + per_second
        axes.stairs(floor, edges, baseline=base, fill=True, color=colour,
                    label=f"{words} ({lost.sum():,.0f})")
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(0, 1.12 * floor.max() or 1)
    axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.set_ylabel("frames lost / s")
    axes.set_xlabel("seconds since the start")
    axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return _finish(figure, "svg")


def pool(figures):
    """Slabs in use, and frames in flight."""
    figure, axes = _new(2.4)
    at = figures.seconds()
    slabs = figures.last["pool"]["slabs"]
    held = [slabs - line["pool"]["available"] for line in figures.lines]
    axes.fill_between(at, held, color=BLUE, alpha=0.15, linewidth=0)
    axes.plot(at, held, color=BLUE, linewidth=1.8, marker="." if len(at) < 40 else None,
              label="slabs in use")
    axes.axhline(slabs, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), label=f"all {slabs:,}")
    axes.set_ylim(0, slabs * 1.08)
    axes.set_xlim(0, at[-1] or 1)
    axes.set_ylabel("slabs")
    axes.set_xlabel("seconds since the start")
    axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return _finish(figure, "svg")


def _log_time(axis):
    axis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def latency(stages):
    """stages: {name: [(beyond, up to, ns, frames)]}. How the latencies lie, and how rare the slow ones
    are."""
    figure, (left, right) = _new(3.4, ncols=2)
    for name, steps in stages.items():
        colour, words = STAGE_STYLE[name]
        lows, uppers, counts = np.array(steps).T
        share = 100 * counts / counts.sum() / np.log2(uppers / lows)
        edges = np.unique(np.concatenate((lows, uppers)))
        shares = np.zeros(len(edges) - 1)
        shares[np.searchsorted(edges, lows)] = share
        left.stairs(shares, edges, fill=True, color=colour, alpha=0.22)
        left.stairs(shares, edges, color=colour, linewidth=1.6, label=words)
        beyond = 1 - np.cumsum(counts) / counts.sum()
        beyond[-1] = 0.5 / counts.sum()  # where the last frame is, the line ends
        right.step(np.append(lows[:1], uppers), np.append([1.0], beyond), where="post",
                   color=colour, linewidth=1.8, label=words)
    for axes in (left, right):
        axes.set_xscale("log")
        _log_time(axes.xaxis)
        axes.set_xlabel("latency from arrival")
        axes.tick_params(axis="x", labelsize=8.5)
    left.set_ylabel("% of the frames, an octave")
    left.set_ylim(bottom=0)
    left.legend(loc="upper right")
    right.set_yscale("log")
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: "all" if value >= 1 else
                                                  f"1 in {1 / value:,.0f}"))
    right.set_ylabel("frames slower than that")
    return _finish(figure, "svg")


def latency_time(figures, deadline_us):
    """How many frames had which latency when, with the median and the 99th percentile."""
    at, keep = figures.intervals()
    edges = at[keep]
    each = figures.step_counts("result")
    used = np.flatnonzero(each.sum(axis=0))
    low, high = used[0], used[-1]
    bounds = np.array([STEPS[0] / 2, *STEPS, 2 * STEPS[-1]])[low:high + 2]
    counts = np.zeros((high + 1 - low, len(edges) - 1))
    middle, slow = np.full(len(edges) - 1, np.nan), np.full(len(edges) - 1, np.nan)
    for number, line in enumerate(figures.lines):
        column = min(max(int(np.searchsorted(keep, number + 1)) - 1, 0), len(edges) - 2)
        counts[:, column] += each[number, low:high + 1]
        part = line["interval"]["latency"]["result"]
        if part["count"] and line["interval"]["seconds"] >= 0.2:
            middle[column], slow[column] = part["p50_ns"], part["p99_ns"]
    figure, axes = _new(3.2)
    counts = np.ma.masked_equal(counts / np.diff(edges), 0)
    shown = axes.pcolormesh(edges, bounds, counts, cmap=HEAT, rasterized=True,
                            norm=LogNorm(max(counts.min(), 0.5), max(counts.max(), 2)))
    axes.stairs(middle, edges, baseline=None, color="#ffffff", linewidth=3.4)
    axes.stairs(middle, edges, baseline=None, color=TEAL, linewidth=1.8, label="median")
    axes.stairs(slow, edges, baseline=None, color=ROSE, linewidth=1.8, label="99 % are faster")
    if deadline_us:
        axes.axhline(deadline_us * 1e3, color=INK, linewidth=1, linestyle=(0, (4, 3)),
                     label=f"deadline {deadline_us:,} µs")
    axes.set_yscale("log")
    _log_time(axes.yaxis)
    axes.set_xlabel("seconds since the start")
    axes.set_ylabel("arrival to decision")
    axes.grid(False)
    axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    figure.colorbar(shown, ax=axes, label="frames / s", pad=0.01)
    return _finish(figure, "png")


def lcores(figures):
    """The share of its time that each lcore works, in each interval."""
    at, keep = figures.intervals()
    edges = at[keep]
    names = [(lcore["lcore"], lcore["role"]) for lcore in figures.last["lcores"] if lcore["role"]]
    shares = np.full((len(names), len(edges) - 1), np.nan)
    for row, (number, _) in enumerate(names):
        told = [next((lcore for lcore in line["lcores"] if lcore["lcore"] == number), None)
                for line in figures.lines]
        busy, idle = (np.concatenate(([0.0], [lcore[name] if lcore else 0 for lcore in told]))[keep]
                      for name in ("busy_ns", "idle_ns"))
        with np.errstate(invalid="ignore", divide="ignore"):
            shares[row] = 100 * np.diff(busy) / (np.diff(busy) + np.diff(idle))
    figure, axes = _new(min(6.0, 0.9 + 0.34 * len(names)))
    shown = axes.pcolormesh(edges, np.arange(len(names) + 1), shares, cmap=OCCUPANCY,
                            norm=Normalize(0, 100), rasterized=True)
    axes.set_yticks(np.arange(len(names)) + 0.5,
                    [f"{number}  {role.replace('+', ' + ')}" for number, role in names], fontsize=9)
    axes.invert_yaxis()
    axes.grid(False)
    axes.set_xlabel("seconds since the start")
    if edges[-1] - edges[0] < 61 and len(names) <= 16 and len(edges) <= 13:
        for row, column in np.ndindex(shares.shape):
            if np.isfinite(shares[row, column]):
                axes.text((edges[column] + edges[column + 1]) / 2, row + 0.5,
                          f"{shares[row, column]:.0f} %", ha="center", va="center", fontsize=8,
                          color="white" if shares[row, column] > 45 else INK)
    figure.colorbar(shown, ax=axes, label="% busy", pad=0.01)
    return _finish(figure, "png")


def _boxes(sites, around=0.0):
    return [Rectangle((col - 0.5 - around, row - 0.5 - around), w + 2 * around, h + 2 * around)
            for row, col, h, w in zip(*sites[:4])]


def _frame_limits(axes, sites, shape, border=0.06):
    """The part of the frame that has the sites."""
    top, bottom = sites.row.min(), (sites.row + sites.h).max()
    left, right = sites.col.min(), (sites.col + sites.w).max()
    more = max(2, border * max(bottom - top, right - left))
    low, high = (0, 0), shape or (bottom + more, right + more)
    axes.set_xlim(max(left - more, low[1]) - 0.5, min(right + more, high[1]) - 0.5)
    axes.set_ylim(min(bottom + more, high[0]) - 0.5, max(top - more, low[0]) - 0.5)
    axes.set_aspect("equal")


def _range(values, ends, least):
    """Colours from one percentile to the other of values (%), and over so many points at least: what
    is only chance must not look like a pattern."""
    low, high = np.percentile(values, ends)
    more = max(0.0, least - (high - low)) / 2
    low, high = low - more, high + more
    if low < 0:
        low, high = 0.0, max(high, least)
    if high > 100:
        low, high = min(low, 100.0 - least), 100.0
    return Normalize(max(low, 0.0), min(high, 100.0))


def occupancy_map(sites, share, shape):
    """Each site at its place, coloured by the share of the frames in which it is occupied; beside it
    how the sites' shares lie."""
    figure, (axes, side) = _new(4.6, ncols=2, gridspec_kw={"width_ratios": (1.5, 1)})
    patches = PatchCollection(_boxes(sites), cmap=OCCUPANCY, norm=_range(100 * share, (0, 100), 10),
                              edgecolor="#ffffff", linewidth=0.6 if len(share) <= 2500 else 0)
    patches.set_array(100 * share)
    axes.add_collection(patches)
    _frame_limits(axes, sites, shape)
    axes.grid(False)
    axes.set_xlabel("column")
    axes.set_ylabel("row")
    bar = figure.colorbar(patches, ax=axes, pad=0.02, shrink=0.85)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g} %"))
    low, high = 100 * share.min(), 100 * share.max()
    edges = np.linspace(low, high, 31) if high - low > 0.5 else np.linspace(low - 0.5, high + 0.5, 31)
    side.hist(100 * share, edges, color=BLUE, alpha=0.85)
    side.axvline(100 * share.mean(), color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
    side.set_title(f"mean {100 * share.mean():.1f} %", loc="right")
    side.set_xlabel("% of the frames occupied")
    side.set_ylabel("sites")
    return _finish(figure, "png")


def history(at, share, least, most, rows, per_row, label):
    """Occupancy over the run: of all sites, and of each one."""
    figure, (top, below) = _new(4.8, nrows=2, sharex=True, gridspec_kw={"height_ratios": (1, 1.5)})
    top.stairs(100 * most, at, baseline=100 * least, fill=True, color=BLUE, alpha=0.18,
               label="least to most of a frame")
    top.stairs(100 * share, at, baseline=None, color=BLUE, linewidth=1.8, label="mean")
    top.set_ylabel("% of the sites")
    low, high = 100 * least.min(), 100 * most.max()
    more = max(1.0, 0.08 * (high - low))
    top.set_ylim(max(0, low - more), min(100, high + more))
    top.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    shown = below.pcolormesh(at, np.arange(rows.shape[1] + 1) * per_row, 100 * rows.T,
                             cmap=OCCUPANCY, norm=_range(100 * rows, (1, 99), 20),
                             rasterized=True)
    below.set_ylabel("site" if per_row == 1 else f"sites, {per_row} a row")
    below.set_xlabel(label)
    below.set_xlim(at[0], at[-1])
    below.invert_yaxis()
    below.grid(False)
    figure.colorbar(shown, ax=below, label="% occupied", pad=0.01)
    return _finish(figure, "png")


def _expected(counts, edges):
    """What two Poisson distributions of these means would give in each bin."""
    share = counts.occupied.mean()
    k = np.arange(int(max(edges[-1], 0)) + 1)
    log_factorial = np.array([math.lgamma(n + 1) for n in k])
    total = np.zeros(len(edges) - 1)
    for mean, part in zip(counts.expected, (1 - share, share)):
        mass = np.exp(k * math.log(mean) - mean - log_factorial) if mean > 0 else (k == 0) * 1.0
        total += part * np.histogram(k, edges, weights=mass)[0]
    return total * len(counts.values)


def counts_histogram(counts):
    """Counts of all sites, by decision, with the threshold."""
    figure, axes = _new(3.3)
    values = counts.values
    low, high = float(values.min()), float(values.max())
    most = low + 3 * (float(np.percentile(values, 99.99)) - low)
    cut = high > most > low
    if cut:
        high, values = most, np.minimum(values, most)
    width = max(1.0, math.ceil((high - low) / 120))
    edges = np.arange(math.floor(low), high + 2 * width, width) - 0.5
    if counts.threshold is not None:  # a bin on one side of it only
        edges += (counts.threshold - 0.5 - edges[0]) % width - (width if width > 1 else 0)
    parts = [np.histogram(values[mask], edges)[0]
             for mask in (~counts.occupied, counts.occupied)]
    for part, colour, words in zip(parts, (BLUE, ORANGE), ("empty", "occupied")):
        axes.stairs(part, edges, fill=True, color=colour, alpha=0.8,
                    label=f"decided {words}, {100 * part.sum() / max(1, len(values)):.1f} %")
    if counts.expected:
        middle = (edges[:-1] + edges[1:]) / 2
        axes.plot(middle, np.maximum(_expected(counts, edges), 1e-3), color=INK, linewidth=1.2,
                  marker="o", markersize=2.5,
                  label=f"expected of {counts.expected[0]:g} and {counts.expected[1]:g} counts")
    threshold = 0.0 if counts.threshold is None else counts.threshold
    axes.axvline(threshold - 0.5, color=ROSE, linewidth=1.8, label=f"threshold {threshold:g}"
                 if counts.threshold is not None else "each site's own threshold")
    axes.set_yscale("log")
    axes.set_ylim(0.7, 2.5 * max(part.max() for part in parts))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("count of a site" if counts.threshold is not None
                    else "count of a site, above its threshold")
    if cut:
        axes.set_xlabel(axes.get_xlabel() + "; the last bar has all that is higher, too")
    axes.set_ylabel("sites × frames")
    axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return _finish(figure, "svg")


def sample_frames(frames, sites, bits):
    """Archived frames [(seq, image)] with the sites as they were decided."""
    across = min(3, len(frames))
    down = -(-len(frames) // across)
    figure, grid = _new(3.15 * down if across == 3 else 4.2 * down, nrows=down, ncols=across,
                        squeeze=False)
    pixels = np.concatenate([image.reshape(-1)[::max(1, image.size // 100000)] for _, image in frames])
    black, white = np.percentile(pixels, (0.5, 99.8))
    for axes, (seq, image) in zip(grid.flat, frames):
        axes.imshow(image, cmap="gray", vmin=black, vmax=max(white, black + 1))
        title = f"frame {seq:,}"
        if sites is not None:
            decided = bits.get(seq)
            if decided is None:
                colours = "#9ca3af"
                title += ", no result"
            else:
                colours = [ORANGE if one else "#5b93ff" for one in decided]
                title += f", {decided.sum()} of {len(decided)} occupied"
            axes.add_collection(PatchCollection(
                _boxes(sites, -min(0.8, 0.12 * float(sites.w.min()))), facecolor="none",
                edgecolor=colours, linewidth=0.8 if len(sites.row) <= 1000 else 0.3))
            _frame_limits(axes, sites, image.shape)
        axes.set_title(title, fontsize=9)
    for axes in grid.flat:
        axes.axis("off")
    return _finish(figure, "png")
