"""What stands on stderr: the log in both forms, progress without a terminal, and the question."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.console import Console
from reconciler.cli.terminal import Style, counted, shortened, width_of
from reconciler.core.sizes import human_bytes


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.TextIOWrapper]:
    """One end of a real terminal."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    handle, other = os.openpty()
    with os.fdopen(other, "w") as stream:
        yield stream
    os.close(handle)


def console(*, quiet: bool = False, log_format: str = "text") -> Console:
    """Give a console on the stderr of the moment."""
    return Console(quiet=quiet, log_format=log_format, no_color=False)


def test_colors_need_a_terminal_and_nobody_who_minds(
    terminal: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a terminal gets colours, and only where neither a setting nor its kind is against it."""
    assert Style(terminal, no_color=False)("x", "red") == "\x1b[31mx\x1b[0m"
    assert Style(terminal, no_color=True)("x", "red") == "x"
    assert Style(io.StringIO(), no_color=False)("x", "red") == "x"
    monkeypatch.setenv("TERM", "dumb")
    assert Style(terminal, no_color=False)("x", "red") == "x"


def test_only_a_terminal_has_a_width(
    terminal: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes into a pipe or a file is never folded; a terminal of unknown size counts as 80."""
    assert Style(io.StringIO(), no_color=False).width is None
    assert Style(terminal, no_color=False).width == 80
    monkeypatch.setenv("COLUMNS", "132")
    assert Style(terminal, no_color=False).width == 132


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (4_001_824, "4.0 MB"),
        (18_556_686_912, "18.6 GB"),
        (2_500_000_000_000, "2.5 TB"),
    ],
)
def test_sizes_are_said_in_decimal_units(count: int, shown: str) -> None:
    """Sizes read as on download pages; none ever reads `1000.0` of a unit."""
    assert human_bytes(count) == shown


def test_one_thing_is_not_many() -> None:
    """One is singular, all else plural."""
    assert [counted(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


@given(st.text(max_size=200), st.integers(min_value=8, max_value=120))
def test_shortened_text_fits_and_keeps_its_end(text: str, room: int) -> None:
    """A shortened path has the room it was given, and ends as the whole one does: there stands
    what tells one quantization from another.
    """
    short = shortened(text, room)
    assert (short == text) == (width_of(text) <= room)
    # A character that takes two columns may leave one of them free, on either side of the cut.
    assert min(width_of(text), room - 2) <= width_of(short) <= room
    assert text.endswith(short.rpartition("…")[2]) or "…" in text


def test_text_log_gives_the_next_step_below(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings and errors are followed by their hint; all of it is on stderr."""
    shown = console()
    shown.say("news")
    shown.warn("careful", "do this")
    shown.fail("broken", "do that")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "news",
        "warning: careful",
        "hint: do this",
        "error: broken",
        "hint: do that",
    ]


def test_json_log_has_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a message holds, each entry is one line of JSON with time, level and message."""
    shown = console(log_format="json")
    shown.say("two\nlines")
    shown.warn("careful", "do this")
    shown.fail("broken", "")
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(item["level"], item["message"]) for item in entries] == [
        ("info", "two\nlines"),
        ("warning", "careful"),
        ("error", "broken"),
    ]
    assert entries[1]["hint"] == "do this"
    assert all(item["time"].endswith("+00:00") for item in entries)


def test_quiet_log_keeps_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """With `--quiet` neither news nor progress is logged; warnings and errors are."""
    shown = console(quiet=True)
    shown.say("news")
    with shown.batch(2, 5) as batch, batch.task("fetching", "a/b.gguf", 5) as progress:
        progress.advance(5)
    shown.warn("careful")
    shown.fail("broken", "")
    assert capsys.readouterr().err.splitlines() == ["warning: careful", "error: broken"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("y\n", True), ("YES \n", True), ("n\n", False), ("\n", False), ("yo\n", False), ("", False)],
)
def test_only_a_yes_is_a_yes(
    typed: str, meant: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anything else is a no, the end of the input too; the question is not part of the result."""
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert console().ask("Apply this?") is meant
    printed = capsys.readouterr()
    assert (printed.out, printed.err.strip()) == ("", "Apply this? [y/N]")


def test_nobody_is_asked_without_a_terminal() -> None:
    """Where any of the three streams is no terminal, nobody can see the plan and answer."""
    assert console().can_ask() is False


def test_text_from_outside_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences and direction marks in a message (a container's log, a file name) are shown
    as a sign, not obeyed; line breaks stay.
    """
    console = Console(quiet=False, log_format="text", no_color=True)
    console.warn("log: \x1b[2J gone\r\u202etxt\nnext", "hint \x07")
    console.fail("name \x9b1m", "")
    err = capsys.readouterr().err
    assert not set(err) & set("\x1b\r\u202e\x07\x9b")
    assert "gone" in err
    assert err.count("\n") == 4
