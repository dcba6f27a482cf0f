"""Download windows: what a run does while they are closed, and when one closes under it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reconciler.adapters.system_clock import local_zone
from reconciler.core.ports.reporting import Progress
from reconciler.core.runs import Outcome
from reconciler.core.windows import ANY_TIME, OpenTimes, parse_windows
from reconciler.engine.window import within_window
from reconciler.errors import Interrupted, WindowClosed
from tests.support.fakes import FakeClock, Heard
from tests.support.fuse import run_pass
from tests.support.sandbox import Sandbox

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
# FakeClock begins at midnight in UTC.
FIRST_HOUR = OpenTimes(windows=parse_windows("23:00-01:00"))


class WallClock(FakeClock):
    """A clock whose date goes on with what is slept."""

    def now(self) -> datetime:
        """The time now, in UTC."""
        return super().now() + timedelta(seconds=self.seconds)


class SlowlyHeard(Heard, Progress):
    """Every piece that arrives takes ten minutes."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    @contextmanager
    def task(self, doing: str, name: str, size_bytes: int) -> Iterator[Progress]:
        """Hear how it goes on."""
        with super().task(doing, name, size_bytes):
            yield self

    def advance(self, count_bytes: int) -> None:
        """Let time pass."""
        self._clock.sleep(600 if count_bytes else 0)

    def skip(self, count_bytes: int) -> None:
        """What was there takes no time."""


def later(hours: float) -> str:
    """Give the time on a clock in UTC that many hours from now."""
    return f"{datetime.now(UTC) + timedelta(hours=hours):%H:%M}"


def downloads(host: Sandbox) -> int:
    """Count what the hub's storage was asked for."""
    return sum(item.origin == "cdn" for item in host.hub.requests)


def test_closed_window_holds_back_downloads_and_nothing_else(host: Sandbox) -> None:
    """The plan says when it opens; a run applies the model whose bytes are here and fetches not one
    byte of the other, which waits. With the window off, or open, it comes.
    """
    here = host.add_repo("acme/chat-GGUF")["chat-Q4_K_M.gguf"]
    host.add_repo("acme/code-GGUF", seed=9)
    host.write_manifest(CHAT + CODE)
    found = host.models / CHAT_PATH
    found.parent.mkdir(parents=True)
    found.write_bytes(here)
    opens = later(2)
    host.settings |= {"TZ": "UTC", "RECONCILER_DOWNLOAD_WINDOW": f"{opens}-{later(3)}"}
    stall = host.plan()["stalled"]["code"]
    assert stall["waiting"]
    assert stall["reason"].endswith(f"the download window opens at {opens}")
    host.hub.forget_requests()
    result = host.run("--yes", "--json")
    assert (result.code, result.json["waiting"], result.json["added"]) == (4, ["code"], ["chat"])
    assert downloads(host) == 0
    assert "chat" in host.config.read_text()
    host.apply("--download-window", f"{later(-1)}-{later(1)}")
    assert downloads(host) > 0
    assert host.run("--plan", "--detailed-exitcode").code == 0


def test_option_switches_the_window_off(host: Sandbox) -> None:
    """Who cannot wait says so, and everything is fetched."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.settings |= {"TZ": "UTC", "RECONCILER_DOWNLOAD_WINDOW": f"{later(2)}-{later(3)}"}
    host.apply("--download-window", "off")


def test_window_that_closes_stops_the_download_and_keeps_what_arrived(host: Sandbox) -> None:
    """In the middle of a file the time is over: its model waits, which is told once, and the next
    night fetches only the rest.
    """
    data = host.add_repo("acme/chat-GGUF", size=16_000_000)["chat-Q4_K_M.gguf"]
    host.write_manifest(CHAT)
    clock = WallClock()
    heard = SlowlyHeard(clock)
    first = run_pass(host, clock=clock, reporter=heard, download_times=FIRST_HOUR)
    assert first.report.outcome is Outcome.PARTIAL
    assert first.report.waiting == ("chat",)
    (told,) = heard.warnings
    assert told.startswith("chat: the download window is closed, and opens at 23:00")
    assert host.model_files() == {}
    host.hub.forget_requests()
    second = run_pass(host, clock=FakeClock(), download_times=FIRST_HOUR)
    assert second.report.outcome is Outcome.APPLIED
    assert host.model_files()[CHAT_PATH] == data
    sent_bytes = sum(item.sent_bytes for item in host.hub.requests if item.origin == "cdn")
    assert sent_bytes < len(data)


def test_nothing_is_begun_after_the_window_has_closed() -> None:
    """A file whose turn comes too late is not asked for at all; where there is no window, it is
    handed its progress as it is.
    """
    clock, heard = WallClock(), Heard()
    host = cast(Any, SimpleNamespace(clock=clock, download_times=FIRST_HOUR))
    with heard.task("fetching", "x", 1) as progress:
        with within_window(host, progress) as given:
            given.skip(1)
        clock.sleep(3600)
        with pytest.raises(WindowClosed), within_window(host, progress):
            raise AssertionError("it was begun")
        host.download_times = ANY_TIME
        with within_window(host, progress) as given:
            assert given is progress


def test_interrupt_is_no_closed_window() -> None:
    """Ctrl-C while the window is open stays what it is."""
    host = cast(Any, SimpleNamespace(clock=WallClock(), download_times=FIRST_HOUR))
    with (
        Heard().task("fetching", "x", 1) as progress,
        pytest.raises(Interrupted, match="by hand"),
        within_window(host, progress),
    ):
        raise Interrupted("by hand")


def test_pass_outside_the_window_says_when_to_come_back(host: Sandbox) -> None:
    """What the watch loop goes by: the models that only the window holds back, and the seconds
    until it opens.
    """
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    times = OpenTimes(windows=parse_windows("01:00-07:00"))
    prepared = run_pass(host, clock=FakeClock(), download_times=times).prepared
    assert prepared.held == {"chat"}
    assert prepared.opens_in_seconds == pytest.approx(3600, abs=1)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Europe/Berlin", "01:00"), (":Asia/Tokyo", "09:00"), ("UTC", "00:00")],
)
def test_zone_is_the_one_that_is_named(name: str, shown: str) -> None:
    """`TZ` is heard as everywhere; a name that nobody knows is no error."""
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    assert midnight.astimezone(local_zone({"TZ": name})).strftime("%H:%M") == shown
    assert midnight.astimezone(local_zone({"TZ": "No/Where"})).tzinfo is not None
    assert midnight.astimezone(local_zone({})).tzinfo is not None
