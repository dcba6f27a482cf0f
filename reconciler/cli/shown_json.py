"""JSON that strangers may read: without what looks like a secret, or stands where one does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, Final

from reconciler.adapters.base.urls import shown
from reconciler.core.config_secrets import HIDDEN, names_secret, without_secret_words

# Where a field of an entry is told of, the name of the field is a value itself.
_VALUES: Final = ("before", "after", "found", "wrote")


def without_secrets(value: Any) -> Any:
    """Give a value as plain JSON with its secrets hidden; of addresses, user and query too.

    Takes what JSON has, and dataclasses.
    """
    if isinstance(value, str):
        if value.startswith(("https://", "http://")) and " " not in value:
            return shown(value)
        return without_secret_words(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, dict):
        return _object(value.items(), value.get("key"))
    if is_dataclass(value):
        return without_secrets(shallow(value))
    return [without_secrets(item) for item in value]


def shallow(value: Any) -> dict[str, Any]:
    """Give a dataclass as a mapping; what it holds stays as it is."""
    return {item.name: getattr(value, item.name) for item in fields(value)}


def _object(items: Iterable[tuple[str, Any]], key: object) -> dict[str, Any]:
    secret = _VALUES if isinstance(key, str) and _names_secret(key) else ()
    return {
        name: HIDDEN
        if item is not None
        and (name in secret or (isinstance(item, str) and item and _names_secret(name)))
        else without_secrets(item)
        for name, item in items
    }


# The same few names, thousands of times.
_names_secret = lru_cache(maxsize=1024)(names_secret)
