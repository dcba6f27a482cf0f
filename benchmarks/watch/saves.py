"""How soon after a save a pass begins, and how many passes a burst of saves leads to."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.support.hub import running_hub
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from tests.support.watching import Log, logged

_BEFORE_IT_RESTS_SECONDS = 60.0
_APART_SECONDS = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Seconds from a save to the begin of its pass, and to its plan; by the clock on the wall."""

    begins: tuple[float, ...]
    plans: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What came of many saves, one right after the other. `last` was served: the last one's."""

    seconds: float
    passes: int
    is_last_applied: bool


def measure_saves(count: int) -> Latencies:
    """Save `count` times, each after the pass of the one before, and see in the log what began."""
    begins: list[float] = []
    plans: list[float] = []
    with _watched() as (host, log):
        for number in range(count):
            # A save right after a pass is taken for one of many, and waited with.
            time.sleep(_APART_SECONDS)
            passes = len(log.events("pass_begins"))
            saved_at = datetime.now(UTC)
            _save(host, 1000 + number)
            wait_for(partial(_is_over, log, passes), "a pass", seconds=_BEFORE_IT_RESTS_SECONDS)
            for event, seconds in (("pass_begins", begins), ("plan", plans)):
                at = datetime.fromisoformat(log.events(event)[-1]["time"])
                seconds.append((at - saved_at).total_seconds())
    return Latencies(begins=tuple(begins), plans=tuple(plans))


def measure_burst(count: int) -> Burst:
    """Save `count` times without a pause, and count the passes until it rests."""
    with _watched() as (host, log):
        passes = len(log.events("pass_begins"))
        began = datetime.now(UTC)
        for number in range(count):
            _save(host, 1000 + number)
        ended = datetime.now(UTC)
        last = f"ttl: {1000 + count - 1}\n"
        wait_for(
            lambda: last in host.config.read_text() and log.is_at_rest(),
            "the last save",
            seconds=_BEFORE_IT_RESTS_SECONDS,
        )
        return Burst(
            seconds=(ended - began).total_seconds(),
            passes=len(log.events("pass_begins")) - passes,
            is_last_applied=host.config.read_text().count(last) == 1,
        )


def percentile(values: tuple[float, ...], percent: int) -> float:
    """Give the value that so many percent of all do not exceed."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _is_over(log: Log, passes: int) -> bool:
    return len(log.events("pass_begins")) > passes and log.is_at_rest()


def _save(host: Sandbox, number: int) -> None:
    host.write_manifest(
        f"  chat:\n    source: acme/chat-GGUF:Q4_K_M\n    serve: {{ttl: {number}}}\n"
    )


@contextmanager
def _watched() -> Iterator[tuple[Sandbox, Log]]:
    """Give a host whose one model is served, and the log of the watch on it, at rest."""
    with tempfile.TemporaryDirectory() as folder, running_hub() as hub:
        host = Sandbox(home=Path(folder) / "host", hub=hub)
        host.add_repo("acme/chat-GGUF")
        _save(host, 999)
        with logged(host) as log:
            wait_for(log.is_at_rest, "the first pass", seconds=_BEFORE_IT_RESTS_SECONDS)
            yield host, log
