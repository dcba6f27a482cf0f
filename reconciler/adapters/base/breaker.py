"""Which servers are left alone for a while: those that fail again and again, or ask for it.

One dead server must not cost every model that needs it the full patience, and a server that asked
one thread to wait has asked all of them. So what each origin said last is kept for all.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Final

from reconciler.adapters.base.urls import WebOrigin
from reconciler.core.ports.clock import Clock
from reconciler.errors import RateLimited, Unreachable

# So many failures in a row, over so long: many connections that break in one moment are one mishap.
_FAILURES: Final = 5
_ROW_SECONDS: Final = 5.0
# A server that answers, if only with faults of its own, may have trouble with one repository alone.
_FAULTY_PLACES: Final = 3
_FIRST_REST_SECONDS: Final = 10.0
_LONGEST_REST_SECONDS: Final = 300.0
# Whoever asks for more is asked again after this time: a mistake must not last for days.
_LONGEST_HOLD_SECONDS: Final = 3600.0


class CircuitOpen(Unreachable):
    """A server is left alone, so nothing was asked. Waiting for it within one model is in vain."""


@dataclass(slots=True)
class _Row:
    """Failures without an answer between them."""

    begun_at: float
    failures: int = 0
    silent: bool = False
    faulty_places: set[str] = field(default_factory=set)

    def is_enough(self, now: float) -> bool:
        enough = self.failures >= _FAILURES and now - self.begun_at >= _ROW_SECONDS
        return enough and (self.silent or len(self.faulty_places) >= _FAULTY_PLACES)


@dataclass(slots=True)
class _State:
    row: _Row | None = None
    rest_until: float | None = None
    rest_seconds: float = 0.0
    held_until: float = 0.0


class Breaker:
    """What is known of each origin's health. Safe to use from several threads.

    Call `admit` before a request, then `answered` or `failed` with what `admit` gave.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[WebOrigin, _State] = {}

    def admit(self, origin: WebOrigin, about: str) -> bool:
        """Let a request through, or say for how long none is. Gives whether it is a probe.

        Once a rest is over one request goes through as the probe; the others wait for its outcome,
        or for as long again, should it never be told.

        Raises:
            CircuitOpen: `origin` failed too often.
            RateLimited: `origin` asked to be left alone.
        """
        with self._lock:
            state, now = self._state(origin), self._clock.monotonic()
            if now < state.held_until:
                left_seconds = state.held_until - now
                raise RateLimited(
                    f"{about}: its server asked us to wait, for {left_seconds:.0f} s more",
                    hint="wait, and run again",
                    retry_after_seconds=left_seconds,
                )
            if state.rest_until is None:
                return False
            if now < state.rest_until:
                left_seconds = state.rest_until - now
                raise CircuitOpen(
                    f"{about}: its server failed again and again, so it is left alone for "
                    f"{left_seconds:.0f} s more",
                    hint="look whether that server is up; then run again",
                    retry_after_seconds=left_seconds,
                )
            state.rest_until = now + state.rest_seconds
            return True

    def answered(self, origin: WebOrigin) -> None:
        """`origin` is alive: whatever it failed before is forgotten."""
        with self._lock:
            state = self._state(origin)
            state.row, state.rest_until, state.rest_seconds = None, None, 0.0

    def failed(self, origin: WebOrigin, *, probe: bool, faulty_place: str | None = None) -> None:
        """`origin` gave no answer or, at `faulty_place`, one that tells of a fault of its own."""
        with self._lock:
            state, now = self._state(origin), self._clock.monotonic()
            if state.rest_until is not None:
                # Those that were under way when the rest began say nothing new.
                if probe:
                    _rest(state, now)
                return
            row = state.row = state.row or _Row(begun_at=now)
            row.failures += 1
            if faulty_place is None:
                row.silent = True
            else:
                row.faulty_places.add(faulty_place)
            if row.is_enough(now):
                _rest(state, now)

    def hold(self, origin: WebOrigin, seconds: float) -> None:
        """`origin` asked not to be asked for so long."""
        with self._lock:
            until = self._clock.monotonic() + min(seconds, _LONGEST_HOLD_SECONDS)
            state = self._state(origin)
            state.held_until = max(state.held_until, until)

    def _state(self, origin: WebOrigin) -> _State:
        return self._states.setdefault(origin, _State())


def _rest(state: _State, now: float) -> None:
    state.rest_seconds = min(
        max(_FIRST_REST_SECONDS, 2 * state.rest_seconds), _LONGEST_REST_SECONDS
    )
    # Many hosts that lost one server do not come back to it together.
    state.rest_until = now + state.rest_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
