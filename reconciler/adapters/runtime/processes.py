"""What a container's list of processes says: which of them is llama-swap, and its arguments.

An entrypoint may be a script that adds flags of its own, so only the process itself tells for
certain how llama-swap was started.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

_PROGRAM: Final = re.compile(r"llama[-_]swap(?!.*\.sh$).*", re.IGNORECASE)
_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "busybox"})
# How `ps` names the column, by the system that the engine runs on.
_COMMAND_TITLES: Final = ("COMMAND", "CMD", "ARGS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """How llama-swap was started: `arguments` are the words after the program's name.

    `certain` says that they are all there are, so that a flag that is not among them is not set.
    """

    arguments: tuple[str, ...]
    certain: bool


def read_started(words: Sequence[str], top: Mapping[str, Any] | None) -> Started:
    """Tell how llama-swap was started, from its entrypoint's `words` and the list of processes.

    `top` is the engine's answer, None where there is none: a stopped container has no processes.
    """
    entrypoint = _after_program(words)
    lines = _command_lines(top)
    for line in lines:
        listed = _after_program(line.split())
        if listed is None:
            continue
        # The list joins words with blanks; those of the entrypoint are exact where they are it.
        exact = entrypoint is not None and " ".join(entrypoint).split() == list(listed)
        return Started(arguments=entrypoint if exact and entrypoint else listed, certain=True)
    if entrypoint is not None and not lines:
        return Started(arguments=entrypoint, certain=True)
    return Started(arguments=tuple(words), certain=False)


def _after_program(words: Sequence[str]) -> tuple[str, ...] | None:
    """Give the words after llama-swap's name, which is the first, or an interpreter's first."""
    for position, word in enumerate(words[:2]):
        name = PurePosixPath(word).name
        if name in _SHELLS:
            return None
        if _PROGRAM.fullmatch(name):
            return tuple(words[position + 1 :])
    return None


def _command_lines(top: Mapping[str, Any] | None) -> list[str]:
    titles = [str(title).upper() for title in (top or {}).get("Titles") or ()]
    column = next((titles.index(title) for title in _COMMAND_TITLES if title in titles), None)
    if top is None or column is None:
        return []
    return [str(row[column]) for row in top.get("Processes") or () if len(row) > column]
