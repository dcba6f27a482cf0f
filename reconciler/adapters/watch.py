"""File events, as a wish to be woken: an event only says "look again"."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

from reconciler.core.ports.reporting import Reporter

_BLIND_SECONDS = 1.0


class FolderWatcher:
    """Sets `wake` whenever something changes directly in one of `folders`, while it is entered.

    Folders are watched, never files: a watch on one file goes blind when an editor replaces it.
    Events that follow each other within `debounce_seconds` are one. Where the system gives no
    events, or a folder is not there, `wake` is set every second instead, and `reporter` told.
    """

    def __init__(
        self,
        folders: Collection[Path],
        *,
        wake: Event,
        debounce_seconds: float,
        reporter: Reporter,
    ) -> None:
        self._folders = tuple(folders)
        self._wake = wake
        self._reporter = reporter
        self._step_ms = max(int(debounce_seconds * 1000), 1)
        self._stop = Event()
        self._watching = Event()
        self._thread = Thread(target=self._watch, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._watching.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        told = ""
        while not self._stop.is_set():
            try:
                self._watch_while_they_stand()
                continue
            except Exception as error:  # noqa: BLE001 - a thread that dies would be missed by nobody
                problem = f"{type(error).__name__}: {error}"
            if problem != told:
                self._reporter.warn(
                    f"changes are looked for every second, because watching failed: {problem}",
                    "see that the folder is there; `sysctl fs.inotify` shows the system's limits",
                )
            told = problem
            self._watching.set()
            self._wake.set()
            self._stop.wait(_BLIND_SECONDS)

    def _watch_while_they_stand(self) -> None:
        """Watch until we are stopped, or a folder is no longer the one that is watched."""
        import watchfiles

        stood = self._identities()
        # A burst is told when it pauses for one step, or at the latest after ten.
        batches = watchfiles.watch(
            *self._folders,
            recursive=False,
            watch_filter=None,
            step=self._step_ms,
            debounce=10 * self._step_ms,
            rust_timeout=100,
            yield_on_timeout=True,
            stop_event=self._stop,
            raise_interrupt=False,
        )
        is_on = False
        for changes in batches:
            if changes or not is_on:
                # The first answer, be it a time-out, shows that the watch is on: whatever happened
                # until then is looked at now.
                self._wake.set()
                self._watching.set()
                is_on = True
            if self._identities() != stood:
                return

    def _identities(self) -> list[tuple[int, int]]:
        found = [folder.stat() for folder in self._folders]
        return [(item.st_dev, item.st_ino) for item in found]
