# SPDX-License-Identifier: BSD-3-Clause
"""The page: one HTML text that needs nothing else."""

import datetime
import html
from typing import NamedTuple, Optional

from reportlib.figures import LOSSES, STAGES
from reportlib.plots import duration

_STYLE = """
:root { --ink: #1f2937; --faint: #6b7280; --line: #e5e7eb; --card: #ffffff; --page: #f5f6f8 }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; color: var(--ink);
  background: var(--page); margin: 0 }
main { max-width: 66rem; margin: 0 auto; padding: 2.2rem 1.2rem 3rem }
h1 { font-size: 1.7rem; margin: 0; letter-spacing: -.01em }
h2 { font-size: 1.08rem; margin: 0 }
.under { color: var(--faint); margin: .2rem 0 1.2rem }
section, .verdict { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.1rem 1.3rem; margin: 0 0 1.1rem }
section p { color: var(--faint); margin: .15rem 0 .8rem; max-width: 52rem }
section p:last-child { margin-bottom: 0 }
.verdict { border-left: 6px solid #1b998b; font-weight: 600 }
.verdict ul { font-weight: 400; margin: .4rem 0 0; padding-left: 1.2rem }
.verdict.warn { border-left-color: #e8973a }
.verdict.bad { border-left-color: #d1495b }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: .8rem; margin: 0 0 1.1rem }
@media (max-width: 40rem) { .tiles { grid-template-columns: repeat(2, 1fr) } }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .75rem .95rem }
.tile b { display: block; font-size: 1.4rem; line-height: 1.25; font-variant-numeric: tabular-nums }
.tile span { color: var(--faint); font-size: .82rem }
.tile.bad b { color: #d1495b }
img { display: block; width: 100%; height: auto }
.missing { border-style: dashed; background: none }
.good { color: #137568; margin: 0 }
table { border-collapse: collapse; font-size: .88rem; width: 100%;
  font-variant-numeric: tabular-nums }
.wide { overflow-x: auto }
th { font-weight: 600; color: var(--faint); text-align: right; white-space: nowrap }
td, th { padding: .3rem .6rem; border-bottom: 1px solid var(--line) }
tr:last-child td { border-bottom: 0 }
td { text-align: right }
td:first-child, th:first-child, td.text, th.text { text-align: left }
td.text { overflow-wrap: anywhere }
td.bad { color: #d1495b; font-weight: 600 }
details summary { cursor: pointer; font-weight: 600 }
details table { margin-top: .7rem }
footer { color: var(--faint); font-size: .82rem }
"""


class Part(NamedTuple):
    """A plot, or why there is none. good: there is none because all is well."""
    name: str
    title: str
    told: str
    image: Optional[str] = None
    missing: Optional[str] = None
    good: bool = False


def _escape(value):
    return html.escape(str(value))


def _count(value):
    return f"{value:,}"


def _part(part):
    title = f"<h2>{_escape(part.title)}</h2>"
    if part.image:
        return (f'<section class="plot" id="{part.name}">{title}<p>{_escape(part.told)}</p>'
                f'<img alt="{_escape(part.title)}" src="{part.image}"></section>\n')
    if part.good:
        return (f'<section id="{part.name}">{title}<p class="good">{_escape(part.missing)}</p>'
                "</section>\n")
    return (f'<section class="missing" id="{part.name}">{title}<p>Not shown: '
            f"{_escape(part.missing)}.</p></section>\n")


def _table(heads, rows, text=(0,)):
    """rows: lists of cells; a cell is a value or (value, class)."""
    def cell(kind, column, value):
        value, more = value if isinstance(value, tuple) else (value, "")
        classes = " ".join(filter(None, ("text" if column in text else "", more)))
        return f'<{kind}{f" class={chr(34)}{classes}{chr(34)}" if classes else ""}>{_escape(value)}' \
               f"</{kind}>"
    lines = ["".join(cell("th", i, head) for i, head in enumerate(heads))] if heads else []
    lines += ["".join(cell("td", i, value) for i, value in enumerate(row)) for row in rows]
    return '<div class="wide"><table>' + "".join(f"<tr>{line}</tr>" for line in lines) + \
        "</table></div>"


def _section(name, title, told, inside):
    return f'<section id="{name}"><h2>{_escape(title)}</h2><p>{_escape(told)}</p>{inside}</section>\n'


def _lost(stats):
    return {words: stats[name] for name, words in LOSSES.items() if stats.get(name)}


def verdict(figures, faults):
    """(class, the sentence, more lines)."""
    lines = list(faults)
    if figures is None:
        return "warn", "There are no figures of this run: what it lost is not known.", lines
    last = figures.last
    wrong = [name for name, account in last["ledger"].items() if account["imbalance"]]
    status = last.get("exit_status")
    lost = _lost(last["stats"])
    lines = [f"{n:,} frames: {words}" for words, n in lost.items()] + lines
    if wrong:
        return "bad", f"The ledger of {', '.join(wrong)} does not balance.", lines
    if status:
        return "bad", f"The run failed: its exit status is {status}.", lines
    if not figures.ended:
        return "warn", "The run had not ended when this page was made, or was killed: its last line " \
            "of figures is missing.", lines
    if lost:
        return "warn", "The run lost frames, each counted under a name. Every account balances.", lines
    return ("warn" if faults else ""), "No frame was lost. Every account balances.", lines


