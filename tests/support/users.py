"""The rights of an ordinary user, also where the tests run as root."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def ordinary_folder() -> Iterator[Path]:
    """Give a folder that belongs to an ordinary user, and be that user until the block ends.

    It lies outside the tests' own folders, which an ordinary user may not enter.
    """
    with tempfile.TemporaryDirectory(prefix="reconciler-test-") as folder:
        if os.geteuid() != 0:
            yield Path(folder)
            return
        os.chown(folder, _NOBODY, _NOBODY)
        os.setegid(_NOBODY)
        os.seteuid(_NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)
            os.setegid(0)
