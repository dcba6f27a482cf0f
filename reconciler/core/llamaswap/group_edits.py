"""Where llama-swap's groups stand in a config, and the edits that bring members in and out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.core.edits import AddItem, RemoveItem
from reconciler.core.llamaswap.macros import expand, macro_scope
from reconciler.core.llamaswap.shapes import (
    GROUPS_PLACES,
    MATRIX_PLACES,
    Place,
    as_list,
    as_mapping,
    dig,
)
from reconciler.core.values import Json

MEMBERS: Final = "members"
_ROUTER: Final = ("routing", "router")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One item of a group's list: the group, its place, and the item's position and text."""

    group: str
    place: Place
    position: int
    text: str

    @property
    def at(self) -> Place:
        """The item's own place."""
        return (*self.place, MEMBERS, str(self.position))


@dataclass(frozen=True, slots=True, kw_only=True)
class Joins:
    """The edits that bring members in: what they make, and which groups are new by them."""

    edits: tuple[AddItem, ...]
    made: tuple[Place, ...]
    new: frozenset[str]

    @property
    def touched(self) -> tuple[Place, ...]:
        """The places that something comes to."""
        return tuple(edit.place for edit in self.edits)

    @classmethod
    def of(cls, data: Mapping[str, Json], joining: Mapping[str, Sequence[str]]) -> Joins:
        """Bring all `joining` models, by group, into `data`."""
        home = _home(data)
        edits: list[AddItem] = []
        made: dict[Place, None] = {}
        missing: dict[str, Json] = {}
        for group, models in joining.items():
            place = next(
                (
                    (*each, group)
                    for each in (home, *GROUPS_PLACES)
                    if _stands(data, (*each, group))
                ),
                None,
            )
            if place is None:
                missing[group] = {MEMBERS: [*models]}
                continue
            at = (*place, MEMBERS)
            if _stands(data, at):
                end = str(len(as_list(value_at(data, at))))
                edits += [AddItem(place=(*at, end), value=model) for model in models]
            else:
                edits.append(AddItem(place=at, value=[*models]))
                made[at] = None
        for place, value in _whole(data, home, missing):
            edits.append(AddItem(place=place, value=value))
        for group in missing:
            whole = (*home, group, MEMBERS)
            made |= {
                whole[:depth]: None
                for depth in range(1, len(whole) + 1)
                if not _stands(data, whole[:depth])
            }
        return cls(edits=tuple(edits), made=tuple(made), new=frozenset(missing))


def _whole(
    data: Mapping[str, Json], home: Place, groups: Mapping[str, Json]
) -> Iterator[tuple[Place, Json]]:
    """Give what to add, and where, so that all `groups` stand at `home`."""
    depth = next((end for end in range(1, len(home) + 1) if not _stands(data, home[:end])), None)
    if depth is None:
        yield from (((*home, group), value) for group, value in groups.items())
    elif groups:
        value: Json = {**groups}
        for key in reversed(home[depth:]):
            value = {key: value}
        yield home[:depth], value


def removals_of(
    data: Mapping[str, Json],
    leaving: Iterable[Member],
    touched: Collection[Place],
    made: Mapping[Place, str | None],
) -> tuple[RemoveItem, ...]:
    """Take members out, and with the last one what we made around them and nobody added to."""
    gone = {member.at: None for member in leaving}
    for at in dict.fromkeys(place[:-1] for place in gone):
        above = at
        while above in made and made[above] is None and not _has_more(data, above, gone, touched):
            gone[above] = None
            above = above[:-1]
    return tuple(
        RemoveItem(place=place, empty=made.get(place[:-1]))
        for place in gone
        if not is_below(place[:-1], gone)
    )


def _has_more(
    data: Mapping[str, Json], place: Place, gone: Collection[Place], touched: Iterable[Place]
) -> bool:
    """Whether anything is left at `place`, or comes to it, once all in `gone` has left."""
    value = value_at(data, place)
    keys: Iterable[object] = as_mapping(value) or range(len(as_list(value)))
    return any((*place, str(key)) not in gone for key in keys) or any(
        new[: len(place)] == place for new in touched
    )


def members_of(data: Mapping[str, Json]) -> tuple[Member, ...]:
    """Give every member of every group, with macros expanded."""
    scope = macro_scope(data)
    return tuple(
        Member(
            group=str(group),
            place=(*place, str(group)),
            position=position,
            text=expand(str(item), scope),
        )
        for place in GROUPS_PLACES
        for group, settings in as_mapping(dig(data, place)).items()
        for position, item in enumerate(as_list(as_mapping(settings).get(MEMBERS)))
    )


def _home(data: Mapping[str, Json]) -> Place:
    """Give the place where groups stand in this config, or belong."""
    for place in GROUPS_PLACES:
        if as_mapping(dig(data, place)):
            return place
    old, new = GROUPS_PLACES
    return new if as_mapping(dig(data, _ROUTER)) else old


def matrix_place(data: Mapping[str, Json]) -> Place | None:
    """Give the place where the config speaks of a matrix, if it does."""
    standing = [place for place in MATRIX_PLACES if dig(data, place) is not None]
    used = dig(data, (*_ROUTER, "use")) == "matrix"
    return standing[0] if standing else (*_ROUTER, "use") if used else None


def value_at(data: Mapping[str, Json], place: Place) -> object:
    """Follow `place` by the texts of the keys; None where it leads nowhere."""
    value: object = data
    for part in place:
        found = (item for key, item in as_mapping(value).items() if str(key) == part)
        value = next(found, None)
    return value


def _stands(data: Mapping[str, Json], place: Place) -> bool:
    """Whether the last key of `place` is there, whatever its value."""
    return any(str(key) == place[-1] for key in as_mapping(value_at(data, place[:-1])))


def is_below(place: Place, places: Collection[Place]) -> bool:
    """Whether `place` is one of `places`, or stands in one."""
    return any(place[:depth] in places for depth in range(1, len(place) + 1))
