"""llama-swap's config on disk: written whole or not at all, and never over somebody's edit."""

from __future__ import annotations

import errno
import os
import stat
import struct
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.adapters.base.files import write_atomically
from reconciler.adapters.llamaswap.config_file import ConfigFile
from reconciler.adapters.store.lock_file import LockTextFile
from reconciler.errors import ReconcilerError, Refused
from tests.support.users import ordinary_folder

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
OLD, NEW = b"models: {}\n", b"models:\n  a:\n    cmd: x\n"


def config_at(path: Path, *, in_place: bool = False, max_backups: int = 3) -> ConfigFile:
    """Give the config at `path`."""
    return ConfigFile(path, in_place=in_place, max_backups=max_backups)


def names(folder: Path) -> list[str]:
    """Give what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("in_place", [False, True])
def test_write_keeps_mode_and_backs_up_the_old_bytes(tmp_path: Path, in_place: bool) -> None:
    """The new bytes have the old file's mode, and the old bytes lie beside it, as private."""
    path = tmp_path / "config.yaml"
    path.write_bytes(OLD)
    path.chmod(0o600)
    config_at(path, in_place=in_place).write(NEW, expected=OLD, now=NOW)
    backup = tmp_path / "config.yaml.bak.20260102T030405.678901Z"
    assert (path.read_bytes(), backup.read_bytes()) == (NEW, OLD)
    assert {stat.S_IMODE(item.stat().st_mode) for item in (path, backup)} == {0o600}
    assert names(tmp_path) == [path.name, backup.name]


def only_as_root() -> None:
    """Skip where files cannot be given to others."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")


def with_attribute(path: Path, name: str, value: bytes) -> None:
    """Set an extended attribute; skip where the filesystem has none of that kind."""
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip(f"{path} cannot have {name}")


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Give an access list as Linux keeps it, of (tag, rights, user or group)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@pytest.mark.parametrize("in_place", [False, True])
def test_owner_is_kept_also_of_the_backup(tmp_path: Path, in_place: bool) -> None:
    """As root, config and backup belong to whom the config belonged: they can go on without us."""
    only_as_root()
    path = tmp_path / "config.yaml"
    path.write_bytes(OLD)
    os.chown(path, 4321, 1234)
    config_at(path, in_place=in_place).write(NEW, expected=OLD, now=NOW)
    owners = {(item.stat().st_uid, item.stat().st_gid) for item in tmp_path.iterdir()}
    assert (len(names(tmp_path)), owners) == (2, {(4321, 1234)})


def test_new_file_belongs_to_whom_the_folder_belongs(tmp_path: Path) -> None:
    """A config that root makes is its user's, not root's."""
    only_as_root()
    os.chown(tmp_path, 4321, 1234)
    config_at(tmp_path / "config.yaml").write(NEW, expected=None, now=NOW)
    found = (tmp_path / "config.yaml").stat()
    assert (found.st_uid, found.st_gid) == (4321, 1234)


@pytest.mark.parametrize("in_place", [False, True])
def test_extended_attributes_are_kept_also_of_the_backup(tmp_path: Path, in_place: bool) -> None:
    """What somebody attached to the config stays on it, and is on the backup too."""
    path = tmp_path / "config.yaml"
    path.write_bytes(OLD)
    with_attribute(path, "user.note", b"mine")
    config_at(path, in_place=in_place).write(NEW, expected=OLD, now=NOW)
    assert [os.getxattr(item, "user.note") for item in tmp_path.iterdir()] == [b"mine", b"mine"]


@pytest.mark.parametrize("in_place", [False, True])
def test_access_list_is_kept_also_of_the_backup(tmp_path: Path, in_place: bool) -> None:
    """A user who was let in by name may still read the config, and nobody else may."""
    path = tmp_path / "config.yaml"
    path.write_bytes(OLD)
    anybody = 0xFFFFFFFF
    owner, user, group, mask, other = 0x01, 0x02, 0x04, 0x10, 0x20
    listed = acl(
        *((owner, 6, anybody), (user, 4, 4321), (group, 0, anybody)),
        *((mask, 4, anybody), (other, 0, anybody)),
    )
    with_attribute(path, "system.posix_acl_access", listed)
    config_at(path, in_place=in_place).write(NEW, expected=OLD, now=NOW)
    kept = [os.getxattr(item, "system.posix_acl_access") for item in tmp_path.iterdir()]
    assert kept == [listed, listed]


@pytest.mark.parametrize("in_place", [False, True])
def test_new_bytes_have_a_new_time(tmp_path: Path, in_place: bool) -> None:
    """Of a text of the same size the time tells that it is another, also on the way back: that is
    all llama-swap's own watching looks at.
    """
    path = tmp_path / "config.yaml"
    other = OLD.replace(b"{}", b"[]")
    path.write_bytes(OLD)
    config = config_at(path, in_place=in_place)
    for before, after in ((OLD, other), (other, OLD)):
        os.utime(path, ns=(10**18, 10**18))
        config.write(after, expected=before, now=NOW)
        assert path.stat().st_mtime_ns > 10**18


def test_backup_is_safe_before_the_first_byte_changes_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write in place that is cut short leaves a mixture: the old bytes are synced before it."""
    path = tmp_path / "config.yaml"
    path.write_bytes(OLD)
    seen: list[tuple[str, bytes]] = []
    really = os.fsync

    def fsync(handle: int) -> None:
        really(handle)
        seen.append((Path(f"/proc/self/fd/{handle}").readlink().name, path.read_bytes()))

    monkeypatch.setattr(os, "fsync", fsync)
    config_at(path, in_place=True).write(NEW, expected=OLD, now=NOW)
    assert seen == [
        (".config.yaml.bak.20260102T030405.678901Z.new", OLD),
        (tmp_path.name, OLD),
        ("config.yaml", NEW),
    ]


