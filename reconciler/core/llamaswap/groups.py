"""Membership in llama-swap's groups: who joins, who leaves, and what of it is ours.

A member that stood there before us is found, and stays when we go. A group that we made goes with
our last member, unless somebody else has put anything into it, and so do the keys around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.core.edits import AddItem, RemoveItem
from reconciler.core.ledger import LedgerGroup, MadePlace
from reconciler.core.llamaswap.group_edits import (
    MEMBERS,
    Joins,
    Member,
    is_below,
    matrix_place,
    members_of,
    removals_of,
    value_at,
)
from reconciler.core.llamaswap.model_rules import answering_names
from reconciler.core.llamaswap.shapes import GROUPS_PLACES, Place
from reconciler.core.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMove:
    """What becomes of one model's membership; None: it joins, or leaves, no group.

    `makes` says that the group it joins is new, `removes` that the one it leaves goes with it, and
    `again` that it was in that group by us, and somebody took it out.
    """

    joins: str | None = None
    makes: bool = False
    leaves: str | None = None
    removes: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRefusal:
    """Why a model cannot join its group, and the place in the config that forbids it."""

    place: Place
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChange:
    """Everything that must happen to groups, and what the ledger will say of it.

    `memberships` names each model that was decided on, None where it is in no group by us; `made`
    is all that we have made around them, for the scaffold, but for the texts that only the splice
    can tell (`with_filled`).
    """

    edits: tuple[RemoveItem | AddItem, ...] = ()
    memberships: Mapping[str, LedgerGroup | None] = field(default_factory=dict)
    moves: Mapping[str, GroupMove] = field(default_factory=dict)
    made: tuple[MadePlace, ...] = ()
    refusals: tuple[GroupRefusal, ...] = ()

    def with_filled(self, filled: Mapping[Place, str]) -> tuple[MadePlace, ...]:
        """Give `made`, with the empty values that the splice has filled on our behalf."""
        known = {made.place for made in self.made}
        lists = [edit.place[:-1] for edit in self.edits if isinstance(edit, AddItem)]
        fresh = [place for place in dict.fromkeys(lists) if place in filled and place not in known]
        return (*self.made, *(MadePlace(place=place, filled=filled[place]) for place in fresh))


def change_groups(
    data: Mapping[str, Json],
    wanted: Mapping[str, str | None],
    owned: Mapping[str, LedgerGroup],
    made: Sequence[MadePlace],
    *,
    renamed: Mapping[str, str] | None = None,
) -> GroupChange:
    """Decide on the membership of each model in `wanted`; the others of `owned` stay as they are.

    `data` is the config as it stands and `made` what we made in it. `renamed` gives, for each model
    that bears a new name, the one under which it stands in `data` and in `owned`: there its items
    get the new name with all else that refers to it, so that only a move is decided here.
    """
    if not owned and not any(wanted.values()):
        return GroupChange()
    before = renamed or {}
    decision = _Decision(data)
    for model, group in wanted.items():
        old = before.get(model, model)
        decision.settle(model, old, group, owned.get(old))
    others = [group for model, group in owned.items() if model not in {*wanted, *before.values()}]
    return decision.change(others, made)


class _Decision:
    """Gathers what is decided while the models are walked through."""

    def __init__(self, data: Mapping[str, Json]) -> None:
        self._data = data
        self._members: dict[str, list[Member]] = {}
        owners = answering_names(data)
        for member in members_of(data):
            self._members.setdefault(owners.get(member.text, member.text), []).append(member)
        self._matrix = matrix_place(data)
        self._leaving: list[Member] = []
        self._joining: dict[str, list[str]] = {}
        self._memberships: dict[str, LedgerGroup | None] = {}
        self._moves: dict[str, tuple[str | None, Member | None]] = {}
        self._again: set[str] = set()
        self._refusals: list[GroupRefusal] = []

    def settle(self, model: str, old: str, group: str | None, owned: LedgerGroup | None) -> None:
        """Decide on one model, which stands in the config as `old`."""
        members = self._members.get(old, [])
        ours = None
        if owned is not None and not owned.found:
            # We append, and we write the ID: what stands last is what we wrote.
            named = [item for item in members if (item.group, item.text) == (owned.name, old)]
            ours = named[-1] if named else None
        self._memberships[model] = None
        if group is None:
            self._leave(model, ours)
            return
        theirs = [member for member in members if member is not ours]
        if self._matrix is not None:
            self._refuse_matrix(model, group, self._matrix)
        elif ours is not None and ours.group == group:
            self._memberships[model] = owned
        elif any(member.group == group for member in theirs):
            self._memberships[model] = LedgerGroup(name=group, found=True)
            self._leave(model, ours)
        elif theirs:
            self._refuse_second(model, group, theirs[0])
        else:
            self._memberships[model] = LedgerGroup(name=group)
            self._joining.setdefault(group, []).append(model)
            self._leave(model, ours, joins=group)
            if owned is not None and owned.name == group:
                self._again.add(model)

    def change(self, others: Iterable[LedgerGroup], made: Sequence[MadePlace]) -> GroupChange:
        """Give all of it. `others` are the memberships that nothing was decided on."""
        joins = Joins.of(self._data, self._joining)
        was = {item.place: item.filled for item in made}
        removals = removals_of(self._data, self._leaving, joins.touched, was)
        gone = frozenset(removal.place for removal in removals)
        lasting = [*filter(None, self._memberships.values()), *others]
        alive = {
            (*place, member.name, MEMBERS)[:depth]
            for member in lasting
            for place in GROUPS_PLACES
            for depth in range(1, len(place) + 3)
        }
        kept = {
            place: filled
            for place, filled in was.items()
            if place in alive and value_at(self._data, place)
        } | dict.fromkeys(joins.made)
        return GroupChange(
            edits=(*removals, *joins.edits),
            memberships=self._memberships,
            moves={
                model: GroupMove(
                    joins=group,
                    makes=group in joins.new,
                    leaves=member.group if member else None,
                    removes=member is not None and is_below(member.place, gone),
                    again=model in self._again,
                )
                for model, (group, member) in self._moves.items()
            },
            made=tuple(MadePlace(place=place, filled=filled) for place, filled in kept.items()),
            refusals=tuple(self._refusals),
        )

    def _leave(self, model: str, ours: Member | None, *, joins: str | None = None) -> None:
        if ours is not None:
            self._leaving.append(ours)
        if ours is not None or joins is not None:
            self._moves[model] = (joins, ours)

    def _refuse_second(self, model: str, group: str, member: Member) -> None:
        self._refusals.append(
            GroupRefusal(
                place=member.at,
                message=f"{model} is a member of group {member.group} by hand, "
                f"and cannot join {group} as well",
                hint=f"take {member.text} out of {member.group} there, "
                "or leave `serve.group` out of the manifest",
            )
        )

    def _refuse_matrix(self, model: str, group: str, matrix: Place) -> None:
        self._refusals.append(
            GroupRefusal(
                place=matrix,
                message=f"a matrix stands here, and llama-swap takes no groups beside one: "
                f"{model} cannot join {group}",
                hint="leave `serve.group` out of the manifest, or take the matrix out",
            )
        )
