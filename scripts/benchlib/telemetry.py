# SPDX-License-Identifier: BSD-3-Clause
"""Frames decided a second while telemetry is abused, against the same with nobody asking."""

import concurrent.futures
import contextlib
import itertools
import os
import socket
import statistics
import tempfile
import time

import telemetry_socket
from benchlib.common import (bar, cpus, fail, memory, ratios, refuse, run_program, show,
                             simulated_frames)

HUGE_MIB = 256
LEAST = 0.99      # of the frames without abuse, what is asked for
WINDOW_S = 0.1    # short: what the machine does otherwise changes more slowly
CLIENTS_S = 1000  # that come and hang up in a second
IDLE = 8          # that come and stay; with one that asks and one that hangs up DPDK's ten
START_S = 30      # that a program may take to start
SETTINGS = ["dma.pace_frames=false", "main.overrun=block", "main.nth_archive=0",
            "lcores.idle=busy"]


def needs(options):
    """Files that must be there, and a CPU for the program's control and its clients."""
    if len(cpus(options)) < 2:
        refuse("telemetry: one CPU; expected two, one of them for the worker alone")
    return []


def hugepages(_options):
    """MiB of hugepages that it wants."""
    return HUGE_MIB


def _connect(path):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(str(path))
    return client


def _hang_up(path, how):
    """Come and go, at one of four moments."""
    with contextlib.suppress(OSError), _connect(path) as client:
        if how > 0:
            client.recv(1024)
        if how > 1:
            client.send(b"/dip/stats" if how == 2 else b"/dip/latency,%n,,")


def _abuse(path, end):
    """Clients that come and hang up until then; returns how many."""
    due, count = time.monotonic(), 0
    while (now := time.monotonic()) < end:
        if now >= due:
            _hang_up(path, count % 4)
            count += 1
            due = max(due + 1 / CLIENTS_S, now - 0.1)
        time.sleep(max(0, min(due, end) - time.monotonic()))
    return count


def _decided(asking):
    """(frames decided so far, when), once the ledger is seen to balance."""
    ledger = asking.ask("/dip/ledger")
    if "error" in ledger:
        return 0, time.monotonic()
    if any(account["imbalance"] for account in ledger.values()):
        raise ValueError(f"it does not balance: {ledger}")
    frames = int(asking.ask("/dip/stats")["proc_frames"])
    return frames, time.monotonic()


def _find(prefix):
    """The program, once it has started."""
    end = time.monotonic() + START_S
    while True:
        try:
            return telemetry_socket.find(prefix)
        except telemetry_socket.Gone:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def _watch(prefix, cpu):
    """Windows of a run to its end: abused, quiet, quiet, abused and so on. Returns those of one kind and
    of the other, as [frames a second], and how many clients came."""
    os.sched_setaffinity(0, {cpu})
    asking = _find(prefix)
    idle = [_connect(asking.path) for _ in range(IDLE)]
    rates, came = {True: [], False: []}, 0
    with contextlib.suppress(telemetry_socket.Gone):
        before = _decided(asking)
        for abused in itertools.cycle([True, False, False, True]):
            end = time.monotonic() + WINDOW_S
            if abused:
                came += _abuse(asking.path, end)
            else:
                time.sleep(WINDOW_S)
            after = _decided(asking)
            if before[0] > 0:
                rates[abused].append((after[0] - before[0]) / (after[1] - before[1]))
            before = after
    for client in idle:
        client.close()
    return rates[True], rates[False], came


def _run(options, source, results):
    """What _watch saw of a run: control and results on one CPU, with the clients; the worker alone on the
    next."""
    control, worker = cpus(options)[:2]
    prefix = f"bench{os.getpid()}"
    eal = ["--lcores", f"0@{control},1@{worker}", "--main-lcore", "0", f"--file-prefix={prefix}",
           *memory(options, HUGE_MIB)]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ProcessPoolExecutor(1) as rude:
        seen = rude.submit(_watch, prefix, control)
        report = run_program(options, "telemetry", eal, [*SETTINGS, f"proc.results={results}"],
                             source, folder)
        try:
            abused, quiet, came = seen.result()
        except (OSError, ValueError) as error:
            fail(f"telemetry: {error}")
    for name, account in report["ledger"].items():
        if account["imbalance"] or account["in_flight"]:
            fail(f"telemetry: the account {name} does not balance: {account}")
    pairs = min(len(abused), len(quiet))
    if pairs < 2:
        fail(f"telemetry: {pairs} pairs of windows in {options.seconds:g} s; expected more --seconds")
    return abused[:pairs], quiet[:pairs], came


def run(options):
    """Unpaced, no archiving, block; one worker lcore; with results and without."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        source = simulated_frames(options, folder)
        for results in ("text", "none"):
            found[results] = [_run(options, source, results) for _ in range(options.repeat)]
    return {results: _show(options, results, runs) for results, runs in found.items()}


def _mean(values):
    """Print the mean and between which bounds it is, with 95 %; returns all three."""
    mean = statistics.fmean(values)
    doubt = 1.96 * statistics.stdev(values) / len(values) ** 0.5
    print(f"  {'  ratio, mean of ' + str(len(values)) + ' pairs':<46} {mean:>10,.4g} "
          f"{'':<10} ({mean - doubt:,.4g} .. {mean + doubt:,.4g}, 95 %)", flush=True)
    return {"mean": mean, "low": mean - doubt, "high": mean + doubt, "pairs": len(values)}


def _show(options, results, runs):
    abused, quiet = ([rate for run in runs for rate in run[kind]] for kind in (0, 1))
    came = [run[2] / (len(run[0]) * WINDOW_S) for run in runs]
    print(f"telemetry: frames decided a second by one lcore, unpaced, results {results}, "
          f"no archiving, windows of {WINDOW_S:g} s")
    result = {"quiet": show("nobody asks", quiet, "frames/s"),
              "abused": show("abused", abused, "frames/s"),
              "clients": show("  clients that hang up", came, "a second"),
              "ratio": _mean(ratios(abused, quiet))}
    result["bar"] = bar("ratio", result["ratio"]["mean"], LEAST)
    return result
