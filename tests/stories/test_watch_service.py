"""A watch that runs for months: what it tells systemd, its log, and the people it serves."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.demo.hub_faults import Fault, Stall
from tests.support.sandbox import Sandbox
from tests.support.service_manager import Manager, abstract_name
from tests.support.waiting import wait_for
from tests.support.watching import serves, watching

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
_NO_NEW_PRIVILEGES, _MEMORY_DENY_WRITE_EXECUTE = 38, 65


@pytest.fixture
def manager(host: Sandbox) -> Iterator[Manager]:
    """Give the service manager that the host's watch runs under."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    with Manager(abstract_name()) as manager:
        host.settings["NOTIFY_SOCKET"] = manager.named
        yield manager


@contextmanager
def logging(host: Sandbox) -> Iterator[tuple[subprocess.Popen[str], list[dict[str, Any]]]]:
    """Run a watch that logs JSON; the list holds its log once the block has ended.

    Every line of it must be an object, and nothing may stand on stdout.
    """
    host.settings["RECONCILER_LOG_FORMAT"] = "json"
    process, entries = host.start("--watch"), list[dict[str, Any]]()
    try:
        yield process, entries
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    entries += map(json.loads, err.splitlines())
    assert all({"time", "level", "message"} <= entry.keys() for entry in entries)


def test_systemd_hears_of_a_watch_from_its_start_to_its_end(
    host: Sandbox, manager: Manager
) -> None:
    """It is ready before its first pass, which may take hours; says what it does; tells of the
    settings it reads again, and of its end.
    """
    with watching(host) as process:
        manager.wait_for("READY", "1")
        assert manager.hear() == {"STATUS": "working: the watch began"}
        assert manager.hear() == {"STATUS": "working: 1 to add"}
        told = manager.wait_for("STATUS", "resting, next look at")
        assert "; last: applied at" in told["STATUS"]
        host.write_manifest(CHAT + "    serve: {ttl: 11}\n")
        manager.wait_for("STATUS", "working: the manifest changed")
        manager.wait_for("STATUS", "resting")
        process.send_signal(signal.SIGHUP)
        told = manager.wait_for("RELOADING", "1")
        assert 0 <= time.monotonic_ns() // 1000 - int(told["MONOTONIC_USEC"]) < 60_000_000
        manager.wait_for("READY", "1")
        manager.wait_for("STATUS", "resting")
    manager.wait_for("STOPPING", "1")


def test_a_hub_that_does_not_answer_is_no_hang_and_a_log_that_nobody_takes_is(
    host: Sandbox, manager: Manager
) -> None:
    """Signs of life come while a pass waits for a server. They end where the loop no longer comes
    to its next step, as with a log that blocks; the service manager then starts it again.
    """
    host.settings |= {"WATCHDOG_USEC": "100000", "RECONCILER_RESYNC": "0.2"}
    host.hub.faults.add(Fault(effect=Stall(after_bytes=None), times=1))
    with logging(host) as (process, _):
        assert host.hub.wait_until_stalled()
        for _ in range(8):
            manager.wait_for("WATCHDOG", "1")
        assert not [told for told in manager.heard if "resting" in told.get("STATUS", "")]
        host.hub.release_stalled()
        manager.wait_for("STATUS", "resting")
        fill_up(Path(f"/proc/{process.pid}/fd/2"))
        host.write_manifest(CHAT + "    serve: {ttl: 11}\n")
        wait_for(lambda: manager.hear(seconds=0.6) is None, "the signs of life to end")


def fill_up(pipe: Path) -> None:
    """Write into a pipe until there is no room in it."""
    handle = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    try:
        fcntl.fcntl(handle, fcntl.F_SETPIPE_SZ, 4096)
        # Lines that are entries of a log, as whoever reads it expects.
        line = b'{"time": "", "level": "", "message": ""}\n'
        try:
            while True:
                os.write(handle, line)
        except BlockingIOError:
            pass
    finally:
        os.close(handle)


