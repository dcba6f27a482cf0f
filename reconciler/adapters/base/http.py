"""The HTTP client every adapter uses, and the one module that knows which library is behind it.

Synchronous and safe to use from several threads. Redirects are followed here, hop by hop, because
only here it is known which of them a token may survive. What the library raises is translated here,
once, into our own errors.
"""

from __future__ import annotations

import logging
import platform
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from reconciler import __version__
from reconciler.adapters.base.urls import (
    WebOrigin,
    legible,
    may_carry_token,
    next_hop,
    origin_of,
    shown,
)
from reconciler.errors import Stalled, TransferBroken, Unreachable, UsageError, Waiting

if TYPE_CHECKING:
    import httpx

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# The hub needs two for a renamed repository, a mirror perhaps three more; ten is a circle.
_MAX_HOPS: Final = 10
# A redirect's own body, read so that the connection can be used again.
_SMALL_BODY_BYTES: Final = 64 * 1024
# The longest list of files the hub gives is some hundred kilobytes a page.
MAX_JSON_BYTES: Final = 64 * 1024 * 1024
_CONNECT_SECONDS: Final = 10.0
_READ_SECONDS: Final = 30.0
_LATER: Final = "look at the network, the proxy settings and the address; then run again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer read whole. Header names are found whatever their case.

    `url` is where it came from after all redirects; it may be signed, so print `shown(url)` only.
    """

    status: int
    url: str
    headers: Mapping[str, str]
    next_url: str | None
    body: bytes


class OpenAnswer:
    """An answer whose body is still to be read."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.url = str(response.url)
        self.headers: Mapping[str, str] = response.headers

    def chunks(self) -> Iterator[bytes]:
        """Give the body as it arrives, not decoded, in pieces of some kilobytes.

        Raises:
            TransferBroken: it ended early, or nothing came for too long.
        """
        with _translated(self.url, TransferBroken):
            yield from self._response.iter_raw()

    def read(self, *, max_bytes: int) -> Answer:
        """Read it whole.

        Raises:
            TransferBroken: as `chunks`; or the body is longer than `max_bytes`.
        """
        body = bytearray()
        for chunk in self.chunks():
            body += chunk
            if len(body) > max_bytes:
                raise TransferBroken(
                    f"{shown(self.url)}: the answer is longer than {max_bytes} bytes",
                    hint="look whether this address is the one you mean",
                )
        return self._answer(bytes(body))

    def read_failure(self) -> Answer:
        """Read what explains an error: the head, and as much of the body as is worth reading."""
        body = bytearray()
        try:
            for chunk in self.chunks():
                body += chunk
                if len(body) >= _SMALL_BODY_BYTES:
                    break
        except TransferBroken:
            # The status alone says enough; a broken explanation must not hide it.
            pass
        return self._answer(bytes(body[:_SMALL_BODY_BYTES]))

    def _answer(self, body: bytes) -> Answer:
        return Answer(
            status=self.status,
            url=self.url,
            headers=self.headers,
            next_url=self._response.links.get("next", {}).get("url"),
            body=body,
        )


