"""One run, recorded: settle what was left, prepare, ask, apply, and keep the report."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from reconciler.core.manifest import Manifest
from reconciler.core.runs import Outcome, RunReport
from reconciler.engine.host import Host
from reconciler.engine.reconcile import Options, Prepared, apply, prepare, settle
from reconciler.errors import ReconcilerError, Refused


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
    report = RunReport(
        run=f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}", started_at=started.isoformat()
    )
    try:
        settle(host, options)
        prepared = prepare(host, manifest, options)
        if approve(prepared):
            report = apply(host, prepared, report, options)
        else:
            report = replace(report, outcome=Outcome.DECLINED)
        report = _finished(report, host)
        return RunResult(prepared=prepared, report=report)
    except Refused as error:
        report = replace(report, outcome=Outcome.REFUSED, message=error.message)
        raise
    except ReconcilerError as error:
        report = replace(report, outcome=Outcome.FAILED, message=error.message)
        raise
    except KeyboardInterrupt:
        report = replace(report, outcome=Outcome.INTERRUPTED)
        raise
    except Exception as error:
        report = replace(report, outcome=Outcome.FAILED, message=f"{type(error).__name__}: {error}")
        raise
    finally:
        _record(host, report if report.finished_at else _finished(report, host))


def _finished(report: RunReport, host: Host) -> RunReport:
    return replace(report, finished_at=host.clock.now().isoformat())


def _record(host: Host, report: RunReport) -> None:
    """Keep the report; that this fails must not hide how the run itself ended."""
    try:
        host.inventory.record_run(report)
    except ReconcilerError as error:
        host.reporter.warn(f"this run could not be recorded: {error.message}", error.hint)
