"""`reconcile diff`: the change of llama-swap's config alone, told and not made."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest

from reconciler.adapters.store.run_lock import RunLock
from reconciler.adapters.system_clock import SystemClock
from tests.support.fakes import Heard
from tests.support.sandbox import Sandbox
from tests.support.terminal import at_terminal

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n    serve: {ttl: 300}\n"


@pytest.fixture
def applied(host: Sandbox) -> Sandbox:
    """A host on which one model was applied."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.apply()
    return host


def test_change_is_shown_and_not_made(applied: Sandbox) -> None:
    """Stdout is the diff and nothing else; no file of anybody changes, and the hub is not asked."""
    applied.write_manifest(CHAT.replace("300", "60"))
    before = applied.snapshot()
    applied.hub.forget_requests()
    result = applied.run("diff")
    assert applied.hub.requests == ()
    assert (result.code, result.err) == (0, "")
    head, other, place, *lines = result.out.splitlines()
    assert (head, other) == (f"--- {applied.config}", f"+++ {applied.config}")
    assert re.fullmatch(r"@@ -\d+(,\d+)? \+\d+(,\d+)? @@", place)
    assert [line for line in lines if not line.startswith(" ")] == [
        "-    ttl: 300",
        "+    ttl: 60",
    ]
    assert applied.snapshot() == before


def test_nothing_to_change_prints_nothing(applied: Sandbox) -> None:
    """Where config and manifest agree there is no output at all, and with either option 0."""
    for more in ((), ("--detailed-exitcode",)):
        result = applied.run("diff", *more)
        assert (result.code, result.out, result.err) == (0, "", "")


def test_pending_change_can_be_told_from_none(applied: Sandbox) -> None:
    """With --detailed-exitcode a change exits 3, as in a plan."""
    applied.write_manifest(CHAT.replace("300", "60"))
    assert applied.run("diff", "--detailed-exitcode").code == 3


def test_machines_get_lines_and_digests(applied: Sandbox) -> None:
    """As JSON it names both texts by digest and each line by its kind; after the run, they hold."""
    applied.write_manifest(CHAT.replace("300", "60"))
    told = applied.run("diff", "--json").json
    assert told["config"] == str(applied.config)
    assert told["before"] == sha256(applied.config.read_bytes()).hexdigest()
    assert [line for line in told["lines"] if line["kind"] in ("removed", "added")] == [
        {"kind": "removed", "text": "    ttl: 300"},
        {"kind": "added", "text": "    ttl: 60"},
    ]
    assert (told["refusals"], told["stalled"]) == ([], {})
    applied.apply()
    assert told["after"] == sha256(applied.config.read_bytes()).hexdigest()
    told = applied.run("diff", "--json").json
    assert (told["before"], told["lines"]) == (told["after"], [])


def test_diff_works_while_a_run_is_at_work(applied: Sandbox) -> None:
    """It takes no lock: another run may take hours to fetch."""
    applied.write_manifest(CHAT.replace("300", "60"))
    state = applied.models / ".reconciler"
    with RunLock(state, timeout_seconds=0, clock=SystemClock(), reporter=Heard()):
        result = applied.run("diff", "--lock-timeout", "0")
    assert (result.code, "+    ttl: 60" in result.out) == (0, True)


def test_secrets_beside_a_change_are_hidden(applied: Sandbox) -> None:
    """Neither diff nor plan prints an API key that stands next to what changes."""
    applied.config.write_text(f"{applied.config.read_text()}apiKeys: [mine-alone]\n")
    applied.write_manifest(f"{CHAT}    enabled: false\n")
    for words in (["diff"], ["--plan"]):
        result = applied.run(*words)
        assert " apiKeys: [***]" in result.out
        assert "mine-alone" not in result.out + result.err


def test_refused_change_is_shown_with_the_reason(applied: Sandbox) -> None:
    """What the guards hold back is shown all the same; stderr says why, and the exit code is 1."""
    applied.write_manifest("")
    result = applied.run("diff")
    assert result.code == 1
    assert "-  chat:" in result.out
    assert "this would remove every model" in result.err
    assert "--allow-prune" in result.err
    assert applied.run("diff", "--allow-prune").code == 0


def test_model_without_a_pin_is_told_and_not_resolved(applied: Sandbox) -> None:
    """Upstream is never asked: what only it could say is named on stderr, and the rest is shown."""
    applied.write_manifest(CHAT.replace("300", "60") + "  code:\n    source: acme/code-GGUF:Q8_0\n")
    applied.hub.forget_requests()
    result = applied.run("diff")
    assert result.code == 1
    assert "+    ttl: 60" in result.out
    assert "code is not in it: it has no pin" in result.err
    assert "reconcile lock" in result.err
    assert applied.hub.requests == ()


def test_new_config_and_no_config_at_all(host: Sandbox) -> None:
    """A file that is not there yet is all additions; where none is managed, that is an error."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    host.run("lock")
    host.config.unlink()
    result = host.run("diff")
    assert result.code == 0
    assert "@@ -0,0 +1," in result.out
    told = host.run("diff", "--json").json
    assert (told["before"], {line["kind"] for line in told["lines"]}) == (None, {"place", "added"})
    host.settings["RECONCILER_CONFIG"] = ""
    result = host.run("diff")
    assert result.code == 2
    assert "no llama-swap config is managed" in result.err


def test_terminal_gets_colors_unless_they_are_off(applied: Sandbox) -> None:
    """What comes is green and what goes is red; NO_COLOR and --no-color leave the text alone."""
    applied.write_manifest(CHAT.replace("300", "60"))
    with at_terminal(applied, "diff") as terminal:
        assert terminal.end() == 0
    assert "\x1b[31m-    ttl: 300\x1b[0m" in terminal.seen
    assert "\x1b[32m+    ttl: 60\x1b[0m" in terminal.seen
    plain: tuple[tuple[list[str], dict[str, str]], ...] = (
        (["--no-color"], {}),
        ([], {"NO_COLOR": "1"}),
    )
    for words, settings in plain:
        with at_terminal(applied, "diff", *words, settings=settings) as terminal:
            assert terminal.end() == 0
        assert "+    ttl: 60" in terminal.seen
        assert "\x1b[3" not in terminal.seen
