"""How the command behaves towards others: no faster than it may, and asking nothing twice."""

from __future__ import annotations

import time

from tests.support.hub_client import asked_of
from tests.support.sandbox import Sandbox

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"


def test_limit_holds_for_all_files_together(host: Sandbox) -> None:
    """With --limit-rate a run takes as long as its bytes need at that rate."""
    host.add_repo("acme/chat-GGUF", size=500_000)
    host.add_repo("acme/code-GGUF", size=500_000, seed=5)
    host.write_manifest(CHAT + CODE)
    begun = time.monotonic()
    assert host.run("--yes", "--limit-rate", "1M").code == 0
    assert time.monotonic() - begun >= 0.9
    assert len(host.model_files()) == 4


def test_plans_ask_the_hub_once_a_day(host: Sandbox) -> None:
    """Planning again asks nothing, nor does planning offline; a time of 0 asks each time."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    first = host.run("--plan")
    assert len(asked_of(host.hub, "hub")) == 2
    assert host.run("--plan").out == first.out
    assert host.run("--plan", "--offline").out == first.out
    assert len(asked_of(host.hub, "hub")) == 2
    host.settings["RECONCILER_METADATA_TTL"] = "0"
    assert host.run("--plan").out == first.out
    # The files of that commit are known; what `main` stands for is asked.
    assert len(asked_of(host.hub, "hub")) == 3


def test_apply_does_what_was_planned_and_update_what_is_newest(host: Sandbox) -> None:
    """A pin is made from the commit that the plan before it showed, and update moves it on."""
    planned = host.add_repo("acme/chat-GGUF")["chat-Q4_K_M.gguf"]
    host.write_manifest(CHAT)
    host.run("--plan")
    newest = host.add_repo("acme/chat-GGUF", seed=9)["chat-Q4_K_M.gguf"]
    host.apply()
    path = "acme/chat-GGUF/chat-Q4_K_M.gguf"
    assert host.model_files()[path] == planned
    assert host.run("update", "chat").code == 0
    host.apply()
    assert host.model_files()[path] == newest


def test_file_that_came_since_is_found(host: Sandbox) -> None:
    """A quantisation uploaded after the last look is not missing for a day."""
    host.hub.add_commit("acme/chat-GGUF", {"README.md": b"soon"})
    host.write_manifest(CHAT)
    assert host.run("--plan").code == 1
    host.add_repo("acme/chat-GGUF")
    assert host.run("--plan").code == 0
