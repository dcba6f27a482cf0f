"""What holds for any config and any edits, tried on configs made up at random."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import assume, event, given
from hypothesis import strategies as st

from reconciler.core.edits import (
    AddEntry,
    ConfigView,
    Edit,
    PatchField,
    RemoveEntry,
    RestoreField,
    SetField,
)
from reconciler.core.ledger import Scaffold
from reconciler.core.values import Json
from reconciler.core.yamltext.config import Spliced, read_config, splice
from reconciler.core.yamltext.outcome import identical
from reconciler.errors import ConfigUnreadable, UnsafeEdit
from tests.support.searching import trying
from tests.support.splice_configs import VALUES, WORD, configs

FIELDS = st.dictionaries(
    st.sampled_from(("cmd", "ttl", "name", "aliases", "filters")), VALUES, min_size=1, max_size=3
)


def view_of(data: bytes) -> ConfigView:
    """Read a config that was made up; one that is no YAML is of no interest."""
    try:
        return read_config(data, "config.yaml")
    except ConfigUnreadable:
        assume(False)
        raise


@st.composite
def edits_of(draw: st.DrawFn, view: ConfigView) -> Edit:
    """Draw an edit that names what the config has, or a model it may not have yet."""
    models = list(view.models)
    kind = draw(st.sampled_from(("add", "set", "set", "patch") if models else ("add",)))
    if kind == "add":
        model = draw(st.sampled_from(("ours", "ours/2", "7")))
        return AddEntry(model=model, fields=draw(FIELDS))
    model = draw(st.sampled_from(models))
    fields = view.models[model].fields
    if kind == "patch":
        worded = [key for key, field in fields.items() if WORD in str(field.value)]
        if worded:
            new = draw(st.sampled_from(("/m/b", "x", "C:\\a", "ü")))
            return PatchField(model=model, key=draw(st.sampled_from(worded)), words=((WORD, new),))
    key = draw(st.sampled_from([*fields, "new", "on"]))
    return SetField(model=model, key=key, value=draw(VALUES))


def is_insertion(old: bytes, new: bytes) -> bool:
    """Whether `new` is `old` with one run of bytes put in."""
    start = 0
    while start < len(old) and old[start : start + 1] == new[start : start + 1]:
        start += 1
    return len(new) > len(old) and new.endswith(old[start:])


def lines_before(data: bytes, line: int) -> int:
    """Give the place where a line (from 1) starts."""
    return sum(len(text) for text in data.splitlines(keepends=True)[: line - 1])


@trying(75)
@given(configs(), st.data())
def test_all_edits_can_be_undone_in_any_order(old: bytes, data: st.DataObject) -> None:
    """Adds, sets and patches, one by one or together, and then their inverses: the old bytes."""
    view_of(old)
    text, scaffold = old, Scaffold()
    added: list[str] = []
    originals: dict[tuple[str, str], str | None] = {}
    for _ in range(data.draw(st.integers(1, 4))):
        edit = data.draw(edits_of(read_config(text, "config.yaml")))
        try:
            step = splice(text, "config.yaml", [edit], scaffold)
        except UnsafeEdit as refusal:
            event(f"{type(edit).__name__} refused: {refusal.faults[0].message[-22:]}")
            continue
        event(f"{type(edit).__name__} done")
        text, scaffold = step.text, step.scaffold
        if isinstance(edit, AddEntry):
            added.append(edit.model)
        for name, original in step.originals.items():
            originals.setdefault(name, original)
    undo: list[Edit] = [RemoveEntry(model=model) for model in added]
    undo += [
        RestoreField(model=model, key=key, original=original)
        for (model, key), original in originals.items()
        if model not in added
    ]
    undo = data.draw(st.permutations(undo))
    together = splice(text, "config.yaml", undo, scaffold)
    assert together.text == old
    while undo:
        waiting = []
        for edit in undo:
            try:
                step = splice(text, "config.yaml", [edit], scaffold)
            except UnsafeEdit:
                # An alias cannot come back before the anchor that it names.
                waiting.append(edit)
            else:
                text, scaffold = step.text, step.scaffold
        assert len(waiting) < len(undo)
        assert not waiting or b"*" in old
        undo = waiting
    assert text == old
    assert scaffold == together.scaffold


@trying(75)
@given(configs(), st.data())
def test_an_edit_changes_its_own_bytes_and_its_own_value_alone(
    old: bytes, data: st.DataObject
) -> None:
    """Bytes outside the edited span are equal, and so is every value but the edited one."""
    view = view_of(old)
    edit = data.draw(edits_of(view))
    try:
        new = splice(old, "config.yaml", [edit], Scaffold()).text
    except UnsafeEdit:
        return
    match edit:
        case AddEntry():
            if view.data.get("models"):
                assert is_insertion(old, new)
            expected: Json = edit.fields
        case SetField() | PatchField():
            entry = view.models[edit.model]
            field = entry.fields.get(edit.key)
            if field is not None and field.line > entry.line and old.count(b"&") == 0:
                place = lines_before(old, field.line)
                assert new.startswith(old[:place])
                colon = old.index(b":", place) + 1
                last = old.index(field.text.encode(), colon) + len(field.text.encode())
                line = old.find(b"\n", last) + 1 or len(old)
                assert new.endswith(old[line:])
            elif field is None:
                assert is_insertion(old, new)
            fields = {key: inner.value for key, inner in entry.fields.items()}
            value = edit.value if isinstance(edit, SetField) else None
            if isinstance(edit, PatchField):
                value = str(fields[edit.key]).replace(WORD, edit.words[0][1])
            expected = {**fields, edit.key: value}
        case _:
            raise AssertionError(edit)
    outcome = read_config(new, "config.yaml").data
    models = view.data.get("models") or {}
    assert isinstance(models, Mapping)
    wanted = {**view.data, "models": {**models, edit.model: expected}}
    assert identical(outcome, wanted)


@st.composite
def edits_apart(draw: st.DrawFn, view: ConfigView) -> list[Edit]:
    """Draw edits of all kinds, no two of which name the same."""
    edits: dict[tuple[str, str | None], Edit] = {}
    for _ in range(draw(st.integers(2, 6))):
        edit = draw(edits_of(view))
        if view.models and draw(st.integers(0, 3)) == 0:
            edit = RemoveEntry(model=draw(st.sampled_from(list(view.models))))
        model, key = edit.model, getattr(edit, "key", None)  # type: ignore[union-attr]
        others = [other for name, other in edits if name == model]
        if not others or (key is not None and not {None, key} & set(others)):
            edits[model, key] = edit
    return list(edits.values())


@trying(75)
@given(configs(), st.data())
def test_edits_made_together_make_what_they_make_one_by_one(
    old: bytes, data: st.DataObject
) -> None:
    """What can be done one after the other can be done in one call, with the same outcome in any
    order; and the inverses, together, leave the old bytes.
    """
    edits = data.draw(edits_apart(view_of(old)))
    step = Spliced(text=old)
    refusals = []
    for edit in edits:
        try:
            step = splice(step.text, "config.yaml", [edit], step.scaffold)
        except UnsafeEdit as refusal:
            refusals.append(refusal)
    try:
        new = splice(old, "config.yaml", edits, Scaffold())
    except UnsafeEdit:
        assert refusals
        return
    event("one by one refused" if refusals else "done")
    outcome = read_config(new.text, "config.yaml").data
    if not refusals:
        assert identical(read_config(step.text, "config.yaml").data, outcome, open_end=True)
    shuffled = splice(old, "config.yaml", data.draw(st.permutations(edits)), Scaffold())
    assert identical(read_config(shuffled.text, "config.yaml").data, outcome, open_end=True)
    assert sorted(shuffled.text) == sorted(new.text)
    if any(isinstance(edit, RemoveEntry) for edit in edits):
        return
    undo: list[Edit] = [
        RestoreField(model=model, key=key, original=original)
        for (model, key), original in new.originals.items()
    ]
    undo += [RemoveEntry(model=edit.model) for edit in edits if isinstance(edit, AddEntry)]
    back = splice(new.text, "config.yaml", data.draw(st.permutations(undo)), new.scaffold)
    assert (back.text, back.scaffold) == (old, Scaffold())
