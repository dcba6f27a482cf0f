"""Rules about URLs: where a token may go, which redirects we follow, what may be printed."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from reconciler.errors import Stalled

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# Two parsers may disagree about where the host ends in a URL that holds one of these.
_AMBIGUOUS: Final = re.compile(r"[\x00-\x20\x7f\\]")
# Control characters move the cursor or change colours; bidi marks reorder what people read.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")
_TOKEN: Final = re.compile(r"\bhf_[A-Za-z0-9]{6,}|(?<=Bearer )\S+")
_QUERY: Final = re.compile(r"(https?://[^\s?]+)\?\S+")
_LONGEST_TEXT: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOrigin:
    """Scheme, host and port: what must be equal for two URLs to share a token."""

    scheme: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine: 127.0.0.0/8, ::1 or localhost."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: 127.0.0.0/8, ::1 or localhost."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_loopback
    return address == ipaddress.IPv6Address("::1")


def origin_of(url: str) -> WebOrigin:
    """Give the origin of an absolute `http` or `https` URL.

    Raises:
        Stalled: it is something else.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in _DEFAULT_PORTS or not host or _AMBIGUOUS.search(url):
        raise Stalled(
            f"{shown(url)}: is not a URL we can fetch from",
            hint="a URL starts with https:// (or http://) and a host, and holds no spaces",
        )
    return WebOrigin(scheme=parts.scheme, host=host, port=port or _DEFAULT_PORTS[parts.scheme])


def may_carry_token(url: str) -> bool:
    """Whether a token may travel to `url` at all: over https, or to this machine.

    Raises what `origin_of` raises.
    """
    origin = origin_of(url)
    return origin.scheme == "https" or origin.is_loopback


def next_hop(here: str, location: str) -> str:
    """Give the absolute URL that a redirect from `here` leads to, if it is safe to go there.

    Plain http stays where the person sent us: at its own origin, or on this machine.

    Raises:
        Stalled: the redirect leads to plain http anywhere else, or to no URL.
    """
    try:
        target = urljoin(here, location)
    except ValueError:
        target = location
    origin, previous = origin_of(target), origin_of(here)
    if origin.scheme == "https" or origin == previous:
        return target
    if previous.scheme == "http" and previous.is_loopback and origin.is_loopback:
        return target
    raise Stalled(
        f"{shown(here)}: redirects to {shown(target)}, which is not encrypted",
        hint="name that address yourself if you trust the network between",
    )


def shown(url: str) -> str:
    """Give `url` as it may be printed: without user, password, query and fragment.

    A signed query is as good as a password for as long as it holds.
    """
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    return legible(re.sub(r"//[^/]*@", "//", bare, count=1))


def legible(text: str, *, secret: str | None = None) -> str:
    """Give text from outside as it may be printed: one line, bounded, without secrets."""
    if secret:
        text = text.replace(secret, "***")
    text = _TOKEN.sub("***", _QUERY.sub(r"\1", _UNPRINTABLE.sub(" ", text))).strip()
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"
