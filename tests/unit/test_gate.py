"""The health gate: what must be listed, what must not, and how long it is waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler.core.gate import Gate, expect_models
from reconciler.core.ledger import (
    Ledger,
    LedgerEntry,
    LedgerFile,
    LedgerModel,
    Provenance,
)
from reconciler.core.names import ModelId, RelPath, Sha256
from reconciler.core.observed import RuntimeState, RuntimeStatus
from reconciler.core.yamltext.config import read_config
from reconciler.engine.health import listed_models, pass_gate
from reconciler.engine.host import Host
from reconciler.errors import RuntimeUnavailable
from tests.support.fakes import FakeClock, FakeLlamaSwap, Heard

CONFIG = """\
models:
  ours: {cmd: a}
  theirs: {cmd: b, aliases: [nick, old-name], filters: {setParamsByID: {old-way: {}}}}
  hidden: {cmd: c, unlisted: true}
  shown: {cmd: d, unlisted: false}
"""


def ledger(*models: str, entries: bool = True) -> Ledger:
    """Give a ledger with these models."""
    entry = LedgerEntry(made=True, fields={}) if entries else None
    return Ledger(
        models={ModelId(key): LedgerModel(id=ModelId(key), files=(), entry=entry) for key in models}
    )


def gate(before: Ledger, after: Ledger, *listed: str) -> Gate:
    """Give what is expected of `CONFIG`."""
    return expect_models(read_config(CONFIG.encode(), "c"), before, after, listed)


def test_ours_and_what_was_listed_before_must_be_there() -> None:
    """Our IDs, and those that were listed and are still in the config; not what was not listed."""
    found = gate(ledger(), ledger("ours"), "theirs", "a-peer")
    assert found.expected == {"ours", "theirs"}
    assert found.missing({"ours", "nick"}) == ("theirs",)


def test_unlisted_model_is_not_expected() -> None:
    """`unlisted: true` is never asked for, not even where it is ours; `false` is no such word."""
    assert gate(ledger(), ledger("hidden", "shown")).expected == {"shown"}


def test_what_we_took_out_must_be_gone() -> None:
    """An ID whose entry went must not be listed any more; whatever else is listed may be."""
    found = gate(ledger("ours", "removed"), ledger("ours"))
    assert found.lingering({"ours", "removed", "a-peer", "a-selector"}) == ("removed",)


def test_name_that_lives_on_as_an_alias_may_be_listed() -> None:
    """An ID we took out that is now another model's alias, or its own entry again, is no rest."""
    assert gate(ledger("old-name", "old-way", "theirs"), ledger()).absent == frozenset()


def test_model_without_an_entry_is_never_asked_for() -> None:
    """A disabled model has no entry: it is neither expected nor missed."""
    found = gate(ledger("x", entries=False), ledger("ours", entries=False))
    assert (found.expected, found.absent) == (frozenset(), frozenset())


@dataclass
class Slow(FakeLlamaSwap):
    """llama-swap that changes while it is looked at: each step is done before one look."""

    steps: list[Callable[[], None]] = field(default_factory=list)
    problem: str = ""
    restarting: bool = False

    def observe(self) -> RuntimeState:
        """Look at it; one more step has come to pass."""
        if self.steps:
            self.steps.pop(0)()
        if self.problem:
            raise RuntimeUnavailable(self.problem)
        return replace(super().observe(), is_restarting=self.restarting)


