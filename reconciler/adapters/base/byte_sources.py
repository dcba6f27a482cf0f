"""Files as sources of bytes, for what reads them here and there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.adapters.base.files import translated
from reconciler.core.gguf.window import ByteSource
from reconciler.errors import FileMissing


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpenFile:
    """An open file, of the size that it had when it was opened."""

    path: Path
    handle: int
    size_bytes: int

    def read_at(self, offset: int, count_bytes: int) -> bytes:
        """Give the bytes from `offset` on; fewer where the file has become shorter."""
        with translated(self.path, "reading"):
            return os.pread(self.handle, count_bytes, offset)


@contextmanager
def opened(path: Path) -> Iterator[ByteSource]:
    """Open the file at `path` for reading at any place.

    Raises:
        FileMissing: it is not there, or is no regular file.
        Refused, ReconcilerError: as the operating system answers, also while reading.
    """
    with translated(path, "opening"):
        try:
            # A pipe that somebody put there would hold us for ever.
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileMissing(f"{path} is not there") from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise FileMissing(f"{path} is no regular file")
        yield _OpenFile(path=path, handle=handle, size_bytes=found.st_size)
    finally:
        os.close(handle)
