#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Watch a running program in a terminal, twice a second: rates, queues, slabs, the ledger, latency,
the load of the lcores, the archive, and the last minute.

It asks DPDK's telemetry and changes nothing. When the program ends it waits for the next one.
q or Ctrl-C ends it, r redraws.

Exit status: 0; 1 with --once or --json when no program answers; 2 wrong usage.
"""

import argparse
import collections
import curses
import json
import locale
import sys
import time

import telemetry_socket
from telemetry_socket import Gone

# Of the source that is shown, and of the program.
OF_SOURCE = {"stats": "/dip/stats", "ledger": "/dip/ledger", "latency": "/dip/latency",
             "archive": "/dip/archive", "device": "/dip/device"}
OF_PROGRAM = {"lcores": "/dip/lcores", "config": "/dip/config"}
SHOWN = {"dma": "dma_frames", "proc": "proc_frames", "arch": "arch_frames", "bytes": "arch_bytes",
         "lost": "dma_missed"}
DROPS = ("drops_proc_queue", "drops_results_queue", "drops_arch_queue", "arch_io_errors",
         "results_io_errors")
BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.:-=+*#"
MINUTE_S = 60


def sample(connection, source=None):
    """What the program says of one of its sources, the first unless told which, and of itself at a
    moment. Raises Gone."""
    names = [entry["name"] for entry in (connection.ask("/dip/sources") or {}).values()]
    if source is not None and names and source not in names:
        raise Gone(f"no source is called {source}; expected one of {', '.join(names)}")
    name = f",{source or names[0]}" if len(names) > 1 else ""
    data = {part: connection.ask(command + name) for part, command in OF_SOURCE.items()}
    data |= {part: connection.ask(command) for part, command in OF_PROGRAM.items()}
    if not all(isinstance(part, dict) for part in data.values()):
        raise Gone("it does not answer any more: it is ending")
    for part in data.values():
        if "error" in part:
            raise Gone(part["error"])
    data["sources"] = names
    return {"pid": connection.pid, "monotonic_s": time.monotonic(), **data}


def counts(data):
    """The counters whose rates are shown."""
    stats = data["stats"]
    return {**{name: stats[counter] for name, counter in SHOWN.items()},
            "drops": sum(stats[name] for name in DROPS)}


def rates(before, now):
    """Per second, between two samples of one program."""
    passed = max(now["monotonic_s"] - before["monotonic_s"], 1e-6)
    earlier, later = counts(before), counts(now)
    return {name: (later[name] - earlier[name]) / passed for name in later}


def slabs_held(data):
    """(least, most) slabs in use: a frame in both sinks holds one slab."""
    flying = [data["ledger"][name]["in_flight"] for name in ("proc", "arch")]
    return max(flying), min(sum(flying), int(data["config"]["main"]["slabs"]))


def sparkline(values, width, bars=BARS):
    """The newest values, a character each, from 0 to the greatest of them."""
    values = list(values)[-width:]
    top = max(values, default=0)
    if top <= 0:
        return bars[0] * len(values)
    return "".join(bars[min(len(bars) - 1, int(max(value, 0) / top * len(bars)))]
                   for value in values)


def short(value):
    """A count in six characters."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if abs(value) >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value / 1e3:.1f}k" if abs(value) >= 1e4 else f"{value:.0f}"


def duration(ns):
    """Nanoseconds for people."""
    for limit, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if ns >= limit:
            return f"{ns / limit:.3g} {unit}"
    return f"{ns:.0f} ns"


class History:
    """The last minute of one program's rates, and its newest sample."""

    def __init__(self, interval):
        self.rates = collections.deque(maxlen=max(2, round(MINUTE_S / interval)))
        self.data = None

    def add(self, data):
        """A sample; a new program begins anew."""
        if self.data and self.data["pid"] != data["pid"]:
            self.rates.clear()
        elif self.data:
            self.rates.append(rates(self.data, data))
        self.data = data

    def newest(self):
        """The rates of the last interval; all 0 before there are two samples."""
        return self.rates[-1] if self.rates else dict.fromkeys(counts(self.data), 0.0)


def _rates(history, width, bars):
    now = history.newest()
    for name, title in (("dma", "source"), ("proc", "decided"), ("arch", "archived"),
                        ("lost", "missed"), ("drops", "dropped")):
        total = counts(history.data)[name]
        line = sparkline([r[name] for r in history.rates], width - 34, bars)
        yield f"{title:<9}{short(now[name]):>9}/s {short(total):>9} all {line}"


def _ledger(data):
    for name, account in data["ledger"].items():
        came, done = list(account.values())[:2]
        lost = sum(list(account.values())[2:-2])
        state = "balanced" if account["imbalance"] == 0 else f"IMBALANCE {account['imbalance']}"
        yield (f"{name:<9}in {short(came):>7}  done {short(done):>7}  lost {short(lost):>7}  "
               f"queued {account['in_flight']:>6}  {state}")


def _latency(data):
    for name, values in data["latency"].items():
        if values.get("count"):
            yield (f"{name:<9}" + "  ".join(f"{title} {duration(values[key]):>7}" for title, key in (
                ("p50", "p50_ns"), ("p99", "p99_ns"), ("p99.9", "p999_ns"), ("max", "max_ns"))))


