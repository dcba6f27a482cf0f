"""Draining: whose requests a rollout cuts, and how long their end is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler.core.actions import Prune, Reload, Restart, Unload
from reconciler.core.drain import Reach, reach_of, reach_of_rest
from reconciler.core.ledger import Ledger
from reconciler.core.names import ModelId, RelPath, Sha256
from reconciler.core.observed import RuntimeState, RuntimeStatus
from reconciler.core.patience import Patience
from reconciler.core.plan import Plan
from reconciler.core.ports.serving import RunningModel
from reconciler.core.reload import Strategy
from reconciler.core.rollout import Move, Rollout, RolloutState
from reconciler.engine.drain import drain
from reconciler.engine.host import Host
from reconciler.engine.warm import loaded_models, warm_up
from reconciler.errors import Interrupted, ServerUnreachable
from tests.support.fakes import FakeClock, FakeLlamaSwap, Heard

ALL = Reach()
RESTART = Restart(container="swap", reason="")
RELOAD = Reload(container="swap", strategy=Strategy.WATCH, how="", reason="")
UNLOAD = Unload(container="swap", models=(ModelId("a"), ModelId("b")), reason="")
PRUNE = Prune(path=RelPath("x"), size_bytes=1, to_trash=True, reason="")
URL = "http://127.0.0.1:9"


def state(status: RuntimeStatus = RuntimeStatus.RUNNING, **more: Any) -> RuntimeState:
    """Give how llama-swap runs."""
    return RuntimeState(kind="docker", status=status, **{"url": URL, **more})


def plan(*actions: object, config: tuple[bytes, bytes | None] = (b"", b"")) -> Plan:
    """Give as much of a plan as is looked at."""
    parts = dict.fromkeys(Plan.__dataclass_fields__, cast(Any, None))
    return Plan(
        **parts | {"actions": actions, "config_before": config[0], "config_after": config[1]}
    )


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ((RESTART,), ALL),
        ((RELOAD, UNLOAD), ALL),
        ((UNLOAD, PRUNE), Reach(models=frozenset({"a", "b"}))),
        ((PRUNE,), None),
        ((), None),
    ],
)
def test_reach_is_what_the_plan_ends(actions: tuple[object, ...], expected: Reach | None) -> None:
    """A reload cuts all, an unload its models' requests, and files alone nobody's."""
    assert reach_of(plan(*actions), state()) == expected


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (state(RuntimeStatus.UNMANAGED, watches=None), ALL),
        (state(RuntimeStatus.UNMANAGED, url=None), None),
        (state(watches=True), ALL),
        (state(watches=False), None),
        (state(RuntimeStatus.STOPPED), None),
    ],
)
def test_config_that_is_only_written_may_be_noticed(
    runs: RuntimeState, expected: Reach | None
) -> None:
    """Where nobody is told of a new config, its requests end only if it may watch by itself."""
    assert reach_of(plan(config=(b"old", b"new")), runs) == expected


@pytest.mark.parametrize(
    ("config_after", "trash", "at", "expected"),
    [
        ("new", None, RolloutState.STARTED, ALL),
        ("new", None, RolloutState.FAILED, ALL),
        ("old", "trash/x", RolloutState.STARTED, ALL),
        ("old", None, RolloutState.STARTED, None),
        ("new", "trash/x", RolloutState.PASSED, None),
    ],
)
def test_rollout_that_was_cut_short_is_drained_for_too(
    config_after: str, trash: str | None, at: RolloutState, expected: Reach | None
) -> None:
    """Finishing it ends requests where it changes the config or files; not once it has passed."""
    parts = dict.fromkeys(Rollout.__dataclass_fields__, cast(Any, None))
    move = Move(path=RelPath("x"), sha256=Sha256("0" * 64), staged="s", inode=1, trash=trash)
    parts |= {"moves": (move,), "config_before": "old", "config_after": config_after, "state": at}
    parts |= {"ledger_before": Ledger(), "ledger_after": Ledger()}
    assert reach_of_rest(Rollout(**parts), state(watches=True)) == expected


@dataclass
class Busy(FakeLlamaSwap):
    """llama-swap at work: each look takes the next of `looks`, and the last one stays.

    What is a number of requests is told; a busy model, or an error, is what its slots tell.
    """

    looks: list[Mapping[str, int] | bool | Exception | None] = field(default_factory=list)

    def _next(self) -> Mapping[str, int] | bool | Exception | None:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def in_flight(self) -> Mapping[str, int] | None:
        """Tell it."""
        look = self._next()
        if isinstance(look, Exception):
            raise look
        assert look is None or isinstance(look, Mapping)
        return look

    def is_busy(self, model: str) -> bool | None:
        """Tell it of a loaded model."""
        assert model in self.loaded
        look = self._next()
        if isinstance(look, Exception):
            raise look
        return look if isinstance(look, bool) else None


def swap_of(tmp_path: Path, *looks: Mapping[str, int] | bool | Exception | None) -> Busy:
    """Give llama-swap that is looked at so."""
    config = tmp_path / "config.yaml"
    config.write_text("models:\n  a: {cmd: x}\n  b: {cmd: y}\n  new: {cmd: z}\n")
    return Busy(config=config, models=tmp_path, looks=list(looks))


def host_of(swap: FakeLlamaSwap, **more: Any) -> Host:
    """Give as much of a host as draining looks at."""
    parts = dict.fromkeys(Host.__dataclass_fields__, cast(Any, None))
    parts |= {
        "runtime": swap,
        "open_server": lambda _url: swap,
        "clock": FakeClock(),
        "reporter": Heard(),
        "patience": Patience(seconds=60),
    }
    return Host(**parts | more)


def heard(host: Host) -> Heard:
    """Give what it was told."""
    assert isinstance(host.reporter, Heard)
    return host.reporter


def test_idle_server_is_not_waited_for(tmp_path: Path) -> None:
    """Nothing in flight: not a moment is lost, and nothing said."""
    host = host_of(swap_of(tmp_path, {}))
    assert drain(host, ALL).waited_seconds == 0
    assert heard(host).said == heard(host).warnings == []


def test_requests_are_waited_for_until_the_last_has_ended(tmp_path: Path) -> None:
    """New ones that come in the meantime count too; how many there are is said once."""
    host = host_of(swap_of(tmp_path, {"a": 2}, {"a": 1, "b": 1}, {"b": 1}, {}))
    result = drain(host, ALL)
    assert (result.waited_seconds, result.left) == (1.5, 0)
    assert heard(host).said == ["waiting for 2 requests in flight to end, for 60 s at most"]
    assert heard(host).warnings == []


def test_only_requests_that_would_be_cut_are_waited_for(tmp_path: Path) -> None:
    """Where one model is unloaded, the others' answers go on; one without a name may be its."""
    only_a = Reach(models=frozenset({"a"}))
    assert drain(host_of(swap_of(tmp_path, {"b": 3})), only_a).left == 0
    assert drain(host_of(swap_of(tmp_path, {"b": 3, "a": 1}, {"b": 1})), only_a).waited_seconds > 0
    assert drain(host_of(swap_of(tmp_path, {"": 1}, {})), only_a).waited_seconds > 0


