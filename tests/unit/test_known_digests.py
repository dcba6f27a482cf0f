"""Known digests: no unchanged file is read twice, and no changed one is trusted."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.adapters.base.files import identity_of
from reconciler.adapters.store.digest_table import DigestTable
from reconciler.adapters.store.inventory import Inventory
from reconciler.adapters.store.known_digests import HashedFiles, KnownDigests, cache_folder
from reconciler.core.damage import Segments
from reconciler.core.identity import FileIdentity
from reconciler.core.names import Blake3, Sha256
from reconciler.core.ports.digests import Digests
from reconciler.errors import FileMissing, Interrupted, ReconcilerError
from tests.support.fakes import Heard
from tests.support.rot import flip

FOUND = Digests(sha256=Sha256("a" * 64), blake3=Blake3("b" * 64), size_bytes=3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file to be hashed."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"first")
    return path


@pytest.fixture
def inventory(tmp_path: Path) -> Iterator[Inventory]:
    """An inventory of its own."""
    folder = tmp_path / "state"
    folder.mkdir()
    with closing(Inventory(folder, for_writing=True)) as inventory:
        yield inventory


def known(
    folder: Path, heard: Heard, table: DigestTable | None = None, *, dry: bool = True
) -> closing[KnownDigests]:
    """Open the digests with their cache below `folder`."""
    return closing(
        KnownDigests(table, cache_folder=folder / "cache", keep_in_cache=dry, reporter=heard)
    )


def sha256(data: bytes) -> str:
    """Give the digest that must come out."""
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("dry", [True, False], ids=["cache", "inventory"])
def test_unchanged_file_is_read_once(
    tmp_path: Path, model: Path, inventory: Inventory, dry: bool
) -> None:
    """The second question is answered from memory, whichever memory may be written."""
    heard = Heard()
    for _ in range(2):
        with known(tmp_path, heard, inventory.digests, dry=dry) as digests:
            assert digests.digest(model).sha256 == sha256(b"first")
    assert heard.tasks == ["hashing model.gguf"]
    assert (tmp_path / "cache").exists() == dry


def _grow(path: Path) -> None:
    path.write_bytes(b"longer than before")


def _change_in_place(path: Path) -> None:
    path.write_bytes(b"FIRST")
    os.utime(path, ns=(1, 1))


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"other")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [_grow, _change_in_place, _replace])
def test_changed_file_is_read_again(
    tmp_path: Path, model: Path, change: Callable[[Path], None]
) -> None:
    """Another size, another time or another file under the name: nothing old is trusted."""
    heard = Heard()
    with known(tmp_path, heard) as digests:
        digests.digest(model)
        change(model)
        assert digests.digest(model).sha256 == sha256(model.read_bytes())
    assert len(heard.tasks) == 2


def test_moved_file_keeps_its_digest(tmp_path: Path, model: Path) -> None:
    """A rename costs no hashing, however large the file."""
    heard = Heard()
    with known(tmp_path, heard) as digests:
        digests.digest(model)
        moved = model.rename(tmp_path / "moved.gguf")
        assert digests.digest(moved).sha256 == sha256(b"first")
    assert len(heard.tasks) == 1


def test_rehash_reads_whatever_is_known_and_the_find_is_believed(
    tmp_path: Path, model: Path, inventory: Inventory
) -> None:
    """A damage that changed neither size nor time is found by reading, and known from then on."""
    heard = Heard()
    with known(tmp_path, heard, inventory.digests, dry=False) as digests:
        digests.digest(model)
        stamp = model.stat()
        model.write_bytes(b"fIrst")
        os.utime(model, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        assert digests.digest(model).sha256 == sha256(b"first")
        assert digests.rehash(model, Heard()).sha256 == sha256(b"fIrst")
        assert digests.digest(model).sha256 == sha256(b"fIrst")


@pytest.mark.parametrize("dry", [True, False], ids=["cache", "inventory"])
def test_segments_are_kept_by_content_and_outlive_damage(
    tmp_path: Path, model: Path, inventory: Inventory, dry: bool
) -> None:
    """A file that rots in place leaves known what its segments should be."""
    with known(tmp_path, Heard(), inventory.digests, dry=dry) as digests:
        good = digests.digest(model)
        flip(model, 2)
        bad = digests.rehash(model, Heard())
        assert digests.segments(good.sha256) == good.segments != b""
        assert digests.segments(bad.sha256) == bad.segments != good.segments
        assert digests.read_segments(model, Heard()) == bad.segments
        assert digests.segments(Sha256("0" * 64)) is None


def test_what_is_read_is_known_to_have_been_read_now(
    tmp_path: Path, model: Path, inventory: Inventory
) -> None:
    """Reading gives a time; digests that come from memory give none."""
    with known(tmp_path, Heard(), inventory.digests, dry=False) as digests:
        before = datetime.now(UTC)
        found = digests.digest(model)
        identity = identity_of(model)
        assert identity is not None
        read_at = digests.hashed_at(identity)
        assert read_at is not None
        assert before <= read_at <= datetime.now(UTC)
        digests.record(identity, replace(found, segments=Segments(b"")))
        assert digests.hashed_at(identity) is None


def test_told_to_stop_nothing_more_is_read(tmp_path: Path, model: Path) -> None:
    """Reading ends with an interruption, and nothing is remembered of half a file."""
    with known(tmp_path, Heard()) as digests:
        digests.stop()
        for read in (digests.digest, lambda path: digests.read_segments(path, Heard())):
            with pytest.raises(Interrupted):
                read(model)
        identity = identity_of(model)
        assert identity is not None
        assert digests.find(identity) is None


def test_as_many_are_read_at_once_as_is_said(tmp_path: Path) -> None:
    """The setting counts more than the drive."""
    with closing(
        KnownDigests(None, cache_folder=tmp_path, keep_in_cache=True, reporter=Heard(), readers=7)
    ) as digests:
        assert digests.at_once(tmp_path) == 7


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    """A missing file and a folder are errors that name the path."""
    with known(tmp_path, Heard()) as digests:
        for path in (tmp_path / "missing", tmp_path):
            with pytest.raises(FileMissing, match=str(path)):
                HashedFiles(digests).describe(str(path))


def test_path_that_cannot_be_looked_at_is_an_error_of_ours(tmp_path: Path) -> None:
    """A circle of links is no traceback."""
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    with known(tmp_path, Heard()) as digests, pytest.raises(ReconcilerError, match="looking at"):
        digests.digest(circle)


def test_damaged_cache_costs_time_and_nothing_else(tmp_path: Path, model: Path) -> None:
    """A cache that is no database is done without."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "digests.db").write_bytes(b"no database, but as long as one is" * 40)
    with known(tmp_path, Heard()) as digests:
        assert digests.digest(model).sha256 == sha256(b"first")
        assert digests.digest(model).sha256 == sha256(b"first")


