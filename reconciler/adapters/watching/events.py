"""The system's own word that something changed, for as many folders as it has watches for."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from threading import Event
from typing import Final

from reconciler.core.watching import Spot

# A burst that never pauses is told after so long all the same.
_LONGEST_BURST_MS: Final = 2000
_SHORTEST_STEP_MS: Final = 10
_FOR_EVER: Final = 0


class Events:
    """Tells of changes in a set of folders, one set at a time.

    Folders are watched, never files: a watch on one file goes blind when an editor replaces it.
    `heard` counts what was told of each folder, for whoever compares that with what he sees.
    """

    def __init__(self, *, debounce_seconds: float, tell: Callable[[], None]) -> None:
        """Take what is called, in the thread that watches, once a burst of changes has paused."""
        self.heard: Counter[str] = Counter()
        self._tell = tell
        # Idle, it wakes once in each step, which is all it costs; a change is seen after one, held
        # to be whole after two, and told after one more without another.
        self._step_ms = max(int(debounce_seconds * 1000), _SHORTEST_STEP_MS)
        self._spots: Mapping[str, Spot] = {}
        self._is_stale = False

    def watch(
        self,
        folders: Collection[str],
        spots: Mapping[str, Spot],
        *,
        until: Event,
        is_on: Callable[[], None],
    ) -> None:
        """Watch `folders` until `until` is set, or one of the `spots` is another than it was.

        `is_on` is called once nothing can be missed any more.

        Raises:
            Exception: the system has no watches left, a folder is not there or may not be read.
        """
        # What the library's own `watch` is made of, which would come back to us at each step.
        from watchfiles._rust_notify import RustNotify

        self._spots, self._is_stale = spots, False
        with RustNotify(
            list(folders),
            debug=False,
            # We look for ourselves.
            force_polling=False,
            poll_delay_ms=0,
            recursive=False,
            # It would keep every other error to itself as well, such as that of too few watches.
            ignore_permission_denied=False,
        ) as watcher:
            self.heard.update(folders)
            is_on()
            began_at: float | None = None
            while True:
                limit_ms = _FOR_EVER if began_at is None else self._step_ms
                changes = watcher.watch(_LONGEST_BURST_MS, self._step_ms, limit_ms, until)
                if changes in ("stop", "signal"):
                    return
                # What is busy and concerns nobody must not hide the end of a burst.
                paths = [] if isinstance(changes, str) else [path for _, path in changes]
                is_news = sum(map(self._concerns, paths)) > 0
                now = time.monotonic()
                if is_news and began_at is None:
                    began_at = now
                if began_at is None:
                    continue
                if not is_news or (now - began_at) * 1000 >= _LONGEST_BURST_MS:
                    began_at = None
                    self._tell()
                    if self._is_stale:
                        return

    def _concerns(self, path: str) -> bool:
        """Count what happened, and say whether it is worth a look."""
        folder, name = os.path.split(path)
        if path in self._spots:
            # It was taken away, moved, or put there: the watch may be on what it was before.
            self._is_stale = True
            self.heard[path] += 1
            return True
        spot = self._spots.get(folder)
        if spot is None or (spot.names is not None and name not in spot.names):
            return False
        self.heard[folder] += 1
        return True
