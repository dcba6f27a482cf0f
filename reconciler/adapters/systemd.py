"""systemd's notify protocol: a service tells its manager how it is, by datagrams.

`sd_notify(3)` describes it: lines of NAME=VALUE, sent to the socket that `NOTIFY_SOCKET` names.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

# A status is one line, and what is longer helps nobody.
_LONGEST_STATUS: Final = 300


class ServiceManager:
    """Who is told how this process is; nobody where `NOTIFY_SOCKET` is not set. Never raises."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = _watchdog_seconds(environ) if self._address else None

    def ready(self) -> None:
        """It is up, or has read its settings again."""
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """Say in one line what it does; `systemctl status` shows it."""
        line = "".join(sign if sign.isprintable() else " " for sign in text)[:_LONGEST_STATUS]
        self._tell(f"STATUS={line}")

    def reloading(self) -> None:
        """It reads its settings again; `ready` must follow."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It comes to its end."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """It is well; due every `watchdog_seconds` at the latest, unless that is None."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        # Whoever does not listen must not hold up who only tells.
        flags = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with suppress(OSError), socket.socket(socket.AF_UNIX, flags) as teller:
            teller.sendto("\n".join(lines).encode(), self._address)


def _address(named: str) -> bytes | None:
    """Give the socket's address; the one of an abstract socket is written with an @."""
    if named.startswith("@"):
        return b"\0" + os.fsencode(named[1:])
    return os.fsencode(named) if named.startswith("/") else None


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """Give how often signs of life are expected; None where this process is not asked for any."""
    told, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (told.isascii() and told.isdecimal()) or (pid and pid != str(os.getpid())):
        return None
    return int(told) / 1e6 or None
