"""One run, recorded: settle what was left, prepare, ask, apply, check, and keep the report."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from reconciler.core.lock import Lock
from reconciler.core.manifest import Manifest
from reconciler.core.reading.lock_text import parse_lock
from reconciler.core.runs import Outcome, RunReport, SyncMode
from reconciler.core.sync_mode import DONE, TELLING, Decision, changed_models, choose_mode
from reconciler.engine.full_sync import check_everything
from reconciler.engine.host import Host
from reconciler.engine.reconcile import Options, Prepared, apply, prepare, settle
from reconciler.errors import Interrupted, ReconcilerError, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What was decided, and what came of it."""

    prepared: Prepared
    report: RunReport


def run_once(
    host: Host,
    manifest: Manifest,
    options: Options,
    *,
    approve: Callable[[Prepared], bool],
) -> RunResult:
    """Run one pass. `approve` sees the plan before anything is done, and may decline it.

    The run is recorded however it ends; the caller holds the run lock.

    Raises:
        ReconcilerError: what `prepare` and `apply` raise.
    """
    started = host.clock.now()
    began = host.clock.monotonic()
    report = RunReport(
        run=f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}", started_at=started.isoformat()
    )

    def finished() -> RunReport:
        return replace(
            report,
            finished_at=host.clock.now().isoformat(),
            duration_seconds=round(host.clock.monotonic() - began, 3),
        )

    try:
        settle(host, options)
        prepared = prepare(host, manifest, options)
        decision = _decide(host, prepared, options)
        report = replace(report, mode=decision.mode, mode_reason=decision.reason)
        if approve(prepared):
            report = apply(host, prepared, report, options)
            if decision.mode is SyncMode.FULL and report.outcome in DONE:
                report = replace(report, findings=_check(host, prepared, options))
        else:
            report = replace(report, outcome=Outcome.DECLINED)
        report = finished()
        return RunResult(prepared=prepared, report=report)
    except Refused as error:
        report = replace(report, outcome=Outcome.REFUSED, message=error.message)
        raise
    except (KeyboardInterrupt, Interrupted):
        report = replace(report, outcome=Outcome.INTERRUPTED)
        raise
    except ReconcilerError as error:
        report = replace(report, outcome=Outcome.FAILED, message=error.message)
        raise
    except Exception as error:
        report = replace(report, outcome=Outcome.FAILED, message=f"{type(error).__name__}: {error}")
        raise
    finally:
        _record(host, report if report.finished_at else finished())


def _decide(host: Host, prepared: Prepared, options: Options) -> Decision:
    declared = prepared.desired.models.keys() | prepared.desired.stalled.keys()
    last = host.inventory.last_runs(1, outcomes=TELLING)
    last_full = host.inventory.last_runs(1, outcomes=DONE, mode=SyncMode.FULL)
    return choose_mode(
        options.sync,
        last=last[0] if last else None,
        last_full=last_full[0] if last_full else None,
        changed=len(changed_models(prepared.desired, prepared.ledger)),
        models=len(declared | prepared.ledger.models.keys()),
        now=host.clock.now(),
    )


def _check(host: Host, prepared: Prepared, options: Options) -> tuple[str, ...]:
    """Check what this run has not asked for itself just now."""
    before = prepared.lock_before
    old = parse_lock(before, host.lock_path) if before is not None else Lock()
    pins = {key: pin for key, pin in prepared.lock.pins.items() if old.pins.get(key) == pin}
    return check_everything(
        host,
        host.inventory.load_ledger(),
        pins,
        threshold_hours=options.sync.threshold_hours,
    )


def _record(host: Host, report: RunReport) -> None:
    """Keep the report; that this fails must not hide how the run itself ended."""
    try:
        host.inventory.record_run(report)
    except ReconcilerError as error:
        host.reporter.warn(f"this run could not be recorded: {error.message}", error.hint)
