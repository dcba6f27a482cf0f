"""Who in llama-swap's config refers to a model, by its ID or by another name of its own.

What is found here would dangle, or come to mean another model, once the model is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.llamaswap.macros import expand, macro_scope
from reconciler.core.llamaswap.matrix import BadExpression, read_expression
from reconciler.core.llamaswap.model_rules import answering_names
from reconciler.core.llamaswap.shapes import (
    GROUPS_PLACES,
    MATRIX_PLACES,
    PRIORITY_PLACE,
    Place,
    as_list,
    as_mapping,
    dig,
    model_entries,
)
from reconciler.core.values import Json


class ReferenceKind(StrEnum):
    """What refers to the model."""

    GROUP = "group"
    MATRIX_VARIABLE = "matrix variable"
    MATRIX_SET = "matrix set"
    MATRIX_COST = "matrix cost"
    PROFILE = "profile"
    SELECTOR = "selector"
    PRELOAD = "preload"
    PRIORITY = "priority"
    ALIAS = "alias"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One place that refers to a model by `name`.

    `path` is the keys down to the very item, a position in a list as a decimal number. For a cost
    or a priority the last key itself is the reference; for a set its expression holds the name.
    """

    kind: ReferenceKind
    path: Place
    name: str


def find_references(data: Mapping[str, Json], model: str) -> tuple[Reference, ...]:
    """Give every place outside its own entry that refers to `model`.

    Its aliases, and the aliases its `setParamsByID` makes, count as names of it where llama-swap
    would resolve them. Both the old and the new places of groups and matrix are looked at,
    whichever is in use. Peers are other machines' models and refer to nothing here.
    """
    names = {name for name, owner in answering_names(data).items() if owner == model} | {model}
    scope = macro_scope(data)
    return (
        *_in_groups(data, names, scope),
        *_in_matrix(data, model, scope),
        *_in_profiles(data, names, scope),
        *_in_selectors(data, names, scope),
        *_in_hooks(data, names, scope),
        *_in_priorities(data, names),
        *_in_aliases(data, model),
    )


def _in_groups(
    data: Mapping[str, Json], names: set[str], scope: Mapping[str, object]
) -> Iterator[Reference]:
    for place in GROUPS_PLACES:
        for group, settings in as_mapping(dig(data, place)).items():
            here = (*place, str(group), "members")
            members = as_mapping(settings).get("members")
            yield from _in_list(members, here, ReferenceKind.GROUP, names, scope)


def _in_matrix(
    data: Mapping[str, Json], model: str, scope: Mapping[str, object]
) -> Iterator[Reference]:
    for place in MATRIX_PLACES:
        matrix = as_mapping(dig(data, place))
        targets = {
            str(name): expand(str(target), scope)
            for name, target in as_mapping(matrix.get("vars")).items()
        }
        for name, target in targets.items():
            if target == model:
                path = (*place, "vars", name)
                yield Reference(kind=ReferenceKind.MATRIX_VARIABLE, path=path, name=model)
        for name, expression in as_mapping(matrix.get("sets")).items():
            try:
                members = read_expression(expand(str(expression), scope)).members
            except BadExpression:
                continue
            for member in members:
                if targets.get(member, member) == model:
                    path = (*place, "sets", str(name))
                    yield Reference(kind=ReferenceKind.MATRIX_SET, path=path, name=member)
        for key in map(str, as_mapping(matrix.get("evict_costs"))):
            if targets.get(key, key) == model:
                path = (*place, "evict_costs", key)
                yield Reference(kind=ReferenceKind.MATRIX_COST, path=path, name=key)


def _in_profiles(
    data: Mapping[str, Json], names: set[str], scope: Mapping[str, object]
) -> Iterator[Reference]:
    for profile, settings in as_mapping(data.get("profiles")).items():
        here = ("profiles", str(profile))
        yield from _in_list(settings, here, ReferenceKind.PROFILE, names, scope)
        for pin, target in as_mapping(as_mapping(settings).get("pins")).items():
            path = (*here, "pins", str(pin))
            yield from _in_value(target, path, ReferenceKind.PROFILE, names, scope)


def _in_selectors(
    data: Mapping[str, Json], names: set[str], scope: Mapping[str, object]
) -> Iterator[Reference]:
    for selector, settings in as_mapping(data.get("selectors")).items():
        here = ("selectors", str(selector), "targets")
        targets = as_mapping(settings).get("targets")
        yield from _in_list(targets, here, ReferenceKind.SELECTOR, names, scope)


def _in_hooks(
    data: Mapping[str, Json], names: set[str], scope: Mapping[str, object]
) -> Iterator[Reference]:
    place = ("hooks", "on_startup", "preload")
    yield from _in_list(dig(data, place), place, ReferenceKind.PRELOAD, names, scope)


def _in_priorities(data: Mapping[str, Json], names: set[str]) -> Iterator[Reference]:
    for name in map(str, as_mapping(dig(data, PRIORITY_PLACE))):
        if name in names:
            path = (*PRIORITY_PLACE, name)
            yield Reference(kind=ReferenceKind.PRIORITY, path=path, name=name)


def _in_aliases(data: Mapping[str, Json], model: str) -> Iterator[Reference]:
    for other, entry in model_entries(data):
        if other != model:
            here = ("models", other, "aliases")
            scope = macro_scope(data, other)
            yield from _in_list(entry.get("aliases"), here, ReferenceKind.ALIAS, {model}, scope)


def _in_list(
    value: object,
    place: Place,
    kind: ReferenceKind,
    names: set[str],
    scope: Mapping[str, object],
) -> Iterator[Reference]:
    for position, item in enumerate(as_list(value)):
        yield from _in_value(item, (*place, str(position)), kind, names, scope)


def _in_value(
    value: object,
    path: Place,
    kind: ReferenceKind,
    names: set[str],
    scope: Mapping[str, object],
) -> Iterator[Reference]:
    # `preload` is the one list whose names llama-swap trims; elsewhere a blank makes another name.
    name = expand(str(value), scope)
    name = name.strip() if kind is ReferenceKind.PRELOAD else name
    if name in names:
        yield Reference(kind=kind, path=path, name=name)
