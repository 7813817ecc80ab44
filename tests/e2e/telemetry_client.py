# SPDX-License-Identifier: BSD-3-Clause
"""Waits for the program's telemetry and asks it, by the client that the scripts use."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from telemetry_socket import Connection, Gone, find, runtime_folder  # noqa: E402

__all__ = ["Client", "Connection", "Gone", "runtime_folder"]


class Client:
    """One connection. prefix: EAL's file prefix; pid: the program that must answer, since others
    may share the prefix (the sockets then end in :1, :2 ...); folder: where the sockets are, when
    another user runs the program."""

    def __init__(self, prefix, pid, timeout=20, folder=None):
        end = time.monotonic() + timeout
        while True:
            try:
                self.connection = find(prefix, pid, folder=folder)
                break
            except Gone as error:
                assert time.monotonic() < end, f"no telemetry of {pid}: {error}"
                time.sleep(0.05)
        self.socket, self.greeting = self.connection.socket, self.connection.greeting
        self.receive, self.ask = self.connection.receive, self.connection.ask
        self.close = self.connection.close
