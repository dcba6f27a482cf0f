"""What lies beside a model's files: digests that somebody noted, and shards of no set."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from reconciler.core.names import InvalidName, RelPath, Sha256
from reconciler.core.reading.source_text import SHARD


def noted_digest(text: str, name: str) -> Sha256 | None:
    """Give the sha256 that a `.sha256` file notes for the file `name`; None where it notes none.

    A digest alone is meant for the file it lies beside; a list, as `sha256sum` prints, names each.
    """
    for line in text.splitlines():
        digest, _, named = line.strip().partition(" ")
        named = named.strip().removeprefix("*")
        try:
            found = Sha256(digest.lower())
        except InvalidName:
            continue
        if not named or PurePosixPath(named).name == name:
            return found
    return None


def extra_shards(ours: Iterable[RelPath], there: Collection[RelPath]) -> tuple[RelPath, ...]:
    """Give the shards among the files `there` that are named like a set of `ours` and not in it."""
    known = set(ours)
    sets = {shard["prefix"] for path in known if (shard := SHARD.fullmatch(path))}
    return tuple(
        sorted(
            path
            for path in there
            if path not in known and (shard := SHARD.fullmatch(path)) and shard["prefix"] in sets
        )
    )
