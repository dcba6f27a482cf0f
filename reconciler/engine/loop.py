"""When to run a pass: at the start, on every change of what it is made from, and now and then.

Level-triggered: an event only wakes the loop, which then compares contents. A lost event costs one
resync interval, never more.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING

from reconciler.core.reading.lock_text import render_lock
from reconciler.core.runs import Outcome
from reconciler.core.watching import Contents, Pause, Reason, why
from reconciler.errors import ManifestInvalid, ReconcilerError, RuntimeUnavailable, Waiting

if TYPE_CHECKING:
    from reconciler.core.ports.clock import Clock
    from reconciler.core.ports.reporting import Reporter
    from reconciler.engine.listening import Listener
    from reconciler.engine.prepared import Prepared
    from reconciler.engine.run import RunResult

_FIRST_RETRY_SECONDS = 5.0
_LAST_RETRY_SECONDS = 300.0
# So many times in a row others may undo what we set right before they are answered less eagerly.
_PATIENT_FIGHTS = 2
_WANTED = (Reason.MANIFEST, Reason.LOCK)
_DRIFT = (Reason.CONFIG, Reason.MODELS)
_CHANGING = (Outcome.APPLIED, Outcome.PARTIAL)
# Files that others copy here change all the while: the folder must hold still first.
_STILL_SECONDS = 1.0
# A save that comes during a pass, or right after one, is often one of many: until so long after the
# pass the files must hold still for a moment.
_MOMENT_SECONDS = 0.3
_AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How often to look without being woken, and to pull, in seconds; `pull_seconds` 0: never."""

    resync_seconds: float
    pull_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the loop asks and does.

    `contents` looks at what a pass is made from, and `run_pass` runs one, which may be several runs
    one after the other. `paused` gives the pause that holds, `pull` brings the newest manifest, and
    `ends` says whether the loop was asked to end. `wake` is set by whoever sees a change.
    """

    contents: Callable[[], Contents]
    run_pass: Callable[[], Sequence[RunResult]]
    paused: Callable[[], Pause | None]
    pull: Callable[[], None]
    ends: Callable[[], bool]
    wake: Event


def watch_loop(
    watched: Watched,
    *,
    schedule: Schedule,
    clock: Clock,
    reporter: Reporter,
    listener: Listener,
) -> None:
    """Run passes until somebody asks for the end, or an exception as KeyboardInterrupt comes.

    What fails by itself is tried again after a while, with more and more patience; what needs a
    person waits for a changed manifest or the next resync.
    """
    _Loop(watched, schedule, clock, reporter, listener).run()


class _Loop:
    """The state of one loop. Moments are `Clock.monotonic`."""

    def __init__(
        self,
        watched: Watched,
        schedule: Schedule,
        clock: Clock,
        reporter: Reporter,
        listener: Listener,
    ) -> None:
        self._watched = watched
        self._schedule = schedule
        self._clock = clock
        self._reporter = reporter
        self._listener = listener
        self._seen: Contents | None = None
        self._failures = 0
        self._fights = 0
        self._next_at = clock.monotonic()
        self._next_is = Reason.RESYNC
        self._pull_at = clock.monotonic()
        self._drift_at = clock.monotonic()
        self._looked = Contents(manifest="", lock="")
        self._models_moved_at = clock.monotonic()
        self._wanted_moved_at = clock.monotonic()
        self._ended_at = -math.inf
        self._was_paused = False

    def run(self) -> None:
        """Look, run what is due, and wait, until the end."""
        while True:
            # Before anything is asked: whoever wakes from here on is heard in the next turn.
            self._watched.wake.clear()
            if self._watched.ends():
                return
            pause = self._watched.paused()
            if pause is not None:
                self._was_paused = True
                self._wait(self._pause_seconds(pause), pause)
                continue
            self._pull()
            found = self._look()
            reason = self._due(found)
            if reason is None:
                self._wait(self._rest_seconds(found), None)
                continue
            self._was_paused = False
            self._listener.began(reason)
            self._pass(found)

    def _look(self) -> Contents:
        found, before = self._watched.contents(), self._looked
        now = self._clock.monotonic()
        if found.models != before.models:
            self._models_moved_at = now
        if (found.manifest, found.lock) != (before.manifest, before.lock):
            self._wanted_moved_at = now
        self._looked = found
        return found

    def _due(self, found: Contents) -> Reason | None:
        now = self._clock.monotonic()
        reason = why(found, self._seen, heeds_drift=now >= self._drift_at)
        is_due = now >= self._next_at
        if reason is not None and now < self._still_at(reason) and not is_due:
            reason = None
        if reason is None and self._was_paused:
            return Reason.RESUMED
        return self._next_is if reason is None and is_due else reason

    def _still_at(self, reason: Reason) -> float:
        """Give the moment from which what changed is held to be whole."""
        if reason is Reason.MODELS:
            return self._models_moved_at + _STILL_SECONDS
        if reason in _WANTED:
            return min(self._wanted_moved_at + _MOMENT_SECONDS, self._ended_at + _AFTER_SECONDS)
        return -math.inf

    def _pass(self, found: Contents) -> None:
        # Whatever woke it: it sets right what others changed as well.
        changed = why(found, self._seen, heeds_drift=True)
        try:
            results = self._watched.run_pass()
        except ReconcilerError as error:
            now = self._look()
            self._ended_at = self._clock.monotonic()
            # How far it came is not known. What it changed and took back must not wake it, and what
            # is wanted is compared with what it began with: at worst one pass too many.
            self._seen = replace(found, config=now.config, siblings=now.siblings, models=now.models)
            self._tell(error)
            # An engine, or a container, may come up after us.
            self._plan_next(retry=isinstance(error, Waiting | RuntimeUnavailable))
            return
        self._seen = _settled(found, self._look(), results)
        self._ended_at = self._clock.monotonic()
        self._count_fights(changed, results)
        last = results[-1]
        retry = any(model not in last.prepared.held for model in last.report.waiting)
        self._plan_next(retry=retry, opens_in_seconds=last.prepared.opens_in_seconds)

    def _tell(self, error: ReconcilerError) -> None:
        self._listener.failed(error)
        if isinstance(error, ManifestInvalid):
            stays = "the last good state stays until this is mended"
            self._reporter.warn(f"{error.message}\n{stays}", error.hint)
        else:
            self._reporter.warn(error.message, error.hint)

    def _plan_next(self, *, retry: bool, opens_in_seconds: float = 0.0) -> None:
        self._failures = self._failures + 1 if retry else 0
        pause = self._schedule.resync_seconds
        if retry:
            pause = min(_patience(self._failures), pause)
        self._next_is = Reason.RETRY if retry else Reason.RESYNC
        if 0 < opens_in_seconds < pause:
            pause, self._next_is = opens_in_seconds, Reason.WINDOW
        self._next_at = self._clock.monotonic() + pause
        if retry:
            self._reporter.say(f"trying again in {pause:.0f} s")

    def _count_fights(self, changed: Reason | None, results: Sequence[RunResult]) -> None:
        """Two who set the same thing right, each in his way, would else never come to rest."""
        undone = any(result.report.outcome in _CHANGING for result in results)
        is_fight = undone and changed in _DRIFT
        self._fights = self._fights + 1 if is_fight else 0
        more = self._fights - _PATIENT_FIGHTS
        self._drift_at = self._clock.monotonic() + (_patience(more) if more > 0 else 0)
        if more == 1:
            self._reporter.warn(
                f"somebody keeps undoing what is set right here: {changed}",
                "see what else writes there; it is answered less and less often",
            )

    def _pull(self) -> None:
        if self._schedule.pull_seconds and self._clock.monotonic() >= self._pull_at:
            self._watched.pull()
            self._pull_at = self._clock.monotonic() + _jittered(self._schedule.pull_seconds)

    def _rest_seconds(self, found: Contents) -> float:
        moments = [self._next_at]
        if self._schedule.pull_seconds:
            moments.append(self._pull_at)
        reason = why(found, self._seen, heeds_drift=True)
        if reason is not None:
            # It waits until it holds still, and what others changed until it is answered.
            answered_at = self._drift_at if reason in _DRIFT else -math.inf
            moments.append(max(self._still_at(reason), answered_at))
        return max(min(moments) - self._clock.monotonic(), 0)

    def _pause_seconds(self, pause: Pause) -> float:
        # A pause that ends is looked for now and then, too: the clock on the wall may be set.
        longest = self._schedule.resync_seconds
        if pause.until is None:
            return longest
        return min(max((pause.until - self._clock.now()).total_seconds(), 0), longest)

    def _wait(self, seconds: float, pause: Pause | None) -> None:
        self._listener.rests(seconds, pause)
        self._watched.wake.wait(timeout=seconds)


def _settled(found: Contents, now: Contents, results: Sequence[RunResult]) -> Contents:
    """Give the contents that a pass has dealt with: what it found, read, and wrote itself."""
    if not found.models:
        # Where they lie is known from the first pass on: before it nothing was seen of them.
        found = replace(found, config=now.config, siblings=now.siblings, models=now.models)
    prepared = [result.prepared for result in results]
    lock, config = found.lock, found.config
    if now.lock != lock:
        locks = [text for item in prepared for text in _locks_of(item)]
        lock = now.lock if now.lock in map(_digest, locks) else lock
    if now.config != config:
        configs = [text for result in results for text in _configs_of(result)]
        config = now.config if now.config in map(_digest, configs) else config
    # What we placed, and what somebody changed meanwhile, cannot be told apart here: the next
    # resync sees the latter.
    is_placed = any(not item.plan.is_empty for item in prepared)
    models = now.models if is_placed else found.models
    return replace(found, lock=lock, config=config, models=models)


def _locks_of(prepared: Prepared) -> tuple[bytes | None, ...]:
    return prepared.lock_before, render_lock(prepared.pins_after.lock)


def _configs_of(result: RunResult) -> tuple[bytes | None, ...]:
    # What a file says of itself may have been known only once it was here.
    plan = result.carried_out or result.prepared.plan
    return plan.config_before, plan.config_after


def _digest(data: bytes | None) -> str:
    return hashlib.sha256(data).hexdigest() if data is not None else ""


def _patience(failures: int) -> float:
    """Double with each failure, up to a limit, and jitter: many hosts must not knock as one."""
    longest = min(_FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 10), _LAST_RETRY_SECONDS)
    return random.uniform(longest / 2, longest)  # noqa: S311 - nothing secret hangs on it


def _jittered(seconds: float) -> float:
    return random.uniform(0.9, 1.1) * seconds  # noqa: S311 - nothing secret hangs on it
