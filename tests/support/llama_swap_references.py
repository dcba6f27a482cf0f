"""What the stand-in's loader asks of everything in a config that names a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.llama_swap_values import (
    ConfigRefused,
    check_types,
    integer,
    mapping,
    text,
    texts,
)

GROUP_TYPES = {
    "swap": "switch",
    "exclusive": "switch",
    "persistent": "switch",
    "members": "texts",
}
MATRIX_VAR = re.compile(r"[a-zA-Z0-9.-]{1,32}")
SET_TOKEN = re.compile(r"[&|()]|\+?[\w.-]+|\S")
Groups = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Names:
    """What a reference may name: IDs; every name of a model here; every name of one elsewhere."""

    ids: frozenset[str]
    local: frozenset[str]
    peers: frozenset[str]


def check_old_references(root: Mapping[str, Any]) -> Groups:
    """Check what 2025 checks, and give the groups. It knows no reference that leads nowhere."""
    groups = _groups(root.get("groups"), "groups")
    _check_members(groups, None)
    for name, members in mapping(root.get("profiles"), "profiles").items():
        texts(members, f"profiles.{name}")
    return groups


def check_references(root: Mapping[str, Any], names: Names) -> Groups:
    """Check everything that names a model as 2026 does, and give the groups in force."""
    groups = _check_router(root, names)
    routing = mapping(root.get("routing"), "routing")
    _check_scheduler(mapping(routing.get("scheduler"), "routing.scheduler"), names)
    _check_selectors(root, names)
    _check_profiles(root, names)
    return groups


def _check_router(root: Mapping[str, Any], names: Names) -> Groups:
    router = mapping(mapping(root.get("routing"), "routing").get("router"), "routing.router")
    settings = mapping(router.get("settings"), "routing.router.settings")
    use = text(router.get("use"), "routing.router.use")
    place = "routing.router.settings"
    below: Mapping[str, Any] = settings
    above = root.get("matrix") is not None or bool(_groups(root.get("groups"), "groups"))
    groups_below = _groups(settings.get("groups"), "routing.router.settings.groups")
    if above and (use or settings.get("matrix") is not None or groups_below):
        raise ConfigRefused("config uses both the top-level matrix/groups and routing.router")
    if above:
        place, below = "", root
        if root.get("matrix") is not None and root.get("groups"):
            raise ConfigRefused("config cannot use both 'groups' and 'matrix'")
        use = "group" if root.get("matrix") is None else "matrix"
    if use not in ("", "group", "matrix"):
        raise ConfigRefused(f"routing.router.use: unknown router {use!r}")
    if use == "matrix":
        if below.get("matrix") is None:
            raise ConfigRefused("routing.router.use is 'matrix', but there is none")
        _check_matrix(mapping(below["matrix"], f"{place}.matrix"), names.ids)
        return {}
    groups = _groups(below.get("groups"), f"{place}.groups")
    _check_members(groups, names.local)
    return groups


def _groups(value: Any, where: str) -> Groups:
    groups: Groups = {}
    for name, group in mapping(value, where).items():
        groups[str(name)] = mapping(group, f"{where}.{name}")
        check_types(groups[str(name)], GROUP_TYPES, f"{where}.{name}")
    return groups


def _check_members(groups: Groups, known: frozenset[str] | None) -> None:
    """Check group members; without `known` one that names nothing passes, as in 2025."""
    owner: dict[str, str] = {}
    for name, group in groups.items():
        for member in texts(group.get("members"), f"groups.{name}.members"):
            if member in owner:
                raise ConfigRefused(f"model member {member} is used twice: {owner[member]}, {name}")
            owner[member] = name
            if known is not None and member not in known:
                raise ConfigRefused(f"groups.{name}: unknown model {member}")


def _check_matrix(matrix: Mapping[str, Any], ids: frozenset[str]) -> None:
    variables = mapping(matrix.get("vars"), "matrix.vars")
    sets = mapping(matrix.get("sets"), "matrix.sets")
    if not sets:
        raise ConfigRefused("matrix must define at least one set")
    for name, target in variables.items():
        if not MATRIX_VAR.fullmatch(str(name)):
            raise ConfigRefused(f"matrix.vars: {name} is no valid name")
        _check_known([text(target, f"matrix.vars.{name}")], ids, f"matrix.vars.{name}")
    operands = ids | set(map(str, variables))
    costs = mapping(matrix.get("evict_costs"), "matrix.evict_costs")
    _check_known(map(str, costs), operands, "matrix.evict_costs")
    for name, cost in costs.items():
        if integer(cost, f"matrix.evict_costs.{name}") <= 0:
            raise ConfigRefused(f"matrix.evict_costs.{name} must be positive")
    uses: dict[str, list[str]] = {}
    for name, expression in sets.items():
        where = f"matrix.sets.{name}"
        reader = _Expression(SET_TOKEN.findall(text(expression, where)), where)
        reader.read()
        _check_known(reader.operands, operands, where)
        _check_known(reader.sets, frozenset(map(str, sets)), where)
        uses[str(name)] = reader.sets
    for name in uses:
        _check_circle(name, uses, ())


class _Expression:
    """A set expression, read by its grammar: `|` joins what `&` joins, parentheses nest."""

    def __init__(self, tokens: list[str], where: str) -> None:
        self.operands: list[str] = []
        self.sets: list[str] = []
        self._tokens = [*tokens, ""]
        self._where = where

    def read(self) -> None:
        """Read all of it. Raises `ConfigRefused`."""
        self._alternatives()
        if self._tokens != [""]:
            raise ConfigRefused(f"{self._where}: unexpected {self._tokens[0]!r}")

    def _alternatives(self) -> None:
        self._together()
        while self._tokens[0] == "|":
            del self._tokens[0]
            self._together()

    def _together(self) -> None:
        self._one()
        while self._tokens[0] == "&":
            del self._tokens[0]
            self._one()

    def _one(self) -> None:
        token = self._tokens[0]
        if token == "(":
            del self._tokens[0]
            self._alternatives()
            if self._tokens[0] != ")":
                raise ConfigRefused(f"{self._where}: a parenthesis is not closed")
        elif re.fullmatch(r"[\w.-]+", token):
            self.operands.append(token)
        elif re.fullmatch(r"\+[\w.-]+", token):
            self.sets.append(token[1:])
        else:
            raise ConfigRefused(f"{self._where}: unexpected {token!r}")
        del self._tokens[0]


def _check_circle(name: str, uses: Mapping[str, list[str]], above: tuple[str, ...]) -> None:
    if name in above:
        raise ConfigRefused(f"matrix.sets.{name} leads back to itself")
    for other in uses[name]:
        _check_circle(other, uses, (*above, name))


def _check_scheduler(scheduler: Mapping[str, Any], names: Names) -> None:
    use = text(scheduler.get("use"), "routing.scheduler.use")
    if use not in ("", "fifo"):
        raise ConfigRefused(f"routing.scheduler.use: unknown scheduler {use!r}")
    settings = mapping(scheduler.get("settings"), "routing.scheduler.settings")
    fifo = mapping(settings.get("fifo"), "fifo")
    priorities = mapping(fifo.get("priority"), "fifo.priority")
    _check_known(map(str, priorities), names.local, "fifo.priority")
    for name, priority in priorities.items():
        integer(priority, f"fifo.priority.{name}")


def _check_selectors(root: Mapping[str, Any], names: Names) -> None:
    for name, value in mapping(root.get("selectors"), "selectors").items():
        where = f"selectors.{name}"
        if str(name) in names.local | names.peers:
            raise ConfigRefused(f"{where}: the ID is taken by a model or alias")
        targets = texts(mapping(value, where).get("targets"), f"{where}.targets")
        if not targets:
            raise ConfigRefused(f"{where}: there must be one target or more")
        _check_known(targets, names.local | names.peers, where)


def _check_profiles(root: Mapping[str, Any], names: Names) -> None:
    selectors = frozenset(map(str, mapping(root.get("selectors"), "selectors")))
    for name, value in mapping(root.get("profiles"), "profiles").items():
        where = f"profiles.{name}.pins"
        pins = mapping(mapping(value, f"profiles.{name}").get("pins"), where)
        if not pins:
            raise ConfigRefused(f"{where} must contain at least one entry")
        targets = (text(target, f"{where}.{pin}") for pin, target in pins.items())
        _check_known(filter(None, targets), names.local | names.peers | selectors, where)


def _check_known(found: Iterable[str], known: frozenset[str], where: str) -> None:
    for name in found:
        if name not in known:
            raise ConfigRefused(f"{where} references unknown model {name!r}")
