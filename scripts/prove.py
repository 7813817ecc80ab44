#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prove the detector against the truth: simulated frames of which each site's occupancy is known,
decided by the real program.

The frames are those of dma_sim, made like the sample images: 400 spots of the same width and light,
as far beside the middles of their boxes. In each scene, and for each seed, sites are calibrated on
some frames with every kind of weights by scripts/calibrate.py; the program then decides on others, half
of them occupied, the same for each kind. `closed` is the box with the closed-form threshold for the true
means: what it does must be what it was predicted to do. Where a box is no Poisson number (an EMCCD, a
qCMOS, atoms that are lost) it must be what the exact distribution says of that threshold.

Exit status: 0 every bar is passed, 1 one is missed, 2 wrong usage or a run that failed."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from calibrate import number  # first: it settles the number of threads of numpy
import numpy as np  # pylint: disable=wrong-import-order
import dipformat  # pylint: disable=wrong-import-order
import fidelity  # pylint: disable=wrong-import-order
from caliblib.proof import (BOX_PIXELS, EMPTY, FILL, PHOTONS, SCENES, expected, gain, pool,
                            sigmas)
from dipformat import Trouble

SIGMAS_MAX = 5.0
KINDS = ("box", "psf", "llr")
GRID = "50,50,250,250,10,10"
ARRAY = {"photons": PHOTONS, "sigma": 1.0, "origin_row": 55.0, "origin_col": 54.05,
         "col_step_col": 10.1}


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
    parser.add_argument("--seeds", metavar="N", type=number(1, 1000, int), default=1,
                        help="repeat each scene with so many seeds, from --seed on (default: 1)")
    parser.add_argument("--json", metavar="FILE", type=Path,
                        help="write the figures there as well, after each seed")
    parser.add_argument("--resume", action="store_true",
                        help="go on with --json FILE: what it holds is not measured again")
    parser.add_argument("--plots", metavar="DIR", type=Path,
                        help="draw infidelity.png and proof.png into this folder")
    args = parser.parse_args()
    args.scenes = args.scenes.split(",")
    for name in args.scenes:
        if name not in SCENES:
            parser.error(f"--scenes: {name}: expected some of {','.join(SCENES)}")
    if args.plots and not args.plots.is_dir():
        parser.error(f"--plots {args.plots}: expected a folder")
    if args.resume and not args.json:
        parser.error("--resume: expected --json FILE with it, where the figures so far are")
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


def calibrate(folder, frames, kind, camera):
    """The file of sites of one kind."""
    out = folder / f"{kind}.cfg"
    told = finish([sys.executable, Path(__file__).resolve().with_name("calibrate.py"), frames,
                   "-o", out, "--grid", GRID, "--weights", kind, "--fill", 0.5, "--offset", camera.offset,
                   "--gain", camera.gain, "--read-noise", camera.read_noise,
                   *(["--em"] if camera.multiplied else [])], folder, (0, 1))
    # Exit status 1 says that some sites are not calibrated, or that Python gave up.
    if not out.is_file():
        raise Trouble(f"calibrate.py --weights {kind}: no {out.name} came of it; run it by hand")
    print(f"  {kind}: {told.strip()}", flush=True)
    return out


def decide(args, folder, light, seed, sets):
    """Errors of one rule on the frames that are decided by all: figures."""
    report = run(args, folder, {**light, "fill": 0.5, "seed": seed + 1, "frames": args.frames},
                 {"main.nth_archive": 0, **sets})
    seqs, decided = fidelity.read_results(folder / report["outputs"]["results"])
    truth_seqs, occupied = fidelity.read_truth(folder / "truth.npy")
    truth = fidelity.truth_of(seqs, truth_seqs, occupied, folder / "truth.npy")
    figures = fidelity.compare(decided, truth, 0.95)
    detector = report["detector"]
    figures["predicted"] = [detector.get(key) for key in ("false_positive", "false_negative")]
    figures["threshold"] = detector.get("threshold")
    return figures


def closed_form(scene, folder, shape):
    """The settings of the grid of boxes with the closed-form threshold for the true means. The program
    is given the camera's offset and gain as maps."""
    sets = {"pois.lambda_empty": scene.empty, "pois.lambda_occ": scene.empty + PHOTONS,
            "pois.fp_target": 1, "pois.fill": 0.5}
    for key in () if scene.camera.counts_photons else ("offset", "gain"):
        np.save(folder / f"{key}.npy", np.full(shape, float(getattr(scene.camera, key))))
        sets[f"pois.{key}_map"] = folder / f"{key}.npy"
    return sets


def measure(args, folder, scene, seed):
    """The figures of one scene with one seed, by kind of rule."""
    light = {"background": (EMPTY + scene.background) / BOX_PIXELS, **scene.device}
    made = run(args, folder, {**light, "fill": FILL, "seed": seed, "frames": args.calibration},
               {"main.nth_archive": 1})
    frames = folder / made["outputs"]["archive"]
    rules = {"closed": closed_form(scene, folder, (300, 300))}
    for kind in KINDS:
        rules[kind] = {"pois.sites": calibrate(folder, frames, kind, scene.camera)}
    found = {kind: decide(args, folder, light, seed, sets) for kind, sets in rules.items()}
    found["closed"]["expected"] = expected(scene, found["closed"]["threshold"])
    return found


