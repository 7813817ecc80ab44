# SPDX-License-Identifier: BSD-3-Clause
"""Chromium without a screen, driven over the WebDriver protocol by Debian's chromium-driver."""

import base64
import io
import json
import shutil
import socket
import subprocess
import time
import urllib.request

import numpy as np
from PIL import Image

_ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
              "--hide-scrollbars", "--no-first-run", "--window-size=1200,900",
              "--disable-background-networking", "--disable-component-update",
              # Not even a name is looked up: a page that needs the network shows it.
              "--host-resolver-rules=MAP * ~NOTFOUND"]


def missing():
    """Why there is no browser here, or None."""
    for command, package in (("chromium", "chromium"), ("chromedriver", "chromium-driver")):
        if shutil.which(command) is None:
            return f"{command} is not installed; apt-get install {package}"
    return None


class Browser:
    """A browser, in a with statement."""

    def __init__(self, profile):
        self.profile, self.driver, self.session = profile, None, None

    def __enter__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        try:
            self._wait()
            answer = self._ask("/session", {"capabilities": {"alwaysMatch": {
                "goog:chromeOptions": {"args": [*_ARGUMENTS, f"--user-data-dir={self.profile}"]},
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}}})
            self.session = f"/session/{answer['sessionId']}"
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_):
        try:
            self._ask(self.session, method="DELETE")
        finally:
            self._end()

    def _end(self):
        self.driver.terminate()
        self.driver.wait(timeout=20)

    def _ask(self, path, body=None, method=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data=data, method=method,
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=90) as answer:
            return json.load(answer)["value"]

    def _wait(self):
        for _ in range(300):
            try:
                if self._ask("/status")["ready"]:
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("chromedriver does not answer")

    def open(self, path):
        """Show a file."""
        self._ask(self.session + "/url", {"url": path.resolve().as_uri()})

    def run(self, script):
        """What a script returns."""
        return self._ask(self.session + "/execute/sync", {"script": script, "args": []})

    def log(self, kind):
        """"browser": what went wrong on the page; "performance": with every request."""
        return self._ask(self.session + "/se/log", {"type": kind})

    def picture(self, selector):
        """What is on the screen of an element, (height, width, 3)."""
        found = self._ask(self.session + "/element", {"using": "css selector", "value": selector})
        shot = self._ask(f"{self.session}/element/{next(iter(found.values()))}/screenshot")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB"))
