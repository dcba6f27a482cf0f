"""Every change on every kind of container: told once, by the gentlest way, and harmless where it
fails.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from itertools import product
from pathlib import Path
from typing import Literal

import pytest

from tests.support.container_host import serve, started_at
from tests.support.engine import Engine, SwapContainer, wait_for
from tests.support.hub import running_hub
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


def cells(*axes: Sequence[object]) -> list[tuple[object, ...]]:
    """Give a quarter of the cells, for each takes many seconds.

    RECONCILER_WHOLE_MATRIX=1 gives them all.
    """
    return [
        tuple(axis[place] for axis, place in zip(axes, places, strict=True))
        for places in product(*(range(len(axis)) for axis in axes))
        if sum(places) % 4 == 0 or os.environ.get("RECONCILER_WHOLE_MATRIX")
    ]


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


@pytest.mark.parametrize(
    ("behave", "watch", "single_file", "user"),
    cells(["2025", "2026"], [False, True], [False, True], [None, "10001:10001"]),
)
def test_every_change_is_told_once(
    host: Sandbox, engine: Engine, *, behave: str, watch: bool, single_file: bool, user: str | None
) -> None:
    """Add, change, rename and remove a model, and nothing to do, on each kind of container: each
    change is one reload by the gentlest way that works, or one restart where none does; nothing to
    do stops no model and starts no process; and the config ends as it began.
    """
    swap = serve(
        host,
        engine,
        health_timeout="4",
        behave=behave,
        watch=watch,
        single_file_mount=single_file,
        user=user,
    )
    restarts = behave == "2025" and (single_file or not watch)
    mine = {"mine"}

    def applied(models: str, listed: set[str], *options: str) -> None:
        host.write_manifest(models)
        before, count = started_at(swap), reloads(swap)
        host.apply(*options)
        assert swap.model_ids() == mine | listed
        assert (started_at(swap) != before) is restarts
        assert reloads(swap) - count == (0 if restarts else 1)

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


@pytest.mark.parametrize(
    ("fault", "behave", "watch", "single_file"),
    cells(list(FAULTS), ["2025", "2026"], [False, True], [False, True]),
)
def test_change_that_harms_is_taken_back(
    host: Sandbox, engine: Engine, *, fault: str, behave: str, watch: bool, single_file: bool
) -> None:
    """A change under which llama-swap crashes, hangs or is not healthy: exit 5, config and lock as
    they were, and the old models are served again; tried again by hand, the same.
    """
    swap = serve(
        host, engine, health_timeout="4", behave=behave, watch=watch, single_file_mount=single_file
    )
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


@pytest.mark.parametrize("watch", [False, True], ids=["blind", "watching"])
def test_config_it_cannot_load_costs_no_model(host: Sandbox, engine: Engine, watch: bool) -> None:
    """A config that only this container refuses (a variable it does not have): the server keeps
    what it had, and where it does not watch not even a running model is stopped. Exit 5.
    """
    swap = serve(host, engine, health_timeout="4", watch=watch)
    host.write_manifest(CHAT)
    host.apply()
    load(swap, "chat")
    config, before = host.config.read_bytes(), (processes(swap), started_at(swap))
    host.write_manifest(CHAT + CODE + "    serve: {args: {alias: '${env.NOWHERE}'}}\n")
    result = host.run("--yes")
    assert result.code == 5, result.out + result.err
    assert "failed to reload config" in result.err
    assert host.config.read_bytes() == config
    assert swap.model_ids() == {"mine", "chat"}
    assert started_at(swap) == before[1]
    if not watch:
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


@pytest.mark.parametrize("policy", [None, "unless-stopped"])
def test_stopped_stays_stopped(
    host: Sandbox, engine: Engine, policy: Literal["unless-stopped"] | None
) -> None:
    """A container that somebody stopped gets its config and files, whatever its restart policy, and
    is not started; when it is, it serves them.
    """
    swap = serve(host, engine, health_timeout="4", restart_policy=policy)
    swap.container.stop(timeout=5)
    host.write_manifest(CHAT)
    assert "is stopped and stays so" in host.apply().out
    assert swap.status() == "exited"
    swap.container.start()
    swap.wait_healthy()
    assert swap.model_ids() == {"mine", "chat"}


def test_crash_under_a_restart_policy_is_taken_back(host: Sandbox, engine: Engine) -> None:
    """The engine starts it again and again with the bad config: exit 5, and it is up with the old
    one without waiting for the engine's next try.
    """
    swap = serve(host, engine, health_timeout="4", restart_policy="unless-stopped")
    host.write_manifest(CHAT)
    host.apply()
    host.write_manifest(CHAT + "    serve:\n      macros: {test-fault: crash_at_start}\n")
    assert host.run("--yes").code == 5
    assert swap.is_healthy()
    assert swap.model_ids() == {"mine", "chat"}


def test_renamed_container_is_named_in_the_error(host: Sandbox, engine: Engine) -> None:
    """A container that got another name: exit 1, the new name as a hint, and nothing is touched."""
    swap = serve(host, engine, health_timeout="4")
    host.write_manifest(CHAT)
    host.apply()
    config = host.config.read_bytes()
    swap.container.rename(f"{swap.name}-2")
    host.write_manifest(CHAT + CODE)
    result = host.run("--yes", "--runtime", "docker")
    assert (result.code, f"{swap.name}-2" in result.err) == (1, True)
    assert host.config.read_bytes() == config


@pytest.mark.parametrize("behave", ["2025", "2026"])
@pytest.mark.parametrize("watch", [False, True], ids=["blind", "watching"])
def test_killed_while_it_reloads_the_next_run_ends_it(
    host: Sandbox, engine: Engine, behave: str, watch: bool
) -> None:
    """The command is killed right after the config was written: the next run brings the rollout to
    its end, and the one after that has nothing to do.
    """
    swap = serve(host, engine, health_timeout="4", behave=behave, watch=watch)
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


def test_engine_that_goes_half_way_is_taken_back_and_made_up_for(
    host: Sandbox, engine: Engine, tmp_path: Path
) -> None:
    """The engine is gone once the config is written: all is taken back, the error names the engine;
    once it is back the next run applies everything.
    """
    swap = serve(host, engine, health_timeout="4")
    link = tmp_path / "engine.sock"
    link.symlink_to(engine.url.removeprefix("unix://"))
    host.settings["DOCKER_HOST"] = f"unix://{link}"
    config = host.config.read_bytes()
    host.write_manifest(CHAT)
    process = host.start("--yes")
    wait_for(lambda: "chat" in host.config.read_text(), "the config", seconds=60)
    link.unlink()
    _, said = process.communicate(timeout=90)
    link.symlink_to(engine.url.removeprefix("unix://"))
    if process.returncode:
        assert "engine.sock" in said
        assert host.config.read_bytes() == config
    host.apply()
    wait_for(lambda: listed(swap) == {"mine", "chat"}, "both models", swap.logs)


def listed(swap: SwapContainer) -> set[str]:
    """Give the IDs it lists; none where it does not answer."""
    try:
        return swap.model_ids()
    except (OSError, HTTPException):
        return set()
