"""Where a file is damaged: the digests of its segments, as they should be and as they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NewType

# The blake3 values of a file's segments, 32 bytes each, one after the other.
Segments = NewType("Segments", bytes)

# What is fetched again for one wrong byte, against what is kept to know where it is.
SEGMENT_BYTES: Final = 16 * 1024 * 1024
_VALUE_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """`damaged` of a file's `segments` are not as they should be.

    `extents` are the bytes of the file, as start and end, that those should hold.
    """

    damaged: int
    segments: int
    extents: tuple[tuple[int, int], ...]


def segment_count(size_bytes: int) -> int:
    """Give how many segments a file of `size_bytes` has."""
    return -(-size_bytes // SEGMENT_BYTES)


def segment_extent(number: int, size_bytes: int) -> tuple[int, int]:
    """Give where the segment `number`, from 0, of a file of `size_bytes` begins and ends."""
    start = number * SEGMENT_BYTES
    return start, min(start + SEGMENT_BYTES, size_bytes)


def damage_of(good: Segments, found: Segments, size_bytes: int) -> Damage:
    """Compare what a file of `size_bytes` should be with what was found, longer or shorter."""
    count = segment_count(size_bytes)
    damaged = [number for number in range(count) if not _agree(good, found, number)]
    return Damage(
        damaged=len(damaged), segments=count, extents=_joined_extents(damaged, size_bytes)
    )


def intact_extents(good: Segments, found: Segments, size_bytes: int) -> tuple[tuple[int, int], ...]:
    """Give what of a file that should have `size_bytes` is there, as starts and ends."""
    intact = [number for number in range(segment_count(size_bytes)) if _agree(good, found, number)]
    return _joined_extents(intact, size_bytes)


def _agree(good: Segments, found: Segments, number: int) -> bool:
    # Equal values mean equal bytes, and so equal lengths: a last segment that is cut short differs.
    at = slice(number * _VALUE_BYTES, (number + 1) * _VALUE_BYTES)
    return good[at] == found[at]


def _joined_extents(numbers: Iterable[int], size_bytes: int) -> tuple[tuple[int, int], ...]:
    extents: list[tuple[int, int]] = []
    for number in numbers:
        start, end = segment_extent(number, size_bytes)
        if extents and extents[-1][1] == start:
            start, _ = extents.pop()
        extents.append((start, end))
    return tuple(extents)
