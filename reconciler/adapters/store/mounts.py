"""The filesystems of this machine: how much room they have, and what the kernel says of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from reconciler.adapters.base.files import free_bytes, translated
from reconciler.core.filesystems import Mount, Room, mount_of, parse_mountinfo

MOUNT_TABLE: Final = Path("/proc/self/mountinfo")


class Mounts:
    """Looks anew each time: a disk may be mounted while the watch loop runs."""

    def __init__(self, table: Path | None = None) -> None:
        self._table = table or MOUNT_TABLE

    def room(self, path: str) -> Room:
        """Give the room where `path` lies, or would lie. Raises `Refused`, `ReconcilerError`."""
        there = Path(path)
        while not os.path.lexists(there):
            there = there.parent
        with translated(there, "looking at"):
            there = there.resolve()
            return Room(device=there.stat().st_dev, free_bytes=free_bytes(there))

    def mount(self, path: str) -> Mount | None:
        """Give the mount that `path` lies on; None where this system does not tell."""
        try:
            text = self._table.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
        return mount_of(os.path.realpath(path), parse_mountinfo(text))
