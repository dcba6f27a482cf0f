"""The main job: plan, show, ask, apply."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict

from reconciler.cli.console import Console
from reconciler.cli.plan_json import plan_to_json
from reconciler.cli.plan_text import kinds_of_change, render_plan
from reconciler.cli.report_text import exit_code_of, render_report
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style
from reconciler.cli.wiring import load_manifest, locked_host, open_host
from reconciler.core.manifest import Manifest
from reconciler.core.plan import Plan
from reconciler.core.runs import Outcome
from reconciler.engine.host import Host
from reconciler.engine.reconcile import Options, Prepared, prepare
from reconciler.engine.run import run_once

_PENDING = 3
_ERROR = 1


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Plan, or plan and apply."""
    manifest = load_manifest(settings)
    if options.plan:
        return _dry_run(manifest, settings, console)
    with locked_host(settings, console) as host:
        return _apply(host, manifest, settings, console)


def _dry_run(manifest: Manifest, settings: Settings, console: Console) -> int:
    with open_host(settings, console, for_writing=False) as host:
        prepared = prepare(host, manifest, pass_options(settings))
    _show(prepared, settings, console)
    if prepared.plan.refusals or prepared.plan.stalled:
        return _ERROR
    return _PENDING if settings.detailed_exitcode and not prepared.plan.is_empty else 0


def _apply(host: Host, manifest: Manifest, settings: Settings, console: Console) -> int:
    def approve(prepared: Prepared) -> bool:
        if not settings.json:
            _show(prepared, settings, console, with_refusals=False)
        if prepared.plan.refusals:
            # There is nothing to ask: applying it is refused, with the reasons.
            return True
        return settings.yes or _confirmed(prepared.plan, settings, console)

    result = run_once(host, manifest, pass_options(settings), approve=approve)
    console.take_down()
    if settings.json:
        report = {**asdict(result.report), "plan": plan_to_json(result.prepared.plan)}
        print(json.dumps(report, indent=2))
    elif result.report.outcome is not Outcome.IN_SYNC:
        kinds = kinds_of_change(result.prepared.plan, result.prepared.ledger)
        style = Style(sys.stdout, no_color=settings.no_color)
        print(render_report(result.report, kinds, style), end="")
    return exit_code_of(result.report, console)


def pass_options(settings: Settings) -> Options:
    """Give what the settings allow a pass to do."""
    return Options(
        allow_prune=settings.allow_prune,
        reserve_bytes=settings.disk_reserve,
        locked=settings.locked,
        runtime_named=settings.runtime is not None,
    )


def _show(
    prepared: Prepared, settings: Settings, console: Console, *, with_refusals: bool = True
) -> None:
    console.take_down()
    if settings.json:
        print(json.dumps(plan_to_json(prepared.plan), indent=2))
        return
    style = Style(sys.stdout, no_color=settings.no_color)
    text = render_plan(
        prepared.plan,
        prepared.observed.runtime,
        prepared.ledger,
        style,
        with_refusals=with_refusals,
    )
    print(text, end="", flush=True)


def _confirmed(plan: Plan, settings: Settings, console: Console) -> bool:
    """Ask before anything is removed or replaced; where nobody can answer, that is a no."""
    if not plan.takes_away:
        return True
    # With --json nobody has seen the plan.
    if settings.json or not console.can_ask():
        console.warn(
            "it would remove or replace something, and nobody is here to ask",
            "look at `reconcile --plan`; if all of it is meant, run again with --yes",
        )
        return False
    return console.ask("Apply this?")