def test_a_log_for_machines_tells_of_each_pass_and_of_none_in_vain(
    host: Sandbox, manager: Manager
) -> None:
    """Every line is an object, also of what people read elsewhere; a pass that finds nothing to do
    leaves no line.
    """
    host.settings["RECONCILER_RESYNC"] = "0.05"
    with logging(host) as (_, entries):
        for _ in range(4):
            manager.wait_for("STATUS", "resting")
    passes = [entry for entry in entries if "." not in entry.get("event", ".")]
    events = [entry["event"] for entry in passes]
    assert events == ["pass_begins", "plan", "run", "rests", "stopped"]
    began, plan, run, rests, _ = passes
    assert began["reason"] == plan["reason"] == run["reason"] == "the watch began"
    assert (plan["added"], run["added"], run["outcome"]) == (["chat"], ["chat"], "applied")
    assert plan["fetch_bytes"] == run["fetched_bytes"] > 0
    assert run["duration_seconds"] > 0
    assert 0 <= rests["seconds"] <= 0.05


def test_what_each_pass_would_repeat_is_said_once(host: Sandbox, manager: Manager) -> None:
    """A manifest that stays wrong is told once, though it is looked at again and again; so is what
    ends that. A person who saves it again, still wrong, hears it again.
    """
    host.settings["RECONCILER_RESYNC"] = "0.05"
    with logging(host) as (_, entries):
        manager.wait_for("STATUS", "last: applied")
        for note in ("one", "two"):
            # At once: half of it would be wrong in another way.
            atomic = host.manifest.with_name("new")
            atomic.write_text(f"version: 1\nmodels: {{chat: {{sorce: x}}}}  # {note}\n")
            atomic.replace(host.manifest)
            manager.wait_for("STATUS", "working: the manifest changed")
            for _ in range(4):
                manager.wait_for("STATUS", "last: failed")
        host.write_manifest(CHAT)
        manager.wait_for("STATUS", "last: in sync")
    warnings = [entry["message"] for entry in entries if entry["level"] == "warning"]
    assert len(warnings) == 2, warnings
    assert all("last good state stays" in message for message in warnings)
    well = [entry["message"] for entry in entries if "well again" in entry["message"]]
    assert len(well) == 1


def test_who_mends_a_manifest_hears_that_it_is_well(host: Sandbox, manager: Manager) -> None:
    """Where a mended manifest leaves nothing to do, one line says so, after one failure too."""
    with logging(host) as (_, entries):
        manager.wait_for("STATUS", "last: applied")
        host.manifest.write_text("version: 1\nmodels: [\n")
        manager.wait_for("STATUS", "last: failed")
        host.write_manifest(CHAT)
        manager.wait_for("STATUS", "last: in sync")
    messages = [entry["message"] for entry in entries]
    assert messages.count("it is well again") == 1, messages


def test_a_model_that_stays_missing_is_told_once(host: Sandbox, manager: Manager) -> None:
    """What a plan of a watch lacks is said with its first pass, and not with each that follows."""
    host.settings["RECONCILER_RESYNC"] = "0.05"
    host.write_manifest(CHAT + "  gone:\n    source: acme/gone-GGUF:Q4_K_M\n")
    with watching(host) as process:
        for _ in range(5):
            manager.wait_for("STATUS", "resting")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert out.count("1 added") == 1
    assert out.count("acme/gone-GGUF") <= 2, out
    assert err.count("acme/gone-GGUF") <= 1, err


def test_a_model_that_cannot_be_had_is_told_without_a_plan(host: Sandbox, manager: Manager) -> None:
    """Where no plan is printed (nothing to do, or a log of objects) a stalled model is one warning,
    with its reason and the next step, and not one for each pass.
    """
    host.settings["RECONCILER_RESYNC"] = "0.05"
    host.apply()
    host.write_manifest(CHAT + "  gone:\n    source: acme/gone-GGUF:Q4_K_M\n")
    with watching(host) as process:
        for _ in range(5):
            manager.wait_for("STATUS", "resting")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert err.count("warning: gone is stalled: acme/gone-GGUF") == 1, err
    with logging(host) as (_, entries):
        for _ in range(5):
            manager.wait_for("STATUS", "resting")
    told = [entry for entry in entries if "gone is stalled" in entry["message"]]
    assert [entry["level"] for entry in told] == ["warning"]
    assert "HF_TOKEN" in told[0]["hint"]


