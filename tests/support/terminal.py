"""A person at a terminal: `reconcile` on a real one, of a given size, typed at and read from."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.sandbox import Sandbox

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PATIENCE_SECONDS = 20.0


@dataclass
class Terminal:
    """One command at work on a terminal; `seen` is all it has printed so far, as it came."""

    process: subprocess.Popen[bytes]
    handle: int
    seen: str = field(default="")

    def type(self, keys: str) -> None:
        """Type some keys: also those that a terminal makes Ctrl-C (3) and Ctrl-D (4) of."""
        os.write(self.handle, keys.encode())

    def wait_for(self, text: str) -> None:
        """Read until `text` has been printed."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while text not in self.seen:
            assert self._read(deadline), f"{text!r} never came:\n{self.seen}"

    def end(self) -> int:
        """Read until the command ends, and give its exit code."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._read(deadline):
            pass
        return self.process.wait(timeout=_PATIENCE_SECONDS)

    def lines(self) -> list[str]:
        """Give every line that was ever drawn, without colours and movements."""
        return [line.rstrip() for line in re.split(r"[\r\n]+", _ESCAPES.sub("", self.seen))]

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.handle], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"nothing more came in time:\n{self.seen}"
        try:
            data = os.read(self.handle, 65536)
        except OSError:  # how a terminal says that its last user has gone
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)


@contextmanager
def at_terminal(
    host: Sandbox,
    *arguments: str,
    columns: int = 80,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Terminal]:
    """Start `reconcile` with a terminal for stdin, stdout and stderr; stopped at the end."""
    handle, other = os.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {
        **host.environment(),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **(settings or {}),
    }
    process = subprocess.Popen(
        # Only with a terminal of its own does Ctrl-C reach the command, and nobody else.
        ["setsid", "--ctty", sys.executable, "-m", "reconciler", *arguments],
        cwd=host.home,
        env=environment,
        stdin=other,
        stdout=other,
        stderr=other,
    )
    os.close(other)
    try:
        yield Terminal(process=process, handle=handle)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        os.close(handle)
