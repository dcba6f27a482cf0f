"""What becomes of references once models went, were renamed, or lost a name.

A reference that led to a model follows it to its new name, and goes where the model is gone. What
cannot be edited without guessing what its author meant is told instead, and the plan is refused. So
is what could not come back: an entry that stood there before us is only lent, and what refers to it
must read as it did once the entry is given back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from reconciler.core.edits import ItemEdit, RemoveItem, RenameKey, SetItem
from reconciler.core.lent import Lent
from reconciler.core.llamaswap.macros import expand, macro_scope
from reconciler.core.llamaswap.matrix import rename_member
from reconciler.core.llamaswap.references import (
    BY_ID,
    Names,
    Reference,
    ReferenceKind,
    read_names,
    read_references,
)
from reconciler.core.llamaswap.shapes import Place, as_list, as_mapping, dig
from reconciler.core.values import Json

# llama-swap wants one target or pin at the least in each of these.
_NEVER_EMPTY = (ReferenceKind.SELECTOR, ReferenceKind.PIN)
_KEYS = (ReferenceKind.PRIORITY, ReferenceKind.MATRIX_COST)
_VALUES = (ReferenceKind.PIN, ReferenceKind.MATRIX_VARIABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """One reference that changes with the model it led to. `name` is its new one, None: it goes.

    `undo` is the edit that takes it back, where the entry is lent and must be given back some day.
    """

    reference: Reference
    model: str
    name: str | None
    edit: ItemEdit
    undo: ItemEdit | None = None

    def at(self, place: Place) -> Followed:
        """Give it with its edits naming `place`."""
        undo = self.undo
        if undo is not None:
            undo = replace(undo, place=(*place[:-1], undo.place[-1]))
        return replace(self, edit=replace(self.edit, place=place), undo=undo)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """One reference that nobody may edit but its author, and why."""

    reference: Reference
    model: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """All references that no longer lead where they did.

    `taken_over` are IDs that are gone and are now answered as another model's alias.
    """

    followed: tuple[Followed, ...] = ()
    stuck: tuple[Stuck, ...] = ()
    taken_over: Mapping[str, str] = field(default_factory=dict)

    @property
    def edits(self) -> tuple[ItemEdit, ...]:
        """What must be edited: each place once, by the last edit of it, which holds the others."""
        return tuple({item.edit.place: item.edit for item in self.followed}.values())


def follow(
    before: Mapping[str, Json],
    after: Mapping[str, Json],
    renamed: Mapping[str, str],
    lent: Mapping[str, Lent] | None = None,
) -> Following:
    """Compare what names lead to, and decide on each reference of `after` that this concerns.

    `renamed` gives the new ID of each model of `before` that has one, `lent` tells of those whose
    entry stood there before us. Places are those of `after`.
    """
    was, now = read_names(before), read_names(after)
    if all(now.answering.get(name) == model for name, model in was.answering.items()):
        return Following()
    follower = _Follower(
        before=before, after=after, renamed=renamed, lent=lent or {}, was=was, now=now
    )
    followed: list[Followed] = []
    stuck: list[Stuck] = []
    for reference in read_references(after):
        model = was.model_of(reference)
        borrower = follower.borrower(reference)
        if borrower is not None and borrower != model:
            why = f"it would lead to {borrower} by that, and could not come back"
            stuck.append(Stuck(reference=reference, model=borrower, why=why))
            continue
        if model is None or not follower.is_lost(reference, model):
            continue
        found = follower.decide(reference, model)
        if isinstance(found, Stuck):
            stuck.append(found)
        elif found is not None:
            followed.append(found)
    stuck += _emptied(followed, after)
    gone = was.ids - now.ids
    return Following(
        followed=tuple(followed),
        stuck=tuple(stuck),
        taken_over={
            key: now.answering[key] for key in sorted(gone) if _is_taken(key, now, renamed)
        },
    )


def _is_taken(model: str, now: Names, renamed: Mapping[str, str]) -> bool:
    """Whether another model answers to an ID that is gone; a renamed one may do so itself."""
    return now.answering.get(model) not in (None, renamed.get(model))


def _emptied(followed: Iterable[Followed], after: Mapping[str, Json]) -> Iterator[Stuck]:
    """Find what would take the last of something away that may not be empty."""
    going = [
        item
        for item in followed
        if item.reference.kind in _NEVER_EMPTY and isinstance(item.edit, RemoveItem)
    ]
    count = Counter(item.edit.place[:-1] for item in going)
    for item in going:
        if count[item.edit.place[:-1]] == len(_items(after, item.edit.place[:-1])):
            what = "pin" if item.reference.kind is ReferenceKind.PIN else "target"
            why = f"llama-swap wants one {what} there or more"
            yield Stuck(reference=item.reference, model=item.model, why=why)


def _items(data: Mapping[str, Json], place: Place) -> tuple[object, ...]:
    """Give the items of the list, or the keys of the mapping, at `place`."""
    found = dig(data, place)
    return tuple(as_list(found)) or tuple(map(str, as_mapping(found)))


@dataclass(slots=True, kw_only=True)
class _Follower:
    """Decides on one reference after the other, and remembers what it has given out."""

    before: Mapping[str, Json]
    after: Mapping[str, Json]
    renamed: Mapping[str, str]
    lent: Mapping[str, Lent]
    was: Names
    now: Names
    # Who of the lent gets which ID, that it cannot keep.
    borrowers: dict[str, str] = field(init=False)
    # The sets as they are edited so far, and every name that was written somewhere.
    sets: dict[Place, str] = field(default_factory=dict)
    given: set[Place] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.borrowers = {
            self.renamed[model]: model
            for model, lent in self.lent.items()
            if lent.is_away and model in self.renamed
        }

    def heir(self, model: str) -> str | None:
        """Give the ID the model has now, None where it is gone."""
        heir = self.renamed.get(model, model)
        return heir if heir in self.now.ids else None

    def borrower(self, reference: Reference) -> str | None:
        """Give the lent model that a reference leads to by the ID that the model gets now."""
        model = self.borrowers.get(self.now.model_of(reference) or "")
        return model if model and self.lent[model].must_come_back(reference) else None

    def is_lost(self, reference: Reference, model: str) -> bool:
        """Whether a reference that led to `model` does not any more, and was not meant to stop.

        Where an alias went over to another model, or another model's alias was waiting for the ID,
        the name goes on to be answered.
        """
        lands = self.now.model_of(reference)
        if lands is None:
            return not self.now.leads_elsewhere(reference)
        heir = self.heir(model)
        return heir not in (None, model, lands)

    def decide(self, reference: Reference, model: str) -> Followed | Stuck | None:
        """Say what becomes of a lost reference; None where it follows by itself."""
        heir = self.heir(model)
        if heir is None:
            return self._remove(reference, model)
        if reference.variable:
            # Its variable follows, and so does whoever names that.
            return None
        name = heir if reference.model == model else self._new_alias(reference.model, model, heir)
        if name is None:
            why = "that name stood for parameters of the model, which no other name has"
            return Stuck(reference=reference, model=model, why=why)
        if name == heir and self._stood_there(reference.model, model):
            why = "that name stood there before us, and what refers to it could not come back to it"
            return Stuck(reference=reference, model=model, why=why)
        followed = self._rename(reference, model, name)
        lent = self.lent.get(model)
        if heir == model or lent is None or not lent.must_come_back(reference):
            return followed
        if isinstance(followed, Stuck):
            return followed
        return self._to_come_back(followed, name)

    def _stood_there(self, alias: str, model: str) -> bool:
        """Whether an alias is one that a lent entry had before us."""
        if model not in self.lent:
            return False
        scope = macro_scope(self.before, model)
        return any(expand(text, scope) == alias for text in self.lent[model].aliases)

    def _to_come_back(self, followed: Followed, name: str) -> Followed | Stuck:
        """Add the edit that takes another back, unless nobody could tell where it came from."""
        reference, edit = followed.reference, followed.edit
        known = name in self.was.answering or name in self.was.peers
        if isinstance(edit, RemoveItem) or (known and reference.kind not in BY_ID):
            why = f"{name!r} leads somewhere already, and what refers to it could not come back"
            return Stuck(reference=reference, model=followed.model, why=why)
        undo: ItemEdit
        if isinstance(edit, RenameKey):
            undo = RenameKey(place=(*edit.place[:-1], edit.key), key=edit.place[-1])
        else:
            is_set = reference.kind is ReferenceKind.MATRIX_SET
            undo = SetItem(place=edit.place, value=reference.written if is_set else reference.name)
        return replace(followed, undo=undo)

    def _remove(self, reference: Reference, model: str) -> Followed | Stuck:
        if reference.kind is ReferenceKind.MATRIX_SET:
            return Stuck(reference=reference, model=model, why="the set would become another one")
        if reference.uses_macro:
            return _behind_macro(reference, model)
        edit = RemoveItem(place=reference.path)
        return Followed(reference=reference, model=model, name=None, edit=edit)

    def _rename(self, reference: Reference, model: str, name: str) -> Followed | Stuck:
        if reference.uses_macro:
            return _behind_macro(reference, model)
        if reference.kind is ReferenceKind.MATRIX_SET:
            return self._rename_in_set(reference, model, name)
        place = reference.path
        named = (*place[:-1], name)
        is_there = name in _items(self.after, place[:-1]) or named in self.given
        edit: ItemEdit
        if reference.kind in _VALUES:
            edit = SetItem(place=place, value=name)
        elif reference.kind in _KEYS:
            if is_there or self._is_variable(reference, name):
                why = f"{name!r} stands there for something of its own"
                return Stuck(reference=reference, model=model, why=why)
            edit = RenameKey(place=place, key=name)
        elif is_there:
            # One list does not name a model twice.
            edit = RemoveItem(place=place)
            return Followed(reference=reference, model=model, name=None, edit=edit)
        else:
            edit = SetItem(place=place, value=name)
        self.given.add(named)
        return Followed(reference=reference, model=model, name=name, edit=edit)

    def _rename_in_set(self, reference: Reference, model: str, name: str) -> Followed | Stuck:
        if self._is_variable(reference, name):
            why = f"{name!r} is a variable of that matrix"
            return Stuck(reference=reference, model=model, why=why)
        written = self.sets.get(reference.path, reference.written)
        text = rename_member(written, reference.name, name)
        if text is None:
            why = f"no set can name {name!r}: give it a variable"
            return Stuck(reference=reference, model=model, why=why)
        self.sets[reference.path] = text
        edit = SetItem(place=reference.path, value=text)
        return Followed(reference=reference, model=model, name=name, edit=edit)

    def _is_variable(self, reference: Reference, name: str) -> bool:
        if reference.kind not in (ReferenceKind.MATRIX_SET, ReferenceKind.MATRIX_COST):
            return False
        return name in as_mapping(dig(self.after, (*reference.path[:-2], "vars")))

    def _new_alias(self, alias: str, model: str, heir: str) -> str | None:
        """Give another name for what `alias` led to.

        An alias that is written as it was, with the ID in it by macro, has changed with the ID; one
        that is gone gives way to the ID. What `setParamsByID` makes has no such substitute.
        """
        old, new = macro_scope(self.before, model), macro_scope(self.after, heir)
        entry = as_mapping(dig(self.before, ("models", model)))
        kept = as_mapping(dig(self.after, ("models", heir)))
        params = ("filters", "setParamsByID")
        for section, still in (
            (as_list(entry.get("aliases")), as_list(kept.get("aliases"))),
            (tuple(as_mapping(dig(entry, params))), tuple(as_mapping(dig(kept, params)))),
        ):
            for text in map(str, section):
                if expand(text, old) == alias and text in map(str, still):
                    return expand(text, new)
        aliases = (expand(str(text), old) for text in as_list(entry.get("aliases")))
        return heir if alias in aliases else None


def _behind_macro(reference: Reference, model: str) -> Stuck:
    why = f"it is written as {reference.written!r}, and what the macro is used for is not known"
    return Stuck(reference=reference, model=model, why=why)
