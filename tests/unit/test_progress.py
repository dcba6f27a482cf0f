"""Progress: what counts into the rate, what stands on a bar, and the log where there is none."""

from __future__ import annotations

import json
import threading
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.bars import row
from reconciler.cli.console import Console
from reconciler.cli.meter import Meter
from reconciler.core.ports.reporting import Progress
from reconciler.errors import Unreachable
from tests.support.fakes import FakeClock

MB = 1_000_000


@pytest.fixture
def clock() -> FakeClock:
    """Time that passes only where a test lets it."""
    return FakeClock()


def console(clock: FakeClock, log_format: str = "text") -> Console:
    """Give a console whose progress goes by `clock`."""
    return Console(quiet=False, log_format=log_format, no_color=True, monotonic=clock.monotonic)


def meter(clock: FakeClock, size_bytes: int) -> Meter:
    """Give a meter of `size_bytes`."""
    return Meter(size_bytes, monotonic=clock.monotonic)


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Give what was logged as JSON."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def fail_amid(task: AbstractContextManager[Progress], done_bytes: int) -> None:
    """Begin a task that fails after some bytes."""
    with task as progress:
        progress.advance(done_bytes)
        raise Unreachable("a: no answer")


# What counts.


def test_rate_and_time_left_are_those_of_the_last_seconds(clock: FakeClock) -> None:
    """A download that became slow shows the slow rate, and the time that the rest takes at it."""
    measured = meter(clock, 1000 * MB)
    for rate in (50 * MB, MB):
        for _ in range(12):
            clock.sleep(1)
            measured.advance(rate)
    assert measured.bytes_per_second == MB
    assert measured.seconds_left == (1000 - 12 * 51)
    assert measured.mean_bytes_per_second == 12 * 51 * MB / 24


def test_bytes_that_were_there_are_done_but_make_no_rate(clock: FakeClock) -> None:
    """A resumed download shows the rate of the network, not that of re-reading what was there."""
    measured = meter(clock, 100 * MB)
    for _ in range(10):
        clock.sleep(1)
        measured.skip(8 * MB)
    assert (measured.bytes_per_second, measured.seconds_left) == (0, None)
    clock.sleep(5)
    measured.advance(10 * MB)
    assert measured.done_bytes == 90 * MB
    assert measured.bytes_per_second == measured.mean_bytes_per_second == 2 * MB
    assert measured.seconds_left == 5


def test_stalled_work_has_no_rate_in_the_end(clock: FakeClock) -> None:
    """Where nothing comes any more the rate falls to nothing, and no time left is promised."""
    measured = meter(clock, 100 * MB)
    clock.sleep(1)
    measured.advance(10 * MB)
    clock.sleep(9)
    assert measured.bytes_per_second == MB
    clock.sleep(10)
    assert (measured.bytes_per_second, measured.seconds_left) == (0, None)


def test_work_done_again_is_worked_twice_and_done_once(clock: FakeClock) -> None:
    """What was fetched in vain took its time: it stays in the rate, and is no longer done."""
    measured = meter(clock, 10 * MB)
    for count in (10 * MB, -10 * MB, 10 * MB):
        clock.sleep(1)
        measured.advance(count)
    assert (measured.done_bytes, measured.worked_bytes) == (10 * MB, 20 * MB)


def test_many_threads_lose_no_byte(clock: FakeClock) -> None:
    """Every byte counts, however many threads tell of them at once."""
    measured = meter(clock, 8000)

    def tell() -> None:
        for _ in range(1000):
            measured.advance(1)

    threads = [threading.Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (measured.done_bytes, measured.worked_bytes) == (8000, 8000)


# Bars.


def drawn(clock: FakeClock, width: int) -> str:
    """Give the bar of a long name, half done."""
    measured = meter(clock, 4000 * MB)
    clock.sleep(10)
    measured.advance(2000 * MB)
    return row("fetching", f"{'Very-Long-' * 6}Q4_K_M.gguf", measured, width)


def test_bar_shows_as_much_as_there_is_room_for(clock: FakeClock) -> None:
    """The name's end and the time left stand on every bar; sizes, rate and bar where they fit."""
    assert drawn(clock, 100).endswith("Q4_K_M.gguf ━━━━━━──────     2.0/4.0 GB 200.0 MB/s     0:10")
    assert drawn(clock, 70).endswith("Q4_K_M.gguf     2.0/4.0 GB 200.0 MB/s     0:10")
    assert drawn(clock, 60).endswith("Q4_K_M.gguf     2.0/4.0 GB     0:10")
    assert drawn(clock, 40).endswith("M.gguf  50%     0:10")


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=120),
    st.integers(min_value=40, max_value=200),
    st.integers(min_value=0, max_value=10**14),
    st.integers(min_value=0, max_value=10**14),
)
def test_bar_never_wraps(name: str, width: int, total: int, done: int) -> None:
    """Whatever the name, the sizes and the width from 40 columns on, a bar stays on its line, with
    room for the `^C` that a terminal echoes.
    """
    clock = FakeClock()
    measured = meter(clock, total)
    clock.sleep(3)
    measured.advance(min(done, total))
    assert len(row("verifying", name, measured, width)) <= width - 3


# Lines.


