"""A plan as people read it: one glance for the whole, one block for each model."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from reconciler.cli.diff_text import render_diff
from reconciler.cli.plan_rows import FileRow, leftover_rows, model_rows, room_rows
from reconciler.cli.terminal import Style, counted, shortened
from reconciler.core.actions import EditReference, RemoveEntry, Rename, SetEntry
from reconciler.core.config_diff import diff_lines
from reconciler.core.ledger import Ledger, LedgerEntry
from reconciler.core.llamaswap.groups import GroupMove
from reconciler.core.names import ModelId
from reconciler.core.observed import RuntimeState
from reconciler.core.plan import Plan
from reconciler.core.sizes import human_bytes
from reconciler.core.values import Json

_SIGNS = {
    "add": ("+", "green"),
    "update": ("~", "yellow"),
    "rename": ("~", "yellow"),
    "restore": ("~", "yellow"),
    "remove": ("-", "red"),
}
_INDENT = "    "
# A reason goes to a line of its own before it leaves less than this to the path.
_PATH_COLUMNS = 32
_SIZE_COLUMNS = len("999.9 MB")


def render_plan(
    plan: Plan,
    runtime: RuntimeState,
    ledger: Ledger,
    style: Style,
    *,
    with_refusals: bool = True,
) -> str:
    """Give the whole plan as text, ending in a line break. `ledger` is the one it was made from.

    `with_refusals=False` where the error that ends the command will tell them.
    """
    kinds = kinds_of_change(plan, ledger)
    lines = [_headline(plan, kinds, style), ""]
    lines += _room(plan, style)
    for model, kind in kinds.items():
        lines += _model(plan, model, kind, style)
    lines += _leftovers(plan, style)
    lines += _config_diff(plan, style)
    lines += _container(plan, runtime)
    lines += _discovered(plan)
    lines += _notes(plan, style)
    lines += _refusals(plan, style) if with_refusals else ()
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines) + "\n"


def kinds_of_change(plan: Plan, ledger: Ledger) -> dict[ModelId, str]:
    """Say for each model that changes how, in the order of `_SIGNS`.

    A model whose own part of the ledger stays as it is was changed by somebody else: nothing new is
    wanted of it, so it is restored, not updated.
    """
    restored = [key for key in plan.summary.updated if _is_as_before(key, plan, ledger)]
    others = {*restored, *plan.renames}
    updated = [key for key in plan.summary.updated if key not in others]
    return {
        **dict.fromkeys(plan.summary.added, "add"),
        **dict.fromkeys(updated, "update"),
        **dict.fromkeys(plan.renames, "rename"),
        **dict.fromkeys(restored, "restore"),
        **dict.fromkeys(plan.summary.removed, "remove"),
    }


def _is_as_before(model: ModelId, plan: Plan, ledger: Ledger) -> bool:
    after = plan.ledger_after
    if model not in ledger.models or model not in after.models:
        return False
    old, new = ledger.models[model], after.models[model]
    same_files = old.files == new.files and all(
        path in ledger.files and ledger.files[path].sha256 == after.files[path].sha256
        for path in new.files
    )
    same_group = (old.group and old.group.name) == (new.group and new.group.name)
    return same_files and same_group and _values(old.entry) == _values(new.entry)


def _values(entry: LedgerEntry | None) -> dict[str, Json] | None:
    return {key: owned.value for key, owned in entry.fields.items()} if entry else None


def _headline(plan: Plan, kinds: dict[ModelId, str], style: Style) -> str:
    summary = plan.summary
    if plan.is_empty and not plan.refusals and not plan.stalled:
        count = len(plan.unchanged) + len(summary.added)
        return style(f"In sync: {counted(count, 'model')}, nothing to do.", "green")
    counts = [(list(kinds.values()).count(kind), kind) for kind in _SIGNS]
    head = ", ".join(f"{count} to {kind}" for count, kind in counts if count) or "no model changes"
    facts = [
        f"{what} {human_bytes(count)}"
        for what, count in (
            ("fetch", summary.fetch_bytes),
            ("reuse", summary.reuse_bytes),
            ("to the trash", summary.trash_bytes),
            ("freed", summary.freed_bytes),
        )
        if count
    ]
    facts.append(f"{human_bytes(summary.disk_left_bytes)} left on disk")
    return f"{style(f'Plan: {head}', 'bold')} · {' · '.join(facts)}"


def _model(plan: Plan, model: ModelId, kind: str, style: Style) -> Iterator[str]:
    sign, color = _SIGNS[kind]
    yield style(f"{sign} {model}", color)
    lines = [line for row in model_rows(plan, model) for line in _file_lines(row, style)]
    for action in plan.actions:
        if isinstance(action, Rename) and action.model == model:
            lines.append(f"{_INDENT}{'renamed':<9} from {action.old}  ({action.reason})")
        elif isinstance(action, EditReference) and action.model == model:
            lines.append(f"{_INDENT}{action.kind:<9} {_reference(action)}")
        if isinstance(action, SetEntry) and action.model == model and action.changes:
            fields = ", ".join(change.key for change in action.changes)
            what = f"{'new' if action.new else 'changed'}: {fields}"
            lines.append(f"{_INDENT}{'entry':<9} {what}  ({action.reason})")
        elif isinstance(action, RemoveEntry) and action.model == model:
            what = "removed" if action.whole else "given back"
            lines.append(f"{_INDENT}{'entry':<9} {what}  ({action.reason})")
        if isinstance(action, SetEntry | RemoveEntry) and action.model == model and action.group:
            lines.append(f"{_INDENT}{'group':<9} {_group(action.group)}")
    yield from lines or [f"{_INDENT}already as declared; recorded"]
    yield ""


def _reference(action: EditReference) -> str:
    """Say what becomes of a reference, and where it stands."""
    what = f"{action.before} becomes {action.after}" if action.after else f"{action.before} goes"
    return f"{what}  (line {action.line}: {action.place})"


def _group(move: GroupMove) -> str:
    """Say what becomes of a membership."""
    joins = f"joins {move.joins}{' (new)' if move.makes else ''}" if move.joins else ""
    leaves = f"leaves {move.leaves}{' (which goes)' if move.removes else ''}" if move.leaves else ""
    again = "taken out by hand" if move.again else ""
    return ", ".join(filter(None, (leaves, joins, again)))


def _room(plan: Plan, style: Style) -> Iterator[str]:
    rows = room_rows(plan)
    if rows:
        yield "First, to make room:"
        for row in rows:
            yield from _file_lines(row, style)
        yield ""


def _leftovers(plan: Plan, style: Style) -> Iterator[str]:
    rows = leftover_rows(plan)
    if rows:
        yield "Afterwards, once llama-swap is healthy:"
        for row in rows:
            yield from _file_lines(row, style)
        yield ""


def _file_lines(row: FileRow, style: Style) -> Iterator[str]:
    """Give a file's line; where the terminal is narrow, its path shortened and the reason below."""
    size = "" if row.size_bytes is None else human_bytes(row.size_bytes)
    head = f"{_INDENT}{row.verb:<9} {size:>{_SIZE_COLUMNS}}  "
    why = f"({counted(row.count, 'file')}: {row.why})" if row.count > 1 else f"({row.why})"
    if style.width is None:
        yield f"{head}{row.path}  {why}"
        return
    room = style.width - len(head)
    if room - len(why) - 2 >= min(_PATH_COLUMNS, len(row.path)):
        yield f"{head}{shortened(row.path, room - len(why) - 2)}  {why}"
        return
    yield f"{head}{shortened(row.path, room)}"
    margin = " " * len(head)
    yield from textwrap.wrap(
        why, style.width, initial_indent=margin, subsequent_indent=f"{margin} "
    )