def test_past_the_deadline_it_goes_on_and_says_what_it_cuts(tmp_path: Path) -> None:
    """`--drain-then reload`: after the time, not before, the rest is cut, with a warning."""
    host = host_of(swap_of(tmp_path, {"a": 1}))
    result = drain(host, ALL)
    assert (result.waited_seconds, result.left) == (60, 1)
    assert heard(host).warnings == ["1 request did not end within 60 s, and will be cut"]


def test_no_patience_is_none(tmp_path: Path) -> None:
    """`--drain 0` waits for nobody."""
    host = host_of(swap_of(tmp_path, {"a": 1}), patience=Patience(seconds=0))
    assert (drain(host, ALL).waited_seconds, drain(host, ALL).left) == (0, 1)


def test_waiting_on_has_no_deadline(tmp_path: Path) -> None:
    """`--drain-then wait`: nothing is cut, however long it takes."""
    busy: list[Mapping[str, int] | bool | Exception | None] = [{"a": 1}] * 500
    host = host_of(swap_of(tmp_path, *busy, {}), patience=Patience(seconds=60, waits_on=True))
    result = drain(host, ALL)
    assert (result.waited_seconds, result.left) == (250, 0)


def test_older_server_is_asked_for_its_models_slots(tmp_path: Path) -> None:
    """Where requests are not told of, a loaded model at work is waited for; no other is asked."""
    swap = swap_of(tmp_path, None, True, False, True, False, False)
    swap.loaded = ["a", "b"]
    host = host_of(swap)
    assert drain(host, ALL).waited_seconds == 1
    assert len(swap.looks) == 1, "it is asked only once for what it does not tell"


