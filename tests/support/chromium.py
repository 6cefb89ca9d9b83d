"""A real browser, driven over its debugging pipe (DevTools protocol): nothing to install for it.

Messages are JSON, each ended by a NUL byte; the browser reads descriptor 3 and writes 4. Every page
keeps what it complained of and what it asked for, so that a test can say that there was nothing.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.conditions import within

_SECONDS = 30.0
# Descriptors 3 and 4 may be taken by what is to become them: they go out of the way first.
_LAUNCH = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3])
os.dup2(read, 3), os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_OPTIONS = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-sandbox",
    "--force-color-profile=srgb",
)

Message = dict[str, Any]


class Chromium:
    """A browser without a window and with a profile of its own, gone at the end."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        own = f"--user-data-dir={self._profile.name}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(to_read), str(to_write), program, *_OPTIONS, own],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        self._number = 0
        self._rest = b""
        self._pages: dict[str, Page] = {}

    def page(self, *, width: int = 1440, height: int = 900, scheme: str = "light") -> Page:
        """Open an empty page of this size, in CSS pixels, for people who prefer this scheme."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self, target, attached["sessionId"])
        self._pages[attached["sessionId"]] = page
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        page.prefer(scheme)
        return page

    def call(self, method: str, session: str = "", **parameters: object) -> Message:
        """Ask for something, and wait for the answer; what happens meanwhile goes to its page."""
        self._number += 1
        message: Message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                break
            self._heard(answer)
        if "error" in answer:
            text = f"{method}: {answer['error']}"
            raise RuntimeError(text)
        result: Message = answer["result"]
        return result

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _heard(self, message: Message) -> None:
        page = self._pages.get(message.get("sessionId", ""))
        if page is not None and "method" in message:
            page.heard(message["method"], message["params"])

    def _next(self) -> Message:
        deadline = time.monotonic() + _SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._from, 1 << 20) if ready else b""
            if not chunk:
                text = "the browser has ended, or does not answer"
                raise RuntimeError(text)
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        message: Message = json.loads(line)
        return message


class Page:
    """One page: ``faults`` are what console and browser complained of, ``asked`` is every URL."""

    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session
        self.faults: list[str] = []
        self.asked: list[str] = []

    def call(self, method: str, **parameters: object) -> Message:
        return self._browser.call(method, self._session, **parameters)

    def heard(self, method: str, said: Message) -> None:
        """Take in an event."""
        if method == "Runtime.exceptionThrown":
            self.faults.append(json.dumps(said["exceptionDetails"])[:600])
        elif method == "Runtime.consoleAPICalled" and said["type"] in {"error", "warning"}:
            self.faults.append(json.dumps(said["args"])[:600])
        elif method == "Log.entryAdded" and said["entry"]["level"] in {"error", "warning"}:
            self.faults.append(said["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(said["request"]["url"])

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def prefer(self, scheme: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def open(self, file: Path) -> None:
        """Open a file from disk, and wait until its page and all of its charts are there."""
        self.call("Page.navigate", url=file.absolute().as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")
        self.wait("document.documentElement.dataset.drawn !== undefined")

    def evaluate(self, expression: str) -> Any:
        """Return an expression's value, or that of its promise."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            text = f"{expression}: {answer['exceptionDetails']}"
            raise RuntimeError(text[:2000])
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        if not within(lambda: bool(self.evaluate(expression)), _SECONDS):
            raise TimeoutError(expression)

    def click(self, selector: str) -> None:
        """Click on the middle of an element, as a hand would: nothing may lie over it."""
        there = f"document.querySelector({json.dumps(selector)})"
        x, y, hit = self.evaluate(
            f"(() => {{ const one = {there}; one.scrollIntoView({{block: 'center'}});"
            "const box = one.getBoundingClientRect();"
            "const x = box.x + box.width / 2, y = box.y + box.height / 2;"
            "const top = document.elementFromPoint(x, y);"
            "return [x, y, one.contains(top)]; })()"
        )
        assert hit, f"{selector} is covered, or out of the page"
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def move(self, x: float, y: float) -> None:
        """Move the pointer to a place of the window, in CSS pixels."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def type(self, selector: str, text: str) -> None:
        """Click into a field and write."""
        self.click(selector)
        self.call("Input.insertText", text=text)

    def press(self, key: str, text: str = "") -> None:
        """Press a key, such as Enter (text: a carriage return) or Tab."""
        codes = {"Enter": 13, "Tab": 9, " ": 32, "Escape": 27, "ArrowRight": 39}
        common = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, target: Path, *, whole: bool = True, top: float = 0.0) -> None:
        """Write a PNG of the whole page, or of one screen from ``top`` on."""
        clip = {}
        if whole:
            width, height = self.evaluate(
                "[document.documentElement.clientWidth, document.documentElement.scrollHeight]"
            )
            clip = {"clip": {"x": 0, "y": top, "width": width, "height": height, "scale": 1}}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole, **clip)
        target.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)
