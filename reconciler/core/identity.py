"""How a file is known again without reading it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIdentity:
    """What tells, without reading it, that a file is the one we hashed."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
