"""The models folder: looking at files, staging new ones, placing and taking away, all by rename."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from reconciler.adapters.base.byte_sources import opened
from reconciler.adapters.base.files import (
    identity_from,
    identity_of,
    own_like,
    sync_folder,
    translated,
    write_atomically,
)
from reconciler.adapters.base.partial_record import recorded_extents, remove_record
from reconciler.adapters.store import folder_walk, leavings
from reconciler.adapters.store.sharing import may_share, own_file, share
from reconciler.core.beside import noted_digest
from reconciler.core.copies import Linking
from reconciler.core.filesystems import Mount
from reconciler.core.gguf.window import ByteSource
from reconciler.core.identity import FileIdentity
from reconciler.core.keeping import Leftover, Partial, Trash, TrashedRun
from reconciler.core.names import STATE_FOLDER, RelPath, Sha256
from reconciler.errors import ReconcilerError, Refused

# The 255 bytes of most filesystems, less `.sha256` and what is put around it while it is written.
_LONGEST_NAME_BYTES = 243
# What `st_blocks` counts in, whatever the filesystem's own blocks are.
_BLOCK_BYTES = 512
# A list of digests of a whole repository is shorter.
_LONGEST_STAMP_BYTES = 1024 * 1024


class ModelsFolder:
    """One models folder. Names of staged and trashed files are relative to our state folder.

    Raises:
        ReconcilerError, Refused, DiskFull: as the operating system answers.
    """

    def __init__(self, root: Path) -> None:
        """Take the folder at `root`, which must exist: an unplugged disk is not an empty one."""
        if not root.is_dir():
            raise ReconcilerError(
                f"the models folder {root} is not there",
                hint=f"mount the disk it lies on, or make it: mkdir -p {root}",
            )
        self.root = root.resolve()
        self.state = self.root / STATE_FOLDER

    def prepare(self) -> None:
        """Make our own folders. Raises `Refused` where the filesystem is mounted read-only."""
        with translated(self.state, "making"):
            if self.is_read_only():
                # The database would only say that it cannot be written.
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            for folder in (self.state, self.state / "partial", self.state / "trash"):
                self._make_folder(folder)

    def is_read_only(self) -> bool:
        """Whether its filesystem is mounted read-only."""
        with translated(self.root, "looking at"):
            return bool(os.statvfs(self.root).f_flag & os.ST_RDONLY)

    def is_bare(self) -> bool:
        """Whether it holds nothing to see, as the place has on which a disk is to be mounted."""
        with translated(self.root, "looking at"), os.scandir(self.root) as entries:
            return all(item.name.startswith(".") or item.name == "lost+found" for item in entries)

    @property
    def device(self) -> int:
        """The device number of the folder."""
        return self.root.stat().st_dev

    def ignores_case(self) -> bool:
        """Whether our own folder is found under its name in capitals too."""
        other = self.root / STATE_FOLDER.upper()
        with translated(other, "looking at"):
            return other.is_dir() and other.samefile(self.state)

    def trash_bytes(self) -> int:
        """How many bytes would be free if the trash were emptied: those without another name."""
        return sum(
            found.st_blocks * _BLOCK_BYTES
            for path in (self.state / "trash").rglob("*")
            if stat.S_ISREG((found := path.lstat()).st_mode) and found.st_nlink == 1
        )

    def look(self, path: RelPath) -> tuple[FileIdentity, int] | None:
        """Give the identity and the number of links of the file at `path`, None without one."""
        full = self.root / path
        with translated(full, "looking at"):
            try:
                found = full.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return (identity_from(found), found.st_nlink) if stat.S_ISREG(found.st_mode) else None

    def obstacle(self, path: RelPath) -> str:
        """Say why nothing of ours can be placed at `path`; empty where it can."""
        target = self.root / path
        if len(target.name.encode()) > _LONGEST_NAME_BYTES:
            return f"its name is longer than {_LONGEST_NAME_BYTES} bytes"
        folder = target.parent
        while not os.path.lexists(folder):
            folder = folder.parent
        with translated(folder, "looking at"):
            if not folder.is_dir():
                return f"{folder} is no folder"
            if not folder.resolve().is_relative_to(self.root):
                return f"{folder} leads out of the models folder"
            if folder.stat().st_dev != self.device:
                return f"{folder} lies on another filesystem than the models folder"
            if os.path.lexists(target) and not target.is_file():
                return "something that is no file stands there"
        return ""

    def is_free(self, path: RelPath) -> bool:
        """Whether nothing at all stands at `path`."""
        return not os.path.lexists(self.root / path)

    def full(self, path: RelPath) -> Path:
        """Give the absolute path of `path`."""
        return self.root / path

    def reading(self, path: RelPath) -> AbstractContextManager[ByteSource]:
        """Open the file at `path` for reading at any place, closed at the end of the block."""
        return opened(self.root / path)

    def reading_kept(self, name: str) -> AbstractContextManager[ByteSource]:
        """Open a staged or trashed file for reading, as `reading` does."""
        return opened(self.state / name)

    def staged(self, sha256: Sha256) -> Path:
        """Give where the bytes of a digest are gathered, for writing.

        What stands there under another name too may be a model in use: it is never written to, so
        only its name here is taken away.
        """
        staged = self.state / self.stage_name(sha256, 0)
        with translated(staged, "looking at"):
            if os.path.lexists(staged) and staged.lstat().st_nlink > 1:
                staged.unlink()
                remove_record(staged)
        return staged

    def staged_bytes(self, sha256: Sha256, size_bytes: int) -> int:
        """How many of the `size_bytes` bytes of a digest are staged already.

        A file without a record is whole as far as it goes.
        """
        staged = self.state / self.stage_name(sha256, 0)
        found = self.look_kept(self.stage_name(sha256, 0))
        if found is None:
            return 0
        recorded = recorded_extents(staged, sha256=sha256, size_bytes=size_bytes)
        return found.size_bytes if recorded is None else recorded.total_bytes

    def staged_disk_bytes(self, sha256: Sha256) -> int:
        """How many bytes of the disk the staged file of a digest takes up already."""
        staged = self.state / self.stage_name(sha256, 0)
        with translated(staged, "looking at"):
            try:
                return staged.lstat().st_blocks * _BLOCK_BYTES
            except FileNotFoundError:
                return 0

    def stage_name(self, sha256: Sha256, number: int) -> str:
        """Name the staged file of the `number`th path that wants one digest."""
        return f"partial/{sha256}" if number == 0 else f"partial/{sha256}.{number}"

    def stage_again(self, sha256: Sha256, number: int) -> None:
        """Give a digest that several paths want one more staged file: a link, else a copy."""
        first, other = (self.state / self.stage_name(sha256, item) for item in (0, number))
        with translated(other, "linking"):
            other.unlink(missing_ok=True)
            _link_or_copy(first, other)

    def stage_shared(
        self, source: Path, sha256: Sha256, *, linking: Linking
    ) -> FileIdentity | None:
        """Stage a file without copying: by sharing its blocks, or its inode as `linking` allows.

        What was staged before is replaced. Gives the identity that `source` had before and after;
        None, with nothing changed, where its bytes cannot be shared.
        """
        staged = self.state / self.stage_name(sha256, 0)
        with translated(staged, "sharing"):
            remove_record(staged)
            identity = share(source, staged, linking=linking, root=self.root)
        if identity is not None:
            remove_record(staged)
        return identity

    def may_share(self, source: Path, *, linking: Linking, mount: Mount | None) -> bool:
        """Whether `stage_shared` will need no room on `mount`, as far as can be told beforehand."""
        return may_share(
            source,
            linking=linking,
            root=self.root,
            has_links=mount is None or mount.has_links,
            has_reflinks=mount is not None and mount.has_reflinks,
        )

    def drop_staged(self, sha256: Sha256) -> None:
        """Take away the staged file of a digest."""
        staged = self.state / self.stage_name(sha256, 0)
        with translated(staged, "dropping"):
            staged.unlink(missing_ok=True)
        remove_record(staged)

    def trashed(self, sizes_bytes: Collection[int]) -> Sequence[tuple[Path, FileIdentity]]:
        """Give the files of these sizes in the trash."""
        found = []
        for folder, _, names in os.walk(self.state / "trash"):
            for path in (Path(folder, name) for name in sorted(names)):
                identity = identity_of(path, follow=False)
                if identity is not None and identity.size_bytes in sizes_bytes:
                    found.append((path, identity))
        return found

    def gguf_files(self) -> dict[RelPath, FileIdentity]:
        """Give every file named `*.gguf`, whoever put it there; hidden folders are left out."""
        return folder_walk.gguf_files(self.root)

    def partials(self) -> tuple[Partial, ...]:
        """Give what lies in the partial folder."""
        return folder_walk.partial_files(self.state)

    def trash(self) -> Trash:
        """Measure the trash."""
        return folder_walk.trash(self.state)

    def trashed_runs(self) -> tuple[TrashedRun, ...]:
        """Give what each run took away, and what its going would free."""
        return leavings.trashed_runs(self.state)

    def empty_trash(self, run: str) -> tuple[FileIdentity, ...]:
        """Delete for good what a run took away, and give the files that have no other name."""
        return leavings.empty_trash(self.state, run)

    def leftovers(self) -> tuple[Leftover, ...]:
        """Give each file of the partial folder, the records of none apart."""
        return leavings.leftovers(self.state)

    def delete_leftover(self, name: str) -> tuple[FileIdentity, ...]:
        """Delete a file of the partial folder with its record, and give it as `empty_trash`."""
        return leavings.delete_leftover(self.state, name)

    def is_plain(self, path: RelPath) -> bool:
        """Whether a regular file itself stands at `path`, not a link to one."""
        with translated(self.root / path, "looking at"):
            return identity_of(self.root / path, follow=False) is not None

    def look_kept(self, name: str) -> FileIdentity | None:
        """Give the identity of a staged or trashed file, None without one."""
        with translated(self.state / name, "looking at"):
            return identity_of(self.state / name, follow=False)

    def keeps(self, name: str) -> bool:
        """Whether anything at all is staged or trashed under `name`."""
        return os.path.lexists(self.state / name)

    def put(self, staged: str, path: RelPath) -> None:
        """Make a staged file visible under its name. What stands there is never overwritten."""
        source, target = self.state / staged, self.root / path
        obstacle = self.obstacle(path)
        if not obstacle and not self.is_free(path):
            obstacle = "somebody else has put a file there in the meantime"
        if obstacle:
            raise Refused(f"{target}: {obstacle}", hint="move that away and run again")
        with translated(target, "placing"):
            self._make_folder(target.parent)
            own_file(source, self.root)
            source.rename(target)
            sync_folder(target.parent)

    def stamp(self, path: RelPath, sha256: Sha256) -> None:
        """Put the `.sha256` beside a file, unless somebody has one of their own there."""
        stamp, text = _stamp(self.root / path), f"{sha256}  {path.name}\n".encode()
        with translated(stamp, "writing"):
            if os.path.lexists(stamp) and (not _is_ours(stamp) or stamp.read_bytes() == text):
                return
            write_atomically(stamp, text)
            own_file(stamp, self.root)

    def stamped(self, path: RelPath) -> Sha256 | None:
        """Give the digest in the `.sha256` beside a file, None where it does not read as ours."""
        stamp = _stamp(self.root / path)
        with translated(stamp, "reading"):
            return Sha256(stamp.read_bytes()[:64].decode()) if _is_ours(stamp) else None

    def noted_digest(self, path: RelPath) -> Sha256 | None:
        """Give the sha256 that the `.sha256` beside a file notes for it, whoever wrote it."""
        stamp = _stamp(self.root / path)
        with translated(stamp, "reading"):
            if identity_of(stamp) is None:
                return None
            with stamp.open("rb") as reading:
                text = reading.read(_LONGEST_STAMP_BYTES).decode("utf-8", "replace")
        return noted_digest(text, path.name)

    def take_back(self, path: RelPath, staged: str) -> None:
        """Undo `put` and `stamp`: the bytes go back where they were staged, and are kept."""
        source = self.root / path
        with translated(source, "taking back"):
            self._unstamp(source)
            source.rename(self.state / staged)
            sync_folder(source.parent)

    def discard(self, path: RelPath, trash: str) -> None:
        """Move what stands at `path`, and its `.sha256`, to the trash; nothing there is no harm."""
        source, target = self.root / path, self.state / trash
        with translated(source, "moving to the trash"):
            self._make_folder(target.parent)
            # The file goes last: while it is still there, all this can be done again.
            if _is_ours(_stamp(source)):
                _stamp(source).rename(_stamp(target))
            if os.path.lexists(source):
                source.rename(target)
                sync_folder(source.parent)
            sync_folder(target.parent)

    def restore(self, trash: str, path: RelPath) -> None:
        """Undo `discard`, where nothing stands at `path`."""
        source, target = self.state / trash, self.root / path
        with translated(target, "restoring"):
            self._make_folder(target.parent)
            if _is_ours(_stamp(source)) and not os.path.lexists(_stamp(target)):
                _stamp(source).rename(_stamp(target))
            source.rename(target)
            sync_folder(target.parent)

    def delete(self, path: RelPath) -> tuple[FileIdentity, ...]:
        """Delete a file, and its `.sha256`, for good, and give it as `empty_trash`."""
        target = self.root / path
        with translated(target, "deleting"):
            self._unstamp(target)
            return leavings.unlink(target)

    def remove_empty_folders(self, path: RelPath) -> None:
        """Take away the folders that lead to `path`, as far as nothing is left in them."""
        for folder in (self.root / path).parents:
            if folder == self.root:
                return
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return

    def _make_folder(self, folder: Path) -> None:
        if folder.exists():
            return
        self._make_folder(folder.parent)
        folder.mkdir(mode=0o755)
        own_like(folder, self.root)
        sync_folder(folder.parent)

    def _unstamp(self, path: Path) -> None:
        if _is_ours(_stamp(path)):
            _stamp(path).unlink()


def _stamp(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _is_ours(stamp: Path) -> bool:
    """Whether it reads as we write it; a list of digests that somebody keeps does not."""
    if identity_of(stamp, follow=False) is None:
        return False
    name = re.escape(stamp.name.removesuffix(".sha256").encode())
    with stamp.open("rb") as reading:
        return re.fullmatch(rb"[0-9a-f]{64}  %b\n" % name, reading.read(512)) is not None


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        with source.open("rb") as reading, target.open("wb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            os.fsync(writing.fileno())