def test_cache_that_loses_its_table_costs_time_and_nothing_else(
    tmp_path: Path, model: Path
) -> None:
    """A cache that fails while it is used is done without from then on."""
    heard = Heard()
    with known(tmp_path, heard) as digests:
        digests.digest(model)
        with closing(sqlite3.connect(tmp_path / "cache" / "digests.db")) as database:
            database.execute("DROP TABLE digest")
        assert digests.digest(model).sha256 == sha256(b"first")
        assert digests.digest(model).sha256 == sha256(b"first")
    assert len(heard.tasks) == 2


def test_cache_folder_that_cannot_be_made_costs_time_and_nothing_else(
    tmp_path: Path, model: Path
) -> None:
    """Without a cache folder memory serves for this run."""
    (tmp_path / "cache").write_bytes(b"a file")
    heard = Heard()
    with known(tmp_path, heard) as digests:
        digests.digest(model)
        assert digests.digest(model).sha256 == sha256(b"first")


def test_failing_inventory_is_an_error_of_ours(
    tmp_path: Path, model: Path, inventory: Inventory
) -> None:
    """What SQLite says about the inventory is told in our words."""
    inventory._database.execute("DROP TABLE digest")
    with (
        known(tmp_path, Heard(), inventory.digests, dry=False) as digests,
        pytest.raises(ReconcilerError, match=r"inventory\.db"),
    ):
        digests.digest(model)


@given(
    device=st.integers(0, 2**64 - 1),
    inode=st.integers(0, 2**64 - 1),
    size=st.integers(0, 2**62),
    mtime=st.integers(-(2**62), 2**62),
)
def test_any_identity_a_filesystem_gives_can_be_kept(
    device: int, inode: int, size: int, mtime: int
) -> None:
    """Numbers up to 64 bits without a sign come back as they were."""
    from reconciler.adapters.store.digest_table import SCHEMA

    identity = FileIdentity(device=device, inode=inode, size_bytes=size, mtime_ns=mtime)
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(SCHEMA)
        table = DigestTable(database, Path("memory"))
        table.record([(identity, FOUND)])
        found = table.find(identity)
    assert found is not None
    assert (found.sha256, found.blake3, found.size_bytes) == (FOUND.sha256, FOUND.blake3, size)


def test_cache_folder_follows_the_xdg_rules(tmp_path: Path) -> None:
    """An absolute XDG_CACHE_HOME counts; a relative one must be ignored."""
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "reconciler"
    assert cache_folder({"XDG_CACHE_HOME": "here"}) == Path.home() / ".cache" / "reconciler"


def test_link_is_known_by_what_it_leads_to(tmp_path: Path, model: Path) -> None:
    """A linked model is hashed once, under either name."""
    link = tmp_path / "link.gguf"
    link.symlink_to(model)
    heard = Heard()
    with known(tmp_path, heard) as digests:
        assert digests.digest(link) == digests.digest(model)
    assert len(heard.tasks) == 1
    assert identity_of(link) == identity_of(model)
    assert identity_of(link, follow=False) is None
