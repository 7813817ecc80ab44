# SPDX-License-Identifier: BSD-3-Clause
"""The report of a calibration as one HTML page that needs nothing else."""

import base64
import html

import numpy as np

from caliblib import draw

TABLE_SITES = 1000
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; color: #1a202c }
img { max-width: 100%; border: 1px solid #e2e8f0 }
table { border-collapse: collapse; font-size: 13px }
td, th { padding: .15rem .6rem; border-bottom: 1px solid #e2e8f0; text-align: right }
td:first-child, th:first-child, td.text { text-align: left }
tr.bad td { color: #c53030 }
"""


def _figure(name, title, data, told):
    data = base64.b64encode(data).decode("ascii")
    return (f'<h2>{html.escape(title)}</h2>\n<p>{html.escape(told)}</p>\n'
            f'<img id="{name}" alt="{html.escape(title)}" src="data:image/png;base64,{data}">\n')


def _row(cells, kind="td", bad=False):
    inside = "".join(f"<{kind}>{html.escape(str(cell))}</{kind}>" for cell in cells)
    return f'<tr{" class=bad" if bad else ""}>{inside}</tr>\n'


def _summary(found, frames, told):
    pooled = found.pooled
    bad = sum(reason is not None for reason in found.reasons)
    threshold = found.threshold
    rows = [
        ("frames", f"{frames.count} of {frames.total}, {frames.shape[0]} x {frames.shape[1]}"),
        ("sites", f"{found.layout.count}, {told}"), ("weights", found.kind),
        ("all sites together", f"p = {pooled.fill[0]:.5f}, l0 = {pooled.empty[0]:.5f}, "
                               f"l1 = {pooled.occupied[0]:.5f}"),
        ("thresholds", f"{threshold.t.min()} to {threshold.t.max()}, for {found.fill:.5f} occupied"),
        ("false positives", f"{threshold.false_positive.mean():.3g}, predicted mean"),
        ("false negatives", f"{threshold.false_negative.mean():.3g}, predicted mean"),
        ("sites with the pooled threshold", bad)]
    return "<table>\n" + "".join(
        f'<tr><td>{html.escape(name)}</td><td class="text">{html.escape(str(value))}</td></tr>\n'
        for name, value in rows) + "</table>\n"


def _site_table(found):
    bad = np.array([reason is not None for reason in found.reasons])
    chosen = np.arange(len(bad))
    if len(chosen) > TABLE_SITES:
        chosen = np.flatnonzero(bad)[:TABLE_SITES]
    own, threshold, names = found.own, found.threshold, found.layout.names()
    lines = [_row(("site", "row", "column", "fill", "empty", "occupied", "threshold", "FP", "FN",
                   "goodness", "note"), "th")]
    for site in chosen:
        lines.append(_row((
            names[site], found.layout.rows[site], found.layout.cols[site],
            f"{own.fill[site]:.3f}", f"{own.empty[site]:.4g}", f"{own.occupied[site]:.4g}",
            threshold.t[site], f"{threshold.false_positive[site]:.2e}",
            f"{threshold.false_negative[site]:.2e}", f"{found.goodness.p[site]:.3g}",
            found.reasons[site] or ""), bad=bad[site]))
    return "<h2>Sites</h2>\n<table>\n" + "".join(lines) + "</table>\n"


def page(found, frames, told):
    """The HTML text."""
    image = frames.average()[0]
    shown = len(draw.shown_sites(found))
    parts = [
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        f"<title>Calibration of {html.escape(frames.path.name)}</title>"
        f"<style>{_STYLE}</style></head><body>\n"
        f"<h1>Calibration of {html.escape(frames.path.name)}</h1>\n",
        _summary(found, frames, told),
        _figure("scores", "Scores of all sites", draw.all_scores(found),
                "What the sites' weighted pixels add up to, and the sum of the fits of all sites."),
        _figure("array", "The array", draw.array_image(found, image),
                "The averaged image. A box is a site; a red one has the pooled threshold."),
        _figure("maps", "Site by site", draw.array_maps(found),
                "Each site at its place in the array. A cross is a site with the pooled "
                "threshold.")]
    if found.weights is not None:
        parts.append(_figure("spots", "Spots and weights", draw.spot_images(found),
                             "Measured spots, and the weights made from them, for sites whose "
                             "spots lie differently on their pixels; the first eight kinds."))
    parts.append(_figure("sites", "Histograms", draw.site_sheet(found),
                         f"{shown} of {found.layout.count} sites: scores, both classes as fitted "
                         "(blue: empty, orange: occupied), the threshold. A red one has the pooled "
                         "threshold."))
    return "".join(parts) + _site_table(found) + "</body></html>\n"
