"""Both digests of the same bytes in one pass: sha256 for the world, blake3 for fast re-checking."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from reconciler.core.names import Blake3, Sha256
from reconciler.core.ports.digests import Digests
from reconciler.core.ports.reporting import Progress
from reconciler.errors import FileMissing

# Large enough that system calls do not count, small enough to stay in the processor's caches.
CHUNK_BYTES: Final = 1024 * 1024


class BothDigests:
    """A running sha256 and blake3 over the same `size_bytes` bytes."""

    def __init__(self) -> None:
        # Loading it takes time that a run which hashes nothing need not spend.
        import blake3

        self._sha256 = hashlib.sha256()
        self._blake3 = blake3.blake3()
        self.size_bytes = 0

    def update(self, chunk: bytes | memoryview) -> None:
        """Take in the next bytes."""
        self._sha256.update(chunk)
        self._blake3.update(chunk)
        self.size_bytes += len(chunk)

    def digests(self) -> Digests:
        """Give the digests of everything taken in so far."""
        return Digests(
            sha256=Sha256(self._sha256.hexdigest()),
            blake3=Blake3(self._blake3.hexdigest()),
            size_bytes=self.size_bytes,
        )


def hash_file(path: Path, *, progress: Progress) -> Digests:
    """Hash the file at `path` once for both digests, with the same small buffer for any size.

    Raises:
        FileMissing: it is not there, is no regular file, or cannot be read.
    """
    running = BothDigests()
    try:
        # Not blocking, so that a pipe standing where a file should be cannot hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileMissing(
                    f"{path}: is not a regular file", hint="name a file, not a folder or device"
                )
            hash_descriptor(descriptor, running, progress=progress)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FileMissing(
            f"{path}: cannot be read: {error.strerror}",
            hint="look whether it is there, and whether you may read it",
        ) from error
    return running.digests()


def hash_descriptor(descriptor: int, running: BothDigests, *, progress: Progress) -> None:
    """Feed everything from the place `descriptor` stands at to its end into `running`.

    Raises `OSError`: only the caller knows what the file is to people.
    """
    buffer = bytearray(CHUNK_BYTES)
    view = memoryview(buffer)
    while count := os.readv(descriptor, [buffer]):
        running.update(view[:count])
        progress.advance(count)
