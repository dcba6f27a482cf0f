"""The models folder: what is placed, moved and taken away, and what never is."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from reconciler.adapters.store.models_folder import ModelsFolder
from reconciler.core.copies import Linking
from reconciler.core.names import RelPath, Sha256
from reconciler.errors import DiskFull, ReconcilerError, Refused
from tests.support.foreign import without_clones
from tests.support.small_disk import fill, needs_root, small_disk

PATH = RelPath("acme/chat-GGUF/chat.gguf")
DATA = b"GGUF and then some"
DIGEST = Sha256(hashlib.sha256(DATA).hexdigest())
STAMP = f"{DIGEST}  chat.gguf\n"


@pytest.fixture
def folder(tmp_path: Path) -> ModelsFolder:
    """An empty models folder with our own folders in it."""
    root = tmp_path / "models"
    root.mkdir()
    folder = ModelsFolder(root)
    folder.prepare()
    return folder


def stage(folder: ModelsFolder, data: bytes = DATA) -> str:
    """Stage some bytes; gives the staged name."""
    digest = Sha256(hashlib.sha256(data).hexdigest())
    folder.staged(digest).write_bytes(data)
    return folder.stage_name(digest, 0)


def placed(folder: ModelsFolder, path: RelPath = PATH, data: bytes = DATA) -> Path:
    """Stage and place some bytes, with their stamp; gives the full path."""
    folder.put(stage(folder, data), path)
    folder.stamp(path, Sha256(hashlib.sha256(data).hexdigest()))
    return folder.full(path)


def test_models_folder_must_be_there(tmp_path: Path) -> None:
    """A folder that is not there is an unplugged disk, not an empty one: it is never made."""
    with pytest.raises(ReconcilerError, match="is not there"):
        ModelsFolder(tmp_path / "models")
    assert list(tmp_path.iterdir()) == []


def test_placed_file_has_its_bytes_its_stamp_and_its_mode(folder: ModelsFolder) -> None:
    """What is placed is readable by all less the umask, as are its folders and its stamp."""
    before = os.umask(0o027)
    try:
        full = placed(folder)
    finally:
        os.umask(before)
    assert full.read_bytes() == DATA
    assert Path(f"{full}.sha256").read_text() == STAMP
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (full, Path(f"{full}.sha256"))]
    assert modes == [0o640, 0o640]
    assert stat.S_IMODE(full.parent.stat().st_mode) == 0o750
    assert not folder.keeps(folder.stage_name(DIGEST, 0))


@needs_root
def test_root_gives_everything_to_the_owner_of_the_models_folder(tmp_path: Path) -> None:
    """As root, files, folders, stamps and our own folders belong to the folder's owner."""
    root = tmp_path / "models"
    root.mkdir()
    os.chown(root, 12345, 23456)
    folder = ModelsFolder(root)
    folder.prepare()
    placed(folder)
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in root.rglob("*")}
    assert owners == {(12345, 23456)}


def test_nothing_that_stands_there_is_overwritten(folder: ModelsFolder) -> None:
    """A file that came there in the meantime is not replaced; the staged bytes are kept."""
    full = folder.full(PATH)
    full.parent.mkdir(parents=True)
    full.write_bytes(b"theirs")
    staged = stage(folder)
    with pytest.raises(Refused, match="in the meantime"):
        folder.put(staged, PATH)
    assert full.read_bytes() == b"theirs"
    assert folder.keeps(staged)


def test_link_that_leads_nowhere_is_not_replaced(folder: ModelsFolder) -> None:
    """A dangling link may point to a disk that is not mounted: it stays, and is an obstacle."""
    full = folder.full(PATH)
    full.parent.mkdir(parents=True)
    full.symlink_to("/nowhere/chat.gguf")
    assert folder.look(PATH) is None
    assert "no file" in folder.obstacle(PATH)
    with pytest.raises(Refused):
        folder.put(stage(folder), PATH)
    assert full.is_symlink()


def test_folder_in_the_place_of_a_file_is_an_obstacle(folder: ModelsFolder) -> None:
    """A folder where a file should go, or a file where a folder should be, is told by name."""
    folder.full(PATH).mkdir(parents=True)
    assert "no file" in folder.obstacle(PATH)
    below = RelPath(f"{PATH}/x/deeper.gguf")
    assert folder.obstacle(below) == ""
    folder.full(RelPath(f"{PATH}/x")).write_bytes(b"")
    assert "is no folder" in folder.obstacle(below)
    assert folder.look(below) is None


