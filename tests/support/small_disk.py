"""A filesystem of its own with little room, and its end."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may mount a filesystem, or give files away"
)


@contextmanager
def small_disk(folder: Path, *, size: str) -> Iterator[Path]:
    """Mount `size` of memory on `folder`, which is made, until the block ends.

    Whoever still has a file open in it does not keep it: it ends with the block.
    """
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write until nothing more goes in; gives the file that takes all the room."""
    filler = folder / "filler"
    handle = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        with contextlib.suppress(OSError):
            while os.write(handle, bytes(4096)):
                pass
    finally:
        os.close(handle)
    assert os.statvfs(folder).f_bavail == 0
    return filler
