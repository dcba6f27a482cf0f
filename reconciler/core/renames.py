"""Models under a new ID: the same bytes, the same pin, the same entry, and nothing fetched again.

A rename comes before everything else a plan decides. What was applied under the old ID is taken
over, and from there on the model is compared like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.core.actions import Rename
from reconciler.core.desired import Desired
from reconciler.core.edits import ConfigView, ItemEdit, RenameKey
from reconciler.core.ledger import Ledger, LedgerEntry, LedgerModel, Scaffold
from reconciler.core.llamaswap.problem import Problem
from reconciler.core.llamaswap.shapes import Place, as_mapping, dig
from reconciler.core.names import ModelId
from reconciler.core.ownership import owned_in
from reconciler.core.refusal import Refusal
from reconciler.core.yamltext.config import read_config, splice
from reconciler.errors import UnsafeEdit

_PARAMS = ("filters", "setParamsByID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Renaming:
    """Ledger and config as they are once models have their new IDs.

    `models` gives the new ID of each that is renamed, `entries` that of those whose entry is ours
    and goes with them. `view` is None where no config is managed. With `refusals` the config is as
    it was.
    """

    ledger: Ledger
    text: bytes
    view: ConfigView | None
    models: Mapping[ModelId, ModelId] = field(default_factory=dict)
    entries: Mapping[ModelId, ModelId] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()

    @property
    def actions(self) -> tuple[Rename, ...]:
        """What the plan says of it."""
        return tuple(
            Rename(
                model=new, old=old, reason="the manifest calls it so; nothing is fetched for that"
            )
            for old, new in self.models.items()
        )

    def owned_entry(self, model: str) -> LedgerEntry | None:
        """Give what the ledger has of a model's entry."""
        owned = self.ledger.models.get(ModelId(model))
        return owned.entry if owned else None

    def not_standing(
        self, problems: Iterable[Problem], before: Iterable[Problem]
    ) -> tuple[Problem, ...]:
        """Give the problems that an entry did not have under its old ID either."""
        known = {(item.rule, self._renamed(item.path)) for item in before} if self.entries else ()
        return tuple(item for item in problems if (item.rule, item.path) not in known)

    def _renamed(self, place: Place) -> Place:
        match place:
            case ("models", old, *rest) if old in self.entries:
                return ("models", self.entries[ModelId(old)], *rest)
        return place


def rename_models(
    desired: Desired, ledger: Ledger, config: bytes, path: str | None, view: ConfigView | None
) -> Renaming:
    """Give each model its new ID, in the ledger and as the key of its entry.

    A rename is due while the ledger has the old ID alone, and nobody declares that; and where the
    ID is declared that an entry had before us, and nobody declares its new one any more. An entry
    that somebody has renamed already, and that reads as we wrote it, is ours under its new name.
    One that was given back is not ours, and keeps its ID.
    """
    renamed = {
        old: new
        for new, old in desired.renames.items()
        if old in ledger.models
        and new not in ledger.models
        and old not in desired.models
        and old not in desired.stalled
    }
    renamed |= _back_to_first_names(desired, ledger, view, renamed)
    if not renamed:
        return Renaming(ledger=ledger, text=config, view=view)
    entries: dict[ModelId, ModelId] = {}
    edits: list[ItemEdit] = []
    away: dict[ModelId, Sequence[RenameKey]] = {}
    refusals: list[Refusal] = []
    models = {key: model for key, model in ledger.models.items() if key not in renamed}
    for old, new in renamed.items():
        model = replace(ledger.models[old], id=new, discovered=None)
        models[new] = model
        if view is None or path is None or model.entry is None:
            continue
        entries[old] = new
        if old not in view.models:
            models[new] = _renamed_by_hand(model, view)
        elif new in view.models:
            refusals.append(_taken(old, new, view, path))
        else:
            renames = rename_edits(old, new, view, model.entry)
            edits += renames
            models[new] = _with_original_key(model, old)
            if is_away(models[new].entry):
                away[old] = renames
    text = config
    if edits and view is not None and path is not None and not refusals:
        try:
            text = splice(config, path, edits, ledger.scaffold).text
            refusals += _for_good(away, config, path, view)
            view = read_config(text, path)
        except UnsafeEdit as unsafe:
            refusals.append(Refusal(message=unsafe.message, hint=unsafe.hint))
    return Renaming(
        ledger=replace(ledger, models=models),
        text=text,
        view=view,
        models=renamed,
        entries=entries,
        refusals=tuple(refusals),
    )


