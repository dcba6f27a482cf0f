"""llama-swap's config and the lock, as files."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class ConfigFile(Protocol):
    """llama-swap's config as a file."""

    def read(self) -> bytes | None:
        """Give its bytes, None where it does not exist."""

    def write(self, data: bytes, *, expected: bytes | None, now: datetime) -> None:
        """Replace its bytes. Raises `Refused` where it is no longer as `expected`."""

    def half_written(self, before: bytes, after: bytes) -> bool:
        """Whether a write from `before` to `after` has ended in its middle."""

    def remove(self) -> None:
        """Take away a file that was not there before us."""


class LockFile(Protocol):
    """The lock as a file beside the manifest."""

    def read(self) -> bytes | None:
        """Give its bytes, None where it does not exist."""

    def write(self, data: bytes | None) -> None:
        """Replace its bytes, whole; None takes it away."""
