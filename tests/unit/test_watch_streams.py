"""The streams of a watch outlive a full disk and a reader that has gone."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from reconciler.cli.console import Console
from reconciler.cli.watching.streams import Taking, outliving_streams

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


class Place:
    """A file that can be full for a while, and a stream that writes to it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.number = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Have nothing more go in until the block ends."""
        kept, full = os.dup(self.number), os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, self.number)
        os.close(full)
        try:
            yield
        finally:
            os.dup2(kept, self.number)
            os.close(kept)

    def lines(self) -> list[str]:
        """Give what stands in the file."""
        return self.file.read_text().splitlines()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Place]:
    """Where stderr goes."""
    place = Place(tmp_path / "log")
    yield place
    os.close(place.number)


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Place]:
    """Where stdout goes."""
    place = Place(tmp_path / "output")
    yield place
    os.close(place.number)


@contextmanager
def outliving(
    log: Place, output: Place | None = None, *, log_format: str = "text"
) -> Iterator[Console]:
    """Give the console of a watch whose streams go to these places."""
    with (
        open(log.number, "w", closefd=False) as err,
        open((output or log).number, "w", closefd=False) as out,
        redirect_stderr(err),
        redirect_stdout(out),
    ):
        console = Console(quiet=False, log_format=log_format, no_color=False)
        with outliving_streams(console):
            yield console


def put(text: str) -> None:
    """Print a line of the result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@needs_full
def test_what_a_full_disk_does_not_take_is_lost_and_counted(log: Place, output: Place) -> None:
    """The log goes on where it can again, with a line that says how many are missing there."""
    with outliving(log, output) as shown:
        shown.say("before")
        with log.full():
            shown.say("lost")
            shown.warn("lost too", "and its hint")
        shown.say("after")
        shown.say("and on")
    assert log.lines() == [
        "before",
        "warning: 3 lines of the log could not be written: No space left on device",
        "after",
        "and on",
    ]
    assert output.lines() == []


@needs_full
def test_a_log_for_machines_stays_one(log: Place, output: Place) -> None:
    """The line that tells of it is an object as any other."""
    with outliving(log, output, log_format="json") as shown:
        with log.full():
            shown.event("lost", event="run")
        shown.event("after", event="run")
    entries = [json.loads(line) for line in log.lines()]
    assert [(item["level"], item["message"]) for item in entries] == [
        ("warning", "1 line of the log could not be written: No space left on device"),
        ("info", "after"),
    ]
    assert output.lines() == []


@needs_full
def test_what_stdout_lost_is_told_in_the_log(log: Place, output: Place) -> None:
    """On stdout stands what was asked for and nothing else; it is told once it works again."""
    with outliving(log, output):
        with output.full():
            put('{"run": 1}')
            put('{"run": 2}')
        assert log.lines() == []
        put('{"run": 3}')
        put('{"run": 4}')
    assert output.lines() == ['{"run": 3}', '{"run": 4}']
    assert log.lines() == [
        "warning: 2 lines of the output could not be written: No space left on device"
    ]


@needs_full
def test_who_loses_again_is_told_again(log: Place, output: Place) -> None:
    """Each gap is told at its place, with the lines that are missing there alone."""
    with outliving(log, output) as shown:
        for number in (1, 2):
            with log.full():
                for _ in range(number):
                    shown.say("lost")
            shown.say(f"after {number}")
    assert [line.split(" could")[0] for line in log.lines()] == [
        "warning: 1 line of the log",
        "after 1",
        "warning: 2 lines of the log",
        "after 2",
    ]
    assert output.lines() == []


def test_a_line_that_was_cut_short_does_not_run_into_the_next() -> None:
    """Where a part of a line was taken, the rest of it is not written later, as if it were one."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(reader, False)
    taking = Taking(writer, "the log", ahead=lambda told: f"<{told}>\n", afterwards=lambda _: None)
    with os.fdopen(reader, "rb") as read:
        stream = io.TextIOWrapper(taking, line_buffering=True)
        stream.write("x" * 1_000_000 + "\n")
        stream.write("the next\n")
        cut = read.read()
        assert set(cut) == {ord("x")}
        # A line that comes in pieces, the first of which is lost.
        stream.write("after\n")
        told, after = b"\n<2 lines of the log could not be written: ", b">\nafter\n"
        found = read.read()
        assert found.startswith(told)
        assert found.endswith(after)
    os.close(writer)


@needs_full
def test_a_line_whose_beginning_is_lost_is_lost_whole(log: Place) -> None:
    """What is written in pieces is no line without its first one."""
    taking = Taking(log.number, "it", ahead=lambda told: f"<{told}>\n", afterwards=lambda _: None)
    with log.full():
        taking.write(b"be")
    taking.write(b"gin")
    taking.write(b"ning\nnext\n")
    assert log.lines() == [
        "<1 line of it could not be written: No space left on device>",
        "next",
    ]


def test_a_reader_that_has_gone_is_no_end(log: Place, output: Place) -> None:
    """Whoever read stdout may leave: nothing is raised, then or when the streams are given back."""
    reader, writer = os.pipe()
    os.dup2(writer, output.number)
    os.close(writer)
    os.close(reader)
    with outliving(log, output):
        put("nobody reads this")
    assert log.lines() == []


def test_streams_that_are_no_files_stay_as_they_are() -> None:
    """What has no descriptor is written to as ever."""
    here = io.StringIO()
    with redirect_stdout(here), redirect_stderr(here):
        console = Console(quiet=False, log_format="text", no_color=False)
        with outliving_streams(console):
            console.say("here")
    assert here.getvalue() == "here\n"