@pytest.fixture
def swap(tmp_path: Path) -> Slow:
    """llama-swap, up with `CONFIG`."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    return Slow(config=config, models=tmp_path)


def host_of(swap: Slow, *, timeout: float = 10.0) -> Host:
    """Give as much of a host as the gate looks at."""
    parts = dict.fromkeys(Host.__dataclass_fields__, cast(Any, None))
    parts |= {
        "runtime": swap,
        "open_server": lambda _url: swap,
        "clock": FakeClock(),
        "reporter": Heard(),
        "health_timeout_seconds": timeout,
    }
    return Host(**parts)


WANTED = Gate(expected=frozenset({"ours"}), absent=frozenset({"removed"}))


def test_gate_opens_at_once_where_all_is_well(swap: Slow) -> None:
    """Nothing is waited for, and no downtime counted."""
    result = pass_gate(host_of(swap), WANTED)
    assert (result.passed, result.downtime_seconds) == (True, 0)


def test_time_that_a_look_takes_is_no_downtime(swap: Slow) -> None:
    """What answers the first look was never away, however slow its engine is to tell of it."""
    host = host_of(swap)
    swap.steps = [lambda: host.clock.sleep(3)]
    assert pass_gate(host, WANTED).downtime_seconds == 0


def test_container_between_two_starts_is_not_up(swap: Slow) -> None:
    """One that its engine starts again and again is told as that, and waited for."""
    host = host_of(swap)
    swap.restarting = True
    assert "over and over" in pass_gate(host, WANTED).problem
    assert host.clock.monotonic() == host.health_timeout_seconds


def test_gate_waits_for_a_server_that_takes_its_time(swap: Slow) -> None:
    """Up after some looks, and listing after some more: it passes; downtime ends with health."""
    swap.up = False
    swap.listed = frozenset({"removed"})

    def up() -> None:
        swap.up = True

    def lists() -> None:
        swap.listed = frozenset({"ours"})

    nothing = cast(Callable[[], None], int)
    swap.steps = [nothing, nothing, up, nothing, lists]
    result = pass_gate(host_of(swap), WANTED)
    assert result.passed
    assert result.downtime_seconds == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("listed", "words"),
    [({"theirs"}, "does not list ours"), ({"ours", "removed"}, "still lists removed")],
)
def test_gate_that_stays_shut_says_what_is_wrong(swap: Slow, listed: set[str], words: str) -> None:
    """After its time it fails with what it saw last, having waited no longer."""
    swap.listed = frozenset(listed)
    host = host_of(swap)
    result = pass_gate(host, WANTED)
    assert words in result.problem
    assert 10 <= host.clock.monotonic() < 11


def test_container_that_has_stopped_is_not_waited_for(swap: Slow) -> None:
    """It will not come up by itself."""
    swap.status = RuntimeStatus.STOPPED
    host = host_of(swap)
    assert "has stopped" in pass_gate(host, WANTED).problem
    assert host.clock.monotonic() == 0


def test_engine_that_does_not_answer_may_come_back(swap: Slow) -> None:
    """A Docker engine that is restarted in this very moment is waited for."""
    swap.problem = "no engine"
    host = host_of(swap, timeout=1)
    assert pass_gate(host, WANTED).problem == "no engine"
    nothing = cast(Callable[[], None], int)
    swap.steps = [nothing, lambda: setattr(swap, "problem", "")]
    assert pass_gate(host, WANTED).passed


def test_server_that_was_down_before_is_not_asked_for_its_models(swap: Slow) -> None:
    """What it listed is then not known, which is said, and is no error."""
    swap.up = False
    host = host_of(swap)
    assert listed_models(host) is None
    assert len(cast(Heard, host.reporter).warnings) == 1
    stopped = replace(swap, status=RuntimeStatus.STOPPED)
    assert listed_models(host_of(stopped)) is None


def test_changed_are_those_of_ours_that_are_served_otherwise() -> None:
    """A new model, another entry and other bytes count, unlisted or not; the rest does not."""
    file = LedgerFile(
        path=RelPath("o/r/m.gguf"),
        size_bytes=1,
        sha256=Sha256("0" * 64),
        provenance=Provenance.BROUGHT,
    )
    known = ledger("ours", "theirs", "shown")
    models = dict(known.models)
    models[ModelId("theirs")] = replace(models[ModelId("theirs")], files=(file.path,))
    before = replace(known, models=models, files={file.path: file})
    after = replace(
        before,
        models={**models, **ledger("hidden", "nowhere").models},
        files={file.path: replace(file, sha256=Sha256("1" * 64))},
    )
    assert gate(before, after).changed == ("hidden", "theirs")
    assert gate(before, before).changed == ()


@pytest.mark.parametrize(
    ("line", "seconds"),
    [("", 135), ("healthCheckTimeout: 500", 515), ("healthCheckTimeout: 3", 30), ("x: 1", 135)],
)
def test_time_to_load_is_the_configs_own(line: str, seconds: float) -> None:
    """What llama-swap gives a model, with its defaults, and some time for its answer."""
    config = read_config(f"{line}\n{CONFIG}".encode(), "c")
    assert expect_models(config, ledger(), ledger(), ()).load_seconds == seconds


def test_probe_asks_each_changed_model(swap: Slow) -> None:
    """Listed is not enough where an answer is wanted: one that does not come fails the gate."""
    asked: list[tuple[str, float]] = []

    def probe(model: str, timeout_seconds: float) -> str:
        asked.append((model, timeout_seconds))
        return "status 502: out of memory" if model == "theirs" else ""

    object.__setattr__(swap, "probe", probe)
    wanted = replace(WANTED, changed=("ours", "theirs"), load_seconds=30)
    assert pass_gate(host_of(swap), wanted).passed
    assert asked == []
    host = replace(host_of(swap), probe=True)
    assert pass_gate(host, wanted).problem == "theirs does not answer: status 502: out of memory"
    assert asked == [("ours", 30), ("theirs", 30)]
    assert pass_gate(host, replace(wanted, changed=("ours",))).passed


def test_probe_does_not_hide_what_is_wrong_before(swap: Slow) -> None:
    """Where the list is wrong already, that is said, and no model is loaded."""
    swap.listed = frozenset({"theirs"})
    object.__setattr__(swap, "probe", None)
    host = replace(host_of(swap, timeout=0), probe=True)
    assert "does not list ours" in pass_gate(host, replace(WANTED, changed=("ours",))).problem
