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
from reconciler.cli.watching.post import WatchPost
from reconciler.cli.watching.repeats import Repeats
from reconciler.cli.wiring import load_manifest, locked_host
from reconciler.core.ports.clock import Clock
from reconciler.core.runs import IN_VAIN, Outcome
from reconciler.engine.listening import Listener
from reconciler.engine.prepared import Prepared
from reconciler.engine.run import RunResult, run_once
from reconciler.engine.tracking import move_tracked_pins


class WatchPass:
    """Runs passes for a watch; `eyes` and `post` learn where, and `listener` hears of each run."""

    def __init__(
        self,
        settings: Settings,
        console: Repeats,
        clock: Clock,
        *,
        eyes: Eyes,
        post: WatchPost,
        listener: Listener,
    ) -> None:
        """`clock` is what is waited by. Where the log is JSON, stdout has no text for people."""
        self._settings = settings
        self._console = console
        self._clock = clock
        self._prints = not settings.json and settings.log_format != "json"
        self._eyes = eyes
        self._post = post
        self._listener = listener

    def run(self) -> tuple[RunResult, ...]:
        """Run one pass, and give its runs, one or two. Raises what `run_once` raises."""
        settings = self._settings
        manifest = load_manifest(settings)
        with locked_host(settings, self._console, clock=self._clock) as host:
            self._eyes.note(host)
            self._post.keep(host.state)
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
        shows = self._prints and not prepared.plan.is_empty
        self._tell_of_stalled(prepared, are_shown=shows)
        if shows:
            style = Style(sys.stdout, no_color=self._settings.no_color)
            text = render_plan(prepared.plan, prepared.observed.runtime, prepared.ledger, style)
            self._console.print_once(f"{text}\n")
        return True

    def _tell_of_stalled(self, prepared: Prepared, *, are_shown: bool) -> None:
        """Say who cannot be applied and why, where no plan that is printed does."""
        for model, stall in prepared.plan.stalled.items():
            word = "waits" if stall.waiting else "is stalled"
            message = f"{model} {word}: {stall.reason}"
            if are_shown:
                self._console.count_as_told(message, stall.hint)
            else:
                self._console.warn(message, stall.hint)

    def _show(self, result: RunResult, *, stays: str) -> None:
        self._listener.ended(result)
        self._console.take_down()
        report = result.report
        if self._settings.json:
            print(json.dumps(asdict(report)), flush=True)
        elif self._prints and (report.outcome not in IN_VAIN or report.findings):
            kinds = kinds_of_change(result.prepared.plan, result.prepared.ledger)
            style = Style(sys.stdout, no_color=self._settings.no_color)
            self._console.print_once(render_report(report, kinds, style))
        for line in report.log_lines:
            self._console.warn(f"llama-swap's log: {line}")
        if report.outcome is Outcome.ROLLED_BACK:
            self._console.fail(f"unhealthy, rolled back: {report.message}", stays)
