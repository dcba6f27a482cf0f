"""Small values that several rooms share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

# What JSON can hold; also all that a manifest or a llama-swap config can hold.
Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

_PLAIN: Final = (int, float, type(None))


def same(one: Json, other: Json) -> bool:
    """Whether two values mean the same to YAML: as `==`, but true is not 1."""
    # Plain ones first: they are the most, and asking for any kind of mapping is slow.
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, _PLAIN):
        return one == other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and isinstance(other, Sequence):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
