"""Keep applying: on every change of the manifest, and now and then."""

from __future__ import annotations

import hashlib
import json
import sys
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event

from reconciler.adapters.manifest_files import lock_path_of, manifest_files
from reconciler.adapters.system_clock import SystemClock
from reconciler.adapters.watch import FolderWatcher
from reconciler.cli.console import Console
from reconciler.cli.plan_text import kinds_of_change, render_plan
from reconciler.cli.report_text import render_report
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style
from reconciler.cli.verbs.reconcile import pass_options
from reconciler.cli.wiring import load_manifest, locked_host
from reconciler.core.runs import Outcome
from reconciler.engine.loop import Contents, Schedule, watch_loop
from reconciler.engine.reconcile import Prepared
from reconciler.engine.run import RunResult, run_once
from reconciler.engine.tracking import move_tracked_pins
from reconciler.errors import ReconcilerError, UsageError


def run(_options: Namespace, settings: Settings, console: Console) -> int:
    """Watch until somebody stops us; that is how it ends, so it is no failure."""
    folder = settings.manifest if settings.manifest.is_dir() else settings.manifest.parent
    if not folder.is_dir():
        raise UsageError(
            f"the manifest's folder {folder} is not there", hint="name the manifest with -m PATH"
        )
    wake = Event()
    # Where the manifest is a link, an edit of its target is an edit of the manifest.
    folders = dict.fromkeys([folder, *(file.resolve().parent for file in _files(settings))])
    try:
        with FolderWatcher(
            tuple(folders), wake=wake, debounce_seconds=settings.debounce, reporter=console
        ):
            console.say(f"watching {folder}")
            watch_loop(
                contents=lambda: _contents(settings.manifest),
                run_pass=lambda: _pass(settings, console),
                wake=wake,
                schedule=Schedule(resync_seconds=settings.resync),
                clock=SystemClock(),
                reporter=console,
            )
    except KeyboardInterrupt:
        console.say("stopped")
    return 0


def _files(settings: Settings) -> tuple[Path, ...]:
    """Give the manifest's files; none while it cannot be read, which the first pass will say."""
    try:
        return manifest_files(settings.manifest)
    except ReconcilerError:
        return ()


def _contents(manifest: Path) -> Contents:
    """Digest what a pass is made from. What cannot be read counts as not there."""
    whole = hashlib.sha256()
    try:
        for file in manifest_files(manifest):
            whole.update(f"{file}\0".encode() + file.read_bytes() + b"\0")
        manifest_digest = whole.hexdigest()
    except (ReconcilerError, OSError):
        manifest_digest = ""
    try:
        lock_digest = hashlib.sha256(lock_path_of(manifest).read_bytes()).hexdigest()
    except OSError:
        lock_digest = ""
    return Contents(manifest=manifest_digest, lock=lock_digest)


def _pass(settings: Settings, console: Console) -> RunResult:
    def approve(prepared: Prepared) -> bool:
        """What failed the health gate, or was gone back from, waits until somebody changes it."""
        if prepared.is_stalled and not prepared.plan.is_empty:
            console.warn(f"not tried again until it changes: {prepared.ledger.stalled_reason}")
            return False
        if not prepared.plan.is_empty and not settings.json:
            style = Style(sys.stdout, no_color=settings.no_color)
            text = render_plan(prepared.plan, prepared.observed.runtime, prepared.ledger, style)
            print(text, flush=True)
        return True

    manifest = load_manifest(settings)
    with locked_host(settings, console) as host:
        allowed = pass_options(settings)
        result = run_once(host, manifest, allowed, approve=approve)
        _show(result, settings, console, stays="the manifest must change first")
        moved = move_tracked_pins(host, manifest, allowed, result, approve=approve)
        if moved is None:
            return result
        _show(moved, settings, console, stays="the pins stay as they were until upstream changes")
    # What the loop is to know of the lock, the first of the two has done.
    return replace(
        moved, prepared=replace(moved.prepared, changes_lock=result.prepared.changes_lock)
    )


def _show(result: RunResult, settings: Settings, console: Console, *, stays: str) -> None:
    console.take_down()
    report = result.report
    if settings.json:
        print(json.dumps(asdict(report)), flush=True)
    elif report.outcome not in (Outcome.IN_SYNC, Outcome.DECLINED) or report.findings:
        kinds = kinds_of_change(result.prepared.plan, result.prepared.ledger)
        style = Style(sys.stdout, no_color=settings.no_color)
        print(render_report(report, kinds, style), end="", flush=True)
    for line in report.log_lines:
        console.warn(f"container log: {line}")
    if report.outcome is Outcome.ROLLED_BACK:
        console.fail(f"unhealthy, rolled back: {report.message}", stays)
