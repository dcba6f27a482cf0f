"""A second file with the same bytes, without copying: what is left where it cannot be had."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest

from reconciler.adapters.base.cloning import clone, link
from reconciler.adapters.base.files import current_umask
from reconciler.adapters.store.sharing import share
from reconciler.core.copies import Linking
from tests.support.foreign import mounted, sharing_filesystems, without_clones, write
from tests.support.small_disk import needs_root, small_disk

DATA = b"GGUF" * 5000


@pytest.mark.parametrize("kind", sharing_filesystems)
def test_a_clone_is_a_file_of_its_own(tmp_path: Path, kind: str) -> None:
    """It has the same bytes, and keeps them whatever is written to the first."""
    with mounted(tmp_path, kind) as disk:
        source = write(disk / "source", DATA)
        assert clone(source, disk / "target")
        source.write_bytes(b"other")
        assert (disk / "target").read_bytes() == DATA
        assert not clone(disk / "nowhere", disk / "other")
        assert not (disk / "other").exists()


@needs_root
def test_nothing_is_left_where_blocks_cannot_be_shared(tmp_path: Path) -> None:
    """A filesystem without it, and two filesystems, say no, and no empty file stays."""
    source = write(tmp_path / "source", DATA)
    with small_disk(tmp_path / "disk", size="1m") as disk:
        assert not clone(source, disk / "target")
        assert not clone(write(disk / "here", DATA), disk / "target")
        assert not link(source, disk / "target")
        assert not (disk / "target").exists()


def test_a_symbolic_link_is_never_linked(tmp_path: Path) -> None:
    """A second name of a link is no second name of its file."""
    source = write(tmp_path / "source", DATA)
    (tmp_path / "link").symlink_to(source)
    assert not link(tmp_path / "link", tmp_path / "target")
    assert not (tmp_path / "target").is_symlink()
    assert link(source, tmp_path / "target")


@pytest.mark.parametrize(
    ("linking", "mode", "shared"),
    [
        (Linking.FREELY, 0o600, True),
        (Linking.IF_ALIKE, 0o644, True),
        (Linking.IF_ALIKE, 0o600, False),
        (Linking.NEVER, 0o644, False),
    ],
)
def test_links_are_made_as_far_as_they_are_allowed(
    tmp_path: Path, linking: Linking, mode: int, shared: bool
) -> None:
    """A file that would need another mode is linked only where it is ours to change."""
    source = write(tmp_path / "source", DATA)
    source.chmod(mode)
    staged = write(tmp_path / "staged", b"partial")
    with without_clones():
        found = share(source, staged, linking=linking, root=tmp_path)
    assert (found is not None) == shared
    assert staged.samefile(source) == shared
    assert staged.read_bytes() == (DATA if shared else b"partial")
    assert source.stat().st_mode & 0o777 == mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "staged"]


def test_sharing_twice_leaves_one_staged_file(tmp_path: Path) -> None:
    """A rename between two names of one file does nothing; nothing is left over then either."""
    source = write(tmp_path / "source", DATA)
    for _ in range(2):
        with without_clones():
            share(source, tmp_path / "staged", linking=Linking.FREELY, root=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "staged"]


def test_reading_the_umask_never_changes_it() -> None:
    """Files are staged by several threads at once, and each would see the others' change."""
    before = os.umask(0o027)
    try:
        with mock.patch.object(os, "umask", side_effect=AssertionError("it was set")):
            assert current_umask() == 0o027
    finally:
        os.umask(before)
