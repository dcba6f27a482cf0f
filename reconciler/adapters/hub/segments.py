"""Who fetches what: a file's missing bytes, handed out to connections segment by segment."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# A request costs a round trip, so a connection gets work for some seconds at once.
_WORTH_SECONDS: Final = 4.0
# Before anything is known of the speed.
_FIRST_BYTES: Final = 64 * 1024 * 1024
# Towards the end the segments get smaller, so that all connections end together; below this, or
# this time's worth, asking costs more than is won.
_SMALLEST_BYTES: Final = 1024 * 1024
_SMALLEST_SECONDS: Final = 0.25
# A connection that needs longer than this for what it has left is helped with it.
_SLOW_SECONDS: Final = 2.0


@dataclass(slots=True, eq=False)
class Segment:
    """What one connection is at work on: the bytes from `position` up to `end`.

    `begun_at` and `begun_position` are where it was when it began, and `moved_at` is when something
    came last, to tell how fast it is; times are in seconds.
    """

    position: int
    end: int
    begun_at: float = 0.0
    begun_position: int = 0
    moved_at: float = 0.0

    @property
    def left_bytes(self) -> int:
        """How many bytes it still lacks."""
        return self.end - self.position

    def advance(self, now: float, count_bytes: int) -> None:
        """Take note of what came."""
        self.position += count_bytes
        self.moved_at = now

    def bytes_per_second(self, now: float) -> float:
        """How fast it has been so far; 0 where nothing came for some time."""
        if now - self.moved_at >= _SLOW_SECONDS:
            return 0.0
        return (self.position - self.begun_position) / max(now - self.begun_at, 0.001)

    def is_slow(self, now: float) -> bool:
        """Whether what is left would take too long at this rate; a new one is not judged yet."""
        if now - self.begun_at < _SLOW_SECONDS:
            return False
        return self.left_bytes > _SLOW_SECONDS * self.bytes_per_second(now)


class Segments:
    """The extents of a file that are missing, and who is at work on which.

    Mostly in order, because hashing follows the front. Not safe to use from several threads.
    """

    def __init__(self, gaps: Sequence[tuple[int, int]], *, most_bytes: int) -> None:
        self._free = list(gaps)
        self._taken: list[Segment] = []
        self._most_bytes = most_bytes

    def take(
        self, now: float, *, connections: int, bytes_per_second: float | None
    ) -> Segment | None:
        """Give the next segment for one of so many connections, None where there is no work.

        `bytes_per_second` is what one connection brings; None where that is not known yet. Without
        anything free, it takes from a slow one what it will fetch sooner.
        """
        if self._free:
            start, end = self._free.pop(0)
            cut = min(start + self._length_bytes(connections, bytes_per_second, start, end), end)
            if cut < end:
                self._free.insert(0, (cut, end))
        elif slow := self._slowest(now):
            ours, theirs = bytes_per_second or 0.0, slow.bytes_per_second(now)
            # Both end at about the same time.
            share = theirs / (ours + theirs) if ours + theirs else 0.5
            start, cut = slow.position + int((slow.left_bytes - 1) * share), slow.end
            slow.end = start
        else:
            return None
        segment = Segment(start, cut, begun_at=now, begun_position=start, moved_at=now)
        self._taken.append(segment)
        return segment

    def has_work(self, now: float) -> bool:
        """Whether one more connection would find something to do."""
        return bool(self._free) or self._slowest(now) is not None

    def give_back(self, segment: Segment) -> None:
        """Take back what is left of a segment."""
        self._taken.remove(segment)
        if segment.position < segment.end:
            insort(self._free, (segment.position, segment.end))

    def take_all(self, segment: Segment, size_bytes: int) -> bool:
        """Make `segment` the whole file of `size_bytes`; False where others are at work too."""
        if self._taken != [segment]:
            return False
        self._free.clear()
        segment.position = segment.begun_position = 0
        segment.end = size_bytes
        return True

    def _length_bytes(
        self, connections: int, bytes_per_second: float | None, start: int, end: int
    ) -> int:
        if bytes_per_second is None:
            return min(_FIRST_BYTES, self._most_bytes)
        free_bytes = end - start + sum(b - a for a, b in self._free)
        even_bytes = free_bytes // (2 * connections) if connections > 1 else free_bytes
        smallest = max(_SMALLEST_BYTES, int(_SMALLEST_SECONDS * bytes_per_second))
        largest = max(_SMALLEST_BYTES, int(_WORTH_SECONDS * bytes_per_second))
        return min(max(even_bytes, smallest), largest, self._most_bytes)

    def _slowest(self, now: float) -> Segment | None:
        """Find the slow one that has most to do."""
        slow = [segment for segment in self._taken if segment.is_slow(now)]
        return max(slow, key=lambda segment: segment.left_bytes, default=None)
