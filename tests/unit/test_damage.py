"""Where a file is damaged, and what of it is still there."""

from __future__ import annotations

import pytest

from reconciler.core.damage import (
    SEGMENT_BYTES,
    Damage,
    Segments,
    damage_of,
    intact_extents,
    segment_count,
    segment_extent,
)

SIZE = 3 * SEGMENT_BYTES + 5


def segments(names: str) -> Segments:
    """Give segments whose values are told by one letter each."""
    return Segments(b"".join(name.encode() * 32 for name in names))


@pytest.mark.parametrize(
    ("size_bytes", "count"),
    [(0, 0), (1, 1), (SEGMENT_BYTES, 1), (SEGMENT_BYTES + 1, 2), (SIZE, 4)],
)
def test_segments_cover_a_file_without_a_gap(size_bytes: int, count: int) -> None:
    """Each begins where the one before it ends, and the last one ends with the file."""
    assert segment_count(size_bytes) == count
    extents = [segment_extent(number, size_bytes) for number in range(count)]
    assert [start for start, _ in extents] == [0, *(end for _, end in extents)][:count]
    assert not extents or extents[-1][1] == size_bytes


@pytest.mark.parametrize(
    ("found", "damaged", "intact"),
    [
        ("abcd", (), ((0, SIZE),)),
        ("Abcd", ((0, SEGMENT_BYTES),), ((SEGMENT_BYTES, SIZE),)),
        (
            "aBCd",
            ((SEGMENT_BYTES, 3 * SEGMENT_BYTES),),
            ((0, SEGMENT_BYTES), (3 * SEGMENT_BYTES, SIZE)),
        ),
        ("aB", ((SEGMENT_BYTES, SIZE),), ((0, SEGMENT_BYTES),)),
        ("abcde", (), ((0, SIZE),)),
        ("", ((0, SIZE),), ()),
    ],
    ids=["intact", "first", "two joined", "cut short", "longer", "empty"],
)
def test_damage_and_what_is_intact_make_up_the_file(
    found: str, damaged: tuple[tuple[int, int], ...], intact: tuple[tuple[int, int], ...]
) -> None:
    """Segments that differ or are not there are damaged, all others intact; neighbours are one."""
    good = segments("abcd")
    at = damage_of(good, segments(found), SIZE)
    count = sum(segment_count(end - start) for start, end in damaged)
    assert at == Damage(damaged=count, segments=4, extents=damaged)
    assert intact_extents(good, segments(found), SIZE) == intact
