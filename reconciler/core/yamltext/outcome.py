"""What edits should make of a config's values, and whether they did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

from reconciler.core.edits import (
    AddEntry,
    AddItem,
    EntryEdit,
    ItemEdit,
    PatchField,
    RemoveEntry,
    RemoveItem,
    RenameKey,
    RestoreField,
    SetField,
    SetItem,
)
from reconciler.core.values import Json
from reconciler.core.yamltext.models import config_values, entries_of
from reconciler.core.yamltext.nodes import MODELS, Document, MappingNode, fields_of
from reconciler.core.yamltext.places import ends_in_open_block, refuse
from reconciler.core.yamltext.words import patched

Values = Mapping[str, Json]


def check_outcome(
    before: Document,
    values: Values,
    after: Document,
    items: Sequence[ItemEdit],
    edits: Sequence[EntryEdit],
) -> None:
    """Raise `UnsafeEdit` unless `after` means what `before`, read as `values`, does when edited."""
    if items:
        edited = with_items(values, items)
        values = edited if isinstance(edited, Mapping) else {}
    outcome = config_values(after)
    models, new_models = (_mapping_of(data) for data in (values, outcome))
    open_end = any(
        document.root is not None and ends_in_open_block(document, document.root)
        for document in (before, after)
    )
    restored = [(edit.model, edit.key) for edit in edits if isinstance(edit, RestoreField)]
    restored += _followers(after, restored)
    expected = expected_models(models, new_models, edits, restored)
    model = first_difference(expected, new_models, open_end=open_end)
    if model is not None:
        index = entries_of(before)[model][0].start if model in entries_of(before) else 0
        refuse(before, index, f"the edits would make something else of {model!r} than is meant")
    rest, new_rest = (
        {key: value for key, value in data.items() if key != MODELS} for data in (values, outcome)
    )
    key = first_difference(rest, new_rest, open_end=open_end)
    if key is not None:
        number = before.root.numbers.get(key) if isinstance(before.root, MappingNode) else None
        index = 0
        if number is not None and isinstance(before.root, MappingNode):
            index = before.root.pairs[number][0].start
        if any(edit.place[0] == key for edit in items):
            refuse(before, index, f"the edits would make something else of {key!r} than is meant")
        refuse(before, index, f"the edits would change {key!r} too")


def _followers(document: Document, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Give the fields whose aliases name an anchor in `fields`: they follow what is put back."""
    if not document.aliases or not fields:
        return []
    values = {
        (model, key): value
        for model, (_, entry) in entries_of(document).items()
        if isinstance(entry, MappingNode)
        for key, (_, value) in fields_of(entry).items()
    }
    spans = [(values[name].start, values[name].end) for name in fields if name in values]
    followers = [
        alias.start
        for alias in document.aliases
        if any(start <= alias.target.start < end for start, end in spans)
    ]
    return [
        name
        for name, value in values.items()
        if any(value.start <= start < value.end for start in followers)
    ]


def _mapping_of(values: Values) -> Values:
    models = values.get(MODELS)
    return models if isinstance(models, Mapping) else {}


def expected_models(
    before: Values, after: Values, edits: Sequence[EntryEdit], restored: Iterable[tuple[str, str]]
) -> Values:
    """Give the models that the edits should leave.

    What a restored field means is not known beforehand: there, what came out is right.
    """
    models: dict[str, Json] = dict(before)
    for edit in edits:
        match edit:
            case AddEntry():
                models[edit.model] = edit.fields
            case RemoveEntry():
                models.pop(edit.model, None)
            case SetField():
                _set(models, edit.model, edit.key, edit.value)
            case PatchField():
                old = _fields(models, edit.model).get(edit.key)
                new = patched(old, edit.words) if isinstance(old, str) else old
                _set(models, edit.model, edit.key, new)
            case RestoreField():
                pass
            case _:
                assert_never(edit)
    for model, key in restored:
        if model in models:
            fields = dict(_fields(models, model))
            fields.pop(key, None)
            now = _fields(after, model)
            models[model] = {**fields, key: now[key]} if key in now else fields
    return models


def with_items(value: Json, edits: Sequence[ItemEdit], depth: int = 0) -> Json:
    """Give what the edits should make of `value`, which stands `depth` parts down their places."""
    own: dict[str, list[ItemEdit]] = {}
    below: dict[str, list[ItemEdit]] = {}
    added: list[AddItem] = []
    for edit in edits:
        if len(edit.place) > depth + 1:
            below.setdefault(edit.place[depth], []).append(edit)
        elif isinstance(edit, AddItem):
            added.append(edit)
        else:
            own.setdefault(edit.place[depth], []).append(edit)
    parts: list[tuple[str, Json]] = []
    removals: list[RemoveItem] = []
    for part, inner in _parts(value):
        name, new = part, inner
        if part in below:
            new = with_items(inner, below[part], depth + 1)
        here = own.get(part, [])
        for edit in here:
            match edit:
                case SetItem():
                    new = edit.value
                case RenameKey():
                    name = edit.key
                case RemoveItem():
                    removals.append(edit)
        if not any(isinstance(edit, RemoveItem) for edit in here):
            parts.append((name, new))
    parts += [(edit.place[depth], edit.value) for edit in added]
    if not parts and removals:
        return _emptied(value, removals)
    if isinstance(value, Mapping) or (value is None and added and added[0].place[depth] != "0"):
        return dict(parts)
    return [inner for _, inner in parts] if parts or value is not None else None


def _parts(value: Json) -> list[tuple[str, Json]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [(str(number), item) for number, item in enumerate(value)]
    return []


def _emptied(value: Json, removals: Sequence[RemoveItem]) -> Json:
    texts = [edit.empty.strip() for edit in removals if edit.empty is not None]
    if not texts:
        return {} if isinstance(value, Mapping) else []
    return [] if texts[0][:1] == "[" else {} if texts[0][:1] == "{" else None


def _fields(models: Values, model: str) -> Values:
    fields = models.get(model)
    return fields if isinstance(fields, Mapping) else {}


def _set(models: dict[str, Json], model: str, key: str, value: Json) -> None:
    models[model] = {**_fields(models, model), key: value}


def first_difference(expected: Values, actual: Values, *, open_end: bool) -> str | None:
    """Give the first key under which two mappings differ, in values or in their types.

    With `open_end` a last line break makes no difference to a string: the last block scalar of a
    text has none while no line break ends the text.
    """
    for key in [*expected, *actual]:
        if key not in expected or key not in actual:
            return key
        if not identical(expected[key] or None, actual[key] or None, open_end=open_end):
            return key
    return None


def identical(one: Json, other: Json, *, open_end: bool = False) -> bool:
    """Whether two values are equal, 1 and 1.0 and true being different, and nan equal to itself."""
    # Written the same they are the same, which is said soonest of most entries of a config.
    if repr(one) == repr(other):
        return True
    if isinstance(one, str) and isinstance(other, str):
        return open_end and one.removesuffix("\n") == other.removesuffix("\n")
    if isinstance(one, str) or isinstance(other, str):
        return False  # Python takes a text for a list of its letters.
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return len(one) == len(other) and all(
            key in other and identical(value, other[key], open_end=open_end)
            for key, value in one.items()
        )
    if isinstance(one, Sequence) and isinstance(other, Sequence):
        return len(one) == len(other) and all(
            identical(*items, open_end=open_end) for items in zip(one, other, strict=True)
        )
    return type(one) is type(other) and (one == other or (one != one and other != other))  # noqa: PLR0124 - nan
