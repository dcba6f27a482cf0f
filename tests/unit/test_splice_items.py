"""Pairs and items at any place of a config: added, taken out, renamed, given another text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import assume, event, given
from hypothesis import strategies as st

from reconciler.core.edits import (
    AddEntry,
    AddItem,
    Edit,
    ItemEdit,
    RemoveEntry,
    RemoveItem,
    RenameKey,
    RestoreField,
    SetField,
    SetItem,
)
from reconciler.core.ledger import Scaffold
from reconciler.core.llamaswap.shapes import Place
from reconciler.core.values import Json
from reconciler.core.yamltext.config import read_config, splice
from reconciler.core.yamltext.outcome import identical
from reconciler.errors import UnsafeEdit
from tests.support.cells import edited, places_in
from tests.support.corpus import each_config
from tests.support.searching import trying
from tests.support.splice_configs import VALUES, routed_configs

NAMES = st.sampled_from(("new", "org/new:Q4_K_M", "7b-x", "on", "7", "a b", "it's", 'q"q', "é", ""))
A_TEXT: Json = "a new:one"
A_GROUP: Json = {"swap": True, "members": ["x", "7"]}
TEXTS = st.one_of(NAMES, st.sampled_from(("x & y", "a\nb\n", " lead", "# no", "[x]", "*x")))


def values_of(data: bytes) -> Mapping[str, Json]:
    """Read a config's values."""
    return read_config(data, "config.yaml").data


def gone(old: bytes, new: bytes) -> bytes:
    """Give the one run of bytes that `old` has where `new` has another, or none."""
    short = min(len(old), len(new))
    start = next((at for at in range(short) if old[at] != new[at]), short)
    end = next((at for at in range(short - start) if old[-1 - at] != new[-1 - at]), short - start)
    return old[start : len(old) - end]


def end_of(holder: Json, key: str) -> str:
    """Give the last part of the place where something new goes in a holder."""
    return str(len(holder)) if isinstance(holder, list) else "0" if key == "0" else key


def holders_in(values: Json) -> list[tuple[Place, Json]]:
    """Give every mapping, list and null with its place, those below `models` less often."""
    return [
        (place, value)
        for place, value in places_in(values)
        if value is None or isinstance(value, Mapping | list)
    ]


@st.composite
def additions_to(draw: st.DrawFn, values: Mapping[str, Json]) -> AddItem:
    """Draw something new for a list, a mapping or a null of a config."""
    place, holder = draw(st.sampled_from(holders_in(values)))
    key = draw(st.one_of(st.just("0"), NAMES)) if holder is None else draw(NAMES)
    assume(not isinstance(holder, Mapping) or key not in holder)
    assume(place != ("models",) or isinstance(holder, Mapping) or key != "0")
    return AddItem(place=(*place, end_of(holder, key)), value=draw(st.one_of(NAMES, VALUES)))


@st.composite
def edits_to(draw: st.DrawFn, values: Mapping[str, Json]) -> ItemEdit:
    """Draw an edit of any kind for a config."""
    places = [(place, value) for place, value in places_in(values) if place]
    assume(places)
    place, value = draw(st.sampled_from(places))
    kinds = ["remove", "add"]
    kinds += [] if isinstance(value, Mapping | list) else ["set"]
    kinds += ["rename"] if isinstance(holder_at(values, place), Mapping) else []
    match draw(st.sampled_from(kinds)):
        case "remove":
            assume(place != ("models",))
            return RemoveItem(place=place)
        case "set":
            assume(place != ("models",))
            return SetItem(place=place, value=draw(TEXTS))
        case "rename":
            key = draw(NAMES)
            holder = holder_at(values, place)
            assume(place != ("models",) and isinstance(holder, Mapping) and key not in holder)
            return RenameKey(place=place, key=key)
        case _:
            return draw(additions_to(values))


def holder_at(values: Json, place: Place) -> Json:
    """Give what holds the value at a place."""
    for part in place[:-1]:
        values = values[int(part)] if isinstance(values, list) else values[part]  # type: ignore[index,call-overload]
    return values


