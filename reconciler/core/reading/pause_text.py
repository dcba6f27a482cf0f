"""A pause of the watch as text: until when, as people say it, and as it is kept in a file."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, tzinfo
from typing import Final

from reconciler.core.watching import Pause
from reconciler.core.windows import OpenTimes, parse_windows

_TIME_OF_DAY: Final = re.compile(r"(\d{1,2}):(\d\d)", re.ASCII)
_MINUTE: Final = timedelta(minutes=1)


def parse_moment(text: str, *, now: datetime, zone: tzinfo) -> datetime | None:
    """Read a moment: `18:00`, the next one, or one like `2026-12-24T08:00`, both by `zone`.

    None where it is neither. Raises:
        ValueError: there is no such moment.
    """
    found = _TIME_OF_DAY.fullmatch(text)
    if found is not None:
        return _next_time(int(found[1]), int(found[2]), now=now, zone=zone)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        # Where only one of them is clear, it is the zone of those who live by this clock.
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(zone)
    except (OverflowError, ValueError):
        raise ValueError(f"{text!r} is no moment that this clock can show") from None


def _next_time(hour: int, minute: int, *, now: datetime, zone: tzinfo) -> datetime:
    """Give when the clock shows that time next, as windows have it; this minute is over."""
    if hour == 24 and minute == 0:
        hour = 0
    if hour > 23 or minute > 59:
        raise ValueError(f"{hour}:{minute:02} is no time of the day")
    last = hour * 60 + minute + 1
    window = f"{hour:02}:{minute:02}-{last // 60:02}:{last % 60:02}"
    times = OpenTimes(windows=parse_windows(window), zone=zone)
    return times.opens_at(now.replace(second=0, microsecond=0) + _MINUTE)


def pause_to_json(pause: Pause) -> dict[str, str | None]:
    """Give a pause as it stands in JSON: moments in UTC, `until` null where it has no end."""
    until = pause.until.isoformat() if pause.until is not None else None
    return {"since": pause.since.isoformat(), "until": until, "by": pause.by}


def render_pause(pause: Pause) -> bytes:
    """Write a pause down for `read_pause`."""
    return json.dumps(pause_to_json(pause)).encode() + b"\n"


def read_pause(data: bytes) -> Pause:
    """Read what `render_pause` wrote. Raises `ValueError` where it is something else."""
    kept = json.loads(data)
    # Whatever else it is, it has no begin.
    kept = kept if isinstance(kept, dict) else {}
    until = kept.get("until")
    return Pause(
        since=_moment(kept.get("since")),
        until=None if until is None else _moment(until),
        by=str(kept.get("by") or ""),
    )


def _moment(text: object) -> datetime:
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return moment


def in_words(pause: Pause, *, now: datetime, zone: tzinfo) -> str:
    """Say until when, as in "until 18:00": with the day where that is not today's."""
    if pause.until is None:
        return "until `reconcile resume`"
    until, today = pause.until.astimezone(zone), now.astimezone(zone).date()
    # A pause of some seconds would else seem to be over already.
    clock = f"{until:%H:%M:%S}" if until.second else f"{until:%H:%M}"
    return f"until {clock}" if until.date() == today else f"until {until:%Y-%m-%d} {clock}"
