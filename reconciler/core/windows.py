"""When something may be done: windows of the day, by the clock on the wall."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

_WRITTEN: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)", re.ASCII)
_DAY_MINUTES: Final = 24 * 60
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From one minute of the day up to another; across midnight where the second is not larger."""

    opens_minute: int
    closes_minute: int

    def __contains__(self, minute: int) -> bool:
        if self.opens_minute < self.closes_minute:
            return self.opens_minute <= minute < self.closes_minute
        return minute >= self.opens_minute or minute < self.closes_minute


def parse_windows(text: str) -> tuple[Window, ...]:
    """Read `01:00-07:00`, several joined by commas; `off` is none, so that any time will do.

    Raises:
        ValueError: it is no window, or one that never closes.
    """
    if text.strip().lower() == "off":
        return ()
    return tuple(_parse_window(item.strip()) for item in text.split(","))


def _parse_window(text: str) -> Window:
    found = _WRITTEN.fullmatch(text)
    if found is not None:
        hour, minute, last_hour, last_minute = map(int, found.groups())
        opens, closes = hour * 60 + minute, last_hour * 60 + last_minute
        right = minute < 60 and last_minute < 60 and opens < _DAY_MINUTES
        if right and closes <= _DAY_MINUTES and opens != closes:
            return Window(opens_minute=opens, closes_minute=closes)
    raise ValueError(f"{text!r} is not a window like 01:00-07:00")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTimes:
    """The windows of every day in one time zone; without any, all times are open.

    What comes next is found by walking the clock minute by minute: that takes some milliseconds,
    and is right also where the clocks are changed.
    """

    windows: tuple[Window, ...] = ()
    zone: tzinfo = field(default=UTC)

    def is_open(self, now: datetime) -> bool:
        """Whether it may be done at `now`, a time with its zone."""
        local = now.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        return not self.windows or any(minute in window for window in self.windows)

    def opens_at(self, now: datetime) -> datetime:
        """Give the first moment from `now` on that is open, in the windows' zone."""
        return (self._next(now, is_open=True) or now).astimezone(self.zone)

    def seconds_left(self, now: datetime) -> float | None:
        """Give how long it stays open: 0 where it is closed, None where it never closes."""
        closes = self._next(now, is_open=False)
        return (closes - now).total_seconds() if closes is not None else None

    def _next(self, now: datetime, *, is_open: bool) -> datetime | None:
        """Give the first moment from `now` on that is open, or closed; None within two days."""
        moment, end = now.astimezone(UTC), now + timedelta(days=2)
        while moment < end:
            if self.is_open(moment) is is_open:
                return moment
            moment = moment.replace(second=0, microsecond=0) + _MINUTE
        return None


ANY_TIME: Final = OpenTimes()
