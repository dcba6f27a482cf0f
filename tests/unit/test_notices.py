"""What people are told of a watch, and how it reaches them: once for each event, and in time."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.base.http import HttpClient
from reconciler.adapters.notify import CommandSender, Notifier, WebHookSender
from reconciler.adapters.system_clock import SystemClock
from reconciler.core.desired import Stall
from reconciler.core.names import ModelId
from reconciler.core.notice import Event, Notice, Notices, notice_to_json
from reconciler.core.runs import Outcome, RunReport
from reconciler.core.sameness import sameness
from reconciler.errors import (
    Fault,
    Interrupted,
    ManifestInvalid,
    ReconcilerError,
    Refused,
    RuntimeUnavailable,
    Unreachable,
)
from tests.support.fakes import Heard
from tests.support.waiting import wait_for

SECRET = "T00-very-secret"
MINUTE = 60.0
NOTICE = notice_to_json(
    Notice(event=Event.APPLIED, message="added chat", models=("chat", "code"), run="r1"),
    host="home",
    at=datetime(2026, 1, 2, tzinfo=UTC),
)


class Told:
    """One watch's notices; each call gives what is told of an event, a minute after the last."""

    def __init__(self) -> None:
        self.notices = Notices()
        self.at_seconds = 0.0

    def run(
        self,
        outcome: Outcome,
        *,
        stalled: dict[str, Stall] | None = None,
        held: tuple[str, ...] = (),
        **more: Any,
    ) -> Notice | None:
        """A run came to its end."""
        self.at_seconds += MINUTE
        return self.notices.of_run(
            RunReport(run="r1", started_at="", outcome=outcome, **more),
            stalled={ModelId(key): stall for key, stall in (stalled or {}).items()},
            held=frozenset(map(ModelId, held)),
            at_seconds=self.at_seconds,
        )

    def error(self, error: ReconcilerError) -> Notice | None:
        """A pass was ended by an error."""
        self.at_seconds += MINUTE
        return self.notices.of_error(error, at_seconds=self.at_seconds)


def event_of(notice: Notice | None) -> Event | None:
    """Give what a notice is of."""
    return notice.event if notice else None


def test_what_was_applied_is_told_with_its_models() -> None:
    """A run that changed something is told each time; one that found nothing is not."""
    told = Told()
    notice = told.run(Outcome.APPLIED, added=("chat",), removed=("old",))
    assert notice == Notice(
        event=Event.APPLIED, message="added chat; removed old", models=("chat", "old"), run="r1"
    )
    assert told.run(Outcome.IN_SYNC) is None
    assert event_of(told.run(Outcome.APPLIED, updated=("chat",))) is Event.APPLIED
    assert event_of(told.run(Outcome.APPLIED)) is Event.APPLIED


def test_a_failure_is_told_once_until_it_changes_or_was_over() -> None:
    """Tries that fail alike say nothing more; another failure does, and so does one that is back
    after a success.
    """
    told = Told()
    full = Refused("the disk lacks 3.2 GB", hint="make room")
    assert event_of(told.error(full)) is Event.FAILED
    assert told.error(Refused("the disk lacks 3.1 GB", hint="make room")) is None
    assert event_of(told.error(Refused("chat is protected"))) is Event.FAILED
    assert told.error(Refused("chat is protected")) is None
    assert event_of(told.run(Outcome.IN_SYNC)) is Event.APPLIED
    assert told.run(Outcome.IN_SYNC) is None
    assert event_of(told.error(Refused("chat is protected"))) is Event.FAILED


def test_a_wrong_manifest_is_told_at_once_and_each_new_fault_of_it() -> None:
    """It needs a person, so there is nothing to wait for."""
    told = Told()

    def wrong(line: int) -> ManifestInvalid:
        return ManifestInvalid([Fault(path="home.yaml", line=line, column=1, message="no")])

    assert event_of(told.error(wrong(3))) is Event.FAILED
    assert told.error(wrong(3)) is None
    assert event_of(told.error(wrong(4))) is Event.FAILED


def test_what_may_pass_by_itself_is_told_once_it_has_lasted() -> None:
    """A network or an engine that is away for some minutes is no news; for 15 minutes it is, once,
    whatever words each try has for it.
    """
    told = Told()
    for _ in range(15):
        assert told.error(Unreachable("no answer in time")) is None
    notice = told.error(RuntimeUnavailable("the engine does not answer"))
    assert event_of(notice) is Event.FAILED
    assert told.error(Unreachable("refused")) is None
    assert event_of(told.run(Outcome.IN_SYNC)) is Event.APPLIED
    told.at_seconds += 60 * MINUTE
    # Not for as long as that: only now it began to fail.
    assert told.error(Unreachable("no answer in time")) is None


def test_two_tries_are_too_few_however_long_they_took() -> None:
    """Where each try takes long, several of them must fail before anybody is told."""
    told = Told()
    for expected in (None, None, Event.FAILED, None):
        told.at_seconds += 60 * MINUTE
        assert event_of(told.error(Unreachable("no answer in time"))) is expected


