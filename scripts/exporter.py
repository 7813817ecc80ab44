#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Serve the metrics of running dma-image-processors to Prometheus, at http://ADDRESS:PORT/metrics.

Each is asked through DPDK's telemetry socket, whenever Prometheus comes. Without -f these are all
that run. With -f they are those with these file prefixes, and one that does not run, or does not
answer, has dip_up 0."""

import argparse
import json
import os
import re
import signal
import socket
import socketserver
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from wsgiref import simple_server

try:
    import prometheus_client
    from prometheus_client.core import Metric
except ImportError:
    print("exporter: the Python module prometheus_client is missing; apt-get install "
          "python3-prometheus-client, and use /usr/bin/python3", file=sys.stderr)
    sys.exit(2)

import dipmetrics

SOCKET = "dpdk_telemetry.v2"
# Of the program, besides what dipmetrics has.
UP = ("dip_up", "gauge", "1 when the program answers, 0 when it does not")
PROCESS = ("dip_process_info", "gauge", "1; its labels tell of the process")
HUNG_UP = "it hung up; DPDK serves ten clients at a time"
HINT = b"The metrics are at /metrics.\n"


class Trouble(Exception):
    """Cannot start. Exit status 2."""


class NoAnswer(Exception):
    """A process does not answer, and why."""


class NotRunning(NoAnswer):
    """Nobody is there."""


class Stranger(NoAnswer):
    """Another DPDK program."""


class Connection:
    """To one telemetry socket, for one scrape: done by a deadline."""

    def __init__(self, path, timeout):
        self.path, self.timeout, self.end = path, timeout, time.monotonic() + timeout
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._do(lambda: self.socket.connect(str(path)))
            self.greeting = self._receive(4096)
            self.room = self.greeting["max_output_len"]
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self.socket.close()
            raise NotRunning(f"{path}: nobody is there; expected a running program") from error
        except BaseException:
            self.socket.close()
            raise

    def _do(self, action):
        """One step, within the time that is left."""
        try:
            self.socket.settimeout(max(self.end - time.monotonic(), 0.001))
            return action()
        except TimeoutError as error:
            raise NoAnswer(f"{self.path}: no answer within {self.timeout:g} s") from error
        except (BrokenPipeError, ConnectionResetError) as error:
            raise NoAnswer(f"{self.path}: {HUNG_UP}") from error
        except PermissionError as error:
            raise NoAnswer(f"{self.path}: permission denied; run the exporter as the user that "
                           "runs the program") from error

    def _receive(self, room):
        data = self._do(lambda: self.socket.recv(room))
        if not data:
            raise NoAnswer(f"{self.path}: {HUNG_UP}")
        return json.loads(data)

    def ask(self, command, parameter=None):
        """The answer to a command."""
        text = command if parameter is None else f"{command},{parameter}"
        self._do(lambda: self.socket.send(text.encode()))
        answer = self._receive(self.room)[command]
        if answer is None:
            raise NoAnswer(f"{self.path}: it does not know {text}; expected a dma-image-processor "
                           "of the exporter's version")
        if isinstance(answer, dict) and "error" in answer:
            raise NoAnswer(f"{self.path}: {text}: {answer['error']}")
        return answer

    def check_program(self):
        """Is it one of ours?"""
        if "/dip/stats" not in self.ask("/"):
            raise Stranger(f"{self.path}: another DPDK program, or not ready yet; "
                           "expected a dma-image-processor")

    def close(self):
        """Hang up."""
        self.socket.close()


class Answer:
    """What one process said at one scrape; error: why it said nothing."""

    def __init__(self, process, error=None):
        self.process, self.error = process, error
        self.greeting, self.samples, self.latencies = {}, [], []


def scrape(process, path, timeout):
    """All that one process has to say."""
    answer = Answer(process)
    try:
        connection = Connection(path, timeout)
        try:
            connection.check_program()
            answer.samples = dipmetrics.samples(connection.ask)
            answer.latencies = dipmetrics.latencies(connection.ask)
            answer.greeting = connection.greeting
        finally:
            connection.close()
    except NoAnswer as error:
        answer.error = error
    except (OSError, ValueError, KeyError, TypeError) as error:
        answer.error = NoAnswer(f"{path}: {error!r}; expected answers of dma-image-processor")
    return answer


def sockets(folder):
    """The sockets of one file prefix: {process: path}. Those after the first, of other processes
    with the same prefix, end in :1, :2 ..."""
    prefix = folder.name
    return {prefix + path.name[len(SOCKET):]: path for path in sorted(folder.glob(SOCKET + "*"))
            if re.fullmatch(re.escape(SOCKET) + r"(:\d+)?", path.name)}


class Collector:
    """Asks every process, whenever the metrics are wanted."""

    def __init__(self, folder, prefixes, timeout):
        self.folder, self.prefixes, self.timeout = folder, prefixes, timeout
        self.said = {}  # what was last said of a process
        self.lock = threading.Lock()

    def answers(self):
        """Of all processes, asked at the same time."""
        folders = [self.folder / prefix for prefix in self.prefixes]
        if not self.prefixes and self.folder.is_dir():
            folders = sorted(self.folder.iterdir())
        found = {process: path for folder in folders for process, path in sockets(folder).items()}
        with ThreadPoolExecutor(max_workers=16) as pool:
            answers = list(pool.map(lambda item: scrape(*item, self.timeout), found.items()))
        # A killed process leaves its socket behind; one of another program's is none of ours.
        kept = [a for a in answers if not isinstance(a.error, NotRunning)
                and (self.prefixes or not isinstance(a.error, Stranger))]
        for prefix in self.prefixes:
            if not any(a.process.split(":")[0] == prefix for a in kept):
                kept.append(Answer(prefix, NotRunning(f"{self.folder / prefix / SOCKET}: nobody is "
                                                      "there; expected a running program")))
        self.tell(kept)
        return kept

    def tell(self, answers):
        """One line whenever something changes."""
        now = {a.process: str(a.error) if a.error else f"answers, pid {a.greeting['pid']}"
               for a in answers}
        for process in sorted(set(now) | set(self.said)):
            if now.get(process) != self.said.get(process):
                print(f"exporter: {process}: {now.get(process, 'has ended')}", file=sys.stderr)
        self.said = now

    def collect(self):
        """For prometheus_client: every metric, its samples of all processes together."""
        with self.lock:
            answers = self.answers()
        up, process = (Metric(name, text, kind) for name, kind, text in (UP, PROCESS))
        for answer in answers:
            up.add_sample(up.name, {"process": answer.process}, 0 if answer.error else 1)
            if not answer.error:
                process.add_sample(process.name, {
                    "process": answer.process, "pid": str(answer.greeting["pid"]),
                    "dpdk": answer.greeting["version"]}, 1)
        yield up
        yield process
        for name, kind, _, text in dipmetrics.families():
            # Samples of a counter end in _total, its family does not.
            family = Metric("dip_" + (name[:-len("_total")] if kind == "counter" else name),
                            text, kind)
            for answer in answers:
                add_samples(family, name, answer)
            yield family


def add_samples(family, name, answer):
    """What one process has of one metric."""
    if family.type != "histogram":
        for found, labels, value in answer.samples:
            if found == name:
                family.add_sample("dip_" + name, {"process": answer.process, **labels}, value)
        return
    for stage, buckets, total in answer.latencies:
        labels = {"process": answer.process, **stage}
        for bound, count in buckets:
            family.add_sample(family.name + "_bucket", {**labels, "le": bound}, count)
        family.add_sample(family.name + "_count", labels, buckets[-1][1])
        family.add_sample(family.name + "_sum", labels, total)


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """A thread for each request; none of them holds up the end."""

    daemon_threads = True


class Quiet(simple_server.WSGIRequestHandler):
    """Tells nothing of each request."""

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


def pages(registry):
    """The WSGI application."""
    measured = prometheus_client.make_wsgi_app(registry)

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/metrics":
            return measured(environ, start_response)
        status = "200 OK" if environ["PATH_INFO"] == "/" else "404 Not Found"
        start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(HINT)))])
        return [HINT]

    return application


def serve(registry, address, port):
    """Until SIGINT or SIGTERM."""
    try:
        if ":" in address:
            Server.address_family = socket.AF_INET6
        server = simple_server.make_server(address, port, pages(registry), Server, Quiet)
    except OSError as error:
        raise Trouble(f"--listen {address}:{port}: {error.strerror}; expected an address of this "
                      "machine and a port that is free") from error
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    shown = f"[{address}]" if ":" in address else address
    print(f"exporter: http://{shown}:{server.server_port}/metrics", file=sys.stderr, flush=True)
    with server:
        server.serve_forever(poll_interval=0.1)


def listen_at(text):
    """An argparse type: [ADDRESS:]PORT."""
    address, _, port = text.rpartition(":")
    if not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f'"{text}": expected [ADDRESS:]PORT, a PORT of 0 to 65535')
    return address.strip("[]") or "127.0.0.1", int(port)


def file_prefix(text):
    """An argparse type: what EAL takes as a file prefix."""
    if not text or "/" in text or text in (".", ".."):
        raise argparse.ArgumentTypeError(f'"{text}": expected a file prefix, a name without a /')
    return text


def seconds(text):
    """An argparse type: more than nothing."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 60:
        raise argparse.ArgumentTypeError(f'"{text}": expected seconds, more than 0 and up to 60')
    return value


