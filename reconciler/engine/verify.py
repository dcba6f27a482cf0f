"""Look at files of ours again and tell whether they are what they should be."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from reconciler.core.beside import extra_shards
from reconciler.core.damage import Damage
from reconciler.core.ledger import Ledger, LedgerFile
from reconciler.core.names import ModelId, RelPath
from reconciler.engine.file_checks import (
    FileCheck,
    Finding,
    check_by_reading,
    check_quickly,
    recall_check,
)
from reconciler.engine.host import Host
from reconciler.engine.lanes import Lanes
from reconciler.errors import ReconcilerError

# A file like this keeps every reader busy by itself; of smaller ones several are read at once.
_LARGE_BYTES: Final = 64 * 1024 * 1024
# What was read longer ago says little of the disk as it is now.
_CONTINUED_FOR: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedFile:
    """One file, what was found, and the models that use it.

    `damage` says where it is damaged, None where that is not known; `note` what else there is to
    say, for people.
    """

    path: RelPath
    finding: Finding
    size_bytes: int
    models: tuple[ModelId, ...]
    damage: Damage | None
    note: str


def verify(
    host: Host,
    ledger: Ledger,
    models: Collection[ModelId],
    *,
    quick: bool = False,
    fresh: bool = False,
) -> tuple[VerifiedFile, ...]:
    """Check every file of the ledger, or those of `models` alone; gives them in its order.

    Each is read whole; with `quick` none is. What reading finds is remembered file by file, so the
    next plan sees the damage and mends it. A check of all files that was cut short less than a day
    ago is continued, unless it is to be `fresh`: what it has read is not read again.

    Raises:
        Interrupted: the person, or the system, asked us to stop.
    """
    users: dict[RelPath, list[ModelId]] = {path: [] for path in ledger.files}
    for key, model in ledger.models.items():
        for path in model.files:
            users[path].append(key)
    chosen = [
        file for path, file in ledger.files.items() if not models or set(models) & set(users[path])
    ]
    if quick:
        checks = {file.path: check_quickly(file, host) for file in chosen}
    elif models:
        checks = dict(read_files(chosen, host))
    else:
        checks = _check_all(chosen, host, fresh=fresh)
    return tuple(
        VerifiedFile(
            path=file.path,
            finding=checks[file.path].finding,
            size_bytes=file.size_bytes,
            models=tuple(users[file.path]),
            damage=checks[file.path].damage,
            note=checks[file.path].note or _stamp_note(file, host),
        )
        for file in chosen
    )


def shards_of_no_set(host: Host, ledger: Ledger) -> tuple[RelPath, ...]:
    """Give the files that are named like shards of a set of ours, and that no model wants."""
    return extra_shards(ledger.files, host.folder.gguf_files().keys())


def read_files(files: Sequence[LedgerFile], host: Host) -> Iterator[tuple[RelPath, FileCheck]]:
    """Check files by reading them, several at once where their drive likes that, as they come.

    Raises:
        Interrupted: the person, or the system, asked us to stop.
    """
    readers = host.digests.at_once(host.folder.root)
    # With one reader there is one lane, so that nothing makes it go to and fro.
    alone_bytes = _LARGE_BYTES if readers > 1 else math.inf
    large = [file for file in files if file.size_bytes >= alone_bytes]
    others = [file for file in files if file.size_bytes < alone_bytes]
    with host.reporter.batch(len(files), sum(file.size_bytes for file in files)) as batch:
        lanes = Lanes(
            lambda file: check_by_reading(file, host, batch),
            (large, 1),
            (others, readers),
            stop=host.digests.stop,
        )
        for file, result in lanes.results():
            if isinstance(result, ReconcilerError):
                raise result
            yield file.path, result


def _check_all(files: Sequence[LedgerFile], host: Host, *, fresh: bool) -> dict[RelPath, FileCheck]:
    now = host.clock.now()
    begun_at = None if fresh else host.inventory.load_check()
    done: dict[RelPath, FileCheck] = {}
    if begun_at is not None and timedelta() <= now - begun_at < _CONTINUED_FOR:
        for file in files:
            if (check := recall_check(file, host, since=begun_at)) is not None:
                done[file.path] = check
        host.reporter.say(
            f"continuing the check begun at {begun_at.isoformat(timespec='seconds')}, which has "
            f"read {len(done)} of {len(files)} files; --fresh starts over"
        )
    else:
        host.inventory.save_check(now)
    done |= read_files([file for file in files if file.path not in done], host)
    host.inventory.save_check(None)
    return done


def _stamp_note(file: LedgerFile, host: Host) -> str:
    """Say where the `.sha256` beside a file disagrees with the lock: a hint, and nothing more."""
    with suppress(ReconcilerError):
        noted = host.folder.noted_digest(file.path)
        if noted is not None and noted != file.sha256:
            return f"the .sha256 beside it notes another digest: {noted}"
    return ""
