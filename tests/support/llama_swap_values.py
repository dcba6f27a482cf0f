"""The values of a config as llama-swap's loader decodes them, and its one refusal.

A null is left out wherever it stands. Numbers lose their fraction, texts take any scalar, and a
switch also takes the words that YAML once had for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

SWITCH_WORDS = {"y": True, "Y": True, "yes": True, "on": True} | dict.fromkeys(
    ("n", "N", "no", "off"), False
)


class ConfigRefused(Exception):
    """The loader does not accept this config; the text says why."""


def mapping(value: Any, where: str) -> dict[Any, Any]:
    """Give a mapping, empty where there is none. Raises `ConfigRefused`."""
    if value is not None and not isinstance(value, dict):
        raise ConfigRefused(f"{where} is not a mapping")
    return value or {}


def texts(value: Any, where: str) -> tuple[str, ...]:
    """Give a list of texts, empty where there is none. Raises `ConfigRefused`."""
    if value is not None and not isinstance(value, list):
        raise ConfigRefused(f"{where} is not a list")
    return tuple(text(item, where) for item in value or ())


def text(value: Any, where: str) -> str:
    """Give a text, empty where there is none. Raises `ConfigRefused`."""
    if isinstance(value, dict | list):
        raise ConfigRefused(f"{where} is not text")
    return "" if value is None else as_go_prints(value)


def integer(value: Any, where: str, default: int = 0) -> int:
    """Give a whole number. Raises `ConfigRefused`."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigRefused(f"{where} is not a whole number")
    return int(value)


def switch(value: Any, where: str) -> bool:
    """Give a switch, off where there is none. Raises `ConfigRefused`."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value in SWITCH_WORDS:
        return SWITCH_WORDS[value]
    raise ConfigRefused(f"{where} is neither true nor false")


READERS: Mapping[str, Callable[[Any, str], object]] = {
    "text": text,
    "texts": texts,
    "integer": integer,
    "switch": switch,
    "mapping": mapping,
}


def check_types(section: Mapping[Any, Any], types: Mapping[str, str], where: str) -> None:
    """Decode each known key of `section`, whose type `types` names. Raises `ConfigRefused`."""
    for key, kind in types.items():
        READERS[kind](section.get(key), f"{where}.{key}" if where else key)


def as_go_prints(value: Any) -> str:
    """Write a scalar as Go's `%v` does."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
