"""Tell people through a command or a web hook, without ever holding up who has the news."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import Full, Queue
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Final, Protocol, Self

from reconciler.adapters.base.commands import (
    end_command,
    environment_for_commands,
    how_it_ended,
    run_command,
)
from reconciler.adapters.base.http import HttpClient
from reconciler.core.ports.reporting import Reporter
from reconciler.errors import ReconcilerError

# How long a web hook and a command have, each for all that it does.
NOTIFY_SECONDS: Final = 10.0
# What waits to be sent when the watch ends still gets so long.
_LEAVING_SECONDS: Final = 3.0
_MOST_WAITING: Final = 32
# A longer one would not fit into the environment of a process.
_LONGEST_VALUE: Final = 32_000


class Sender(Protocol):
    """One way to tell. `send` raises ReconcilerError; `abandon` may be called meanwhile."""

    def send(self, notice: Mapping[str, Any]) -> None:
        """Tell; raises ReconcilerError if it cannot be told."""

    def abandon(self) -> None:
        """Give up what is being told, and tell nothing more."""


class CommandSender:
    """Runs a command for each notice: JSON on stdin, and RECONCILER_NOTICE_* in its environment.

    Of our environment it sees what other commands see, and so no token.
    """

    def __init__(self, words: tuple[str, ...], *, environ: Mapping[str, str]) -> None:
        self._words = words
        self._environ = environment_for_commands(environ)
        self._guard = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._abandoned = False

    def send(self, notice: Mapping[str, Any]) -> None:
        """Run the command, 10 s at most."""
        try:
            code, output = run_command(
                self._words,
                environ={**self._environ, **_as_variables(notice)},
                timeout_seconds=NOTIFY_SECONDS,
                told=json.dumps(notice).encode() + b"\n",
                started=self._started,
            )
        except subprocess.TimeoutExpired:
            raise _failed("the command", f"did not end within {NOTIFY_SECONDS:g} s") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise _failed("the command", f"cannot be run: {reason}") from error
        if code:
            raise _failed("the command", how_it_ended(code, output))

    def abandon(self) -> None:
        """End the command that runs."""
        with self._guard:
            self._abandoned = True
            process = self._process
        if process is not None and process.poll() is None:
            end_command(process)

    def _started(self, process: subprocess.Popen[bytes]) -> None:
        with self._guard:
            self._process = process
            if self._abandoned:
                raise _failed("the command", "was given up")


class WebHookSender:
    """Posts each notice as JSON. The URL may hold a secret, and is never repeated."""

    def __init__(self, url: str, client: HttpClient) -> None:
        self._url = url
        self._client = client

    def send(self, notice: Mapping[str, Any]) -> None:
        """Post the notice, 10 s at most; an answer that is no success counts as failure."""
        try:
            status = self._client.post(
                self._url,
                json.dumps(notice).encode(),
                content_type="application/json",
                within_seconds=NOTIFY_SECONDS,
            )
        except ReconcilerError as error:
            raise _failed("the web hook", error.message) from None
        if not 200 <= status < 300:
            raise _failed("the web hook", f"answered {status}")

    def abandon(self) -> None:
        """Nothing: what is on its way ends with the process."""


class Notifier:
    """Sends notices from a thread of its own, in their order, while it is entered.

    That one cannot be sent is told to `reporter` once, until one can be sent again.
    """

    def __init__(
        self,
        senders: Sequence[Sender],
        *,
        reporter: Reporter,
        leaving_seconds: float = _LEAVING_SECONDS,
    ) -> None:
        """`leaving_seconds` is what those that wait at the end get to be sent."""
        self._senders = tuple(senders)
        self._leaving_seconds = leaving_seconds
        self._reporter = reporter
        self._waiting: Queue[Mapping[str, Any] | None] = Queue(_MOST_WAITING)
        self._ends, self._given_up = Event(), Event()
        self._told: set[str] = set()
        self._thread = Thread(target=self._run, name="notify", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.set()
        with suppress(Full):
            # Where there is no room the thread is not waiting for anything either.
            self._waiting.put_nowait(None)
        self._thread.join(self._leaving_seconds)
        if self._thread.is_alive():
            self._given_up.set()
            for sender in self._senders:
                sender.abandon()

    def send(self, notice: Mapping[str, Any]) -> None:
        """Have a notice sent. Returns at once, and never raises."""
        try:
            self._waiting.put_nowait(notice)
        except Full:
            self._tell("there are too many of them", "")

    def _run(self) -> None:
        # What waits when the end is asked for is sent first, as long as there is time.
        while not (self._given_up.is_set() or (self._ends.is_set() and self._waiting.empty())):
            notice = self._waiting.get()
            if notice is not None:
                self._send(notice)

    def _send(self, notice: Mapping[str, Any]) -> None:
        failed = False
        for sender in self._senders:
            try:
                sender.send(notice)
            except ReconcilerError as error:
                failed = True
                self._tell(error.message, error.hint)
            except Exception as error:  # noqa: BLE001 - a thread that dies would be missed by nobody
                failed = True
                self._tell(f"{type(error).__name__}", "")
        if not failed:
            self._told.clear()

    def _tell(self, problem: str, hint: str) -> None:
        if problem not in self._told:
            self._told.add(problem)
            self._reporter.warn(f"people cannot be notified: {problem}", hint)


def _failed(what: str, why: str) -> ReconcilerError:
    setting = "RECONCILER_NOTIFY_COMMAND" if what == "the command" else "RECONCILER_NOTIFY_URL"
    return ReconcilerError(f"{what} {why}", hint=f"look at {setting}, and try it by hand")


def _as_variables(notice: Mapping[str, Any]) -> dict[str, str]:
    """Give a notice as environment variables; lists are joined by commas."""
    found = {}
    for name, value in notice.items():
        text = ",".join(value) if isinstance(value, list) else str(value)
        # No variable can hold a NUL.
        found[f"RECONCILER_NOTICE_{name.upper()}"] = text.replace("\0", "")[:_LONGEST_VALUE]
    return found