def _config_diff(plan: Plan, style: Style) -> Iterator[str]:
    if plan.config_path is None:
        yield "No llama-swap config is managed: files only (name one with --config PATH)."
        yield ""
        return
    if plan.config_after is None or plan.config_after == (plan.config_before or b""):
        return
    yield f"Config {plan.config_path}{_config_note(plan)}"
    yield from render_diff(
        diff_lines(plan.config_before or b"", plan.config_after), style, indent="  "
    )
    yield ""


def _config_note(plan: Plan) -> str:
    notes = []
    if plan.config_before is None:
        notes.append("a new file")
    if plan.llama_swap_version is not None:
        notes.append(f"checked for llama-swap {plan.llama_swap_version}")
    return f" ({', '.join(notes)})" if notes else ""


def _container(plan: Plan, runtime: RuntimeState) -> Iterator[str]:
    if plan.is_empty:
        return
    where = f" ({runtime.id[:12]} on {runtime.endpoint})" if runtime.id else ""
    yield f"Runtime: {plan.summary.container}{where}"
    yield ""


def _discovered(plan: Plan) -> Iterator[str]:
    """Give the models on the disk that nobody declares and that have no entry of our making."""
    left = [item for item in plan.discovered if item.model is None]
    if not left:
        return
    yield "On disk, and declared by no model:"
    for item in left:
        server = f"served by {item.served_by}" if item.served_by else None
        facts = (item.architecture, item.quant, server, item.problem)
        what = "  ".join(fact for fact in facts if fact)
        yield f"{_INDENT}{human_bytes(item.size_bytes):>{_SIZE_COLUMNS}}  {item.path}  {what}"
    yield ""


def _notes(plan: Plan, style: Style) -> Iterator[str]:
    for drift in plan.drift:
        yield f"{style('drift:', 'yellow')} {drift.model}: {drift.message}"
    for warning in plan.warnings:
        yield f"{style('warning:', 'yellow')} {warning}"
    for model, stall in plan.stalled.items():
        word = "waiting:" if stall.waiting else "stalled:"
        yield f"{style(word, 'red')} {model}: {stall.reason}"
        if stall.hint:
            yield f"         {stall.hint}"


def _refusals(plan: Plan, style: Style) -> Iterator[str]:
    for refusal in plan.refusals:
        yield f"{style('refused:', 'red')} {refusal.message}"
        yield f"         {refusal.hint}"
