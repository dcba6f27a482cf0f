"""Who in llama-swap's config refers to a model, by its ID or by another name of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

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
    peer_names,
)
from reconciler.core.values import Json


class ReferenceKind(StrEnum):
    """What refers to the model."""

    GROUP = "group"
    MATRIX_VARIABLE = "matrix variable"
    MATRIX_SET = "matrix set"
    MATRIX_COST = "matrix cost"
    PROFILE = "profile"
    PIN = "profile pin"
    SELECTOR = "selector"
    PRELOAD = "preload"
    PRIORITY = "priority"


# A matrix knows models by their IDs alone.
BY_ID: Final = frozenset(
    {ReferenceKind.MATRIX_VARIABLE, ReferenceKind.MATRIX_SET, ReferenceKind.MATRIX_COST}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One place that refers to a model by `name`.

    `path` is the keys down to the very item, a position in a list as a decimal number. For a cost
    or a priority the last key itself is the reference; for a set its expression, as `written`,
    holds the name. `written` is the text that stands there, before macros are expanded. `variable`
    says that the name is a matrix variable, and `model` is what it stands for; else that is `name`.
    """

    kind: ReferenceKind
    path: Place
    name: str
    written: str
    model: str
    variable: bool = False

    @property
    def uses_macro(self) -> bool:
        """Whether the name only shows once macros are expanded."""
        return "${" in self.written


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the names in one config lead to: models by ID or any name, else peers and selectors."""

    answering: Mapping[str, str]
    ids: frozenset[str]
    peers: frozenset[str]
    selectors: frozenset[str]

    def model_of(self, reference: Reference) -> str | None:
        """Give the ID of the model that a reference leads to, None where it leads to none."""
        if reference.kind in BY_ID:
            return reference.model if reference.model in self.ids else None
        return self.answering.get(reference.model)

    def leads_elsewhere(self, reference: Reference) -> bool:
        """Whether a reference that leads to no model is none to a model at all."""
        name = reference.model
        if reference.kind is ReferenceKind.PIN:
            return not name or name in self.peers or name in self.selectors
        return reference.kind is ReferenceKind.SELECTOR and name in self.peers


def read_names(data: Mapping[str, Json]) -> Names:
    """Give what every name in the config leads to. Aliases of `setParamsByID` are names too."""
    return Names(
        answering=answering_names(data),
        ids=frozenset(str(model) for model in as_mapping(data.get("models"))),
        peers=peer_names(data),
        selectors=frozenset(str(name) for name in as_mapping(data.get("selectors"))),
    )


def read_references(data: Mapping[str, Json]) -> tuple[Reference, ...]:
    """Give every reference in the config, whatever it leads to.

    Both the old and the new places of groups and matrix are looked at, whichever is in use. Peers
    are other machines' models and refer to nothing here.
    """
    scope = macro_scope(data)
    return (
        *_in_groups(data, scope),
        *_in_matrix(data, scope),
        *_in_profiles(data, scope),
        *_in_selectors(data, scope),
        *_in_hooks(data, scope),
        *_in_priorities(data),
    )


def _in_groups(data: Mapping[str, Json], scope: Mapping[str, object]) -> Iterator[Reference]:
    for place in GROUPS_PLACES:
        for group, settings in as_mapping(dig(data, place)).items():
            here = (*place, str(group), "members")
            members = as_mapping(settings).get("members")
            yield from _in_list(members, here, ReferenceKind.GROUP, scope)


def _in_matrix(data: Mapping[str, Json], scope: Mapping[str, object]) -> Iterator[Reference]:
    for place in MATRIX_PLACES:
        matrix = as_mapping(dig(data, place))
        variables: dict[str, str] = {}
        for key, target in as_mapping(matrix.get("vars")).items():
            path = (*place, "vars", str(key))
            found = _reference(target, path, ReferenceKind.MATRIX_VARIABLE, scope)
            variables[str(key)] = found.name
            yield found
        for key, expression in as_mapping(matrix.get("sets")).items():
            written = str(expression)
            try:
                members = read_expression(expand(written, scope)).members
            except BadExpression:
                continue
            path = (*place, "sets", str(key))
            for member in members:
                yield _by_variable(ReferenceKind.MATRIX_SET, path, member, written, variables)
        for name in map(str, as_mapping(matrix.get("evict_costs"))):
            path = (*place, "evict_costs", name)
            yield _by_variable(ReferenceKind.MATRIX_COST, path, name, name, variables)


def _by_variable(
    kind: ReferenceKind, path: Place, name: str, written: str, variables: Mapping[str, str]
) -> Reference:
    return Reference(
        kind=kind,
        path=path,
        name=name,
        written=written,
        model=variables.get(name, name),
        variable=name in variables,
    )


def _in_profiles(data: Mapping[str, Json], scope: Mapping[str, object]) -> Iterator[Reference]:
    for profile, settings in as_mapping(data.get("profiles")).items():
        here = ("profiles", str(profile))
        yield from _in_list(settings, here, ReferenceKind.PROFILE, scope)
        for pin, target in as_mapping(as_mapping(settings).get("pins")).items():
            if target is not None:
                yield _reference(target, (*here, "pins", str(pin)), ReferenceKind.PIN, scope)


def _in_selectors(data: Mapping[str, Json], scope: Mapping[str, object]) -> Iterator[Reference]:
    for selector, settings in as_mapping(data.get("selectors")).items():
        here = ("selectors", str(selector), "targets")
        targets = as_mapping(settings).get("targets")
        yield from _in_list(targets, here, ReferenceKind.SELECTOR, scope)


def _in_hooks(data: Mapping[str, Json], scope: Mapping[str, object]) -> Iterator[Reference]:
    place = ("hooks", "on_startup", "preload")
    yield from _in_list(dig(data, place), place, ReferenceKind.PRELOAD, scope)


def _in_priorities(data: Mapping[str, Json]) -> Iterator[Reference]:
    for name in map(str, as_mapping(dig(data, PRIORITY_PLACE))):
        path = (*PRIORITY_PLACE, name)
        yield Reference(kind=ReferenceKind.PRIORITY, path=path, name=name, written=name, model=name)


def _in_list(
    value: object, place: Place, kind: ReferenceKind, scope: Mapping[str, object]
) -> Iterator[Reference]:
    for position, item in enumerate(as_list(value)):
        yield _reference(item, (*place, str(position)), kind, scope)


def _reference(
    value: object, path: Place, kind: ReferenceKind, scope: Mapping[str, object]
) -> Reference:
    written = str(value)
    name = expand(written, scope)
    # `preload` is the one list whose names llama-swap trims; elsewhere a blank makes another name.
    name = name.strip() if kind is ReferenceKind.PRELOAD else name
    return Reference(kind=kind, path=path, name=name, written=written, model=name)
