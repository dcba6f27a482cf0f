"""Each model in two columns: what others changed (drift), and what the next run would do.

Below them what else lies in the models folder, the container, and how the last run ended.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from reconciler.cli.columns import Cell, Column, folded, lay_out, one_line
from reconciler.cli.console import Console
from reconciler.cli.model_status import ModelStatus, model_statuses, unowned_sizes
from reconciler.cli.plan_text import kinds_of_change
from reconciler.cli.settings import Settings
from reconciler.cli.terminal import Style, counted
from reconciler.cli.verbs.reconcile import pass_options
from reconciler.cli.watching.post import held_pause, words_of
from reconciler.cli.wiring import load_manifest, open_host
from reconciler.core.keeping import Partial, Trash
from reconciler.core.names import ModelId, RelPath
from reconciler.core.reading.pause_text import pause_to_json
from reconciler.core.runs import RunReport
from reconciler.core.sizes import human_bytes
from reconciler.engine.host import Host
from reconciler.engine.prepared import Prepared
from reconciler.engine.reconcile import prepare

_COLUMNS: Final = (
    Column(head="MODEL", least=10, wanted=40),
    Column(head="ON DISK", right=True),
    Column(head="FILES", rank=1, right=True),
    Column(head="DRIFT"),
    Column(head="PENDING"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What lies in the models folder beside our files: `unowned` are sizes by path."""

    unowned: Mapping[RelPath, int]
    partials: tuple[Partial, ...]
    trash: Trash


def run(_options: Namespace, settings: Settings, console: Console) -> int:
    """Show the status; never changes anything."""
    manifest = load_manifest(settings)
    with open_host(settings, console, for_writing=False) as host:
        prepared = prepare(host, manifest, pass_options(settings))
        beside = _beside(host, prepared)
        runs = host.inventory.last_runs(1)
        pause = held_pause(host.state, console)
    console.take_down()
    models = model_statuses(prepared, beside.unowned)
    last = runs[0] if runs else None
    if settings.json:
        shown = {
            **_as_json(models, beside, prepared, last),
            "pause": pause_to_json(pause) if pause is not None else None,
        }
        print(json.dumps(shown, indent=2))
        return 0
    style = Style(sys.stdout, no_color=settings.no_color)
    around = (
        *_refusal_lines(prepared),
        *_beside_lines(beside, prepared),
        *_around(prepared, last),
        *([f"The watch is paused {words_of(pause, settings)}"] if pause is not None else []),
    )
    for line in (*_table(models, prepared, style), "", *(folded(line, style) for line in around)):
        print(line)
    return 0


def _beside(host: Host, prepared: Prepared) -> Beside:
    sizes = {path: file.size_bytes for path, file in host.folder.gguf_files().items()}
    return Beside(
        unowned=unowned_sizes(prepared, sizes),
        partials=tuple(host.folder.partials()),
        trash=host.folder.trash(),
    )


def _as_json(
    models: list[ModelStatus], beside: Beside, prepared: Prepared, last: RunReport | None
) -> dict[str, Any]:
    runtime, trash = prepared.observed.runtime, beside.trash
    wanted = _wanted(prepared)
    return {
        "models": [asdict(item) for item in models],
        "unowned": [{"path": path, "size_bytes": size} for path, size in beside.unowned.items()],
        "partials": [{**asdict(item), "path": wanted.get(item.sha256)} for item in beside.partials],
        "trash": {
            "files": trash.files,
            "size_bytes": trash.size_bytes,
            "oldest_at": _began(trash.oldest_run),
        },
        "refusals": [asdict(refusal) for refusal in prepared.plan.refusals],
        "runtime": {"kind": runtime.kind, "name": runtime.name, "status": runtime.status},
        "last_run": asdict(last) if last else None,
    }


def _wanted(prepared: Prepared) -> Mapping[str, RelPath]:
    """Give where each digest of the lock goes."""
    pins = prepared.lock.pins.values()
    return {file.sha256: file.path for pin in pins for file in pin.files}


def _table(models: list[ModelStatus], prepared: Prepared, style: Style) -> Iterator[str]:
    kinds = kinds_of_change(prepared.plan, prepared.ledger)
    rows = [_row(item, kinds) for item in models]
    head, *lines = lay_out(_COLUMNS, rows, style)
    yield head
    for item, line in zip(models, lines, strict=True):
        yield line
        reason = item.pending.partition(": ")[2]
        for text in (*item.drift, *reason.splitlines()):
            yield folded(f"    {one_line(text)}", style)


def _row(item: ModelStatus, kinds: Mapping[ModelId, str]) -> tuple[Cell, ...]:
    word = item.pending.partition(": ")[0]
    troubled = word in ("stalled", "waiting")
    return (
        Cell(item.model),
        Cell(human_bytes(item.size_bytes)),
        Cell(str(item.files)),
        Cell("changed", "yellow") if item.drift else Cell("-"),
        Cell(word, "red") if troubled else Cell(kinds.get(item.model) or word or "-"),
    )


def _refusal_lines(prepared: Prepared) -> Iterator[str]:
    for refusal in prepared.plan.refusals:
        yield f"Refused as it stands: {one_line(refusal.message)}"
        yield f"    {one_line(refusal.hint)}"


def _beside_lines(beside: Beside, prepared: Prepared) -> Iterator[str]:
    owned = prepared.ledger.files.keys() & prepared.observed.files.keys()
    size = sum(prepared.observed.files[path].identity.size_bytes for path in owned)
    models = [item for item in prepared.ledger.models.values() if item.discovered is None]
    yield (
        f"On disk: {counted(len(models), 'model')}, "
        f"{counted(len(owned), 'file')}, {human_bytes(size)}"
    )
    if beside.unowned:
        yield (
            f"Not declared: {counted(len(beside.unowned), 'GGUF file')}, "
            f"{human_bytes(sum(beside.unowned.values()))}; see `reconcile list --unowned`"
        )
    wanted = _wanted(prepared)
    for item in beside.partials:
        whole = f" of {human_bytes(item.size_bytes)}" if item.size_bytes is not None else ""
        what = wanted.get(item.sha256) or item.origin or item.sha256
        yield f"Unfinished: {human_bytes(item.have_bytes)}{whole}, {one_line(what)}"
    if beside.trash.files:
        began = _began(beside.trash.oldest_run)
        oldest = f", the oldest since {began}" if began else ""
        yield (
            f"Trash: {counted(beside.trash.files, 'file')}, "
            f"{human_bytes(beside.trash.size_bytes)}{oldest}"
        )


def _began(run_name: str | None) -> str | None:
    """Give when a run began, from its name; None where that is no run's."""
    try:
        began = datetime.strptime((run_name or "").partition("-")[0], "%Y%m%dT%H%M%SZ")
    except ValueError:
        return None
    return began.replace(tzinfo=UTC).isoformat()


def _around(prepared: Prepared, last: RunReport | None) -> Iterator[str]:
    runtime = prepared.observed.runtime
    yield f"Runtime: {runtime.kind}{f' {runtime.name}' if runtime.name else ''}, {runtime.status}"
    if prepared.ledger.stalled:
        yield f"Rolled back before: {one_line(prepared.ledger.stalled_reason)}"
    if last is not None:
        started = datetime.fromisoformat(last.started_at).isoformat(timespec="seconds")
        yield f"Last run: {last.outcome} at {started}"
