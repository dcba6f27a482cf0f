"""Delete old trash and stale partial downloads for good: planned, shown and asked first."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from reconciler.adapters.store.inventory import Inventory
from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.adapters.store.run_lock import RunLock
from reconciler.adapters.system_clock import SystemClock
from reconciler.cli.columns import one_line
from reconciler.cli.console import Console
from reconciler.cli.keeping import open_kept
from reconciler.cli.quantities import parse_duration
from reconciler.cli.records import open_records
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style, counted
from reconciler.core.keeping import Leftover, TrashedRun
from reconciler.core.prune import STALE_SECONDS, PruneLimits, PrunePlan
from reconciler.core.sizes import human_bytes
from reconciler.engine.prune import carry_out_prune, prepare_prune
from reconciler.errors import UsageError

FORMAT_VERSION: Final = 1
_DECLINED: Final = 1
_PENDING: Final = 3
# Older than any clock: whatever is there, even if it was touched in a second to come.
_ANY_AGE: Final = float("-inf")
_SIZE_COLUMNS: Final = len("999.9 MB")


def run(options: Namespace, settings: Settings, console: Console) -> int:
    """Plan; show it and ask, unless it is only to be planned; delete."""
    limits = _limits(options, settings)
    clock = SystemClock()
    with open_records(settings, console) as records:
        folder = records.folder
        plan = prepare_prune(folder, records.inventory, clock, limits)
    if options.plan or plan.is_empty:
        _show(plan, settings, done=not options.plan)
        return _PENDING if settings.detailed_exitcode and not plan.is_empty else 0
    with (
        open_kept(folder, settings, console, for_writing=True) as kept,
        RunLock(kept.state, timeout_seconds=settings.lock_timeout, clock=clock, reporter=console),
    ):
        return _prune(folder, kept.inventory, limits, settings, console)


def _prune(
    folder: ModelsFolder,
    inventory: Inventory,
    limits: PruneLimits,
    settings: Settings,
    console: Console,
) -> int:
    plan = prepare_prune(folder, inventory, SystemClock(), limits)
    if not settings.json:
        _show(plan, settings, done=False)
    agreed = plan.is_empty or settings.yes or _confirmed(settings, console)
    if agreed:
        carry_out_prune(folder, inventory, plan)
    if settings.json:
        _show(plan, settings, done=agreed)
    elif not agreed:
        print("Declined: nothing was deleted")
    elif not plan.is_empty:
        print(f"Pruned: {human_bytes(plan.frees_bytes)} freed")
    return 0 if agreed else _DECLINED


def _limits(options: Namespace, settings: Settings) -> PruneLimits:
    limits = PruneLimits(trash_seconds=settings.trash_ttl, partials_seconds=STALE_SECONDS)
    if options.partials_older_than is not None:
        try:
            age = parse_duration(options.partials_older_than)
        except ValueError as error:
            raise UsageError(
                f"--partials-older-than: {error}", hint="see `reconcile prune --help`"
            ) from error
        limits = replace(limits, partials_seconds=age)
    if options.trash or options.all:
        limits = replace(limits, trash_seconds=_ANY_AGE)
    return replace(limits, partials_seconds=_ANY_AGE) if options.all else limits


def _confirmed(settings: Settings, console: Console) -> bool:
    if settings.json or not console.can_ask():
        console.warn(
            "it would delete something for good, and nobody is here to ask",
            "look at `reconcile prune --plan`; if all of it is meant, run again with --yes",
        )
        return False
    return console.ask("Delete this for good?")


def _show(plan: PrunePlan, settings: Settings, *, done: bool) -> None:
    if settings.json:
        print(json.dumps(_to_json(plan, done=done), indent=2))
        return
    style = Style(sys.stdout, no_color=settings.no_color)
    if plan.is_empty:
        print(style("Nothing to prune.", "green"))
    else:
        print(style(f"Plan: {human_bytes(plan.frees_bytes)} to free", "bold"))
        for line in _lines(plan):
            print(line)
    for told in plan.kept:
        print(f"{style('kept:', 'yellow')} {told}")


def _lines(plan: PrunePlan) -> Iterator[str]:
    for run in plan.trash:
        size = f"{human_bytes(run.frees_bytes):>{_SIZE_COLUMNS}}"
        what = f"{counted(run.files, 'file')}, since {_moment(run.taken_at)}"
        yield f"    trash    {size}  {one_line(run.run)}  ({what})"
    for item in plan.partials:
        size = f"{human_bytes(item.frees_bytes):>{_SIZE_COLUMNS}}"
        what = f"untouched since {_moment(item.touched_at)}"
        yield f"    partial  {size}  {one_line(item.name)}  ({what})"


def _to_json(plan: PrunePlan, *, done: bool) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "done": done,
        "frees_bytes": plan.frees_bytes,
        "trash": [_trashed_to_json(item) for item in plan.trash],
        "partials": [_leftover_to_json(item) for item in plan.partials],
        "kept": list(plan.kept),
    }


def _trashed_to_json(item: TrashedRun) -> dict[str, Any]:
    return {
        "run": item.run,
        "files": item.files,
        "size_bytes": item.size_bytes,
        "frees_bytes": item.frees_bytes,
        "taken_at": item.taken_at.isoformat(),
    }


def _leftover_to_json(item: Leftover) -> dict[str, Any]:
    return {
        "name": item.name,
        "frees_bytes": item.frees_bytes,
        "touched_at": item.touched_at.isoformat(),
    }


def _moment(when: datetime) -> str:
    return when.isoformat(timespec="seconds")
