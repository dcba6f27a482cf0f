"""What people hear of the work while it goes on."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Progress(Protocol):
    """Hears how one file's work goes on. Called from any thread; what it raises ends that work."""

    def advance(self, count_bytes: int) -> None:
        """`count_bytes` more are done; negative when work must be done again."""

    def skip(self, count_bytes: int) -> None:
        """`count_bytes` more are done that an earlier run left: no part of the rate."""


class Batch(Protocol):
    """Several files' work that is shown with a total. Called from any thread."""

    def task(self, doing: str, name: str, size_bytes: int) -> AbstractContextManager[Progress]:
        """As `Reporter.task`; what is done counts into the total, unless it fails."""

    def leave_out(self, size_bytes: int) -> None:
        """One file of `size_bytes` will not come: the total no longer waits for it."""


class Reporter(Protocol):
    """Tells a person what is going on. Called from any thread; never raises."""

    def task(self, doing: str, name: str, size_bytes: int) -> AbstractContextManager[Progress]:
        """Show work on `size_bytes` bytes of the file `name` while the block runs.

        It is done where the block ends, and failed where the block raises.
        """

    def batch(self, files: int, size_bytes: int) -> AbstractContextManager[Batch]:
        """Show a total of `files` files and `size_bytes` bytes while the block runs."""

    def say(self, message: str) -> None:
        """One line worth knowing."""

    def warn(self, message: str, hint: str = "") -> None:
        """One line that a person should act on, and the next step."""
