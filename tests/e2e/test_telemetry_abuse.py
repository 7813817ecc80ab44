# SPDX-License-Identifier: BSD-3-Clause
"""Telemetry under abuse: clients that hang up, junk for parameters, clients that never leave, clients
that ask until the process is gone. The run goes on as if nobody had come."""

import contextlib
import itertools
import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest

import harness
import telemetry_client
from harness import check_ledger
from telemetry_client import Client

CLIENTS = 3000
MOST_CLIENTS = 10  # that DPDK serves at a time
COMMANDS = ["stats", "ledger", "latency", "worst", "lcores", "device", "pool", "archive", "config",
            "occupancy", "site"]
JUNK = [b"", b",", b",,,,", b"-1", b"0", b"18446744073709551616", b"-9223372036854775809", b"1e9",
        b"0x10", b"%n%n%s%p", b"a" * 900, b"a" * 5000, b"reset,reset", b"NaN", b" ", b"\n", b'"}{',
        b"\x00", b"\x00reset", b"\x01\x7f\x80\xfe\xff", "µ☃".encode(), b"../../etc/passwd",
        bytes(range(1, 256))]
# What a parameter may be.
TAKEN = {"latency": {b"", b"0"}, "site": {b"0"}}

# What has been freed is overwritten, and not unmapped before that.
FREED_IS_SEEN = {"MALLOC_PERTURB_": "165", "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}


@pytest.fixture(name="live")
def full_flight(dip, scene, prefix):
    """(run, client) in full flight: every frame decided, every third archived, none lost."""
    run = dip.start(scene.folder, 0, eal_args=harness.eal(2, prefix=prefix), sets=scene.sets(**{
        "main.nth_archive": 3, "dma.pace_frames": False, "main.overrun": "block",
        "arch.segment_bytes": 100 << 20}))
    client = Client(prefix, run.pid)
    dip.wait_for_results(run)
    yield run, client
    client.close()


def raw(path):
    """A connection that nobody has said anything on."""
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    plain.connect(str(path))  # waits for its turn, which with a timeout it would not
    plain.settimeout(10)
    return plain


def held(run):
    """(sockets, threads that serve them) of the program."""
    process = Path(f"/proc/{run.pid}")
    links, tasks = [], []
    for number in os.listdir(process / "fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(process / "fd" / number))
    for number in os.listdir(process / "task"):
        with contextlib.suppress(FileNotFoundError):
            tasks.append((process / "task" / number / "comm").read_text(encoding="utf-8"))
    return (sum(link.startswith("socket:") for link in links),
            sum("telemetry" in task for task in tasks))


def hang_up(path, how):
    """A client that does not stay; how: at which moment it leaves."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError), raw(path) as client:
        if how >= 1:
            client.recv(1024)
        if how == 2:
            client.send(b"/dip/sta")
        if how >= 3:
            client.send(b"/dip/stats")
        if how == 4:
            client.shutdown(socket.SHUT_RD)
        if how == 5:
            client.recv(16)  # the rest of it is lost


class Normal(threading.Thread):
    """A well-behaved client that checks what it is told, every few milliseconds."""

    def __init__(self, client):
        super().__init__()
        self.client, self.over, self.answers, self.error = client, threading.Event(), 0, None

    def run(self):
        try:
            first = before = self.client.ask("/dip/stats")
            limit = time.monotonic() + 20
            # Until it is told to end, and a frame has been decided meanwhile.
            while not self.over.wait(0.005) or (
                    before["proc_frames"] == first["proc_frames"] and time.monotonic() < limit):
                check_ledger(self.client.ask("/dip/ledger"), drained=False)
                stats = self.client.ask("/dip/stats")
                assert set(stats) == set(before)
                assert stats["proc_frames"] >= before["proc_frames"]
                before = stats
                self.answers += 1
            assert before["proc_frames"] > first["proc_frames"], "the run stands still"
        except BaseException as error:  # pylint: disable=broad-except
            self.error = error

    def finish(self):
        """Raises what went wrong."""
        self.over.set()
        self.join()
        if self.error:
            raise self.error
        return self.answers


def test_clients_that_hang_up(dip, live):
    """Three thousand, at every moment at which one can leave."""
    run, client = live
    before, normal = held(run), Normal(client)
    normal.start()
    try:
        for _, how in zip(range(CLIENTS), itertools.cycle(range(6))):
            hang_up(client.connection.path, how)
    finally:
        answers = normal.finish()
    assert answers > 20
    dip.wait_for(run, lambda: held(run) == before)
    assert before[0] >= 2 <= before[1]  # one that listens, one that serves
    dip.stop(run)
    assert run.stats["drops_proc_queue"] == run.stats["drops_arch_queue"] == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_junk_for_a_parameter(dip, live, command):
    """An answer that is what it would be without, or says what is wrong; never null."""
    run, client = live
    path = f"/dip/{command}"
    plain = client.ask(path + (",0" if command == "site" else ""))
    for junk in JUNK:
        client.socket.send(f"{path},".encode() + junk)
        try:
            answer = client.receive()[path]
        except telemetry_client.Gone as error:
            raise AssertionError(f"{junk!r}: {error}") from None
        if command in TAKEN and junk.split(b"\0")[0] not in TAKEN[command]:
            assert set(answer) == {"error"} and "expected" in answer["error"], (junk, answer)
        elif command not in ("latency", "worst"):
            assert set(answer) == set(plain), (junk, answer)
        else:
            assert answer and "error" not in answer, (junk, answer)
    check_ledger(client.ask("/dip/ledger"), drained=False)
    dip.stop(run)


def test_what_is_wrong_is_said(dip, live, scene):
    run, client = live
    last = scene.sites - 1
    assert client.ask(f"/dip/site,{last}")["site"] == last
    for site in (last + 1, "none"):
        assert client.ask(f"/dip/site,{site}") == {
            "error": f"{site}: expected a site of dma_file0: its number, 0 to {last}, or its name"}
    assert client.ask("/dip/site,")["error"].startswith("nothing: expected a site of dma_file0: ")
    processors = sum("process" in entry["role"].split("+")
                     for entry in client.ask("/dip/lcores").values())
    assert client.ask(f"/dip/latency,{processors}") == {
        "error": f"{processors}: expected no parameter, the number of a processor, 0 to "
                 f"{processors - 1}, reset or buckets"}
    dip.stop(run)


def write_sites(path, count):
    """A file of sites that all have names."""
    sites = ",\n".join(f'  {{ name = "n{i}"; row = 0; col = 0; h = 1; w = 1; threshold = 1; }}'
                       for i in range(count))
    path.write_text(f"version = 1;\nsites = (\n{sites}\n);\n", encoding="utf-8")


def test_before_the_run_has_begun(dip, scene, prefix):
    """Telemetry answers as soon as EAL is up: with the reason why it has nothing to say yet. A file of
    sites that is a pipe holds up the start for as long as it is wanted."""
    sites = dip.folder / "sites.cfg"
    os.mkfifo(sites)
    run = dip.start(scene.folder, 0, eal_args=harness.eal(2, prefix=prefix), sets={
        "main.fps": 100, "pois.sites": sites})
    client = Client(prefix, run.pid)
    for command in COMMANDS:
        for parameter in ("", ",0", ",nonsense"):
            assert client.ask(f"/dip/{command}{parameter}") == {
                "error": "the run has not begun yet"}
    write_sites(sites, 3)
    dip.wait_for(run, lambda: client.ask("/dip/stats").get("proc_frames", 0) > 0)
    assert client.ask("/dip/site,n2")["site"] == 2
    client.close()
    dip.stop(run)


def test_clients_that_never_leave(dip, live):
    """Ten at a time is DPDK's limit: the next one is hung up on, and served when one has left. The run
    ends in time with all of them still there."""
    run, client = live
    path = client.connection.path
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(raw(path)) for _ in range(MOST_CLIENTS - 1)]
        for other in idle:
            assert json.loads(other.recv(1024))["pid"] == run.pid
        normal = Normal(client)
        normal.start()
        try:
            for _ in range(50):
                with contextlib.suppress(ConnectionResetError), raw(path) as refused:
                    assert refused.recv(1024) == b""
            idle.pop().close()
            end = time.monotonic() + 5
            while time.monotonic() < end:
                with contextlib.suppress(telemetry_client.Gone):
                    welcome = telemetry_client.find(None, run.pid, folder=path.parent)
                    break
                time.sleep(0.01)
            assert welcome.ask("/dip/pool")["slabs"] > 0
        finally:
            assert normal.finish() > 0
        begin = time.monotonic()
        dip.stop(run)
        assert time.monotonic() - begin < 10
        welcome.close()


def test_asking_until_the_process_is_gone(dip, scene, prefix):
    """Every command, by as many clients as there can be, while everything is taken down: what a callback
    reads is there to the end. Looking for a name among many sites is slow enough to be met by it."""
    sites = dip.folder / "sites.cfg"
    write_sites(sites, 20000)

    def ask_on(path):
        with contextlib.suppress(OSError, ValueError), raw(path) as client:
            client.recv(1024)
            for command in itertools.cycle([f"/dip/{c}" for c in COMMANDS] + [
                    "/dip/latency,buckets", "/rawdev/xstats,0"] + ["/dip/site,nobody"] * 20):
                client.send(command.encode())
                if not client.recv(64 << 10):
                    return

    for _ in range(5):
        run = dip.start(scene.folder, 0.3, eal_args=harness.eal(2, prefix=prefix), sets={
            "main.fps": 200, "main.nth_archive": 3, "pois.sites": sites, "proc.results": "npy"},
            options={"env": {**os.environ, **FREED_IS_SEEN}})
        client = Client(prefix, run.pid)
        threads = [threading.Thread(target=ask_on, args=(client.connection.path,))
                   for _ in range(MOST_CLIENTS - 1)]
        for thread in threads:
            thread.start()
        client.close()
        dip.end(run)
        for thread in threads:
            thread.join()
