#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make one HTML page of a run: frame rate and losses, latency, occupancy, counts with the
threshold, sample frames.

RUN is any file of the run (results_<stamp>.txt, .npy or .stats.jsonl), the folder of its archive,
or a folder with results, of which the newest run is taken. The rest is found by itself. The page needs
nothing else: no network, no other file. What cannot be shown is told with the reason."""

import argparse
import sys
from pathlib import Path

import numpy as np

import dipformat
from dipformat import BadData, Trouble, complain
from reportlib import counts, find, plots, results
from reportlib.counts import Missing
from reportlib.figures import Figures
from reportlib.page import Part, page

SAMPLES = 6
CLOCK_SET_NS = 1e9  # a clock that falls behind by so much was set; time is no axis then
NO_FIGURES = "there are no figures of this run: {}"


class Run:
    """All that was found of a run, and what was wrong with it. A thing that is not there has its
    reason in why."""

    def __init__(self, files, shape):
        self.files, self.faults, self.why = files, [], {}
        self.figures = self._try("figures", files.stats, self._read_figures)
        self.config = self.figures.run.get("config") if self.figures else None
        self.sites, self.table, self.records = None, None, None
        self.archive = self._try("archive", files.archive, lambda path: self._open_archive(shape))
        self.frames = self._try("frames", self.archive, self._read_frames) or []
        self.decisions = self._try("results", files.results, self._read_results)
        if self.sites is None and self.figures:
            self.sites = results.told_sites(self.figures.run)
        self._explain()

    def _try(self, name, what, read):
        """read(what), or None with the reason."""
        if what is None:
            return None
        try:
            return read(what)
        except (BadData, Trouble) as error:
            self.why[name] = str(error)
        except OSError as error:
            self.why[name] = f"{error.filename or what}: {error.strerror or error}"
        self.faults.append(self.why[name])
        return None

    def _read_figures(self, path):
        figures = Figures(path)
        self.faults += figures.faults
        return figures

    def _open_archive(self, shape):
        device = self.figures.run.get("device") if self.figures else None
        if shape is None and device:
            shape = device["height"], device["width"]
        return results.Archive(self.files.archive, shape)

    def _read_frames(self, archive):
        found = archive.read(counts.MOST_FRAMES)
        self.faults += archive.faults
        return found

    def samples(self):
        """A few of the archived frames."""
        if not self.frames:
            return []
        return [self.frames[i] for i in results.pick(len(self.frames), SAMPLES)]

    def _read_results(self, path):
        wanted = [seq for seq, _ in self.samples()]
        if path.suffix == ".npy":
            self.records = results.open_records(path)
            if self.files.table is None:
                raise BadData(f"{path.with_suffix('.sites.npy')}: no such file; expected the table "
                              "of the sites beside the results")
            self.sites, self.table = results.table_sites(self.files.table)
            return results.read_records(path, self.records, len(self.sites.row), wanted)
        decisions = results.read_text(path, wanted)
        self.faults += decisions.faults
        return decisions

    def _explain(self):
        """Why what is not there is not."""
        outputs = (self.figures.last.get("outputs") or self.figures.run.get("outputs", {})
                   if self.figures else {})
        if self.files.stats is None:
            self.why["figures"] = ("no results_" + self.files.stamp + ".stats.jsonl was found; the "
                                   "run writes it beside its results unless proc.stats = false")
        if self.files.results is None:
            self.why["results"] = ("no results_" + self.files.stamp + ".txt or .npy was found; "
                                   "with proc.results = \"none\" a run writes none")
        if self.files.archive is None:
            if "archive" in outputs and outputs["archive"] is None:
                self.why["archive"] = "the run archived nothing (main.nth_archive = 0, or no frame)"
            else:
                told = f" {outputs['archive']}" if outputs.get("archive") else ""
                self.why["archive"] = f"the folder{told} of its archive was not found; name it " \
                    "with --archive"
        elif not self.frames and "archive" not in self.why and "frames" not in self.why:
            self.why["archive"] = f"{self.files.archive}: no whole frame in it"


def part(name, title, told, make):
    """A part of the page: made, or with the reason why it is not."""
    try:
        return Part(name, title, told, image=make())
    except Missing as error:
        return Part(name, title, told, missing=str(error))


def need(run, *names):
    """Raise Missing when one of these is not there."""
    for name in names:
        if name in run.why:
            raise Missing(run.why[name])


def flow(run):
    """The parts that need figures alone."""
    def make(plot):
        def draw():
            need(run, "figures")
            if run.figures.last["stats"]["elapsed_sec"] <= 0:
                raise Missing("the run had not begun")
            return plot(run.figures)
        return draw

    yield part("rate", "Frame rate", "Frames a second that the source delivered, that were decided "
               "and that were archived.", make(plots.rate))
    losses = run.figures.losses() if run.figures else None
    if losses == {}:
        yield Part("drops", "Losses", "", missing="No frame was lost in any second.", good=True)
    else:
        yield part("drops", "Losses", "Frames lost a second, by cause, on top of each other.",
                   make(lambda figures: plots.drops(losses)))
    yield part("pool", "Frame buffers", "Slabs that frames occupied, as seen once a second. When all "
               "are in use the source loses frames, or waits.", make(plots.pool))
    yield part("lcores", "Lcores", "The share of its time that each lcore had work.",
               make(plots.lcores))


def times(run):
    """The parts about latency."""
    def distribution():
        if run.figures:
            stages = {name: run.figures.steps(name) for name in ("result", "archived")}
        elif run.records is not None:
            stages = {"result": results.latency_steps(run.records)}
        else:
            need(run, "figures")
        stages = {name: steps for name, steps in stages.items() if steps}
        if not stages:
            raise Missing("no frame was decided")
        return plots.latency(stages)

    def course():
        need(run, "figures")
        if not run.figures.steps("result"):
            raise Missing("no frame was decided")
        return plots.latency_time(run.figures, (run.config or {}).get("proc.deadline_us", 0))

    yield part("latency", "Latency", "From a frame's arrival until it is decided, and until it is "
               "archived: how the frames are distributed, and how rare the slow ones are.",
               distribution)
    yield part("latency_time", "Latency over time", "From arrival to decision: how many frames took "
               "how long, when.", course)


def _time_axis(run, seqs, moments):
    """The edges of the history and their name."""
    if moments.any() and np.diff(moments).min() > -CLOCK_SET_NS:
        # Two queues of a source do not finish their transfers in the order of the frames.
        moments = np.maximum.accumulate(moments)
        begin = run.figures.begin_ns if run.figures else moments[0]
        return (moments - begin) / 1e9, ("seconds since the start" if run.figures
                                         else "seconds since the first result")
    if run.figures and np.diff(run.figures.times).min(initial=0) >= 0:
        return run.figures.when(seqs), "seconds since the start"
    return seqs, "frame"


def atoms(run):
    """The parts about the sites."""
    decisions = run.decisions

    def sites_known():
        need(run, "results")
        if decisions.frames == 0:
            raise Missing("there is no result in it")
        if run.sites is None:
            raise Missing("it is not known where the sites are: text results do not tell, and "
                          + run.why.get("figures", "the first line of the figures is not there"))
        if len(run.sites.row) != decisions.sites:
            raise Missing(f"the results have {decisions.sites} sites, the figures "
                          f"{len(run.sites.row)}")

    def occupancy():
        sites_known()
        shape = None
        device = run.figures.run.get("device") if run.figures else None
        if device:
            shape = device["height"], device["width"]
        return plots.occupancy_map(run.sites, decisions.occupied / decisions.frames, shape)

    def history():
        need(run, "results")
        if decisions.frames < 2:
            raise Missing(f"{decisions.frames} results make no history")
        seqs, moments, share, least, most, rows = decisions.history()
        at, label = _time_axis(run, seqs, moments)
        return plots.history(at, share, least, most, rows, decisions.per_row, label)

    def histogram():
        nonlocal told
        if run.records is not None and run.table is not None and decisions is not None:
            try:
                found = counts.of_records(run.records, run.table)
                told += found.told + "."
                return plots.counts_histogram(found)
            except Missing as error:
                first = str(error)
        else:
            first = run.why.get("results", "the results are text, which has no counts")
        try:
            need(run, "archive", "frames")
            found = counts.of_frames(run.frames, run.sites, run.config, run.archive.frames)
        except Missing as error:
            raise Missing(f"{first}, and no frame can be summed again: {error}") from error
        told += found.told + "."
        return plots.counts_histogram(found)

    def samples():
        need(run, "archive", "frames")
        sites = run.sites
        return plots.sample_frames(run.samples(), sites, decisions.bits if decisions else {})

    yield part("map", "Occupancy map", "How often each site is occupied, at its place in the "
               "frame.", occupancy)
    yield part("history", "Occupancy over time", "The share of all sites that is occupied, and below "
               "how often each site is: a row is a site, in the order of the results.", history)
    told = "What the sites counted, by what was decided: "
    made = part("counts", "Counts", told, histogram)
    yield made._replace(told=told)
    yield part("frames", "Sample frames", "Frames of the archive. A box is a site: orange as "
               "decided occupied, blue empty.", samples)


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Exit status: 0 made, 1 made, and something of the run is "
        "damaged, 2 wrong usage or nothing readable.")
    parser.add_argument("run", metavar="RUN", type=Path)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path,
                        help="the page (default: results_<stamp>.html beside the results)")
    parser.add_argument("--archive", metavar="DIR", type=Path,
                        help="the folder of the run's archive, where it is not found")
    parser.add_argument("--results", metavar="FILE", type=Path,
                        help="a results file of the run, where it is not found")
    parser.add_argument("--shape", metavar="HxW", help="of a frame, for raw segments (.bin) "
                        "without figures")
    return parser.parse_args()


def collect(args):
    """The files of the run, as the command line says."""
    files = find.find(args.run)
    if args.results is not None:
        named = find.find(args.results)
        if named.stamp != files.stamp:
            raise Trouble(f"--results {args.results}: of the run {named.stamp}; expected one of "
                          f"{files.stamp}")
        files.stats, files.results, files.table = named.stats, named.results, named.table
    if args.archive is not None:
        if not args.archive.is_dir():
            raise Trouble(f"--archive {args.archive}: no such folder; expected that of a "
                          "run's archive")
        files.archive = args.archive
    return files


def main():
    """Make the page that the command line asks for."""
    args = arguments()
    shape = dipformat.parse_shape(args.shape) if args.shape else None
    files = collect(args)
    if files.archive is None:
        files.archive = find.find_archive(files, _told_archive(files))
    run = Run(files, shape)
    if run.figures is None and run.decisions is None and not run.frames:
        reasons = "; ".join(dict.fromkeys([*run.faults, *run.why.values()]))
        raise Trouble(f"{args.run}: nothing of the run can be read: {reasons}")
    beside = files.results or files.stats or files.table
    output = args.output or (beside.with_name(f"results_{files.stamp}.html") if beside
                             else files.archive.with_name(files.archive.name + ".html"))
    own = [path for path in (files.stats, files.results, files.table, files.archive) if path]
    if output.exists() and any(path.exists() and output.samefile(path) for path in own):
        raise Trouble(f"-o {output}: a file of the run itself; expected another name")
    parts = [*flow(run), *times(run), *atoms(run)]
    dipformat.write_whole(output, page(files, run.figures, run.decisions, parts, run.faults))
    for fault in run.faults:
        complain(fault)
    for missing in parts:
        if missing.missing and not missing.good:
            complain(f"{missing.title.lower()}: not shown: {missing.missing}")
    drawn = sum(one.image is not None for one in parts)
    print(f"report.py: {args.run}: {output}, {drawn} plots")
    return 1 if run.faults else 0


def _told_archive(files):
    """The archive's folder as the figures tell it, None when they do not."""
    if files.stats is None:
        return None
    try:
        figures = Figures(files.stats)
    except (BadData, OSError):
        return None
    outputs = figures.last.get("outputs") or figures.run.get("outputs", {})
    return outputs.get("archive")


if __name__ == "__main__":
    sys.exit(dipformat.run_tool(main))
