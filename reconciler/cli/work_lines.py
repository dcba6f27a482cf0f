"""Work on files where there are no bars: lines of the log for people, events for machines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf
from typing import Any, Final
from weakref import WeakKeyDictionary

from reconciler.cli.meter import Meter
from reconciler.cli.terminal import counted, elapsed, human_seconds
from reconciler.cli.work import Total, Work
from reconciler.core.sizes import human_bytes

# Below this a file is worth one line, and none on its way.
_LARGE_BYTES: Final = 100_000_000
_EVENT_SECONDS: Final = 5.0


def rate_of(bytes_per_second: float) -> str:
    """Say a rate."""
    return f"{human_bytes(bytes_per_second)}/s"


def told_done(work: Work, name: str) -> str:
    """Say what became of one file, under `name`."""
    meter = work.meter
    size, new = human_bytes(meter.total_bytes), human_bytes(meter.worked_bytes)
    if not meter.worked_bytes:
        took = f"{size}, all of it there before"
    elif meter.worked_bytes < meter.total_bytes:
        took = f"{size}, {new} of it new, in {_at_rate(meter)}"
    else:
        took = f"{size} in {_at_rate(meter)}"
    return f"{work.kind} {name}: done, {took}"


def told_total(total: Total) -> str:
    """Say what became of several files."""
    done = f"{total.files_done} of {counted(total.files, 'file')}"
    return f"{done}: {human_bytes(total.meter.done_bytes)} in {_at_rate(total.meter)}"


def _at_rate(meter: Meter) -> str:
    seconds = meter.seconds
    took = elapsed(seconds)
    return f"{took} ({rate_of(meter.mean_bytes_per_second)})"


class Lines:
    """A line for each file that is done; for a large one also at its start and each quarter."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._guard = threading.Lock()
        self._quarters: WeakKeyDictionary[Work, int] = WeakKeyDictionary()

    def begin(self, work: Work) -> None:
        """Say that a large one begins."""
        if work.meter.total_bytes >= _LARGE_BYTES:
            self._say(f"{work.kind} {work.name} ({human_bytes(work.meter.total_bytes)})")

    def moved(self, work: Work) -> None:
        """Say each quarter once, the last one excepted: the end says it."""
        meter = work.meter
        if meter.total_bytes < _LARGE_BYTES:
            return
        quarter = 4 * meter.done_bytes // meter.total_bytes
        with self._guard:
            if quarter <= self._quarters.get(work, 0):
                return
            self._quarters[work] = quarter
        if quarter < 4:
            left = meter.seconds_left
            rest = (
                f", {rate_of(meter.bytes_per_second)}, {human_seconds(left)} left" if left else ""
            )
            self._say(f"{work.doing} {work.name}: {25 * quarter} %{rest}")

    def end(self, work: Work, *, failed: bool) -> None:
        """Say that it is done; why it failed is said by whoever knows."""
        if not failed:
            self._say(told_done(work, work.name))

    def begin_total(self, total: Total) -> None:
        """The plan has said it."""

    def end_total(self, total: Total) -> None:
        """Say what several files came to."""
        if total.files > 1:
            self._say(told_total(total))


class Events:
    """One object at the start and the end of each file, and every few seconds in between."""

    def __init__(
        self, log: Callable[[str, dict[str, Any]], None], monotonic: Callable[[], float]
    ) -> None:
        """`log` takes the words for people and the keys for machines."""
        self._log = log
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._told_at: WeakKeyDictionary[Work | Total, float] = WeakKeyDictionary()

    def begin(self, work: Work) -> None:
        """Tell what begins."""
        self._is_due(work)
        size = human_bytes(work.meter.total_bytes)
        self._tell("start", work, work.kind, f"{work.kind} {work.name} ({size})")

    def moved(self, work: Work) -> None:
        """Tell how far it is, where that was not told for some seconds; the total likewise."""
        if self._is_due(work):
            self._tell(
                "progress", work, work.doing, f"{work.doing} {work.name}: {_far(work.meter)}"
            )
        if work.total is not None and self._is_due(work.total):
            self._tell_total("progress", work.total, _far(work.total.meter))

    def end(self, work: Work, *, failed: bool) -> None:
        """Tell how it ended; why it failed is told by the entry that follows."""
        if failed:
            self._tell("failed", work, work.kind, f"{work.kind} {work.name}: failed")
        else:
            self._tell("end", work, work.kind, told_done(work, work.name))

    def begin_total(self, total: Total) -> None:
        """Tell how much there is to do."""
        self._is_due(total)
        size = human_bytes(total.meter.total_bytes)
        self._tell_total("start", total, f"{counted(total.files, 'file')}, {size}")

    def end_total(self, total: Total) -> None:
        """Tell what it came to."""
        self._tell_total("end", total, told_total(total))

    def _is_due(self, shown: Work | Total) -> bool:
        with self._guard:
            now = self._monotonic()
            if now - self._told_at.get(shown, -inf) < _EVENT_SECONDS:
                return False
            self._told_at[shown] = now
            return True

    def _tell(self, kind: str, work: Work, doing: str, said: str) -> None:
        more = {"event": f"transfer.{kind}", "doing": doing, "file": work.name}
        self._log(said, more | _measured(work.meter, over=kind == "end"))

    def _tell_total(self, kind: str, total: Total, said: str) -> None:
        more = {"event": f"total.{kind}", "files_done": total.files_done, "files": total.files}
        self._log(said, more | _measured(total.meter, over=kind == "end"))


def _far(meter: Meter) -> str:
    return f"{human_bytes(meter.done_bytes)} of {human_bytes(meter.total_bytes)}"


def _measured(meter: Meter, *, over: bool) -> dict[str, int]:
    rate = meter.mean_bytes_per_second if over else meter.bytes_per_second
    return {
        "done_bytes": meter.done_bytes,
        "total_bytes": meter.total_bytes,
        "bytes_per_second": round(rate),
    }
