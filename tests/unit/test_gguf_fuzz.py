"""Whatever the bytes, reading a header ends in a header or in the one typed error, and soon."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.gguf.header import extent_complaint, read_header
from reconciler.core.gguf.shards import check_shards
from reconciler.errors import GgufInvalid
from tests.fuzz_gguf import fuzz
from tests.support.gguf_headers import InMemory, header
from tests.support.searching import trying


def test_damaged_headers_never_crash_the_reader() -> None:
    """Thousands of damaged headers (the short form of `python -m tests.fuzz_gguf`)."""
    refused = fuzz(1500, seed=1)
    assert 500 < refused < 1500


@trying(75)
@given(st.binary(max_size=300), st.integers(0, 3), st.integers(0, 3))
def test_any_bytes_behind_a_right_beginning(data: bytes, keys: int, tensors: int) -> None:
    """Right magic and counts, then anything."""
    source = InMemory(header(key_count=keys, tensor_count=tensors) + data)
    try:
        found = read_header(source)
    except GgufInvalid:
        return
    assert isinstance(extent_complaint(found, source.size_bytes), str)
    assert isinstance(check_shards([found, found]), tuple)
