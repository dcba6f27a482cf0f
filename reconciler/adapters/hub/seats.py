"""The connections that may be open to one host at once, shared among the files being fetched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Seats:
    """`most` seats. Each file may always have one, as soon as one is free; more only if none waits.

    Safe to use from several threads.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._changed = threading.Condition()
        self._taken = 0
        self._waiting = 0

    @contextmanager
    def first(self) -> Iterator[None]:
        """Hold a file's first seat while the block runs; waits for it."""
        with self._changed:
            self._waiting += 1
            try:
                while self._taken >= self.most:
                    self._changed.wait()
            finally:
                self._waiting -= 1
            self._taken += 1
        try:
            yield
        finally:
            self.leave()

    def try_more(self) -> bool:
        """Take one more seat, if one is free and nobody waits."""
        with self._changed:
            if self._taken >= self.most or self._waiting:
                return False
            self._taken += 1
            return True

    def leave(self) -> None:
        """Give a seat back."""
        with self._changed:
            self._taken -= 1
            self._changed.notify()

    @property
    def free(self) -> int:
        """How many nobody has."""
        with self._changed:
            return self.most - self._taken

    @property
    def wanted(self) -> bool:
        """Whether a file waits for its first seat."""
        with self._changed:
            return self._waiting > 0