def test_in_place_keeps_the_inode(tmp_path: Path) -> None:
    """A file that is a mount of its own stays the same file, and a shorter text leaves no tail."""
    path = tmp_path / "config.yaml"
    path.write_bytes(NEW)
    inode = path.stat().st_ino
    config_at(path, in_place=True).write(OLD, expected=NEW, now=NOW)
    assert (path.stat().st_ino, path.read_bytes()) == (inode, OLD)


@pytest.mark.parametrize("in_place", [False, True])
def test_edit_since_it_was_read_is_never_overwritten(tmp_path: Path, in_place: bool) -> None:
    """What somebody saved since we read it stays, and no backup is left behind."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"theirs\n")
    with pytest.raises(Refused, match="changed while we were at work"):
        config_at(path, in_place=in_place).write(NEW, expected=OLD, now=NOW)
    assert path.read_bytes() == b"theirs\n"
    assert names(tmp_path) == ["config.yaml"]


class _SavedMeanwhile(ConfigFile):
    """A config that somebody saves between our first look and the last."""

    looks = 0

    def read(self) -> bytes | None:
        """Look; from the second time on, somebody has saved it."""
        self.looks += 1
        if self.looks == 2:
            self.path.write_bytes(b"theirs\n")
        return super().read()


@pytest.mark.parametrize("in_place", [False, True])
def test_edit_while_the_backup_is_made_is_never_overwritten(tmp_path: Path, in_place: bool) -> None:
    """The last look comes right before the bytes change: an edit during the backup is seen."""
    path = tmp_path / "config.yaml"
    path.write_bytes(OLD)
    with pytest.raises(Refused):
        _SavedMeanwhile(path, in_place=in_place, max_backups=3).write(NEW, expected=OLD, now=NOW)
    assert path.read_bytes() == b"theirs\n"
    assert ".config.yaml.new" not in names(tmp_path)


def test_file_that_came_into_being_is_never_overwritten(tmp_path: Path) -> None:
    """Planned on no config, one that somebody made since is left as it is."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"theirs\n")
    with pytest.raises(Refused):
        config_at(path).write(NEW, expected=None, now=NOW)
    assert path.read_bytes() == b"theirs\n"


def test_link_stays_and_its_target_changes(tmp_path: Path) -> None:
    """A config that is a link into a checkout stays one; its target is made, written, removed, and
    no backup comes into the checkout.
    """
    (tmp_path / "checkout").mkdir()
    target, link = tmp_path / "checkout" / "swap.yaml", tmp_path / "config.yaml"
    link.symlink_to("checkout/swap.yaml")
    config = config_at(link)
    assert config.read() is None
    config.write(OLD, expected=None, now=NOW)
    config.write(NEW, expected=OLD, now=NOW)
    assert (link.is_symlink(), target.read_bytes()) == (True, NEW)
    assert names(target.parent) == ["swap.yaml"]
    assert len(names(tmp_path)) == len(("checkout", "config.yaml", "its backup"))
    config.remove()
    assert (link.is_symlink(), target.exists()) == (True, False)


def test_linked_lock_stays_a_link(tmp_path: Path) -> None:
    """The same holds for the lock beside the manifest."""
    target, link = tmp_path / "shared.lock", tmp_path / "home.yaml.lock"
    target.write_bytes(b"{}")
    link.symlink_to(target)
    lock = LockTextFile(link)
    lock.write(b"{1}")
    assert (link.is_symlink(), target.read_bytes()) == (True, b"{1}")
    lock.write(None)
    assert (link.is_symlink(), lock.read()) == (True, None)


def test_newest_backups_are_kept_and_those_of_others_too(tmp_path: Path) -> None:
    """Of our own backups the newest stay; a file that somebody named alike is not ours to drop."""
    path = tmp_path / "config.yaml"
    others = {"config.yaml.bak", "config.yaml.bak.before-Z", "config.yaml.bak.20260102Z"}
    for name in others:
        (tmp_path / name).write_text("theirs")
    texts = [b"a: %d\n" % number for number in range(6)]
    path.write_bytes(texts[0])
    for number, (before, after) in enumerate(pairwise(texts)):
        config_at(path, max_backups=2).write(
            after, expected=before, now=NOW + timedelta(seconds=number)
        )
    kept = {name for name in names(tmp_path) if name not in others} - {"config.yaml"}
    assert {(tmp_path / name).read_bytes() for name in kept} == {texts[3], texts[4]}
    assert others <= set(names(tmp_path))


