"""What drive a path lies on, as far as the kernel tells: how many files are best read at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from reconciler.adapters.store.mounts import Mounts
from reconciler.core.filesystems import DriveKind, drive_kind

DEVICES: Final = Path("/sys/dev/block")
# Of a drive of which nothing is known: a little at once costs a slow one less than it gains a fast.
_UNKNOWN_AT_ONCE: Final = 2
# More readers gain nothing on any drive, and the machine has other things to do.
_MOST_AT_ONCE: Final = 8
# These answer "rotational" whatever they are made of: what is below them only their host knows.
_VIRTUAL_DRIVERS: Final = {"virtio_blk", "vbd"}
# A loop device on a loop device and so on ends somewhere.
_DEEPEST: Final = 8
_SLOWEST_FIRST: Final = (DriveKind.SEQUENTIAL, DriveKind.UNKNOWN, DriveKind.PARALLEL)


class Drives:
    """Finds the drive anew each time: a disk may be mounted while the watch loop runs.

    `devices` is the kernel's folder of block devices by number.
    """

    def __init__(self, mounts: Mounts | None = None, *, devices: Path = DEVICES) -> None:
        self._mounts = mounts or Mounts()
        self._devices = devices

    def readers(self, path: Path) -> int:
        """Give how many files below `path` are best read at once.

        One where that makes a head seek, or goes over a network; as many as there are processors on
        what answers at once; two where nothing is known.
        """
        processors = os.cpu_count() or 1
        kind = self._kind(path, _DEEPEST)
        if kind is DriveKind.SEQUENTIAL:
            return 1
        return min(processors, _MOST_AT_ONCE if kind is DriveKind.PARALLEL else _UNKNOWN_AT_ONCE)

    def _kind(self, path: Path, depth: int) -> DriveKind:
        try:
            device = path.stat().st_dev
        except OSError:
            return DriveKind.UNKNOWN
        kind = self._of_device(device, depth)
        if kind is not DriveKind.UNKNOWN:
            return kind
        # Filesystems over several devices, networks and memory have numbers of no device.
        mount = self._mounts.mount(str(path))
        if mount is None:
            return DriveKind.UNKNOWN
        kind = drive_kind(mount)
        if kind is DriveKind.UNKNOWN and mount.source.startswith("/dev/"):
            return self._of_source(Path(mount.source), depth)
        upper = next((it for it in mount.options if it.startswith("upperdir=")), None)
        if kind is DriveKind.UNKNOWN and upper is not None and depth:
            return self._kind(Path(upper.removeprefix("upperdir=")), depth - 1)
        return kind

    def _of_source(self, source: Path, depth: int) -> DriveKind:
        try:
            return self._of_device(source.stat().st_rdev, depth)
        except OSError:
            return DriveKind.UNKNOWN

    def _of_device(self, number: int, depth: int) -> DriveKind:
        try:
            node = (self._devices / f"{os.major(number)}:{os.minor(number)}").resolve(strict=True)
            return self._of_node(node, depth)
        except OSError:
            return DriveKind.UNKNOWN

    def _of_node(self, node: Path, depth: int) -> DriveKind:
        """Tell the kind of the device that the kernel describes in the folder `node`."""
        if (node / "partition").exists():
            node = node.parent
        below = sorted((node / "slaves").iterdir()) if (node / "slaves").is_dir() else []
        if below and depth:
            # What is made of several is as slow as the slowest of them.
            kinds = {self._of_node(part.resolve(strict=True), depth - 1) for part in below}
            return next(kind for kind in _SLOWEST_FIRST if kind in kinds)
        backing = node / "loop" / "backing_file"
        if backing.is_file() and depth:
            return self._kind(Path(backing.read_text().rstrip("\n")), depth - 1)
        driver = node / "device" / "driver"
        if driver.exists() and driver.resolve().name in _VIRTUAL_DRIVERS:
            return DriveKind.UNKNOWN
        turns = (node / "queue" / "rotational").read_text().strip() == "1"
        return DriveKind.SEQUENTIAL if turns else DriveKind.PARALLEL
