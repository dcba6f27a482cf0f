"""Time, as the engine asks for it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def now(self) -> datetime:
        """The time now, in UTC."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment, never going back."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
