"""A second file with the same bytes, without copying them: shared blocks, or a hard link."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import Final

# linux/fs.h: _IOW(0x94, 9, int). Btrfs, XFS, bcachefs and some network filesystems know it.
_FICLONE: Final = 0x40049409


def clone(source: Path, target: Path) -> bool:
    """Make `target` a file of its own that shares the blocks of `source`, synced.

    What is written to one never shows in the other. False, and no `target`, where the filesystem
    cannot, or `source` lies on another one. Raises `OSError` where `target` cannot be made.
    """
    if sys.platform != "linux":
        return False
    try:
        # Not blocking, so that a pipe standing where a file should be cannot hold us up.
        reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            fcntl.ioctl(writing, _FICLONE, reading)
            os.fsync(writing)
        except OSError:
            target.unlink()
            return False
        finally:
            os.close(writing)
    finally:
        os.close(reading)
    return True


def link(source: Path, target: Path) -> bool:
    """Make `target` a hard link to the file at `source`, synced.

    False, and no `target`, where links cannot be made, or `source` is itself a symbolic link.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        return False
    if target.is_symlink():
        target.unlink()
        return False
    try:
        handle = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        target.unlink()
        return False
    return True
