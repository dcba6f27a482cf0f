"""The stand-in in its container behaves as llama-swap does, so what passes against it counts."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from reconciler.adapters.llamaswap.events import requests_in_flight
from tests.support.engine import NO_PROXY, Engine, SwapContainer, start_llama_swap, wait_for

pytestmark = pytest.mark.docker

THIRD = '  "third":\n    cmd: ${serve} -m /models/first.gguf\n'


def chat(swap: SwapContainer, model: str, **more: object) -> str:
    """Ask a model for an answer; give the whole body as text."""
    body = json.dumps({"model": model, **more}).encode()
    with NO_PROXY.open(swap.url + "/v1/chat/completions", body, timeout=20) as answer:
        return bytes(answer.read()).decode()


def test_it_lists_and_serves_what_its_config_says(
    engine: Engine, config: Path, models: Path
) -> None:
    """Listed models are listed with their aliases, and a request starts the model's command."""
    swap = start_llama_swap(engine, config=config, models=models)

    listed = {entry["id"]: entry for entry in swap.get("/v1/models")["data"]}
    assert set(listed) == {"first", "second"}
    assert listed["first"]["meta"]["llamaswap"]["aliases"] == ["one"]
    assert swap.get("/running") == {"running": []}

    assert "served from /models/first.gguf" in chat(swap, "one")
    assert [up["model"] for up in swap.get("/running")["running"]] == ["first"]
    assert swap.get("/upstream/first/slots") == [{"id": 0, "is_processing": False}]

    with pytest.raises(urllib.error.HTTPError, match="502"):
        chat(swap, "second")
    with NO_PROXY.open(swap.url + "/logs", timeout=5) as answer:
        assert "/models/second.gguf is no GGUF file" in answer.read().decode()
    with NO_PROXY.open(swap.url + "/unload", timeout=10) as answer:
        assert answer.status == 200
    assert swap.get("/running") == {"running": []}


def test_a_config_it_refuses_ends_it_at_the_start(
    engine: Engine, config: Path, models: Path
) -> None:
    """A start with a bad config exits 1 and says why, as a crash loop in the field does."""
    config.write_text("models:\n  first:\n    cmd: llama-server --port 1234\n")
    swap = start_llama_swap(engine, config=config, models=models, wait=False)

    assert swap.exit_code() == 1
    assert "Error loading config" in swap.logs()


@pytest.mark.parametrize(("behave", "starts"), [("2025", True), ("2026", False)])
def test_only_the_newer_one_refuses_a_group_with_an_unknown_member(
    engine: Engine, config: Path, models: Path, behave: str, starts: bool
) -> None:
    """The versions differ where a group names a model that is gone."""
    config.write_text(config.read_text() + "groups:\n  g:\n    members: [first, gone]\n")
    swap = start_llama_swap(engine, config=config, models=models, behave=behave, wait=False)

    if starts:
        swap.wait_healthy()
    else:
        assert swap.exit_code() == 1


def test_a_hangup_kills_the_older_one(engine: Engine, config: Path, models: Path) -> None:
    """Version 2025 dies of SIGHUP, so nobody may send it one."""
    swap = start_llama_swap(engine, config=config, models=models, behave="2025")
    assert swap.get("/api/version")["version"] == "173"

    swap.container.kill("HUP")

    assert swap.exit_code() == 2


def test_a_hangup_makes_the_newer_one_reload(engine: Engine, config: Path, models: Path) -> None:
    """Version 2026 takes the changed config, and stops what ran, changed or not."""
    swap = start_llama_swap(engine, config=config, models=models)
    chat(swap, "first")
    config.write_text(config.read_text() + THIRD)
    assert swap.model_ids() == {"first", "second"}, "no reload unasked"

    swap.container.kill("HUP")

    wait_for(lambda: "third" in swap.model_ids(), "the third model", swap.logs)
    wait_for(lambda: swap.get("/running") == {"running": []}, "the first model's end", swap.logs)


