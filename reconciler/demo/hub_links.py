"""Signed links that expire: the second origin serves a file to whoever holds one."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from urllib.parse import parse_qs, quote, urlencode


class LinkSigner:
    """Signs paths of the second origin; `now` gives seconds since the epoch."""

    def __init__(self, *, lifetime_seconds: float, now: Callable[[], float]) -> None:
        self._lifetime_seconds = lifetime_seconds
        self._now = now
        self._revoked = 0

    def sign(self, path: str) -> str:
        """Give `path`, quoted, with a query that is good for one lifetime from now."""
        quoted = quote(path)
        expires = str(int(self._now() + self._lifetime_seconds))
        query = {"Expires": expires, "Signature": self._signature(quoted, expires)}
        return f"{quoted}?{urlencode(query)}"

    def revoke(self) -> None:
        """Make every link signed until now worthless."""
        self._revoked += 1

    def refusal(self, target: str) -> str | None:
        """Say why a path with its query is not to be served; None: it is."""
        path, _, raw_query = target.partition("?")
        query = parse_qs(raw_query)
        expires = query.get("Expires", [""])[0]
        signature = query.get("Signature", [""])[0]
        if not expires.isdecimal() or int(expires) <= self._now():
            return "Request has expired"
        if not hmac.compare_digest(signature, self._signature(path, expires)):
            return "The request signature does not match"
        return None

    def _signature(self, quoted_path: str, expires: str) -> str:
        signed = f"{quoted_path}\n{expires}\n{self._revoked}".encode()
        return hmac.new(b"the embedded hub's own key", signed, hashlib.sha256).hexdigest()


def expired(link: str) -> str:
    """Give a link like `link` whose time is over."""
    return re.sub(r"\bExpires=\d+", "Expires=1", link)
