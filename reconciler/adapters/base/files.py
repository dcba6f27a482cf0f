"""Files that survive a crash: synced, renamed into place, and their folders synced too."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.adapters.base.whole_file import MOST_BYTES, UnfitFile, read_whole
from reconciler.core.identity import FileIdentity
from reconciler.errors import DiskFull, ReconcilerError, Refused

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def translated(path: Path | str, doing: str) -> Iterator[None]:
    """Turn what the operating system says about `path` into our own words."""
    try:
        yield
    except UnfitFile as error:
        raise Refused(f"{path} cannot be read: {error.strerror}", hint=error.hint) from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull(
                f"no room left while {doing} {path}",
                hint="free some space on that filesystem and run again; what arrived is kept",
            ) from error
        if error.errno == errno.EROFS:
            raise Refused(
                f"the filesystem is mounted read-only: failed while {doing} {path}",
                hint="mount it for writing; NTFS stays read-only until Windows has checked it",
            ) from error
        if isinstance(error, PermissionError):
            raise Refused(
                f"not allowed while {doing} {path}: {error.strerror}",
                hint="run as a user who may write there, or mend its owner and mode",
            ) from error
        raise ReconcilerError(f"{error.strerror or error} while {doing} {path}") from error


def read_if_there(path: Path, *, most_bytes: int = MOST_BYTES) -> bytes | None:
    """Give the bytes of the file at `path`, None where it does not exist.

    Raises:
        Refused, ReconcilerError: it is there and cannot be read, or not as `read_whole` does.
    """
    with translated(path, "reading"):
        try:
            return read_whole(path, most_bytes=most_bytes)
        except FileNotFoundError:
            return None


def identity_of(path: Path, *, follow: bool = True) -> FileIdentity | None:
    """Give what tells the file at `path` from others; None where there is no regular file.

    With `follow=False` a link is no regular file. Raises `OSError` where it cannot be looked at.
    """
    try:
        found = path.stat(follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return identity_from(found) if stat.S_ISREG(found.st_mode) else None


def identity_from(found: os.stat_result) -> FileIdentity:
    """Give the identity of the file that `found` was asked of."""
    return FileIdentity(
        device=found.st_dev,
        inode=found.st_ino,
        size_bytes=found.st_size,
        mtime_ns=found.st_mtime_ns,
    )


def own_like(path: Path, folder: Path) -> None:
    """As root, give `path` the owner of `folder`, so that its user can go on without root."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` last, where its filesystem knows how."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _ignoring(errno.EINVAL, errno.ENOTSUP):
            os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(
    path: Path,
    data: bytes,
    *,
    like: Path | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Replace the file at `path` by `data`, whole or not at all.

    `like` names a file whose mode, owner and extended attributes the new one takes on. `check` is
    called when all but the last step is done, and stops it by raising.
    """
    temporary = path.with_name(f".{path.name}.new")
    handle = _open_alone(temporary)
    try:
        os.ftruncate(handle, 0)
        _write_all(handle, data)
        if like is not None:
            _copy_attributes(like, temporary)
        else:
            os.fchmod(handle, 0o666 & ~current_umask())
        os.fsync(handle)
        if check is not None:
            check()
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    sync_folder(path.parent)


def current_umask() -> int:
    """Give the process's umask.

    Where the system does not tell, it can only be read by setting it, for all threads at once.
    """
    with suppress(OSError):
        for line in (
            Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        ):
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _open_alone(path: Path) -> int:
    """Open `path` for writing, made where it is missing, held by nobody else.

    Its name is always the same, so what a killed process left behind is used up by the next. Until
    we hold it somebody else may have renamed it into place: then another one is opened.
    """
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        # Secrets may go in: until it has the mode it should have, it is ours alone.
        handle = os.open(path, flags, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat(follow_symlinks=False)):
                    os.fchmod(handle, 0o600)
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def write_in_place(path: Path, data: bytes) -> None:
    """Overwrite the file at `path`, keeping its inode: what a single-file mount needs."""
    with path.open("r+b") as handle:
        handle.write(data)
        handle.truncate()
        handle.flush()
        os.fsync(handle.fileno())


def _copy_attributes(source: Path, target: Path) -> None:
    found = source.stat()
    # Times stay fresh: llama-swap's own watching looks at them.
    with _ignoring(errno.EPERM):
        # Only root may give a file away, but its group may often be kept.
        os.chown(target, found.st_uid if os.geteuid() == 0 else -1, found.st_gid)
    target.chmod(stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source):
        # Some (security labels) may only be set by the system itself.
        with _ignoring(errno.EPERM, errno.ENOTSUP, errno.EACCES):
            os.setxattr(target, name, os.getxattr(source, name))


@contextmanager
def _ignoring(*numbers: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise


def free_bytes(folder: Path) -> int:
    """Give how many bytes an ordinary user may still write below `folder`."""
    return shutil.disk_usage(folder).free
