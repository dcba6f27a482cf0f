"""Answers under way while a real container is told of a change, and models that were loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.asking import LongAnswer, asking
from tests.support.container_host import serve
from tests.support.engine import Engine, SwapContainer
from tests.support.hub import running_hub
from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.docker

CONFIG = """\
models:
  "busy":
    cmd: /app/llama-server --port ${PORT}
"""
CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"
CHAT_PATH = "acme/chat-GGUF/chat-Q4_K_M.gguf"
# How llama-swap is told: 2025 by a restart, or by its own watching; 2026 by SIGHUP or watching.
WAYS = [("2025", False), ("2025", True), ("2026", False), ("2026", True)]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sandbox]:
    """A host whose hub has two models; where things lie is left to the container to say."""
    with running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        host.config.write_text(CONFIG)
        host.add_repo("acme/chat-GGUF")
        host.add_repo("acme/code-GGUF", seed=2)
        host.write_manifest(CHAT)
        yield host


def apply_while(host: Sandbox, answer: LongAnswer, *arguments: str) -> None:
    """Apply, and let the answer end once the run waits for it."""
    with host.start("--yes", *arguments) as process:
        assert process.stderr is not None
        assert any("waiting for 1 request in flight" in line for line in process.stderr)
        assert not answer.ended.is_set()
        answer.finish()
        assert process.wait(60) == 0


def loaded(swap: SwapContainer) -> set[str]:
    """Give the models that are loaded."""
    return {item["model"] for item in swap.get("/running")["running"]}


@pytest.mark.parametrize(("behave", "watch"), WAYS)
def test_answer_that_ends_in_time_is_not_cut(
    host: Sandbox, engine: Engine, behave: str, watch: bool
) -> None:
    """However llama-swap is told of a new config, the client has its whole answer first, and the
    new model is served after.
    """
    swap = serve(host, engine, behave=behave, watch=watch)
    with asking(swap.url, "busy") as answer:
        apply_while(host, answer)
    assert answer.is_whole
    assert swap.model_ids() == {"busy", "chat"}


@pytest.mark.parametrize(("behave", "watch"), [("2025", False), ("2026", True)])
def test_answer_that_takes_longer_is_cut_or_waited_for(
    host: Sandbox, engine: Engine, behave: str, watch: bool
) -> None:
    """Past the deadline `reload` cuts it, and says so; `wait` lets it end."""
    swap = serve(host, engine, behave=behave, watch=watch)
    with asking(swap.url, "busy") as answer:
        result = host.apply("--drain", "1s")
    assert "will be cut" in result.err
    assert not answer.is_whole
    assert swap.model_ids() == {"busy", "chat"}
    host.write_manifest(CHAT + CODE)
    with asking(swap.url, "busy") as answer:
        apply_while(host, answer, "--drain", "0", "--drain-then", "wait")
    assert answer.is_whole
    assert swap.model_ids() == {"busy", "chat", "code"}


def test_several_changes_are_one_reload(host: Sandbox, engine: Engine) -> None:
    """Models that come, change and go in one run cost the others one reload, and a run that has
    nothing for llama-swap costs none: the loaded model stays loaded.
    """
    swap = serve(host, engine, behave="2026", watch=True)
    host.write_manifest(CHAT)
    host.apply()
    since = swap.logs().count("configuration reloaded")
    host.write_manifest(CODE + CHAT.replace("chat:", "talk:", 1) + "    renamed_from: chat\n")
    host.apply()
    assert swap.logs().count("configuration reloaded") == since + 1
    assert swap.model_ids() == {"busy", "code", "talk"}
    swap.get("/upstream/busy/health")
    (host.models / CHAT_PATH).unlink()
    host.apply()
    assert swap.logs().count("configuration reloaded") == since + 1
    assert loaded(swap) == {"busy"}


def test_what_was_loaded_is_loaded_again(host: Sandbox, engine: Engine) -> None:
    """With `--warm` the reload leaves loaded what was; without, the next request has to wait."""
    swap = serve(host, engine, behave="2026", watch=False)
    swap.get("/upstream/busy/health")
    host.apply("--warm")
    assert loaded(swap) == {"busy"}
    host.write_manifest(CHAT + CODE)
    host.apply()
    assert loaded(swap) == set()


def test_probe_finds_a_model_that_is_listed_and_does_not_load(
    host: Sandbox, engine: Engine
) -> None:
    """The gate passes without it, for the model is listed; with it the run is rolled back, and
    says why the model does not answer. One that answers passes.
    """
    swap = serve(host, engine, behave="2026", watch=False)
    host.apply("--probe")
    assert loaded(swap) == {"chat"}
    config = host.config.read_bytes()
    host.write_manifest(CHAT + CODE + "    serve: {args: {mmproj: /nowhere.gguf}}\n")
    result = host.run("--yes", "--probe")
    assert result.code == 5, result.out + result.err
    assert "code does not answer: status 502" in result.err
    assert host.config.read_bytes() == config
    assert swap.model_ids() == {"busy", "chat"}
    host.apply()
    assert swap.model_ids() == {"busy", "chat", "code"}
