"""Looking at folders now and then: where nobody tells of changes, and whether somebody does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from stat import S_ISDIR

from reconciler.core.watching import Spot

# Who a folder is, and what it held, boiled down to a number.
Signature = tuple[tuple[int, int] | None, int]
_Marks = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between two looks at a folder that nobody tells of, and at one that is told of.

    A far one is looked at less often. What is seen, and not told of within `grace`, was missed.
    """

    near: float = 1.0
    far: float = 60.0
    near_check: float = 5.0
    far_check: float = 300.0
    grace: float = 5.0

    def of(self, spot: Spot, *, is_blind: bool) -> float:
        """Give the seconds until the next look."""
        if is_blind:
            return self.far if spot.is_far else self.near
        return self.far_check if spot.is_far else self.near_check


class Seen(Enum):
    """What a look found."""

    NOTHING_NEW = auto()
    CHANGED = auto()
    # Another folder stands there now.
    SWAPPED = auto()
    # It changed some time ago, and nobody has told.
    MISSED = auto()


@dataclass(slots=True, kw_only=True)
class _Beat:
    """One folder: how it looked last, how often it had been told of then, when it is due."""

    spot: Spot
    signature: Signature
    heard: int
    next_at: float
    suspected_at: float | None = None


class Patrol:
    """Compares folders with how they looked the last time, each at its own pace."""

    def __init__(
        self,
        heard: Mapping[str, int],
        pace: Pace,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the live count of how often each folder was told of."""
        self._heard = heard
        self._pace = pace
        self._monotonic = monotonic
        self._beats: dict[str, _Beat] = {}
        self._due_at = monotonic()

    def follow(self, spots: Mapping[str, Spot]) -> None:
        """Look at these folders from now on; those that it knows are compared with what it saw."""
        now, before = self._monotonic(), self._beats
        self._due_at = now
        self._beats = {
            folder: before[folder]
            if folder in before and before[folder].spot == spot
            else _Beat(
                spot=spot,
                signature=signature_of(spot),
                heard=self._heard.get(folder, 0),
                next_at=now,
            )
            for folder, spot in spots.items()
        }

    def look(self, blind: Set[str]) -> Iterator[tuple[Spot, Seen]]:
        """Look at each folder that is due, and tell what is new; nobody tells of the `blind`."""
        now, beats = self._monotonic(), self._beats
        if now < self._due_at:
            return
        for folder, beat in beats.items():
            if now < beat.next_at:
                continue
            is_blind = folder in blind
            beat.next_at = now + self._pace.of(beat.spot, is_blind=is_blind)
            seen = self._compare(beat, now, is_blind=is_blind)
            if seen is not Seen.NOTHING_NEW:
                yield beat.spot, seen
        if beats is self._beats:
            self._due_at = min((beat.next_at for beat in beats.values()), default=now)

    def _compare(self, beat: _Beat, now: float, *, is_blind: bool) -> Seen:
        before, beat.signature = beat.signature, signature_of(beat.spot)
        heard = self._heard.get(beat.spot.folder, 0)
        is_told, beat.heard = heard != beat.heard, heard
        if beat.signature[0] != before[0]:
            beat.suspected_at = None
            return Seen.SWAPPED
        is_new = beat.signature != before
        if is_told or is_blind:
            beat.suspected_at = None
        elif beat.suspected_at is not None and now - beat.suspected_at >= self._pace.grace:
            beat.suspected_at = None
            return Seen.MISSED
        elif is_new:
            # The word may be on its way.
            beat.suspected_at = now
            beat.next_at = now + self._pace.grace
        # That something was told does not say that everything was.
        return Seen.CHANGED if is_new else Seen.NOTHING_NEW


def signature_of(spot: Spot) -> Signature:
    """Give what tells a folder from another, and from itself with one of its files changed."""
    try:
        found = Path(spot.folder).stat()
        if spot.names is None:
            with os.scandir(spot.folder) as entries:
                marks = [_entry(item) for item in entries if not item.name.startswith(".")]
        else:
            marks = [_named(spot.folder, name) for name in spot.names]
    except OSError:
        return None, 0
    return (found.st_dev, found.st_ino), hash(frozenset(marks))


def _entry(entry: os.DirEntry[str]) -> _Marks:
    # What happens inside a folder is not ours to see here.
    if entry.is_dir(follow_symlinks=False):
        return entry.name, entry.inode(), 0, 0
    try:
        return _marks(entry.name, entry.stat(follow_symlinks=False))
    except OSError:
        return entry.name, 0, 0, 0


def _named(folder: str, name: str) -> _Marks:
    try:
        found = os.lstat(f"{folder}/{name}")
    except OSError:
        return name, 0, 0, 0
    return (name, found.st_ino, 0, 0) if S_ISDIR(found.st_mode) else _marks(name, found)


def _marks(name: str, found: os.stat_result) -> _Marks:
    return name, found.st_ino, found.st_size, found.st_mtime_ns
