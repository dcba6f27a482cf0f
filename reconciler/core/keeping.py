"""What lies in the models folder beside the models: partial downloads and the trash."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final

from reconciler.core.names import Sha256

_RUN_TIME: Final = "%Y%m%dT%H%M%SZ"
_RUN_TIME_LENGTH: Final = len("20260131T120000Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """One file that is not whole yet: `have_bytes` of `size_bytes`, from `origin`.

    Size and origin are None where nothing beside it tells.
    """

    sha256: Sha256
    have_bytes: int
    size_bytes: int | None
    origin: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """One file of the partial folder, by its name there.

    `frees_bytes` is what its going gives back, and `touched_at` when it was last written to.
    """

    name: str
    frees_bytes: int
    touched_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Trash:
    """What was taken away and can come back. `oldest_run` is the run that began it, if any."""

    files: int = 0
    size_bytes: int = 0
    oldest_run: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashedRun:
    """What one run took away, and when. `frees_bytes` are free once it and older ones are gone."""

    run: str
    files: int
    size_bytes: int
    frees_bytes: int
    taken_at: datetime


def time_of_run(run: str) -> datetime | None:
    """Give when the run of this name began; None where it is no name of ours."""
    with suppress(ValueError):
        return datetime.strptime(run[:_RUN_TIME_LENGTH], _RUN_TIME).replace(tzinfo=UTC)
    return None


def expired(
    trash: Iterable[TrashedRun], *, now: datetime, ttl_seconds: float
) -> tuple[TrashedRun, ...]:
    """Give what has been in the trash for longer than `ttl_seconds`, the oldest first."""
    return tuple(
        item
        for item in sorted(trash, key=lambda item: item.taken_at)
        if (now - item.taken_at).total_seconds() > ttl_seconds
    )


def runs_that_make_room(
    trash: Iterable[TrashedRun], missing_bytes: int, *, wanted: Collection[str]
) -> tuple[TrashedRun, ...]:
    """Choose what must leave the trash, the oldest first, for `missing_bytes` to be free.

    What `wanted` names, paths of files in the trash, stays. Nothing is chosen where that would not
    be enough.
    """
    kept = {run for path in wanted for run in PurePosixPath(path).parts}
    chosen: list[TrashedRun] = []
    for item in sorted(trash, key=lambda item: item.taken_at):
        if missing_bytes <= 0:
            break
        if item.run not in kept:
            chosen.append(item)
            missing_bytes -= item.frees_bytes
    return tuple(chosen) if missing_bytes <= 0 else ()
