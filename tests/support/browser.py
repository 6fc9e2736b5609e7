"""A real headless Chromium, driven over its debugging pipe: pages opened at a size, what the console said, questions in JavaScript, pictures."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Network.requestWillBeSent")
# The pipe is what Chromium reads on 3 and writes on 4; everything else that it would do on its own is off.
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--force-color-profile=srgb", "--remote-debugging-pipe",
)  # fmt: skip


@dataclass
class Browser:
    """One process. Requests are answered in order; events in between are kept."""

    read: int
    write: int
    events: list[dict[str, Any]] = field(default_factory=list)
    _buffer: bytes = b""
    _number: int = 0

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The answer to one request."""
        self._number += 1
        request: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            request["sessionId"] = session
        os.write(self.write, json.dumps(request).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._number:
                assert "error" not in message, message
                answer: dict[str, Any] = message["result"]
                return answer
            self.events.append(message)

    def wait_for(self, method: str) -> None:
        """Until an event has come."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self.read, 1 << 20)
            assert data, "chromium has gone"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


@dataclass
class Page:
    """A page that has been loaded at a size."""

    browser: Browser
    session: str

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.browser.ask("Runtime.evaluate", self.session, expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """Errors, warnings and console output of the page, and whatever it fetched besides itself."""
        told = []
        for event in self.browser.events:
            url = event.get("params", {}).get("request", {}).get("url", "")
            if event.get("sessionId") == self.session and event.get("method") in COMPLAINTS and not url.startswith("file:"):
                told.append(json.dumps(event["params"]))
        return told

    def press(self, key: str) -> None:
        """One key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.browser.ask("Input.dispatchKeyEvent", self.session, type=kind, key=key, code=key, windowsVirtualKeyCode={"Tab": 9}[key])

    def picture(self, path: Path, *, top: int = 0, height: int) -> None:
        """A part of the page as PNG."""
        width = self.evaluate("document.documentElement.clientWidth")
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        answer = self.browser.ask("Page.captureScreenshot", self.session, format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser that ends with the block. Without Chromium the test fails and says what is missing; it never skips."""
    program = shutil.which("chromium")
    assert program, "chromium is not installed: apt-get install chromium"
    to_browser, from_browser = os.pipe(), os.pipe()
    shell = f'exec "$0" "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
    process = subprocess.Popen(
        ["bash", "-c", shell, program, *FLAGS, f"--user-data-dir={profile}"], pass_fds=(to_browser[0], from_browser[1]),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(to_browser[0])
    os.close(from_browser[1])
    browser = Browser(from_browser[0], to_browser[1])
    try:
        yield browser
        with suppress(AssertionError):
            browser.ask("Browser.close")
    finally:
        os.close(to_browser[1])
        process.terminate()
        process.wait(timeout=30)
        os.close(from_browser[0])


def opened(browser: Browser, path: Path, width: int, *, dark: bool = False) -> Page:
    """A file shown in a window of this width."""
    target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
    session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.ask(f"{domain}.enable", session)
    browser.ask("Emulation.setDeviceMetricsOverride", session, width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
    browser.ask("Emulation.setEmulatedMedia", session, features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
    browser.events.clear()
    browser.ask("Page.navigate", session, url=path.resolve().as_uri())
    browser.wait_for("Page.loadEventFired")
    return Page(browser, session)
