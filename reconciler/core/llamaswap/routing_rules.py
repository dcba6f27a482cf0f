"""What llama-swap's loader asks of everything that refers to models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.core.llamaswap.macros import expand, macro_scope
from reconciler.core.llamaswap.matrix import BadExpression, read_expression
from reconciler.core.llamaswap.model_rules import answering_names
from reconciler.core.llamaswap.problem import Finding, finding
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
from reconciler.core.llamaswap.type_rules import check_group, check_texts
from reconciler.core.llamaswap.version import MEMBERS, NEWEST

_VARIABLE: Final = re.compile(r"[A-Za-z0-9.-]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """What a reference may name: model IDs, models by every name of theirs, peers, selectors."""

    ids: frozenset[str]
    local: frozenset[str]
    peers: frozenset[str]
    selectors: frozenset[str]
    scope: Mapping[str, object]

    def texts(self, value: object) -> Iterator[tuple[int, str]]:
        """Give the texts of a list, with their positions, macros expanded."""
        for position, item in enumerate(as_list(value)):
            if isinstance(item, str | int | float):
                yield position, expand(str(item), self.scope)


def check_routing(data: Mapping[str, object]) -> Iterator[Finding]:
    """Check groups, matrix, scheduler, selectors and profiles against the models there are."""
    names = _Names(
        ids=frozenset(str(model) for model in as_mapping(data.get("models"))),
        local=frozenset(answering_names(data)),
        peers=peer_names(data),
        selectors=frozenset(str(name) for name in as_mapping(data.get("selectors"))),
        scope=macro_scope(data),
    )
    yield from _check_router(data)
    for place in GROUPS_PLACES:
        yield from _check_groups(data, place, names)
    matrix_place = _active_matrix(data)
    if matrix_place:
        yield from _check_matrix(as_mapping(dig(data, matrix_place)), matrix_place, names)
    yield from _check_scheduler(data, names)
    yield from _check_selectors(data, names)
    yield from _check_profiles(data, names)


def _check_router(data: Mapping[str, object]) -> Iterator[Finding]:
    router = as_mapping(dig(data, ("routing", "router")))
    use = router.get("use")
    above = [place for (place,) in (GROUPS_PLACES[0], MATRIX_PLACES[0]) if _is_set(data, place)]
    settings = as_mapping(router.get("settings"))
    below = bool(use) or _is_set(settings, "groups") or _is_set(settings, "matrix")
    if len(above) == 2:
        yield finding("router", ("matrix",), "groups and matrix exclude each other", old=False)
    if above and below:
        message = f"{above[0]} above excludes routing.router"
        yield finding("router", ("routing", "router"), message, old=False)
    if use not in (None, "", "group", "matrix"):
        message = f"{use!r:.60} is no router: group and matrix are"
        yield finding("router", ("routing", "router", "use"), message, old=False)
    if use == "matrix" and not above and not _is_set(settings, "matrix"):
        message = "is matrix, but settings.matrix is missing"
        yield finding("router", ("routing", "router", "use"), message, old=False)


def _is_set(section: Mapping[str, object], key: str) -> bool:
    """Whether a router's settings count as given: a matrix by standing there, groups by a group."""
    value = section.get(key)
    return value is not None and (key == "matrix" or bool(value))


def _active_matrix(data: Mapping[str, object]) -> Place | None:
    if _is_set(data, "matrix"):
        return MATRIX_PLACES[0]
    used = dig(data, ("routing", "router", "use")) == "matrix" and not _is_set(data, "groups")
    return MATRIX_PLACES[1] if used and dig(data, MATRIX_PLACES[1]) is not None else None


def _check_groups(data: Mapping[str, object], place: Place, names: _Names) -> Iterator[Finding]:
    # 2025 builds know the old place alone.
    old = place == GROUPS_PLACES[0]
    # Where a matrix routes, the groups beside it are decoded but never looked into.
    idle = _active_matrix(data) is not None
    homes: dict[str, str] = {}
    for group, settings in as_mapping(dig(data, place)).items():
        here = (*place, str(group))
        if not isinstance(settings, Mapping):
            if settings is not None:
                yield finding("type", here, f"must be a mapping, not {settings!r:.60}", old=old)
            continue
        yield from check_group(settings, here, old=old)
        for position, member in () if idle else names.texts(settings.get("members")):
            at = (*here, "members", str(position))
            subject = f"{group}: {member}"
            if member in homes:
                message = f"{member!r} is already a member of {homes[member]!r}"
                yield finding("group-member-twice", at, message, subject=subject, old=old)
            homes.setdefault(member, str(group))
            if member not in names.local:
                message = f"{member!r} names no model"
                yield finding(
                    "group-member", at, message, subject=subject, old=False, since=MEMBERS
                )


