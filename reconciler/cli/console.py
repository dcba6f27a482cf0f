"""What people see: results on stdout, the log and the progress bars on stderr."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from reconciler.cli.journal import goes_to_journal, with_priority
from reconciler.cli.terminal import Style, is_terminal, printable
from reconciler.cli.work import Batch, Both, Shown, Total, showing
from reconciler.cli.work_lines import Events, Lines
from reconciler.core.ports.reporting import Progress

if TYPE_CHECKING:
    from reconciler.cli.bars import Bars


class Console:
    """The log and the progress of one command, on stderr: the `Reporter` port.

    Use it as a context manager, so that the bars are taken down whatever happens.
    """

    def __init__(
        self,
        *,
        quiet: bool,
        log_format: str,
        no_color: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quiet = quiet
        self._as_json = log_format == "json"
        self._for_journal = not self._as_json and goes_to_journal(sys.stderr, os.environ)
        self._style = Style(sys.stderr, no_color=no_color)
        self._no_color = no_color
        usable = is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
        self._show_bars = usable and not quiet and not self._as_json
        self._bars: Bars | None = None
        self._monotonic = monotonic
        self._lines: Shown = Events(self._event, monotonic) if self._as_json else Lines(self.say)
        self._also: Shown | None = None
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.take_down()

    def take_down(self) -> None:
        """Take the bars down, so that plain text can follow."""
        with self._guard:
            if self._bars is not None:
                self._bars.stop()
                self._bars = None

    def show_also(self, shown: Shown) -> None:
        """Show work that begins from now on in this way too, beside those there are."""
        self._also = shown if self._also is None else Both(self._also, shown)

    def say(self, message: str, **more: Any) -> None:
        """One line worth knowing; `more` are keys of it where the log is JSON."""
        if not self._quiet:
            self._log("info", message, printable(message), **more)

    def event(self, message: str, **more: Any) -> None:
        """One line with keys for machines; logs in text have other words for it, or none."""
        if self._as_json:
            self._event(message, more)

    def warn(self, message: str, hint: str = "") -> None:
        """One line that a person should act on, and the next step."""
        self._log("warning", message, self._warned(message, hint), hint=hint)

    def as_warning(self, message: str) -> str:
        """Give what `warn` would write, for who must write it himself."""
        return self._logged("warning", message, self._warned(message, ""), hint="") + "\n"

    def fail(self, message: str, hint: str) -> None:
        """The error that ends the command, and its next step."""
        self.take_down()
        shown = f"{self._style('error:', 'red')} {printable(message)}{self._hint(hint)}"
        self._log("error", message, shown, hint=hint)

    def task(self, doing: str, name: str, size_bytes: int) -> AbstractContextManager[Progress]:
        """Show work on one file while the block runs."""
        return showing(
            self._shown(), doing, name, size_bytes, total=None, monotonic=self._monotonic
        )

    @contextmanager
    def batch(self, files: int, size_bytes: int) -> Iterator[Batch]:
        """Show a total while the block runs."""
        total = Total(files, size_bytes, monotonic=self._monotonic)
        shown = self._shown()
        shown.begin_total(total)
        try:
            yield Batch(total, self._shown, monotonic=self._monotonic)
        finally:
            shown.end_total(total)

    def can_ask(self) -> bool:
        """Whether a person is at the terminal, sees what we print and can answer."""
        return all(is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr))

    def ask(self, question: str) -> bool:
        """Ask a person for a yes; anything else is a no, the end of the input too."""
        self.take_down()
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        try:
            answer = sys.stdin.readline()
        except KeyboardInterrupt:
            print(file=sys.stderr)
            raise
        if not answer.endswith("\n"):
            print(file=sys.stderr)
        return answer.strip().lower() in ("y", "yes")

    def _hint(self, hint: str) -> str:
        return f"\n{self._style('hint:', 'blue')} {printable(hint)}" if hint else ""

    def _warned(self, message: str, hint: str) -> str:
        return f"{self._style('warning:', 'yellow')} {printable(message)}{self._hint(hint)}"

    def _log(self, level: str, message: str, shown: str, **more: Any) -> None:
        text = self._logged(level, message, shown, **more)
        with self._guard:
            if self._bars is not None:
                self._bars.print(text)
            else:
                print(text, file=sys.stderr)

    def _logged(self, level: str, message: str, shown: str, **more: Any) -> str:
        """Give an entry in the log's form; `shown` is its text for people."""
        if self._as_json:
            line = {"time": datetime.now(UTC).isoformat(), "level": level, "message": message}
            return json.dumps(line | more)
        return with_priority(shown, level) if self._for_journal else shown

    def _event(self, message: str, more: dict[str, Any]) -> None:
        if not self._quiet:
            self._log("info", message, message, **more)

    def _shown(self) -> Shown:
        foot = self._at_the_foot()
        return foot if self._also is None else Both(foot, self._also)

    def _at_the_foot(self) -> Shown:
        if not self._show_bars:
            return self._lines
        with self._guard:
            if self._bars is None:
                from reconciler.cli.bars import Bars

                self._bars = Bars(no_color=self._no_color)
            return self._bars
