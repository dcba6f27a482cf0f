"""Who is notified of a watch's runs: wires what is told, and when, to how it is sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from socket import gethostname
from typing import TYPE_CHECKING

from reconciler.adapters.notify import CommandSender, Notifier, Sender, WebHookSender
from reconciler.adapters.system_clock import SystemClock
from reconciler.cli.settings import Settings
from reconciler.core.notice import Notice, Notices, notice_to_json
from reconciler.core.ports.reporting import Reporter
from reconciler.core.watching import Pause, Reason

if TYPE_CHECKING:
    from reconciler.engine.prepared import Prepared
    from reconciler.engine.run import RunResult
    from reconciler.errors import ReconcilerError


class WatchNotices:
    """Has people told what `Notices` decides, as a `Listener`; to nobody until `to` says to whom.

    What was told is known for as long as this lives, whatever settings come and go.
    """

    def __init__(self) -> None:
        self._notices = Notices()
        self._notifier: Notifier | None = None
        self._on: tuple[str, ...] = ()

    @contextmanager
    def to(self, settings: Settings, reporter: Reporter) -> Iterator[None]:
        """Tell whom these settings name while the block runs; what is left then gets 3 s."""
        with ExitStack() as open_ones:
            senders = list(_senders(settings, open_ones))
            if senders:
                self._notifier = open_ones.enter_context(Notifier(senders, reporter=reporter))
            self._on = settings.notify_on
            try:
                yield
            finally:
                self._notifier = None

    def began(self, reason: Reason) -> None:
        """Nobody is told that a pass begins."""

    def planned(self, prepared: Prepared) -> None:
        """Nobody is told what is planned."""

    def ended(self, result: RunResult) -> None:
        """Tell what came of a run, if it is news."""
        prepared = result.prepared
        self._send(
            self._notices.of_run(
                result.report,
                stalled=prepared.plan.stalled,
                held=prepared.held,
                at_seconds=time.monotonic(),
            )
        )

    def failed(self, error: ReconcilerError) -> None:
        """Tell that a pass failed, if it is news."""
        self._send(self._notices.of_error(error, at_seconds=time.monotonic()))

    def rests(self, seconds: float, pause: Pause | None) -> None:
        """Nobody is told of rest."""

    def _send(self, notice: Notice | None) -> None:
        if notice is not None and self._notifier is not None and notice.event in self._on:
            self._notifier.send(notice_to_json(notice, host=gethostname(), at=datetime.now(UTC)))


def _senders(settings: Settings, open_ones: ExitStack) -> Iterator[Sender]:
    if settings.notify_command:
        yield CommandSender(settings.notify_command, environ=settings.environment)
    if settings.notify_url:
        # Loading the library takes long; this waits for a watch that needs it.
        from reconciler.adapters.base.http import HttpClient

        client = HttpClient(clock=SystemClock())
        yield WebHookSender(settings.notify_url, open_ones.enter_context(client))
