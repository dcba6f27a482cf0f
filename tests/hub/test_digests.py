"""Files hashed for both digests at once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import blake3
import pytest

from reconciler.adapters.base.digests import hash_file
from reconciler.core.names import Blake3, Sha256
from reconciler.core.ports.digests import Digests
from reconciler.errors import FileMissing
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


def test_hashing_what_is_no_file_says_so(tmp_path: Path) -> None:
    """A folder, a pipe or a missing file is a clear error, and is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "absent"):
        with pytest.raises(FileMissing, match=str(path)):
            hash_file(path, progress=CountedProgress())
