"""A real headless Chromium for tests, driven over the pipe of its DevTools protocol.

    with running_chromium(tmp_path) as browser:
        page = browser.open("http://127.0.0.1:8080/")
        page.wait_for("document.title === 'In sync'")

Everything is asked in turn, in one thread: what the browser tells meanwhile is read, and kept,
while an answer is awaited.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_ANSWER_SECONDS: Final = 20.0
_FLAGS: Final = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--hide-scrollbars",
    "--metrics-recording-only",
    "--no-proxy-server",
    "--use-mock-keychain",
)
# The browser reads commands from descriptor 3, and writes answers to 4.
_TAKE_PIPES: Final = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_KEYS: Final = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}


class BrowserError(Exception):
    """The browser refused a command, did not answer in time, or ended."""


class Chromium:
    """One browser process; `running_chromium` starts and ends it."""

    def __init__(self, process: subprocess.Popen[bytes], commands: int, answers: int) -> None:
        self._process = process
        self._commands = commands
        self._answers = answers
        self._unread = b""
        self._last = 0
        self._pages: dict[str, Page] = {}

    def open(self, url: str, **look: Any) -> Page:
        """Give a page of its own that has loaded `url`; `look` is what `Page.look` takes."""
        # A context of its own has no cookies, cache or history of another page.
        context = self.ask("Target.createBrowserContext")["browserContextId"]
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, attached["sessionId"], context)
        self._pages[attached["sessionId"]] = page
        for domain in ("Page", "Runtime", "Network", "Log", "Audits", "Accessibility"):
            page.ask(f"{domain}.enable")
        page.look(**look)
        page.go(url)
        return page

    def forget(self, page: Page) -> None:
        """End a page."""
        self.ask("Target.disposeBrowserContext", browserContextId=page.context)
        del self._pages[page.session]

    def ask(self, method: str, session: str = "", **arguments: Any) -> Any:
        """Send one command and give its result. Raises `BrowserError`."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": arguments}
        if session:
            message["sessionId"] = session
        self._send(json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _ANSWER_SECONDS
        while (answer := self.listen(deadline)).get("id") != self._last:
            pass
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def listen(self, deadline: float) -> Any:
        """Give the next message, whatever it is; an event is kept by its page.

        `deadline` is a moment of `time.monotonic`. Raises `BrowserError` when it has come.
        """
        while b"\0" not in self._unread:
            left = deadline - time.monotonic()
            if not select.select([self._answers], [], [], max(left, 0))[0]:
                raise BrowserError("it did not answer in time")
            read = os.read(self._answers, 1 << 16)
            if not read:
                raise BrowserError(f"it ended, with status {self._process.poll()}")
            self._unread += read
        raw, _, self._unread = self._unread.partition(b"\0")
        message = json.loads(raw)
        page = self._pages.get(message.get("sessionId", ""))
        if page is not None and "method" in message:
            page.hear(message["method"], message["params"])
        return message

    def _send(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._commands, data) :]
        except BrokenPipeError as error:
            raise BrowserError(f"it ended, with status {self._process.poll()}") from error