def test_clock_that_was_set_back_does_not_cost_the_newest_backup(tmp_path: Path) -> None:
    """The backup just made is kept even where its name is the oldest."""
    path = tmp_path / "config.yaml"
    path.write_bytes(OLD)
    config = config_at(path, max_backups=1)
    config.write(NEW, expected=OLD, now=NOW)
    config.write(OLD, expected=NEW, now=NOW - timedelta(days=400))
    backups = [item for item in names(tmp_path) if ".bak." in item]
    assert [(tmp_path / name).read_bytes() for name in backups] == [NEW]


def test_no_backups_where_none_are_wanted(tmp_path: Path) -> None:
    """With 0 backups nothing is written beside the config."""
    path = tmp_path / "config.yaml"
    path.write_bytes(OLD)
    config_at(path, max_backups=0).write(NEW, expected=OLD, now=NOW)
    assert names(tmp_path) == ["config.yaml"]


def test_folder_in_the_place_of_the_config_is_an_error(tmp_path: Path) -> None:
    """A folder is no missing config: it is told, with its path."""
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(ReconcilerError, match=r"config\.yaml"):
        config_at(tmp_path / "config.yaml").read()


def test_what_a_killed_write_left_is_used_up_by_the_next(tmp_path: Path) -> None:
    """A half-written file of a killed process neither stops the next write nor stays."""
    path = tmp_path / "config.yaml"
    path.write_bytes(OLD)
    (tmp_path / ".config.yaml.new").write_bytes(b"half of something much longer than the rest")
    config_at(path, max_backups=0).write(NEW, expected=OLD, now=NOW)
    assert path.read_bytes() == NEW
    assert names(tmp_path) == ["config.yaml"]


def test_link_planted_under_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    """Nobody makes us write elsewhere by a link under the name we write to first."""
    victim, path = tmp_path / "victim", tmp_path / "config.yaml"
    victim.write_bytes(b"precious")
    path.write_bytes(OLD)
    (tmp_path / ".config.yaml.new").symlink_to(victim)
    with pytest.raises(ReconcilerError):
        config_at(path, max_backups=0).write(NEW, expected=OLD, now=NOW)
    assert (victim.read_bytes(), path.read_bytes()) == (b"precious", OLD)


def test_writers_at_the_same_time_never_mix(tmp_path: Path) -> None:
    """Many writers of one file: at every moment it is whole, one of the texts and nothing else."""
    path = tmp_path / "file"
    texts = [bytes([65 + number]) * 200_000 for number in range(4)]
    seen: set[bytes] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            if path.exists():
                seen.add(path.read_bytes())

    def write(text: bytes) -> None:
        for _ in range(15):
            write_atomically(path, text)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert seen <= set(texts)
    assert path.read_bytes() in texts
    assert names(tmp_path) == ["file"]


@given(
    shared=st.binary(max_size=8),
    old=st.binary(max_size=30),
    new=st.binary(max_size=30),
    data=st.data(),
)
def test_write_cut_short_anywhere_is_recognised(
    shared: bytes, old: bytes, new: bytes, data: st.DataObject, tmp_path_factory: object
) -> None:
    """However far a write in place came, in whatever direction, its middle is known as such."""
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    before, after = shared + old, shared + new
    one, other = (before, after) if data.draw(st.booleans()) else (after, before)
    cut = data.draw(st.integers(0, len(other)))
    path = tmp_path_factory.getbasetemp() / "cut-config.yaml"
    path.write_bytes(other[:cut] + one[cut:])
    assert config_at(path, in_place=True).half_written(before, after)
    assert not config_at(path, in_place=False).half_written(before, after)


def test_edit_is_not_taken_for_a_write_cut_short(tmp_path: Path) -> None:
    """A config that somebody edited is not half of anything."""
    path = tmp_path / "config.yaml"
    path.write_bytes(OLD + b"# mine\n")
    assert not config_at(path, in_place=True).half_written(OLD, NEW)
    path.unlink()
    assert not config_at(path, in_place=True).half_written(OLD, NEW)


def test_folder_that_may_not_be_written_is_said() -> None:
    """Without the right to write nothing changes, and the message says who could."""
    with ordinary_folder() as folder:
        path = folder / "config.yaml"
        path.write_bytes(OLD)
        folder.chmod(0o500)
        try:
            with pytest.raises(Refused, match="not allowed"):
                config_at(path).write(NEW, expected=OLD, now=NOW)
        finally:
            folder.chmod(0o700)
        assert path.read_bytes() == OLD
