"""Past runs in series: those that did nothing, and met the same one after another, are one."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from reconciler.core.runs import IN_VAIN, Outcome, RunReport
from reconciler.core.sameness import sameness

# With these, what matters is why: another reason is news, though the outcome be the same.
_TROUBLE: Final = frozenset({Outcome.PARTIAL, Outcome.REFUSED, Outcome.FAILED})


def in_series(
    runs: Iterable[RunReport], *, made: Container[str]
) -> Iterator[tuple[RunReport, ...]]:
    """Give the runs in their order, neighbours that did nothing and met the same as one series.

    Any other is a series of its own. `made` are the names of the runs that made a generation, which
    is never nothing.
    """

    def likeness(report: RunReport) -> Hashable:
        if report.run in made or not _is_in_vain(report):
            return report.run
        why = (report.failed, sameness(report.message)) if report.outcome in _TROUBLE else ()
        return report.outcome, why

    for _, group in groupby(runs, key=likeness):
        yield tuple(group)


def time_of(series: Sequence[RunReport]) -> timedelta:
    """Give the time over which these runs began, whatever the clock did in between."""
    began = [datetime.fromisoformat(report.started_at) for report in series]
    return max(began) - min(began)


def _is_in_vain(report: RunReport) -> bool:
    did = report.added or report.updated or report.removed
    moved = report.fetched_bytes or report.reused_bytes or report.downtime_seconds
    return report.outcome in IN_VAIN | _TROUBLE and not did and not moved
