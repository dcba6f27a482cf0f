"""Every change on every kind of container: told once, by the gentlest way, and harmless where it
fails.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.support.container_host import serve, started_at
from tests.support.engine import Engine, SwapContainer, wait_for
from tests.support.engine_relay import relayed
from tests.support.hub import running_hub
from tests.support.matrix import Kind, kinds
from tests.support.sandbox import CONFIG, Sandbox

pytestmark = pytest.mark.docker

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
RENAMED = "  talk:\n    source: acme/chat-GGUF:Q4_K_M\n    renamed_from: chat\n"
FAULTS = {
    "crash": "crash_at_start",
    "hang": "hang_at_start",
    "unhealthy": "unhealthy",
}
# What we take for good, and the container refuses: it lacks a variable; or is told to refuse.
REFUSED = {
    "2025": "    serve:\n      macros: {test-fault: refused}\n",
    "2026": "    serve: {args: {alias: '${env.NOWHERE}'}}\n",
}
POLICIES = (None, "unless-stopped")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sandbox]:
    """A host whose hub has two repositories; where things lie is left to the container to say."""
    with running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        host.add_repo("acme/chat-GGUF")
        host.add_repo("acme/code-GGUF", seed=2)
        # Whoever the container runs as must reach what is mounted into it.
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
        yield host


def start(host: Sandbox, engine: Engine, kind: Kind, **more: Any) -> SwapContainer:
    """Start a container of a kind; `more` is what `start_llama_swap` takes besides."""
    return serve(host, engine, health_timeout="4", **asdict(kind), **more)


def processes(swap: SwapContainer) -> list[list[str]]:
    """Give the container's processes: their numbers and commands."""
    top = swap.container.top(ps_args="-eo pid,args")
    return sorted(top["Processes"])


def reloads(swap: SwapContainer) -> int:
    """Count the reloads its log tells of, since it was made."""
    return swap.logs().lower().count("configuration reloaded")


def running(swap: SwapContainer) -> list[str]:
    """Give the models that are loaded."""
    return [item["model"] for item in swap.get("/running")["running"]]


def load(swap: SwapContainer, model: str) -> None:
    """Have a model loaded."""
    assert swap.get(f"/upstream/{model}/health") is not None


@kinds(begin=4)
def test_every_change_is_told_once(host: Sandbox, engine: Engine, kind: Kind) -> None:
    """Add, change, rename and remove a model, and nothing to do, on each kind of container: each
    change is one reload by the gentlest way that works, or one restart where none does; nothing to
    do stops no model and starts no process; and the config ends as it began.
    """
    swap = start(host, engine, kind)
    mine = {"mine"}

    def applied(models: str, listed: set[str], *options: str) -> None:
        host.write_manifest(models)
        before, count = started_at(swap), reloads(swap)
        host.apply(*options)
        assert swap.model_ids() == mine | listed
        assert (started_at(swap) != before) is kind.restarts
        assert reloads(swap) - count == (0 if kind.restarts else 1)

    applied(CHAT, {"chat"})
    applied(CHAT + "    serve: {ttl: 42}\n", {"chat"})
    load(swap, "chat")
    before = processes(swap), started_at(swap), reloads(swap)
    host.apply()
    assert (processes(swap), started_at(swap), reloads(swap)) == before
    assert running(swap) == ["chat"]
    applied(RENAMED, {"talk"})
    applied("", set(), "--allow-prune")
    assert host.config.read_text() == CONFIG


@kinds(begin=9, fault=list(FAULTS))
def test_change_that_harms_is_taken_back(
    host: Sandbox, engine: Engine, kind: Kind, fault: str
) -> None:
    """A change under which llama-swap crashes, hangs or is not healthy: exit 5, config and lock as
    they were, and the old models are served again.
    """
    swap = start(host, engine, kind)
    host.write_manifest(CHAT)
    host.apply()
    config, lock = host.config.read_bytes(), host.lock.read_bytes()
    host.write_manifest(
        CHAT + CODE + f"    serve:\n      macros: {{test-fault: {FAULTS[fault]}}}\n"
    )
    result = host.run("--yes")
    assert result.code == 5, result.out + result.err
    assert "did not come up" not in result.err
    assert (host.config.read_bytes(), host.lock.read_bytes()) == (config, lock)
    assert swap.is_healthy()
    assert swap.model_ids() == {"mine", "chat"}


