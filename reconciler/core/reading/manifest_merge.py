"""How defaults, presets and a model's own words become one mapping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Words = Mapping[str, Any]


def merge(under: Words, over: Words) -> dict[str, Any]:
    """Lay `over` upon `under`: mappings merge, anything else replaces, null included."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = merge(below, value)
        else:
            result[key] = value
    return result


def origins(layers: Iterable[tuple[str, Words]]) -> dict[str, str]:
    """Say which of the `layers` (a name and its words, the strongest first) each key comes from.

    Of mappings, which merge, all layers are named down to the one that replaces those below it.
    """
    names: dict[str, list[str]] = {}
    settled: set[str] = set()
    for name, words in layers:
        for key, value in words.items():
            if key not in settled:
                names.setdefault(key, []).append(name)
            if not isinstance(value, Mapping):
                settled.add(key)
    return {key: ", ".join(found) for key, found in names.items()}


def without_nulls(words: Words) -> dict[str, Any]:
    """Leave out every key whose value is null, at any depth of mappings; lists stay as they are."""
    return {
        key: without_nulls(value) if isinstance(value, Mapping) else value
        for key, value in words.items()
        if value is not None
    }
