"""What a pass tells of itself once it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from reconciler.core.desired import Stall
from reconciler.core.names import ModelId
from reconciler.core.plan import Plan
from reconciler.core.runs import Outcome, RunReport
from reconciler.engine.fetch import Fetched
from reconciler.engine.rollback import RolloutResult
from reconciler.errors import ReconcilerError

_NO_RESTART: Final = "it is here, and waits for the restart window"


def touched_models(plan: Plan) -> frozenset[ModelId]:
    """Give the models that a plan changes."""
    summary = plan.summary
    return frozenset((*summary.added, *summary.updated, *summary.removed))


def kept_waiting(report: RunReport, plan: Plan, fetched: Fetched) -> RunReport:
    """Tell of a rollout that waits for its window, with its bytes here."""
    waiting = [key for key, stall in plan.stalled.items() if stall.waiting]
    held = sorted(touched_models(plan))
    return replace(
        report,
        outcome=Outcome.PARTIAL,
        failed=(*plan.stalled, *held),
        reasons=(*_reasons(plan), *(_NO_RESTART for _ in held)),
        waiting=(*waiting, *held),
        fetched_bytes=fetched.fetched_bytes,
        reused_bytes=fetched.reused_bytes,
    )


def reported(report: RunReport, plan: Plan, fetched: Fetched, result: RolloutResult) -> RunReport:
    """Tell what a pass did, as its plan says and its rollout ended."""
    numbers = replace(
        report,
        failed=tuple(plan.stalled),
        reasons=_reasons(plan),
        waiting=tuple(key for key, stall in plan.stalled.items() if stall.waiting),
        fetched_bytes=fetched.fetched_bytes,
        reused_bytes=fetched.reused_bytes,
        downtime_seconds=round(result.downtime_seconds, 3),
    )
    if result.problem:
        return replace(
            numbers,
            outcome=Outcome.ROLLED_BACK,
            message=problem_of(result),
            log_lines=result.log_lines,
        )
    summary = plan.summary
    done = replace(numbers, added=summary.added, updated=summary.updated, removed=summary.removed)
    if plan.stalled:
        return replace(done, outcome=Outcome.PARTIAL)
    return replace(done, outcome=Outcome.IN_SYNC if plan.is_empty else Outcome.APPLIED)


def _reasons(plan: Plan) -> tuple[str, ...]:
    return tuple(stall.reason for stall in plan.stalled.values())


def problem_of(result: RolloutResult) -> str:
    """Say why a rollout was taken back, and whether that helped."""
    if not result.old_state_problem:
        return result.problem
    return f"{result.problem}; the old state did not come up either: {result.old_state_problem}"


def cannot_return(failures: Mapping[ModelId, Stall]) -> ReconcilerError:
    """Give the error of a way back whose bytes cannot be brought."""
    reasons = "\n".join(f"{key}: {stall.reason}" for key, stall in failures.items())
    return ReconcilerError(
        f"{reasons}\nwithout these bytes there is no going back, so nothing was changed",
        hint="; ".join(dict.fromkeys(stall.hint for stall in failures.values() if stall.hint)),
    )
