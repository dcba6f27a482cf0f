"""What must happen to one entry of llama-swap's config, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.core import edits
from reconciler.core.edits import ConfigView
from reconciler.core.entry_drift import EntryDrift, without_secrets
from reconciler.core.ledger import LedgerEntry
from reconciler.core.llamaswap.groups import GroupMove
from reconciler.core.llamaswap.problem import Problem
from reconciler.core.names import ModelId
from reconciler.core.refusal import Refusal
from reconciler.core.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field that a plan changes, for people: its values before and after (None: absent).

    Values of environment variables are left out of both.
    """

    key: str
    before: Json
    after: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryDifference:
    """What must happen to one entry, and what the ledger will say of it afterwards.

    `after` is None where the entry is no longer ours. `fresh` names the fields of `after` whose
    original text only the splice can tell; `with_originals` fills them in. `group` is what becomes
    of the model's membership of a group, None where nothing does. `place` is where the manifest
    declares the model, as `path:line`. `later` tells of what is written once the model's bytes are
    here and can be read.
    """

    model: ModelId
    place: str = ""
    edits: tuple[edits.Edit, ...] = ()
    changes: tuple[FieldChange, ...] = ()
    drift: tuple[EntryDrift, ...] = ()
    later: str = ""
    warnings: tuple[str, ...] = ()
    after: LedgerEntry | None = None
    fresh: frozenset[str] = field(default_factory=frozenset)
    group: GroupMove | None = None

    def with_originals(self, originals: Mapping[tuple[str, str], str | None]) -> LedgerEntry | None:
        """Give the ledger's entry, with the texts that the splice has replaced."""
        if self.after is None or not self.fresh:
            return self.after
        fields = {
            key: replace(owned, original=originals[self.model, key]) if key in self.fresh else owned
            for key, owned in self.after.fields.items()
        }
        return replace(self.after, fields=fields)

    def reason(self, otherwise: str) -> str:
        """Say why the entry changes: what others did to it, else `otherwise`."""
        drift = "; ".join(item.message for item in self.drift if not item.kept)
        return f"{drift or otherwise}; {self.later}" if self.later else drift or otherwise

    def refusal(self, problem: Problem, view: ConfigView) -> Refusal:
        """Refuse the edits for `problem`, which they would bring into the entry as it is in `view`.

        What an entry gets back was not written by the manifest, so mending that would not help.
        """
        back = [edit.key for edit in self.edits if isinstance(edit, edits.RestoreField)]
        key = problem.path[2] if len(problem.path) > 2 else ""
        if back and (key in back or self.after is None):
            key = key if key in back else back[0]
            line = view.models[self.model].fields[key].line
            return Refusal(
                message=f"{self.model}: llama-swap would refuse the text that stood there before "
                f"us: {problem.message}",
                hint=f"edit {key} of {self.model} (line {line} of the config) by hand into what "
                "llama-swap loads: what is edited stays, and is not given back",
            )
        place = f"{self.place}: " if self.place else ""
        return Refusal(
            message=f"{place}llama-swap would refuse the config: {problem.message}",
            hint=f"mend `serve{f'.{key}' if key else ''}` of {self.model} in the manifest",
        )


def field_change(key: str, before: Json, after: Json) -> FieldChange:
    """Tell of one field that a plan changes."""
    return FieldChange(
        key=key, before=without_secrets(key, before), after=without_secrets(key, after)
    )
