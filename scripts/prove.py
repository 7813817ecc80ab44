#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prove the detector against the truth: simulated frames of which each site's occupancy is known,
decided by the real program.

The frames are those of dma_sim, made like the sample images: 400 spots of the same width and light,
as far beside the middles of their boxes. In each scene sites are calibrated on some frames with every
kind of weights by scripts/calibrate.py; the program then decides on others, half of them occupied,
the same for each kind. `closed` is the box with the closed-form threshold for the true means: what
it does must be what it was predicted to do.

Exit status: 0 every bar is passed, 1 one is missed, 2 wrong usage or a run that failed."""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from calibrate import number  # first: it settles the number of threads of numpy
import dipformat  # pylint: disable=wrong-import-order
import fidelity  # pylint: disable=wrong-import-order
from dipformat import Trouble

SIGMAS_MAX = 5.0
KINDS = ("box", "psf", "llr")
GRID = "50,50,250,250,10,10"
BOX_PIXELS = 100
# What a calibration finds in the sample images; 10.1 pixels from spot to spot in boxes of 10 let the
# spots scatter by 0.58 pixels around the middles of their boxes, as theirs do.
PHOTONS, EMPTY, FILL = 10.00473, 0.45770, 0.87259
ARRAY = {"photons": PHOTONS, "sigma": 1.0, "origin_row": 55.0, "origin_col": 54.05,
         "col_step_col": 10.1}


class Scene(NamedTuple):
    """background: mean photons more in an empty box; ratio: the least that llr must gain over the
    box with the closed-form threshold, or None."""
    told: str
    background: float = 0.0
    ratio: float = None


SCENES = {
    "seed": Scene("as the sample images", ratio=3.0),
    "background": Scene("5 photons more in each box", 5.0, 5.0),
    "bright": Scene("20 photons more in each box", 20.0),
}


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", metavar="FILE", type=Path,
                        default=Path(__file__).resolve().parents[1] / "build/app/dma-image-processor",
                        help="dma-image-processor (default: that in build/app)")
    parser.add_argument("--scenes", metavar="LIST", default=",".join(SCENES),
                        help=f"some of {','.join(SCENES)} (default: all)")
    parser.add_argument("--frames", metavar="N", type=number(2500, 10**7, int), default=5000,
                        help="decide on so many, 400 sites each (default: 5000)")
    parser.add_argument("--calibration", metavar="N", type=number(20, 10**5, int), default=300,
                        help="frames to calibrate on (default: 300)")
    parser.add_argument("--seed", type=number(0, 2**52, int), default=1, help="default: 1")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there as well")
    parser.add_argument("--plots", metavar="DIR", type=Path,
                        help="draw infidelity.png into this folder")
    args = parser.parse_args()
    args.scenes = args.scenes.split(",")
    for name in args.scenes:
        if name not in SCENES:
            parser.error(f"--scenes: {name}: expected some of {','.join(SCENES)}")
    if args.plots and not args.plots.is_dir():
        parser.error(f"--plots {args.plots}: expected a folder")
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f"--json {args.json}: no such folder; expected one to write into")
    if not args.program.is_file():
        parser.error(f"--program {args.program}: no such file; expected dma-image-processor, which "
                     "scripts/build makes")
    return args


def finish(command, folder, good):
    """stdout of a command that ends with one of the good exit statuses."""
    done = subprocess.run([str(part) for part in command], cwd=folder, text=True,
                          capture_output=True, check=False)
    if done.returncode not in good:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise Trouble(f"{Path(command[0]).name}: exit status {done.returncode}, expected "
                      f"{' or '.join(map(str, good))}; it said: {said[-1]}")
    return done.stdout


def run(args, folder, source, sets):
    """A run of the program on frames of dma_sim, every one decided: its report."""
    truth = folder / "truth.npy"
    truth.unlink(missing_ok=True)
    device = "dma_sim0," + ",".join(
        f"{key}={str(value).replace('%', '%25').replace(',', '%2C')}"
        for key, value in {**ARRAY, **source, "truth": truth}.items())
    grid = zip("row_start col_start row_end col_end roi_h roi_w".split(), GRID.split(","))
    sets = {"arch.arch_output_dir": "archive", "proc.proc_output_dir": "results",
            "main.overrun": "block", "dma.pace_frames": "false", "dma.loop_frames": "false",
            **{f"pois.{key}": value for key, value in grid}, **sets}
    report = json.loads(finish(
        [args.program.resolve(), "--report", "json",
         *(word for key, value in sets.items() for word in ("--set", f"{key}={value}")),
         "--device", device], folder, (0,)))
    if report["stats"]["proc_frames"] != source["frames"]:
        raise Trouble(f"{report['stats']['proc_frames']} frames were decided, expected "
                      f"{source['frames']}")
    return report


def calibrate(folder, frames, kind):
    """The file of sites of one kind, and how many of them were refused."""
    out = folder / f"{kind}.cfg"
    told = finish([sys.executable, Path(__file__).resolve().with_name("calibrate.py"), frames,
                   "-o", out, "--grid", GRID, "--weights", kind, "--fill", 0.5], folder, (0, 1))
    print(f"  {kind}: {told.strip()}", flush=True)
    return out


def decide(args, folder, light, sets):
    """Errors of one rule on the frames that are decided by all: figures."""
    report = run(args, folder, {**light, "fill": 0.5, "seed": args.seed + 1, "frames": args.frames},
                 {"main.nth_archive": 0, **sets})
    seqs, decided = fidelity.read_results(folder / report["outputs"]["results"])
    truth_seqs, occupied = fidelity.read_truth(folder / "truth.npy")
    truth = fidelity.truth_of(seqs, truth_seqs, occupied, folder / "truth.npy")
    figures = fidelity.compare(decided, truth, 0.95)
    detector = report["detector"]
    figures["predicted"] = [detector.get(key) for key in ("false_positive", "false_negative")]
    return figures


def measure(args, folder, scene):
    """The figures of one scene, by kind of rule."""
    empty = EMPTY + scene.background
    light = {"background": empty / BOX_PIXELS}
    made = run(args, folder, {**light, "fill": FILL, "seed": args.seed,
                              "frames": args.calibration}, {"main.nth_archive": 1})
    frames = folder / made["outputs"]["archive"]
    rules = {"closed": {"pois.lambda_empty": empty, "pois.lambda_occ": empty + PHOTONS,
                        "pois.fp_target": 1, "pois.fill": 0.5}}
    for kind in KINDS:
        rules[kind] = {"pois.sites": calibrate(folder, frames, kind)}
    found = {kind: decide(args, folder, light, sets) for kind, sets in rules.items()}
    for kind, of in found.items():
        of["gain"], of["gain_interval"] = gain(found["closed"]["mean"], of["mean"])
        if kind == "closed":
            of["sigmas"] = [sigmas(of[key], predicted) for key, predicted in
                            zip(("false_positive", "false_negative"), of["predicted"])]
    return found


def sigmas(rate, predicted):
    """How many standard errors a rate is above the prediction."""
    return (rate["rate"] - predicted) / math.sqrt(predicted * (1 - predicted) / rate["of"])


def gain(closed, mine):
    """By how much an infidelity is lower, with an interval from those of both."""
    if mine["rate"] == 0:
        return math.inf, (closed["low"] / mine["high"], math.inf)
    factor = closed["rate"] / mine["rate"]
    below = math.hypot(closed["low"] / closed["rate"] - 1, mine["high"] / mine["rate"] - 1)
    above = math.hypot(closed["high"] / closed["rate"] - 1, mine["low"] / mine["rate"] - 1)
    return factor, (factor / (1 + below), factor * (1 + above))


def show(name, scene, rules):
    """The table of one scene."""
    print(f"{name}: {scene.told}; {rules['closed']['infidelity']['of']} decisions of the program "
          "for each row")
    print("         FP measured  predicted  FN measured  predicted  mean of both  95 %"
          "                     gain  95 %")
    for kind, of in rules.items():
        rates = [of[key]["rate"] for key in ("false_positive", "false_negative")]
        told = [f"{p:10.3e}" if p is not None else f"{'':10}" for p in of["predicted"]]
        print(f"  {kind:<7}{rates[0]:11.3e} {told[0]} {rates[1]:12.3e} {told[1]} "
              f"{of['mean']['rate']:13.3e}  {of['mean']['low']:.3e} .. {of['mean']['high']:.3e} "
              f"{of['gain']:6.2f}  {of['gain_interval'][0]:.2f} .. {of['gain_interval'][1]:.2f}",
              flush=True)


def bars(name, scene, rules):
    """[(what, value, limit, passed)] of one scene."""
    worst = max(map(abs, rules["closed"]["sigmas"]))
    found = [(f"{name}: closed form, sigmas off", worst, SIGMAS_MAX, worst <= SIGMAS_MAX)]
    if scene.ratio:
        factor = rules["llr"]["gain"]
        found.append((f"{name}: gain of llr over the box", factor, scene.ratio,
                      factor >= scene.ratio))
    return found


def main():
    """Prove what the command line names."""
    args = arguments()
    measured, checks = {}, []
    for name in args.scenes:
        with tempfile.TemporaryDirectory(prefix="prove-") as folder:
            measured[name] = measure(args, Path(folder), SCENES[name])
        show(name, SCENES[name], measured[name])
        checks += bars(name, SCENES[name], measured[name])
    for what, value, limit, passed in checks:
        print(f"  {what:<40} {value:8.3g}  limit {limit:g}  {'pass' if passed else 'MISS'}")
    if args.plots:
        from caliblib import proofplots  # pylint: disable=import-outside-toplevel
        proofplots.draw_proof(args.plots, ARRAY["sigma"], PHOTONS, [
            (EMPTY + SCENES[name].background, of) for name, of in measured.items()])
    if args.json:
        args.json.write_text(json.dumps(
            {"frames": args.frames, "calibration_frames": args.calibration, "seed": args.seed,
             "scenes": measured,
             "bars": [dict(zip(("what", "value", "limit", "passed"), bar)) for bar in checks]},
            indent=2) + "\n", encoding="utf-8")
    return 0 if all(passed for *_, passed in checks) else 1


if __name__ == "__main__":
    sys.exit(dipformat.run_tool(main))
