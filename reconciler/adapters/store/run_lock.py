"""One run at a time, and one watch: locks that end with the process that holds them."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from reconciler.adapters.base.files import own_like, translated
from reconciler.adapters.base.whole_file import read_whole
from reconciler.core.ports.clock import Clock
from reconciler.core.ports.reporting import Reporter
from reconciler.errors import LockHeld

_POLL_SECONDS = 0.1


class RunLock:
    """Holds `run.lock` in the state folder while it is entered.

    The kernel lets go of the lock when the process ends, however it ends: the file that stays
    behind is no lock. It tells who holds it: process, host and start. Whoever has to wait for it is
    told so at once.

    Raises:
        LockHeld: another process held it for longer than `timeout_seconds`.
    """

    name = "run.lock"
    held = "another run is at work on this models folder"
    hint = "wait for it to end, or give it longer with --lock-timeout SECONDS"

    def __init__(
        self, folder: Path, *, timeout_seconds: float, clock: Clock, reporter: Reporter
    ) -> None:
        self._path = folder / self.name
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._reporter = reporter
        self._handle = -1

    def __enter__(self) -> Self:
        began = self._clock.monotonic()
        waits = False
        while not self._try():
            if self._clock.monotonic() - began >= self._timeout_seconds:
                raise LockHeld(f"{self.held}: {self._holder()}", hint=self.hint)
            if not waits:
                limit = f"--lock-timeout {self._timeout_seconds:g} s"
                self._reporter.say(f"waiting for {self._holder()} ({limit})")
                waits = True
            self._clock.sleep(_POLL_SECONDS)
        # Who holds it is only told to people: a full disk is no reason not to run.
        with suppress(OSError):
            self._sign(self._clock.now())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)

    def _try(self) -> bool:
        """Take the lock if it is free. Opened anew each time: somebody may delete the file."""
        with translated(self._path, "locking"):
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return False
            except BaseException:
                os.close(handle)
                raise
        self._handle = handle
        return True

    def _sign(self, now: datetime) -> None:
        own_like(self._path, self._path.parent)
        since = now.isoformat(timespec="seconds")
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "started_at": since}
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, json.dumps(owner).encode() + b"\n", 0)

    def _holder(self) -> str:
        try:
            owner = json.loads(read_whole(self._path))
            return f"process {owner['pid']} on {owner['host']} since {owner['started_at']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "a process that has not said its name yet"


class WatchLock(RunLock):
    """Holds `watch.lock` in `folder` in the same way: two watches would undo each other's work."""

    name = "watch.lock"
    held = "another watch keeps this models folder"
    hint = "one is enough: leave it to that one, or stop it first"
