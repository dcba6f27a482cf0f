"""The lock as a file beside the manifest, and what a host keeps for itself in the same form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from reconciler.adapters.base.files import read_if_there, translated, write_atomically

# Its name beside the inventory.
MOVED_PINS: Final = "pins.lock"


class LockTextFile:
    """One lock file: the `LockFile` port. A link is followed, so that it stays."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> bytes | None:
        """Give its bytes, None where it does not exist. Raises `Refused`, `ReconcilerError`."""
        return read_if_there(self.path)

    def write(self, data: bytes | None) -> None:
        """Replace its bytes, whole; None takes it away.

        Raises:
            Refused: its folder may not be written.
            DiskFull: there is no room; the old bytes stand.
        """
        with translated(self.path, "writing"):
            target = self.path.resolve()
            if data is None:
                target.unlink(missing_ok=True)
            else:
                write_atomically(target, data, like=target if target.exists() else None)

    def is_writable(self) -> bool:
        """Whether its folder may be written, by its mode and that of its filesystem."""
        return os.access(self.path.resolve().parent, os.W_OK | os.X_OK)