def test_one_model_that_fails_is_a_failure_though_the_rest_is_applied() -> None:
    """The failure is told with its reason; later runs tell what they apply beside it."""
    told = Told()
    stall = Stall(reason="the repository is gone", hint="look at its name")
    gone: dict[str, Any] = {"failed": ("b",), "reasons": (stall.reason,), "stalled": {"b": stall}}
    notice = told.run(Outcome.PARTIAL, added=("a",), commit="c0ffee", **gone)
    assert notice is not None
    assert (notice.event, notice.models) == (Event.FAILED, ("b",))
    assert (notice.message, notice.hint) == ("b: the repository is gone", "look at its name")
    assert (notice.run, notice.commit) == ("r1", "c0ffee")
    assert told.run(Outcome.PARTIAL, **gone) is None
    notice = told.run(Outcome.PARTIAL, added=("c",), **gone)
    assert notice is not None
    assert (notice.event, notice.models) == (Event.APPLIED, ("c",))


def test_a_model_that_waits_for_its_window_is_no_failure() -> None:
    """It was asked to wait; one that waits for the network is told once that has lasted."""
    told = Told()
    for _ in range(30):
        assert told.run(Outcome.PARTIAL, failed=("a",), waiting=("a",), held=("a",)) is None
    events = {event_of(told.run(Outcome.PARTIAL, failed=("a",), waiting=("a",))) for _ in range(30)}
    assert events == {None, Event.FAILED}


def test_a_rollback_is_told_once() -> None:
    """It is told when it happens; that it is not tried again is no news."""
    told = Told()
    notice = told.run(Outcome.ROLLED_BACK, message="it does not answer", added=("a",))
    assert event_of(notice) is Event.ROLLED_BACK
    assert told.run(Outcome.DECLINED) is None
    assert told.run(Outcome.ROLLED_BACK, message="it does not answer", added=("a",)) is None
    assert event_of(told.run(Outcome.APPLIED, added=("a",))) is Event.APPLIED


def test_an_interrupt_is_nobodys_failure() -> None:
    """Who stops a run knows that it did not end well."""
    assert Told().error(Interrupted("interrupted")) is None


def test_messages_are_the_same_whatever_they_measure() -> None:
    """Sizes, times and names of runs and requests differ with each try; names, lines and versions
    count.
    """
    assert sameness("12.5 GB of 30 GiB, in 3 s") == sameness("13 GB of 29.9 GiB, in 14 s")
    assert sameness("run 2026-a was cut short") == sameness("run 2026-b was cut short")
    assert sameness("at 2026-01-02T03:04:05+00:00") == sameness("at 2026-01-02T03:14:05+00:00")
    first, next_one = (f"no (answer 401 Unauthorized, request {name})" for name in ("1-0f", "2-a"))
    assert sameness(first) == sameness(next_one)
    for names in (("model-7b", "model-8b"), ("Qwen3-8B", "Qwen3-70B"), ("phi-1.5B", "phi-2.5B")):
        one, other = (sameness(f"{name}: gone") for name in names)
        assert one != other
    assert sameness("home.yaml:3:5: no") != sameness("home.yaml:4:5: no")


def test_a_long_name_takes_no_time_to_compare() -> None:
    """A name may be as long as somebody likes, and of digits alone."""
    began = time.monotonic()
    assert sameness("7" * 100_000) == "7" * 100_000
    assert time.monotonic() - began < 10


def test_models_of_two_sizes_are_two_failures() -> None:
    """A name that looks like a size is still the name of one model."""
    told = Told()
    for size in ("8B", "70B"):
        assert told.run(Outcome.PARTIAL, failed=(size,), reasons=("gone",)) is not None
        assert told.run(Outcome.PARTIAL, failed=(size,), reasons=("gone",)) is None


def test_a_notice_says_all_in_one_line_too() -> None:
    """Chats show `text` or `content`; whatever is long is cut."""
    assert NOTICE["text"] == NOTICE["content"] == "home: applied: added chat"
    long = Notice(event=Event.FAILED, message="x" * 9000)
    assert len(notice_to_json(long, host="h", at=datetime.now(UTC))["text"]) == 1000


