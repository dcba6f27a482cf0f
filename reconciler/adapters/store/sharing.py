"""Stage a file that lies on this machine already without copying it, and with no harm to it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from reconciler.adapters.base.cloning import clone, link
from reconciler.adapters.base.files import current_umask, identity_of, own_like
from reconciler.core.copies import Linking
from reconciler.core.identity import FileIdentity


def share(source: Path, staged: Path, *, linking: Linking, root: Path) -> FileIdentity | None:
    """Put a file with the bytes of `source` at `staged`, in the models folder `root`.

    Gives the identity that `source` had before and after; None, with nothing changed, where its
    bytes cannot be shared. Raises `OSError` where our own folder cannot be written.
    """
    fresh = staged.with_name(f"{staged.name}.new")
    fresh.unlink(missing_ok=True)
    before = _identity(source)
    if before is None or not (
        clone(source, fresh) or _link(source, fresh, linking=linking, root=root)
    ):
        return None
    if _identity(source) != before:
        fresh.unlink()
        return None
    fresh.rename(staged)
    # A rename between two names of one file does nothing at all.
    fresh.unlink(missing_ok=True)
    return before


def may_share(
    source: Path, *, linking: Linking, root: Path, has_links: bool, has_reflinks: bool
) -> bool:
    """Whether `share` will need no room, as far as can be told without trying.

    What the filesystem of `root` can do is told by `has_links` and `has_reflinks`.
    """
    try:
        found = source.stat()
        is_link = source.is_symlink()
        if found.st_dev != root.stat().st_dev:
            return False
    except OSError:
        return False
    if has_reflinks:
        return True
    if is_link or not has_links or linking is Linking.NEVER:
        return False
    return linking is Linking.FREELY or _is_alike(found, root)


def own_file(path: Path, root: Path) -> None:
    """Give a file of ours its mode, and as root the owner of the models folder `root`.

    What is right already is not touched: the file may have a name in a store of others too.
    """
    found = path.stat()
    if stat.S_IMODE(found.st_mode) != _mode():
        path.chmod(_mode())
    if not _belongs(found, root):
        own_like(path, root)


def _link(source: Path, target: Path, *, linking: Linking, root: Path) -> bool:
    """Link a file as far as `linking` allows; False, and no `target`, where it does not.

    Mode and owner are told from the link: behind that name nobody can put another file.
    """
    if linking is Linking.NEVER or not link(source, target):
        return False
    found = target.stat()
    if linking is Linking.FREELY or _is_alike(found, root):
        return True
    target.unlink()
    return False


def _is_alike(found: os.stat_result, root: Path) -> bool:
    """Whether a file has the mode and the owner that it would get as one of ours."""
    return stat.S_IMODE(found.st_mode) == _mode() and _belongs(found, root)


def _mode() -> int:
    return 0o644 & ~current_umask()


def _belongs(found: os.stat_result, root: Path) -> bool:
    """Whether a file has the owner that it gets when it is placed: as root, that of `root`."""
    if os.geteuid() != 0:
        return found.st_uid == os.geteuid()
    wanted = root.stat()
    return (found.st_uid, found.st_gid) == (wanted.st_uid, wanted.st_gid)


def _identity(path: Path) -> FileIdentity | None:
    """Give the identity of a file of others, None where it may not be looked at either."""
    try:
        return identity_of(path)
    except OSError:
        return None
