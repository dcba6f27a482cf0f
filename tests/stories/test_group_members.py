"""`serve.group` from end to end: what a person writes, is shown, and finds in the config."""

from __future__ import annotations

import shutil

import pytest

from reconciler.core.runs import Outcome
from tests.support.fakes import FakeLlamaSwap
from tests.support.fuse import run_pass
from tests.support.llama_swap_loader import BEHAVIOURS, load
from tests.support.sandbox import CONFIG, Sandbox

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
IN_CODING = "    serve: {group: coding}\n"
THEIRS = "groups:\n  coding:\n    swap: false   # theirs\n    members:\n      - mine\n"


@pytest.fixture
def both(host: Sandbox) -> Sandbox:
    """A host whose hub has the files of two models."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    return host


def members(host: Sandbox, group: str = "coding") -> tuple[str, ...]:
    """Give a group's members as both versions of llama-swap read them."""
    found = [
        load(host.config.read_bytes(), behave=behave, environ={}).groups for behave in BEHAVIOURS
    ]
    assert found[0] == found[1]
    return tuple(found[0][group]["members"])


def test_a_group_is_made_for_two_models_and_goes_with_them(both: Sandbox) -> None:
    """The plan says who joins what; llama-swap loads the result; without them the file is what it
    was.
    """
    both.write_manifest(CHAT + IN_CODING + CODE + IN_CODING)
    assert both.run("--plan").out.count("group     joins coding (new)") == 2
    entries = [item for item in both.plan()["actions"] if item["action"] == "set_entry"]
    assert [item["group"] for item in entries] == [
        {"joins": "coding", "makes": True, "leaves": None, "removes": False, "again": False}
    ] * 2
    both.apply()
    assert members(both) == ("chat", "code")
    assert both.plan()["actions"] == []
    both.write_manifest(CHAT + CODE + IN_CODING)
    assert "~ chat\n    group     leaves coding\n" in both.run("--plan").out
    both.apply()
    assert members(both) == ("code",)
    both.write_manifest(CHAT)
    assert "group     leaves coding (which goes)" in both.run("--plan").out
    both.apply()
    both.write_manifest("")
    both.apply("--allow-prune")
    assert both.config.read_text() == CONFIG


def test_a_group_made_by_hand_gets_a_member_and_keeps_its_own(both: Sandbox) -> None:
    """Only one line is added; who was in it stays, and so do its settings."""
    both.config.write_text(CONFIG + THEIRS)
    both.write_manifest(CHAT + IN_CODING)
    both.apply()
    assert both.config.read_text().endswith(THEIRS + "      - chat\n")
    both.write_manifest("")
    both.apply("--allow-prune")
    assert both.config.read_text() == CONFIG + THEIRS


def test_a_member_taken_out_by_hand_is_put_back(both: Sandbox) -> None:
    """`status` and the plan tell of it, as of any other edit of what is ours."""
    both.config.write_text(CONFIG + THEIRS)
    both.write_manifest(CHAT + IN_CODING)
    both.apply()
    ours = both.config.read_text()
    both.config.write_text(ours.replace("      - chat\n", ""))
    shown = both.run("--plan").out
    assert "drift: chat: it was taken out of group coding by hand" in shown
    assert "1 to restore" in shown
    both.apply()
    assert both.config.read_text() == ours


def test_a_member_of_another_group_is_refused(both: Sandbox) -> None:
    """The refusal names the line, and nothing is brought or written."""
    both.config.write_text(CONFIG + THEIRS.replace("mine", "chat").replace("coding", "hand"))
    before = both.config.read_text()
    both.write_manifest(CHAT + IN_CODING)
    result = both.run("--yes")
    assert result.code == 1
    line = before[: before.index("- chat")].count("\n") + 1
    assert f"config.yaml:{line}: chat is a member of group hand by hand" in result.out + result.err
    assert both.config.read_text() == before


def test_a_lost_inventory_makes_members_found(both: Sandbox) -> None:
    """With nothing that says who put it in, a member is left where it is."""
    both.write_manifest(CHAT + IN_CODING)
    both.apply()
    shutil.rmtree(both.models / ".reconciler")
    both.apply()
    both.write_manifest(CHAT)
    both.apply()
    assert members(both) == ("chat",)


def test_an_unhealthy_group_is_taken_back(both: Sandbox) -> None:
    """llama-swap does not come up with the group: the config is as before, and a later run, with
    llama-swap mended, makes it again.
    """
    both.write_manifest(CHAT)
    swap = FakeLlamaSwap(config=both.config, models=both.models)
    assert run_pass(both, swap).report.outcome is Outcome.APPLIED
    before = both.config.read_bytes()
    swap.accepts = lambda config: "coding" not in config
    both.write_manifest(CHAT + IN_CODING)
    assert run_pass(both, swap).report.outcome is Outcome.ROLLED_BACK
    assert both.config.read_bytes() == before
    swap.accepts = lambda _: True
    assert run_pass(both, swap).report.outcome is Outcome.APPLIED
    assert members(both) == ("chat",)
    both.write_manifest(CHAT)
    run_pass(both, swap)
    assert both.config.read_bytes() == before