def are_apart(edits: Sequence[ItemEdit]) -> bool:
    """Whether no edit names what another one changes, and no two make one key."""
    made_keys = [
        (*edit.place[:-1], edit.key) if isinstance(edit, RenameKey) else edit.place
        for edit in edits
        if isinstance(edit, AddItem | RenameKey)
    ]
    nested = any(
        one is not other and one.place[: len(other.place)] == other.place
        for other in edits
        for one in edits
        if isinstance(other, RemoveItem | SetItem)
        and not (one.place == other.place and isinstance(one, RenameKey))
    )
    lists = [place for place in made_keys if place[-1].isdecimal()]
    keys = [place for place in made_keys if not place[-1].isdecimal()]
    mixed = any(place[:-1] == key[:-1] for place in lists for key in keys)
    return not nested and not mixed and len(set(keys)) == len(keys)


@trying(60)
@given(routed_configs(), st.data())
def test_the_edits_of_one_splice_make_exactly_what_they_say(
    old: bytes, data: st.DataObject
) -> None:
    """Several edits at any places: the values are those the edits name, or nothing is changed.

    The order they are given in makes no difference but for the order of what is added.
    """
    values = values_of(old)
    edits = data.draw(st.lists(edits_to(values), min_size=1, max_size=5))
    assume(are_apart(edits))
    try:
        new = splice(old, "config.yaml", edits, Scaffold()).text
    except UnsafeEdit as refusal:
        event(f"refused: {refusal.faults[0].message[-24:]}")
        return
    event("done")
    assert identical(values_of(new), edited(values, edits))
    others = [edit for edit in edits if not isinstance(edit, AddItem)]
    shuffled = data.draw(st.permutations(others))
    added = [edit for edit in edits if isinstance(edit, AddItem)]
    assert splice(old, "config.yaml", [*added, *shuffled], Scaffold()).text == new


@trying(60)
@given(routed_configs(), st.data())
def test_what_was_added_goes_without_a_trace(old: bytes, data: st.DataObject) -> None:
    """Additions at any places, together or after one another, and then their removals: old bytes.

    The text of what was filled comes back from `filled`. Models are added and set beside them.
    """
    values = values_of(old)
    edits = data.draw(st.lists(additions_to(values), min_size=1, max_size=3))
    assume(are_apart(edits))
    beside: list[Edit] = [AddEntry(model="ours", fields={"cmd": "run\n"})]
    models = values.get("models")
    if isinstance(models, Mapping) and "b-1.5" in models:
        beside.append(SetField(model="b-1.5", key="unknown", value=["x"]))
    beside = data.draw(st.sampled_from(([], beside)))
    assume(not beside or all(edit.place[0] != "models" for edit in edits))
    try:
        new = splice(old, "config.yaml", data.draw(st.permutations([*beside, *edits])), Scaffold())
    except UnsafeEdit as refusal:
        event(f"refused: {refusal.faults[0].message[-24:]}")
        return
    event("done" + " beside models" * bool(beside))
    undo: list[Edit] = [
        RemoveItem(place=place, empty=new.filled.get(place[:-1]))
        for place in places_of_new(values, edits)
    ]
    undo += [RemoveEntry(model="ours")] if beside else []
    undo += [
        RestoreField(model=model, key=key, original=original)
        for (model, key), original in new.originals.items()
    ]
    back = splice(new.text, "config.yaml", data.draw(st.permutations(undo)), new.scaffold)
    assert back.text == old
    assert back.scaffold == Scaffold()


def places_of_new(values: Mapping[str, Json], edits: Sequence[AddItem]) -> list[Place]:
    """Give where the added stand afterwards: those of one list, one behind the other."""
    counts: dict[Place, int] = {}
    places = []
    for edit in edits:
        at, part = edit.place[:-1], edit.place[-1]
        holder = holder_at(values, edit.place)
        if isinstance(holder, list) or (holder is None and part == "0"):
            part = str(int(part) + counts.get(at, 0))
            counts[at] = counts.get(at, 0) + 1
        places.append((*at, part))
    return places


