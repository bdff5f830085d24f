"""A headless Chromium, steered through a pair of pipes: no port, no network, no library.

The protocol is Chrome's DevTools protocol: JSON messages with a zero byte behind each, in on descriptor 3 and out on 4.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 300.0
"""Seconds for an answer: a machine of CI may be busy."""


def chromium() -> str:
    """The program, or the test is skipped with the reason."""
    for name in PROGRAMS:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("needs Chromium to look at the page with, and none is installed (Debian: apt-get install chromium)")


class Browser:
    """A running browser with one page.

    Attributes:
        complaints: everything that the page wrote to its console, threw, or was refused.
    """

    def __init__(self, process: subprocess.Popen[bytes], commands: int, answers: int) -> None:
        self.complaints: list[str] = []
        self._process, self._commands, self._answers = process, commands, answers
        self._buffer, self._number, self._session = b"", 0, ""
        self._events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and waits for its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._answers, 1 << 20)
            assert part, f"the browser ended with status {self._process.wait()}"
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        self._note(answer)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        method, told = event.get("method"), event.get("params", {})
        self._events.append(event)
        if method == "Runtime.exceptionThrown":
            self.complaints.append(f"threw {told['exceptionDetails'].get('exception', {}).get('description', told)}")
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(f"console.{told['type']}: {[one.get('value') for one in told['args']]}")
        elif method == "Log.entryAdded":
            self.complaints.append(f"{told['entry']['level']}: {told['entry']['text']}")
        elif method == "Network.requestWillBeSent" and not told["request"]["url"].startswith(("file:", "data:")):
            self.complaints.append(f"asked the network for {told['request']['url']}")

    def open(self, page: Path, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Shows a file at a width, and waits until it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._read()

    def ask(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def point(self, x: float, y: float) -> None:
        """Moves the pointer."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, path: Path, whole: bool = True) -> Path:
        """A PNG of the page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser that is gone afterwards, with all that it wrote."""
    program = chromium()
    their_commands, our_commands = os.pipe()
    our_answers, their_answers = os.pipe()

    def connect() -> None:
        # The numbers of our ends may be 3 and 4: copies out of their way first.
        one, other = os.dup(their_commands), os.dup(their_answers)
        os.dup2(one, 3)
        os.dup2(other, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                program,
                "--headless",
                "--remote-debugging-pipe",
                f"--user-data-dir={profile}",
                "--no-sandbox",  # which refuses to run as root; the page is our own
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--hide-scrollbars",
                "--proxy-server=127.0.0.1:9",  # whatever it wants from the network, it does not get
            ],
            preexec_fn=connect,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_commands)
        os.close(their_answers)
        try:
            yield Browser(process, our_commands, our_answers)
        finally:
            process.kill()
            process.wait()
            os.close(our_commands)
            os.close(our_answers)
