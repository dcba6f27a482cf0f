"""Files of people are read whole, and the reading always ends."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from reconciler.adapters.base.whole_file import UnfitFile, read_whole
from tests.support.unfit import UNFIT, put_unfit


@pytest.mark.parametrize("kind", UNFIT)
def test_what_cannot_be_read_whole_is_refused_unopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It is told what it is and what to do, and it is not even opened, for that may do something:
    a pipe's writer would be let go on, and a device may act on it.
    """
    opened: list[Any] = []
    words = put_unfit(kind, tmp_path / "file")
    monkeypatch.setattr(os, "open", lambda path, _: opened.append(path))
    with pytest.raises(UnfitFile, match=words) as caught:
        read_whole(tmp_path / "file")
    assert caught.value.hint
    assert opened == []


@pytest.mark.parametrize("kind", UNFIT)
def test_what_changes_as_it_is_opened_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Whoever puts something else there after the first look gains nothing."""
    path = tmp_path / "file"
    path.write_text("small")
    found = path.stat()
    words = put_unfit(kind, path)
    monkeypatch.setattr(Path, "stat", lambda _: found)
    with pytest.raises(UnfitFile, match=words):
        read_whole(path)


def test_socket_is_refused(tmp_path: Path) -> None:
    """It could not be opened; what it is is told all the same."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "file"))
        with pytest.raises(UnfitFile, match="a socket"):
            read_whole(tmp_path / "file")


def test_largest_file_is_read(tmp_path: Path) -> None:
    """The limit itself is allowed, also over more than one read; one byte more is not."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 300_000)
    assert read_whole(path, most_bytes=3_000_000) == path.read_bytes()
    with pytest.raises(UnfitFile, match="larger than 2929 KiB"):
        read_whole(path, most_bytes=2_999_999)


def test_file_without_a_size_is_read_and_bounded() -> None:
    """What the kernel makes up has no size beforehand; the limit holds while it is read."""
    path = Path("/proc/self/status")
    assert path.stat().st_size == 0
    assert b"Umask:" in read_whole(path)
    with pytest.raises(UnfitFile, match="larger"):
        read_whole(path, most_bytes=16)


def test_link_is_followed_and_a_folder_is_none(tmp_path: Path) -> None:
    """A link to a file is that file; a folder, and a link to nothing, are told as ever."""
    (tmp_path / "real").write_bytes(b"words")
    (tmp_path / "link").symlink_to("real")
    assert read_whole(tmp_path / "link") == b"words"
    with pytest.raises(IsADirectoryError, match=r"Is a directory"):
        read_whole(tmp_path)
    (tmp_path / "real").unlink()
    with pytest.raises(FileNotFoundError):
        read_whole(tmp_path / "link")
