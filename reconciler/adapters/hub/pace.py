"""How many connections one file deserves: more for as long as more of them bring more."""

from __future__ import annotations

from typing import Final

# Long enough to measure, short enough that a throttled source is at its eight within half a second.
_WINDOW_SECONDS: Final = 0.15
# Twice the connections bring twice as much from a source that throttles each, and hardly more
# through a line that is full.
_WORTH: Final = 1.25
# Lines change; a line found full is tried again after this, and after twice that from then on.
_HOLD_SECONDS: Final = 5.0
_LONGEST_HOLD_SECONDS: Final = 80.0


class Pace:
    """Finds the number of connections, from one up to `most`, by doubling and measuring."""

    def __init__(self, *, most: int) -> None:
        self.connections = 1
        self._most = most
        self._before: tuple[int, float] | None = None
        self._window: tuple[float, int] | None = None
        self._hold_seconds = _HOLD_SECONDS
        self._hold_until = 0.0

    def measure(self, now: float, received_bytes: int, *, flowing: int) -> int:
        """Give the number of connections there should be.

        `now` is in seconds, `received_bytes` what all have brought so far, and `flowing` how many
        have brought something: as long as those are not all, nothing can be told.
        """
        if flowing < self.connections:
            self._window = None
            return self.connections
        if self._window is None:
            self._window = now, received_bytes
        begun, had_bytes = self._window
        if now - begun < _WINDOW_SECONDS:
            return self.connections
        rate = (received_bytes - had_bytes) / (now - begun)
        self._window = None
        if self._before is not None and rate < _WORTH * self._before[1]:
            self.connections = self._before[0]
            self._hold_until = now + self._hold_seconds
            self._hold_seconds = min(2 * self._hold_seconds, _LONGEST_HOLD_SECONDS)
            self._before = None
        elif self.connections < self._most and now >= self._hold_until:
            self._before = self.connections, rate
            self.connections = min(2 * self.connections, self._most)
        else:
            self._before = None
        return self.connections

    def lower(self, now: float, connections: int) -> None:
        """Ask for no more than so many for a while: one has failed."""
        self.connections = max(1, min(self.connections, connections))
        self._before = self._window = None
        self._hold_until = max(self._hold_until, now + _HOLD_SECONDS)

    def stay_alone(self) -> None:
        """Ask for one connection from now on: others would be of no use."""
        self.connections = self._most = 1
        self._before = self._window = None
