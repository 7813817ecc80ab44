# SPDX-License-Identifier: BSD-3-Clause
"""A client of DPDK's telemetry socket, version 2: one packet with a command, one with the answer."""

import json
import os
import socket
from pathlib import Path

# Room for an answer of DPDK's greatest length, and more.
_ANSWER_BYTES = 64 << 10


class Gone(OSError):
    """Nobody is there, or the program has ended."""


def runtime_folder(prefix):
    """Where EAL keeps the socket of a file prefix."""
    base = "/var/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/tmp")
    return Path(base) / "dpdk" / prefix


class Connection:
    """One connection to the program that answers at a socket. Raises Gone."""

    def __init__(self, path, timeout=10):
        self.path = Path(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(str(path))
            self.greeting = self.receive()
        except OSError as error:  # DPDK serves ten clients at a time, and hangs up on others
            self.socket.close()
            raise Gone(f"{path}: {error.strerror or error}") from error
        self.pid = self.greeting["pid"]

    def receive(self):
        """One answer."""
        try:
            return json.loads(self.socket.recv(_ANSWER_BYTES))
        except (OSError, ValueError) as error:
            raise Gone(f"{self.path}: no answer: {error}") from error

    def ask(self, command):
        """The answer to a command, with its parameters; {command: ...} is taken off."""
        try:
            self.socket.send(command.encode())
        except OSError as error:
            raise Gone(f"{self.path}: {error.strerror or error}") from error
        answer = self.receive()
        if list(answer) != [command.split(",", 1)[0]]:
            raise Gone(f"{self.path}: an answer to {list(answer)}, not to {command}")
        return next(iter(answer.values()))

    def close(self):
        """Hang up."""
        self.socket.close()


def sockets(prefix=None, folder=None):
    """Paths of sockets: in a folder, of a file prefix (others may share it: they end in :1, :2 ...),
    or of all."""
    if folder is not None:
        return sorted(Path(folder).glob("dpdk_telemetry.v2*"))
    return sorted(runtime_folder("").glob(f"{prefix or '*'}/dpdk_telemetry.v2*"))


def find(prefix=None, pid=None, timeout=10, folder=None):
    """A connection to the newest program of ours there, or to the one of that pid; folder: where
    another user's are. Raises Gone."""
    def made(path):
        try:
            return path.stat().st_mtime
        except OSError:
            return 0

    for path in sorted(sockets(prefix, folder), key=made, reverse=True):
        try:
            connection = Connection(path, timeout)
        except Gone:
            continue
        try:
            wanted = connection.pid == pid if pid else "/dip/stats" in connection.ask("/")
        except Gone:
            wanted = False
        if wanted:
            return connection
        connection.close()
    raise Gone(f"no program of ours answers in {runtime_folder(prefix or '*')}")
