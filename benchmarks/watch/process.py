"""A watch in a process of its own, and what the kernel and its status page say of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

_PAGE = re.compile(r"status page at (http://\S+?)/?$")
_STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_LOOKS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a process holds at one moment."""

    memory_bytes: int
    files: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchProcess:
    """A running watch, its status page at `url`."""

    pid: int
    url: str

    def get(self, path: str) -> bytes:
        """Fetch a page of it."""
        with urlopen(f"{self.url}{path}", timeout=30) as answer:  # noqa: S310 - our own, on loopback
            body: bytes = answer.read()
        return body

    def status(self) -> Any:
        """Give what it says of itself."""
        return json.loads(self.get("/api/status"))

    def passes(self) -> int:
        """Count the passes that have begun."""
        return int(self.status()["watch"]["passes"])

    def await_rest(self, *, passes: int = 1) -> None:
        """Wait until it rests, and has begun `passes` at least."""

        def rests() -> bool:
            watch = self.status()["watch"]
            return bool(watch["phase"] == "resting" and watch["passes"] >= passes)

        await_true(rests, f"pass {passes} to end")

    def cpu_seconds(self) -> float:
        """Give the CPU time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def use(self) -> Use:
        """Give what it holds now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = dict(line.split(":", 1) for line in status.splitlines())
        return Use(
            memory_bytes=int(found["VmRSS"].split()[0]) * 1024,
            files=min(self._open_files() for _ in range(_LOOKS)),
            threads=int(found["Threads"]),
        )

    def _open_files(self) -> int:
        """Count them; the next look comes later, for a pass under way has some for a moment."""
        time.sleep(_LOOK_SECONDS)
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - Path has no shorter way


def await_true(holds: Callable[[], bool], what: str, *, seconds: float = 600.0) -> None:
    """Look again and again until `holds()`. Raises TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(_LOOK_SECONDS)


@contextmanager
def running_watch(settings: Mapping[str, str]) -> Iterator[WatchProcess]:
    """Run a watch with `settings` as its environment's, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "--watch", "--offline", "--listen", "127.0.0.1:0"],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    # Nobody reads the rest of its log, and a full pipe would hold it.
    rest = threading.Thread(target=process.stderr.read)
    try:
        url = _url_of(process.stderr)
        rest.start()
        yield WatchProcess(pid=process.pid, url=url)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if rest.ident is not None:
            rest.join()
        process.stderr.close()


def _url_of(log: IO[str]) -> str:
    """Read where it shows itself."""
    lines = []
    for line in log:
        lines.append(line)
        if found := _PAGE.search(line.rstrip()):
            return found[1]
    raise RuntimeError(f"the watch ended: {''.join(lines)}")
