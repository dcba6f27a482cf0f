"""Folders that know no digests: which files count, and what they are said to be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.adapters.foreign.walking import walk
from reconciler.core.copies import Store
from reconciler.core.ports.copies import Candidate
from tests.support.foreign import sha256_of, write

DATA = b"GGUF and then some"
DIGEST = sha256_of(DATA)
OTHER = "0" * 64


def found(folder: Path, *, only_gguf: bool = True) -> list[Candidate]:
    """Give what counts below a folder."""
    return list(walk(folder, Store.FOLDER, {len(DATA)}, only_gguf=only_gguf))


def note(folder: Path, name: str, etag: str, when: float) -> None:
    """Leave the note that the hub's client leaves of a file it downloaded."""
    text = f"{'c' * 40}\n{etag}\n{when}\n"
    write(folder / ".cache/huggingface/download" / f"{name}.metadata", text.encode())


def test_only_whole_files_of_a_wanted_size_count(tmp_path: Path) -> None:
    """Other sizes, other kinds of file, unfinished ones and our own folder do not."""
    wanted = write(tmp_path / "a" / "b" / "model.GGUF", DATA)
    write(tmp_path / "a" / "larger.gguf", DATA + b"x")
    write(tmp_path / "notes.txt", DATA)
    write(tmp_path / ".reconciler" / "partial" / "x.gguf", DATA)
    for ending in (".incomplete", ".part", "-partial", "-partial-0", ".downloadInProgress"):
        write(tmp_path / f"model.gguf{ending}", DATA)
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "broken.gguf").symlink_to("nowhere")
    assert [item.path for item in found(tmp_path)] == [wanted]
    names = [item.path.name for item in found(tmp_path, only_gguf=False)]
    assert names == ["notes.txt", "model.GGUF"]


def test_a_link_to_a_file_counts_and_one_to_a_folder_does_not(tmp_path: Path) -> None:
    """A folder is never entered twice, however its links lead in circles."""
    target = write(tmp_path / "elsewhere" / "blob", DATA)
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "linked.gguf").symlink_to(target)
    (folder / "again").symlink_to(folder)
    assert [item.path.name for item in found(folder)] == ["linked.gguf"]


@pytest.mark.parametrize("name", ["bad\x1b[31m.gguf", "bad\u202e.gguf", "bad\udcff.gguf"])
def test_a_name_that_cannot_be_printed_does_not_count(tmp_path: Path, name: str) -> None:
    """A plan shows where bytes come from; a name of others must not write to the terminal."""
    write(tmp_path / name, DATA)
    assert found(tmp_path) == []


@pytest.mark.parametrize("name", [DIGEST, f"sha256-{DIGEST}"])
def test_a_name_may_claim_the_digest(tmp_path: Path, name: str) -> None:
    """As stores do that name their files so, wherever they lie."""
    write(tmp_path / name, DATA)
    assert [item.claims for item in found(tmp_path)] == [DIGEST]


def test_a_stamp_beside_a_file_claims_its_digest(tmp_path: Path) -> None:
    """In the form of sha256sum; a stamp that is none is passed over."""
    write(tmp_path / "a.gguf", DATA)
    write(tmp_path / "a.gguf.sha256", f"{DIGEST}  a.gguf\n".encode())
    write(tmp_path / "b.gguf", DATA)
    write(tmp_path / "b.gguf.sha256", b"\xff\xfe")
    assert [item.claims for item in found(tmp_path)] == [DIGEST, None]


@pytest.mark.parametrize(
    ("etag", "aged_seconds", "claims"),
    [(DIGEST, 0, DIGEST), (DIGEST, 10, None), ("1" * 40, 0, None), ("", 0, None)],
    ids=["valid", "edited since", "a git digest", "empty"],
)
def test_the_hub_clients_note_claims_until_the_file_is_edited(
    tmp_path: Path, etag: str, aged_seconds: float, claims: str | None
) -> None:
    """A note that is older than its file tells of other bytes."""
    file = write(tmp_path / "theirs" / "Q4" / "a.gguf", DATA)
    note(tmp_path / "theirs", "Q4/a.gguf", etag, file.stat().st_mtime - aged_seconds)
    assert [item.claims for item in found(tmp_path)] == [claims]


def test_a_note_above_the_folder_is_not_read(tmp_path: Path) -> None:
    """Only what lies in the folder that was named is looked at."""
    file = write(tmp_path / "in" / "a.gguf", DATA)
    note(tmp_path, "in/a.gguf", OTHER, file.stat().st_mtime)
    assert [item.claims for item in found(tmp_path / "in")] == [None]
