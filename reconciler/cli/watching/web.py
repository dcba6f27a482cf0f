"""The status page of a watch: what it is told, and where it is shown."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from reconciler import __version__
from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.adapters.system_clock import SystemClock
from reconciler.cli.console import Console
from reconciler.cli.keeping import open_kept
from reconciler.cli.model_status import State
from reconciler.cli.quantities import Address
from reconciler.cli.settings import Settings
from reconciler.cli.watching.board import Board
from reconciler.cli.watching.pulse import Pulse
from reconciler.core.runs import IN_VAIN, Outcome, RunReport
from reconciler.core.watching import Pause, Reason
from reconciler.errors import ReconcilerError, Refused, UsageError

if TYPE_CHECKING:
    from reconciler.adapters.web.metrics import Metrics, Standing
    from reconciler.adapters.web.server import WebServer
    from reconciler.engine.listening import Listener
    from reconciler.engine.prepared import Prepared
    from reconciler.engine.run import RunResult

# A rest ends with a look, which may begin with a pull that a slow remote draws out.
_OVERDUE_SECONDS: Final = 90.0
# A watch at rest looks every few minutes: that would soon be all that there is to see.
_TELLING: Final = frozenset(Outcome) - IN_VAIN


class WatchWeb:
    """Shows a watch where the settings say, while it is entered; it lives across their changes.

    Without `--listen` there are no `pages`, nothing is kept, and nothing imported.
    """

    def __init__(self, console: Console, pulse: Pulse) -> None:
        self._console = console
        self._pulse = pulse
        self.pages: Pages | None = None
        self._server: WebServer | None = None
        self._address: Address | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Whom the watch is to tell what it does."""
        return self.pages.listeners if self.pages is not None else ()

    def take(self, settings: Settings) -> None:
        """Show it where these settings say. Where that is as before, nobody is cut off.

        Raises:
            UsageError: it cannot listen there; all is as before then.
        """
        address = settings.listen
        if address is not None and self.pages is None:
            self.pages = Pages(settings, self._console, self._pulse)
            self._console.show_also(self.pages.board.work)
        if self.pages is None:
            return
        if address is None:
            self._close()
        elif address != self._address:
            self._move(address, self.pages)
        self.pages.take(settings)

    def _move(self, address: Address, pages: Pages) -> None:
        before = self._address
        try:
            server = self._open(address, pages)
        except UsageError:
            # Where it listens now may be in the way, as 127.0.0.1 is in that of 0.0.0.0.
            if before is None or before.port != address.port:
                raise
            self._close()
            try:
                server = self._open(address, pages)
            except UsageError:
                self._server, self._address = self._open(before, pages), before
                raise
        else:
            self._close()
        self._server, self._address = server, address

    def _open(self, address: Address, pages: Pages) -> WebServer:
        from reconciler.adapters.web.server import WebServer

        server = WebServer(address.host, address.port, shown=pages, reporter=self._console)
        self._console.say(f"status page at {server.url}")
        if not server.is_local:
            self._console.warn(
                f"whoever reaches {server.url} may read which models are here and what is done; "
                "nothing can be changed there, and nobody is asked for a password",
                "listen on 127.0.0.1 if that is not wanted, and put a proxy before it that asks",
            )
        return server

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server = self._address = None


class Pages:
    """What the server shows, and a listener that hears it."""

    def __init__(self, settings: Settings, console: Console, pulse: Pulse) -> None:
        from reconciler.adapters.web.metrics import Metrics

        self._settings = settings
        self._console = console
        self._pulse = pulse
        self.board = Board(
            manifest=settings.manifest, clock=SystemClock(), read_runs=self._read_runs
        )
        self._metrics = Metrics(version=__version__, standing=self._standing)
        self.listeners: tuple[Listener, ...] = (self.board, _Counting(self._metrics))

    def take(self, settings: Settings) -> None:
        """Show a watch with these settings from now on."""
        self._settings = settings
        self.board.manifest = settings.manifest

    def status(self) -> bytes:
        """All of it, as one JSON object."""
        return self.board.status()

    def health(self) -> tuple[bool, str]:
        """Whether the watch moves."""
        overdue = self._pulse.overdue_seconds()
        if overdue <= _OVERDUE_SECONDS:
            return True, "ok"
        return False, f"no sign of life from the watch, which was due {overdue:.0f} s ago"

    def readiness(self) -> tuple[bool, str]:
        """Whether what is declared was applied."""
        return self.board.readiness()

    def metrics(self) -> bytes:
        """The numbers."""
        return self._metrics.text()

    def _standing(self) -> Standing:
        from reconciler.adapters.web.metrics import Standing

        board = self.board
        count = Counter(model.state for model in board.models())
        return Standing(
            models={state: count[state] for state in State},
            work_left_bytes=board.work.bytes_left(),
            last_success_at=_seconds(board.last_good_at),
            next_look_at=_seconds(board.next_at),
            is_paused=board.is_paused,
        )

    def _read_runs(self, models_dir: str | None, count: int) -> Sequence[RunReport]:
        """Give the newest run, and before it those that did or met something."""
        folder = models_dir or self._settings.models_dir
        if folder is None:
            # The container knows; the first pass will ask it.
            return ()
        with open_kept(
            ModelsFolder(Path(folder)),
            self._settings,
            self._console,
            for_writing=False,
            check=False,
        ) as kept:
            newest = kept.inventory.last_runs(1)
            telling = kept.inventory.last_runs(count, outcomes=_TELLING)
            return (*newest, *(run for run in telling if run not in newest))[:count]


class _Counting:
    """Has what a watch does counted: a `Listener`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._began_at = 0.0

    def began(self, reason: Reason) -> None:
        """A pass begins."""
        self._began_at = time.monotonic()
        self._metrics.count_pass(reason)

    def planned(self, prepared: Prepared) -> None:
        """What is planned is no deed yet."""

    def ended(self, result: RunResult) -> None:
        """A run of it came to its end."""
        self._metrics.count_run(result.report)

    def failed(self, error: ReconcilerError) -> None:
        """It ended by an error, of which no report tells."""
        outcome = Outcome.REFUSED if isinstance(error, Refused) else Outcome.FAILED
        self._metrics.count_end(outcome, seconds=time.monotonic() - self._began_at)

    def rests(self, seconds: float, pause: Pause | None) -> None:
        """Nothing happens."""


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None
