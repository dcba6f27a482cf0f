"""A model gets a new ID from end to end: the manifest says so, and nothing is fetched again."""

from __future__ import annotations

import json

import pytest

from reconciler.core.runs import Outcome
from tests.support.fakes import FakeLlamaSwap
from tests.support.fuse import opened, run_pass
from tests.support.sandbox import Sandbox

OLD = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
NEW = "  talk:\n    source: acme/chat-GGUF:Q4_K_M\n    renamed_from: chat\n"
BACK = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n    renamed_from: talk\n"
OTHER = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"


@pytest.fixture
def applied(host: Sandbox) -> Sandbox:
    """A host with two models, the first of which a person has edited and refers to."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(OLD + OTHER)
    host.apply()
    config = host.config.read_text().replace("  chat:", "  chat:  # by hand")
    groups = "groups:\n  g:\n    members:\n      - chat\n      - code\n"
    host.config.write_text(config + groups)
    host.hub.forget_requests()
    return host


def test_rename_there_and_back(applied: Sandbox) -> None:
    """Only names change, in config, lock and inventory: no request is made, no file is touched, and
    the way back leaves everything as it was.
    """
    before = applied.snapshot(with_state=False)
    config, lock = applied.config.read_text(), applied.lock.read_text()
    applied.write_manifest(NEW + OTHER)
    actions = applied.plan()["actions"]
    assert [item["action"] for item in actions] == ["rename", "edit_reference"]
    assert (actions[0]["old"], actions[0]["model"]) == ("chat", "talk")
    place = {"kind": "group", "place": "groups.g.members.0", "before": "chat", "after": "talk"}
    assert actions[1].items() >= place.items()
    result = applied.run()  # Nobody need be asked.
    assert result.code == 0, result.err
    assert "~ talk\n    renamed   from chat" in result.out
    renamed = config.replace("  chat:", "  talk:").replace("- chat", "- talk")
    assert applied.config.read_text() == renamed
    assert json.loads(applied.lock.read_text())["models"].keys() == {"talk", "code"}
    assert applied.plan()["actions"] == []
    applied.write_manifest(BACK + OTHER)
    assert applied.run().code == 0
    assert (applied.config.read_text(), applied.lock.read_text()) == (config, lock)
    assert applied.hub.requests == ()
    after = applied.snapshot(with_state=False)
    files = [name for name in before if name.startswith("models/")]
    assert {name: after[name] for name in files} == {name: before[name] for name in files}


def test_rename_needs_no_network_and_no_new_pin(applied: Sandbox) -> None:
    """The old pin serves with --locked and --offline; `lock --check` says it is behind."""
    applied.write_manifest(NEW + OTHER)
    assert applied.run("lock", "--check").code == 3
    applied.apply("--locked", "--offline")
    assert "  talk:" in applied.config.read_text()


def test_lock_follows_without_asking_upstream(applied: Sandbox) -> None:
    """`lock` gives the pin its new name, to the last byte of it."""
    pin = json.loads(applied.lock.read_text())["models"]["chat"]
    applied.add_repo("acme/chat-GGUF", seed=9)
    applied.write_manifest(NEW + OTHER)
    assert applied.run("lock").code == 0
    assert json.loads(applied.lock.read_text())["models"]["talk"] == pin
    assert applied.hub.requests == ()
    assert [item["action"] for item in applied.plan()["actions"]] == ["rename", "edit_reference"]


def test_status_shows_one_model(applied: Sandbox) -> None:
    """A model that is about to be renamed is one line, under its new name, with its size."""
    applied.write_manifest(NEW + OTHER)
    models = {item["model"]: item for item in applied.run("status", "--json").json["models"]}
    assert models.keys() == {"talk", "code"}
    assert (models["talk"]["pending"], models["talk"]["files"]) == ("rename", 1)


def test_rename_from_a_declared_model_is_an_error_with_its_place(applied: Sandbox) -> None:
    """Both cannot have the one entry, so nothing is planned."""
    applied.write_manifest(OLD + NEW)
    result = applied.run("--plan")
    assert result.code == 2
    assert "home.yaml:7:19: 'chat' is declared itself" in result.err


def test_pins_that_were_moved_here_follow(host: Sandbox) -> None:
    """A tracked model keeps, under its new ID, the newer pin that this host holds for itself."""
    tracked = "    update: track\n"
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(OLD + tracked)
    host.apply()
    kept = host.models / ".reconciler" / "pins.lock"
    newer = host.add_repo("acme/chat-GGUF", seed=9)["chat-Q4_K_M.gguf"]
    locked = json.loads(host.lock.read_text())["models"]["chat"]
    assert host.run("update", "chat").code == 0
    moved = host.lock.read_text()
    host.lock.write_text(json.dumps({"version": 1, "models": {"chat": locked}}))
    pins = {"chat": json.loads(moved)["models"]["chat"]}
    text = {"version": 1, "models": pins, "instead_of": {"chat": locked}, "refused": {}}
    kept.write_text(json.dumps(text))
    host.apply()
    assert newer in host.model_files().values()
    host.write_manifest(NEW + tracked)
    assert [item["action"] for item in host.plan()["actions"]] == ["rename"]
    host.apply()
    assert json.loads(kept.read_text())["models"] == {"talk": pins["chat"]}
    assert json.loads(host.lock.read_text())["models"] == {"talk": locked}
    assert host.plan()["actions"] == []


def test_llama_swap_that_does_not_come_up_gets_the_old_name_back(applied: Sandbox) -> None:
    """A rename that fails the gate is taken back whole: config, lock and ledger."""
    config, lock = applied.config.read_text(), applied.lock.read_text()
    swap = FakeLlamaSwap(
        config=applied.config, models=applied.models, accepts=lambda text: "talk" not in text
    )
    applied.write_manifest(NEW + OTHER)
    assert run_pass(applied, swap).report.outcome is Outcome.ROLLED_BACK
    assert (applied.config.read_text(), applied.lock.read_text()) == (config, lock)
    with opened(applied) as (host, _):
        assert host.inventory.load_ledger().models.keys() == {"chat", "code"}
    swap.accepts = lambda _: True
    assert run_pass(applied, swap).report.outcome is Outcome.APPLIED
    assert swap.model_ids() >= {"talk"}
    assert "chat" not in swap.model_ids()
