"""A watch's console: what each pass would say again is said once, until it changes or is gone."""

from __future__ import annotations

from contextlib import AbstractContextManager
from threading import Lock
from typing import TYPE_CHECKING, Any

from reconciler.cli.console import Console
from reconciler.cli.work import Batch
from reconciler.core.ports.reporting import Progress
from reconciler.core.runs import Outcome
from reconciler.core.sameness import sameness
from reconciler.core.watching import Pause, Reason

if TYPE_CHECKING:
    from reconciler.engine.prepared import Prepared
    from reconciler.engine.run import RunResult
    from reconciler.errors import ReconcilerError

# Behind these stands somebody who did something, and wants to hear what comes of it.
_ASKED = frozenset({Reason.START, Reason.MANIFEST, Reason.LOCK, Reason.RESUMED})
# A series of failures of one is no series: what was applied after it speaks for itself.
_SERIES = 2


class Repeats:
    """The `Reporter` that the passes of a watch have; it hears of them as a `Listener`.

    Told once are warnings, and what is said while a pass looks; what is said while one carries its
    plan out, and what is said between passes, is told each time. A pass that somebody asked for, by
    an edit of the manifest, tells everything anew. Safe to use from several threads.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._guard = Lock()
        self._told: set[str] = set()
        self._met: set[str] = set()
        self._in_pass = False
        self._carries_out = False
        self._saw_everything = False
        self._failures = 0

    def say(self, message: str) -> None:
        """One line worth knowing."""
        if self._carries_out or self._is_new(message):
            self._console.say(message)

    def warn(self, message: str, hint: str = "") -> None:
        """One line that a person should act on, and the next step."""
        if self._is_new(message, hint):
            self._console.warn(message, hint)

    def count_as_told(self, message: str, hint: str = "") -> None:
        """Say nothing, nor in the passes that follow: people were shown it otherwise."""
        self._is_new(message, hint)

    def fail(self, message: str, hint: str) -> None:
        """As `Console.fail`."""
        self._console.fail(message, hint)

    def print_once(self, text: str) -> None:
        """Print text on stdout, unless the pass before has printed the same."""
        if self._is_new("printed", text):
            print(text, end="", flush=True)

    def take_down(self) -> None:
        """As `Console.take_down`."""
        self._console.take_down()

    def task(self, doing: str, name: str, size_bytes: int) -> AbstractContextManager[Progress]:
        """As `Console.task`."""
        return self._console.task(doing, name, size_bytes)

    def batch(self, files: int, size_bytes: int) -> AbstractContextManager[Batch]:
        """As `Console.batch`."""
        return self._console.batch(files, size_bytes)

    def event(self, message: str, **more: Any) -> None:
        """As `Console.event`."""
        self._console.event(message, **more)

    def began(self, reason: Reason) -> None:
        """Hear that a pass begins."""
        self._keep_in_mind()
        with self._guard:
            if reason in _ASKED:
                self._told.clear()
            self._in_pass, self._saw_everything = True, False

    def planned(self, prepared: Prepared) -> None:
        """Hear that what is said from now on is said of what is done."""
        self._carries_out = not prepared.plan.is_empty

    def ended(self, result: RunResult) -> None:
        """Hear that a run saw all there is to see; what it did not meet is gone."""
        self._carries_out, self._saw_everything = False, True
        if result.report.outcome in (Outcome.IN_SYNC, Outcome.APPLIED):
            series, self._failures = self._failures, 0
            if series >= _SERIES:
                self._console.say(f"it is well again, after {series} tries that failed")
            elif series and result.report.outcome is Outcome.IN_SYNC:
                self._console.say("it is well again")
        elif result.report.outcome is not Outcome.DECLINED:
            self._failures += 1

    def failed(self, error: ReconcilerError) -> None:  # noqa: ARG002 - the listener's signature
        """Hear that a pass ended before it saw everything."""
        self._carries_out, self._saw_everything = False, False
        self._failures += 1

    def rests(self, seconds: float, pause: Pause | None) -> None:  # noqa: ARG002 - the same
        """Hear that the pass is over."""
        self._keep_in_mind()

    def _keep_in_mind(self) -> None:
        """Remember for the next pass what this one met; what it did not see may still be there."""
        with self._guard:
            if self._in_pass:
                self._told = self._met if self._saw_everything else self._told | self._met
            self._met, self._in_pass = set(), False

    def _is_new(self, *texts: str) -> bool:
        key = sameness(*texts)
        with self._guard:
            if not self._in_pass:
                return True
            self._met.add(key)
            return key not in self._told
