"""How llama-swap is told of a change: which ways there are, and what shows that one has worked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.actions import Reload, Restart, Unload
from reconciler.core.desired import Desired
from reconciler.core.names import ModelId
from reconciler.core.observed import RuntimeState, RuntimeStatus
from reconciler.core.plan import Plan
from reconciler.core.reload import Strategy, Verdict, guard_reload, ladder, read_verdict
from reconciler.core.runs import Outcome
from reconciler.errors import ReconcilerError, RuntimeFailed
from tests.support.fakes import Heard
from tests.support.fuse import Fuse, opened, run_killed, run_pass
from tests.support.hub import running_hub
from tests.support.sandbox import Sandbox
from tests.support.talking import Talking
from tests.support.worlds import World, desired, model, pinned, planned

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
RUNNING = RuntimeState(kind="docker", status=RuntimeStatus.RUNNING, name="swap")
WATCHING = replace(RUNNING, watches=True)


def names(state: RuntimeState, version: int | None, asked: str = "auto") -> list[str]:
    """Give the ways to reload, in their order."""
    return [rung.strategy.value for rung in ladder(state, version, asked)]


@pytest.mark.parametrize(
    ("state", "version", "ways"),
    [
        (RUNNING, None, ["restart"]),
        (RUNNING, 173, ["restart"]),
        (RUNNING, 204, ["restart"]),
        (RUNNING, 205, ["signal", "restart"]),
        (WATCHING, None, ["watch", "restart"]),
        (WATCHING, 173, ["watch", "restart"]),
        (WATCHING, 250, ["watch", "signal", "restart"]),
        (replace(WATCHING, config_is_mount=True), 173, ["restart"]),
        (replace(WATCHING, config_is_mount=True), 250, ["watch", "signal", "restart"]),
        (replace(RUNNING, watches=False), 250, ["signal", "restart"]),
        (RuntimeState(kind="none", status=RuntimeStatus.UNMANAGED), 250, []),
    ],
)
def test_gentlest_way_comes_first(
    state: RuntimeState, version: int | None, ways: list[str]
) -> None:
    """Its own watching where that is on and sees the file, a signal where that does not kill, a
    restart always; and nothing where nobody manages it.
    """
    assert names(state, version) == ways


@pytest.mark.parametrize("version", [None, 173, 204])
def test_signal_is_never_sent_to_one_that_may_die_of_it(version: int | None) -> None:
    """Asked for by name it is refused with the reason, and with what to do instead."""
    assert names(RUNNING, version, "signal") == []
    (refusal,) = guard_reload(RUNNING, version, "signal")
    assert "one older than 205 dies of SIGHUP" in refusal.message
    assert "--reload" in refusal.hint


def test_named_way_is_the_only_one() -> None:
    """What a person names is done, or refused where it cannot work; nothing harder is tried."""
    assert names(WATCHING, 250, "restart") == ["restart"]
    assert names(WATCHING, 250, "watch") == ["watch"]
    assert names(WATCHING, 250, "none") == []
    assert guard_reload(WATCHING, 250, "none") == ()
    (refusal,) = guard_reload(RUNNING, 250, "watch")
    assert "-watch-config" in refusal.hint


def test_commands_that_are_named_are_the_ways() -> None:
    """Where commands run it, those that there are decide, whatever the version."""
    by_hand = RuntimeState(kind="command", status=RuntimeStatus.RUNNING)
    assert names(replace(by_hand, reloads_by=("signal", "restart")), None) == ["signal", "restart"]
    assert names(replace(by_hand, reloads_by=("restart",)), 250) == ["restart"]
    (refusal,) = guard_reload(replace(by_hand, reloads_by=("restart",)), 250, "signal")
    assert "there is no command for signal" in refusal.message


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ([], None),
        (["[INFO] llama-swap listening on http://:8080"], None),
        (["[INFO] reloading configuration"], Verdict.BEGUN),
        (["reloading configuration", "[WARN] failed to reload config: bad"], Verdict.FAILED),
        (["Warning, unable to reload configuration: bad"], Verdict.FAILED),
        (["failed to build new server during reload: bad"], Verdict.FAILED),
        (["Configuration Changed", "Configuration Reloaded"], Verdict.RELOADED),
        (
            [
                "failed to reload config: x",
                "reloading configuration",
                "configuration reloaded",
                "x",
            ],
            Verdict.RELOADED,
        ),
        (["configuration reloaded"], None),
    ],
)
def test_newest_line_on_a_reload_decides(lines: list[str], verdict: Verdict | None) -> None:
    """Either version's words are understood, and what came last counts; the end of a reload that
    began earlier tells nothing of ours.
    """
    said = read_verdict(lines)
    assert (said and said.verdict) == verdict


def plan_for(world: World, wanted: Desired, state: RuntimeState, *, reload: str = "auto") -> Plan:
    """Plan for a world whose container is as `state` says."""
    observed = world.observed()
    mappings = observed.runtime.mappings
    observed = replace(observed, runtime=replace(state, mappings=mappings), version=250)
    return planned(wanted, observed, world.ledger, reload=reload)


def telling(plan: Plan) -> list[object]:
    """Give what is done to the container."""
    return [item for item in plan.actions if isinstance(item, Reload | Restart | Unload)]


def test_plan_says_which_way_it_will_try_first() -> None:
    """A changed config is one action, with the way, what makes it work, and why."""
    world = World(running=True).reached(desired(model("a")))
    plan = plan_for(world, desired(model("a"), model("b")), WATCHING)
    (action,) = telling(plan)
    assert isinstance(action, Reload)
    assert (action.strategy, action.reason) == (Strategy.WATCH, "its config changes")
    assert plan.summary.container == (
        "container swap reloads, for it watches its config: its config changes"
    )
    (action,) = telling(plan_for(world, desired(), RUNNING, reload="restart"))
    assert isinstance(action, Restart)


def test_nothing_is_told_where_a_person_says_so() -> None:
    """With `none` the config is written, and the plan says that nobody will be told."""
    world = World(running=True).reached(desired(model("a")))
    plan = plan_for(world, desired(model("b"), model("a")), RUNNING, reload="none")
    assert telling(plan) == []
    assert plan.config_after != plan.config_before
    assert plan.summary.container == "container swap is not told (--reload none)"


def test_way_that_cannot_work_refuses_the_plan() -> None:
    """Nothing is begun that would end with the server not knowing."""
    world = World(running=True)
    plan = plan_for(world, desired(model("a")), RUNNING, reload="watch")
    assert "--reload watch cannot work" in plan.refusals[0].message


def test_new_bytes_under_an_old_path_unload_only_whose_they_are() -> None:
    """No reload: the model that uses the file is stopped, and so is an entry that somebody else
    made on it; all the others go on.
    """
    world = World(running=True).reached(desired(model("a"), model("b")))
    theirs = b"  theirs:\n    cmd: x --port ${PORT} -m /models/acme/a/m.gguf\n"
    world = replace(world, config=world.config + theirs)
    plan = plan_for(world, desired(model("a", pinned("a", "a-2")), model("b")), WATCHING)
    (action,) = telling(plan)
    assert isinstance(action, Unload)
    assert set(action.models) == {ModelId("a"), ModelId("theirs")}
    assert plan.summary.container.startswith("container swap unloads ")


def test_files_that_no_entry_names_need_nothing() -> None:
    """Where no entry serves a file, new bytes of it are told to nobody."""
    world = World(running=True).reached(desired(model("a")))
    world = replace(world, config=b"models: {}\n", ledger=replace(world.ledger, models={}))
    wanted = desired(model("a", pinned("a", "a-2"), enabled=False))
    assert telling(plan_for(world, wanted, WATCHING)) == []


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sandbox]:
    """A host with one model to add."""
    with running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        host.add_repo("acme/chat-GGUF")
        host.write_manifest(CHAT)
        yield host


def talking(host: Sandbox, **more: object) -> Talking:
    """Give a container on the host's config."""
    return Talking(config=host.config, models=host.models, **more)  # type: ignore[arg-type]