@kinds(begin=6)
def test_config_it_cannot_load_costs_no_model(host: Sandbox, engine: Engine, kind: Kind) -> None:
    """A config that only this container refuses: exit 5, and the old config is back. One that need
    not be restarted keeps what it had, and if it does not watch no running model is stopped.
    """
    swap = start(host, engine, kind)
    host.write_manifest(CHAT)
    host.apply()
    load(swap, "chat")
    config, before = host.config.read_bytes(), (processes(swap), started_at(swap))
    host.write_manifest(CHAT + CODE + REFUSED[kind.behave])
    result = host.run("--yes")
    assert result.code == 5, result.out + result.err
    assert "did not come up" not in result.err
    assert host.config.read_bytes() == config
    assert swap.model_ids() == {"mine", "chat"}
    assert (started_at(swap) != before[1]) is kind.restarts
    if not kind.restarts:
        assert "llama-swap did not take the config" in result.err
    if not (kind.restarts or kind.watch):
        assert processes(swap) == before[0]


@pytest.mark.parametrize("behave", ["2025", "2026"])
def test_new_bytes_stop_only_the_model_that_serves_them(
    host: Sandbox, engine: Engine, behave: str
) -> None:
    """An update at the same path: that model is unloaded, the process that loads it next has the
    new bytes, and llama-swap itself is neither reloaded nor restarted.
    """
    swap = serve(host, engine, health_timeout="4", behave=behave)
    host.write_manifest(CHAT)
    host.apply()
    load(swap, "chat")
    before = started_at(swap), reloads(swap)
    new = host.add_repo("acme/chat-GGUF", seed=9)["chat-Q4_K_M.gguf"]
    assert host.run("update", "chat").code == 0
    result = host.apply()
    assert f"container {swap.name} unloads chat" in result.out
    assert host.model_files()["acme/chat-GGUF/chat-Q4_K_M.gguf"] == new
    assert running(swap) == []
    assert (started_at(swap), reloads(swap)) == before
    load(swap, "chat")


def test_signal_that_another_reload_swallows_is_sent_again(host: Sandbox, engine: Engine) -> None:
    """While the server is still busy with a reload of somebody else, it loses ours: that is noticed
    and repeated, and the container is not restarted.
    """
    swap = serve(host, engine, health_timeout="4", environment={"LLAMA_SWAP_STOP_SECONDS": "4"})
    before = started_at(swap)
    swap.container.kill("HUP")
    wait_for(lambda: "reloading configuration" in swap.logs(), "the other reload", swap.logs)
    host.write_manifest(CHAT)
    host.apply()
    assert swap.model_ids() == {"mine", "chat"}
    assert started_at(swap) == before


def test_mounted_file_that_was_replaced_is_seen_after_a_restart(
    host: Sandbox, engine: Engine
) -> None:
    """An editor has put a new file in the place of a mounted one, so that the container still sees
    the old: no signal is tried, and after one restart it serves what is declared.
    """
    swap = serve(host, engine, health_timeout="4", single_file_mount=True)
    new = host.config.with_name("new.yaml")
    new.write_text(host.config.read_text() + "# saved\n")
    new.replace(host.config)
    before = started_at(swap)
    host.write_manifest(CHAT)
    host.apply()
    assert swap.model_ids() == {"mine", "chat"}
    assert started_at(swap) != before
    assert "received SIGHUP" not in swap.logs()


@kinds(begin=12, policy=POLICIES)
def test_stopped_stays_stopped(
    host: Sandbox, engine: Engine, kind: Kind, policy: Literal["unless-stopped"] | None
) -> None:
    """A container that somebody stopped gets its config and files, whatever its restart policy, and
    is not started; when it is, it serves them.
    """
    swap = start(host, engine, kind, restart_policy=policy)
    swap.container.stop(timeout=5)
    host.write_manifest(CHAT)
    assert "is stopped and stays so" in host.apply().out
    assert swap.status() == "exited"
    swap.container.start()
    swap.wait_healthy()
    assert swap.model_ids() == {"mine", "chat"}


