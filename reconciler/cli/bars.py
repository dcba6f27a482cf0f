"""Work on files at a terminal: a bar for each file, the total below, a line for what is done."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from reconciler.cli.meter import Meter
from reconciler.cli.terminal import human_seconds, printable, shortened
from reconciler.cli.work import Total, Work
from reconciler.cli.work_lines import rate_of, told_done, told_total

if TYPE_CHECKING:
    from rich.console import Group

_PER_SECOND: Final = 8
# Columns at their widest: `999.9/999.9 MB`, `999.9 MB/s`, `99:59:59`; and room for the `^C` that a
# terminal echoes, which would otherwise push the bars down a line.
_BAR, _BYTES, _RATE, _TIME, _ECHO = 12, 14, 10, 8, 3
_NAME: Final = 28
# The least width at which, beside a name, there is room for the bytes, the rate, and the bar too.
_WITH_BYTES: Final = _NAME + 1 + _BYTES + 1 + _TIME + _ECHO
_WITH_RATE: Final = _WITH_BYTES + 1 + _RATE
_WITH_BAR: Final = _WITH_RATE + 1 + _BAR
_LONGEST_SECONDS: Final = 99 * 3600
_UNITS: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))


class Bars:
    """The bars at the foot of the terminal; lines of the log are printed above them."""

    def __init__(self, *, no_color: bool) -> None:
        # Loading it takes time that only whoever sees a bar need spend.
        from rich.console import Console
        from rich.live import Live

        self._guard = threading.Lock()
        self._works: list[Work] = []
        self._totals: list[Total] = []
        self._console = Console(stderr=True, no_color=no_color)
        self._live = Live(
            console=self._console,
            get_renderable=self._drawn,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=False,
        )
        self._live.start()

    def stop(self) -> None:
        """Take the bars away and give the terminal back."""
        self._live.stop()

    def print(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def begin(self, work: Work) -> None:
        """Show a bar more."""
        with self._guard:
            self._works.append(work)

    def moved(self, work: Work) -> None:
        """The bars are drawn anew by themselves."""

    def end(self, work: Work, *, failed: bool) -> None:
        """Take the bar away; what is done becomes a line. Whoever knows says why it failed."""
        with self._guard:
            self._works.remove(work)
        if not failed:
            self.print(told_done(work, _file_name(work)))

    def begin_total(self, total: Total) -> None:
        """Show a total, where it says more than the one bar would."""
        with self._guard:
            self._totals += [total] if total.files > 1 else []

    def end_total(self, total: Total) -> None:
        """Let a line stand in its place."""
        if total.files > 1:
            with self._guard:
                self._totals.remove(total)
            self.print(told_total(total))

    def _drawn(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        width, height = self._console.size
        with self._guard:
            works, totals = list(self._works), list(self._totals)
        # The line that the cursor is on stays free.
        room = max(height - 1 - len(totals), 1)
        if len(works) > room:
            hidden = len(works) - room + 1
            works = works[: room - 1]
            more = [f"… and {hidden} more"]
        else:
            more = []
        rows = [row(work.doing, _file_name(work), work.meter, width) for work in works]
        sums = [row("total", _counted(total), total.meter, width) for total in totals]
        return Group(*(Text(line, no_wrap=True) for line in (*rows, *more, *sums)))


def row(doing: str, name: str, meter: Meter, width: int) -> str:
    """Draw one line that fits `width` columns: as much beside the name as there is room for."""
    share = min(meter.done_bytes / meter.total_bytes, 1.0) if meter.total_bytes else 1.0
    left = meter.seconds_left
    time = human_seconds(left) if left is not None and left < _LONGEST_SECONDS else "-:--"
    right = f"{_done_of(meter):>{_BYTES}}" if width >= _WITH_BYTES else f"{share:4.0%}"
    if width >= _WITH_RATE:
        rate = meter.bytes_per_second
        right += f" {rate_of(rate) if rate else '':>{_RATE}}"
    if width >= _WITH_BAR:
        filled = round(share * _BAR)
        right = f"{'━' * filled}{'─' * (_BAR - filled)} {right}"
    right += f" {time:>{_TIME}}"
    room = max(width - len(doing) - 1 - len(right) - 1 - _ECHO, 1)
    return f"{doing} {shortened(name, room):{room}} {right}"


def _done_of(meter: Meter) -> str:
    """Say both sizes in the unit of the larger."""
    for size, unit in _UNITS:
        if meter.total_bytes >= size or unit == "B":
            digits = 0 if unit == "B" else 1
            done, total = meter.done_bytes / size, meter.total_bytes / size
            return f"{done:.{digits}f}/{total:.{digits}f} {unit}"
    raise AssertionError("the last unit takes everything")


def _counted(total: Total) -> str:
    return f"{total.files_done} of {total.files} files"


def _file_name(work: Work) -> str:
    return printable(work.name.rsplit("/", 1)[-1])
