"""A rollout that was cut short and is taken up again, and one that is bound to fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.observed import RuntimeState
from reconciler.core.runs import Outcome
from reconciler.errors import KeyRefused, ReconcilerError, Refused
from tests.support.asking import LLAMA_SERVER
from tests.support.engine import NO_PROXY
from tests.support.fakes import Heard
from tests.support.fuse import Fuse, opened, run_killed, run_pass
from tests.support.llama_swap_process import local_llama_swap
from tests.support.sandbox import Sandbox
from tests.support.talking import Talking

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"


@pytest.fixture
def host(host: Sandbox) -> Sandbox:
    """The host, with one model to add."""
    host.add_repo("acme/chat-GGUF")
    host.write_manifest(CHAT)
    return host


def talking(host: Sandbox, **more: Any) -> Talking:
    """Give a container on the host's config, with the model applied."""
    swap = Talking(config=host.config, models=host.models, **more)
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    return swap


def change(host: Sandbox, ttl: int) -> None:
    """Change one field of the entry, so that the list of models tells nothing."""
    host.write_manifest(f"{CHAT}    serve: {{ttl: {ttl}}}\n")


@pytest.mark.parametrize("already", [True, False])
@pytest.mark.parametrize("build", ["173", "250"])
def test_one_that_watches_is_not_told_again(host: Sandbox, build: str, already: bool) -> None:
    """Killed right after the config was written: one that watches has taken it by itself, or does
    so now. Its log says so, and nothing harder is done.
    """
    swap = talking(host, watches=True, build=build)
    change(host, 42)
    assert run_killed(host, Fuse(3, only="save_rollout"), swap)
    assert "ttl: 42" in host.config.read_text()
    if already:
        swap.observe()
    run_pass(host, swap)
    assert (swap.signals, swap.restarts, "ttl: 42" in swap.seen.decode()) == (0, 0, True)


def test_one_that_watches_is_not_told_again_on_the_way_back(host: Sandbox) -> None:
    """Killed once the old config stood again: what watches has taken it by itself."""
    swap = talking(host, watches=True, build="173")
    swap.accepts = lambda text: "ttl: 42" not in text
    change(host, 42)
    assert run_killed(host, Fuse(1, only="end_rollout"), swap)
    swap.accepts = lambda _: True
    run_pass(host, swap)
    assert swap.restarts == 0


def test_what_may_have_been_told_is_told_of_the_way_back(host: Sandbox) -> None:
    """Killed after the signal, and the next run cannot go on: the old state is not only put back,
    llama-swap is made to take it.
    """
    swap = Talking(config=host.config, models=host.models)
    assert run_killed(host, Fuse(1, only="hang_up", after=True), swap)
    assert "chat" in swap.listed

    class Broken:
        def __init__(self, real: object) -> None:
            self.real = real

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def stamp(self, path: object, sha256: object) -> None:
            raise ReconcilerError(f"{path} cannot be stamped with {sha256}")

    with pytest.raises(ReconcilerError, match="cannot be stamped"):
        run_pass(host, swap, wrap={"folder": Broken})
    assert "chat" not in host.config.read_text()
    assert "chat" not in swap.listed


def test_old_state_that_does_not_come_up_stops_the_next_run(host: Sandbox) -> None:
    """What was cut short is taken back, and even the old state fails: that is said, and no further
    change is tried on top of it.
    """
    swap = talking(host)
    change(host, 42)
    assert run_killed(host, Fuse(1, only="hang_up"), swap)
    healthy, swap.is_healthy = swap.is_healthy, lambda: False  # type: ignore[method-assign]
    with pytest.raises(ReconcilerError, match="the old state did not come up either"):
        run_pass(host, swap)
    assert "ttl: 42" not in host.config.read_text()
    swap.is_healthy = healthy  # type: ignore[method-assign]
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    assert "ttl: 42" in swap.seen.decode()


def test_resumed_with_reload_none_tells_nobody(host: Sandbox) -> None:
    """Whoever says that nothing is to be told gets that for a rollout that was cut short, too."""
    swap = talking(host)
    change(host, 42)
    signals = swap.signals
    assert run_killed(host, Fuse(3, only="save_rollout", after=True), swap)
    run_pass(host, swap, reload="none")
    assert "ttl: 42" in host.config.read_text()
    assert (swap.signals, swap.restarts) == (signals, 0)


