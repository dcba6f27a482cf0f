"""How fast we may read from the network, over all connections of the process together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

from reconciler.core.ports.clock import Clock

# What was not used may be made up for in this time: a thread that woke late costs no rate, and a
# pause is not followed by a flood.
_CREDIT_SECONDS: Final = 0.1
_PIECE_BYTES: Final = 64 * 1024


class Bandwidth:
    """A limit in bytes per second that any number of threads share; None: there is none.

    Each taker gets the next free stretch of time, in the order they come, so that all connections
    move on and none waits for the others to end.
    """

    def __init__(self, limit_bytes_per_second: float | None, *, clock: Clock) -> None:
        self._limit = limit_bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = clock.monotonic()

    def meter(self, chunk: bytes) -> Iterator[bytes]:
        """Give `chunk` as fast as the limit allows: in small pieces, or whole without a limit."""
        if self._limit is None:
            yield chunk
            return
        for start in range(0, len(chunk), _PIECE_BYTES):
            piece = chunk[start : start + _PIECE_BYTES]
            self.take(len(piece))
            yield piece

    def take(self, count_bytes: int) -> None:
        """Wait as long as the limit asks for `count_bytes` that were just read."""
        if self._limit is None:
            return
        with self._lock:
            now = self._clock.monotonic()
            begin = max(self._free_at, now - _CREDIT_SECONDS)
            self._free_at = begin + count_bytes / self._limit
            wait_seconds = self._free_at - now
        if wait_seconds > 0:
            self._clock.sleep(wait_seconds)