@trying(60)
@given(routed_configs(), st.data())
def test_a_rename_changes_a_key_and_there_and_back_nothing(old: bytes, data: st.DataObject) -> None:
    """A rename touches one line, and no byte of it but the key; another one back, none at all."""
    values = values_of(old)
    places = [
        place
        for place, _ in places_in(values)
        if place and place != ("models",) and isinstance(holder_at(values, place), Mapping)
    ]
    assume(places)
    place = data.draw(st.sampled_from(places))
    key = data.draw(NAMES)
    there = RenameKey(place=place, key=key)
    try:
        done = splice(old, "config.yaml", [there], Scaffold())
    except UnsafeEdit as refusal:
        event(f"refused: {refusal.faults[0].message[-24:]}")
        return
    event("done")
    new = done.text
    pairs = zip(old.splitlines(keepends=True), new.splitlines(keepends=True), strict=True)
    ((before, after),) = [(one, other) for one, other in pairs if one != other]
    assert gone(before, after).decode(errors="ignore") in f"'\"{place[-1]}'\""
    back = RenameKey(place=(*place[:-1], key), key=place[-1], written=done.renamed[place])
    assert splice(new, "config.yaml", [back], Scaffold()).text == old


@trying(60)
@given(routed_configs(), st.data())
def test_one_edit_changes_one_run_of_bytes(old: bytes, data: st.DataObject) -> None:
    """What goes is one run of whole lines or of one holder's text; a text set, one within its own.

    So comments, blank lines and neighbours keep every byte.
    """
    values = values_of(old)
    edit = data.draw(edits_to(values))
    assume(isinstance(edit, RemoveItem | SetItem))
    holder = holder_at(values, edit.place)
    assume(isinstance(holder, Mapping | list) and len(holder) > 1)
    try:
        new = splice(old, "config.yaml", [edit], Scaffold()).text
    except UnsafeEdit:
        return
    run = gone(old, new)
    if isinstance(edit, RemoveItem):
        assert len(run) == len(old) - len(new)
    shown = [
        str(part).encode()
        for place, _ in places_in(values)
        for part in place
        if part.isalpha() and place[: len(edit.place)] != edit.place and len(part) > 3
    ]
    names = {name for name in shown if old.count(name) == 1}
    assert not any(name in run for name in names)


def spread(places: list[tuple[Place, Json]], count: int) -> list[tuple[Place, Json]]:
    """Give so many of the places at most, from all parts of a config."""
    return places[:: -(-len(places) // count)]


@each_config()
def test_every_place_of_a_real_config_can_be_edited(config: Path) -> None:
    """Each pair and item is taken out, renamed and set: exactly that, or refused for a reason."""
    old = config.read_bytes()
    values = values_of(old)
    # The last one: a comment below what goes would be read into a block above it.
    reasons = ("anchor &", "alias *", "merge key", "comment stands here", "already", "is meant")
    for place, value in spread(list(places_in(values))[1:], 10):
        holder = holder_at(values, place)
        edits: list[ItemEdit] = [RemoveItem(place=place)] if len(place) > 1 else []
        edits += [SetItem(place=place, value="x: y")] if isinstance(value, str) else []
        edits += [RenameKey(place=place, key="new")] if isinstance(holder, Mapping) else []
        for edit in edits if place != ("models",) else []:
            try:
                new = splice(old, config.name, [edit], Scaffold()).text
            except UnsafeEdit as refusal:
                if not any(reason in refusal.message for reason in reasons):
                    raise
                continue
            assert identical(values_of(new), edited(values, [edit]))
            if isinstance(edit, RenameKey):
                back = RenameKey(place=(*place[:-1], "new"), key=place[-1])
                assert splice(new, config.name, [back], Scaffold()).text == old


@each_config()
def test_every_holder_of_a_real_config_takes_something_and_gives_it_back(config: Path) -> None:
    """A pair or item added to any mapping or list goes again with the old bytes left."""
    old = config.read_bytes()
    values = values_of(old)
    reasons = ("anchor &", "alias *", "merge key", "ends the text")
    for place, holder in spread(holders_in(values), 8):
        for value in (A_TEXT, A_GROUP):
            at = (*place, end_of(holder, "new"))
            try:
                new = splice(old, config.name, [AddItem(place=at, value=value)], Scaffold())
            except UnsafeEdit as refusal:
                if not any(reason in refusal.message for reason in reasons):
                    raise
                continue
            undo = RemoveItem(place=at, empty=new.filled.get(place))
            assert splice(new.text, config.name, [undo], Scaffold()).text == old
