"""Whatever happens in a set of folders, as a wish to be woken: it only says "look again"."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

from reconciler.adapters.watching.events import Events
from reconciler.adapters.watching.patrol import Pace, Patrol, Seen
from reconciler.core.ports.reporting import Reporter
from reconciler.core.watching import Spot

_PACE: Final = Pace()
# After so long it is tried again whether the system has watches for all.
_SCARCE_SECONDS: Final = 300.0
# A thread that hangs in a filesystem whose server is away is left behind.
_LEAVING_SECONDS: Final = 2.0


class FolderWatcher:
    """Sets `wake` whenever something changes in one of the folders it follows, while entered.

    The system's events are relied on where they come; a burst of them is one. Beside that it looks
    by itself: often where no events come, and else now and then, so that a folder whose events
    are missing is found out. The reporter is told once of each such thing.
    """

    def __init__(
        self,
        *,
        wake: Event,
        debounce_seconds: float,
        reporter: Reporter,
        silence_of: Callable[[str], str],
        only_looks: bool = False,
        pace: Pace = _PACE,
    ) -> None:
        """Take what says why others may change a folder without anybody telling (empty: told).

        With `only_looks` no events are asked for.
        """
        self._wake = wake
        self._reporter = reporter
        self._silence_of = silence_of
        self._only_looks = only_looks
        self._pace = pace
        self._spots: dict[str, Spot] = {}
        self._silent: dict[int, bool] = {}
        self._missed: set[str] = set()
        self._blind: frozenset[str] = frozenset()
        self._unwatched: frozenset[str] = frozenset()
        self._told = ""
        self._events = Events(debounce_seconds=debounce_seconds, tell=wake.set)
        self._patrol = Patrol(self._events.heard, pace)
        self._stop, self._again, self._is_on = Event(), Event(), Event()
        self._threads = (
            Thread(target=self._listen, name="watch", daemon=True),
            Thread(target=self._look_around, name="patrol", daemon=True),
        )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self._is_on.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._again.set()
        for thread in self._threads:
            thread.join(_LEAVING_SECONDS)

    def follow(self, spots: Iterable[Spot]) -> None:
        """Watch these folders from now on; `wake` is set once they are watched, if they are new."""
        wanted = {spot.folder: spot for spot in spots}
        if wanted == self._spots:
            return
        self._spots = wanted
        self._blind = frozenset(
            folder for folder in wanted if folder in self._missed or self._is_silent(folder)
        )
        self._patrol.follow(wanted)
        self._again.set()

    def _is_silent(self, folder: str) -> bool:
        try:
            device = Path(folder).stat().st_dev
        except OSError:
            return True
        if device not in self._silent:
            reason = self._silence_of(folder)
            self._silent[device] = bool(reason)
            if reason and not self._only_looks:
                self._reporter.say(
                    f"changes are looked for every {self._seconds_of(folder)} in {folder}: {reason}"
                )
        return self._silent[device]

    def _listen(self) -> None:
        while not self._stop.is_set():
            self._again.clear()
            spots = self._spots
            there = [folder for folder in spots if _can_be_watched(folder)]
            # Where there are not enough watches, what is edited by hand comes first.
            near = [folder for folder in there if not spots[folder].is_far]
            absent = spots.keys() - there
            if self._only_looks or not (
                self._watch(there, spots, absent) or self._watch(near, spots, absent)
            ):
                self._unwatched = frozenset(spots)
                self._show_on()
                self._again.wait(_SCARCE_SECONDS)

    def _watch(
        self, folders: Collection[str], spots: Mapping[str, Spot], absent: Collection[str]
    ) -> bool:
        """Watch until something must be watched anew; says whether that was possible.

        `absent` were not there when `folders` were chosen.
        """
        if not folders:
            return False
        self._unwatched = frozenset(spots.keys() - folders)

        def show_on() -> None:
            if any(map(_can_be_watched, absent)):
                # It was made after it was looked for, and before its making would be told.
                self._again.set()
            self._show_on()

        try:
            self._events.watch(folders, spots, until=self._again, is_on=show_on)
        except FileNotFoundError:
            # It went away just now; what is left is watched.
            self._wake.set()
        except Exception as error:  # noqa: BLE001 - a thread that dies would be missed by nobody
            self._tell_of(error)
            return False
        return True

    def _tell_of(self, error: Exception) -> None:
        problem = str(error).partition(".")[0]
        if problem != self._told:
            self._told = problem
            self._reporter.warn(
                f"not every folder can be watched, so changes are looked for now and then: {error}",
                "`sysctl fs.inotify` shows the system's limits; raise max_user_watches or "
                "max_user_instances",
            )

    def _look_around(self) -> None:
        while not self._stop.wait(self._pace.near):
            for spot, seen in self._patrol.look(self._blind | self._unwatched):
                if seen is Seen.MISSED:
                    self._miss(spot)
                if seen is Seen.SWAPPED:
                    self._again.set()
                self._wake.set()

    def _miss(self, spot: Spot) -> None:
        self._missed.add(spot.folder)
        self._blind |= {spot.folder}
        self._reporter.warn(
            f"a change in {spot.folder} was not told by the system: from now on changes are looked "
            f"for there every {self._seconds_of(spot.folder)}",
            "set RECONCILER_POLL=on if changes are often seen late",
        )

    def _seconds_of(self, folder: str) -> str:
        spot = self._spots[folder]
        return f"{self._pace.of(spot, is_blind=True):g} s"

    def _show_on(self) -> None:
        """Whatever happened until now is looked at now."""
        self._is_on.set()
        self._wake.set()


def _can_be_watched(folder: str) -> bool:
    return Path(folder).is_dir() and os.access(folder, os.R_OK)
