"""A service manager: hears what a process tells of itself by systemd's notify protocol."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

_LONGEST_SECONDS = 60.0


class Manager:
    """Keeps every datagram, as names and values; to be entered. `named` is its NOTIFY_SOCKET."""

    def __init__(self, named: str) -> None:
        self.named = named
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + named[1:] if named.startswith("@") else named)
        self._socket.settimeout(_LONGEST_SECONDS)
        self.heard: list[dict[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def hear(self, *, seconds: float = _LONGEST_SECONDS) -> dict[str, str] | None:
        """Give the next datagram; None where none comes in time."""
        self._socket.settimeout(seconds)
        try:
            lines = self._socket.recv(4096).decode().splitlines()
        except TimeoutError:
            return None
        told = dict(line.split("=", 1) for line in lines)
        self.heard.append(told)
        return told

    def wait_for(self, name: str, value: str) -> dict[str, str]:
        """Hear until something is told of `name` that holds `value`; gives all that was told."""
        until = time.monotonic() + _LONGEST_SECONDS
        while time.monotonic() < until and (told := self.hear()) is not None:
            if value in told.get(name, "\n"):
                return told
        pytest.fail(f"{name}={value} was never told; heard {self.heard[-20:]}")


@contextmanager
def listening(folder: Path) -> Iterator[Manager]:
    """Give a manager with its socket in `folder`, whose path must be a short one."""
    with Manager(str(folder / "notify")) as manager:
        yield manager


def abstract_name() -> str:
    """Give a name for a socket that lies in no folder."""
    return f"@reconciler-test-{os.getpid()}-{threading.get_ident()}"
