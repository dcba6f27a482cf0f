"""Where a watch has its place: the lock that keeps it the only one, and the pause people order."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.adapters.store.pause_file import PauseFile, make_watch_folder
from reconciler.adapters.store.run_lock import WatchLock
from reconciler.adapters.system_clock import SystemClock, local_zone
from reconciler.cli.keeping import find_state
from reconciler.cli.settings import Settings
from reconciler.cli.wiring import find_models_dir
from reconciler.core.ports.reporting import Reporter
from reconciler.core.reading.pause_text import in_words
from reconciler.core.watching import Pause
from reconciler.errors import LockHeld, ReconcilerError


def make_state(settings: Settings, reporter: Reporter) -> Path:
    """Find the state folder by the settings, and make it where it is missing.

    Raises:
        UsageError: the models folder is not known.
        ReconcilerError: it cannot be looked at, or what belongs into it cannot be written.
    """
    return find_state(ModelsFolder(find_models_dir(settings, reporter)), settings, make=True)


def held_pause(state: Path, reporter: Reporter) -> Pause | None:
    """Give the pause that holds now."""
    pause = PauseFile(state, reporter).read()
    return None if pause is None or pause.is_over(SystemClock().now()) else pause


def words_of(pause: Pause, settings: Settings) -> str:
    """Say until when it lasts, and who ordered it."""
    words = in_words(pause, now=SystemClock().now(), zone=local_zone(settings.environment))
    return f"{words}, by {pause.by}" if pause.by else words


def tell_of_pause(state: Path, settings: Settings, reporter: Reporter) -> None:
    """Say to whoever works by hand that the watch will not."""
    pause = held_pause(state, reporter)
    if pause is not None:
        reporter.say(f"the watch is paused {words_of(pause, settings)}")


class _Muted:
    """A reporter whose words nobody needs: the pass that comes says the same."""

    def __init__(self, reporter: Reporter) -> None:
        self.task = reporter.task
        self.batch = reporter.batch

    def say(self, message: str) -> None:
        """Leave it."""

    def warn(self, message: str, hint: str = "") -> None:
        """Leave it."""


class WatchPost:
    """The one place of a watch, held while it is entered.

    Where it lies is asked of the container, if nobody names the models folder; until that answers,
    the place is not held, and it is asked again at each look.
    """

    def __init__(self, reporter: Reporter) -> None:
        """`folder` is what to watch for pauses, None while it is not known."""
        self._reporter = reporter
        self._held = ExitStack()
        self._settings: Settings | None = None
        self._pauses: PauseFile | None = None
        self._was_paused: Pause | None = None
        self.folder: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()

    def take(self, settings: Settings) -> None:
        """Hold the place these settings lead to, in place of the one that is held.

        Raises:
            LockHeld: another watch has it; what was held stays held.
        """
        try:
            self.keep(make_state(settings, _Muted(self._reporter)))
        except LockHeld:
            raise
        except ReconcilerError:
            # The pass that comes has the words for it.
            pass
        self._settings = settings

    def keep(self, state: Path) -> None:
        """Hold the place in this state folder, in place of the one that is held.

        A container that is made anew may have its models elsewhere than the one before.

        Raises:
            LockHeld: another watch has it; what was held stays held.
            ReconcilerError: what belongs there cannot be written.
        """
        folder = make_watch_folder(state)
        if folder == self.folder:
            return
        lock = WatchLock(folder, timeout_seconds=0, clock=SystemClock(), reporter=self._reporter)
        with ExitStack() as held:
            held.enter_context(lock)
            self._held.close()
            self._held = held.pop_all()
        self.folder = folder
        self._pauses = PauseFile(state, self._reporter)

    def paused(self) -> Pause | None:
        """Give the pause that holds now; its begin and its end are told once. Raises `LockHeld`."""
        if self._settings is not None and self.folder is None:
            self.take(self._settings)
        pause = self._pauses.read() if self._pauses is not None else None
        if pause is not None and pause.is_over(SystemClock().now()):
            pause = None
        if pause != self._was_paused and self._settings is not None:
            told = "resumed" if pause is None else f"paused {words_of(pause, self._settings)}"
            self._reporter.say(told)
            self._was_paused = pause
        return pause