class HttpClient:
    """Asks by GET over HTTP/1.1. Costs nothing until the first request; close it after the last.

    Proxies and certificates are taken from the environment; this machine is never asked through a
    proxy. Answers are never stored, cookies never kept, bodies never compressed.
    """

    def __init__(self, *, read_timeout_seconds: float = _READ_SECONDS) -> None:
        self._read_timeout_seconds = read_timeout_seconds
        self._clients: dict[bool, httpx.Client] = {}
        self._making = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        with self._making:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()

    def get(self, url: str, *, token: str | None = None, max_bytes: int = MAX_JSON_BYTES) -> Answer:
        """Ask for `url` and read the answer whole. `token` and errors as in `open`."""
        with self.open(url, token=token) as answer:
            return (
                answer.read(max_bytes=max_bytes) if answer.status < 400 else answer.read_failure()
            )

    @contextmanager
    def open(
        self, url: str, *, headers: Mapping[str, str] | None = None, token: str | None = None
    ) -> Iterator[OpenAnswer]:
        """Ask for `url`, follow its redirects, and give the answer, whatever its status.

        `url` counts as named by the person. `token` goes to the origin of `url` alone, only over
        https or on this machine, and never again once a redirect has left that origin.

        Raises:
            Unreachable: no answer, whatever the reason.
            Stalled: `url` is not one, or a redirect leads where we do not go, or in a circle.
            UsageError: the proxy or certificate settings of the environment cannot be used.
        """
        response = self._follow(url, headers or {}, token)
        try:
            yield OpenAnswer(response)
        finally:
            response.close()

    def _follow(self, url: str, headers: Mapping[str, str], token: str | None) -> httpx.Response:
        here = url
        for _ in range(_MAX_HOPS + 1):
            response = self._send(here, headers, token)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or location is None:
                return response
            _discard(response)
            target = next_hop(here, location)
            if origin_of(target) != origin_of(here):
                token = None
            here = target
        raise Stalled(
            f"{shown(url)}: redirects more than {_MAX_HOPS} times, the last time to {shown(here)}",
            hint="look at the address in a browser; a mirror may be set up wrongly",
        )

    def _send(self, url: str, headers: Mapping[str, str], token: str | None) -> httpx.Response:
        client = self._client(origin_of(url))
        sent = {**headers, "Accept-Encoding": "identity"}
        if token and may_carry_token(url):
            sent["Authorization"] = f"Bearer {token}"
        with _translated(url, Unreachable, secret=token):
            return client.send(client.build_request("GET", url, headers=sent), stream=True)

    def _client(self, origin: WebOrigin) -> httpx.Client:
        with self._making:
            client = self._clients.get(origin.is_loopback)
            if client is None:
                client = _new_client(
                    proxied=not origin.is_loopback, read_seconds=self._read_timeout_seconds
                )
                self._clients[origin.is_loopback] = client
            return client


def _new_client(*, proxied: bool, read_seconds: float) -> httpx.Client:
    # Loading the library takes longer than a whole run that has nothing to ask for.
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx

    for name in ("httpx", "httpcore"):
        # Their own lines hold signed URLs.
        logging.getLogger(name).setLevel(logging.WARNING)
    agent = f"reconciler/{__version__}; python/{platform.python_version()}"
    try:
        return httpx.Client(
            headers={"User-Agent": f"{agent}; httpx/{httpx.__version__}", "Accept": "*/*"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=16),
            timeout=httpx.Timeout(read_seconds, connect=_CONNECT_SECONDS),
            trust_env=proxied,
            # Certificates come from the environment in any case, proxies do not.
            verify=httpx.create_ssl_context(trust_env=True),
        )
    except (httpx.InvalidURL, ValueError, ImportError, OSError) as error:
        # The text is not repeated: a proxy's address may hold a password.
        raise UsageError(
            "the proxy or certificate settings of the environment cannot be used",
            hint="look at HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR",
        ) from error


def _discard(response: httpx.Response) -> None:
    """Be done with a redirect, so that its connection can be used again where that is cheap."""
    import httpx

    try:
        if int(response.headers.get("content-length", _SMALL_BODY_BYTES)) < _SMALL_BODY_BYTES:
            for _ in response.iter_raw():
                pass
    except (httpx.HTTPError, ValueError):
        # What a redirect says beside its target is of no interest.
        pass
    finally:
        response.close()


@contextmanager
def _translated(url: str, broken: type[Waiting], *, secret: str | None = None) -> Iterator[None]:
    import httpx

    where = shown(url)
    try:
        yield
    except httpx.TimeoutException as error:
        raise broken(f"{where}: no answer in time", hint=_LATER) from error
    except httpx.ProxyError as error:
        raise broken(
            f"{where}: the proxy failed: {legible(str(error), secret=secret)}",
            hint="look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
        ) from error
    except (httpx.InvalidURL, httpx.LocalProtocolError, httpx.UnsupportedProtocol, UnicodeError):
        # Not chained: the library's text repeats the header or URL it does not like.
        raise Stalled(
            f"{where}: cannot be asked for: the URL or the token holds characters HTTP forbids",
            hint="look at the URL, and at HF_TOKEN",
        ) from None
    except httpx.HTTPError as error:
        why = legible(str(error), secret=secret) or type(error).__name__
        raise broken(f"{where}: {why}", hint=_LATER) from error
