"""Rates and lengths of time as people write them in options and settings."""

from __future__ import annotations

import re
from typing import Final

from reconciler.core.sizes import parse_bytes

# Slower than this a single read takes seconds, and a model takes days.
_SLOWEST_BYTES_PER_SECOND: Final = 100_000
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([smhd]?)", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_rate(given: object) -> int | None:
    """Read a rate in bytes per second: `20M`, `5MiB`, `2.5 MB/s`; `off` and `0` are None.

    Raises:
        ValueError: it is no rate, or too low a one to be meant.
    """
    text = str(given).strip()
    if text.lower() == "off":
        return None
    rate = parse_bytes(text.removesuffix("/s"))
    if 0 < rate < _SLOWEST_BYTES_PER_SECOND:
        raise ValueError(f"{text!r} is less than 100k bytes per second")
    return rate or None


def parse_duration(given: object) -> float:
    """Read a time in seconds: `90`, `45m`, `24h`, `7d`.

    Raises:
        ValueError: it is none.
    """
    found = _DURATION.fullmatch(str(given).strip().lower())
    if found is None:
        raise ValueError(f"{given!r} is not a length of time like 24h, 45m or 90")
    return float(found[1]) * _SECONDS[found[2]]