def test_slots_that_do_not_answer_in_time_are_at_work(tmp_path: Path) -> None:
    """A model's server that reads a long prompt is silent; it is not taken for an idle one."""
    swap = swap_of(tmp_path, None, ServerUnreachable("timed out"), False)
    swap.loaded = ["a"]
    assert drain(host_of(swap), ALL).waited_seconds == 0.5


def test_slots_that_tell_nothing_count_as_idle(tmp_path: Path) -> None:
    """What cannot be seen does not hold a rollout up."""
    swap = swap_of(tmp_path, None)
    swap.loaded = ["a"]
    assert drain(host_of(swap), ALL).waited_seconds == 0


def test_server_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    """One that is down from the start has nothing in flight; that it was not seen is said."""
    host = host_of(swap_of(tmp_path, ServerUnreachable("no answer")))
    assert drain(host, ALL).waited_seconds == 0
    assert "cannot be seen" in heard(host).warnings[0]


def test_server_that_falls_silent_meanwhile_is_still_at_work(tmp_path: Path) -> None:
    """One look without an answer does not pass for an end; a container that has stopped does."""
    silent = ServerUnreachable("timed out")
    assert (
        drain(host_of(swap_of(tmp_path, {"a": 1}, silent, silent, {})), ALL).waited_seconds == 1.5
    )
    swap = swap_of(tmp_path, {"a": 1}, silent)

    class Stopping(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            swap.status = RuntimeStatus.STOPPED

    assert drain(host_of(swap, clock=Stopping()), ALL).waited_seconds == 0.5


def test_interrupt_ends_the_waiting(tmp_path: Path) -> None:
    """A person who does not want to wait is heard at once."""

    class Interrupting(FakeClock):
        def sleep(self, seconds: float) -> None:
            raise Interrupted(f"asked to stop within {seconds} s")

    with pytest.raises(Interrupted):
        drain(host_of(swap_of(tmp_path, {"a": 1}), clock=Interrupting()), ALL)


def test_stopped_container_and_unknown_url_are_not_asked(tmp_path: Path) -> None:
    """There is nobody to ask, and nothing that could be cut."""
    swap = swap_of(tmp_path, AssertionError("asked"))
    assert drain(host_of(swap), None).waited_seconds == 0
    swap.status = RuntimeStatus.STOPPED
    assert drain(host_of(swap), ALL).waited_seconds == 0
    assert loaded_models(host_of(swap)) == ()


@pytest.mark.parametrize(
    ("loaded", "here", "expected"),
    [
        (("a", "b"), [], ["a", "b"]),
        (("a", "b"), ["a"], ["b"]),
        (("gone", "old"), [], ["new"]),
        ((), [], []),
    ],
)
def test_what_was_loaded_is_loaded_again(
    tmp_path: Path, loaded: tuple[str, ...], here: list[str], expected: list[str]
) -> None:
    """Each once, under the name it has now; not what is loaded, and not what is gone."""
    swap = swap_of(tmp_path, {})
    swap.loaded = list(here)
    asked: list[tuple[str, float]] = []

    def load(model: str, timeout_seconds: float) -> str:
        asked.append((model, timeout_seconds))
        return "no room" if model == "b" else ""

    object.__setattr__(swap, "load", load)
    data = swap.config.read_bytes() + b"healthCheckTimeout: 300\n"

    class Config:
        def read(self) -> bytes:
            return data

    host = host_of(swap, config=Config(), config_path="config.yaml")
    warm_up(host, loaded, {ModelId("new"): ModelId("old")})
    assert [model for model, _ in asked] == expected
    assert {seconds for _, seconds in asked} <= {315}
    problems = ["b was loaded before and does not load now: no room"] if "b" in expected else []
    assert heard(host).warnings == problems


def test_models_that_are_loading_are_loaded(tmp_path: Path) -> None:
    """Those that are on their way count, those that are ending do not."""
    swap = swap_of(tmp_path, {})
    states = {"a": "ready", "b": "starting", "c": "stopping"}
    running = tuple(RunningModel(id=key, state=word) for key, word in states.items())
    object.__setattr__(swap, "running", lambda: running)
    assert loaded_models(host_of(swap)) == ("a", "b")
