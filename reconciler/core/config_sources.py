"""llama-swap's config where it is several files: which of them is ours, and what they are together.

llama-swap merges what `-config` names with the files in the folder that `-config-dir` names. One of
them is the one we write: a file of the user's, or one of our own in that folder. The others are
read so that what we write fits to them, and are never written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from reconciler.core.edits import ConfigView
from reconciler.core.llamaswap.problem import Problem
from reconciler.core.llamaswap.shapes import GROUPS_PLACES, MATRIX_PLACES, Place, as_list
from reconciler.core.siblings import Siblings
from reconciler.core.values import Json
from reconciler.core.yamltext.config import read_config

# The rule that is broken where two files claim one place.
CLASH: Final = "sources"

# A value in a file, with the place at which it stands there.
_Found = tuple["Source", object, Place]

# The mappings whose keys name something: one name stands in one file alone.
_NAMES: Final[frozenset[Place]] = frozenset(
    {("models",), ("profiles",), ("selectors",), ("peers",), *GROUPS_PLACES, *MATRIX_PLACES}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file as read."""

    path: str
    view: ConfigView


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """What stands at a place of the merged config: the file it stands in, and its place there."""

    path: str
    place: Place
    is_ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSources:
    """The files that llama-swap merges: the one we write, at `path`, and those around it.

    `texts` are the bytes of the others.
    """

    path: str
    before: tuple[Source, ...] = ()
    after: tuple[Source, ...] = ()
    texts: Mapping[str, bytes] = field(default_factory=dict)

    def merged(self, own: ConfigView) -> Merged:
        """Give what all files are together, with `own` as ours."""
        if not self.before and not self.after:
            return Merged(own=self.path, sources=(Source(path=self.path, view=own),), data=own.data)
        sources = (*self.before, Source(path=self.path, view=own), *self.after)
        data: Mapping[str, Json] = {}
        clashes: dict[Place, None] = {}
        for source in sources:
            data = _merge(data, source.view.data, (), clashes)
        return Merged(own=self.path, sources=sources, data=data, clashes=tuple(clashes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What llama-swap reads: the merged values, and where each of them stands.

    `clashes` are the places that several files claim, for which llama-swap refuses them all; the
    value of the first is in `data`.
    """

    own: str
    sources: tuple[Source, ...]
    data: Mapping[str, Json]
    clashes: tuple[Place, ...] = ()

    @property
    def ours(self) -> ConfigView:
        """Our file alone."""
        return self.source(self.own)

    def source(self, path: str) -> ConfigView:
        """One file alone."""
        return next(source.view for source in self.sources if source.path == path)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why llama-swap cannot merge them."""
        return tuple(self._problem(place) for place in self.clashes)

    def view(self, *, besides: Collection[str] = ()) -> ConfigView:
        """Give them as one config, with the entries of all; of others not those in `besides`."""
        models = {
            key: entry
            for source in reversed(self.sources)
            if source.path != self.own
            for key, entry in source.view.models.items()
            if key not in besides
        }
        return ConfigView(data=self.data, models={**models, **self.ours.models})

    def own_view(self) -> ConfigView:
        """Give ours with its entries alone, among the values of all."""
        return replace(self.ours, data=self.data)

    def locate(self, place: Place) -> Located:
        """Give where `place`, or the nearest around it, stands: in our file if there as well."""
        found = list(self._walk(place))
        return next((item for item in found if item.is_ours), found[0])

    def others(self, place: Place) -> tuple[Located, ...]:
        """Give where `place` stands in files that are not ours; empty where it does in none."""
        return tuple(
            item for item in self._walk(place) if not item.is_ours and len(item.place) == len(place)
        )

    def _walk(self, place: Place) -> Iterator[Located]:
        """Follow `place` in all files at once, as far as any of them goes."""
        level: list[_Found] = [(source, source.view.data, ()) for source in self.sources]
        for key in place:
            deeper = list(_step(level, key))
            if not deeper:
                break
            level = deeper
        for source, _, at in level:
            yield Located(path=source.path, place=at, is_ours=source.path == self.own)

    def _problem(self, place: Place) -> Problem:
        where = ".".join(place)
        files = " and ".join(item.path for item in self._walk(place))
        return Problem(
            rule=CLASH,
            subject=where,
            message=f"{where} stands in {files}, and llama-swap takes it from one file alone",
            path=place,
        )


def read_sources(path: str, siblings: Siblings | None) -> ConfigSources:
    """Read the files around the one at `path`.

    Raises:
        ConfigUnreadable: one of them is not YAML that we can read; llama-swap would not start.
    """
    if siblings is None:
        return ConfigSources(path=path)
    return ConfigSources(
        path=path,
        before=tuple(_sources(siblings.before)),
        after=tuple(_sources(siblings.after)),
        texts=siblings.texts,
    )


def _sources(texts: Mapping[str, bytes]) -> Iterator[Source]:
    for path, data in texts.items():
        yield Source(path=path, view=read_config(data, path))


def _step(level: list[_Found], key: str) -> Iterator[_Found]:
    """Go one key down; the items of lists are counted through all files."""
    passed = 0
    for source, value, at in level:
        if isinstance(value, Mapping):
            if key in value:
                yield source, value[key], (*at, key)
            continue
        items = as_list(value)
        if key.isdecimal() and 0 <= int(key) - passed < len(items):
            position = int(key) - passed
            yield source, items[position], (*at, str(position))
        passed += len(items)


def _merge(
    one: Mapping[str, Json], other: Mapping[str, Json], place: Place, clashes: dict[Place, None]
) -> Mapping[str, Json]:
    """Merge a later file's mapping into what came before it."""
    merged = dict(one)
    for key, value in other.items():
        at = (*place, str(key))
        if key not in merged:
            merged[key] = value
        elif at in _NAMES:
            merged[key] = _merge_names(merged[key], value, at, clashes)
        else:
            merged[key] = _merge_value(merged[key], value, at, clashes)
    return merged


def _merge_names(one: Json, other: Json, place: Place, clashes: dict[Place, None]) -> Json:
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        # llama-swap does not take a key without a value for an empty mapping here.
        clashes[place] = None
        return one if isinstance(one, Mapping) else other
    clashes |= {(*place, str(key)): None for key in other if key in one}
    return {**other, **one}


def _merge_value(one: Json, other: Json, place: Place, clashes: dict[Place, None]) -> Json:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return _merge(one, other, place, clashes)
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *other]
    if one != other or type(one) is not type(other):
        clashes[place] = None
    return one
