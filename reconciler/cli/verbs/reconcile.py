"""The main job: plan, show, ask, apply."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict, replace

from reconciler.cli.console import Console
from reconciler.cli.manifest_commit import manifest_commit
from reconciler.cli.plan_json import plan_to_json
from reconciler.cli.plan_text import kinds_of_change, render_plan
from reconciler.cli.remembered import PlanMemory
from reconciler.cli.report_text import exit_code_of, render_report
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style
from reconciler.cli.watching.post import tell_of_pause
from reconciler.cli.wiring import load_manifest_texts, locked_host, open_host
from reconciler.cli.witness import Witness
from reconciler.core.manifest import Manifest
from reconciler.core.plan import Plan
from reconciler.core.reading.manifest_text import ManifestText, parse_manifest
from reconciler.core.sync_mode import AskedMode, SyncSettings
from reconciler.engine.host import Host
from reconciler.engine.prepared import Options, Prepared
from reconciler.engine.reconcile import prepare
from reconciler.engine.run import RunResult, run_once

_PENDING = 3
_ERROR = 1


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Plan, or plan and apply."""
    texts = load_manifest_texts(settings)
    manifest = parse_manifest(texts)
    if options.plan:
        return _dry_run(manifest, texts, settings, console, options.memory)
    with locked_host(settings, console) as host:
        tell_of_pause(host.state, settings, console)
        return _apply(host, manifest, settings, console)


def _dry_run(
    manifest: Manifest,
    texts: tuple[ManifestText, ...],
    settings: Settings,
    console: Console,
    memory: PlanMemory | None,
) -> int:
    witness = Witness(console, settings)
    with open_host(settings, witness.reporter, for_writing=False) as host:
        tell_of_pause(host.state, settings, witness.reporter)
        prepared = prepare(witness.watch(host), manifest, pass_options(settings))
    answer = show_plan(prepared, settings, console)
    if memory is not None:
        witness.remember(memory, answer, prepared, texts, lock_path=host.lock_path)
    return code_of_plan(prepared.plan, settings)


def code_of_plan(plan: Plan, settings: Settings) -> int:
    """Give the exit code of a plan that is only shown."""
    if plan.refusals or plan.stalled:
        return _ERROR
    return _PENDING if settings.detailed_exitcode and not plan.is_empty else 0


def _apply(host: Host, manifest: Manifest, settings: Settings, console: Console) -> int:
    result = run_shown(host, manifest, settings, console)
    if settings.json:
        print(json.dumps(run_to_json(result), indent=2))
    return exit_code_of(result.report, console)


def run_shown(host: Host, manifest: Manifest, settings: Settings, console: Console) -> RunResult:
    """Run one pass, asking where it must; prints plan and report, with --json neither."""

    def approve(prepared: Prepared) -> bool:
        if prepared.is_stalled and not prepared.plan.is_empty:
            console.say(f"it is tried again by hand: {prepared.ledger.stalled_reason}")
        return approved(prepared, settings, console)

    allowed = replace(pass_options(settings), commit=manifest_commit(settings))
    result = run_once(host, manifest, allowed, approve=approve)
    show_report(result, settings, console)
    return result


def approved(prepared: Prepared, settings: Settings, console: Console) -> bool:
    """Show a plan, not with --json, and ask where that must be."""
    if not settings.json:
        show_plan(prepared, settings, console, with_refusals=False)
    if prepared.plan.refusals:
        # There is nothing to ask: applying it is refused, with the reasons.
        return True
    return settings.yes or _confirmed(prepared.plan, settings, console)


def show_report(result: RunResult, settings: Settings, console: Console) -> None:
    """Print what a run did; with --json nothing."""
    console.take_down()
    if not settings.json:
        kinds = kinds_of_change(result.prepared.plan, result.prepared.ledger)
        style = Style(sys.stdout, no_color=settings.no_color)
        print(render_report(result.report, kinds, style), end="")


def run_to_json(result: RunResult) -> dict[str, object]:
    """Give the run's report and, as `plan`, the plan that was shown."""
    return {**asdict(result.report), "plan": plan_to_json(result.prepared.plan)}


def pass_options(settings: Settings) -> Options:
    """Give what the settings allow a pass to do."""
    return Options(
        allow_prune=settings.allow_prune,
        reserve_bytes=settings.disk_reserve,
        locked=settings.locked,
        runtime_named=settings.runtime is not None,
        max_key_length=settings.max_key_length,
        sync=SyncSettings(
            asked=AskedMode(settings.sync_mode),
            forced=settings.force_full_sync,
            threshold_hours=settings.full_sync_threshold_hours,
            window_hours=settings.incremental_window_hours,
        ),
    )


def show_plan(
    prepared: Prepared, settings: Settings, console: Console, *, with_refusals: bool = True
) -> str:
    """Print the plan, and give what was printed."""
    console.take_down()
    if settings.json:
        text = json.dumps(plan_to_json(prepared.plan), indent=2) + "\n"
    else:
        style = Style(sys.stdout, no_color=settings.no_color)
        text = render_plan(
            prepared.plan,
            prepared.observed.runtime,
            prepared.ledger,
            style,
            with_refusals=with_refusals,
        )
    print(text, end="", flush=True)
    return text


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
