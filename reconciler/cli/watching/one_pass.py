"""One pass of a watch: it asks nobody, shows what is done, and then follows tracked models."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace

from reconciler.cli.manifest_commit import manifest_commit
from reconciler.cli.plan_text import kinds_of_change, render_plan
from reconciler.cli.report_text import render_report
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style
from reconciler.cli.verbs.reconcile import pass_options
from reconciler.cli.watching.contents import Eyes
from reconciler.cli.watching.repeats import Repeats
from reconciler.cli.wiring import load_manifest, locked_host
from reconciler.core.ports.clock import Clock
from reconciler.core.runs import Outcome
from reconciler.engine.listening import Listener
from reconciler.engine.prepared import Prepared
from reconciler.engine.run import RunResult, run_once
from reconciler.engine.tracking import move_tracked_pins


class WatchPass:
    """Runs passes for a watch; `eyes` learn where to look, and `listener` hears of each run."""

    def __init__(
        self,
        settings: Settings,
        console: Repeats,
        clock: Clock,
        *,
        eyes: Eyes,
        listener: Listener,
    ) -> None:
        """`clock` is what is waited by. Where the log is JSON, stdout has no text for people."""
        self._settings = settings
        self._console = console
        self._clock = clock
        self._prints = not settings.json and settings.log_format != "json"
        self._eyes = eyes
        self._listener = listener

    def run(self) -> tuple[RunResult, ...]:
        """Run one pass, and give its runs, one or two. Raises what `run_once` raises."""
        settings = self._settings
        manifest = load_manifest(settings)
        with locked_host(settings, self._console, clock=self._clock) as host:
            self._eyes.note(host)
            allowed = replace(pass_options(settings), commit=manifest_commit(settings))
            result = run_once(host, manifest, allowed, approve=self._approve)
            self._show(result, stays="the manifest must change first")
            moved = move_tracked_pins(host, manifest, allowed, result, approve=self._approve)
            if moved is None:
                return (result,)
            self._show(moved, stays="the pins stay as they were until upstream changes")
        return result, moved

    def _approve(self, prepared: Prepared) -> bool:
        """What failed the health gate, or was gone back from, waits until somebody changes it."""
        self._listener.planned(prepared)
        if prepared.is_stalled and not prepared.plan.is_empty:
            reason = prepared.ledger.stalled_reason
            self._console.warn(f"not tried again until it changes: {reason}")
            return False
        if not prepared.plan.is_empty and self._prints:
            style = Style(sys.stdout, no_color=self._settings.no_color)
            text = render_plan(prepared.plan, prepared.observed.runtime, prepared.ledger, style)
            self._console.print_once(f"{text}\n")
        return True

    def _show(self, result: RunResult, *, stays: str) -> None:
        self._listener.ended(result)
        self._console.take_down()
        report = result.report
        if self._settings.json:
            print(json.dumps(asdict(report)), flush=True)
        elif self._prints and (
            report.outcome not in (Outcome.IN_SYNC, Outcome.DECLINED) or report.findings
        ):
            kinds = kinds_of_change(result.prepared.plan, result.prepared.ledger)
            style = Style(sys.stdout, no_color=self._settings.no_color)
            self._console.print_once(render_report(report, kinds, style))
        for line in report.log_lines:
            self._console.warn(f"llama-swap's log: {line}")
        if report.outcome is Outcome.ROLLED_BACK:
            self._console.fail(f"unhealthy, rolled back: {report.message}", stays)