def runtime_folder():
    """Where EAL keeps the sockets: of root's programs, or of this user's."""
    base = "/var/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/tmp")
    return Path(base) / "dpdk"


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit status: 0 ended by SIGINT or SIGTERM, or printed; 1 with --once, when a "
               "process did not answer or none runs; 2 wrong usage, or an address that cannot be "
               "had.")
    parser.add_argument("-f", "--file-prefix", metavar="PREFIX", action="append", default=[],
                        type=file_prefix, help="EAL's --file-prefix of a program; again for more")
    parser.add_argument("-l", "--listen", metavar="[ADDRESS:]PORT", type=listen_at,
                        default=("127.0.0.1", 9877),
                        help="where to serve (default: 127.0.0.1:9877; on all addresses: "
                             "0.0.0.0:9877; port 0: one that is free)")
    parser.add_argument("-t", "--timeout", metavar="SECONDS", type=seconds, default=2,
                        help="how long a program may take to answer (default: 2)")
    parser.add_argument("--runtime-dir", metavar="DIR", type=Path, default=runtime_folder(),
                        help="where the folders of the file prefixes are (default: %(default)s)")
    parser.add_argument("--once", action="store_true", help="print the metrics and exit")
    return parser.parse_args()


def main():
    """Returns the exit status."""
    args = parse()
    collector = Collector(args.runtime_dir, list(dict.fromkeys(args.file_prefix)), args.timeout)
    registry = prometheus_client.CollectorRegistry()
    registry.register(collector)
    try:
        if not args.once:
            serve(registry, *args.listen)
            return 0
        text = prometheus_client.generate_latest(registry).decode()
    except Trouble as error:
        print(f"exporter: {error}", file=sys.stderr)
        return 2
    print(text, end="")
    ups = re.findall(r"^dip_up\{.*\} (\S+)$", text, re.MULTILINE)
    if not ups:
        print(f"exporter: {args.runtime_dir}: no dma-image-processor runs here; expected one",
              file=sys.stderr)
    return 0 if ups and all(float(up) == 1 for up in ups) else 1


if __name__ == "__main__":
    sys.exit(main())
