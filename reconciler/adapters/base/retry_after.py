"""How long a server asks to be left alone, in the headers that servers say it with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

_RATE_LIMIT: Final = re.compile(r'"\w+"\s*;\s*r\s*=\s*(\d+)\s*;\s*t\s*=\s*(\d+)')
_SECONDS: Final = re.compile(r"[0-9]{1,9}")


def told_to_wait_seconds(headers: Mapping[str, str]) -> float | None:
    """Give what `RateLimit`, else `Retry-After`, asks for; None where neither says anything.

    The rate limit stands on every answer, so it counts only once nothing is left of it. A date is
    measured from the answer's own `Date`: the server's clock and ours may differ.
    """
    limit = _RATE_LIMIT.search(headers.get("ratelimit", ""))
    if limit and int(limit[1]) == 0:
        return float(limit[2])
    told = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(told):
        return float(told)
    then, now = _date(told), _date(headers.get("date", ""))
    return max(0.0, (then - now).total_seconds()) if then and now else None


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    # One that names no zone cannot be told apart from another.
    return found if found.tzinfo else None
