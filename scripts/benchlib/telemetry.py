# SPDX-License-Identifier: BSD-3-Clause
"""Frames decided a second while telemetry is abused, against the same with nobody asking."""

import contextlib
import itertools
import multiprocessing
import os
import socket
import tempfile
import time

import telemetry_socket
from benchlib.common import (alternate, bar, cpus, fail, memory, ratios, refuse, run_program,
                             show, simulated_frames)

HUGE_MIB = 256
LEAST = 0.99     # of the frames without abuse, what is asked for
CLIENTS_S = 1000  # that come and hang up in a second: 3,000 in a run of 3 s
IDLE = 8          # that come and stay; with one that asks and one that hangs up DPDK's ten
ASK_S = 0.5       # how often scripts/top.py, the exporter and others together ask
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


def _abuse(prefix, cpu, clients, answers):
    """Until it is terminated. clients: how many came; answers: how many were right."""
    os.sched_setaffinity(0, {cpu})
    while True:
        with contextlib.suppress(telemetry_socket.Gone):
            asking = telemetry_socket.find(prefix)
            break
        time.sleep(0.01)
    idle = [_connect(asking.path) for _ in range(IDLE)]
    due, ask = time.monotonic(), time.monotonic()
    with contextlib.suppress(telemetry_socket.Gone):
        for how in itertools.cycle(range(4)):
            _hang_up(asking.path, how)
            clients.value += 1
            if time.monotonic() >= ask:
                ask += ASK_S
                ledger = asking.ask("/dip/ledger")
                answers.value += "error" in ledger or all(
                    account["imbalance"] == 0 for account in ledger.values())
            due = max(due + 1 / CLIENTS_S, time.monotonic() - 0.1)
            time.sleep(max(0, due - time.monotonic()))
    for client in idle:
        client.close()


def _run(options, source, results, abused):
    """(frames a second, clients that came) of a run: control and results on one CPU, with the clients;
    the worker alone on the next."""
    control, worker = cpus(options)[:2]
    prefix = f"bench{os.getpid()}"
    eal = ["--lcores", f"0@{control},1@{worker}", "--main-lcore", "0", f"--file-prefix={prefix}",
           *memory(options, HUGE_MIB)]
    clients, answers = multiprocessing.Value("q"), multiprocessing.Value("q")
    rude = multiprocessing.Process(target=_abuse, args=(prefix, control, clients, answers))
    if abused:
        rude.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            report = run_program(options, "telemetry" + (", abused" if abused else ""), eal,
                                 [*SETTINGS, f"proc.results={results}"], source, folder)
    finally:
        if abused:
            rude.terminate()
            rude.join()
    if abused and answers.value == 0:
        fail("telemetry: no client was answered rightly")
    for name, account in report["ledger"].items():
        if account["imbalance"] or account["in_flight"]:
            fail(f"telemetry: the account {name} does not balance: {account}")
    return report["stats"]["proc_fps"], clients.value


def run(options):
    """Unpaced, no archiving, block; one worker lcore; with results and without."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        source = simulated_frames(options, folder)
        for results in ("text", "none"):
            found[results] = alternate({
                "quiet": lambda results=results: _run(options, source, results, False),
                "abused": lambda results=results: _run(options, source, results, True)},
                options.repeat)
    return {results: _show(options, results, runs) for results, runs in found.items()}


def _show(options, results, runs):
    rates = {name: [fps for fps, _ in values] for name, values in runs.items()}
    came = [clients / options.seconds for _, clients in runs["abused"]]
    print(f"telemetry: frames decided a second by one lcore, unpaced, results {results}, "
          "no archiving")
    result = {"quiet": show("nobody asks", rates["quiet"], "frames/s"),
              "abused": show("abused", rates["abused"], "frames/s"),
              "clients": show("  clients that hang up", came, "a second"),
              "ratio": show("  ratio", ratios(rates["abused"], rates["quiet"]), "")}
    result["bar"] = bar("ratio", result["ratio"]["median"], LEAST)
    return result
