"""The record beside a partial file: which of its bytes are there, for the run after a kill.

The partial file has its full length from the start, so its size says nothing. The record is a line
of JSON that says what is gathered, and then one line for each extent written (`start end`), and
now and then `synced N`: the first N extents would survive a loss of power. `lost` says that the
others did not reach the disk. Lines are only ever added, so that a kill costs the last of them at
most.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.adapters.base.files import read_if_there, translated, write_atomically
from reconciler.core.extents import Extents
from reconciler.core.names import Sha256

_FORMAT: Final = 1
_EXTENT: Final = re.compile(rb"(\d{1,19}) (\d{1,19})")
_SYNCED: Final = re.compile(rb"synced (\d{1,19})")
_LOST: Final = b"lost"
# A line for each 4 MiB, of tens of terabytes.
_MOST_BYTES: Final = 256 * 1024 * 1024
# It changes with every start of the machine, and with nothing else.
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What a partial file is to become. `origin` says to people where its bytes come from."""

    sha256: Sha256
    size_bytes: int
    origin: str


def record_path(partial: Path) -> Path:
    """Give where the record of `partial` lies."""
    return partial.with_name(f"{partial.name}.record")


def recorded_extents(partial: Path, *, sha256: Sha256, size_bytes: int) -> Extents | None:
    """Give the extents of `partial` that can be trusted to have been written.

    None where there is no record, or none of these bytes. Once the machine was started anew, or the
    disk has failed, only what had been synced counts. Raises `Refused`, `ReconcilerError` where it
    cannot be read.
    """
    text = read_if_there(record_path(partial), most_bytes=_MOST_BYTES)
    if text is None:
        return None
    head, *lines = text.split(b"\n")
    # What follows the last line's end was cut off while it was written.
    lines = lines[:-1]
    boot = _boot_of(head, sha256=sha256, size_bytes=size_bytes)
    if boot is None:
        return None
    extents: list[tuple[int, int]] = []
    synced, lost = 0, False
    for line in lines:
        if match := _EXTENT.fullmatch(line):
            extents.append((int(match[1]), int(match[2])))
        elif match := _SYNCED.fullmatch(line):
            synced = int(match[1])
        elif line == _LOST:
            lost = True
        else:
            break
    all_there = not lost and boot and boot == _boot_id()
    trusted = extents if all_there else extents[:synced]
    return Extents((start, min(end, size_bytes)) for start, end in trusted)


class PartialRecord:
    """The record of one partial file, open for adding to. Not safe to use from several threads."""

    def __init__(
        self, partial: Path, gathered: Gathered, present: Iterable[tuple[int, int]]
    ) -> None:
        """Begin it anew, whole or not at all, with the extents `present`, which must be synced.

        Raises `DiskFull`, `Refused`, `ReconcilerError`.
        """
        self.path = record_path(partial)
        head = {
            "format": _FORMAT,
            "sha256": gathered.sha256,
            "size_bytes": gathered.size_bytes,
            "origin": gathered.origin,
            "boot": _boot_id(),
        }
        extents = list(present)
        lines = [json.dumps(head), *_lines(extents), f"synced {len(extents)}"]
        self._count = len(extents)
        with translated(self.path, "writing"):
            write_atomically(self.path, "".join(f"{line}\n" for line in lines).encode())
            flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self.path, flags)

    @property
    def count(self) -> int:
        """How many extents it holds."""
        return self._count

    def add(self, extents: Iterable[tuple[int, int]]) -> None:
        """Note that these bytes were written. Raises `DiskFull`, `ReconcilerError`."""
        lines = _lines(extents)
        self._append(lines)
        self._count += len(lines)

    def mark_synced(self, count: int) -> None:
        """Note that the first `count` extents are safe; errors as in `add`."""
        self._append([f"synced {count}"])

    def mark_lost(self) -> None:
        """Note that what is not marked as synced did not reach the disk; errors as in `add`."""
        self._append([_LOST.decode()])

    def sync(self) -> None:
        """Make what was added so far safe. It may run beside the other methods.

        Raises `DiskFull`, `ReconcilerError`.
        """
        with translated(self.path, "syncing"):
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close it; it stays for the next run."""
        os.close(self._descriptor)

    def _append(self, lines: Iterable[str]) -> None:
        data = "".join(f"{line}\n" for line in lines).encode()
        with translated(self.path, "writing"):
            while data:
                data = data[os.write(self._descriptor, data) :]


def remove_record(partial: Path) -> None:
    """Delete the record of `partial`, if there is one; raises `Refused` if we may not."""
    path = record_path(partial)
    with translated(path, "removing"):
        path.unlink(missing_ok=True)


def _lines(extents: Iterable[tuple[int, int]]) -> list[str]:
    return [f"{start} {end}" for start, end in extents]


def _boot_of(head: bytes, *, sha256: Sha256, size_bytes: int) -> str | None:
    """Give the boot in which the record was begun; None where it is of something else."""
    with suppress(ValueError, RecursionError):
        told = json.loads(head)
        wanted = {"format": _FORMAT, "sha256": sha256, "size_bytes": size_bytes}
        if isinstance(told, dict) and wanted.items() <= told.items():
            return str(told.get("boot", ""))
    return None


def _boot_id() -> str:
    """Name this run of the machine; empty where it cannot be told."""
    with suppress(OSError):
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return ""
