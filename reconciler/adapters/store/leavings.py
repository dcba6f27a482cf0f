"""What lies in our state folder and may go for good: the trash of each run, unfinished files.

What has gone in the meantime is left out, and a link is never followed.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from reconciler.adapters.base.files import identity_from, translated
from reconciler.adapters.base.partial_record import record_path, remove_record
from reconciler.core.identity import FileIdentity
from reconciler.core.keeping import Leftover, TrashedRun, time_of_run

# What `st_blocks` counts in, whatever the filesystem's own blocks are.
_BLOCK_BYTES: Final = 512
_RECORD: Final = ".record"


def trashed_runs(state: Path) -> tuple[TrashedRun, ...]:
    """Give what each run took away, the oldest first; a name that is none of ours tells no time.

    A file that several of them hold is freed by the last.
    """
    seen: Counter[tuple[int, int]] = Counter()
    return tuple(_trashed_run(when, folder, seen) for when, folder in _by_age(state / "trash"))


def _trashed_run(when: datetime, folder: Path, seen: Counter[tuple[int, int]]) -> TrashedRun:
    """Measure one; `seen` counts the names that each file has in this one and those before it."""
    files = size_bytes = frees_bytes = 0
    for path, told in _files(folder):
        inode = (told.st_dev, told.st_ino)
        seen[inode] += 1
        if seen[inode] >= told.st_nlink:
            frees_bytes += told.st_blocks * _BLOCK_BYTES
        if path.suffix != ".sha256":
            files += 1
            size_bytes += told.st_size
    return TrashedRun(
        run=folder.name,
        files=files,
        size_bytes=size_bytes,
        frees_bytes=frees_bytes,
        taken_at=when,
    )


def _by_age(trash: Path) -> list[tuple[datetime, Path]]:
    found = []
    for folder in _entries(trash):
        with suppress(OSError):
            changed = datetime.fromtimestamp(folder.lstat().st_mtime, UTC)
            found.append((time_of_run(folder.name) or changed, folder))
    return sorted(found)


def empty_trash(state: Path, run: str) -> tuple[FileIdentity, ...]:
    """Delete for good what a run took away, and give the files that have no other name.

    Raises `Refused`, `ReconcilerError`.
    """
    folder = state / "trash" / run
    last = _without_other_names(told for _, told in _files(folder))
    with translated(folder, "deleting"):
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
        else:
            folder.unlink(missing_ok=True)
    return last


def leftovers(state: Path) -> tuple[Leftover, ...]:
    """Give each file of the partial folder; a record goes with its file, or by itself."""
    found = []
    entries = _entries(state / "partial")
    names = {path.name for path in entries}
    for path in entries:
        is_record = path.suffix == _RECORD
        if is_record and path.name.removesuffix(_RECORD) in names:
            continue
        with suppress(OSError):
            told = path.lstat()
            if not stat.S_ISDIR(told.st_mode):
                times = [told.st_mtime]
                with suppress(OSError):
                    times.append(record_path(path).lstat().st_mtime)
                found.append(
                    Leftover(
                        name=path.name,
                        # What has another name, or is a link, gives nothing back.
                        frees_bytes=told.st_blocks * _BLOCK_BYTES if told.st_nlink == 1 else 0,
                        touched_at=datetime.fromtimestamp(max(times), UTC),
                    )
                )
    return tuple(found)


def delete_leftover(state: Path, name: str) -> tuple[FileIdentity, ...]:
    """Delete a file of the partial folder, then its record; gives it where it has no other name.

    Raises `Refused`, `ReconcilerError`.
    """
    path = state / "partial" / name
    with translated(path, "deleting"):
        last = unlink(path)
    remove_record(path)
    return last


def unlink(path: Path) -> tuple[FileIdentity, ...]:
    """Delete a file, and give it where it has no other name. Raises `OSError`."""
    last = _without_other_names([path.lstat()] if os.path.lexists(path) else [])
    path.unlink(missing_ok=True)
    return last


def _without_other_names(found: Iterable[os.stat_result]) -> tuple[FileIdentity, ...]:
    """Give the files to which no name leads but those that were `found`."""
    files = [told for told in found if stat.S_ISREG(told.st_mode)]
    names = Counter((told.st_dev, told.st_ino) for told in files)
    last = {identity_from(t) for t in files if names[t.st_dev, t.st_ino] >= t.st_nlink}
    return tuple(last)


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for below, _, names in os.walk(folder):
        for path in (Path(below, name) for name in names):
            with suppress(OSError):
                yield path, path.lstat()