@kinds(begin=3)
def test_crash_under_a_restart_policy_is_taken_back(
    host: Sandbox, engine: Engine, kind: Kind
) -> None:
    """The engine starts it again and again with the bad config: exit 5, and it is up with the old
    one without waiting for the engine's next try.
    """
    swap = start(host, engine, kind, restart_policy="unless-stopped")
    host.write_manifest(CHAT)
    host.apply()
    config = host.config.read_bytes()
    host.write_manifest(CHAT + "    serve:\n      macros: {test-fault: crash_at_start}\n")
    result = host.run("--yes")
    assert result.code == 5, result.out + result.err
    assert host.config.read_bytes() == config
    assert swap.is_healthy()
    assert swap.model_ids() == {"mine", "chat"}


@kinds(begin=5)
def test_container_that_is_not_there_is_named_in_the_error(
    host: Sandbox, engine: Engine, kind: Kind
) -> None:
    """A container that got another name, or is no more: an error that names it, and as a hint the
    new name; nothing is touched, and back under its name it gets the change.
    """
    swap = start(host, engine, kind)
    name = swap.name
    host.write_manifest(CHAT)
    host.apply()
    host.write_manifest(CHAT + CODE)
    since = started_at(swap)

    def refused() -> str:
        before = host.snapshot(with_state=False)
        sought, named = host.run("--yes"), host.run("--yes", "--runtime", "docker")
        assert (sought.code, named.code) == (2, 1)
        assert all(f"container {name!r}" in said.err for said in (sought, named))
        assert host.snapshot(with_state=False) == before
        return named.err

    swap.container.rename(f"{name}-2")
    assert f"{name}-2" in refused()
    assert started_at(swap) == since
    swap.container.rename(name)
    host.apply()
    assert swap.model_ids() == {"mine", "chat", "code"}
    host.write_manifest(CHAT)
    swap.container.remove(force=True)
    refused()


@kinds(begin=1)
def test_killed_while_it_reloads_the_next_run_ends_it(
    host: Sandbox, engine: Engine, kind: Kind
) -> None:
    """The command is killed right after the config was written: the next run brings the rollout to
    its end, and the one after that has nothing to do.
    """
    swap = start(host, engine, kind)
    host.write_manifest(CHAT)
    process = host.start("--yes")
    wait_for(lambda: "chat" in host.config.read_text(), "the config", seconds=60)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    host.settings["RECONCILER_HEALTH_TIMEOUT"] = "20"
    host.apply()
    assert swap.model_ids() == {"mine", "chat"}
    before = started_at(swap)
    host.apply()
    assert started_at(swap) == before


@kinds(begin=2, moment=["written", "told"])
def test_engine_that_goes_half_way_is_taken_back_and_made_up_for(
    host: Sandbox, engine: Engine, tmp_path: Path, kind: Kind, moment: str
) -> None:
    """The engine is gone once the config is written, or once llama-swap was told of it: all is
    taken back, and the error names the engine. Once it is back the next run has llama-swap serve
    what it is asked for, be that what was before or the change.
    """
    swap = start(host, engine, kind)
    link, socket = tmp_path / "engine.sock", Path(engine.url.removeprefix("unix://"))
    host.settings["DOCKER_HOST"] = f"unix://{link}"
    config = host.config.read_bytes()
    host.write_manifest(CHAT)
    with relayed(link, socket, goes_at(host, kind, moment)) as relay:
        result = host.run("--yes")
        assert relay.gone.is_set()
    assert result.code, result.out
    assert "engine.sock" in result.err
    assert host.config.read_bytes() == config
    link.symlink_to(socket)

    def applied(models: str, expected: set[str]) -> None:
        host.write_manifest(models)
        host.apply()
        wait_for(lambda: listed(swap) == expected, f"{expected} to be served", swap.logs)

    applied("", {"mine"})
    applied(CHAT, {"mine", "chat"})


def goes_at(host: Sandbox, kind: Kind, moment: str) -> Callable[[bytes], bool]:
    """Say of each request to the engine whether it is the last one: the first after the config was
    written, or the one that tells of it, which is the first look at the log of one that watches.
    """
    tells = ("/restart", "/kill") if kind.restarts or not kind.watch else ("/logs",)

    def is_last(request: bytes) -> bool:
        path = request.split(b"\r\n", 1)[0].decode(errors="replace")
        written = "chat" in host.config.read_text()
        return written and (moment == "written" or any(word in path for word in tells))

    return is_last


def listed(swap: SwapContainer) -> set[str]:
    """Give the IDs it lists; none where it does not answer."""
    try:
        return swap.model_ids()
    except (OSError, HTTPException):
        return set()
