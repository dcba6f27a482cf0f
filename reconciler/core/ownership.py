"""Who owns which field of a config entry, and what that means for it.

Three states meet here, field by field: what the manifest declares, what stands in the file, and
what we last wrote. A declared field is enforced. A field we wrote and no longer declare gives back
the text that stood there before us, unless somebody edited it since. All else is not ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from reconciler.core import edits
from reconciler.core.entry_difference import EntryDifference, FieldChange, field_change
from reconciler.core.entry_drift import EntryDrift
from reconciler.core.entry_merge import EntryMerge, ServeContext
from reconciler.core.ledger import Ledger, LedgerEntry, LedgerField, Scaffold
from reconciler.core.llamaswap.capabilities import capabilities_of
from reconciler.core.llamaswap.render import render_cmd, render_entry
from reconciler.core.manifest import Serve
from reconciler.core.names import ModelId
from reconciler.core.values import Json, same

__all__ = [
    "EntryDifference",
    "FieldChange",
    "ServeContext",
    "enforce_entry",
    "owned_in",
    "scaffold_entry",
    "withdraw_entry",
]


def enforce_entry(
    model: ModelId,
    serve: Serve,
    context: ServeContext,
    *,
    view: edits.EntryView | None,
    owned: LedgerEntry | None,
) -> EntryDifference:
    """Compare one model that should be served with its entry as it stands.

    Raises:
        Refused: the command's paths are hidden behind a macro, or cannot be expressed.
    """
    if view is None:
        return _make(model, serve, context, owned=owned)
    merge = EntryMerge(model=model, view=view, owned=owned, origin_of=partial(_origin, serve))
    if serve.args is None and serve.cmd is None:
        merge.command_paths(serve, context)
    else:
        merge.declare("cmd", render_cmd(serve, context.paths, context.server))
    for key, value in serve.fields.items():
        if value is not None:
            merge.declare(key, value)
    if merge.made and "capabilities" not in serve.fields:
        merge.scaffold("capabilities", _capabilities(model, context, merge.command))
    merge.give_back_undeclared()
    return merge.difference()


def scaffold_entry(
    model: ModelId,
    fields: Mapping[str, Json],
    *,
    view: edits.EntryView | None,
    owned: LedgerEntry | None,
) -> EntryDifference:
    """Compare an entry that we make unasked with what stands there.

    A field that is missing is filled in, one that stands as we wrote it follows `fields`, and one
    that somebody edited stays. Where `view` is there it must be `owned`.
    """
    if view is None:
        return _added(model, fields, owned=owned)
    merge = EntryMerge(
        model=model,
        view=view,
        owned=owned,
        origin_of=lambda key: "discovered" if key in fields else "",
    )
    for key, value in fields.items():
        current, ours = view.fields.get(key), owned.fields.get(key) if owned else None
        if current is None or (ours is not None and same(current.value, ours.value)):
            merge.declare(key, value)
        elif ours is not None:
            merge.after[key] = ours
    return merge.difference()


def withdraw_entry(
    model: ModelId, *, view: edits.EntryView | None, owned: LedgerEntry | None
) -> EntryDifference:
    """Compare one model that should no longer be served with its entry as it stands."""
    if view is None or owned is None:
        return EntryDifference(model=model)
    if owned.made:
        return EntryDifference(
            model=model,
            edits=(edits.RemoveEntry(model=model),),
            drift=tuple(_lost(view, owned)),
            warnings=tuple(_lost_with_it(view, owned)),
        )
    merge = EntryMerge(model=model, view=view, owned=owned, origin_of=lambda _: "")
    merge.give_back_undeclared()
    return replace(merge.difference(), after=None)


def owned_in(view: edits.ConfigView, ledger: Ledger) -> Ledger:
    """Give what of `ledger` holds for another config than the one it was written for.

    An entry that reads there as we wrote it has moved with its file, and stays ours. Any other is
    somebody else's, whatever its name.
    """
    models = {
        key: model
        if model.entry and _is_as_written(model.entry, view.models.get(key))
        else replace(model, entry=None, group=None)
        for key, model in ledger.models.items()
    }
    moved = any(model.entry for model in models.values())
    return replace(ledger, models=models, scaffold=ledger.scaffold if moved else Scaffold())


def _is_as_written(owned: LedgerEntry, view: edits.EntryView | None) -> bool:
    return view is not None and all(
        key in view.fields
        and same(view.fields[key].value, ours.value if ours.left is None else ours.left)
        for key, ours in owned.fields.items()
    )


def _make(
    model: ModelId, serve: Serve, context: ServeContext, *, owned: LedgerEntry | None
) -> EntryDifference:
    fields = render_entry(serve, context.paths, context.server)
    cmd = fields["cmd"]
    told = _capabilities(model, context, cmd if isinstance(cmd, str) else "")
    if "capabilities" in serve.fields:
        return _added(model, fields, owned=owned)
    if told is None:
        return replace(_added(model, fields, owned=owned), later=context.later)
    added = _added(model, {**fields, "capabilities": told}, owned=owned)
    assert added.after is not None
    scaffolded = {"capabilities": LedgerField(value=told, scaffold=True)}
    return replace(added, after=replace(added.after, fields={**added.after.fields, **scaffolded}))


def _added(
    model: ModelId, fields: Mapping[str, Json], *, owned: LedgerEntry | None
) -> EntryDifference:
    return EntryDifference(
        model=model,
        edits=(edits.AddEntry(model=model, fields=fields),),
        changes=tuple(field_change(key, None, fields[key]) for key in fields),
        drift=(EntryDrift(key=None),) if owned else (),
        after=LedgerEntry(
            made=True, fields={key: LedgerField(value=value) for key, value in fields.items()}
        ),
    )


def _capabilities(model: ModelId, context: ServeContext, cmd: str) -> Mapping[str, Json] | None:
    if context.contents is None:
        return None
    return capabilities_of(context.contents, cmd, context.macros(model))


def _origin(serve: Serve, key: str) -> str:
    """Give where a field of an entry comes from."""
    if key == "cmd":
        command = (serve.origins.get("cmd"), serve.origins.get("args"))
        return ", ".join(dict.fromkeys(item for item in command if item)) or "model"
    if key == "capabilities" and key not in serve.fields:
        return "file"
    return serve.origins.get(key, "")


def _lost(view: edits.EntryView, owned: LedgerEntry) -> Iterator[EntryDrift]:
    """Tell what somebody edited in an entry that goes."""
    for key, ours in owned.fields.items():
        current = view.fields.get(key)
        if current is not None and not same(current.value, ours.value):
            origin = "found" if ours.found else ""
            yield EntryDrift.of(key, current, ours.value, origin=origin)


def _lost_with_it(view: edits.EntryView, owned: LedgerEntry) -> Iterator[str]:
    """Warn of what somebody added to an entry that goes."""
    for key, current in view.fields.items():
        if key not in owned.fields:
            yield f"{view.model}: {key} (line {current.line}) is not ours, and goes with its entry"
