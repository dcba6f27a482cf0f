"""When to run a pass: at the start, on every change of what it is made from, and now and then.

Level-triggered: an event only wakes the loop, which then compares contents. A lost event costs one
resync interval, never more.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event

from reconciler.core.ports.clock import Clock
from reconciler.core.ports.reporting import Reporter
from reconciler.engine.run import RunResult
from reconciler.errors import ManifestInvalid, ReconcilerError, RuntimeUnavailable, Waiting

_FIRST_RETRY_SECONDS = 5.0
_LAST_RETRY_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Digests of what a pass is made from; empty for what is not there."""

    manifest: str
    lock: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How often to look without being woken, in seconds."""

    resync_seconds: float


def watch_loop(
    *,
    contents: Callable[[], Contents],
    run_pass: Callable[[], RunResult],
    wake: Event,
    schedule: Schedule,
    clock: Clock,
    reporter: Reporter,
) -> None:
    """Run passes for ever; ends only by an exception, as KeyboardInterrupt.

    `wake` is set by whoever sees a change. What fails by itself is tried again after a while, with
    more and more patience; what needs a person waits for a changed manifest or the next resync.
    """
    seen: Contents | None = None
    failures = 0
    next_at = clock.monotonic()
    while True:
        wake.clear()
        found = contents()
        if found != seen or clock.monotonic() >= next_at:
            seen, retry, opens_in = _pass(found, contents, run_pass, reporter)
            failures = failures + 1 if retry else 0
            pause = _patience(failures) if retry else schedule.resync_seconds
            pause = min(pause, opens_in or pause)
            next_at = clock.monotonic() + pause
            if retry:
                reporter.say(f"trying again in {pause:.0f} s")
            continue
        wake.wait(timeout=max(next_at - clock.monotonic(), 0))


def _pass(
    found: Contents,
    contents: Callable[[], Contents],
    run_pass: Callable[[], RunResult],
    reporter: Reporter,
) -> tuple[Contents, bool, float]:
    """Run one pass.

    Gives the contents it settles, whether it should be tried again soon, and the seconds until the
    download window opens that a model waits for; 0 where none does.
    """
    try:
        result = run_pass()
    except ManifestInvalid as error:
        reporter.warn(f"{error.message}\nthe last good state stays until this is mended")
        return found, False, 0.0
    except ReconcilerError as error:
        reporter.warn(error.message, error.hint)
        # An engine, or a container, may come up after us.
        return found, isinstance(error, Waiting | RuntimeUnavailable), 0.0
    now = contents()
    if result.prepared.changes_lock and now.lock != found.lock:
        found = replace(found, lock=now.lock)
    prepared = result.prepared
    retry = any(model not in prepared.held for model in result.report.waiting)
    return found, retry, prepared.opens_in_seconds


def _patience(failures: int) -> float:
    """Double with each failure, up to a limit, and jitter: many hosts must not knock as one."""
    longest = min(_FIRST_RETRY_SECONDS * 2 ** (failures - 1), _LAST_RETRY_SECONDS)
    return random.uniform(longest / 2, longest)  # noqa: S311 - nothing secret hangs on it
