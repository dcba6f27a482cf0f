"""Read a file of a person's whole, and always come back from it, whatever stands under its name."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

# A manifest, lock or config of ten thousand models stays below it.
MOST_BYTES: Final = 16 * 1024 * 1024
_PIECE_BYTES: Final = 1024 * 1024
_KINDS: Final = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class UnfitFile(OSError):
    """It is there, and no file to be read whole: `strerror` says why, `hint` how to mend it."""

    def __init__(self, path: Path, why: str, *, hint: str) -> None:
        super().__init__(errno.EINVAL, why, str(path))
        self.hint = hint


def read_whole(path: Path, *, most_bytes: int = MOST_BYTES) -> bytes:
    """Give the bytes of the regular file at `path`, or at the end of its links.

    A repository that is pulled can hold a link to anything. So nothing else is opened, not even to
    find out what it is, for that may do something, and no more than `most_bytes` are read.

    Raises:
        UnfitFile: it is a pipe, a device or the like, or larger.
        OSError: it is not there, is a folder, or cannot be read.
    """
    _refuse_unfit(path, path.stat(), most_bytes)
    # What stands there now may be something else: that must not hold us up either.
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _refuse_unfit(path, os.fstat(handle), most_bytes)
        data = bytearray()
        # What the kernel makes up as it is read is a regular file too, and has no size.
        while piece := os.read(handle, _PIECE_BYTES):
            data += piece
            if len(data) > most_bytes:
                raise _too_large(path, most_bytes)
        return bytes(data)
    finally:
        os.close(handle)


def _refuse_unfit(path: Path, found: os.stat_result, most_bytes: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise UnfitFile(
            path,
            f"it is {kind}, not a regular file",
            hint="put a regular file in its place, or a link to one",
        )
    if found.st_size > most_bytes:
        raise _too_large(path, most_bytes)


def _too_large(path: Path, most_bytes: int) -> UnfitFile:
    return UnfitFile(
        path,
        f"it is larger than {most_bytes // 1024} KiB",
        hint="look what it is: no file of this kind is that large",
    )
