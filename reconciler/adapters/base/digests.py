"""Digests of files: sha256 for the world, and blake3 of each segment for fast re-checking.

Files are read, never mapped into memory: one that is cut short meanwhile would end the program.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from reconciler.core.damage import SEGMENT_BYTES, Segments, segment_count, segment_extent
from reconciler.core.names import Blake3, Sha256
from reconciler.core.ports.digests import Digests
from reconciler.core.ports.reporting import Progress
from reconciler.errors import FileMissing

# Large enough that system calls do not count, small enough to stay in the processor's caches.
CHUNK_BYTES: Final = 1024 * 1024


class BothDigests:
    """A running sha256, and the blake3 of each segment, over the same `size_bytes` bytes."""

    def __init__(self) -> None:
        # Loading it takes time that a run which hashes nothing need not spend.
        from blake3 import blake3

        self._new_blake3 = blake3
        self._sha256 = hashlib.sha256()
        self._segment = blake3()
        self._done = bytearray()
        self.size_bytes = 0

    def update(self, chunk: bytes | memoryview) -> None:
        """Take in the next bytes."""
        self._sha256.update(chunk)
        left = memoryview(chunk)
        while left:
            if self.size_bytes and self.size_bytes % SEGMENT_BYTES == 0:
                self._done += self._segment.digest()
                self._segment.reset()
            part = left[: SEGMENT_BYTES - self.size_bytes % SEGMENT_BYTES]
            self._segment.update(part)
            self.size_bytes += len(part)
            left = left[len(part) :]

    def digests(self) -> Digests:
        """Give the digests of everything taken in so far."""
        last = self._segment.digest() if self.size_bytes else b""
        segments = Segments(bytes(self._done) + last)
        # One segment's value is the file's own; of several, theirs are hashed once more, which
        # costs nothing, where a second pass over the bytes would.
        whole = self._segment if not self._done else self._new_blake3(segments)
        return Digests(
            sha256=Sha256(self._sha256.hexdigest()),
            blake3=Blake3(whole.hexdigest()),
            size_bytes=self.size_bytes,
            segments=segments,
        )


def hash_file(path: Path, *, progress: Progress) -> Digests:
    """Hash the file at `path` once for both digests, with the same small buffer for any size.

    Raises:
        FileMissing: it is not there, is no regular file, or cannot be read.
    """
    running = BothDigests()
    with _opened(path) as descriptor:
        hash_descriptor(descriptor, running, progress=progress)
    return running.digests()


def hash_segments(path: Path, *, threads: int, progress: Progress) -> Segments:
    """Give the blake3 of each segment of the file at `path`, read by up to `threads` threads.

    Of a file that becomes shorter meanwhile, those of what is left. Raises `FileMissing`, and what
    `progress` raises.
    """
    with _opened(path) as descriptor:
        size_bytes = os.fstat(descriptor).st_size
    values: dict[int, bytes] = {}
    failures: list[BaseException] = []
    numbers = iter(range(segment_count(size_bytes)))
    guard = threading.Lock()

    def work() -> None:
        try:
            # Each has a descriptor of its own, for the system reads ahead of each by itself.
            with _opened(path) as descriptor:
                while not failures:
                    with guard:
                        number = next(numbers, None)
                    if number is None:
                        return
                    start, end = segment_extent(number, size_bytes)
                    values[number] = _segment_value(descriptor, start, end, progress)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            failures.append(error)

    helpers = [
        threading.Thread(target=work, daemon=True)
        for _ in range(min(threads, segment_count(size_bytes)) - 1)
    ]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
    return Segments(b"".join(values[number] for number in sorted(values)))


def _segment_value(descriptor: int, start: int, end: int, progress: Progress) -> bytes:
    """Give the blake3 of the bytes from `start` up to `end`, or to the end of the file."""
    from blake3 import blake3

    running = blake3()
    buffer = memoryview(bytearray(CHUNK_BYTES))
    while count := os.preadv(descriptor, [buffer[: end - start]], start):
        running.update(buffer[:count])
        progress.advance(count)
        start += count
    return running.digest()


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open the regular file at `path` for reading; raises `FileMissing`, also while it is read."""
    try:
        # Not blocking, so that a pipe standing where a file should be cannot hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileMissing(
                    f"{path}: is not a regular file", hint="name a file, not a folder or device"
                )
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FileMissing(
            f"{path}: cannot be read: {error.strerror}",
            hint="look whether it is there, and whether you may read it",
        ) from error


def hash_descriptor(descriptor: int, running: BothDigests, *, progress: Progress) -> None:
    """Feed everything from the place `descriptor` stands at to its end into `running`.

    Raises `OSError`: only the caller knows what the file is to people.
    """
    buffer = bytearray(CHUNK_BYTES)
    view = memoryview(buffer)
    while count := os.readv(descriptor, [buffer]):
        running.update(view[:count])
        progress.advance(count)
