"""Work on files as it is shown: each file's, and the total of several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from reconciler.cli.meter import Meter
from reconciler.core.ports.reporting import Progress

# Work that is nothing but reading.
_READING: Final = ("hashing", "verifying")


class Total:
    """What several files come to together. Safe to use from several threads."""

    def __init__(self, files: int, size_bytes: int, *, monotonic: Callable[[], float]) -> None:
        self.files = files
        self.files_done = 0
        self.meter = Meter(size_bytes, monotonic=monotonic)
        self._guard = threading.Lock()

    def end_file(self, work: Work, *, failed: bool) -> None:
        """One file is over; what failed counts no longer."""
        if failed:
            self.meter.advance(-work.meter.done_bytes)
            return
        with self._guard:
            self.files_done += 1


class Work:
    """Work on one file: the `Progress` port. `kind` is what it is as a whole."""

    def __init__(
        self,
        kind: str,
        name: str,
        *,
        meter: Meter,
        total: Total | None,
        moved: Callable[[Work], None],
    ) -> None:
        self.kind = kind
        self.name = name
        self.meter = meter
        self.total = total
        self._moved = moved

    @property
    def doing(self) -> str:
        """What is being done at this moment: bringing bytes begins and ends with reading them."""
        meter = self.meter
        if self.kind in _READING or not meter.done_bytes:
            return self.kind
        if meter.only_skips:
            return "hashing"
        return self.kind if meter.done_bytes < meter.total_bytes else "verifying"

    def advance(self, count_bytes: int) -> None:
        """`count_bytes` more are done; negative where work must be done again."""
        self.meter.advance(count_bytes)
        if self.total is not None:
            self.total.meter.advance(count_bytes)
        self._moved(self)

    def skip(self, count_bytes: int) -> None:
        """`count_bytes` more are done that were there before."""
        self.meter.skip(count_bytes)
        if self.total is not None:
            self.total.meter.skip(count_bytes)
        self._moved(self)


class Shown(Protocol):
    """One way to show work. Called from any thread; never raises."""

    def begin(self, work: Work) -> None:
        """Work on a file begins."""

    def moved(self, work: Work) -> None:
        """Some bytes of it are done."""

    def end(self, work: Work, *, failed: bool) -> None:
        """It is over."""

    def begin_total(self, total: Total) -> None:
        """Several files begin."""

    def end_total(self, total: Total) -> None:
        """They are over, as far as they came."""


class Both:
    """Shows work in two ways at once."""

    def __init__(self, first: Shown, second: Shown) -> None:
        self._ways = (first, second)

    def begin(self, work: Work) -> None:
        """Work on a file begins."""
        for way in self._ways:
            way.begin(work)

    def moved(self, work: Work) -> None:
        """Some bytes of it are done."""
        for way in self._ways:
            way.moved(work)

    def end(self, work: Work, *, failed: bool) -> None:
        """It is over."""
        for way in self._ways:
            way.end(work, failed=failed)

    def begin_total(self, total: Total) -> None:
        """Several files begin."""
        for way in self._ways:
            way.begin_total(total)

    def end_total(self, total: Total) -> None:
        """They are over, as far as they came."""
        for way in self._ways:
            way.end_total(total)


class Batch:
    """Several files shown with a total: the `Batch` port. `shown` is how, at the moment."""

    def __init__(
        self, total: Total, shown: Callable[[], Shown], *, monotonic: Callable[[], float]
    ) -> None:
        self._total = total
        self._shown = shown
        self._monotonic = monotonic

    def task(self, doing: str, name: str, size_bytes: int) -> AbstractContextManager[Progress]:
        """Show work on one of the files while the block runs."""
        return showing(
            self._shown(), doing, name, size_bytes, total=self._total, monotonic=self._monotonic
        )

    def leave_out(self, size_bytes: int) -> None:
        """One file of `size_bytes` will not come."""
        self._total.meter.leave_out(size_bytes)


@contextmanager
def showing(
    shown: Shown,
    kind: str,
    name: str,
    size_bytes: int,
    *,
    total: Total | None,
    monotonic: Callable[[], float],
) -> Iterator[Progress]:
    """Show work on one file while the block runs, and count it into `total`."""
    work = Work(
        kind,
        name,
        meter=Meter(size_bytes, monotonic=monotonic),
        total=total,
        moved=shown.moved,
    )
    shown.begin(work)
    done = False
    try:
        yield work
        done = True
    finally:
        if total is not None:
            total.end_file(work, failed=not done)
        shown.end(work, failed=not done)