def _check_matrix(matrix: Mapping[str, object], place: Place, names: _Names) -> Iterator[Finding]:
    variables = as_mapping(matrix.get("vars"))
    for name, model in variables.items():
        at = (*place, "vars", str(name))
        if not _VARIABLE.fullmatch(str(name)):
            message = "a variable has 1 to 32 letters, digits, '.' and '-'"
            yield finding("matrix-variable", at, message, old=False)
        if expand(str(model), names.scope) not in names.ids:
            yield finding("matrix-reference", at, f"{model!r:.60} names no model ID", old=False)
    known = names.ids | {str(name) for name in variables}
    for name, cost in as_mapping(matrix.get("evict_costs")).items():
        at = (*place, "evict_costs", str(name))
        if str(name) not in known:
            yield finding("matrix-reference", at, "names no variable and no model ID", old=False)
        if isinstance(cost, int | float) and cost <= 0:
            yield finding("matrix-cost", at, "must be 1 or more", old=False)
    sets = as_mapping(matrix.get("sets"))
    if not sets:
        yield finding("matrix-sets", (*place, "sets"), "there must be one set or more", old=False)
    uses: dict[str, tuple[str, ...]] = {}
    for name, expression in sets.items():
        at = (*place, "sets", str(name))
        try:
            parts = read_expression(expand(str(expression), names.scope))
        except BadExpression as error:
            yield finding("matrix-expression", at, str(error), old=False)
            continue
        uses[str(name)] = parts.sets
        unknown = [part for part in parts.members if part not in known]
        unknown += [f"+{part}" for part in parts.sets if part not in map(str, sets)]
        for part in unknown:
            message = f"{part!r} names no variable, model ID or set"
            subject = f"{'.'.join(at)}: {part}"
            yield finding("matrix-reference", at, message, subject=subject, old=False)
    for name in _in_circles(uses):
        yield finding("matrix-circle", (*place, "sets", name), "leads back to itself", old=False)


def _in_circles(uses: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for name in uses:
        reached: set[str] = set()
        waiting = list(uses[name])
        while waiting:
            each = waiting.pop()
            if each not in reached:
                reached.add(each)
                waiting += uses.get(each, ())
        if name in reached:
            yield name


def _check_scheduler(data: Mapping[str, object], names: _Names) -> Iterator[Finding]:
    use = dig(data, ("routing", "scheduler", "use"))
    if use not in (None, "", "fifo"):
        message = f"{use!r:.60} is no scheduler: fifo is"
        yield finding("scheduler", ("routing", "scheduler", "use"), message, old=False)
    for name in as_mapping(dig(data, PRIORITY_PLACE)):
        if str(name) not in names.local:
            message = "names no model"
            yield finding("priority", (*PRIORITY_PLACE, str(name)), message, old=False)


def _check_selectors(data: Mapping[str, object], names: _Names) -> Iterator[Finding]:
    for selector, settings in as_mapping(data.get("selectors")).items():
        here = ("selectors", str(selector))
        if str(selector) in names.local | names.peers:
            message = "a model, an alias or a peer's model has that name"
            yield finding("selector-name", here, message, old=False)
        targets = as_mapping(settings).get("targets")
        yield from check_texts(targets, (*here, "targets"), old=False)
        if not as_list(targets):
            message = "there must be one target or more"
            yield finding("selector-targets", (*here, "targets"), message, old=False)
        for position, target in names.texts(targets):
            if target not in names.local | names.peers:
                at = (*here, "targets", str(position))
                subject = f"{selector}: {target}"
                message = f"{target!r} names no model"
                yield finding("selector-target", at, message, subject=subject, old=False)


def _check_profiles(data: Mapping[str, object], names: _Names) -> Iterator[Finding]:
    for profile, settings in as_mapping(data.get("profiles")).items():
        here = ("profiles", str(profile))
        if not isinstance(settings, Mapping):
            message = "2026 builds want a mapping of description and pins here"
            is_list = settings is None or isinstance(settings, list | tuple)
            yield finding("profile-shape", here, message, old=not is_list, since=NEWEST)
            continue
        message = "2025 builds want a list of models here"
        yield finding("profile-shape", here, message, since=None)
        pins = as_mapping(settings.get("pins"))
        if not pins:
            message = "there must be one pin or more"
            yield finding("profile-pins", (*here, "pins"), message, old=False, since=NEWEST)
        for pin, target in pins.items():
            wanted = expand(str(target), names.scope) if target is not None else ""
            if wanted and wanted not in names.local | names.peers | names.selectors:
                at = (*here, "pins", str(pin))
                message = f"{target!r:.60} names no model"
                yield finding("profile-pin", at, message, old=False, since=MEMBERS)
