"""From the origin that a lock names to something bytes can be read from, and to its failures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial as bound
from pathlib import Path
from typing import assert_never

from reconciler.adapters.base.http import Answer, HttpClient
from reconciler.adapters.base.urls import may_carry_token, origin_of, shown
from reconciler.adapters.hub.endpoint import Endpoint
from reconciler.adapters.hub.failures import Asked, hub_failure, link_failure, plain_failure
from reconciler.adapters.hub.sources import HttpSource, LocalSource, Source
from reconciler.core.ports.clock import Clock
from reconciler.core.source import HubOrigin, LocalOrigin, Origin, UrlOrigin
from reconciler.errors import FileMissing, ReconcilerError


class Origins:
    """Opens origins. `token` goes to the hub at `endpoint` alone, never to a plain URL."""

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        token: Callable[[], str | None],
        http: HttpClient,
        clock: Clock,
        most_connections: int,
    ) -> None:
        self._endpoint = endpoint
        self._token = token
        self._http = http
        self._clock = clock
        self._most_connections = most_connections

    def open(self, origin: Origin, *, size_bytes: int) -> Source:
        """Give the file at `origin`, which must have `size_bytes`. Nothing is asked yet."""
        match origin:
            case HubOrigin():
                failure = bound(self._hub_failure, origin=origin)
                url, token = self._endpoint.file_url(origin), self._token
            case UrlOrigin():
                failure = bound(plain_or_link_failure, url=origin.url)
                url, token = origin.url, _no_token
            case LocalOrigin():
                return LocalSource(Path(origin.path), size_bytes=size_bytes)
            case _:
                assert_never(origin)
        return HttpSource(
            url,
            about=about(origin),
            size_bytes=size_bytes,
            most_connections=self._most_connections,
            http=self._http,
            clock=self._clock,
            token=token,
            failure=failure,
        )

    def host(self, origin: Origin) -> str:
        """Name the host that is asked first; empty for this machine."""
        match origin:
            case HubOrigin():
                return self._endpoint.base
            case UrlOrigin():
                return str(origin_of(origin.url))
            case LocalOrigin():
                return ""
            case _:
                assert_never(origin)

    def _hub_failure(self, answer: Answer, *, origin: HubOrigin) -> ReconcilerError:
        if not self._endpoint.owns(answer.url):
            return link_failure(answer, about(origin))
        has_token, may_carry = self._token() is not None, may_carry_token(self._endpoint.base)
        return hub_failure(
            answer,
            Asked(
                about=about(origin),
                page_url=self._endpoint.page_url(origin.repo),
                missing=FileMissing,
                token_sent=has_token and may_carry,
                token_held_back=has_token and not may_carry,
            ),
        )


def about(origin: Origin) -> str:
    """Name an origin to people."""
    match origin:
        case HubOrigin():
            return f"{origin.repo}/{origin.path}"
        case UrlOrigin():
            return shown(origin.url)
        case LocalOrigin():
            return origin.path
        case _:
            assert_never(origin)


def plain_or_link_failure(answer: Answer, *, url: str) -> ReconcilerError:
    """Give the error for an answer of 400 or more to a plain `url`, or from where it led."""
    if origin_of(answer.url) != origin_of(url):
        return link_failure(answer, shown(url))
    return plain_failure(answer, shown(url))


def _no_token() -> None:
    return None