def judge(scene, runs):
    """All seeds of one scene: the figures of each kind of rule, pooled, with the spread over the
    seeds of its gain, and of how far the closed form is off."""
    found = {kind: pool([rules[kind] for rules in runs], fidelity.wilson, fidelity.mean_of)
             for kind in runs[0]}
    for kind, of in found.items():
        of["gain"], of["gain_interval"] = gain(found["closed"]["mean"], of["mean"])
        of["gains"] = [gain(rules["closed"]["mean"], rules[kind]["mean"])[0] for rules in runs]
    told = "predicted" if scene.poisson else "expected"
    found["closed"]["sigmas"] = [
        [sigmas(rules[key], rate) for key, rate in
         zip(("false_positive", "false_negative"), rules[told])]
        for rules in (found["closed"], *(rules["closed"] for rules in runs))]
    return found


def show(name, scene, rules, seeds):
    """The table of one scene."""
    print(f"{name}: {scene.told}; {rules['closed']['infidelity']['of']} decisions of the program "
          f"for each row, {seeds} seed{'s' if seeds > 1 else ''}")
    print("         FP measured  predicted  FN measured  predicted  mean of both  95 %"
          "                     gain  least .. greatest")
    for kind, of in rules.items():
        rates = [of[key]["rate"] for key in ("false_positive", "false_negative")]
        told = [f"{p:10.3e}" if p is not None else f"{'':10}" for p in of["predicted"]]
        print(f"  {kind:<7}{rates[0]:11.3e} {told[0]} {rates[1]:12.3e} {told[1]} "
              f"{of['mean']['rate']:13.3e}  {of['mean']['low']:.3e} .. {of['mean']['high']:.3e} "
              f"{of['gain']:6.2f}  {min(of['gains']):.2f} .. {max(of['gains']):.2f}",
              flush=True)
    exact = rules["closed"]["expected"]
    print(f"  of the closed form's threshold the exact distribution says FP {exact[0]:.3e}, "
          f"FN {exact[1]:.3e}")


def bars(name, scene, rules):
    """[(what, value, limit, passed)] of one scene: each seed has to pass, and all together."""
    worst = max(abs(off) for both in rules["closed"]["sigmas"] for off in both)
    told = "closed form" if scene.poisson else "exact distribution"
    found = [(f"{name}: {told}, sigmas off", worst, SIGMAS_MAX, worst <= SIGMAS_MAX)]
    if scene.ratio:
        factor = min(rules["llr"]["gains"])
        found.append((f"{name}: gain of llr over the box", factor, scene.ratio,
                      factor >= scene.ratio))
    return found


def settings(args):
    """What figures that belong together have in common."""
    return {"frames": args.frames, "calibration_frames": args.calibration, "seed": args.seed}


def earlier(args):
    """The figures that --resume goes on with."""
    if not args.resume or not args.json.is_file():
        return {}
    try:
        kept = json.loads(args.json.read_text(encoding="utf-8"))
        same = all(kept[key] == value for key, value in settings(args).items())
        runs = {name: found["runs"] for name, found in kept["scenes"].items() if name in SCENES}
    except (ValueError, KeyError, TypeError) as error:
        raise Trouble(f"{args.json}: {error!r}; expected the figures of prove.py --json") from error
    if not same:
        raise Trouble(f"{args.json}: made with other --frames, --calibration or --seed; expected the "
                      "same ones, or another file")
    return runs


def write(args, measured, checks):
    """All figures as JSON."""
    args.json.write_text(json.dumps(
        {**settings(args),
         "scenes": {name: {**judge(SCENES[name], runs), "runs": runs}
                    for name, runs in measured.items()},
         "bars": [dict(zip(("what", "value", "limit", "passed"), bar)) for bar in checks]},
        indent=2) + "\n", encoding="utf-8")


def main():
    """Prove what the command line names."""
    args = arguments()
    measured, checks, judged = earlier(args), [], {}
    for name in args.scenes:
        runs = measured.setdefault(name, [])
        while len(runs) < args.seeds:
            with tempfile.TemporaryDirectory(prefix="prove-") as folder:
                # Two seeds to a run: one to calibrate on, one to decide on.
                runs.append(measure(args, Path(folder), SCENES[name],
                                    args.seed + 2 * len(runs)))
            if args.json:
                write(args, measured, [])
        judged[name] = judge(SCENES[name], runs)
        show(name, SCENES[name], judged[name], len(runs))
        checks += bars(name, SCENES[name], judged[name])
    for what, value, limit, passed in checks:
        print(f"  {what:<40} {value:8.3g}  limit {limit:g}  {'pass' if passed else 'MISS'}")
    if args.plots:
        from caliblib import proofplots  # pylint: disable=import-outside-toplevel
        proofplots.draw_proof(args.plots, ARRAY["sigma"], PHOTONS, [
            (SCENES[name].empty, of) for name, of in judged.items() if SCENES[name].poisson])
        proofplots.draw_scenes(args.plots, [(SCENES[name], of) for name, of in judged.items()])
    if args.json:
        write(args, measured, checks)
    return 0 if all(passed for *_, passed in checks) else 1


if __name__ == "__main__":
    sys.exit(dipformat.run_tool(main))
