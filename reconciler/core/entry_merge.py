"""One entry as it stands, laid beside what we last wrote: its edits, field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from reconciler.core import edits
from reconciler.core.entry_difference import EntryDifference, FieldChange, field_change
from reconciler.core.entry_drift import EntryDrift
from reconciler.core.ledger import LedgerEntry, LedgerField
from reconciler.core.llamaswap.capabilities import Contents
from reconciler.core.llamaswap.macros import macro_texts
from reconciler.core.llamaswap.patch import render_patch
from reconciler.core.llamaswap.render import render_cmd
from reconciler.core.llamaswap.serve_paths import ServePaths
from reconciler.core.manifest import Serve
from reconciler.core.names import ModelId
from reconciler.core.values import Json, same
from reconciler.core.yamltext.words import patched


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeContext:
    """What an entry is rendered with: the paths as llama-swap sees them, the server, its config.

    `config` is all that llama-swap reads. `contents` is what the model's files say, where that was
    read; `later` what is said of a new entry where it will be.
    """

    paths: ServePaths
    server: str
    config: Mapping[str, Json] = field(default_factory=dict)
    contents: Contents | None = None
    later: str = ""

    def macros(self, model: str) -> Mapping[str, str]:
        """Give the macros that hold in a model, as the texts that take their places."""
        return macro_texts(self.config, model)


class EntryMerge:
    """Gathers one entry's edits while its fields are walked through.

    `origin_of` tells where the manifest has a field from, for what is told of drift.
    """

    def __init__(
        self,
        *,
        model: ModelId,
        view: edits.EntryView,
        owned: LedgerEntry | None,
        origin_of: Callable[[str], str],
    ) -> None:
        self.model = model
        self.view = view
        self.owned: Mapping[str, LedgerField] = owned.fields if owned else {}
        self.made = owned.made if owned else False
        self.edits: list[edits.Edit] = []
        self.changes: list[FieldChange] = []
        self.warnings: list[str] = []
        self.origin_of = origin_of
        self.after: dict[str, LedgerField] = {}
        self.fresh: set[str] = set()

    @property
    def command(self) -> str:
        """The command as it will stand."""
        changed = {change.key: change.after for change in self.changes}
        current = self.view.fields.get("cmd")
        value = changed.get("cmd", current.value if current else None)
        return value if isinstance(value, str) else ""

    def declare(self, key: str, value: Json) -> None:
        """Enforce `value` whatever stands there."""
        current = self.view.fields.get(key)
        owned = self.owned.get(key)
        if current is not None and same(current.value, value):
            if owned is None:
                self.after[key] = LedgerField(value=value, found=True)
            elif owned.scaffold or owned.left is not None or not same(owned.value, value):
                self.after[key] = replace(owned, value=value, scaffold=False, left=None)
            else:
                self.after[key] = owned
            return
        self._change(key, value, edits.SetField(model=self.model, key=key, value=value), owned)

    def scaffold(self, key: str, value: Json) -> None:
        """Fill in `value` (None: nothing is known) in an entry of ours, unless somebody edited it.

        What is missing is filled in too, and what was declared until now is given back first.
        """
        current, owned = self.view.fields.get(key), self.owned.get(key)
        untouched = current is None or (owned is not None and same(current.value, owned.value))
        if value is not None and untouched:
            self.declare(key, value)
            self.after[key] = replace(self.after[key], scaffold=True)
        elif current is not None and owned is not None and owned.scaffold:
            self.after[key] = owned

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
            words = render_patch(owned.original_value, context.paths, context.macros(self.model))
            self.declare("cmd", patched(owned.original_value, words))
            return
        words = render_patch(current.value, context.paths, context.macros(self.model))
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
            self.changes.append(field_change(key, current.value, owned.original_value))

    def difference(self) -> EntryDifference:
        """Give what was gathered."""
        drift = tuple(self._drift())
        changed = {change.key for change in self.changes}
        for item in drift:
            if item.kept and item.key in self.after and item.key not in changed:
                current = self.view.fields[item.key].value
                if not same(self.after[item.key].value, current):
                    self.after[item.key] = replace(self.after[item.key], left=current)
        return EntryDifference(
            model=self.model,
            edits=tuple(self.edits),
            changes=tuple(self.changes),
            drift=drift,
            warnings=tuple(self.warnings),
            after=LedgerEntry(made=self.made, fields=self.after),
            fresh=frozenset(self.fresh),
        )

    def _drift(self) -> Iterator[EntryDrift]:
        """Tell what somebody made of our fields, once where it stays."""
        written = {
            edit.key for edit in self.edits if isinstance(edit, edits.SetField | edits.RestoreField)
        }
        for key, ours in self.owned.items():
            current = self.view.fields.get(key)
            if ours.found and key not in self.after:
                continue
            kept = key not in written
            if current is None:
                is_told = not kept
            elif same(current.value, ours.value):
                is_told = False
            else:
                is_told = not (kept and ours.left is not None and same(current.value, ours.left))
            if is_told:
                origin = "found" if ours.found else self.origin_of(key)
                yield EntryDrift.of(key, current, ours.value, origin=origin, kept=kept)

    def _change(self, key: str, value: Json, edit: edits.Edit, owned: LedgerField | None) -> None:
        current = self.view.fields.get(key)
        before = current.value if current else None
        self.edits.append(edit)
        self.changes.append(field_change(key, before, value))
        if owned is not None and not owned.found:
            self.after[key] = replace(owned, value=value, scaffold=False, left=None)
        else:
            self.after[key] = LedgerField(value=value, original_value=before)
            self.fresh.add(key)
