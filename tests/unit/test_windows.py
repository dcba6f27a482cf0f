"""Download windows: when they are open, when they open next, and how long they stay so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from reconciler.core.windows import OpenTimes, parse_windows

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = OpenTimes(windows=parse_windows("01:00-07:00"), zone=BERLIN)


def at(text: str) -> datetime:
    """Give a moment of Berlin's clock."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("windows", "open_at", "closed_at"),
    [
        ("01:00-07:00", ["01:00", "06:59"], ["00:59", "07:00", "12:00"]),
        ("22:30-06:00", ["22:30", "23:59", "00:00", "05:59"], ["22:29", "06:00"]),
        ("01:00-02:00, 12:00-13:00", ["01:30", "12:59"], ["02:00", "11:59"]),
        ("18:00-24:00", ["18:00", "23:59"], ["00:00", "17:59"]),
        ("00:00-24:00", ["00:00", "23:59"], []),
        ("off", ["00:00", "12:00"], []),
    ],
)
def test_window_is_open_from_its_first_minute_up_to_its_last(
    windows: str, open_at: list[str], closed_at: list[str]
) -> None:
    """The first minute is in, the last is not; across midnight, several, and none at all."""
    times = OpenTimes(windows=parse_windows(windows), zone=BERLIN)
    assert [clock for clock in open_at if not times.is_open(at(f"2026-01-15T{clock}"))] == []
    assert [clock for clock in closed_at if times.is_open(at(f"2026-01-15T{clock}"))] == []


def test_next_opening_and_closing_are_told() -> None:
    """Closed, it says when it opens, today or tomorrow; open, how long it stays so."""
    assert NIGHT.opens_at(at("2026-01-15T00:30:20")) == at("2026-01-15T01:00")
    assert NIGHT.opens_at(at("2026-01-15T12:00")) == at("2026-01-16T01:00")
    assert NIGHT.opens_at(at("2026-01-15T03:00:30")) == at("2026-01-15T03:00:30")
    assert NIGHT.seconds_left(at("2026-01-15T06:59:30")) == 30
    assert NIGHT.seconds_left(at("2026-01-15T07:00")) == 0
    assert OpenTimes().seconds_left(at("2026-01-15T07:00")) is None
    whole = OpenTimes(windows=parse_windows("00:00-12:00,12:00-24:00"), zone=BERLIN)
    assert whole.seconds_left(at("2026-01-15T07:00")) is None


def test_moment_in_another_zone_is_the_same_moment() -> None:
    """The clock on the wall counts: midnight in UTC is one o'clock in Berlin's winter."""
    assert NIGHT.is_open(datetime(2026, 1, 15, 0, 0, tzinfo=UTC))
    assert not NIGHT.is_open(datetime(2026, 1, 15, 6, 0, tzinfo=UTC))
    assert NIGHT.opens_at(datetime(2026, 1, 15, 12, tzinfo=UTC)).strftime("%H:%M") == "01:00"


def test_night_in_which_the_clocks_are_changed() -> None:
    """Forward, the window is an hour shorter, and one that begins in the hour that is left out
    opens when that hour would have begun; back, it is an hour longer.
    """
    assert NIGHT.seconds_left(at("2026-03-29T01:00")) == timedelta(hours=5).total_seconds()
    assert NIGHT.seconds_left(at("2026-10-25T01:00")) == timedelta(hours=7).total_seconds()
    left_out = OpenTimes(windows=parse_windows("02:30-07:00"), zone=BERLIN)
    opens = left_out.opens_at(at("2026-03-29T00:00"))
    assert opens.isoformat() == "2026-03-29T03:00:00+02:00"


@pytest.mark.parametrize(
    "text",
    ["", "night", "1:00-7:00", "01:00", "25:00-26:00", "01:60-07:00", "24:00-01:00", "03:00-03:00"],
)
def test_what_is_no_window_is_refused(text: str) -> None:
    """A word that is no window, an hour that there is not, and one that never opens."""
    with pytest.raises(ValueError, match="01:00-07:00"):
        parse_windows(text)
