"""Folders that know no digests: whole files of a wanted size, and what notes beside them say."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from reconciler.adapters.foreign.reading import as_digest, read_text, readable_identity
from reconciler.core.copies import Store
from reconciler.core.identity import FileIdentity
from reconciler.core.names import STATE_FOLDER, Sha256
from reconciler.core.ports.copies import Candidate

# A folder that is far larger holds something else: it is searched this far.
_MOST_ENTRIES: Final = 200_000
# What programs that fetch files call one that is not whole yet; many give it its full size.
_UNFINISHED: Final = re.compile(
    r"\.(incomplete|part|partial|tmp|download|downloadinprogress|crdownload|aria2|new)$"
    r"|-partial(-\d+)?$",
    re.IGNORECASE,
)
_NAMED_BY_DIGEST: Final = re.compile(r"(?:sha256[-:])?([0-9a-f]{64})")
_LOCAL_DIR_NOTES: Final = Path(".cache/huggingface/download")


def walk(
    folder: Path, store: Store, sizes_bytes: Collection[int], *, only_gguf: bool
) -> Iterator[Candidate]:
    """Give the whole files below `folder` that have one of these sizes.

    With `only_gguf` those alone whose name ends so, or that claim a digest. Links to folders are
    not followed.
    """
    entries = 0
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != STATE_FOLDER)
        entries += len(folders) + len(names)
        if entries > _MOST_ENTRIES:
            return
        for name in sorted(names):
            path = Path(here, name)
            # A plan shows where bytes come from, and a name must not write to the terminal.
            identity = readable_identity(path) if str(path).isprintable() else None
            if identity is None or identity.size_bytes not in sizes_bytes:
                continue
            if _UNFINISHED.search(name) or f"{name}.aria2" in names:
                continue
            claims = _claimed_digest(path, folder, identity)
            if claims is not None or not only_gguf or name.lower().endswith(".gguf"):
                yield Candidate(path=path, store=store, identity=identity, claims=claims)


def _claimed_digest(path: Path, top: Path, identity: FileIdentity) -> Sha256 | None:
    """Give the digest that a file's name says, or a stamp or the hub client's note beside it."""
    if named := _NAMED_BY_DIGEST.fullmatch(path.name):
        return as_digest(named[1])
    stamp = read_text(path.with_name(f"{path.name}.sha256"))
    if (digest := as_digest(stamp[:64])) is not None:
        return digest
    for above in path.parents:
        notes = above / _LOCAL_DIR_NOTES / f"{path.relative_to(above)}.metadata"
        lines = read_text(notes).splitlines()
        with suppress(ValueError, IndexError):
            # Half a second and more may lie between a file and its note; later it was edited.
            if identity.mtime_ns / 1e9 - 1 <= float(lines[2]):
                return as_digest(lines[1])
        if above == top:
            break
    return None
