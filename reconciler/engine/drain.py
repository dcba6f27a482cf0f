"""Wait for the requests in flight, before anything is changed that would cut them.

Nothing has been changed yet, so that an interrupt may come at any time.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.drain import Reach
from reconciler.core.observed import RuntimeStatus
from reconciler.core.ports.serving import Server
from reconciler.engine.host import Host
from reconciler.errors import ServerUnreachable

_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainResult:
    """How long was waited, and how many requests were still in flight then.

    `spent_seconds` is how much of the host's patience that took, with what was waited before it.
    """

    waited_seconds: float = 0.0
    left: int = 0
    spent_seconds: float = 0.0


def drain(host: Host, reach: Reach | None, *, before: DrainResult | None = None) -> DrainResult:
    """Wait until no request of `reach` is in flight, or the host's patience is over.

    It is one patience for a drain and those that came `before` it. What cannot be seen counts as
    idle. Raises `RuntimeUnavailable`.
    """
    state = host.runtime.observe()
    if reach is None or state.url is None or state.status is RuntimeStatus.STOPPED:
        return DrainResult()
    sight = _Sight(host.open_server(state.url), reach)
    try:
        left = sight.look()
    except ServerUnreachable as error:
        host.reporter.warn(f"{error.message}: what is in flight cannot be seen, so none waited for")
        return DrainResult()
    if left:
        limit = "" if host.patience.waits_on else f", for {host.patience.seconds:g} s at most"
        host.reporter.say(f"waiting for {_requests(left)} in flight to end{limit}")
    began = host.clock.monotonic()
    waited, earlier = 0.0, before.spent_seconds if before is not None else 0.0
    while left and (host.patience.waits_on or earlier + waited < host.patience.seconds):
        host.clock.sleep(_POLL_SECONDS)
        try:
            left = sight.look()
        except ServerUnreachable:
            # It was there, and does not answer in time: it is at work, or it has ended.
            left = left if host.runtime.observe().status is not RuntimeStatus.STOPPED else 0
        waited = host.clock.monotonic() - began
    if left:
        spent = earlier + waited
        host.reporter.warn(f"{_requests(left)} did not end within {spent:.0f} s, and will be cut")
    return DrainResult(waited_seconds=waited, left=left, spent_seconds=earlier + waited)


class _Sight:
    """What can be seen of one server's requests: by its own count, else by its models' slots."""

    def __init__(self, server: Server, reach: Reach) -> None:
        self._server = server
        self._reach = reach
        self._counts = True

    def look(self) -> int:
        """Count the requests, or, where none are told of, the models at work.

        Raises `ServerUnreachable`.
        """
        if self._counts:
            requests = self._server.in_flight()
            if requests is not None:
                return self._reach.count(requests)
            # It will not begin to tell; asking again would cost some seconds each time.
            self._counts = False
        return sum(
            self._is_busy(model.id)
            for model in self._server.running()
            if model.state == "ready" and self._reach.covers(model.id)
        )

    def _is_busy(self, model: str) -> bool:
        try:
            return self._server.is_busy(model) is True
        except ServerUnreachable:
            # A model's server that reads a long prompt does not answer until it has read it.
            return True


def _requests(count: int) -> str:
    return f"{count} request{'s' if count != 1 else ''}"
