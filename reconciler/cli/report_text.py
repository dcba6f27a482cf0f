"""What a run did, as people read it, and the exit code that says the same."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.cli.console import Console
from reconciler.cli.terminal import Style, counted, elapsed
from reconciler.core.names import ModelId
from reconciler.core.runs import Outcome, RunReport
from reconciler.core.sizes import human_bytes

_CODES = {
    Outcome.IN_SYNC: 0,
    Outcome.APPLIED: 0,
    Outcome.PARTIAL: 4,
    Outcome.REFUSED: 1,
    Outcome.DECLINED: 1,
    Outcome.FAILED: 1,
    Outcome.ROLLED_BACK: 5,
    Outcome.INTERRUPTED: 130,
}
_COLORS = {Outcome.IN_SYNC: "green", Outcome.APPLIED: "green", Outcome.DECLINED: "yellow"}


def render_report(report: RunReport, kinds: Mapping[ModelId, str], style: Style) -> str:
    """Give a line on what a run did, and one on how it looked, each ending in a line break.

    `kinds` is how its plan called the change of each model. Of a run that found everything in sync
    the plan has told the first already; one that was declined has nothing for the second.
    """
    if report.outcome is Outcome.IN_SYNC:
        return _how_it_looked(report)
    restored = [key for key in report.updated if kinds.get(ModelId(key)) == "restore"]
    updated = [key for key in report.updated if key not in restored]
    facts = [
        f"{len(models)} {verb}"
        for verb, models in (
            ("added", report.added),
            ("updated", updated),
            ("restored", restored),
            ("removed", report.removed),
            ("failed", report.failed),
        )
        if models
    ]
    if report.fetched_bytes:
        facts.append(f"fetched {human_bytes(report.fetched_bytes)}")
    if report.reused_bytes:
        facts.append(f"reused {human_bytes(report.reused_bytes)}")
    if report.downtime_seconds:
        facts.append(f"{elapsed(report.downtime_seconds)} without an answer")
    head = style(report.outcome.value.capitalize(), outcome_color(report.outcome))
    said = f"{head}: {' · '.join(facts) or 'nothing was changed'}\n"
    return said if report.outcome is Outcome.DECLINED else said + _how_it_looked(report)


def _how_it_looked(report: RunReport) -> str:
    if report.mode is None:
        return _made_from(report)
    found = len(report.findings)
    findings = f"; {counted(found, 'thing')} found, see the warnings" if found else ""
    took = elapsed(report.duration_seconds)
    return (
        f"{report.mode.capitalize()} sync in {took}: {report.mode_reason}{findings}\n"
        + _made_from(report)
    )


def _made_from(report: RunReport) -> str:
    commit, _, edits = report.commit.partition("+")
    edited = ", edited since" if edits else ""
    return f"Manifest at {commit[:12]}{edited}\n" if commit else ""


def outcome_color(outcome: Outcome) -> str:
    """Give the colour that an outcome is shown in."""
    return _COLORS.get(outcome, "red")


def exit_code_of(report: RunReport, console: Console) -> int:
    """Give the exit code; what went wrong is said on the way."""
    if report.outcome is Outcome.ROLLED_BACK:
        for line in report.log_lines:
            console.warn(f"llama-swap's log: {line}")
        console.fail(
            f"unhealthy, rolled back: {report.message}",
            "mend what it says, then run again; the watch loop waits for a changed manifest",
        )
    return _CODES[report.outcome]
