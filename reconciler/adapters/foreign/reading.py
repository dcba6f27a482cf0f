"""Look at what belongs to others: what cannot be read, or is too much to read, is not there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from reconciler.adapters.base.files import identity_from
from reconciler.core.copies import Store
from reconciler.core.identity import FileIdentity
from reconciler.core.names import InvalidName, Sha256
from reconciler.core.ports.copies import Candidate

# A tree of a repository with 100,000 files takes about half of it.
_MOST_BYTES: Final = 32 * 1024 * 1024


def names_in(folder: Path) -> list[str]:
    """Give the names in a folder, sorted."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def read_text(path: Path) -> str:
    """Give the text of a small file, empty where there is none."""
    with suppress(OSError, ValueError):
        if readable_identity(path) is not None:
            with path.open("rb") as reading:
                return reading.read(_MOST_BYTES).decode("utf-8", "replace")
    return ""


def readable_identity(path: Path) -> FileIdentity | None:
    """Give the identity of a regular file that may be read, None for anything else."""
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode) and os.access(path, os.R_OK):
            return identity_from(found)
    except (OSError, ValueError):
        pass
    return None


def as_digest(text: str) -> Sha256 | None:
    """Give the digest that `text` is, None where it is none."""
    try:
        return Sha256(text)
    except InvalidName:
        return None


def claiming(
    paths: Iterator[Path], store: Store, sha256: Sha256, *, size_bytes: int
) -> Iterator[Candidate]:
    """Give those of `paths` that are whole files of this size, as claiming this digest."""
    for path in paths:
        identity = readable_identity(path)
        if identity is not None and identity.size_bytes == size_bytes:
            yield Candidate(path=path, store=store, identity=identity, claims=sha256)
