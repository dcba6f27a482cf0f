"""llama-swap's config, the lock and the pins that a host keeps for itself, as files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from reconciler.core.siblings import Siblings


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


class ConfigFolder(Protocol):
    """What lies around llama-swap's config: the files that it is merged with.

    `folder` is where they lie, None where llama-swap reads no folder of configs.
    """

    folder: Path | None

    def read(self) -> Siblings | None:
        """Give their bytes, None where llama-swap reads no folder of configs."""

    def read_other(self, path: str) -> bytes | None:
        """Give the bytes of a config that was ours to write once; None where it cannot be read."""


class LockFile(Protocol):
    """The lock as a file beside the manifest, or what a host keeps beside it."""

    def read(self) -> bytes | None:
        """Give its bytes, None where it does not exist."""

    def write(self, data: bytes | None) -> None:
        """Replace its bytes, whole; None takes it away."""

    def is_writable(self) -> bool:
        """Whether `write` may be expected to succeed."""
