"""Macros as the stand-in's loader reads and replaces them."""

from __future__ import annotations

import re
from typing import Any

from tests.support.llama_swap_values import ConfigRefused, as_go_prints, mapping

MACRO = re.compile(r"\$\{([a-zA-Z0-9_-]+)\}")
MACRO_NAME = re.compile(r"[a-zA-Z0-9_-]{1,63}")
RESERVED_MACROS = {"2025": ("PORT", "MODEL_ID"), "2026": ("PORT", "MODEL_ID", "PID")}
# A macro's value by its name, in the order of declaration.
Macros = dict[str, str | int | float]


def read_macros(value: Any, where: str, behave: str) -> Macros:
    """Read the macros that one section declares. Raises `ConfigRefused`."""
    macros: Macros = {}
    for name, item in mapping(value, where).items():
        if not isinstance(name, str) or not MACRO_NAME.fullmatch(name):
            raise ConfigRefused(f"{where}: macro name {name!r} is not allowed")
        if name in RESERVED_MACROS[behave]:
            raise ConfigRefused(f"{where}: macro name {name!r} is reserved")
        if not isinstance(item, str | int | float):
            raise ConfigRefused(f"{where}: macro {name} is not a scalar")
        if f"${{{name}}}" in str(item):
            raise ConfigRefused(f"{where}: macro {name} names itself")
        macros[name] = item
    return macros


def expand(value: Any, macros: Macros) -> Any:
    """Replace macros below `value`, the last one first; one that stands alone keeps its type."""
    if isinstance(value, dict):
        return {
            expand(key, macros) if isinstance(key, str) else key: expand(item, macros)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [expand(item, macros) for item in value]
    for name in reversed(list(macros)):
        if not isinstance(value, str) or "${" not in value:
            break
        slug = f"${{{name}}}"
        value = macros[name] if value == slug else value.replace(slug, as_go_prints(macros[name]))
    return value


def refuse_left_over(value: Any, where: str, *, allowed: str = "") -> None:
    """Refuse a macro that is still there below `value`: nobody declared it."""
    if isinstance(value, dict):
        for item in value.values():
            refuse_left_over(item, where)
    elif isinstance(value, list):
        for item in value:
            refuse_left_over(item, where)
    elif isinstance(value, str):
        for name in MACRO.findall(value):
            if name != allowed:
                raise ConfigRefused(f"unknown macro '${{{name}}}' found in {where}")
