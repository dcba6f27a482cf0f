"""Which parts of a file are there: a set of byte extents, joined where they touch."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Extents:
    """A growing set of half-open byte extents `(start, end)`, kept sorted and disjoint."""

    def __init__(self, extents: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._total_bytes = 0
        for start, end in extents:
            self.add(start, end)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(tuple(self._starts), tuple(self._ends), strict=True)

    @property
    def total_bytes(self) -> int:
        """How many bytes are in it."""
        return self._total_bytes

    @property
    def front(self) -> int:
        """How many bytes there are from the start on without a gap."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def add(self, start: int, end: int) -> int:
        """Take in the bytes from `start` up to `end`; gives how many of them are new."""
        if start >= end:
            return 0
        # Those from `first` up to `last` touch the new one, and become one with it.
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        had = sum(self._ends[at] - self._starts[at] for at in range(first, last))
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        self._total_bytes += end - start - had
        return end - start - had

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """Give the parts of the bytes from `start` up to `end` that are not in it, in order."""
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        within = zip(self._starts[first:last], self._ends[first:last], strict=True)
        edges = [start, *(edge for extent in within for edge in extent), end]
        return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]