def test_link_out_of_the_models_folder_is_an_obstacle_and_makes_nothing(
    folder: ModelsFolder, tmp_path: Path
) -> None:
    """A link planted in the folder never leads us out of it, not even to make a folder."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder.root / "acme").symlink_to(outside)
    assert "leads out" in folder.obstacle(PATH)
    with pytest.raises(Refused, match="leads out"):
        folder.put(stage(folder), PATH)
    assert list(outside.iterdir()) == []


def test_link_within_the_models_folder_is_followed(folder: ModelsFolder) -> None:
    """A folder that is a link to another one in the same models folder is a good place."""
    (folder.root / "big").mkdir()
    (folder.root / "acme").symlink_to(folder.root / "big")
    assert folder.obstacle(PATH) == ""
    placed(folder)
    assert (folder.root / "big/chat-GGUF/chat.gguf").read_bytes() == DATA


@needs_root
def test_other_filesystem_below_the_models_folder_is_an_obstacle(folder: ModelsFolder) -> None:
    """What is staged can only be renamed within one filesystem; that is said before any byte."""
    with small_disk(folder.root / "acme", size="64k"):
        assert "another filesystem" in folder.obstacle(PATH)


def test_name_too_long_for_its_stamp_is_an_obstacle(folder: ModelsFolder) -> None:
    """A file name that a filesystem allows, but not with `.sha256` behind it, is told early."""
    assert "longer than" in folder.obstacle(RelPath("acme/x/" + "n" * 251 + ".bin"))
    longest = RelPath("acme/x/" + "n" * 239 + ".bin")
    assert folder.obstacle(longest) == ""
    assert placed(folder, longest).exists()


def test_staged_file_that_is_a_live_model_is_never_handed_out_for_writing(
    folder: ModelsFolder,
) -> None:
    """A partial that shares its bytes with a placed model is dropped by name before anybody could
    write to it; the model keeps every byte.
    """
    full = placed(folder)
    with without_clones():
        assert folder.stage_shared(full, DIGEST, linking=Linking.FREELY)
    assert folder.look_kept(folder.stage_name(DIGEST, 0)) is not None
    for_writing = folder.staged(DIGEST)
    assert not for_writing.exists()
    for_writing.write_bytes(b"cut")
    assert full.read_bytes() == DATA


def test_partial_of_its_own_is_kept_for_going_on(folder: ModelsFolder) -> None:
    """What an interrupted run fetched is handed out as it is."""
    name = stage(folder, DATA)
    assert folder.staged(DIGEST).read_bytes() == DATA
    assert folder.keeps(name)


def test_link_is_no_twin(folder: ModelsFolder) -> None:
    """A model that somebody moved away and linked back is copied, not hard-linked as a link."""
    full = placed(folder)
    elsewhere = folder.root / "elsewhere.gguf"
    full.rename(elsewhere)
    full.symlink_to(elsewhere)
    assert not folder.is_plain(PATH)
    folder.stage_shared(full, DIGEST, linking=Linking.FREELY)
    assert elsewhere.stat().st_nlink == 1
    assert not (folder.state / folder.stage_name(DIGEST, 0)).is_symlink()


def test_several_paths_get_a_staged_file_each(folder: ModelsFolder) -> None:
    """One digest that three paths want is staged three times, and each can be placed."""
    stage(folder)
    for number in (1, 2):
        folder.stage_again(DIGEST, number)
    for number, name in enumerate(("a", "b", "c")):
        folder.put(folder.stage_name(DIGEST, number), RelPath(f"acme/{name}.gguf"))
    assert {path.read_bytes() for path in folder.root.glob("acme/*.gguf")} == {DATA}


def test_discard_and_restore_are_each_others_undoing(folder: ModelsFolder) -> None:
    """Old bytes go to the trash with their stamp and come back with it, and keep their inode."""
    full = placed(folder)
    inode = full.stat().st_ino
    folder.discard(PATH, "trash/run/x.gguf/chat.gguf")
    assert folder.is_free(PATH)
    assert not Path(f"{full}.sha256").exists()
    folder.restore("trash/run/x.gguf/chat.gguf", PATH)
    assert full.stat().st_ino == inode
    assert Path(f"{full}.sha256").read_text() == STAMP


def test_discard_cut_short_after_the_stamp_can_be_done_again(folder: ModelsFolder) -> None:
    """Killed when the stamp was in the trash and the file not yet, it is simply done once more;
    where even the file is gone it does no harm.
    """
    full, trash = placed(folder), "trash/run/chat.gguf"
    folder.discard(PATH, trash)
    (folder.state / trash).rename(full)
    folder.discard(PATH, trash)
    folder.discard(PATH, trash)
    folder.restore(trash, PATH)
    assert Path(f"{full}.sha256").read_text() == STAMP


def test_take_back_keeps_the_bytes_and_leaves_no_stamp(folder: ModelsFolder) -> None:
    """Undoing a placement keeps what was fetched."""
    full = placed(folder)
    folder.take_back(PATH, folder.stage_name(DIGEST, 0))
    folder.remove_empty_folders(PATH)
    assert folder.staged(DIGEST).read_bytes() == DATA
    assert not full.parent.exists()
    assert folder.root.exists()


@pytest.mark.parametrize(
    "theirs",
    [
        "0" * 64 + "  chat.gguf\n" + "1" * 64 + "  other.gguf\n",
        "SHA256 (chat.gguf) = abc\n",
        "0" * 64 + " *chat.gguf\n",
    ],
    ids=["several files", "bsd form", "binary form"],
)
def test_stamp_of_somebody_else_is_never_touched(folder: ModelsFolder, theirs: str) -> None:
    """A `.sha256` that is not as we write it stays through placing, discarding and deleting."""
    stamp = Path(f"{folder.full(PATH)}.sha256")
    stamp.parent.mkdir(parents=True)
    stamp.write_text(theirs)
    placed(folder)
    assert stamp.read_text() == theirs
    folder.discard(PATH, "trash/run/chat.gguf")
    folder.restore("trash/run/chat.gguf", PATH)
    folder.take_back(PATH, folder.stage_name(DIGEST, 0))
    placed(folder)
    folder.delete(PATH)
    assert stamp.read_text() == theirs


def test_stamp_that_is_right_already_is_not_written(folder: ModelsFolder) -> None:
    """Stamping twice changes not even a time."""
    stamp = Path(f"{placed(folder)}.sha256")
    before = stamp.stat()
    folder.stamp(PATH, DIGEST)
    assert stamp.stat().st_mtime_ns == before.st_mtime_ns
    assert stamp.stat().st_ino == before.st_ino


def test_delete_takes_stamp_and_empty_folders_and_no_other_file(folder: ModelsFolder) -> None:
    """After the last file its folders go too; a folder with anything left in it stays."""
    full = placed(folder)
    (full.parent.parent / "notes.txt").write_text("mine")
    folder.delete(PATH)
    folder.remove_empty_folders(PATH)
    assert not full.parent.exists()
    assert (full.parent.parent / "notes.txt").read_text() == "mine"
    folder.delete(PATH)


def test_replacing_keeps_the_folder_itself(folder: ModelsFolder) -> None:
    """A file that is discarded to make room for another leaves its folder as somebody set it."""
    full = placed(folder)
    full.parent.chmod(0o700)
    folder.discard(PATH, "trash/run/chat.gguf")
    folder.put(stage(folder, b"newer"), PATH)
    assert stat.S_IMODE(full.parent.stat().st_mode) == 0o700


def test_what_cannot_be_looked_at_is_told_in_our_words(folder: ModelsFolder) -> None:
    """A circle of links is an error of ours with the path in it, not the system's."""
    full = folder.full(PATH)
    full.parent.mkdir(parents=True)
    full.symlink_to(full)
    with pytest.raises(ReconcilerError, match=r"looking at .*chat\.gguf"):
        folder.look(PATH)


@needs_root
def test_full_disk_is_told_as_such_and_leaves_no_half_stamp(tmp_path: Path) -> None:
    """With no room left a file can still be renamed into place; its stamp fails whole."""
    with small_disk(tmp_path / "tiny", size="1m") as disk:
        folder = ModelsFolder(disk)
        folder.prepare()
        staged = stage(folder)
        folder.full(PATH).parent.mkdir(parents=True)
        fill(disk)
        folder.put(staged, PATH)
        with pytest.raises(DiskFull, match="no room left"):
            folder.stamp(PATH, DIGEST)
        assert folder.full(PATH).read_bytes() == DATA
        assert [path.name for path in folder.full(PATH).parent.iterdir()] == ["chat.gguf"]
