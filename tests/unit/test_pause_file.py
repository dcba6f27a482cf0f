"""A pause of the watch: what people may say of its end, and the file that keeps it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from reconciler.adapters.store.pause_file import PauseFile
from reconciler.core.reading.pause_text import in_words, parse_moment, read_pause, render_pause
from reconciler.core.watching import Pause
from tests.support.fakes import Heard
from tests.support.unfit import UNFIT, put_unfit

BERLIN = ZoneInfo("Europe/Berlin")
# A quarter to six in the evening, in Berlin.
NOW = datetime(2026, 11, 20, 16, 45, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("18:00", "2026-11-20T17:00:00+00:00"),
        ("9:05", "2026-11-21T08:05:00+00:00"),
        ("17:45", "2026-11-21T16:45:00+00:00"),
        ("17:46", "2026-11-20T16:46:00+00:00"),
        ("24:00", "2026-11-20T23:00:00+00:00"),
        ("23:59", "2026-11-20T22:59:00+00:00"),
        ("2026-12-24T08:00", "2026-12-24T07:00:00+00:00"),
        ("2026-12-24 08:00:30", "2026-12-24T07:00:30+00:00"),
        ("2026-12-24", "2026-12-23T23:00:00+00:00"),
        ("2026-12-24T08:00Z", "2026-12-24T08:00:00+00:00"),
        ("2026-12-24T08:00-05:00", "2026-12-24T13:00:00+00:00"),
        # Gone by is for the caller to refuse.
        ("2020-01-01T00:00", "2019-12-31T23:00:00+00:00"),
    ],
)
def test_moments_are_those_of_the_clock_on_the_wall(text: str, moment: str) -> None:
    """A time of day is the next one, in the zone of the host; a moment with a zone is as it says,
    and one without in that of the host.
    """
    found = parse_moment(text, now=NOW, zone=BERLIN)
    assert found is not None
    assert found == datetime.fromisoformat(moment)


@pytest.mark.parametrize("text", ["2h", "90", "soon", "", "18", "18:0", "18:00-19:00", "1:2:3"])
def test_what_is_no_moment_is_left_to_others(text: str) -> None:
    """A length of time, or nonsense, is told apart from a moment that is wrong."""
    assert parse_moment(text, now=NOW, zone=BERLIN) is None


@pytest.mark.parametrize("text", ["25:00", "24:01", "18:60", "99:99"])
def test_moments_that_no_clock_shows_are_refused(text: str) -> None:
    """The words are those of an error for people."""
    with pytest.raises(ValueError, match="is no time of the day"):
        parse_moment(text, now=NOW, zone=BERLIN)


def test_time_that_a_clock_leaves_out_is_the_next_there_is() -> None:
    """Half past two does not come when clocks go forward: it is that of the day after."""
    before = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
    found = parse_moment("02:30", now=before, zone=BERLIN)
    assert found == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("until", "words"),
    [
        (None, "until `reconcile resume`"),
        (NOW + timedelta(hours=2, seconds=30), "until 19:46"),
        (NOW + timedelta(seconds=40), "until 17:46:10"),
        (NOW + timedelta(hours=8), "until 2026-11-21 01:45:30"),
    ],
)
def test_end_is_told_by_the_same_clock(until: datetime | None, words: str) -> None:
    """With its day where that is another, and to the second where it is not at a full minute."""
    assert in_words(Pause(since=NOW, until=until), now=NOW, zone=BERLIN) == words


def test_pause_is_read_as_it_was_written(tmp_path: Path) -> None:
    """In the file and from it; one who orders another one replaces it, and one who ends it leaves
    nothing.
    """
    file = PauseFile(tmp_path, Heard())
    assert file.read() is None
    assert not file.remove()
    for until in (None, NOW + timedelta(hours=1)):
        pause = Pause(since=NOW, until=until, by="ada@home")
        file.write(pause)
        assert file.read() == PauseFile(tmp_path, Heard()).read() == pause
    assert [path.name for path in (tmp_path / "watch").iterdir()] == ["pause.json"]
    assert file.remove()
    assert file.read() is None


def test_two_in_the_same_moment_are_told_apart(tmp_path: Path) -> None:
    """What was read is kept for as long as the file is the same one, not for as long as it looks
    so by its size and its time.
    """
    file = PauseFile(tmp_path, Heard())
    for by in ("ada", "bob"):
        file.write(Pause(since=NOW, by=by))
        os.utime(file.path, ns=(1, 1))
        found = file.read()
        assert found is not None
        assert found.by == by


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"since": 5}', '{"since": "2026-01-01T00:00:00"}',
     '{"since": "2026-01-01T00:00:00+00:00", "until": "later"}', "\0" * 100, "[" * 100_000],
    ids=str.__len__,
)  # fmt: skip
def test_damaged_file_holds_the_watch_and_is_told_once(tmp_path: Path, text: str) -> None:
    """Somebody wanted a pause: it holds without an end, with a warning that says how to mend it,
    and whoever resumes or pauses anew does mend it.
    """
    heard = Heard()
    file = PauseFile(tmp_path, heard)
    file.write(Pause(since=NOW))
    file.path.write_text(text)
    first = file.read()
    assert first is not None
    assert (first.until, first.by) == (None, "")
    assert file.read() == first
    assert len(heard.warnings) == 1
    assert "reconcile resume" in heard.hints[0]
    file.write(Pause(since=NOW, by="ada"))
    assert file.read() == Pause(since=NOW, by="ada")
    file.path.write_text(text)
    assert file.remove()
    assert file.read() is None


def test_folder_in_place_of_the_file_holds_too(tmp_path: Path) -> None:
    """Whatever it is that lies there, a pause is not passed over because of it."""
    heard = Heard()
    file = PauseFile(tmp_path, heard)
    file.path.mkdir(parents=True)
    assert file.read() is not None
    assert heard.warnings


@pytest.mark.parametrize("kind", UNFIT)
def test_file_that_never_ends_holds_too(tmp_path: Path, kind: str) -> None:
    """The watch is not held up in reading it; it is told what it is, and holds still."""
    heard = Heard()
    file = PauseFile(tmp_path, heard)
    file.write(Pause(since=NOW))
    words = put_unfit(kind, file.path)
    found = file.read()
    assert (found is not None and found.until is None, words in heard.warnings[0]) == (True, True)
    assert file.remove()


def test_text_is_for_people_too() -> None:
    """One line of JSON, moments in UTC."""
    pause = Pause(since=NOW, until=NOW + timedelta(hours=1), by="ada@home")
    assert render_pause(pause).count(b"\n") == 1
    assert b'"2026-11-20T17:45:30+00:00"' in render_pause(pause)
    assert read_pause(render_pause(pause)) == pause