@dataclass
class Page:
    """One page. `problems` are errors of its scripts and violations of its content policy,
    `requests` the URLs it asked for.
    """

    browser: Chromium
    session: str
    context: str
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    heard: set[str] = field(default_factory=set)

    def ask(self, method: str, **arguments: Any) -> Any:
        """Send one command to this page and give its result."""
        return self.browser.ask(method, self.session, **arguments)

    def hear(self, method: str, event: Mapping[str, Any]) -> None:
        """Keep what an event tells."""
        self.heard.add(method)
        match method:
            case "Network.requestWillBeSent":
                self.requests.append(event["request"]["url"])
            case "Runtime.exceptionThrown":
                details = event["exceptionDetails"]
                told = details.get("exception", {}).get("description", "")
                self.problems.append(told or details["text"])
            case "Runtime.consoleAPICalled" if event["type"] in ("error", "assert", "warning"):
                self.problems.append(str([item.get("value") for item in event["args"]]))
            # An answer that does not come is told there too, and is for the page to tell.
            case "Log.entryAdded" if event["entry"]["source"] != "network":
                self.problems.append(event["entry"]["text"])
            case "Audits.issueAdded":
                self.problems.append(json.dumps(event["issue"]))
            case _:
                pass

    def go(self, url: str) -> None:
        """Load `url`, and wait until all it needs is there."""
        self.heard.discard("Page.loadEventFired")
        answer = self.ask("Page.navigate", url=url)
        if answer.get("errorText"):
            raise BrowserError(f"{url}: {answer['errorText']}")
        self.wait_for_event("Page.loadEventFired")

    def look(
        self,
        *,
        width: int = 1200,
        height: int = 800,
        scale: float = 1.0,
        phone: bool = False,
        dark: bool = False,
        still: bool = True,
        scripts: bool = True,
    ) -> None:
        """Be a screen of this size (CSS pixels), with these wishes of its user."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=phone,
        )
        self.ask("Emulation.setTouchEmulationEnabled", enabled=phone)
        wishes = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce" if still else "no-preference",
        }
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.ask("Emulation.setEmulatedMedia", features=features)
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)

    def wait_for_event(self, method: str, *, seconds: float = _ANSWER_SECONDS) -> None:
        """Wait until the page has told of `method`."""
        deadline = time.monotonic() + seconds
        while method not in self.heard:
            self.browser.listen(deadline)

    def evaluate(self, expression: str) -> Any:
        """Give the value of an expression; a promise is awaited."""
        answer = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, *, seconds: float = 15.0) -> Any:
        """Wait until `expression` is true, looking whenever the document changes; gives it.

        The test fails after `seconds`, with what the page shows then.
        """
        value = self.evaluate(
            f"""new Promise((resolve) => {{
              const look = () => {{
                const value = {expression};
                if (value) done(value);
              }};
              const done = (value) => {{
                observer.disconnect();
                clearTimeout(patience);
                resolve(value);
              }};
              const observer = new MutationObserver(look);
              const patience = setTimeout(() => done(null), {seconds * 1000});
              observer.observe(document, {{
                attributes: true, characterData: true, childList: true, subtree: true,
              }});
              look();
            }})"""
        )
        if value is None:
            pytest.fail(f"waited {seconds} s in vain for {expression}; it shows:\n{self.text()}")
        return value

    def text(self, selector: str = "body") -> str:
        """Give the text that is shown of the first element that `selector` finds."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key, and let it go: `Tab`, `Enter`, `Escape` or a character."""
        code = _KEYS.get(key, ord(key[0]))
        text = {"Enter": "\r", "Tab": "", "Escape": ""}.get(key, key)
        common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        kind = "keyDown" if text else "rawKeyDown"
        self.ask("Input.dispatchKeyEvent", type=kind, text=text, **common)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what is shown as PNG; `whole` takes the page to its end."""
        more: dict[str, Any] = {}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            more = {"captureBeyondViewport": True, "clip": {**size, "scale": 1}}
        answer = self.ask("Page.captureScreenshot", format="png", **more)
        path.write_bytes(base64.b64decode(answer["data"]))

    def accessibility(self) -> list[AxNode]:
        """Give the tree that a screen reader gets, in order."""
        nodes = self.ask("Accessibility.getFullAXTree")["nodes"]
        return [_ax_node(node) for node in nodes if not node.get("ignored")]

    def close(self) -> None:
        """End it."""
        self.browser.forget(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AxNode:
    """An element as a screen reader gets it."""

    role: str
    name: str
    properties: Mapping[str, Any]


def _ax_node(node: Mapping[str, Any]) -> AxNode:
    return AxNode(
        role=str(node.get("role", {}).get("value", "")),
        name=str(node.get("name", {}).get("value", "")),
        properties={
            item["name"]: item["value"].get("value") for item in node.get("properties", ())
        },
    )


def find_chromium() -> str:
    """Give the browser's path; the test is skipped where there is none, an error in CI."""
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    if os.environ.get("CI"):
        pytest.fail("there is no Chromium, and CI must not skip")
    pytest.skip("there is no Chromium")


@contextlib.contextmanager
def running_chromium(scratch: Path) -> Iterator[Chromium]:
    """Give a browser with a new profile in `scratch`; it has ended when the block has."""
    program = find_chromium()
    flags = [*_FLAGS, f"--user-data-dir={scratch / 'profile'}"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")
    taking = [sys.executable, "-ISc", _TAKE_PIPES]
    with contextlib.ExitStack() as ends, (scratch / "chromium.log").open("wb") as log:
        theirs_in, ours_out = _pipe(ends)
        ours_in, theirs_out = _pipe(ends)
        process = subprocess.Popen(
            [*taking, str(theirs_in), str(theirs_out), program, *flags],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(scratch), "XDG_CONFIG_HOME": str(scratch)},
        )
        browser = Chromium(process, ours_out, ours_in)
        try:
            # Only the browser holds its ends now, so that ours end with it.
            os.close(theirs_in)
            os.close(theirs_out)
            yield browser
            browser.ask("Browser.close")
            process.wait(timeout=10)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _pipe(ends: contextlib.ExitStack) -> tuple[int, int]:
    """Give both ends of a pipe, neither 3 nor 4, which close with `ends`."""
    lifted = []
    for end in os.pipe():
        lifted.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(end)
        ends.callback(_close, lifted[-1])
    return lifted[0], lifted[1]


def _close(end: int) -> None:
    with contextlib.suppress(OSError):
        os.close(end)
