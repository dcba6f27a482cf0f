"""Which names in which folders decide what a path leads to, every link on the way included."""

from __future__ import annotations

from pathlib import Path
from typing import Final

# As the kernel does, which then gives up as well.
_MOST_LINKS: Final = 40


def way_to(path: str) -> tuple[tuple[str, str], ...]:
    """Give folder and name of each step to what `path`, an absolute one, leads to in the end.

    A change of any of them may be a change of what is found there: a link swapped, a folder taken
    away or put in another's place. All folders are there and hold no links; the way ends where
    something is missing.
    """
    steps: list[tuple[str, str]] = []
    left = _reversed_parts(path)
    here, links = Path("/"), 0
    while left:
        name = left.pop()
        if name == "..":
            here = here.parent
            continue
        steps.append((str(here), name))
        there = here / name
        try:
            target = str(there.readlink())
        except OSError:
            if not there.is_dir():
                break
            here = there
            continue
        links += 1
        if links > _MOST_LINKS:
            break
        if target.startswith("/"):
            here = Path("/")
        left += _reversed_parts(target)
    return tuple(steps)


def _reversed_parts(path: str) -> list[str]:
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
