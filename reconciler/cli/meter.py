"""How far a piece of work has come, and how fast it goes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

# The rate that is shown is that of the last seconds: an old one says nothing about the end.
_WINDOW_SECONDS: Final = 10.0
_SAMPLE_SECONDS: Final = 0.5
# Where both go on at once, what was there before is not told of each time it comes first.
_LATE_SECONDS: Final = 1.0


class Meter:
    """Counts the bytes of one piece of work of `total_bytes`. Safe to use from several threads.

    What was there before counts as done and not into the rate; what is done twice counts into the
    rate twice. `monotonic` gives seconds that never go back.
    """

    def __init__(self, total_bytes: int, *, monotonic: Callable[[], float]) -> None:
        self.total_bytes = total_bytes
        self.done_bytes = 0
        self.worked_bytes = 0
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._began = self._worked_since = monotonic()
        self._worked_at = self._skipped_at = -inf
        self._samples = deque([(self._began, 0)])

    def advance(self, count_bytes: int) -> None:
        """`count_bytes` more are done; negative where work must be done again."""
        with self._guard:
            self.done_bytes += count_bytes
            self.worked_bytes += max(count_bytes, 0)
            self._worked_at = now = self._monotonic()
            if now - self._samples[-1][0] >= _SAMPLE_SECONDS:
                self._samples.append((now, self.worked_bytes))
                self._forget_what_is_old(now)

    def skip(self, count_bytes: int) -> None:
        """`count_bytes` more are done that were there before."""
        with self._guard:
            self.done_bytes += count_bytes
            self._skipped_at = self._monotonic()
            if not self.worked_bytes:
                # Looking at what is there takes its time too, and is no slow beginning of the rest.
                self._worked_since = self._skipped_at
                self._samples = deque([(self._worked_since, 0)])

    def leave_out(self, count_bytes: int) -> None:
        """`count_bytes` need not be done any more."""
        with self._guard:
            self.total_bytes -= count_bytes

    @property
    def only_skips(self) -> bool:
        """Whether nothing but bytes that were there before has been done of late."""
        return self._skipped_at - self._worked_at > _LATE_SECONDS

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return self._monotonic() - self._began

    @property
    def mean_bytes_per_second(self) -> float:
        """The rate from the first byte on; 0 where nothing was worked at."""
        seconds = self._monotonic() - self._worked_since
        return self.worked_bytes / seconds if seconds > 0 else 0.0

    @property
    def bytes_per_second(self) -> float:
        """The rate of the last seconds."""
        with self._guard:
            now = self._monotonic()
            self._forget_what_is_old(now)
            since, worked_bytes = self._samples[0]
            seconds = now - since
            return (self.worked_bytes - worked_bytes) / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this rate; None where there is none to go by."""
        rate = self.bytes_per_second
        left_bytes = max(self.total_bytes - self.done_bytes, 0)
        return left_bytes / rate if rate > 0 else None

    def _forget_what_is_old(self, now: float) -> None:
        while len(self._samples) > 1 and self._samples[1][0] <= now - _WINDOW_SECONDS:
            self._samples.popleft()