def change(host: Sandbox, ttl: int) -> None:
    """Change one field of the entry, so that the list of models tells nothing."""
    host.write_manifest(f"{CHAT}    serve: {{ttl: {ttl}}}\n")


@pytest.mark.parametrize(
    ("watches", "build", "signals", "restarts"),
    [(True, "173", 0, 0), (True, "250", 0, 0), (False, "250", 2, 0), (False, "173", 0, 2)],
)
def test_gentlest_way_is_enough(
    host: Sandbox, watches: bool, build: str, signals: int, restarts: int
) -> None:
    """Two changes, one that shows in the list of models and one in the log alone: each is told
    once, and nothing harder is done.
    """
    swap = talking(host, watches=watches, build=build)
    for _ in range(2):
        assert run_pass(host, swap).report.outcome is Outcome.APPLIED
        change(host, 42)
    assert "chat" in swap.listed
    assert "ttl: 42" in swap.seen.decode()
    assert (swap.signals, swap.restarts) == (signals, restarts)


def test_lost_signal_is_sent_again(host: Sandbox) -> None:
    """A signal that comes during another reload is lost; that is noticed, and it is repeated."""
    swap = talking(host, deaf=2)
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    assert (swap.signals, swap.restarts) == (3, 0)


def test_no_effect_leads_to_the_next_stronger_way(host: Sandbox) -> None:
    """One that is deaf for signals is restarted, and that is said."""
    swap, heard = talking(host, deaf=99), Heard()
    assert run_pass(host, swap, reporter=heard).report.outcome is Outcome.APPLIED
    assert (swap.signals, swap.restarts) == (3, 1)
    assert "container swap: signal shows no effect" in heard.said


def test_silent_log_is_no_proof(host: Sandbox) -> None:
    """Where the log tells nothing, a new list of models is proof, and a changed field has none: so
    that is made sure of by a restart.
    """
    swap = talking(host, silent=True)
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    assert (swap.signals, swap.restarts) == (1, 0)
    change(host, 42)
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    assert (swap.signals, swap.restarts) == (4, 1)


