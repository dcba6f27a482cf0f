"""Extents: what of a file is there, told exactly, however its parts arrive."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.core.extents import Extents

SIZE = 40
PAIRS = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)), max_size=30)


@given(PAIRS)
@example([(0, 5), (9, 12), (5, 9)])
def test_extents_are_the_set_of_bytes_added(pairs: list[tuple[int, int]]) -> None:
    """Whatever is added in whatever order, it tells what is there and new as a set would."""
    extents, model = Extents(), set[int]()
    for start, end in pairs:
        wanted = set(range(start, end))
        assert extents.add(start, end) == len(wanted - model)
        model |= wanted
    listed = list(extents)
    assert {byte for start, end in listed for byte in range(start, end)} == model
    assert all(a < b for a, b in listed)
    assert all(before[1] < after[0] for before, after in pairwise(listed))
    assert extents.total_bytes == len(model)
    assert extents.front == next(byte for byte in range(SIZE + 1) if byte not in model)


@given(PAIRS, st.integers(0, SIZE), st.integers(0, SIZE))
def test_missing_is_what_is_not_there(pairs: list[tuple[int, int]], start: int, end: int) -> None:
    """What is missing of any part of the file is the rest of it, in order and without overlap."""
    extents = Extents(pairs)
    there = {byte for a, b in extents for byte in range(a, b)}
    missing = extents.missing(start, end)
    assert {byte for a, b in missing for byte in range(a, b)} == set(range(start, end)) - there
    assert missing == sorted(missing)
    assert all(a < b for a, b in missing)
