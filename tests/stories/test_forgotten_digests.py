"""What the inventory knows of files goes with the files, and not before."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox import Sandbox

CHAT = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n"
CODE = "  code:\n    source: acme/code-GGUF:Q4_K_M\n"


@pytest.fixture
def two(host: Sandbox) -> Sandbox:
    """A host with two models, whose files are known."""
    host.add_repo("acme/chat-GGUF")
    host.add_repo("acme/code-GGUF", seed=2)
    host.write_manifest(CHAT + CODE)
    host.apply()
    return host


def column(host: Sandbox, query: str) -> set[Any]:
    """Ask the inventory itself, for one column."""
    path = host.models / ".reconciler" / "inventory.db"
    with closing(sqlite3.connect(path)) as database:
        return {row[0] for row in database.execute(query)}


def known(host: Sandbox) -> tuple[set[int], int]:
    """Give the inodes whose digests are known, and the number of contents with segments."""
    segments = column(host, "SELECT sha256 FROM segments")
    return column(host, "SELECT inode FROM digest"), len(segments)


def inode_of(host: Sandbox, name: str) -> int:
    """Give the inode of a model's file, wherever it lies."""
    return next(host.models.rglob(f"{name}-Q4_K_M.gguf")).stat().st_ino


@pytest.mark.parametrize("way", ["trash", "delete", "prune"])
def test_digests_go_with_the_last_name_of_a_file(two: Sandbox, way: str) -> None:
    """When the trash is emptied, by itself or by a person, and where no trash is kept."""
    chat, code = inode_of(two, "chat"), inode_of(two, "code")
    assert known(two) == ({chat, code}, 2)
    if way == "trash":
        two.settings["RECONCILER_TRASH_TTL"] = "0"
    two.write_manifest(CODE, policy="{prune: delete}" if way == "delete" else "")
    two.apply()
    if way == "prune":
        assert two.run("prune", "--trash", "--yes").code == 0
    # Segments are looked through when files go: those of what was in the ledger till then stay.
    assert known(two) == ({code}, 2 if way == "delete" else 1)


def test_digests_of_what_is_kept_or_not_there_stay(two: Sandbox) -> None:
    """A file in the trash, one that has another name, and one that cannot be found: any of them
    may come back, and is not read again then.
    """
    chat, code = inode_of(two, "chat"), inode_of(two, "code")
    two.write_manifest(CODE)
    two.apply()
    assert known(two) == ({chat, code}, 2)
    (trashed,) = (two.models / ".reconciler" / "trash").rglob("*.gguf")
    elsewhere = two.home / "elsewhere.gguf"
    elsewhere.hardlink_to(trashed)
    gone = next(two.models.rglob("acme/code-GGUF/*.gguf"))
    gone.rename(two.home / "unplugged.gguf")
    assert two.run("prune", "--all", "--yes").code == 0
    assert not trashed.exists()
    assert known(two) == ({chat, code}, 2)


def test_digests_of_a_dropped_download_go(two: Sandbox) -> None:
    """One that is given up is forgotten with its file; where a link leads stays known."""
    before = known(two)
    staged = two.models / ".reconciler" / "partial" / ("ab" * 32)
    staged.write_bytes(b"begun")
    link = staged.with_name("cd" * 32)
    link.symlink_to(next(two.models.glob("acme/chat-GGUF/*.gguf")))
    found = staged.stat()
    row = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, "ab" * 32, "ab" * 32)
    path = two.models / ".reconciler" / "inventory.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO digest VALUES (?, ?, ?, ?, ?, ?, NULL)", row)
    assert two.run("prune", "--all", "--yes").code == 0
    assert not os.path.lexists(link)
    assert known(two) == before


def test_segments_of_a_damaged_file_outlive_the_deletion_of_others(two: Sandbox) -> None:
    """Only the ledger knows then what its bytes should be, and the segments tell where they are
    not: they stay, whatever is deleted meanwhile.
    """
    damaged: Path = next(two.models.rglob("acme/code-GGUF/*.gguf"))
    data = damaged.read_bytes()
    damaged.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert two.run("verify").code == 3
    meant = hashlib.sha256(data).hexdigest()
    assert meant not in column(two, "SELECT sha256 FROM digest")
    (two.models / ".reconciler" / "partial" / ("ab" * 32)).write_bytes(b"begun")
    assert two.run("prune", "--all", "--yes").code == 0
    assert meant in column(two, "SELECT sha256 FROM segments")
