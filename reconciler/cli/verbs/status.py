"""Each model in two columns: what others changed (drift), and what the next run would do."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from reconciler.cli.console import Console
from reconciler.cli.plan_text import kinds_of_change
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style
from reconciler.cli.verbs.reconcile import pass_options
from reconciler.cli.wiring import load_manifest, open_host
from reconciler.core.names import ModelId
from reconciler.core.runs import RunReport
from reconciler.core.sizes import human_bytes
from reconciler.engine.reconcile import Prepared, prepare


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """One model: its bytes on disk, what others changed of it, and what is pending for it."""

    model: ModelId
    size_bytes: int
    drift: tuple[str, ...]
    pending: str


def run(_options: Namespace, settings: Settings, console: Console) -> int:
    """Show the status; never changes anything."""
    manifest = load_manifest(settings)
    with open_host(settings, console, for_writing=False) as host:
        prepared = prepare(host, manifest, pass_options(settings))
        runs = host.inventory.last_runs(1)
    console.take_down()
    models = [_status(key, prepared) for key in _all_models(prepared)]
    if settings.json:
        last = asdict(runs[0]) if runs else None
        print(json.dumps({"models": [asdict(item) for item in models], "last_run": last}, indent=2))
        return 0
    style = Style(sys.stdout, no_color=settings.no_color)
    _print_table(models, prepared, style)
    _print_around(prepared, runs[0] if runs else None, style)
    return 0


def _all_models(prepared: Prepared) -> list[ModelId]:
    declared = [*prepared.desired.models, *prepared.desired.stalled]
    return list(dict.fromkeys([*declared, *prepared.ledger.models]))


def _status(model: ModelId, prepared: Prepared) -> ModelStatus:
    owned = prepared.ledger.models.get(model)
    paths = owned.files if owned else ()
    files = prepared.observed.files
    return ModelStatus(
        model=model,
        size_bytes=sum(files[path].identity.size_bytes for path in paths if path in files),
        drift=tuple(item.message for item in prepared.plan.drift if item.model == model),
        pending=_pending(model, prepared),
    )


def _pending(model: ModelId, prepared: Prepared) -> str:
    plan = prepared.plan
    if model in plan.stalled:
        stall = plan.stalled[model]
        return f"{'waiting' if stall.waiting else 'stalled'}: {stall.reason}"
    for verb, models in (
        ("add", plan.summary.added),
        ("update", plan.summary.updated),
        ("remove", plan.summary.removed),
    ):
        if model in models:
            return verb
    declared = prepared.desired.models.get(model)
    return "" if declared is None or declared.spec.enabled else "(disabled)"


def _print_table(models: list[ModelStatus], prepared: Prepared, style: Style) -> None:
    kinds = kinds_of_change(prepared.plan, prepared.ledger)
    width = max([len(item.model) for item in models] + [len("MODEL")])
    sizes = [human_bytes(item.size_bytes) for item in models]
    room = max([len(size) for size in sizes] + [len("ON DISK")])
    print(style(f"{'MODEL':<{width}}  {'ON DISK':>{room}}  {'DRIFT':<10}  PENDING", "bold"))
    for item, size in zip(models, sizes, strict=True):
        drift = style(f"{'changed':<10}", "yellow") if item.drift else f"{'-':<10}"
        word, _, reason = item.pending.partition(": ")
        print(f"{item.model:<{width}}  {size:>{room}}  {drift}  {_word(item, word, kinds, style)}")
        for line in (*item.drift, *reason.splitlines()):
            print(f"    {line}")


def _word(item: ModelStatus, word: str, kinds: Mapping[ModelId, str], style: Style) -> str:
    if word in ("stalled", "waiting"):
        return style(word, "red")
    return kinds.get(item.model) or word or "-"


def _print_around(prepared: Prepared, last: RunReport | None, style: Style) -> None:
    print()
    runtime = prepared.observed.runtime
    print(f"Runtime: {runtime.kind}{f' {runtime.name}' if runtime.name else ''}, {runtime.status}")
    if prepared.ledger.stalled:
        print(style(f"Rolled back before: {prepared.ledger.stalled_reason}", "red"))
    if last is not None:
        started = datetime.fromisoformat(last.started_at).isoformat(timespec="seconds")
        print(f"Last run: {last.outcome} at {started}")
