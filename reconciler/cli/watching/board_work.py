"""Work on files as the status page shows it: what is under way at this moment."""

from __future__ import annotations

import threading
from math import ceil
from typing import Any

from reconciler.cli.meter import Meter
from reconciler.cli.work import Total, Work


class WorkBoard:
    """Knows the files under way and their total: one way to show work. Safe from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._works: list[Work] = []
        self._totals: list[Total] = []

    def begin(self, work: Work) -> None:
        """Show one more."""
        with self._guard:
            self._works.append(work)

    def moved(self, work: Work) -> None:
        """How far it is, is looked at by whoever wants to know."""

    def end(self, work: Work, *, failed: bool) -> None:  # noqa: ARG002 - the protocol's
        """Show it no longer."""
        with self._guard:
            self._works.remove(work)

    def begin_total(self, total: Total) -> None:
        """Show a total."""
        with self._guard:
            self._totals.append(total)

    def end_total(self, total: Total) -> None:
        """Show it no longer."""
        with self._guard:
            self._totals.remove(total)

    def to_json(self) -> dict[str, Any]:
        """Give the files under way, the oldest first, and the total that began last."""
        works, total = self._look()
        return {
            "total": None
            if total is None
            else {
                "files": total.files,
                "files_done": total.files_done,
                **_measured(total.meter),
            },
            "tasks": [
                {"doing": work.doing, "name": work.name, **_measured(work.meter)} for work in works
            ],
        }

    def bytes_left(self) -> int:
        """Give how many bytes of all that is under way are still to be done."""
        works, total = self._look()
        meters = [total.meter] if total is not None else [work.meter for work in works]
        return sum(max(meter.total_bytes - meter.done_bytes, 0) for meter in meters)

    def _look(self) -> tuple[list[Work], Total | None]:
        with self._guard:
            return list(self._works), self._totals[-1] if self._totals else None


def _measured(meter: Meter) -> dict[str, Any]:
    left = meter.seconds_left
    return {
        "done_bytes": meter.done_bytes,
        "total_bytes": meter.total_bytes,
        "bytes_per_second": round(meter.bytes_per_second),
        "seconds_left": ceil(left) if left is not None else None,
    }
