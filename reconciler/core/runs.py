"""What one run did, as it is kept and shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a run ended."""

    IN_SYNC = "in sync"
    APPLIED = "applied"
    PARTIAL = "partial"
    REFUSED = "refused"
    DECLINED = "declined"
    FAILED = "failed"
    ROLLED_BACK = "rolled back"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """One run. Times are ISO 8601 in UTC, `downtime_seconds` the time without a healthy answer.

    `waiting` are those of `failed` that may pass without a person. `log_lines` are the container's
    last words where it did not come up.
    """

    run: str
    started_at: str
    finished_at: str = ""
    outcome: Outcome = Outcome.IN_SYNC
    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    fetched_bytes: int = 0
    reused_bytes: int = 0
    downtime_seconds: float = 0.0
    message: str = ""
    log_lines: tuple[str, ...] = ()
