"""Progress on a terminal: one bar for each file at work, one line for each that is done."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from reconciler.cli.terminal import human_bytes, shortened

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

# Columns at their widest: `999.9/999.9 MB`, `999.9 MB/s`, `0:00:00`; and room for the `^C` that a
# terminal echoes, which would otherwise push the bars down a line.
_BAR, _BYTES, _SPEED, _TIME, _ECHO = 12, 14, 10, 7, 3
_NAME: Final = 20
# With less than this for everything, the bar and the speed are left out.
_ALL: Final = _NAME + 1 + _BAR + 1 + _BYTES + 1 + _SPEED + 1 + _TIME + _ECHO


class Bars:
    """The bars at the foot of the terminal; lines of the log are printed above them."""

    def __init__(self, *, no_color: bool) -> None:
        self._guard = threading.Lock()
        self._progress, right = _make_progress(no_color=no_color)
        self._room = max(self._progress.console.width - right - _ECHO, _NAME)
        self._progress.start()

    def stop(self) -> None:
        """Let the bars stand as they are and give the terminal back."""
        self._settle()
        self._progress.stop()

    def print(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def add(self, doing: str, name: str, size_bytes: int) -> Bar:
        """Begin a bar; those that are done become lines, so that the last ones stay in sight."""
        self._settle()
        what = f"{doing} {name.rsplit('/', 1)[-1]}"
        done = f"{what}: done ({human_bytes(size_bytes)})"
        task = self._progress.add_task(
            shortened(what, self._room), total=max(size_bytes, 1), done=done
        )
        return Bar(self, task)

    def advance(self, task: TaskID, count_bytes: int) -> None:
        """Move one bar."""
        self._progress.advance(task, count_bytes)

    def _settle(self) -> None:
        with self._guard:
            for task in self._progress.tasks:
                if task.finished:
                    self._progress.remove_task(task.id)
                    self.print(task.fields["done"])


class Bar:
    """One bar: the `Progress` port."""

    def __init__(self, bars: Bars, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, count_bytes: int) -> None:
        """Move the bar; backwards where work must be done again."""
        self._bars.advance(self._task, count_bytes)


def _make_progress(*, no_color: bool) -> tuple[Progress, int]:
    """Make the columns that there is room for; give also how many stand to the right of a name."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column

    def column() -> Column:
        return Column(no_wrap=True)

    console = Console(stderr=True, no_color=no_color)
    right: list[tuple[ProgressColumn, int]] = [
        (DownloadColumn(table_column=column()), _BYTES),
        (TimeRemainingColumn(table_column=column()), _TIME),
    ]
    if console.width >= _ALL:
        right.insert(0, (BarColumn(bar_width=_BAR, table_column=column()), _BAR))
        right.insert(2, (TransferSpeedColumn(table_column=column()), _SPEED))
    name = TextColumn("{task.description}", markup=False, table_column=column())
    progress = Progress(name, *(item for item, _ in right), console=console)
    return progress, sum(width + 1 for _, width in right)