def test_refused_config_is_taken_back_without_a_restart(host: Sandbox) -> None:
    """What the server refuses to take costs nothing: it goes on with what it had, the old config is
    put back, and no model is stopped for it.
    """
    swap = talking(host)
    run_pass(host, swap)
    before, signals = host.config.read_bytes(), swap.signals
    swap.accepts = lambda text: "ttl: 42" not in text
    change(host, 42)
    report = run_pass(host, swap).report
    assert report.outcome is Outcome.ROLLED_BACK
    assert "failed to reload config: as ordered" in report.message
    assert host.config.read_bytes() == before
    assert (swap.signals, swap.restarts) == (signals + 1, 0)


def test_one_that_died_of_the_change_is_started_again(host: Sandbox) -> None:
    """A container that ends in the reload is up again with the old config, whatever way was named:
    exit 5, and the old models are served.
    """
    swap = talking(host)
    run_pass(host, swap)
    hang_up = swap.hang_up

    def die() -> None:
        hang_up()
        if "ttl: 42" in host.config.read_text():
            swap.status = RuntimeStatus.STOPPED

    swap.hang_up = die  # type: ignore[method-assign]
    change(host, 42)
    report = run_pass(host, swap, reload="signal").report
    assert report.outcome is Outcome.ROLLED_BACK
    assert "has stopped" in report.message
    assert (swap.status, swap.restarts) == (RuntimeStatus.RUNNING, 1)
    assert "ttl: 42" not in swap.seen.decode()


def test_one_that_sees_another_file_is_restarted(host: Sandbox) -> None:
    """Where the container sees other bytes than we wrote, as a mounted file that was replaced does,
    no signal can help: it is restarted at once. If even that does not, all is taken back, and
    nothing is stalled for it: the change is not at fault.
    """
    swap = talking(host)
    swap.stale = 1
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    assert (swap.signals, swap.restarts) == (0, 1)
    swap.stale = 99
    change(host, 42)
    before = host.config.read_bytes()
    with pytest.raises(ReconcilerError, match="sees another config"):
        run_pass(host, swap)
    assert host.config.read_bytes() == before
    with opened(host, swap) as (real, _):
        assert real.inventory.load_ledger().stalled is None


def test_new_bytes_unload_their_model_and_come_back_on_failure(host: Sandbox) -> None:
    """An update at the same path unloads that model alone, once: no signal, no restart. Where the
    server cannot be asked to, it is told by the harder ways.
    """
    swap = talking(host)
    run_pass(host, swap)
    signals = swap.signals
    host.add_repo("acme/chat-GGUF", seed=7)
    assert host.run("update", "--all").code == 0
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    assert (swap.unloaded, swap.signals, swap.restarts) == (["chat"], signals, 0)
    host.add_repo("acme/chat-GGUF", seed=8)
    assert host.run("update", "--all").code == 0
    swap.unloads = False
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    assert swap.signals == signals + 1


def test_stopped_in_between_stays_stopped(host: Sandbox) -> None:
    """Somebody stops the container after the plan was made: the config is written, nothing is
    started, and the run is applied.
    """
    swap = talking(host)

    class Stopping:
        def __init__(self, real: object) -> None:
            self.real = real

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def put(self, staged: str, path: object) -> None:
            swap.status = RuntimeStatus.STOPPED
            self.real.put(staged, path)  # type: ignore[attr-defined]

    report = run_pass(host, swap, wrap={"folder": Stopping}).report
    assert report.outcome is Outcome.APPLIED
    assert (swap.status, swap.signals, swap.restarts) == (RuntimeStatus.STOPPED, 0, 0)
    assert "chat" in host.config.read_text()


def test_signal_that_cannot_be_sent_leads_on(host: Sandbox) -> None:
    """An engine that refuses the signal (a proxy that allows a restart alone) is no failure."""
    swap = talking(host)

    def refuse() -> None:
        raise RuntimeFailed("403: not allowed")

    swap.hang_up = refuse  # type: ignore[method-assign]
    assert run_pass(host, swap).report.outcome is Outcome.APPLIED
    assert swap.restarts == 1


def test_killed_before_the_signal_is_finished_by_the_next_run(host: Sandbox) -> None:
    """The config is written and nobody was told: the next run tells, and takes nothing back; so it
    does where a person says that no container is managed any more.
    """
    swap, heard = talking(host), Heard()
    assert run_killed(host, Fuse(1, only="hang_up"), swap)
    run_pass(host, swap, reporter=heard)
    assert (swap.signals, swap.restarts, "chat" in swap.listed) == (1, 0, True)
    change(host, 42)
    assert run_killed(host, Fuse(1, only="hang_up"), swap)
    run_pass(host, None, reporter=heard)
    assert "ttl: 42" in host.config.read_text()
    assert not any("taken back" in line for line in heard.warnings)