def _tiles(figures, decisions):
    tiles = []
    if figures is not None:
        last = figures.last
        stats, ledger, latency = last["stats"], last["ledger"], last["latency"]["result"]
        lost = ledger["device"]["due"] - stats["dma_frames"] - stats.get("dma_gaps", 0)
        tiles = [("frames due", _count(ledger["device"]["due"]), ""),
                 ("lost at the source", _count(lost), "bad" if lost else ""),
                 ("decided", _count(stats["proc_frames"]), ""),
                 ("archived", _count(stats["arch_frames"]), ""),
                 ("frames a second", _count(round(stats["dma_fps"])), "")]
        if latency["count"]:
            tiles += [("median latency", duration(latency["p50_ns"]), ""),
                      ("99.9 % are faster than", duration(latency["p999_ns"]), "")]
    elif decisions is not None:
        tiles = [("results", _count(decisions.frames), ""),
                 ("last frame", _count(decisions.last_seq), "")]
    if decisions is not None and decisions.frames:
        share = decisions.occupied.sum() / decisions.frames / decisions.sites
        tiles.append(("of the sites occupied", f"{100 * share:.1f} %", ""))
    return '<div class="tiles">' + "".join(
        f'<div class="tile {kind}"><b>{_escape(value)}</b><span>{_escape(name)}</span></div>'
        for name, value, kind in tiles) + "</div>\n"


def _ledger(figures):
    rows = []
    for name, account in figures.last["ledger"].items():
        terms = list(account.items())
        lost = "; ".join(f"{term} {n:,}" for term, n in terms[2:-2] if n) or "none"
        wrong = account["imbalance"]
        rows.append([name, _count(terms[0][1]), _count(terms[1][1]), lost,
                     _count(account["in_flight"]),
                     (f"off by {wrong:,}", "bad") if wrong else "balanced"])
    return _section("ledger", "Ledger", "What came in is what was done, what was lost under a name, and "
                    "what is still in flight.",
                    _table(("account", "came in", "done", "lost", "in flight", ""), rows, (0, 3)))


def _latencies(figures):
    rows = []
    words = {"dequeued": "arrival to a processor", "decision": "from there to its decision",
             "result": "arrival to decision", "archived": "arrival to archived"}
    for stage in STAGES:
        part = figures.last["latency"][stage]
        if part["count"]:
            rows.append([words[stage], _count(part["count"])] + [duration(part[name]) for name in (
                "mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns")])
    return _table(("", "frames", "mean", "median", "90 %", "99 %", "99.9 %", "99.99 %", "slowest"),
                  rows)


def _details(title, rows):
    return f"<section><details><summary>{_escape(title)}</summary>{_table((), rows, (0, 1))}" \
           "</details></section>\n"


def _subtitle(figures, decisions):
    words = []
    if figures is not None:
        device, detector = figures.run.get("device"), figures.run.get("detector")
        begin = datetime.datetime.fromtimestamp(figures.begin_ns / 1e9, datetime.timezone.utc)
        words.append(f"started {begin:%Y-%m-%d %H:%M:%S} UTC")
        words.append(f"{figures.last['stats']['elapsed_sec']:.1f} s")
        if device:
            words.append(f"{device['name']}, {device['width']} × {device['height']} pixels")
        if detector:
            low, high = detector["threshold_min"], detector["threshold_max"]
            words.append(f"{detector['sites']:,} sites, detector {detector['name']}, threshold "
                         + (f"{low}" if low == high else f"{low} to {high}"))
    elif decisions is not None:
        words.append(f"{decisions.sites:,} sites")
    return "  ·  ".join(words)


def page(files, figures, decisions, parts, faults):
    """The HTML text. parts: in order; faults: lines."""
    kind, sentence, lines = verdict(figures, faults)
    more = "<ul>" + "".join(f"<li>{_escape(line)}</li>" for line in lines) + "</ul>" if lines else ""
    text = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>Run {_escape(files.stamp)}</title><style>{_STYLE}</style></head><body><main>\n"
        f"<h1>Run {_escape(files.stamp)}</h1>\n"
        f'<p class="under">{_escape(_subtitle(figures, decisions))}</p>\n'
        f'<div class="verdict {kind}" id="verdict">{_escape(sentence)}{more}</div>\n',
        _tiles(figures, decisions)]
    for part in parts:
        text.append(_part(part))
        if part.name == "drops" and figures is not None:
            text.append(_ledger(figures))
        if part.name == "latency" and figures is not None:
            text[-1] = text[-1].replace("</section>", _latencies(figures) + "</section>")
    used = [(name, getattr(files, attribute)) for name, attribute in (
        ("figures", "stats"), ("results", "results"), ("sites", "table"), ("archive", "archive"))]
    text.append(_section("files", "Files", "What this page was made from.", _table(
        (), [[name, path if path is not None else "none found"] for name, path in used], (0, 1))))
    if figures is not None:
        config = figures.run.get("config", {})
        text.append(_details("Configuration", [[key, value if value != "" else "–"]
                                               for key, value in config.items()]))
        text.append(_details("Every counter", [[key, f"{value:,}"] for key, value in
                                               figures.last["stats"].items()]))
        version = figures.run.get("version", "")
        text.append(f"<footer>dma-image-processor {_escape(version)}</footer>\n")
    text.append("</main></body></html>\n")
    return "".join(text)
