"""The `Clock` port: time as the system tells it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from pathlib import Path


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        """The time now, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some fixed moment, never going back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        time.sleep(seconds)


def local_zone(environment: Mapping[str, str], *, table: Path = Path("/etc/localtime")) -> tzinfo:
    """Give this machine's time zone: the one `TZ` names, else the one in `table`.

    Where neither is told in a way that we know, it is what the system says now, which does not
    follow a change of the clocks.
    """
    from zoneinfo import ZoneInfo

    name = environment.get("TZ", "").removeprefix(":")
    with suppress(OSError, ValueError, KeyError):
        if name and not name.startswith("/"):
            return ZoneInfo(name)
        with (Path(name) if name else table).open("rb") as data:
            return ZoneInfo.from_file(data)
    return datetime.now().astimezone().tzinfo or UTC
