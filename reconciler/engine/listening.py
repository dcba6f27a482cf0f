"""Who hears what a watch does: the status page, the metrics, systemd, who is to be notified."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from reconciler.core.watching import Pause, Reason

if TYPE_CHECKING:
    from reconciler.engine.prepared import Prepared
    from reconciler.engine.run import RunResult
    from reconciler.errors import ReconcilerError


class Listener(Protocol):
    """Hears what a watch does, in its thread. It returns at once, and never raises."""

    def began(self, reason: Reason) -> None:
        """A pass begins."""

    def planned(self, prepared: Prepared) -> None:
        """It has a plan, and nothing is done yet."""

    def ended(self, result: RunResult) -> None:
        """A run of it came to its end, whatever its outcome; a pass may have two runs."""

    def failed(self, error: ReconcilerError) -> None:
        """It ended by an error."""

    def rests(self, seconds: float, pause: Pause | None) -> None:
        """There is nothing to do for `seconds`, unless something changes."""


class Listeners:
    """Several listeners as one."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)

    def began(self, reason: Reason) -> None:
        """A pass begins."""
        for listener in self._listeners:
            listener.began(reason)

    def planned(self, prepared: Prepared) -> None:
        """It has a plan."""
        for listener in self._listeners:
            listener.planned(prepared)

    def ended(self, result: RunResult) -> None:
        """A run of it came to its end."""
        for listener in self._listeners:
            listener.ended(result)

    def failed(self, error: ReconcilerError) -> None:
        """It ended by an error."""
        for listener in self._listeners:
            listener.failed(error)

    def rests(self, seconds: float, pause: Pause | None) -> None:
        """There is nothing to do."""
        for listener in self._listeners:
            listener.rests(seconds, pause)