def test_large_file_is_told_at_its_start_each_quarter_and_its_end(
    clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal a large file gives a few lines, with rate and time left; a small one gives
    a single line; several give one more for all.
    """
    shown = console(clock)
    with shown.batch(2, 401 * MB) as batch:
        with batch.task("fetching", "acme/large.gguf", 400 * MB) as large:
            for _ in range(400):
                clock.sleep(0.1)
                large.advance(MB)
        with batch.task("fetching", "acme/small.gguf", MB) as small:
            clock.sleep(0.5)
            small.advance(MB)
    assert capsys.readouterr().err.splitlines() == [
        "fetching acme/large.gguf (400.0 MB)",
        "fetching acme/large.gguf: 25 %, 10.0 MB/s, 0:30 left",
        "fetching acme/large.gguf: 50 %, 10.0 MB/s, 0:20 left",
        "fetching acme/large.gguf: 75 %, 10.0 MB/s, 0:10 left",
        "fetching acme/large.gguf: done, 400.0 MB in 40.0 s (10.0 MB/s)",
        "fetching acme/small.gguf: done, 1.0 MB in 0.5 s (2.0 MB/s)",
        "2 of 2 files: 401.0 MB in 40.5 s (9.9 MB/s)",
    ]


def test_resumed_file_is_shown_as_what_it_is(
    clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an earlier run left is hashed, the rest fetched, the whole verified: each is called by
    its name, and only what is new makes the rate at the end.
    """
    with console(clock).task("fetching", "acme/large.gguf", 400 * MB) as progress:
        for _ in range(20):
            clock.sleep(0.1)
            progress.skip(10 * MB)
        clock.sleep(10)
        progress.advance(200 * MB)
        progress.advance(-100 * MB)
        progress.advance(100 * MB)
    assert capsys.readouterr().err.splitlines() == [
        "fetching acme/large.gguf (400.0 MB)",
        "hashing acme/large.gguf: 25 %",
        "hashing acme/large.gguf: 50 %",
        "fetching acme/large.gguf: done, 400.0 MB, 300.0 MB of it new, in 12.0 s (30.0 MB/s)",
    ]


def test_hashing_that_goes_on_is_called_so(
    clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest may have come long before all that was there is hashed: then the file is no longer
    fetched.
    """
    with console(clock).task("fetching", "acme/large.gguf", 400 * MB) as progress:
        for _ in range(10):
            clock.sleep(0.1)
            progress.skip(2 * MB)
            progress.advance(10 * MB)
        for _ in range(70):
            clock.sleep(0.1)
            progress.skip(4 * MB)
    told = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in told[1:4]] == [
        "fetching acme/large.gguf: 25 %",
        "hashing acme/large.gguf: 50 %",
        "hashing acme/large.gguf: 75 %",
    ]


def test_file_that_was_there_is_told_so(
    clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of which nothing was missing shows no rate."""
    with console(clock).task("adopting", "acme/a.gguf", MB) as progress:
        progress.skip(MB)
    assert capsys.readouterr().err == "adopting acme/a.gguf: done, 1.0 MB, all of it there before\n"


def test_failed_file_is_not_done_and_not_waited_for(
    clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that failed leaves no line but its error's; the total does not count its bytes, and no
    longer waits for them.
    """
    shown = console(clock)
    with shown.batch(2, 3 * MB) as batch:
        with pytest.raises(Unreachable):
            fail_amid(batch.task("fetching", "a.gguf", 2 * MB), MB)
        batch.leave_out(2 * MB)
        shown.warn("a: no answer")
        with batch.task("fetching", "b.gguf", MB) as progress:
            clock.sleep(1)
            progress.advance(MB)
    assert capsys.readouterr().err.splitlines() == [
        "warning: a: no answer",
        "fetching b.gguf: done, 1.0 MB in 1.0 s (1.0 MB/s)",
        "1 of 2 files: 1.0 MB in 1.0 s (2.0 MB/s)",
    ]


# Events.


def test_events_come_every_few_seconds_and_have_one_shape(
    clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `--log-format json` a file has an event at its start and end, and between them at most
    one in five seconds, however often it is heard of; so has the total.
    """
    size = 280 * MB
    with (
        console(clock, "json").batch(1, size) as batch,
        batch.task("fetching", "acme/a.gguf", size) as progress,
    ):
        for _ in range(56):
            clock.sleep(0.25)
            progress.advance(5 * MB)
    told = events(capsys)
    assert [item["event"] for item in told] == [
        "total.start",
        "transfer.start",
        "transfer.progress",
        "total.progress",
        "transfer.progress",
        "total.progress",
        "transfer.end",
        "total.end",
    ]
    files = [item for item in told if item["event"].startswith("transfer.")]
    keys = ("doing", "file", "done_bytes", "total_bytes", "bytes_per_second")
    assert [tuple(item[key] for key in keys) for item in files] == [
        ("fetching", "acme/a.gguf", 0, size, 0),
        ("fetching", "acme/a.gguf", 100 * MB, size, 20 * MB),
        ("fetching", "acme/a.gguf", 200 * MB, size, 20 * MB),
        ("fetching", "acme/a.gguf", 280 * MB, size, 20 * MB),
    ]
    head = {"time", "level", "message", "event"}
    assert all(set(item) == head | set(keys) for item in files)
    totals = [item for item in told if item["event"].startswith("total.")]
    sums = {"files", "files_done", "done_bytes", "total_bytes", "bytes_per_second"}
    assert all(set(item) == head | sums for item in totals)
    assert [(item["files_done"], item["files"]) for item in totals] == [(0, 1)] * 3 + [(1, 1)]


def test_failed_file_ends_with_an_event_of_its_own(
    clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever follows the events learns that a file is over, also where it failed."""
    shown = console(clock, "json")
    with pytest.raises(Unreachable):
        fail_amid(shown.task("fetching", "a.gguf", 10), 4)
    told = events(capsys)
    assert [item["event"] for item in told] == ["transfer.start", "transfer.failed"]
    assert told[-1]["done_bytes"] == 4
