"""Files hashed for both digests at once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import blake3
import pytest

from reconciler.adapters.base.digests import CHUNK_BYTES, BothDigests, hash_file, hash_segments
from reconciler.core.damage import SEGMENT_BYTES
from reconciler.core.names import Blake3, Sha256
from reconciler.core.ports.digests import Digests
from reconciler.errors import FileMissing, Interrupted
from tests.support.hub_client import CountedProgress


def test_file_is_hashed_once_for_both_digests(tmp_path: Path) -> None:
    """Digests of a file on disk are those of its bytes, over chunks and for an empty file."""
    path = tmp_path / "file"
    for data in (b"", b"x", hashlib.shake_256(b"3").digest(2_500_001)):
        path.write_bytes(data)
        progress = CountedProgress()
        assert hash_file(path, progress=progress) == Digests(
            sha256=Sha256(hashlib.sha256(data).hexdigest()),
            blake3=Blake3(blake3.blake3(data).hexdigest()),
            size_bytes=len(data),
        )
        assert progress.total_bytes == len(data)


def values(data: bytes) -> bytes:
    """Give the blake3 of each segment of `data`."""
    starts = range(0, len(data), SEGMENT_BYTES)
    return b"".join(blake3.blake3(data[start : start + SEGMENT_BYTES]).digest() for start in starts)


@pytest.mark.parametrize(
    "size_bytes", [0, 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 2 * SEGMENT_BYTES, 2_500_001]
)
def test_segments_come_with_the_digests_whatever_the_pieces(
    tmp_path: Path, size_bytes: int
) -> None:
    """One pass gives the values of all segments, in pieces that end where none of them does; as
    many readers as there are give the same.
    """
    data = hashlib.shake_256(b"s").digest(size_bytes)
    running = BothDigests()
    for start in range(0, size_bytes, 7_000_001):
        running.update(data[start : start + 7_000_001])
    found = running.digests()
    assert found.segments == values(data)
    whole = data if size_bytes <= SEGMENT_BYTES else found.segments
    assert found.blake3 == blake3.blake3(whole).hexdigest()
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    path = tmp_path / "file"
    path.write_bytes(data)
    for threads in (1, 2, 5):
        progress = CountedProgress()
        assert hash_segments(path, threads=threads, progress=progress) == found.segments
        assert progress.total_bytes == size_bytes


def test_a_file_cut_short_while_it_is_read_ends_nothing(tmp_path: Path) -> None:
    """A file that loses its end under several readers gives other segments, and no crash."""
    path = tmp_path / "file"
    path.write_bytes(bytes(3 * SEGMENT_BYTES))

    class Cutting(CountedProgress):
        def advance(self, count_bytes: int) -> None:
            super().advance(count_bytes)
            os.truncate(path, CHUNK_BYTES)

    found = hash_segments(path, threads=2, progress=Cutting())
    assert found != values(bytes(3 * SEGMENT_BYTES))


def test_a_reader_that_is_stopped_stops_all(tmp_path: Path) -> None:
    """What the progress raises ends every reader, and is raised."""
    path = tmp_path / "file"
    path.write_bytes(bytes(4 * SEGMENT_BYTES))

    class Stopping(CountedProgress):
        def advance(self, count_bytes: int) -> None:
            super().advance(count_bytes)
            raise Interrupted("stopped")

    progress = Stopping()
    with pytest.raises(Interrupted):
        hash_segments(path, threads=3, progress=progress)
    assert progress.total_bytes <= 3 * CHUNK_BYTES


def test_hashing_what_is_no_file_says_so(tmp_path: Path) -> None:
    """A folder, a pipe or a missing file is a clear error, and is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "absent"):
        with pytest.raises(FileMissing, match=str(path)):
            hash_file(path, progress=CountedProgress())
        with pytest.raises(FileMissing, match=str(path)):
            hash_segments(path, threads=2, progress=CountedProgress())
