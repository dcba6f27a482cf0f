"""Look through a models folder once: which GGUF files are there, what is unfinished, what in trash.

Nothing here fails because of one file: what has gone, or may not be looked at, is left out.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reconciler.adapters.base.files import identity_from
from reconciler.adapters.base.partial_record import record_path, recorded_extents
from reconciler.core.identity import FileIdentity
from reconciler.core.keeping import Partial, Trash
from reconciler.core.names import InvalidName, RelPath, Sha256

_LONGEST_HEAD_BYTES = 64 * 1024


def gguf_files(root: Path) -> dict[RelPath, FileIdentity]:
    """Give every file named `*.gguf` below `root`, by its path there.

    Hidden folders, our own among them, and links to folders are not entered. Empty files, and names
    that no path of ours could be, are left out.
    """
    found = {}
    for entry, path in _walk(root):
        with suppress(OSError, InvalidName):
            told = entry.stat()
            if stat.S_ISREG(told.st_mode) and told.st_size:
                found[RelPath(path)] = identity_from(told)
    return found


def partial_files(state: Path) -> tuple[Partial, ...]:
    """Give what lies unfinished, or not placed yet, in our state folder."""
    found = []
    for name in _names(state / "partial"):
        with suppress(OSError, InvalidName):
            sha256 = Sha256(name)
            path = state / "partial" / name
            length = path.lstat().st_size
            size_bytes, origin = _told(path)
            extents = (
                recorded_extents(path, sha256=sha256, size_bytes=size_bytes)
                if size_bytes is not None
                else None
            )
            found.append(
                Partial(
                    sha256=sha256,
                    have_bytes=length if extents is None else extents.total_bytes,
                    size_bytes=size_bytes,
                    origin=origin,
                )
            )
    return tuple(found)


def trash(state: Path) -> Trash:
    """Measure the trash in our state folder."""
    sizes = []
    for folder, _, names in os.walk(state / "trash"):
        for name in names:
            if not name.endswith(".sha256"):
                with suppress(OSError):
                    sizes.append(Path(folder, name).lstat().st_size)
    runs = _names(state / "trash")
    return Trash(
        files=len(sizes), size_bytes=sum(sizes), oldest_run=runs[0] if sizes and runs else None
    )


def _walk(root: Path) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Give what is named `*.gguf`, with its path below `root`. No order."""
    waiting = [("", str(root))]
    while waiting:
        below, folder = waiting.pop()
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((f"{below}{entry.name}/", entry.path))
                elif entry.name[-5:].lower() == ".gguf":
                    yield entry, below + entry.name


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return sorted(entry.name for entry in folder.iterdir())
    return []


def _told(partial: Path) -> tuple[int | None, str | None]:
    """Give size and origin as the record beside a partial file has them."""
    with suppress(OSError, ValueError, RecursionError), record_path(partial).open("rb") as reading:
        head = json.loads(reading.readline(_LONGEST_HEAD_BYTES))
        if isinstance(head, dict) and isinstance(head.get("size_bytes"), int):
            return head["size_bytes"], str(head.get("origin") or "") or None
    return None, None
