"""Who owns which field of a config entry, and what that means for it.

Three states meet here, field by field: what the manifest declares, what stands in the file, and
what we last wrote. A declared field is enforced. A field we wrote and no longer declare gives back
the text that stood there before us, unless somebody edited it since. All else is not ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.core import edits
from reconciler.core.ledger import Ledger, LedgerEntry, LedgerField, Scaffold
from reconciler.core.llamaswap.patch import render_patch
from reconciler.core.llamaswap.render import render_cmd, render_entry
from reconciler.core.llamaswap.serve_paths import ServePaths
from reconciler.core.manifest import Serve
from reconciler.core.values import Json, same
from reconciler.core.yamltext.words import patched


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field that a plan changes, for people: its values before and after (None: absent)."""

    key: str
    before: Json
    after: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDifference:
    """What must happen to one entry, and what the ledger will say of it afterwards.

    `after` is None where the entry is no longer ours. `fresh` names the fields of `after` whose
    original text only the splice can tell; `with_originals` fills them in.
    """

    model: str
    edits: tuple[edits.Edit, ...] = ()
    changes: tuple[FieldChange, ...] = ()
    drift: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    after: LedgerEntry | None = None
    fresh: frozenset[str] = field(default_factory=frozenset)

    def with_originals(self, originals: Mapping[tuple[str, str], str | None]) -> LedgerEntry | None:
        """Give the ledger's entry, with the texts that the splice has replaced."""
        if self.after is None:
            return None
        fields = {
            key: replace(owned, original=originals[self.model, key]) if key in self.fresh else owned
            for key, owned in self.after.fields.items()
        }
        return replace(self.after, fields=fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeContext:
    """What an entry is rendered with: the paths as llama-swap sees them, the server, the macros."""

    paths: ServePaths
    server: str
    macros: Mapping[str, str] = field(default_factory=dict)


def enforce_entry(
    model: str,
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
    merge = _Merge(model=model, view=view, owned=owned)
    if serve.args is None and serve.cmd is None:
        merge.command_paths(serve, context)
    else:
        merge.declare("cmd", render_cmd(serve, context.paths, context.server))
    for key, value in serve.fields.items():
        if value is not None:
            merge.declare(key, value)
    merge.give_back_undeclared()
    return merge.difference()


def scaffold_entry(
    model: str,
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
    merge = _Merge(model=model, view=view, owned=owned)
    for key, value in fields.items():
        current, ours = view.fields.get(key), owned.fields.get(key) if owned else None
        if current is None or (ours is not None and same(current.value, ours.value)):
            merge.declare(key, value)
        elif ours is not None:
            merge.after[key] = ours
    return replace(merge.difference(), drift=())


def withdraw_entry(
    model: str, *, view: edits.EntryView | None, owned: LedgerEntry | None
) -> EntryDifference:
    """Compare one model that should no longer be served with its entry as it stands."""
    if view is None or owned is None:
        return EntryDifference(model=model)
    if owned.made:
        return EntryDifference(
            model=model,
            edits=(edits.RemoveEntry(model=model),),
            drift=_edited(view, owned),
        )
    merge = _Merge(model=model, view=view, owned=owned)
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
        else replace(model, entry=None)
        for key, model in ledger.models.items()
    }
    moved = any(model.entry for model in models.values())
    return replace(ledger, models=models, scaffold=ledger.scaffold if moved else Scaffold())


def _is_as_written(owned: LedgerEntry, view: edits.EntryView | None) -> bool:
    return view is not None and all(
        key in view.fields and same(view.fields[key].value, ours.value)
        for key, ours in owned.fields.items()
    )


def _make(
    model: str, serve: Serve, context: ServeContext, *, owned: LedgerEntry | None
) -> EntryDifference:
    return _added(model, render_entry(serve, context.paths, context.server), owned=owned)


def _added(model: str, fields: Mapping[str, Json], *, owned: LedgerEntry | None) -> EntryDifference:
    return EntryDifference(
        model=model,
        edits=(edits.AddEntry(model=model, fields=fields),),
        changes=tuple(FieldChange(key=key, before=None, after=fields[key]) for key in fields),
        drift=("its entry was taken out of the config by hand",) if owned else (),
        after=LedgerEntry(
            made=True, fields={key: LedgerField(value=value) for key, value in fields.items()}
        ),
    )


def _edited(view: edits.EntryView, owned: LedgerEntry) -> tuple[str, ...]:
    return tuple(
        f"{key} was edited by hand (line {view.fields[key].line})"
        for key, ours in owned.fields.items()
        if key in view.fields and not same(view.fields[key].value, ours.value)
    )


class _Merge:
    """Gathers one entry's edits while its fields are walked through."""

    def __init__(self, *, model: str, view: edits.EntryView, owned: LedgerEntry | None) -> None:
        self.model = model
        self.view = view
        self.owned: Mapping[str, LedgerField] = owned.fields if owned else {}
        self.made = owned.made if owned else False
        self.edits: list[edits.Edit] = []
        self.changes: list[FieldChange] = []
        self.warnings: list[str] = []
        self.drift = _edited(view, owned) if owned else ()
        self.after: dict[str, LedgerField] = {}
        self.fresh: set[str] = set()

    def declare(self, key: str, value: Json) -> None:
        """Enforce `value` whatever stands there."""
        current = self.view.fields.get(key)
        owned = self.owned.get(key)
        if current is not None and same(current.value, value):
            self.after[key] = (
                replace(owned, value=value) if owned else LedgerField(value=value, found=True)
            )
            return
        self._change(key, value, edits.SetField(model=self.model, key=key, value=value), owned)

    def command_paths(self, serve: Serve, context: ServeContext) -> None:
        """Enforce only the paths in a command that nobody declares.

        What we wrote and nobody touched is derived anew; what somebody wrote is patched in place.
        """
        current = self.view.fields.get("cmd")
        if current is None or not isinstance(current.value, str):
            self.declare("cmd", render_cmd(serve, context.paths, context.server))
            return
        owned = self.owned.get("cmd")
        untouched = owned is not None and not owned.found and same(owned.value, current.value)
        if untouched and self.made:
            self.declare("cmd", render_cmd(serve, context.paths, context.server))
            return
        if owned is not None and untouched and isinstance(owned.original_value, str):
            words = render_patch(owned.original_value, context.paths, context.macros)
            self.declare("cmd", patched(owned.original_value, words))
            return
        words = render_patch(current.value, context.paths, context.macros)
        if words:
            patch = edits.PatchField(model=self.model, key="cmd", words=words)
            self._change("cmd", patched(current.value, words), patch, None)
        else:
            found = LedgerField(value=current.value, found=True)
            self.after["cmd"] = found if owned is None or owned.found else owned

    def give_back_undeclared(self) -> None:
        """Put back what stood before us in every field of ours that is not declared any more."""
        for key, owned in self.owned.items():
            current = self.view.fields.get(key)
            if key in self.after or owned.found or current is None:
                continue
            if not same(current.value, owned.value):
                self.warnings.append(
                    f"{self.model}: {key} was edited by hand (line {current.line}), so it stays"
                )
                continue
            self.edits.append(
                edits.RestoreField(model=self.model, key=key, original=owned.original)
            )
            self.changes.append(
                FieldChange(key=key, before=current.value, after=owned.original_value)
            )

    def difference(self) -> EntryDifference:
        """Give what was gathered."""
        return EntryDifference(
            model=self.model,
            edits=tuple(self.edits),
            changes=tuple(self.changes),
            drift=self.drift,
            warnings=tuple(self.warnings),
            after=LedgerEntry(made=self.made, fields=self.after),
            fresh=frozenset(self.fresh),
        )

    def _change(self, key: str, value: Json, edit: edits.Edit, owned: LedgerField | None) -> None:
        current = self.view.fields.get(key)
        before = current.value if current else None
        self.edits.append(edit)
        self.changes.append(FieldChange(key=key, before=before, after=value))
        if owned is not None and not owned.found:
            self.after[key] = replace(owned, value=value)
        else:
            self.after[key] = LedgerField(value=value, original_value=before)
            self.fresh.add(key)
