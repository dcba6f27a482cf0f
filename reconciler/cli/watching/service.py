"""A watch as a systemd service: it says how it is, and that it lives for as long as it does."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Event, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Self

from reconciler.adapters.systemd import ServiceManager
from reconciler.cli.watching.pulse import Pulse
from reconciler.core.watching import Pause, Reason

if TYPE_CHECKING:
    from reconciler.engine.prepared import Prepared
    from reconciler.engine.run import RunResult
    from reconciler.errors import ReconcilerError


class WatchService:
    """Tells the service manager what a watch does, as a `Listener`, while it is entered.

    Signs of life are sent from a thread of its own, and only while `pulse` misses none: a watch
    that hangs is then restarted, and one that downloads for hours is not.
    """

    def __init__(self, manager: ServiceManager, pulse: Pulse) -> None:
        self._manager = manager
        self._pulse = pulse
        self._last = ""
        self._ends = Event()
        self._thread = Thread(target=self._tell_of_life, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        if self._manager.watchdog_seconds is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._manager.stopping()
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join()

    def ready(self) -> None:
        """The watch is on, with the settings it has now. Its first pass may take hours."""
        self._pulse.beat()
        self._manager.ready()

    def reloading(self) -> None:
        """The settings are read again; `ready` follows."""
        self._manager.reloading()

    def began(self, reason: Reason) -> None:
        """Say that a pass runs, and why."""
        self._manager.status(f"working: {reason}")

    def planned(self, prepared: Prepared) -> None:
        """Say what it is about to do."""
        summary = prepared.plan.summary
        parts = [
            f"{len(keys)} to {verb}"
            for verb, keys in (
                ("add", summary.added),
                ("update", summary.updated),
                ("remove", summary.removed),
            )
            if keys
        ]
        if parts:
            self._manager.status(f"working: {', '.join(parts)}")

    def ended(self, result: RunResult) -> None:
        """Keep in mind how it ended."""
        report = result.report
        failed = f", {len(report.failed)} failed" if report.failed else ""
        self._last = f"{report.outcome}{failed} at {_clock(datetime.now().astimezone())}"

    def failed(self, error: ReconcilerError) -> None:
        """Keep in mind that it failed."""
        now = _clock(datetime.now().astimezone())
        self._last = f"failed at {now}: {error.message.splitlines()[0]}"

    def rests(self, seconds: float, pause: Pause | None) -> None:
        """Say until when there is nothing to do, and how the last pass ended."""
        now = datetime.now().astimezone()
        if pause is None:
            what = f"resting, next look at {_clock(now + timedelta(seconds=seconds))}"
        elif pause.until is None:
            what = "paused without an end"
        else:
            what = f"paused until {pause.until.astimezone():%Y-%m-%d %H:%M}"
        self._manager.status(f"{what}; last: {self._last}" if self._last else what)

    def _tell_of_life(self) -> None:
        expected = self._manager.watchdog_seconds
        # Half of what is expected, so that one that comes late is early enough.
        while expected is not None and not self._ends.wait(expected / 2):
            if not self._pulse.overdue_seconds():
                self._manager.alive()


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}"
