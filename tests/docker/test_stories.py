"""The main job against llama-swap in a container of a real Docker engine, from add to rollback."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.support.container_host import serve, started_at
from tests.support.engine import Engine, SwapContainer
from tests.support.hub import running_hub
from tests.support.sandbox import CONFIG, Sandbox
from tests.support.waiting import wait_for

pytestmark = pytest.mark.docker

# What is declared so makes the stand-in end as soon as it reads its config.
CRASHING = "    serve:\n      macros: {test-fault: crash_at_start}\n"
CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
CHAT_INSIDE = "/models/acme/chat-GGUF/chat-Q4_K_M.gguf"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sandbox]:
    """A host whose hub has two repositories; where things lie is left to the container to say."""
    with running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        host.add_repo("acme/chat-GGUF")
        host.add_repo("acme/code-GGUF", seed=2)
        yield host


@pytest.mark.parametrize("behave", ["2025", "2026"])
def test_add_change_and_removal_reach_the_running_server(
    host: Sandbox, engine: Engine, behave: str
) -> None:
    """A model is added, changed and taken out again, on either llama-swap: each time the server
    takes it, the older one by a restart, serves exactly what the manifest says, and the config ends
    as it began.
    """
    swap = serve(host, engine, behave=behave)
    host.write_manifest(CHAT)
    plan = host.run("--plan")
    taking = {"2025": "restarts", "2026": "reloads"}[behave]
    assert (plan.code, f"container {swap.name} {taking}" in plan.out) == (0, True)
    host.apply()
    assert swap.model_ids() == {"mine", "chat"}
    assert f"-m {CHAT_INSIDE}" in host.config.read_text()
    since = started_at(swap)
    host.apply()
    assert started_at(swap) == since
    host.write_manifest(CHAT + CODE + "    serve: {name: Coder}\n")
    host.apply()
    assert swap.model_ids() == {"mine", "chat", "code"}
    assert (started_at(swap) != since) is (behave == "2025")
    host.write_manifest("")
    host.apply("--allow-prune")
    assert swap.model_ids() == {"mine"}
    assert host.config.read_text() == CONFIG


def test_model_answers_through_the_container(host: Sandbox, engine: Engine) -> None:
    """The command written for a model starts it inside the container, on the file we placed."""
    swap = serve(host, engine)
    host.write_manifest(CHAT)
    host.apply()
    assert swap.get("/upstream/chat/health") is not None
    assert [item["model"] for item in swap.get("/running")["running"]] == ["chat"]


def test_config_that_the_server_refuses_is_rolled_back(host: Sandbox, engine: Engine) -> None:
    """A change under which the server does not come up: config, files and lock are as before, the
    old models are served again, the command exits 5 and tells the container's last words.
    """
    swap = serve(host, engine)
    host.write_manifest(CHAT)
    host.apply()
    before = host.snapshot(with_state=False)
    config, lock = host.config.read_bytes(), host.lock.read_bytes()
    host.write_manifest(CHAT + CODE + CRASHING)
    result = host.run("--yes")
    assert result.code == 5, result.out + result.err
    assert "llama-swap's log:" in result.err
    assert host.config.read_bytes() == config
    assert host.lock.read_bytes() == lock
    assert swap.model_ids() == {"mine", "chat"}
    models = {path for path in host.snapshot(with_state=False) if path.startswith("models/")}
    assert models == {path for path in before if path.startswith("models/")}
    host.hub.forget_requests()
    host.write_manifest(CHAT + CODE)
    host.apply()
    assert swap.model_ids() == {"mine", "chat", "code"}
    assert [item for item in host.hub.requests if item.origin == "cdn"] == []


@pytest.mark.parametrize(("behave", "code"), [("2025", 0), ("2026", 1)])
def test_running_version_judges_what_it_would_be_given(
    host: Sandbox, engine: Engine, behave: str, code: int
) -> None:
    """What the server that runs would refuse is refused before anything is done, and nothing else:
    only newer builds mind a `ttl` below -1.
    """
    swap = serve(host, engine, behave=behave)
    host.write_manifest(CHAT + "    serve: {ttl: -7}\n")
    result = host.run("--yes")
    assert result.code == code, result.out + result.err
    assert ("models.chat.ttl" in result.err) == bool(code)
    assert ("chat" in swap.model_ids()) == (not code)


def test_unhealthy_server_is_rolled_back(host: Sandbox, engine: Engine) -> None:
    """A server that starts but answers 503 under the new config does not pass the gate."""
    swap = serve(host, engine)
    host.settings["RECONCILER_HEALTH_TIMEOUT"] = "3"
    host.write_manifest(CHAT)
    host.apply()
    config = host.config.read_bytes()
    host.write_manifest(CHAT + "    serve:\n      macros: {test-fault: unhealthy}\n")
    result = host.run("--yes")
    assert (result.code, "/health" in result.err) == (5, True)
    assert host.config.read_bytes() == config
    assert swap.model_ids() == {"mine", "chat"}


def test_replaced_bytes_come_back_when_the_gate_fails(host: Sandbox, engine: Engine) -> None:
    """An update whose rollout fails leaves the old bytes under the name, served again; the new ones
    are kept and not fetched twice.
    """
    swap = serve(host, engine)
    host.write_manifest(CHAT)
    host.apply()
    old = host.model_files()["acme/chat-GGUF/chat-Q4_K_M.gguf"]
    new = host.add_repo("acme/chat-GGUF", seed=9)["chat-Q4_K_M.gguf"]
    assert host.run("update", "chat").code == 0
    host.write_manifest(CHAT + CRASHING)
    assert host.run("--yes").code == 5
    assert host.model_files()["acme/chat-GGUF/chat-Q4_K_M.gguf"] == old
    assert swap.model_ids() == {"mine", "chat"}
    host.hub.forget_requests()
    host.write_manifest(CHAT)
    host.apply()
    assert host.model_files()["acme/chat-GGUF/chat-Q4_K_M.gguf"] == new
    assert [item for item in host.hub.requests if item.origin == "cdn"] == []


def test_single_file_mount_sees_the_change(host: Sandbox, engine: Engine) -> None:
    """A config mounted as one file is written in place, so that the container sees it."""
    swap = serve(host, engine, single_file_mount=True)
    inode = host.config.stat().st_ino
    host.write_manifest(CHAT)
    host.apply()
    assert host.config.stat().st_ino == inode
    assert swap.model_ids() == {"mine", "chat"}


def test_stopped_container_stays_stopped(host: Sandbox, engine: Engine) -> None:
    """A container that somebody stopped gets its config and files, and is not started."""
    swap = serve(host, engine)
    swap.container.stop(timeout=5)
    host.write_manifest(CHAT)
    result = host.apply()
    assert "is stopped and stays so" in result.out
    assert swap.status() == "exited"
    assert CHAT_INSIDE in host.config.read_text()


def test_missing_container_is_said_with_the_next_step(host: Sandbox, engine: Engine) -> None:
    """A container that is not there: exit 1, its name, and what to do; nothing is touched."""
    serve(host, engine)
    host.settings |= {"RECONCILER_RUNTIME": "docker", "RECONCILER_CONTAINER": "no-such-thing"}
    host.write_manifest(CHAT)
    before = host.snapshot()
    result = host.run("--yes")
    assert (result.code, "--container" in result.err) == (1, True)
    assert "no-such-thing" in result.err
    assert host.snapshot() == before


def test_engine_that_is_down_is_not_taken_for_a_host_without_one(
    host: Sandbox, engine: Engine
) -> None:
    """Once a container has served the models, an engine that does not answer is an error: nothing
    is rewritten for a llama-swap on the host, unless a person says so.
    """
    serve(host, engine)
    host.write_manifest(CHAT)
    host.apply()
    before = host.snapshot(with_state=False)
    host.settings |= {
        "DOCKER_HOST": "unix:///nowhere/docker.sock",
        "RECONCILER_MODELS_DIR": str(host.models),
        "RECONCILER_CONFIG": str(host.config),
    }
    result = host.run("--yes")
    assert (result.code, "no Docker engine" in result.err) == (1, True)
    assert host.snapshot(with_state=False) == before
    host.apply("--runtime", "none")
    assert f"-m {host.models}/" in host.config.read_text()


def test_watch_follows_an_edited_manifest(host: Sandbox, engine: Engine) -> None:
    """`reconcile --watch` applies a saved manifest to the running container; after a rollback it
    does not try the same manifest again.
    """
    swap = serve(host, engine)
    host.settings["RECONCILER_RESYNC"] = "1"
    host.write_manifest(CHAT)
    process = host.start("--watch")
    try:
        wait_for(lambda: "chat" in _listed(swap), "chat to be served", seconds=40)
        host.write_manifest(CHAT + CODE)
        wait_for(lambda: "code" in _listed(swap), "code to be served", seconds=40)
        host.write_manifest(CHAT + CODE + CRASHING)
        assert process.stderr is not None
        for line in process.stderr:
            if "not tried again until it changes" in line:
                break
        assert _listed(swap) == {"mine", "chat", "code"}
        host.write_manifest(CHAT)
        wait_for(lambda: "code" not in _listed(swap), "code to go", seconds=40)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


def _listed(swap: SwapContainer) -> set[str]:
    try:
        return swap.model_ids()
    except (OSError, HTTPException):
        return set()
