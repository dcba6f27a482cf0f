"""Numbers of bytes as people write and read them."""

from __future__ import annotations

import re
from typing import Final

_WRITTEN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE | re.ASCII)
_POWERS: Final = {"k": 1, "m": 2, "g": 3, "t": 4}


def human_bytes(count: float) -> str:
    """Say a size in the decimal units that disks and download pages use."""
    for unit in ("B", "kB", "MB", "GB"):
        # What rounds to 1000 belongs to the next unit.
        if abs(round(count, 1)) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def parse_bytes(text: str) -> int:
    """Read `500`, `20M`, `1.5 GB` (powers of 1000) or `5MiB` (powers of 1024), in any case.

    Raises:
        ValueError: it is no size.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a size like 500M or 1GiB")
    number, letter, binary = found.groups()
    base = 1024 if binary else 1000
    return int(float(number) * base ** _POWERS.get((letter or "").lower(), 0))
