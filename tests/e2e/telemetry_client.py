# SPDX-License-Identifier: BSD-3-Clause
"""A client of DPDK's telemetry socket, version 2."""

import json
import os
import socket
import time
from pathlib import Path

# Room for an answer of DPDK's greatest length, and more.
_ANSWER_BYTES = 64 << 10


def runtime_folder(prefix):
    """Where EAL keeps the socket of a file prefix."""
    base = "/var/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/tmp")
    return Path(base) / "dpdk" / prefix


class Client:
    """One connection. prefix: EAL's file prefix; pid: the program that must answer, since others
    may share the prefix (the sockets then end in :1, :2 ...)."""

    def __init__(self, prefix, pid, timeout=20):
        end = time.monotonic() + timeout
        while not self._connect(prefix, pid):
            assert time.monotonic() < end, f"no telemetry of {pid} in {runtime_folder(prefix)}"
            time.sleep(0.05)

    def _connect(self, prefix, pid):
        for path in sorted(runtime_folder(prefix).glob("dpdk_telemetry.v2*")):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.socket.settimeout(10)
            try:
                self.socket.connect(str(path))
                self.greeting = self.receive()
            except (OSError, ValueError):  # gone, or full: DPDK serves ten clients at a time
                self.socket.close()
                continue
            if self.greeting["pid"] == pid:
                return True
            self.socket.close()
        return False

    def receive(self):
        """One answer."""
        return json.loads(self.socket.recv(_ANSWER_BYTES))

    def ask(self, command):
        """The answer to a command, with its parameters; {command: ...} is taken off."""
        self.socket.send(command.encode())
        answer = self.receive()
        assert list(answer) == [command.split(",", 1)[0]]
        return next(iter(answer.values()))

    def close(self):
        """Hang up."""
        self.socket.close()
