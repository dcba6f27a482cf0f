"""A partial file: it grows from its start, hashed as it grows, and survives interruptions."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Self

from reconciler.adapters.base.digests import BothDigests, hash_descriptor
from reconciler.adapters.base.files import translated
from reconciler.core.ports import Digests, Progress
from reconciler.errors import Stalled

_WRITING = "writing"


class PartialFile:
    """The file at `path`, open for appending; created with its parents where it is missing.

    What is there already is hashed before anything else, and counts as progress, so that the
    digests at the end are those of every byte. Memory does not grow with the file.

    Every method raises `DiskFull` where there is no room, `Refused` where we may not write, and
    `Stalled` where something that is no regular file stands there; each names the path.
    """

    def __init__(self, path: Path, *, progress: Progress) -> None:
        self.path = path
        self._progress = progress
        self._running = BothDigests()
        with translated(path, _WRITING):
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._descriptor = os.open(path, flags, 0o644)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._descriptor)

    @property
    def size_bytes(self) -> int:
        """How many bytes are there, from the start and without a gap."""
        return self._running.size_bytes

    def take_in(self, *, at_most_bytes: int) -> None:
        """Hash what an earlier run left; a file longer than `at_most_bytes` is started over."""
        with translated(self.path, _WRITING):
            status = os.fstat(self._descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Stalled(
                    f"{self.path}: something that is no regular file stands there",
                    hint="move it away",
                )
            if status.st_size > at_most_bytes:
                os.ftruncate(self._descriptor, 0)
                return
            hash_descriptor(self._descriptor, self._running, progress=self._progress)

    def append(self, chunk: bytes | memoryview) -> None:
        """Write the next bytes at the end."""
        left = memoryview(chunk)
        with translated(self.path, _WRITING):
            while left:
                count = os.pwrite(self._descriptor, left, self.size_bytes)
                self._running.update(left[:count])
                self._progress.advance(count)
                left = left[count:]

    def start_over(self) -> None:
        """Drop everything that is there."""
        with translated(self.path, _WRITING):
            os.ftruncate(self._descriptor, 0)
        self._progress.advance(-self.size_bytes)
        self._running = BothDigests()

    def sync(self) -> None:
        """Make what was written survive a loss of power."""
        with translated(self.path, _WRITING):
            os.fsync(self._descriptor)

    def digests(self) -> Digests:
        """Give the digests of all that is there."""
        return self._running.digests()


def remove_partial(path: Path) -> None:
    """Delete the partial file at `path`, if there is one; raises `Refused` if we may not."""
    with translated(path, "removing"):
        path.unlink(missing_ok=True)
