"""What the kernel's table of mounts tells of the place where the models lie.

Only what is known for certain is said: of a filesystem that is not named here nothing is assumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from reconciler.core.names import RelPath

_FAT: Final = {"vfat", "msdos"}
_FAT_LARGEST_BYTES: Final = 2**32 - 1
# Filesystems that have one name for each file.
_WITHOUT_LINKS: Final = {*_FAT, "exfat", "fuse.exfat"}
_WITH_REFLINKS: Final = {"btrfs", "xfs", "bcachefs"}
# `fuseblk` is what ntfs-3g shows as, and others with it.
_NTFS: Final = {"ntfs", "ntfs3", "ntfs-3g", "fuse.ntfs", "fuse.ntfs-3g", "fuseblk"}
# Another machine, or the system around a virtual one, has the files; others may write them too.
_SERVED: Final = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "virtiofs", "drvfs", "vboxsf"),
    *("ceph", "lustre", "gpfs", "glusterfs", "beegfs", "orangefs", "gfs2", "ocfs2", "prl_fs"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.rclone", "fuse.s3fs", "fuse.goofys"),
    *("fuse.gcsfuse", "fuse.juicefs", "fuse.davfs", "fuse.vmhgfs-fuse", "fuse.cifs"),
}
# What programs on a desktop show the virtual machine around a container engine of its files.
_SILENT: Final = {"fakeowner", "grpcfuse", "osxfs"}
_IN_MEMORY: Final = {"tmpfs", "ramfs", "rootfs"}
_LAYERED: Final = {"overlay", "aufs", "fuse.fuse-overlayfs"}
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The device number of a filesystem, and how many bytes may still be written to it."""

    device: int
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of the table: `kind` is the filesystem's type, `source` what was mounted.

    `point` is where. `options` are those of the mount and of the filesystem below it together.
    """

    id: int
    parent: int
    point: str
    kind: str
    source: str
    options: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written through it, by its own option or the filesystem's."""
        return "ro" in self.options

    @property
    def is_served(self) -> bool:
        """Whether another system has the files, and may write them too."""
        return self.kind in _SERVED or any(item.startswith("aname=drvfs") for item in self.options)

    @property
    def is_silent(self) -> bool:
        """Whether what others change there may show without the system telling of it."""
        return self.is_served or self.kind in _SILENT or self.kind.startswith("fuse.")

    @property
    def is_ntfs(self) -> bool:
        """Whether it is NTFS, as far as its type tells."""
        return self.kind in _NTFS

    @property
    def ignores_case(self) -> bool:
        """Whether names that differ in case alone mean one file."""
        windows = any(item.startswith("aname=drvfs") for item in self.options)
        return (
            self.kind in _WITHOUT_LINKS
            or self.kind == "drvfs"
            or windows
            or bool(self.options & {"nocase", "ignore_case"})
        )

    @property
    def has_links(self) -> bool:
        """Whether a file can have several names, so that its bytes are there once."""
        return self.kind not in _WITHOUT_LINKS

    @property
    def has_reflinks(self) -> bool:
        """Whether two files can share their blocks until one of them is written to."""
        return self.kind in _WITH_REFLINKS

    @property
    def largest_file_bytes(self) -> int | None:
        """How large a file may be, None where no limit is known that a model would meet."""
        return _FAT_LARGEST_BYTES if self.kind in _FAT else None


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """Read `/proc/self/mountinfo`; what is no line of it is passed over."""
    mounts = []
    for line in text.splitlines():
        own, dash, filesystem = line.partition(" - ")
        left, right = own.split(" "), filesystem.split(" ")
        if not dash or len(left) < 6 or len(right) < 2 or not left[0].isdecimal():
            continue
        mounts.append(
            Mount(
                id=int(left[0]),
                parent=int(left[1]),
                point=_plain(left[4]),
                kind=right[0],
                source=_plain(right[1]),
                # A source in 9p's options may hold blanks: they are no end of the options.
                options=_options(left[5]) | _options(" ".join(right[2:])),
            )
        )
    return tuple(mounts)


def mount_of(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """Find what an absolute path without symlinks lies on; None where the table does not say.

    The table is walked as the kernel walks the path: from the root to what is mounted on it, so
    that a mount which a later one covers is not mistaken for what can be seen.
    """
    left = [item for item in mounts if PurePosixPath(path).is_relative_to(item.point)]
    ids = {item.id for item in left}
    here: Mount | None = None
    while True:
        if here is None:
            inside = [item for item in left if item.parent not in ids - {item.id}]
        else:
            inside = [item for item in left if item.parent == here.id and item is not here]
        if not inside:
            return here
        here = min(reversed(inside), key=lambda item: len(item.point))


def impossible_names(
    mount: Mount | None, sizes: Mapping[RelPath, int], *, ignores_case: bool
) -> dict[RelPath, str]:
    """Say of wanted paths why the filesystem cannot hold them. `sizes` are in bytes."""
    problems: dict[RelPath, str] = {}
    largest = mount.largest_file_bytes if mount else None
    if mount is not None and largest is not None:
        problems |= {
            path: f"no file on {mount.point} ({mount.kind}) can be larger than 4 GiB - 1"
            for path, size_bytes in sizes.items()
            if size_bytes > largest
        }
    if ignores_case:
        by_name: dict[str, list[RelPath]] = {}
        for path in sizes:
            by_name.setdefault(path.casefold(), []).append(path)
        for alike in by_name.values():
            for path in alike if len(alike) > 1 else ():
                other = next(item for item in alike if item != path)
                problems[path] = f"for this filesystem its name is the same as that of {other}"
    return problems


class DriveKind(StrEnum):
    """Whether a drive is read faster by several readers, or slower."""

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    UNKNOWN = "unknown"


def drive_kind(mount: Mount) -> DriveKind:
    """Tell what a mount's type alone says of the drive below it."""
    if mount.is_served:
        return DriveKind.SEQUENTIAL
    return DriveKind.PARALLEL if mount.kind in _IN_MEMORY else DriveKind.UNKNOWN


def mount_warnings(mount: Mount | None, folder: str) -> tuple[str, ...]:
    """Say what a person should know before bytes are brought to `folder`."""
    if mount is None:
        return ()
    where = f"{folder} lies on {mount.point} ({mount.kind})"
    if mount.is_served:
        return (
            f"{where}, which another system serves: the lock against a second run may hold on "
            "this machine alone, so let no other one reconcile this folder",
        )
    if mount.kind in _IN_MEMORY:
        return (f"{where}, in memory: everything there is gone when it is unmounted",)
    if mount.kind in _LAYERED and mount.point == "/":
        return (
            f"{where}, the container's own layer: everything there is gone with the container; "
            "mount a folder of the host, or a volume",
        )
    if mount.is_ntfs and "force" in mount.options:
        return (
            f"{where}, mounted with `force` though Windows may have left it dirty: "
            "let Windows check it",
        )
    return ()


def _plain(text: str) -> str:
    """Undo the table's escapes: blanks, tabs, line breaks and backslashes are octal in it."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)


def _options(text: str) -> frozenset[str]:
    return frozenset(_plain(item) for item in re.split("[,;]", text))
