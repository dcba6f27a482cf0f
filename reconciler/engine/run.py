"""One run, recorded: settle what was left, prepare, ask, apply, check, and keep the report."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from reconciler.core.lock import Pin
from reconciler.core.manifest import Manifest
from reconciler.core.names import ModelId, Sha256
from reconciler.core.plan import Plan
from reconciler.core.runs import Outcome, RunReport, SyncMode
from reconciler.core.sync_mode import DONE, TELLING, Decision, changed_models, choose_mode
from reconciler.engine.full_sync import check_everything
from reconciler.engine.host import Host
from reconciler.engine.newer import find_newer
from reconciler.engine.prepared import Options, Prepared
from reconciler.engine.prune import drop_old
from reconciler.engine.reconcile import apply, prepare, settle
from reconciler.errors import Interrupted, ReconcilerError, Refused, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What was decided, and what came of it. `newer` are pins of tracked models that could move.

    `carried_out` is the plan as it was made again with the files here; None: nothing was done.
    """

    prepared: Prepared
    report: RunReport
    carried_out: Plan | None = None
    newer: Mapping[ModelId, Pin] = field(default_factory=dict)


def run_once(
    host: Host,
    manifest: Manifest,
    options: Options,
    *,
    approve: Callable[[Prepared], bool],
    moves: Mapping[ModelId, Pin] = MappingProxyType({}),
) -> RunResult:
    """Run one pass. `approve` sees the plan before anything is done, and may decline it.

    `moves` are pins to be moved to; without them tracked models are followed once all is applied.
    The run is recorded however it ends; the caller holds the run lock.

    Raises:
        ReconcilerError: what `prepare` and `apply` raise.
    """

    def look() -> Prepared:
        return prepare(host, manifest, options, moves=moves)

    return run_looked(host, options, look=look, approve=approve, follow=not moves)


def run_looked(
    host: Host,
    options: Options,
    *,
    look: Callable[[], Prepared],
    approve: Callable[[Prepared], bool],
    follow: bool,
) -> RunResult:
    """Run one pass as `run_once` does, with the plan that `look` makes once all is settled.

    `follow` says whether tracked models are followed once all is applied.
    """
    started = host.clock.now()
    began = host.clock.monotonic()
    newer: Mapping[ModelId, Pin] = {}
    carried_out: Plan | None = None
    report = RunReport(
        run=f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
        started_at=started.isoformat(),
        commit=options.commit,
    )

    def finished() -> RunReport:
        return replace(
            report,
            finished_at=host.clock.now().isoformat(),
            duration_seconds=round(host.clock.monotonic() - began, 3),
        )

    try:
        settle(host, options)
        prepared = look()
        decision = _decide(host, prepared, options)
        report = replace(report, mode=decision.mode, mode_reason=decision.reason)
        if approve(prepared):
            report, carried_out = apply(host, prepared, report, options)
            if report.outcome in DONE:
                full = decision.mode is SyncMode.FULL
                findings = _check(host, prepared, options) if full else ()
                if follow:
                    newer, more = _follow(host, prepared, options, full=full)
                    findings += more
                report = replace(report, findings=findings)
                drop_old(host, _digests((*prepared.lock.pins.values(), *newer.values())))
        else:
            report = replace(report, outcome=Outcome.DECLINED)
        report = finished()
        return RunResult(prepared=prepared, report=report, carried_out=carried_out, newer=newer)
    except (Refused, UsageError) as error:
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
    if prepared.back is not None:
        reason = f"generation {prepared.back.generation.number} was gone back to"
        return Decision(mode=SyncMode.INCREMENTAL, reason=reason)
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
    return check_everything(
        host,
        host.inventory.load_ledger(),
        _kept_pins(prepared),
        threshold_hours=options.sync.threshold_hours,
    )


def _follow(
    host: Host, prepared: Prepared, options: Options, *, full: bool
) -> tuple[Mapping[ModelId, Pin], tuple[str, ...]]:
    """Look what upstream has newer for tracked models; gives pins that could move, and findings."""
    newer = find_newer(
        host,
        prepared.manifest,
        prepared.lock.pins,
        asked=_kept_pins(prepared),
        refused=prepared.pins_after.moved.refused,
        window_hours=None if full else options.sync.window_hours,
    )
    for finding, hint in newer.findings:
        host.reporter.warn(finding, hint)
    return newer.moves, tuple(finding for finding, _ in newer.findings)


def _kept_pins(prepared: Prepared) -> Mapping[ModelId, Pin]:
    """Give the pins that this run has not made itself just now."""
    before = prepared.pins_before.pins.pins
    return {key: pin for key, pin in prepared.lock.pins.items() if before.get(key) == pin}


def _digests(pins: Iterable[Pin]) -> frozenset[Sha256]:
    return frozenset(file.sha256 for pin in pins for file in pin.files)


def _record(host: Host, report: RunReport) -> None:
    """Keep the report; that this fails must not hide how the run itself ended."""
    try:
        host.inventory.record_run(report)
    except ReconcilerError as error:
        host.reporter.warn(f"this run could not be recorded: {error.message}", error.hint)