@pytest.mark.parametrize("way", ["signal", "watch"])
def test_named_way_that_does_not_show_is_warned_of(host: Sandbox, way: str) -> None:
    """Nothing harder may be done, and nothing tells whether the config was taken: that is not
    passed over.
    """
    swap, heard = talking(host, silent=True, watches=True), Heard()
    swap.watches = way == "watch"
    change(host, 42)
    assert run_pass(host, swap, reporter=heard, reload=way).report.outcome is Outcome.APPLIED
    assert swap.restarts == 0
    assert any(
        "whether it has taken what was written cannot be seen" in it for it in heard.warnings
    )


def test_key_that_is_not_known_fails_before_anything_changes(host: Sandbox) -> None:
    """The gate could not see what is listed, so all would be taken back: instead nothing is
    changed, cut or stalled, and the error says what to set.
    """
    swap = talking(host)
    change(host, 42)
    before, signals = host.config.read_bytes(), swap.signals

    def refuse() -> frozenset[str]:
        raise KeyRefused("llama-swap asks for an API key", hint="set it", sent=False)

    swap.model_ids = refuse  # type: ignore[method-assign]
    with pytest.raises(KeyRefused):
        run_pass(host, swap)
    assert (host.config.read_bytes(), swap.signals, swap.restarts) == (before, signals, 0)
    with opened(host, swap) as (real, _):
        assert real.inventory.load_ledger().stalled is None
        assert real.inventory.load_rollout() is None


def test_address_that_nobody_knows_fails_before_anything_changes(host: Sandbox) -> None:
    """So it is where no port is published."""
    talking(host)
    change(host, 42)
    before = host.config.read_bytes()

    class Hidden(Talking):
        def observe(self) -> RuntimeState:
            return replace(super().observe(), url=None)

    hidden = Hidden(config=host.config, models=host.models)
    with pytest.raises(Refused, match="publishes no port"):
        run_pass(host, hidden)
    assert (host.config.read_bytes(), hidden.signals, hidden.restarts) == (before, 0, 0)


def test_requests_that_come_while_all_is_looked_at_are_waited_for(host: Sandbox) -> None:
    """After a wait disk, config and container are looked at again; what came meanwhile is not cut,
    and the patience is one for all.
    """

    class Busy(Talking):
        looks: Sequence[Mapping[str, int]] = ({"a": 1}, {}, {"b": 1}, {}, {})
        looked = 0

        def in_flight(self) -> Mapping[str, int] | None:
            self.looked += 1
            return self.looks[min(self.looked, len(self.looks)) - 1]

        def hang_up(self) -> None:
            assert self.looked == len(self.looks)
            super().hang_up()

    swap, heard = Busy(config=host.config, models=host.models), Heard()
    assert run_pass(host, swap, reporter=heard).report.outcome is Outcome.APPLIED
    assert swap.signals == 1
    assert len([line for line in heard.said if "in flight to end" in line]) == 2


def running(url: str) -> str:
    """Give what llama-swap says of the models that run."""
    with NO_PROXY.open(f"{url}/running", timeout=5) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("behave", ["2025", "2026"])
def test_new_bytes_unload_their_model_where_nobody_manages_it(host: Sandbox, behave: str) -> None:
    """With `--runtime none` and an address, a model whose file gets other bytes is stopped, so that
    its next request loads them; the plan says so. Where nobody answers there, that is a warning.
    """
    host.settings["RECONCILER_LLAMA_SERVER"] = LLAMA_SERVER.split()[1]
    host.write_manifest(
        f"{CHAT}    serve: {{cmd: '{LLAMA_SERVER} --port ${{PORT}} -m ${{model}}'}}\n"
    )
    host.apply()
    with local_llama_swap(host.config, behave=behave) as url:
        host.settings["RECONCILER_LLAMA_SWAP_URL"] = url
        NO_PROXY.open(f"{url}/upstream/chat/health", timeout=30).close()
        assert '"chat"' in running(url)
        host.add_repo("acme/chat-GGUF", seed=7)
        host.run("update", "--all")
        assert host.plan()["summary"]["container"] == (
            "not managed; llama-swap is asked to unload chat"
        )
        host.apply()
        assert '"chat"' not in running(url)
    host.add_repo("acme/chat-GGUF", seed=8)
    host.run("update", "--all")
    assert "chat cannot be unloaded" in host.apply().err
    assert host.plan()["actions"] == []
