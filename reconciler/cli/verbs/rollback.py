"""Go back to an earlier generation: planned, shown, asked and rolled out as the main job is."""

from __future__ import annotations

import json
from argparse import Namespace
from datetime import datetime

from reconciler.cli.console import Console
from reconciler.cli.plan_json import plan_to_json
from reconciler.cli.report_text import exit_code_of
from reconciler.cli.settings import Settings
from reconciler.cli.verbs.reconcile import (
    approved,
    code_of_plan,
    pass_options,
    run_to_json,
    show_plan,
    show_report,
)
from reconciler.cli.wiring import load_manifest, locked_host, open_host
from reconciler.core.generations import Generation
from reconciler.core.sync_mode import DONE
from reconciler.engine.going_back import generation_of, prepare_return
from reconciler.engine.host import Host
from reconciler.engine.prepared import Prepared
from reconciler.engine.run import RunResult, run_looked
from reconciler.errors import ManifestInvalid


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Go back to generation N, or to the one before this."""
    standing = _standing_manifest(settings, console)
    if options.plan:
        with open_host(settings, console, for_writing=False) as host:
            return _dry_run(host, options.generation, settings, console, standing=standing)
    with locked_host(settings, console) as host:
        result = _go_back(host, options.generation, settings, console, standing=standing)
    if settings.json:
        number = generation_of(result.prepared).number
        print(json.dumps({"generation": number, **run_to_json(result)}, indent=2))
    is_done = result.report.outcome in DONE and not result.prepared.held
    if is_done and standing is not None:
        console.say(
            "the manifest stays as it is, and a watch leaves it alone until it or the lock "
            "changes; `reconcile` applies it again"
        )
    return exit_code_of(result.report, console)


def _dry_run(
    host: Host, number: int | None, settings: Settings, console: Console, *, standing: str | None
) -> int:
    prepared = prepare_return(host, number, pass_options(settings), standing=standing)
    if settings.json:
        found = generation_of(prepared).number
        print(json.dumps({"generation": found, **plan_to_json(prepared.plan)}, indent=2))
    else:
        _introduce(generation_of(prepared))
        show_plan(prepared, settings, console)
    return code_of_plan(prepared.plan, settings)


def _go_back(
    host: Host, number: int | None, settings: Settings, console: Console, *, standing: str | None
) -> RunResult:
    allowed = pass_options(settings)

    def look() -> Prepared:
        return prepare_return(host, number, allowed, standing=standing)

    def approve(prepared: Prepared) -> bool:
        if not settings.json:
            _introduce(generation_of(prepared))
        return approved(prepared, settings, console)

    result = run_looked(host, allowed, look=look, approve=approve, follow=False)
    show_report(result, settings, console)
    return result


def _standing_manifest(settings: Settings, console: Console) -> str | None:
    """Name the manifest as it stands: a watch must not apply it again at once."""
    try:
        return load_manifest(settings).digest
    except ManifestInvalid as error:
        console.warn(
            f"the manifest cannot be read, so nothing keeps a watch from applying it once it is "
            f"mended: {error.message}"
        )
        return None


def _introduce(generation: Generation) -> None:
    when = datetime.fromisoformat(generation.applied_at).isoformat(timespec="seconds")
    print(f"Back to generation {generation.number}, applied {when} by run {generation.run}\n")
