"""llama-swap's config as a file: read whole, backed up, written whole."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from reconciler.adapters.base.files import (
    own_like,
    read_if_there,
    translated,
    write_atomically,
    write_in_place,
)
from reconciler.errors import Refused

# How a backup's name ends. Whatever is named otherwise was made by somebody else.
_TIME = re.compile(r"\d{8}T\d{6}\.\d{6}Z")


class ConfigFile:
    """One config file. A symlink is followed, so that the link stays and its target changes.

    Backups lie beside the path that was named: beside the link, not in the checkout it leads into.
    """

    def __init__(self, path: Path, *, in_place: bool, max_backups: int) -> None:
        """Take the file at `path`; `in_place` keeps its inode, for a mount of this one file."""
        self.path = path
        self._in_place = in_place
        self._max_backups = max_backups

    def read(self) -> bytes | None:
        """Give its bytes, None where it does not exist. Raises `Refused`, `ReconcilerError`."""
        return read_if_there(self.path)

    def write(self, data: bytes, *, expected: bytes | None, now: datetime) -> None:
        """Replace its bytes, after a backup of the old ones.

        Raises:
            Refused: somebody else changed it since `expected` was read; or it may not be written.
            DiskFull: there is no room; the old bytes stand.
        """
        self._refuse_changed(expected)
        target = self.path.resolve()
        with translated(self.path, "writing"):
            if expected is not None:
                self._back_up(expected, target, now)
            if self._in_place and expected is not None:
                self._refuse_changed(expected)
                write_in_place(target, data)
            else:
                write_atomically(
                    target,
                    data,
                    like=target if expected is not None else None,
                    check=lambda: self._refuse_changed(expected),
                )
                if expected is None:
                    own_like(target, target.parent)

    def half_written(self, before: bytes, after: bytes) -> bool:
        """Whether a write from `before` to `after`, or back, has ended in its middle.

        Only a write in place can; then the file begins as the one and goes on as the other.
        """
        found = self.read() if self._in_place else None
        return found is not None and (
            _is_mixed(found, before, after) or _is_mixed(found, after, before)
        )

    def remove(self) -> None:
        """Take away a file that was not there before us; a link to it stays."""
        with translated(self.path, "removing"):
            self.path.resolve().unlink(missing_ok=True)

    def _refuse_changed(self, expected: bytes | None) -> None:
        if self.read() != expected:
            raise Refused(
                f"{self.path} changed while we were at work, so it is left as it is",
                hint="run again: the plan is made anew from what stands there now",
            )

    def _back_up(self, data: bytes, target: Path, now: datetime) -> None:
        if self._max_backups <= 0:
            return
        stem = f"{self.path.name}.bak."
        made = self.path.with_name(f"{stem}{now:%Y%m%dT%H%M%S.%fZ}")
        write_atomically(made, data, like=target)
        # The clock may have been set back: the one just made is the newest whatever its name.
        older = sorted(
            path
            for path in self.path.parent.iterdir()
            if path.name.startswith(stem)
            and _TIME.fullmatch(path.name.removeprefix(stem))
            and path != made
        )
        for path in older[: len(older) + 1 - self._max_backups]:
            path.unlink(missing_ok=True)


def _is_mixed(found: bytes, old: bytes, new: bytes) -> bool:
    """Whether `found` begins with bytes of `new` and is `old` from there on."""
    same = next(
        (place for place, (one, other) in enumerate(zip(found, new, strict=False)) if one != other),
        min(len(found), len(new)),
    )
    return found[same:] == old[same:]