def _lcores(data, room, bars):
    lcores = list(data["lcores"].items())
    told = lcores if len(lcores) <= room else lcores[:max(room - 1, 0)]
    for name, lcore in told:
        busy = float(lcore["busy"])
        bar = bars[-1] * round(busy * 20)
        yield f"lcore {name:<3}{busy:>6.1%} [{bar:<20}] {lcore['role']}"
    if len(told) < len(lcores):
        yield f"and {len(lcores) - len(told)} lcores more; a higher terminal shows them"


def frame(history, width=80, height=24, bars=BARS):
    """The lines of a frame, no longer and no more than there is room for."""
    data = history.data
    stats, device, archive = data["stats"], data["device"], data["archive"]
    least, most = slabs_held(data)
    slabs = int(data["config"]["main"]["slabs"])
    held = f"{least}" if least == most else f"{least}..{most}"
    mbps = history.newest()["bytes"] / 1e6
    others = len(data.get("sources", [])) - 1
    among = f" and {others} more" if others > 0 else ""
    lines = [f"pid {data['pid']}  {device['name']} {device['width']}x{device['height']}{among}  "
             f"{float(stats['elapsed_sec']):.1f} s  slabs held {held} of {slabs}", ""]
    lines += _rates(history, width, bars)
    lines += ["", *_ledger(data), "", *_latency(data)]
    written = (f"archive  {mbps:.1f} MB/s  {short(archive['bytes'])}B in {archive['segments']} "
               f"segments  {short(archive['durable'])} durable  {archive['io_errors']} errors  "
               f"{archive['backend']}{' direct' if archive['direct'] else ''}")
    tail = ["", written] + ([f"         {archive['folder']}"] if archive.get("folder") else [])
    lines += ["", *_lcores(data, height - len(lines) - len(tail) - 1, bars), *tail]
    if len(lines) > height:  # a low terminal: the blanks go first
        lines = [line for line in lines if line]
    return [line[:width] for line in lines[:height]]


class Watch:
    """Samples of a program, or of the next one after it."""

    def __init__(self, options):
        self.options, self.connection, self.why = options, None, "not yet"
        self.history = History(options.interval)

    def step(self):
        """Take a sample; whether there was one."""
        try:
            if self.connection is None:
                self.connection = telemetry_socket.find(self.options.prefix, self.options.pid, 2)
            self.history.add(sample(self.connection, self.options.source))
            return True
        except Gone as error:
            self.why = str(error)
            self.close()
            return False

    def close(self):
        """Hang up."""
        if self.connection:
            self.connection.close()
            self.connection = None


def interactive(screen, watch, bars):
    """The loop of the terminal view."""
    curses.curs_set(0)
    curses.use_default_colors()
    while True:
        due = time.monotonic() + watch.options.interval
        found = watch.step()
        height, width = screen.getmaxyx()
        if found:
            lines = frame(watch.history, width - 1, height, bars)
        else:
            lines = ["waiting for a program ...", watch.why[:width - 1]]
        screen.erase()
        for row, line in enumerate(lines[:height]):
            bad = "IMBALANCE" in line or not found
            screen.addnstr(row, 0, line, max(width - 1, 0), curses.A_BOLD if bad else 0)
        screen.refresh()
        while (left := due - time.monotonic()) > 0:
            screen.timeout(max(1, int(left * 1000)))
            key = screen.getch()
            if key == ord("q"):
                return
            if key in (ord("r"), curses.KEY_RESIZE):
                screen.clear()
                break


def once(watch, bars):
    """One frame, or its data, of two samples."""
    for turn in range(2):
        if not watch.step():
            print(f"top: {watch.why}; start one, or see --prefix", file=sys.stderr)
            return 1
        if turn == 0:
            time.sleep(watch.options.interval)
    history = watch.history
    if watch.options.json:
        least, most = slabs_held(history.data)
        print(json.dumps({**history.data, "rates": history.newest(), "slabs_held": [least, most]},
                         indent=2))
    else:
        print("\n".join(frame(history, bars=bars)))
    return 0


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", metavar="NAME",
                        help="EAL's file prefix of the program (default: the newest that answers)")
    parser.add_argument("--pid", metavar="N", type=int, help="the program, by its process id")
    parser.add_argument("--source", metavar="NAME",
                        help="the source to show, of several (default: the first)")
    parser.add_argument("--interval", metavar="SECONDS", type=float, default=0.5,
                        help="between two samples (default: 0.5)")
    parser.add_argument("--once", action="store_true", help="print one frame of 80 x 24, and end")
    parser.add_argument("--json", action="store_true", help="print the data as one JSON object")
    options = parser.parse_args()
    if not 0.05 <= options.interval <= 60:
        parser.error(f"--interval {options.interval:g}: expected 0.05..60")
    if options.prefix is not None and ("/" in options.prefix or not options.prefix):
        parser.error(f"--prefix {options.prefix!r}: expected a name, as given to --file-prefix")
    return parser, options


def main():
    """Watch until told to stop."""
    parser, options = arguments()
    locale.setlocale(locale.LC_ALL, "")
    wide = (locale.nl_langinfo(locale.CODESET) if options.json or not options.once
            else sys.stdout.encoding)
    bars = BARS if wide.upper() == "UTF-8" else ASCII_BARS
    watch = Watch(options)
    try:
        if options.once or options.json:
            return once(watch, bars)
        if not sys.stdout.isatty() or not sys.stdin.isatty():
            parser.error("expected a terminal; without one: --once or --json")
        curses.wrapper(interactive, watch, bars)
    except KeyboardInterrupt:
        pass
    finally:
        watch.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
