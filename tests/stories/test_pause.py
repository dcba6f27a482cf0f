"""`reconcile pause` and `resume`: a person holds the watch, and lets it go again."""

from __future__ import annotations

import json
import re
import socket
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.demo.hub_faults import Fault, Slow
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from tests.support.watching import serves, wait_for_line, watching

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"


@pytest.fixture
def applied(host: Sandbox) -> Sandbox:
    """A host with one model applied."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    return host


def with_ttl(host: Sandbox, ttl: int) -> None:
    """Save the manifest with another field."""
    host.write_manifest(f"{CHAT}    serve: {{ttl: {ttl}}}\n")


def test_watch_holds_still_until_it_is_resumed(applied: Sandbox) -> None:
    """While it is paused a save changes nothing, and its stop and its start again do not end the
    pause; once it is resumed what was saved is applied. Each of both is told once.
    """
    with watching(applied) as process:
        assert applied.run("pause").out.startswith("Paused until `reconcile resume`, by ")
        assert "paused until `reconcile resume`" in wait_for_line(process.stderr, "paused")
        with_ttl(applied, 11)
    with watching(applied) as process:
        wait_for_line(process.stderr, "paused")
        assert "ttl" not in applied.config.read_text()
        assert applied.run("resume").out == "Resumed\n"
        wait_for_line(process.stderr, "resumed")
        serves(applied, "ttl: 11")


def test_pause_ends_by_itself(applied: Sandbox) -> None:
    """With a time it ends then, and nobody has to wake the watch; a pause in place of one that is
    ordered already replaces its end.
    """
    assert applied.run("pause", "--until", "3h").code == 0
    with_ttl(applied, 12)
    with watching(applied) as process:
        wait_for_line(process.stderr, "paused")
        assert applied.run("pause", "--until", "0.5s").code == 0
        wait_for_line(process.stderr, "resumed")
        serves(applied, "ttl: 12")
    assert applied.run("status", "--json").json["pause"] is None
    assert applied.run("resume").out == "The watch was not paused\n"


def test_who_works_by_hand_works_on_and_is_told(applied: Sandbox) -> None:
    """A run and a plan go their way beside a pause, and say that there is one."""
    quiet = applied.run("--plan").err
    assert "paused" not in quiet
    assert applied.run("pause", "--until", "2h").code == 0
    for words in (["--plan"], ["--yes"]):
        result = applied.run(*words)
        assert result.code == 0
        assert "the watch is paused until" in result.err
    with_ttl(applied, 13)
    applied.apply()
    assert "ttl: 13" in applied.config.read_text()
    assert applied.run("resume").code == 0
    assert "paused" not in applied.run("--plan").err


def test_status_shows_the_pause(applied: Sandbox) -> None:
    """As text, and in JSON with its moments and who ordered it."""
    assert applied.run("status", "--json").json["pause"] is None
    before = datetime.now(UTC)
    ordered = applied.run("pause", "--until", "90m", "--json").json
    assert ordered.pop("paused") is True
    assert applied.run("status", "--json").json["pause"] == ordered
    since, until = (datetime.fromisoformat(ordered[key]) for key in ("since", "until"))
    assert before <= since <= datetime.now(UTC)
    assert until - since == timedelta(minutes=90)
    assert ordered["by"].endswith(f"@{socket.gethostname()}")
    assert re.search(r"^The watch is paused until .*\d\d:\d\d", applied.run("status").out, re.M)
    assert applied.run("resume", "--json").json == {"paused": False, "was_paused": True}
    assert applied.run("resume", "--json").json == {"paused": False, "was_paused": False}
    assert "paused" not in applied.run("status").out


@pytest.mark.parametrize(
    ("until", "words"),
    [
        ("soon", "is not a length of time"),
        ("25:00", "is no time of the day"),
        ("2020-01-01T00:00", "is over already"),
        ("0", "is over already"),
        ("-5m", "is not a length of time"),
        ("999999999d", "is too far away"),
        ("9999-12-31T23:59", "is too far away"),
        ("", "is not a length of time"),
    ],
)
def test_end_that_cannot_be_is_refused(applied: Sandbox, until: str, words: str) -> None:
    """As wrong usage, with what it takes; nothing is paused then, and a pause that is stays."""
    applied.settings["TZ"] = "America/New_York"
    for order in ([], ["pause"]):
        if order:
            applied.run(*order)
        result = applied.run("pause", f"--until={until}")
        assert (result.code, result.out) == (2, "")
        assert words in result.err
        assert "18:00" in result.err
        pause = applied.run("status", "--json").json["pause"]
        assert (pause is not None) == bool(order)
        assert pause is None or pause["until"] is None


def test_time_of_day_is_that_of_the_host(applied: Sandbox) -> None:
    """In the zone that windows use, whatever zone the moments are kept in."""
    applied.settings["TZ"] = "Asia/Tokyo"
    ordered = applied.run("pause", "--until", "18:00", "--json").json
    assert datetime.fromisoformat(ordered["until"]).strftime("%H:%M") == "09:00"
    assert "18:00" in applied.run("status").out


def test_damaged_file_holds_the_watch(applied: Sandbox) -> None:
    """Somebody wanted a pause: the watch holds still, says why, and goes on when it is resumed."""
    applied.run("pause")
    file = applied.models / ".reconciler" / "watch" / "pause.json"
    file.write_text('{"since": ')
    with_ttl(applied, 14)
    with watching(applied) as process:
        assert "pause.json cannot be read" in wait_for_line(process.stderr, "warning")
        wait_for_line(process.stderr, "paused")
        assert "ttl" not in applied.config.read_text()
        assert applied.run("resume").code == 0
        serves(applied, "ttl: 14")
    assert not file.exists()


def test_pause_before_the_first_run_holds_the_first_pass(host: Sandbox) -> None:
    """On a host where nothing was ever applied: the folder for it is made, and nothing is run."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    assert host.run("pause").code == 0
    with watching(host) as process:
        wait_for_line(process.stderr, "paused")
        assert host.model_files() == {}
        host.run("resume")
        serves(host, "chat")


def test_pass_under_way_is_finished_first(host: Sandbox) -> None:
    """Whoever pauses amid a pass gets that pass whole, and none after it."""
    host.add_repo("acme/chat-GGUF", size=1_200_000)
    slow = Fault(effect=Slow(bytes_per_second=1_000_000), path="*.gguf", origin="cdn", times=None)
    host.hub.faults.add(slow)
    host.write_manifest(CHAT)
    with watching(host, "--json") as process:
        wait_for(lambda: any(host.models.rglob("partial/*")), "a download")
        assert host.run("pause").code == 0
        with_ttl(host, 15)
        assert json.loads(wait_for_line(process.stdout, "outcome"))["outcome"] == "applied"
        wait_for_line(process.stderr, "paused")
        assert "ttl" not in host.config.read_text()


def test_pause_without_a_models_folder_says_what_to_name(host: Sandbox) -> None:
    """It lies with the models, so they must be known."""
    host.settings.pop("RECONCILER_MODELS_DIR", None)
    result = host.run("pause", "--models-dir", str(host.home / "nowhere"))
    assert result.code == 1
    assert "is not there" in result.err
