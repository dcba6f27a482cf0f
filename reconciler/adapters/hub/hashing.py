"""Hashing behind the front: while bytes arrive anywhere, what is there without a gap is hashed."""

from __future__ import annotations

import errno
import os
import threading

from reconciler.adapters.base.digests import CHUNK_BYTES, BothDigests
from reconciler.core.extents import Extents
from reconciler.core.ports.digests import Digests
from reconciler.core.ports.reporting import Progress
from reconciler.errors import ReconcilerError


class FrontHasher:
    """Hashes the file of `size_bytes` behind `descriptor` from its start, in a thread of its own.

    The extents `trusted` are there from the beginning; hashing them is the work that is left of
    them, and counts as skipped in `progress`.
    """

    def __init__(
        self, descriptor: int, size_bytes: int, *, trusted: Extents, progress: Progress
    ) -> None:
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._trusted = list(trusted)
        self._progress = progress
        self._changed = threading.Condition()
        self._front = trusted.front
        self._stopped = False
        self._failure: BaseException | None = None
        self._running = BothDigests()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def reach(self, front: int) -> None:
        """Say that the first `front` bytes are there."""
        with self._changed:
            self._front = front
            if self._next_end() is not None:
                self._changed.notify()

    def digests(self) -> Digests:
        """Wait until the whole file, which must be there, is hashed, and give its digests.

        Raises `ReconcilerError` where it cannot be read, and what `progress` raised.
        """
        self._thread.join()
        if isinstance(self._failure, OSError):
            raise ReconcilerError(
                f"what was written cannot be read back: {self._failure.strerror}",
                hint="look at the disk",
            ) from self._failure
        if self._failure is not None:
            raise self._failure
        assert self._running.size_bytes == self._size_bytes, "only a complete file has a digest"
        return self._running.digests()

    def stop(self) -> None:
        """Stop hashing, and wait until it has."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _follow(self) -> None:
        buffer = memoryview(bytearray(CHUNK_BYTES))
        try:
            while (end := self._wait_for_more()) is not None:
                start = self._running.size_bytes
                count = _read_into(buffer[: end - start], self._descriptor, start)
                self._running.update(buffer[:count])
                self._count_trusted(start, start + count)
        except BaseException as error:  # noqa: BLE001 - raised where the digests are awaited
            self._failure = error

    def _wait_for_more(self) -> int | None:
        """Give where to hash to next; None when all is hashed, or it is time to stop."""
        with self._changed:
            while not self._stopped and self._running.size_bytes < self._size_bytes:
                end = self._next_end()
                if end is not None:
                    return end
                self._changed.wait()
            return None

    def _next_end(self) -> int | None:
        """Give where to hash to next; None until there is a whole chunk, which costs less."""
        end = min(self._running.size_bytes + CHUNK_BYTES, self._size_bytes)
        return end if self._front >= end else None

    def _count_trusted(self, start: int, end: int) -> None:
        for first, last in self._trusted:
            if (count := min(last, end) - max(first, start)) > 0:
                self._progress.skip(count)


def _read_into(buffer: memoryview, descriptor: int, start: int) -> int:
    count = os.preadv(descriptor, [buffer], start)
    if not count:
        raise OSError(errno.EIO, "it is shorter than what was written")
    return count
