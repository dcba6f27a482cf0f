"""When to run a pass: at the start, on every change of what it is made from, and now and then.

Level-triggered: an event only wakes the loop, which then compares contents. A lost event costs one
resync interval, never more.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING

from reconciler.core.runs import Outcome
from reconciler.core.watching import Contents, Pause, Reason, why
from reconciler.errors import ManifestInvalid, ReconcilerError, RuntimeUnavailable, Waiting

if TYPE_CHECKING:
    from reconciler.core.ports.clock import Clock
    from reconciler.core.ports.reporting import Reporter
    from reconciler.engine.listening import Listener
    from reconciler.engine.run import RunResult

_FIRST_RETRY_SECONDS = 5.0
_LAST_RETRY_SECONDS = 300.0
# So many times in a row others may undo what we set right before they are answered less eagerly.
_PATIENT_FIGHTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How often to look without being woken, and to pull, in seconds; `pull_seconds` 0: never."""

    resync_seconds: float
    pull_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the loop asks and does.

    `contents` looks at what a pass is made from, and `run_pass` runs one. `paused` gives the pause
    that holds, `pull` brings the newest manifest, and `ends` says whether the loop was asked to
    end. `wake` is set by whoever sees a change.
    """

    contents: Callable[[], Contents]
    run_pass: Callable[[], RunResult]
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
        self._was_paused = False

    def run(self) -> None:
        """Look, run what is due, and wait, until the end."""
        while not self._watched.ends():
            self._watched.wake.clear()
            pause = self._watched.paused()
            if pause is not None:
                self._was_paused = True
                self._wait(self._pause_seconds(pause), pause)
                continue
            self._pull()
            found = self._watched.contents()
            reason = self._due(found)
            if reason is None:
                self._wait(self._rest_seconds(found), None)
                continue
            self._was_paused = False
            self._listener.began(reason)
            self._pass(found, reason)

    def _due(self, found: Contents) -> Reason | None:
        now = self._clock.monotonic()
        reason = why(found, self._seen, heeds_drift=now >= self._drift_at)
        if reason is None and self._was_paused:
            return Reason.RESUMED
        return self._next_is if reason is None and now >= self._next_at else reason

    def _pass(self, found: Contents, reason: Reason) -> None:
        try:
            result = self._watched.run_pass()
        except ReconcilerError as error:
            self._seen = found
            self._tell(error)
            # An engine, or a container, may come up after us.
            self._plan_next(retry=isinstance(error, Waiting | RuntimeUnavailable))
            return
        self._seen = _settled(found, self._watched.contents(), result)
        self._count_fights(reason, result)
        prepared = result.prepared
        retry = any(model not in prepared.held for model in result.report.waiting)
        self._plan_next(retry=retry, opens_in_seconds=prepared.opens_in_seconds)

    def _tell(self, error: ReconcilerError) -> None:
        self._listener.failed(error)
        if isinstance(error, ManifestInvalid):
            stays = "the last good state stays until this is mended"
            self._reporter.warn(f"{error.message}\n{stays}", error.hint)
        else:
            self._reporter.warn(error.message, error.hint)

    def _plan_next(self, *, retry: bool, opens_in_seconds: float = 0.0) -> None:
        self._failures = self._failures + 1 if retry else 0
        pause = _patience(self._failures) if retry else self._schedule.resync_seconds
        self._next_is = Reason.RETRY if retry else Reason.RESYNC
        if 0 < opens_in_seconds < pause:
            pause, self._next_is = opens_in_seconds, Reason.WINDOW
        self._next_at = self._clock.monotonic() + pause
        if retry:
            self._reporter.say(f"trying again in {pause:.0f} s")

    def _count_fights(self, reason: Reason, result: RunResult) -> None:
        """Two who set the same thing right, each in his way, would else never come to rest."""
        if reason not in (Reason.CONFIG, Reason.MODELS):
            self._fights = 0
            return
        undone = result.report.outcome in (Outcome.APPLIED, Outcome.PARTIAL)
        self._fights = self._fights + 1 if undone else 0
        more = self._fights - _PATIENT_FIGHTS
        if more > 0:
            pause = _patience(more)
            self._drift_at = self._clock.monotonic() + pause
            self._reporter.warn(
                f"somebody keeps undoing what is set right here ({reason})",
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
        if found != self._seen:
            moments.append(self._drift_at)
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


def _settled(found: Contents, now: Contents, result: RunResult) -> Contents:
    """Give the contents that a pass has dealt with: what it found, and what it wrote itself."""
    prepared = result.prepared
    plan = prepared.plan
    ours = hashlib.sha256(plan.config_after).hexdigest() if plan.config_after is not None else ""
    # Where they lie is known from the first pass on, so that before it nothing was seen of them.
    is_ours = not found.config or now.config == ours
    # What we placed, and what somebody changed meanwhile, cannot be told apart here: the next
    # resync sees the latter.
    is_placed = not found.models or not plan.is_empty
    return replace(
        found,
        lock=now.lock if prepared.changes_lock else found.lock,
        config=now.config if is_ours else found.config,
        models=now.models if is_placed else found.models,
    )


def _patience(failures: int) -> float:
    """Double with each failure, up to a limit, and jitter: many hosts must not knock as one."""
    longest = min(_FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 10), _LAST_RETRY_SECONDS)
    return random.uniform(longest / 2, longest)  # noqa: S311 - nothing secret hangs on it


def _jittered(seconds: float) -> float:
    return random.uniform(0.9, 1.1) * seconds  # noqa: S311 - nothing secret hangs on it