@pytest.mark.parametrize("behave", ["2025", "2026"])
def test_watching_it_takes_a_good_config_and_keeps_the_old_one_for_a_bad(
    engine: Engine, config: Path, models: Path, behave: str
) -> None:
    """With `-watch-config` a bad edit is one line in the log; the next good one is taken."""
    good = config.read_text()
    swap = start_llama_swap(engine, config=config, models=models, behave=behave, watch=True)

    config.write_text("models: [")
    refusal = {"2025": "unable to reload configuration", "2026": "failed to reload config"}
    wait_for(lambda: refusal[behave] in swap.logs(), "the refusal", swap.logs)
    assert swap.model_ids() == {"first", "second"}

    new = config.with_name("new.yaml")
    new.write_text(good + THIRD)
    new.replace(config)
    wait_for(lambda: "third" in swap.model_ids(), "the third model", swap.logs)


def test_a_single_file_mount_does_not_see_a_rename(
    engine: Engine, config: Path, models: Path
) -> None:
    """A mounted file pins its inode: what is renamed over it is seen after a restart alone."""
    swap = start_llama_swap(engine, config=config, models=models, single_file_mount=True)
    new = config.with_name("new.yaml")
    new.write_text(config.read_text() + THIRD)
    new.replace(config)

    swap.container.kill("HUP")
    wait_for(lambda: "configuration reloaded" in swap.logs(), "the reload", swap.logs)
    assert "third" not in swap.model_ids()

    swap.container.restart(timeout=10)
    swap.wait_healthy()
    assert "third" in swap.model_ids()


def test_a_fault_in_a_changed_config_shows_after_the_reload(
    engine: Engine, config: Path, models: Path
) -> None:
    """A config can order bad health, so that a rollback has something to roll back."""
    good = config.read_text()
    swap = start_llama_swap(engine, config=config, models=models)
    config.write_text(good.replace("macros:\n", "macros:\n  test-fault: unhealthy\n"))
    swap.container.kill("HUP")
    wait_for(lambda: not swap.is_healthy(), "bad health", swap.logs)

    config.write_text(good)
    swap.container.kill("HUP")
    wait_for(swap.is_healthy, "good health", swap.logs)

    config.write_text(good.replace("macros:\n", "macros:\n  test-fault: crash_at_start\n"))
    swap.container.kill("HUP")
    assert swap.exit_code() == 1


def test_a_key_is_asked_for_where_the_config_has_keys(
    engine: Engine, config: Path, models: Path
) -> None:
    """With `apiKeys` only `/health` answers strangers."""
    config.write_text(config.read_text() + 'apiKeys: ["s3cret"]\n')
    swap = start_llama_swap(engine, config=config, models=models)

    assert swap.is_healthy()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        swap.model_ids()
    with_key = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with_key.addheaders = [("x-api-key", "s3cret")]
    with with_key.open(swap.url + "/v1/models", timeout=5) as answer:
        assert {entry["id"] for entry in json.loads(answer.read())["data"]} == {"first", "second"}


@pytest.mark.parametrize(("behave", "whole"), [("2025", False), ("2026", True)])
def test_a_stop_lets_the_newer_one_finish_its_answer(
    engine: Engine, config: Path, models: Path, behave: str, whole: bool
) -> None:
    """SIGTERM cuts an answer in version 2025; in 2026 it is finished first."""
    swap = start_llama_swap(engine, config=config, models=models, behave=behave)
    body = json.dumps({"model": "first", "stream": True, "max_tokens": 20}).encode()
    with NO_PROXY.open(swap.url + "/v1/chat/completions", body, timeout=20) as answer:
        assert answer.readline().startswith(b"data:")
        if behave == "2026":
            with NO_PROXY.open(swap.url + "/api/events", timeout=5) as events:
                assert requests_in_flight(iter(events.readline, b"")) == {"first": 1}
        swap.container.kill("TERM")
        assert answer.read().decode().endswith("data: [DONE]\n\n") is whole
    assert swap.exit_code() == 0
