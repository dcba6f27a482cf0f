"""The pause that a person ordered, in a file that survives the watch and the machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from reconciler.adapters.base.files import (
    identity_from,
    own_like,
    sync_folder,
    translated,
    write_atomically,
)
from reconciler.adapters.base.whole_file import read_whole
from reconciler.core.identity import FileIdentity
from reconciler.core.ports.reporting import Reporter
from reconciler.core.reading.pause_text import read_pause, render_pause
from reconciler.core.watching import Pause


def watch_folder_of(state: Path) -> Path:
    """Give the folder, in the state folder, of what concerns the watch: pauses alone change it."""
    return state / "watch"


def make_watch_folder(state: Path) -> Path:
    """Make that folder where it is missing. Raises `Refused`, `ReconcilerError`."""
    folder = watch_folder_of(state)
    with translated(folder, "making"):
        folder.mkdir(mode=0o700, exist_ok=True)
        own_like(folder, state)
    return folder


class PauseFile:
    """`pause.json` in the watch's folder of a state folder.

    One that cannot be read is a pause without an end: somebody wanted one, and to hold still harms
    less than to go on. `reporter` is told of it, once for as long as the file stays the same.
    """

    def __init__(self, state: Path, reporter: Reporter) -> None:
        self.path = watch_folder_of(state) / "pause.json"
        self._reporter = reporter
        self._seen: FileIdentity | None = None
        self._pause: Pause | None = None

    def read(self) -> Pause | None:
        """Give the pause that was ordered, also one that is over; None where none was.

        Costs one look while nothing changes. Never raises.
        """
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._seen = None
            return None
        except OSError as error:
            self._tell(error)
            return Pause(since=datetime.now(UTC))
        if (seen := identity_from(found)) != self._seen or self._pause is None:
            self._pause = self._parsed(since=datetime.fromtimestamp(found.st_mtime, UTC))
            self._seen = seen
        return self._pause

    def write(self, pause: Pause) -> None:
        """Order it, in place of one that stands there; it is safe on the disk then.

        The state folder must be there. Raises `Refused` or `ReconcilerError` where it may not be
        written.
        """
        make_watch_folder(self.path.parent.parent)
        with translated(self.path, "writing"):
            write_atomically(self.path, render_pause(pause))
            own_like(self.path, self.path.parent)

    def remove(self) -> bool:
        """End the pause; whether there was one. Raises as `write`."""
        with translated(self.path, "removing"):
            try:
                self.path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return False
            sync_folder(self.path.parent)
            return True

    def _parsed(self, *, since: datetime) -> Pause:
        try:
            return read_pause(read_whole(self.path))
        except (OSError, ValueError, RecursionError) as error:
            self._tell(error)
            return Pause(since=since)

    def _tell(self, error: Exception) -> None:
        why = error.strerror if isinstance(error, OSError) else error
        self._reporter.warn(
            f"{self.path} cannot be read ({why}), so the watch holds still",
            "`reconcile resume` takes it away; `reconcile pause` writes it anew",
        )
