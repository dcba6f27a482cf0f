"""Rates, lengths of time, addresses and events as people write them in options and settings."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from reconciler.core.sizes import parse_bytes

# Slower than this a single read takes seconds, and a model takes days.
_SLOWEST_BYTES_PER_SECOND: Final = 100_000
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([smhd]?)", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LEAST_INTERVAL_SECONDS: Final = 5.0
# What people are told of a watch's runs, unless they choose less.
NOTIFY_ON: Final = ("applied", "failed", "rolled back")


class Address(NamedTuple):
    """Where to listen: a host, or an address of it, and a TCP port (0: any that is free)."""

    host: str
    port: int


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


def parse_interval(given: object) -> float | None:
    """Read how often to do something, in seconds: `90`, `5m`; `off` and `0` are None.

    Raises:
        ValueError: it is none, or more often than anybody would be glad of.
    """
    if str(given).strip().lower() == "off":
        return None
    seconds = parse_duration(given)
    if 0 < seconds < _LEAST_INTERVAL_SECONDS:
        raise ValueError(f"{given!r} is more often than every {_LEAST_INTERVAL_SECONDS:.0f} s")
    return seconds or None


def parse_address(given: object) -> Address | None:
    """Read where to listen: `127.0.0.1:9292`, `[::1]:9292`; `off` is None.

    Raises:
        ValueError: it is not both, a host and a port.
    """
    text = str(given).strip()
    if text.lower() == "off":
        return None
    host, colon, port = text.rpartition(":")
    if host[:1] == "[" and host[-1:] == "]":
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{given!r}: write an IPv6 address in brackets, as in [::1]:9292")
    if not (host and colon and port.isascii() and port.isdecimal() and int(port) < 65536):
        raise ValueError(f"{given!r} is not ADDRESS:PORT, such as 127.0.0.1:9292")
    return Address(host, int(port))


def parse_web_hook(given: object) -> str:
    """Read the URL that notices are posted to.

    Raises:
        ValueError: it is none; it may hold a secret, so it is not repeated.
    """
    # Most settings are read without one.
    from urllib.parse import urlsplit

    text = str(given).strip()
    try:
        parts = urlsplit(text)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError("is no http or https URL")
    return text


def parse_events(given: object) -> tuple[str, ...]:
    """Read which events people are told of, joined by commas.

    Raises:
        ValueError: one is none.
    """
    words = tuple(word.strip() for word in str(given).split(",") if word.strip())
    if wrong := [word for word in words if word not in NOTIFY_ON]:
        raise ValueError(f"{wrong[0]!r} is none of {', '.join(NOTIFY_ON)}")
    return words
