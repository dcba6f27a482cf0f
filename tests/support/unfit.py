"""What may stand where a file should be, and cannot be read whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final


def _make_pipe(path: Path) -> None:
    os.mkfifo(path)


def _link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name(f".{path.name}.pipe"))
    path.symlink_to(f".{path.name}.pipe")


def _link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _make_large(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


# How each is made at a path, and what must be said of it.
UNFIT: Final[Mapping[str, tuple[Callable[[Path], None], str]]] = {
    "pipe": (_make_pipe, "it is a named pipe"),
    "link to a pipe": (_link_to_a_pipe, "it is a named pipe"),
    "zeros": (_link_to_zeros, "it is a device"),
    "large": (_make_large, "it is larger than"),
}


def put_unfit(kind: str, path: Path) -> str:
    """Put one in the place of the file at `path`; gives what must be said of it."""
    make, words = UNFIT[kind]
    path.unlink(missing_ok=True)
    path.with_name(f".{path.name}.pipe").unlink(missing_ok=True)
    make(path)
    return words
