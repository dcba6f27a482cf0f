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
_LONGEST_BURST_SECONDS: Final = 2.0
_SHORTEST_STEP_MS: Final = 10


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
        import watchfiles

        self._spots, self._is_stale = spots, False
        batches = watchfiles.watch(
            *folders,
            recursive=False,
            # It would let pass nothing while others are busy, and so show no end of a burst.
            watch_filter=None,
            step=self._step_ms,
            debounce=int(_LONGEST_BURST_SECONDS * 1000),
            rust_timeout=self._step_ms,
            yield_on_timeout=True,
            stop_event=until,
            raise_interrupt=False,
            # What WATCHFILES_FORCE_POLLING says is nothing to us: we look for ourselves.
            force_polling=False,
            # It would keep every other error to itself as well, such as that of too few watches.
            ignore_permission_denied=False,
        )
        began_at: float | None = None
        waits = True
        for changes in batches:
            if waits:
                # Its first answer, be it a time-out, shows that the watch is on.
                waits = False
                self.heard.update(folders)
                is_on()
            is_news = sum(self._concerns(path) for _, path in changes) > 0
            if is_news and began_at is None:
                began_at = time.monotonic()
            if began_at is None:
                continue
            if not is_news or time.monotonic() - began_at >= _LONGEST_BURST_SECONDS:
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