@contextmanager
def web_hook(*statuses: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give the URL of a web hook, whose path is a secret, and what was posted to it.

    It answers with `statuses`, and then with 200.
    """
    left, posted = list(statuses), []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append({"path": self.path, "headers": dict(self.headers), **json.loads(body)})
            self.send_response(left.pop(0) if left else 200)
            self.send_header("Location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hooks/{SECRET}", posted
        finally:
            server.shutdown()
            thread.join()


def script(folder: Path, body: str) -> tuple[str, ...]:
    """Give a command that runs a shell script."""
    path = folder / "notify.sh"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return (str(path),)


def has_ended(pid: int) -> bool:
    """Whether a process is over, be it that nobody has asked for its status yet."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_a_command_gets_the_notice_twice_and_no_secret(tmp_path: Path) -> None:
    """The notice stands on its stdin as JSON and in variables; the token of the hub does not."""
    out = tmp_path / "out"
    words = script(tmp_path, f"cat >{out}; env >>{out}")
    environ = {"PATH": os.environ["PATH"], "HF_TOKEN": "hf_secretsecret", "RECONCILER_X": "y"}
    CommandSender(words, environ=environ).send(NOTICE)
    document, *variables = out.read_text().splitlines()
    assert json.loads(document) == NOTICE
    assert "RECONCILER_NOTICE_EVENT=applied" in variables
    assert "RECONCILER_NOTICE_MODELS=chat,code" in variables
    assert not [line for line in variables if "hf_secret" in line or "RECONCILER_X" in line]


def test_a_web_hook_gets_the_notice_as_json() -> None:
    """It is posted, whole, with the type that receivers look for."""
    with web_hook() as (url, posted), HttpClient(clock=SystemClock()) as client:
        WebHookSender(url, client).send(NOTICE)
    assert posted[0] | NOTICE == posted[0]
    assert posted[0]["headers"]["Content-Type"] == "application/json"
    assert posted[0]["path"] == f"/hooks/{SECRET}"


def test_who_cannot_be_told_is_one_warning_without_the_secret() -> None:
    """A hook that refuses, leads elsewhere or is gone is told once until it is well again; no word
    of it holds more of its URL than the host.
    """
    heard = Heard()
    with HttpClient(clock=SystemClock()) as client:
        with web_hook(500, 500, 302, 200, 500) as (url, posted):
            with Notifier([WebHookSender(url, client)], reporter=heard) as notifier:
                for _ in range(5):
                    notifier.send(NOTICE)
            assert len(posted) == 5
        for gone in (url, f"http://no-such-host.invalid/{SECRET}", f"ftp://x/{SECRET}", SECRET):
            with Notifier([WebHookSender(gone, client)], reporter=heard) as notifier:
                notifier.send(NOTICE)
    answers = [line for line in heard.warnings if "answered" in line]
    assert [line.split("answered ")[1] for line in answers] == ["500", "302", "500"]
    assert len(heard.warnings) == 3 + 4
    assert not [line for line in heard.warnings if SECRET in line]


def test_a_web_hook_that_drips_is_given_up() -> None:
    """Whoever answers a byte at a time keeps nobody, and the next notice is sent all the same."""

    def drip() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            for _ in range(100):
                if over.wait(0.02):
                    break
                connection.sendall(b"x")

    over = threading.Event()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        HttpClient(clock=SystemClock()) as client,
    ):
        url = f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}"
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with pytest.raises(Unreachable, match="no answer in time") as told:
                client.post(url, b"{}", content_type="application/json", within_seconds=0.3)
        finally:
            over.set()
            thread.join()
        assert SECRET not in str(told.value)
        with web_hook() as (well, posted):
            client.post(well, b"{}", content_type="application/json", within_seconds=5)
        assert len(posted) == 1


def test_a_command_that_fails_is_told_with_its_last_line(tmp_path: Path) -> None:
    """What it printed last, or that it is not there, is what helps to mend it."""
    heard = Heard()
    words = script(tmp_path, "echo first; echo the mail server is away >&2; exit 7")
    for command in (words, ("/no/such/program",)):
        with Notifier([CommandSender(command, environ={})], reporter=heard) as notifier:
            notifier.send(NOTICE)
    assert "the command ended with 7: the mail server is away" in heard.warnings[0]
    assert "the command cannot be run: No such file or directory" in heard.warnings[1]


def test_nobody_waits_for_one_that_does_not_end(tmp_path: Path) -> None:
    """Notices are taken at once while a command hangs, up to a number; at the end it is given
    some seconds, and is then ended with all that it started. No other is begun after it.
    """
    heard = Heard()
    words = script(tmp_path, f"sleep 600 & echo $! >{tmp_path}/pid; wait")
    clock = SystemClock()
    (tmp_path / "pid").touch()
    sender = CommandSender(words, environ={"PATH": "/bin"})
    with Notifier([sender], reporter=heard, leaving_seconds=0.2) as notifier:
        began = clock.monotonic()
        for _ in range(100):
            notifier.send(NOTICE)
        assert clock.monotonic() - began < 30
        wait_for(lambda: "\n" in (tmp_path / "pid").read_text(), "the command to run")
        began = clock.monotonic()
    assert clock.monotonic() - began < 30
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: has_ended(pid), "its child to end")
    wait_for(lambda: "notify" not in [it.name for it in threading.enumerate()], "the thread's end")
    assert not [line for line in heard.warnings if "given up" in line]
    assert [line for line in heard.warnings if "too many" in line]
