"""How llama-swap makes one config of several files, written down a second time for the stand-in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.llama_swap_values import ConfigRefused

# Below these a key names one thing, and two files may not both name it.
NAMED = {
    *("models", "groups", "profiles", "selectors", "peers", "matrix"),
    *("routing.router.settings.groups", "routing.router.settings.matrix"),
}


def files_of(config: Path | None, folder: Path | None) -> list[Path]:
    """Give the files in the order in which they are merged. Raises `ConfigRefused`."""
    inside = sorted(
        (
            path
            for path in (folder.iterdir() if folder else ())
            if path.suffix in (".yml", ".yaml") and not path.is_dir()
        ),
        key=str,
    )
    if config is not None and config.absolute() in [path.absolute() for path in inside]:
        raise ConfigRefused(f"-config path {config} is also present in -config-dir {folder}")
    paths = [*([config] if config else ()), *inside]
    if not paths:
        raise ConfigRefused("no configuration sources found")
    return paths


def merge(roots: Iterable[tuple[str, dict[Any, Any]]]) -> dict[Any, Any]:
    """Merge what the files say, in their order; an empty one is passed over."""
    merged: dict[Any, Any] = {}
    for file, root in roots:
        merged = _mappings(merged, root, "", file)
    return merged


def _mappings(old: dict[Any, Any], new: dict[Any, Any], place: str, file: str) -> dict[Any, Any]:
    result = dict(old)
    for key, value in new.items():
        at = f"{place}.{key}" if place else str(key)
        result[key] = _values(old[key], value, at, file) if key in old else value
    return result


def _values(old: Any, new: Any, place: str, file: str) -> Any:
    if place in NAMED:
        if not (isinstance(old, dict) and isinstance(new, dict)):
            raise ConfigRefused(f"conflict at {place}: expected a mapping, introduced by {file}")
        for key in new:
            if key in old:
                raise ConfigRefused(f"duplicate {place} {key!r} found in {file}")
        return {**old, **new}
    if old is None or new is None:
        return new if old is None else old
    if isinstance(old, dict) and isinstance(new, dict):
        return _mappings(old, new, place, file)
    if isinstance(old, list) and isinstance(new, list):
        return old + new
    if type(old) is not type(new) or old != new:
        raise ConfigRefused(f"conflict at {place}: {file} sets a different value")
    return old
