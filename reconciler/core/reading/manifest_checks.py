"""What a word of the manifest must be, beyond its type."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from reconciler.core.names import InvalidName, RelPath
from reconciler.core.reading.shape_faults import BadKeys
from reconciler.core.values import Json

T = TypeVar("T")

FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ARG_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# What every command has already, written from the model's own files and the port it is given.
_ARGS_OF_OURS: Final = frozenset({"m", "model", "port"})
_MAX_PRUNE: Final = re.compile(r"(\d{1,3})\s*%", re.ASCII)


def check_version(value: object) -> object:
    """Give `value` back if it is the version we know; raises `ValueError`."""
    # True and 1.0 equal 1, and are not it.
    if type(value) is not int:
        raise ValueError("must be 1")
    return value


def check_mmproj(text: str) -> str:
    """Give `text` back if it can choose a projector; raises `InvalidName`."""
    if text in ("none", "auto"):
        return text
    if not text.lower().endswith(".gguf"):
        raise InvalidName(
            f"{text!r} is no mmproj: write none, auto, or the path of a .gguf file "
            "in the model's repository"
        )
    return RelPath(text)


def check_group(name: str) -> str:
    """Give `name` back if a group can bear it; raises `InvalidName`."""
    if not name.strip():
        raise InvalidName("a group has a name; to take a default away, write null")
    return name


def check_args(args: dict[str, Json]) -> dict[str, Json]:
    """Give `args` back if each can be an argument; raises `BadKeys`."""
    return _check_keys(args, _args_problem)


def _args_problem(name: str, value: Json) -> str | None:
    if not _ARG_NAME.fullmatch(name):
        return (
            f"{name!r} is no argument: write its name without leading dashes, as in ctx-size: 8192"
        )
    if name in _ARGS_OF_OURS:
        return f"{name!r} may not stand here: it is written for every model"
    values = value if isinstance(value, list) else [value]
    if any(isinstance(item, list) for item in values):
        return f"{name!r} holds a list inside a list: quote JSON that is meant as it is written"
    if isinstance(value, list) and any(item is None or item is False for item in value):
        return f"{name!r} is a list that holds null or false: leave them out"
    return None


def check_file_names(files: dict[str, str]) -> dict[str, str]:
    """Give `files` back if each name can be one; raises `BadKeys`."""
    return _check_keys(files, _file_name_problem)


def _file_name_problem(name: str, _: str) -> str | None:
    if FILE_NAME.fullmatch(name):
        return None
    return f"{name!r} is no name for a file: use letters, digits, '-' and '_'"


def _check_keys(mapping: dict[str, T], problem_of: Callable[[str, T], str | None]) -> dict[str, T]:
    problems = {key: problem_of(key, value) for key, value in mapping.items()}
    wrong = {key: problem for key, problem in problems.items() if problem}
    if wrong:
        raise BadKeys(wrong)
    return mapping


def check_preset(value: object) -> list[str]:
    """Give the names of presets, of which `value` is one or a list; raises `ValueError`."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("must be the name of a preset, or a list of such names")
    return names


def parse_max_prune(value: object) -> float | int:
    """Read a count of models (3) or a share of them ("25%", given as 0.25); raises `ValueError`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    share = _MAX_PRUNE.fullmatch(value) if isinstance(value, str) else None
    if share is None or int(share[1]) > 100:
        raise ValueError("must be a count of models, or a share from 0% to 100%")
    return int(share[1]) / 100