def is_away(entry: LedgerEntry | None) -> bool:
    """Whether the entry is somebody else's, and bears another ID than it will have without us."""
    return entry is not None and entry.original_key is not None


def _back_to_first_names(
    desired: Desired,
    ledger: Ledger,
    view: ConfigView | None,
    renamed: Mapping[ModelId, ModelId],
) -> dict[ModelId, ModelId]:
    """Find the models that go while a model comes under the ID that their entry had before us.

    A protected model does not go.
    """
    back: dict[ModelId, ModelId] = {}
    taken = {*renamed.values(), *(view.models if view else ())}
    staying = {*desired.models, *desired.stalled, *renamed}
    for key, model in ledger.models.items():
        if view is None or key in staying or model.protect or not is_away(model.entry):
            continue
        first = ModelId(str(model.entry and model.entry.original_key))
        known = ledger.models.get(first)
        is_free = first not in taken and (known is None or not (known.entry or known.protect))
        if key in view.models and first in desired.models and is_free:
            back[key] = first
            taken.add(first)
    return back


def _for_good(
    away: Mapping[ModelId, Sequence[RenameKey]], config: bytes, path: str, view: ConfigView
) -> list[Refusal]:
    """Refuse each rename of somebody else's entry that could not be undone to the byte."""

    def can_be_undone(edits: Sequence[RenameKey]) -> bool:
        return is_undone(config, path, edits, [_undo(edit) for edit in edits])

    if can_be_undone([edit for edits in away.values() for edit in edits]):
        return []
    return [
        Refusal(
            message=f"{path}:{view.models[old].line}: {old} stood there before us, and as it is "
            f"written it could not come back from {edits[0].key}, which needs quotes",
            hint=f"write {old} in quotes in that entry, or give the model another ID",
        )
        for old, edits in away.items()
        if not can_be_undone(edits)
    ]


def _undo(edit: RenameKey) -> RenameKey:
    """Give the edit that undoes one of `rename_edits`, made together with the others."""
    inner = (*edit.place[2:-1], edit.key) if len(edit.place) > 2 else ()
    return RenameKey(place=("models", edit.key, *inner), key=edit.place[1])


def is_undone(text: bytes, path: str, there: Sequence[ItemEdit], back: Sequence[ItemEdit]) -> bool:
    """Whether the edits `back` leave no trace of the edits `there` that come before them.

    Raises:
        UnsafeEdit: they would touch bytes that are not ours.
    """
    none = Scaffold()
    return splice(splice(text, path, there, none).text, path, back, none).text == text


def _renamed_by_hand(model: LedgerModel, view: ConfigView) -> LedgerModel:
    if model.id not in view.models:
        return model
    return owned_in(view, Ledger(models={model.id: model})).models[model.id]


def _taken(old: ModelId, new: ModelId, view: ConfigView, path: str) -> Refusal:
    return Refusal(
        message=f"{path}:{view.models[new].line}: {new} stands there already, "
        f"so {old} cannot be renamed to it",
        hint="take that entry out, or give the model another ID",
    )


def rename_edits(
    old: str, new: str, view: ConfigView, owned: LedgerEntry | None = None
) -> list[RenameKey]:
    """Give the edits that let an entry have another ID; `owned` is what of it is ours.

    Parameters for the model's own ID go with it, unless it is the manifest that sets them.
    """
    edits = [RenameKey(place=("models", old), key=new)]
    params = ("models", old, *_PARAMS)
    ours = owned.fields if owned is not None else {}
    if old in as_mapping(dig(view.data, params)) and _PARAMS[0] not in ours:
        edits.append(RenameKey(place=(*params, old), key=new))
    return edits


def _with_original_key(model: LedgerModel, old: ModelId) -> LedgerModel:
    """Remember what an entry that we did not make was called before us."""
    entry = model.entry
    if entry is None or entry.made:
        return model
    key = entry.original_key or old
    return replace(model, entry=replace(entry, original_key=key if key != model.id else None))
