"""What one run did, as it is kept and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

# The form of `last_sync_metadata.json`; keys may be added to it without a new one.
REPORT_FORMAT: Final = 1
_LISTS: Final = (
    *("added", "updated", "removed", "failed", "reasons", "waiting", "findings", "log_lines"),
)


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


# Nothing was to be done, or nothing was meant to be.
IN_VAIN: Final = frozenset({Outcome.IN_SYNC, Outcome.DECLINED})


class SyncMode(StrEnum):
    """How thoroughly a run looked; `sync_mode` decides it."""

    INCREMENTAL = "incremental"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """One run. Times are ISO 8601 in UTC, `downtime_seconds` the time without a healthy answer.

    `mode` is None where the run ended before that was decided. `reasons` say why each of
    `failed` is, in its order, and `waiting` are those of them that may pass without a person.
    `findings` are what a full run found beyond its plan. `log_lines` are the container's last words
    where it did not come up. `commit` is the git commit that the manifest is of, with `+edits` if
    it was edited since; empty where it is of none.
    """

    run: str
    started_at: str
    finished_at: str = ""
    duration_seconds: float = 0.0
    mode: SyncMode | None = None
    mode_reason: str = ""
    outcome: Outcome = Outcome.IN_SYNC
    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    fetched_bytes: int = 0
    reused_bytes: int = 0
    downtime_seconds: float = 0.0
    findings: tuple[str, ...] = ()
    message: str = ""
    log_lines: tuple[str, ...] = ()
    commit: str = ""


def report_to_json(report: RunReport) -> dict[str, Any]:
    """Give the report as plain JSON values."""
    return asdict(report)


def report_from_json(document: Mapping[str, Any]) -> RunReport:
    """Read what `report_to_json` wrote, also of an earlier version.

    Raises KeyError, TypeError or ValueError where it is none.
    """
    mode = document.get("mode")
    return RunReport(
        **{
            **document,
            **{key: tuple(document.get(key, ())) for key in _LISTS},
            "outcome": Outcome(document["outcome"]),
            "mode": SyncMode(mode) if mode is not None else None,
        }
    )
