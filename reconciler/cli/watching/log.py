"""A watch's log for machines: what its passes come to, with keys, and nothing of those in vain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.cli.console import Console
from reconciler.cli.terminal import counted
from reconciler.core.runs import Outcome
from reconciler.core.sizes import human_bytes
from reconciler.core.watching import Pause, Reason

if TYPE_CHECKING:
    from reconciler.engine.prepared import Prepared
    from reconciler.engine.run import RunResult
    from reconciler.errors import ReconcilerError

# A pass for these is told only once it has found something to do.
_BY_ITSELF = frozenset({Reason.RESYNC, Reason.RETRY, Reason.WINDOW})


class WatchLog:
    """Tells the log of each pass, as a `Listener`. Text logs have other words, and leave this out.

    `tells_all`: of passes in vain, too.
    """

    def __init__(self, console: Console, *, tells_all: bool) -> None:
        self._console = console
        self._tells_all = tells_all
        self._reason = Reason.START
        self._told = False
        self._paused: Pause | None = None

    def began(self, reason: Reason) -> None:
        """Tell that a pass begins, and why."""
        self._reason = reason
        self._paused = None
        self._told = False
        if self._tells_all or reason not in _BY_ITSELF:
            self._tell_beginning()

    def planned(self, prepared: Prepared) -> None:
        """Tell what it is about to do, in numbers."""
        plan = prepared.plan
        if plan.is_empty or prepared.is_stalled:
            return
        self._tell_beginning()
        summary = plan.summary
        changes = {
            "added": list(summary.added),
            "updated": list(summary.updated),
            "removed": list(summary.removed),
        }
        numbers = ", ".join(f"{len(keys)} {verb}" for verb, keys in changes.items())
        self._console.event(
            f"the plan: {counted(len(plan.actions), 'action')}; {numbers}; "
            f"{human_bytes(summary.fetch_bytes)} to fetch",
            event="plan",
            reason=str(self._reason),
            actions=len(plan.actions),
            **changes,
            fetch_bytes=summary.fetch_bytes,
            reuse_bytes=summary.reuse_bytes,
            refusals=len(plan.refusals),
            warnings=len(plan.warnings),
        )

    def ended(self, result: RunResult) -> None:
        """Tell what came of it; nothing where nobody heard that it began."""
        report = result.report
        if not self._told or report.outcome is Outcome.DECLINED:
            return
        said = f": {report.message}" if report.message else ""
        self._console.event(
            f"run {report.run}: {report.outcome}{said}",
            event="run",
            reason=str(self._reason),
            run=report.run,
            outcome=str(report.outcome),
            added=list(report.added),
            updated=list(report.updated),
            removed=list(report.removed),
            failed=list(report.failed),
            waiting=list(report.waiting),
            fetched_bytes=report.fetched_bytes,
            reused_bytes=report.reused_bytes,
            downtime_seconds=report.downtime_seconds,
            duration_seconds=report.duration_seconds,
            commit=report.commit,
        )

    def failed(self, error: ReconcilerError) -> None:
        """The warning that follows tells it."""

    def rests(self, seconds: float, pause: Pause | None) -> None:
        """Tell when it looks again, after a pass that was told of; or that it is paused."""
        now = datetime.now(UTC)
        if pause is not None:
            if pause != self._paused:
                until = pause.until.isoformat() if pause.until else None
                self._console.event(
                    f"paused {f'until {until}' if until else 'without an end'}",
                    event="paused",
                    since=pause.since.isoformat(),
                    until=until,
                    by=pause.by,
                )
        elif self._told:
            next_at = (now + timedelta(seconds=seconds)).isoformat(timespec="seconds")
            self._console.event(
                f"resting until {next_at}",
                event="rests",
                seconds=round(seconds, 3),
                next_at=next_at,
            )
        self._paused, self._told = pause, False

    def _tell_beginning(self) -> None:
        if not self._told:
            self._told = True
            self._console.event(
                f"a pass begins: {self._reason}", event="pass_begins", reason=str(self._reason)
            )