def keep_notices(host: Sandbox) -> Callable[[], list[dict[str, Any]]]:
    """Have a command keep each notice of the host's watch; gives what reads them."""
    kept = host.home / "notices"
    kept.touch()
    script = host.home / "notify"
    script.write_text(f"#!/bin/sh\ncat >>{kept}\n")
    script.chmod(0o755)
    host.settings["RECONCILER_NOTIFY_COMMAND"] = str(script)
    return lambda: [json.loads(line) for line in kept.read_text().splitlines()]


def test_people_are_notified_once_for_each_event(host: Sandbox, manager: Manager) -> None:
    """A command hears of what was applied, of a failure once however often it is met, and of its
    end.
    """
    host.settings["RECONCILER_RESYNC"] = "0.05"
    notices = keep_notices(host)
    with watching(host):
        wait_for(lambda: len(notices()) == 1, "the first notice")
        host.manifest.write_text("version: 1\nmodels: [\n")
        for _ in range(5):
            manager.wait_for("STATUS", "last: failed")
        host.write_manifest(CHAT)
        wait_for(lambda: len(notices()) == 3, "all notices")
    told = [(notice["event"], notice["models"]) for notice in notices()]
    assert told == [("applied", ["chat"]), ("failed", []), ("applied", [])]
    assert notices()[0]["text"].endswith("applied: added chat")
    assert "home.yaml" in notices()[1]["message"]


def test_nobody_hears_of_what_they_did_not_ask_for(host: Sandbox, manager: Manager) -> None:
    """With fewer events chosen, the others start no command; a hook that is gone holds up nothing,
    and no word of its URL's path is logged.
    """
    host.settings |= {
        "RECONCILER_NOTIFY_URL": "http://127.0.0.1:1/hooks/very-secret",
        "RECONCILER_NOTIFY_ON": "failed",
    }
    notices = keep_notices(host)
    with logging(host) as (_, entries):
        manager.wait_for("STATUS", "last: applied")
        host.manifest.write_text("version: 1\nmodels: [\n")
        manager.wait_for("STATUS", "last: failed")
        host.write_manifest(CHAT + "    serve: {ttl: 11}\n")
        serves(host, "ttl: 11")
    assert {notice["event"] for notice in notices()} == {"failed"}
    unsent = [entry for entry in entries if "cannot be notified" in entry["message"]]
    assert len(unsent) == 1
    assert "http://127.0.0.1" in unsent[0]["message"]
    assert "very-secret" not in json.dumps(entries)


def test_a_web_hook_that_is_none_is_refused_without_repeating_it(host: Sandbox) -> None:
    """The setting is named, and its value is not: it may be a secret all the same."""
    host.write_manifest("")
    host.settings["RECONCILER_NOTIFY_URL"] = "very-secret"
    result = host.run("--watch")
    assert result.code == 2
    assert "RECONCILER_NOTIFY_URL: is no http or https URL" in result.err
    assert "very-secret" not in result.err


def test_it_runs_with_the_rights_that_the_unit_leaves_it(host: Sandbox) -> None:
    """No memory that is both written and executed, and no new privileges: a whole run is done."""

    def restrict() -> None:
        library = ctypes.CDLL(None, use_errno=True)
        for option in (_MEMORY_DENY_WRITE_EXECUTE, _NO_NEW_PRIVILEGES):
            if library.prctl(option, 1, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")

    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    process = host.start("--yes", preexec_fn=restrict)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    serves(host, "chat-Q4_K_M.gguf")


def test_taking_our_entries_out_leaves_the_models_and_the_config_as_it_was(host: Sandbox) -> None:
    """What the operations guide says of a removal: one run without models, whose files are kept."""
    before = host.config.read_bytes()
    files = host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    host.write_manifest("", policy="{prune: keep}")
    host.apply("--allow-prune")
    assert host.config.read_bytes() == before
    assert files["chat-Q4_K_M.gguf"] in host.model_files().values()
