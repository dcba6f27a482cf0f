"""What operates a watch: its log, its signs of life, systemd, and who is notified."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from reconciler.adapters.systemd import ServiceManager
from reconciler.cli.console import Console
from reconciler.cli.settings import Settings
from reconciler.cli.watching.log import WatchLog
from reconciler.cli.watching.notices import WatchNotices
from reconciler.cli.watching.pulse import BeatingClock, Pulse
from reconciler.cli.watching.repeats import Repeats
from reconciler.cli.watching.service import WatchService
from reconciler.engine.listening import Listener


class Operation:
    """Lives as long as a watch, whatever settings come and go; to be entered.

    `console` is what the passes tell people by, `clock` what they wait by, and `listeners` are to
    hear of them, in this order.
    """

    def __init__(self, console: Console, *, tells_all: bool) -> None:
        self.pulse = Pulse()
        self.clock = BeatingClock(self.pulse)
        self.console = Repeats(console)
        self._notices = WatchNotices()
        self._service = WatchService(ServiceManager(os.environ), self.pulse)
        # The last to hear is the one that takes it as a sign of life: the others returned.
        self.listeners: tuple[Listener, ...] = (
            self.console,
            WatchLog(console, tells_all=tells_all),
            self._service,
            self._notices,
            self.pulse,
        )
        console.show_also(self.pulse)

    def __enter__(self) -> Self:
        self._service.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._service.__exit__(kind, error, trace)

    @contextmanager
    def under(self, settings: Settings) -> Iterator[None]:
        """Run with these settings, until the block ends to read them again."""
        with self._notices.to(settings, self.console):
            yield
        self._service.reloading()

    def ready(self) -> None:
        """The watch is on."""
        self._service.ready()
