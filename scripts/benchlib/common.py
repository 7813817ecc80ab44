# SPDX-License-Identifier: BSD-3-Clause
"""What every part of the benchmark needs: programs, EAL arguments, runs in turn, figures."""

import contextlib
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
HUGEPAGES = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
PYTHON = "/usr/bin/python3"

commands = {}  # by name, the last command line of each, for the JSON


def fail(text):
    """A run went wrong."""
    sys.exit(f"bench: {text}")


def refuse(text):
    """Nothing was run: wrong usage, or something is missing here."""
    print(f"bench: {text}", file=sys.stderr)
    sys.exit(2)


def spread(values):
    """Median, least, greatest, and all of them in the order of the runs."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "values": list(values)}


def show(name, values, unit):
    """Print a row of figures; returns them."""
    s = spread(values)
    print(f"  {name:<46} {s['median']:>10,.4g} {unit:<10} ({s['min']:,.4g} .. {s['max']:,.4g})",
          flush=True)
    return s


def bar(name, value, limit, at_most=False):
    """Print whether a figure satisfies what is asked of it; returns that."""
    passed = value <= limit if at_most else value >= limit
    print(f"  {name + (' <= ' if at_most else ' >= ') + f'{limit:g}':<46} {value:>10,.4g} "
          f"{'pass' if passed else 'MISS'}", flush=True)
    return {"value": value, "limit": limit, "passed": passed}


def alternate(runs, repeat):
    """Call each of runs, a dict of functions, repeat times, one after the other, every second
    round backwards, so that what drifts favours none. Returns lists of what they returned."""
    results = {name: [] for name in runs}
    for turn in range(repeat):
        for name in list(runs) if turn % 2 == 0 else reversed(list(runs)):
            results[name].append(runs[name]())
    return results


def ratios(values, limits):
    """Of each pair of neighbours in time."""
    return [value / limit for value, limit in zip(values, limits)]


def run_json(name, command, cwd=None, watch=None):
    """The JSON object that a command prints. watch(pid) is called five times a second."""
    command = list(map(str, command))
    commands[name] = shlex.join(command)
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    stdout, stderr = process.communicate(timeout=0.2 if watch else None)
                    break
                watch(process.pid)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        fail(f"{name}: exit status {process.returncode}: {commands[name]}\n{stderr.rstrip()}")
    return json.loads(stdout)


def cpus(options):
    """The CPUs to use."""
    allowed = sorted(os.sched_getaffinity(0))
    if not options.cores:
        return allowed
    try:
        chosen = [int(core) for core in options.cores.split(",")]
    except ValueError:
        refuse(f"--cores {options.cores}: expected CPU numbers, as 2,3")
    if not set(chosen) <= set(allowed):
        refuse(f"--cores {options.cores}: expected some of the CPUs that we may use: "
               f"{','.join(map(str, allowed))}")
    return chosen


def lcores(workers, main=None):
    """EAL arguments: the workers pinned one to a CPU, the main lcore floating over those of main, or
    over theirs."""
    everywhere = ",".join(map(str, main or workers))
    pinned = "".join(f",{i + 1}@{cpu}" for i, cpu in enumerate(workers))
    return ["--lcores", f"0@({everywhere}){pinned}", "--main-lcore", "0"]


def free_hugepages():
    """MiB of 2 MiB hugepages that are free."""
    free = HUGEPAGES / "free_hugepages"
    return 2 * int(free.read_text()) if free.exists() else 0


def on_hugepages(options, mib):
    """Whether that many MiB may come from hugepages."""
    return not options.no_huge and free_hugepages() >= mib


def memory(options, mib):
    """EAL arguments: hugepages when that many MiB of them are free, else ordinary memory."""
    if on_hugepages(options, mib):
        return ["--in-memory", "--iova-mode=va", "--no-pci"]
    return ["--no-huge", "-m", str(mib), "--no-shconf", "--iova-mode=va", "--no-pci"]


def reserve_hugepages(options, mib):
    """As root, start over with that many MiB of hugepages, given back at the end; where they are
    not to be had, or not as root, go on without."""
    wrapper = TOP / "scripts/with-hugepages"
    if options.no_huge or os.geteuid() != 0 or free_hugepages() >= mib:
        return
    trial = subprocess.run([wrapper, str(mib), "true"], check=False, capture_output=True)
    if trial.returncode == 0:
        os.execv(wrapper, [wrapper, str(mib), sys.executable, *sys.argv])


def processor(options):
    """The program that is measured."""
    return options.build / "app/dma-image-processor"


def run_program(options, name, eal, settings, source, cwd, watch=None):
    """The final report of a run of the program."""
    command = [processor(options), *eal, "--log-level=*:error", "--", "--report", "json"]
    for setting in settings:
        command += ["-s", setting]
    return run_json(name, [*command, source, f"{options.seconds:g}"], cwd, watch)


def simulated_frames(options, folder):
    """The folder of frames given, or one of simulated ones."""
    if options.frames:
        return pathlib.Path(options.frames).resolve()
    made = pathlib.Path(folder) / "frames"
    subprocess.run([PYTHON, TOP / "scripts/simulate.py", "-o", made, "--frames", "100"], check=True,
                   stdout=subprocess.DEVNULL)
    return made


def random_frames(folder, width, height, count):
    """A folder of frames that no disk can compress."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    text = f"{{'descr': '<u2', 'fortran_order': False, 'shape': ({height}, {width}), }}"
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"
    for i in range(count):
        (folder / f"image_{i:04}.npy").write_bytes(header + os.urandom(width * height * 2))
    return folder


def scratch(options):
    """A folder for what is written, on the file system to be measured; removed at the end."""
    try:
        return tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder)
    except OSError as error:
        refuse(f"--folder {options.folder}: {error.strerror}; expected a folder to write into")
