"""One pass of a watch: it asks nobody, shows what is done, and then follows tracked models."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace

from reconciler.cli.console import Console
from reconciler.cli.plan_text import kinds_of_change, render_plan
from reconciler.cli.report_text import render_report
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style
from reconciler.cli.verbs.reconcile import pass_options
from reconciler.cli.watch_contents import Eyes
from reconciler.cli.wiring import load_manifest, locked_host
from reconciler.core.runs import Outcome
from reconciler.engine.listening import Listener
from reconciler.engine.reconcile import Prepared
from reconciler.engine.run import RunResult, run_once
from reconciler.engine.tracking import move_tracked_pins


class WatchPass:
    """Runs passes for a watch; `eyes` learn where to look, and `listener` hears of each run."""

    def __init__(
        self, settings: Settings, console: Console, *, eyes: Eyes, listener: Listener
    ) -> None:
        self._settings = settings
        self._console = console
        self._eyes = eyes
        self._listener = listener

    def run(self) -> RunResult:
        """Run one pass. Raises what `run_once` raises."""
        settings = self._settings
        manifest = load_manifest(settings)
        with locked_host(settings, self._console) as host:
            self._eyes.note(host)
            allowed = pass_options(settings)
            result = run_once(host, manifest, allowed, approve=self._approve)
            self._show(result, stays="the manifest must change first")
            moved = move_tracked_pins(host, manifest, allowed, result, approve=self._approve)
            if moved is None:
                return result
            self._show(moved, stays="the pins stay as they were until upstream changes")
        # What the loop is to know of the lock, the first of the two has done.
        return replace(
            moved, prepared=replace(moved.prepared, changes_lock=result.prepared.changes_lock)
        )

    def _approve(self, prepared: Prepared) -> bool:
        """What failed the health gate, or was gone back from, waits until somebody changes it."""
        self._listener.planned(prepared)
        if prepared.is_stalled and not prepared.plan.is_empty:
            reason = prepared.ledger.stalled_reason
            self._console.warn(f"not tried again until it changes: {reason}")
            return False
        if not prepared.plan.is_empty and not self._settings.json:
            style = Style(sys.stdout, no_color=self._settings.no_color)
            text = render_plan(prepared.plan, prepared.observed.runtime, prepared.ledger, style)
            print(text, flush=True)
        return True

    def _show(self, result: RunResult, *, stays: str) -> None:
        self._listener.ended(result)
        self._console.take_down()
        report = result.report
        if self._settings.json:
            print(json.dumps(asdict(report)), flush=True)
        elif report.outcome not in (Outcome.IN_SYNC, Outcome.DECLINED) or report.findings:
            kinds = kinds_of_change(result.prepared.plan, result.prepared.ledger)
            style = Style(sys.stdout, no_color=self._settings.no_color)
            print(render_report(report, kinds, style), end="", flush=True)
        for line in report.log_lines:
            self._console.warn(f"container log: {line}")
        if report.outcome is Outcome.ROLLED_BACK:
            self._console.fail(f"unhealthy, rolled back: {report.message}", stays)
