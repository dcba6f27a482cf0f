"""The kinds of value that a setting takes, each read from what was given for it.

All raise ValueError, with words that fit behind the name of the setting.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reconciler.core.observed import PathMapping
from reconciler.core.sizes import parse_bytes

# A hundred years.
_MOST_HOURS: Final = 876_600
# A digest of eight characters, and as much of a name as tells people something.
_SHORTEST_KEY: Final = 24
_MOST_READERS: Final = 64
# The one that stands, and the one before it.
_FEWEST_GENERATIONS: Final = 2
_TRUE: Final = frozenset({"1", "on", "yes", "true"})
_FALSE: Final = frozenset({"", "0", "off", "no", "false"})


def parse_flag(given: object) -> bool:
    """Read a switch: `on`, `1`, `no`."""
    if isinstance(given, bool):
        return given
    text = str(given).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"{given!r} is neither on nor off")


def parse_number(given: object) -> float:
    """Read a number of seconds, 0 among them."""
    try:
        number = float(str(given))
    except ValueError:
        raise ValueError(f"{given!r} is not a number of seconds") from None
    if not 0 <= number < float("inf"):
        raise ValueError(f"{given!r} is not a number of seconds")
    return number


def parse_seconds(given: object) -> float:
    """Read a number of seconds, more than 0."""
    if not (seconds := parse_number(given)):
        raise ValueError(f"{given!r} leaves no time")
    return seconds


def parse_command(given: object) -> tuple[str, ...]:
    """Read a command, split into its words as a shell does."""
    try:
        words = tuple(shlex.split(str(given)))
    except ValueError as error:
        # A command may hold a secret, so it is not shown.
        raise ValueError(f"is no command: {str(error).lower()}") from None
    if not words or not words[0]:
        raise ValueError("names no program")
    return words


def parse_count(given: object) -> int:
    """Read a whole number."""
    text = str(given).strip()
    if not text.isdecimal():
        raise ValueError(f"{given!r} is not a whole number")
    return int(text)


def parse_hours(given: object) -> float:
    """Read a number of hours."""
    try:
        hours = float(str(given))
    except ValueError:
        raise ValueError(f"{given!r} is not a number of hours") from None
    if not 0 <= hours <= _MOST_HOURS:
        raise ValueError(f"{given!r} is not a number of hours up to {_MOST_HOURS}")
    return hours


def parse_key_length(given: object) -> int:
    """Read how long a generated key may be."""
    length = parse_count(given)
    if length < _SHORTEST_KEY:
        raise ValueError(f"{given!r} leaves no room for a name: {_SHORTEST_KEY} is the least")
    return length


def parse_generations(given: object) -> int:
    """Read how many generations are kept."""
    if (count := parse_count(given)) < _FEWEST_GENERATIONS:
        raise ValueError(f"{given!r} leaves none to go back to: {_FEWEST_GENERATIONS} is the least")
    return count


def parse_readers(given: object) -> int | None:
    """Read how many files are read at once; None: find out."""
    if str(given).strip().lower() == "auto":
        return None
    if not 1 <= (count := parse_count(given)) <= _MOST_READERS:
        raise ValueError(f"{given!r} is neither auto nor a number from 1 to {_MOST_READERS}")
    return count


def parse_size(given: object) -> int:
    """Read a number of bytes: `1GiB`."""
    return parse_bytes(str(given))


def parse_choice(*allowed: str) -> Callable[[object], str]:
    """Give what reads one of these words."""

    def parse(given: object) -> str:
        if given not in allowed:
            raise ValueError(f"{given!r} is none of {', '.join(allowed)}")
        return str(given)

    return parse


def parse_text(given: object) -> str:
    """Read a text that says something."""
    # Most often a variable that is not set: "" as a path would be the working folder.
    if not str(given).strip():
        raise ValueError("is empty")
    return str(given)


def parse_path(given: object) -> Path:
    """Read a path; `~` is the home folder."""
    try:
        return Path(parse_text(given)).expanduser()
    except RuntimeError:
        raise ValueError(f"{given!r}: the home folder is not known; write it out") from None


def parse_folder(given: object) -> Path:
    """Read a path, made absolute."""
    return parse_path(given).absolute()


def parse_paths(given: object) -> tuple[Path, ...]:
    """Read paths, one after the other or between commas."""
    each = given.split(",") if isinstance(given, str) else list(given)  # type: ignore[call-overload]
    return tuple(parse_path(str(path).strip()).absolute() for path in each)


def parse_path_map(given: object) -> tuple[PathMapping, ...]:
    """Read `HOST=CONTAINER` pairs, one after the other or between commas."""
    pairs = given.split(",") if isinstance(given, str) else list(given)  # type: ignore[call-overload]
    mappings = []
    for pair in pairs:
        host, _, container = str(pair).strip().rpartition("=")
        if not (host.startswith("/") and container.startswith("/")):
            raise ValueError(f"{pair!r} is not HOST=CONTAINER with two absolute paths")
        mappings.append(PathMapping(host=host, container=container))
    return tuple(mappings)
