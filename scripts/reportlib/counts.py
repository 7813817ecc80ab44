# SPDX-License-Identifier: BSD-3-Clause
"""What the sites counted: from the sums in npy results, else from the archived frames."""

from typing import NamedTuple, Optional

import numpy as np

from image import count_sites
from reportlib.results import pick

MOST_VALUES = 4_000_000
MOST_FRAMES = 400
# With these the pixels of a frame are not what was summed.
_MAPS = ("pois.offset_map", "pois.gain_map", "pois.hot_pixels")


class Missing(Exception):
    """A part of the page cannot be made, and why."""


class Counts(NamedTuple):
    """values; occupied: whether so decided; threshold: of all, None when the values are counted from
    each site's own; told: where they are from; expected: (mean of empty, of occupied), or None."""
    values: np.ndarray
    occupied: np.ndarray
    threshold: Optional[float]
    told: str
    expected: Optional[tuple]


def of_records(records, table):
    """From sums. Raises Missing."""
    if "sums" not in records.dtype.names:
        raise Missing("the results have no sums (proc.sums = false)")
    chosen = pick(len(records), max(1, MOST_VALUES // len(table)))
    part = records[chosen]
    scale = table["scale"].astype(float)
    told = (f"{len(chosen)} of {len(records)} frames" if len(chosen) < len(records)
            else f"all {len(records)} frames") + ", from the sums in the results"
    occupied = part["margin"] >= 0
    same = len(np.unique(table["limit"])) == 1 and len(np.unique(scale)) == 1
    if same:
        means = [np.unique(table[name]) for name in ("lambda_empty", "lambda_occ")]
        plain = scale[0] == 1 and all(len(mean) == 1 and np.isfinite(mean[0]) for mean in means)
        return Counts((part["sums"] / scale).ravel(), occupied.ravel(),
                      float(table["limit"][0] / scale[0]), told,
                      (float(means[0][0]), float(means[1][0])) if plain else None)
    return Counts((part["margin"] / scale).ravel(), occupied.ravel(), None, told, None)


def of_frames(frames, sites, config, total):
    """From archived frames [(seq, image)]. Raises Missing."""
    if sites is None:
        raise Missing("it is not known where the sites are")
    if sites.weighted:
        raise Missing("the sites are weighted: their counts are in the results only with "
                      "proc.results = \"npy\" and proc.sums = true")
    if config is None:
        raise Missing("without the figures of the run it is not known how pixels were counted")
    used = [name for name in _MAPS if config.get(name)]
    if used:
        raise Missing(f"{', '.join(used)} changed the pixels before they were summed: the counts are "
                      "in the results only with proc.results = \"npy\" and proc.sums = true")
    least = config.get("pois.pixel_threshold", 0)
    boxes = list(zip(*(part.tolist() for part in sites[:4])))
    rows = []
    for _, image in frames[:max(1, MOST_VALUES // len(boxes))]:
        rows.append(count_sites(image >= least if least > 0 else image, boxes))
    values = np.array(rows)
    occupied = values >= sites.threshold
    told = f"{len(rows)} of {total} archived frames, summed again"
    if len(np.unique(sites.threshold)) == 1:
        expected = None
        if not config.get("pois.sites") and least == 0:
            expected = (config["pois.lambda_empty"], config["pois.lambda_occ"])
        return Counts(values.ravel(), occupied.ravel(), float(sites.threshold[0]), told, expected)
    return Counts((values - sites.threshold).ravel(), occupied.ravel(), None, told, None)
