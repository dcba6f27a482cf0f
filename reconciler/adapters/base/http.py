"""The HTTP client every adapter uses, and the one module that knows which library is behind it.

Synchronous and safe to use from several threads. Redirects are followed here, hop by hop, because
only here it is known which of them a token may survive. What the library raises is translated here,
once, into our own errors.
"""

from __future__ import annotations

import logging
import platform
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from reconciler import __version__
from reconciler.adapters.base.bandwidth import Bandwidth
from reconciler.adapters.base.breaker import Breaker
from reconciler.adapters.base.retry_after import told_to_wait_seconds
from reconciler.adapters.base.time_limit import TimeLimit
from reconciler.adapters.base.urls import (
    WebOrigin,
    legible,
    may_carry_token,
    next_hop,
    origin_of,
    shown,
)
from reconciler.core.ports.clock import Clock
from reconciler.errors import Stalled, TransferBroken, Unreachable, UsageError, Waiting

if TYPE_CHECKING:
    import httpx

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# The hub needs two for a renamed repository, a mirror perhaps three more; ten is a circle.
_MAX_HOPS: Final = 10
_SENDABLE: Final = re.compile(r"[\x21-\x7e]+")
_TOLD_TO_WAIT: Final = frozenset({429, 503})
# A redirect's own body, read so that the connection can be used again.
_SMALL_BODY_BYTES: Final = 64 * 1024
# The longest list of files the hub gives is some hundred kilobytes a page.
MAX_JSON_BYTES: Final = 64 * 1024 * 1024
_READ_BYTES: Final = 1024 * 1024
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

    def __init__(self, response: httpx.Response, bandwidth: Bandwidth) -> None:
        self._response = response
        self._bandwidth = bandwidth
        self.status = response.status_code
        self.url = str(response.url)
        self.headers: Mapping[str, str] = response.headers

    def chunks(self) -> Iterator[bytes]:
        """Give the body as it arrives, not decoded, in pieces of at most a megabyte.

        Under a limit on the rate the pieces are smaller, each given when the limit allows.

        Raises:
            TransferBroken: it ended early, or nothing came for too long.
        """
        with _translated(self.url, TransferBroken):
            for chunk in self._response.iter_raw():
                yield from self._bandwidth.meter(chunk)

    def abort(self) -> None:
        """Break the body off, from any thread: who reads it gets `TransferBroken`."""
        stream = self._response.extensions.get("network_stream")
        connected = stream.get_extra_info("socket") if stream else None
        if isinstance(connected, socket.socket):
            with suppress(OSError):
                # Not the TLS socket's own method, which would pull what the reader uses from
                # under it.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)

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
    """Asks by GET, and posts. Costs nothing until the first request; close it after the last.

    What is read whole comes over HTTP/2 where the server offers it. What is opened comes over
    HTTP/1.1: each file, and each part of one, then has a connection of its own, and as many
    connections are as many times as fast where each of them is held back.

    A server that fails again and again, or asks us to wait, is left alone for a while by all
    threads together. Bodies come no faster than `limit_bytes_per_second`, all of them together.

    Proxies and certificates are taken from the environment; this machine is never asked through a
    proxy. Answers are never stored, cookies never kept, bodies never compressed.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        limit_bytes_per_second: float | None = None,
        read_timeout_seconds: float = _READ_SECONDS,
    ) -> None:
        self._breaker = Breaker(clock)
        self._bandwidth = Bandwidth(limit_bytes_per_second, clock=clock)
        self._read_timeout_seconds = read_timeout_seconds
        self._clients: dict[tuple[bool, bool], httpx.Client] = {}
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
        with self._opened(url, {}, token, shared=True) as answer:
            return (
                answer.read(max_bytes=max_bytes) if answer.status < 400 else answer.read_failure()
            )

    def post(self, url: str, body: bytes, *, content_type: str, within_seconds: float) -> int:
        """Send `body` to `url`, and give the answer's status; a redirect is not followed.

        The whole of `url` counts as secret, so that errors name its host alone.

        Raises:
            Unreachable: no answer, whatever the reason; or its head did not come in time.
            Stalled: `url` is not one.
            UsageError: as `open`.
        """
        try:
            origin = origin_of(url)
        except Stalled:
            # Not chained: its words repeat the URL.
            raise Stalled("is not a URL we can post to") from None
        client = self._client(origin, shared=False)
        headers = {
            "Accept-Encoding": "identity",
            "Content-Type": content_type,
            # The next one connects anew, and so the limit on its time knows its socket.
            "Connection": "close",
        }
        where = f"{origin.scheme}://{origin.host}"
        with TimeLimit(within_seconds) as limit:
            try:
                with _translated(where, Unreachable, secret=url):
                    heed = {"trace": limit.heed}
                    request = client.build_request(
                        "POST", url, content=body, headers=headers, extensions=heed
                    )
                    response = client.send(request, stream=True)
            except Unreachable as error:
                if limit.is_over:
                    raise Unreachable(f"{where}: no answer in time", hint=_LATER) from error
                raise
        response.close()
        return response.status_code

    @contextmanager
    def open(
        self, url: str, *, headers: Mapping[str, str] | None = None, token: str | None = None
    ) -> Iterator[OpenAnswer]:
        """Ask for `url`, follow its redirects, and give the answer, whatever its status.

        `url` counts as named by the person. `token` goes to the origin of `url` alone, only over
        https or on this machine, and never again once a redirect has left that origin.

        Raises:
            Unreachable: no answer, whatever the reason; `CircuitOpen` where none was asked for.
            RateLimited: the server asked to be left alone, and the time is not over.
            Stalled: `url` is not one, or a redirect leads where we do not go, or in a circle; or
                no header can hold the token.
            UsageError: the proxy or certificate settings of the environment cannot be used.
        """
        with self._opened(url, headers or {}, token, shared=False) as answer:
            yield answer

    @contextmanager
    def _opened(
        self, url: str, headers: Mapping[str, str], token: str | None, *, shared: bool
    ) -> Iterator[OpenAnswer]:
        response = self._follow(url, headers, token, shared=shared)
        try:
            yield OpenAnswer(response, self._bandwidth)
        finally:
            response.close()

    def _follow(
        self, url: str, headers: Mapping[str, str], token: str | None, *, shared: bool
    ) -> httpx.Response:
        here = url
        for _ in range(_MAX_HOPS + 1):
            response = self._send(here, headers, token, shared=shared)
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

    def _send(
        self, url: str, headers: Mapping[str, str], token: str | None, *, shared: bool
    ) -> httpx.Response:
        origin = origin_of(url)
        client = self._client(origin, shared=shared)
        sent = {**headers, "Accept-Encoding": "identity"}
        if token and may_carry_token(url):
            sent["Authorization"] = _bearer(url, token)
        probe = self._breaker.admit(origin, shown(url))
        try:
            with _translated(url, Unreachable, secret=token):
                response = client.send(client.build_request("GET", url, headers=sent), stream=True)
        except Unreachable:
            self._breaker.failed(origin, probe=probe)
            raise
        if response.status_code >= 500:
            self._breaker.failed(origin, probe=probe, faulty_place=response.url.path)
        else:
            self._breaker.answered(origin)
        if response.status_code in _TOLD_TO_WAIT:
            self._breaker.hold(origin, told_to_wait_seconds(response.headers) or 0)
        return response

    def _client(self, origin: WebOrigin, *, shared: bool) -> httpx.Client:
        http2 = shared and origin.scheme == "https"
        with self._making:
            client = self._clients.get((origin.is_loopback, http2))
            if client is None:
                client = _new_client(
                    proxied=not origin.is_loopback,
                    http2=http2,
                    read_seconds=self._read_timeout_seconds,
                )
                self._clients[origin.is_loopback, http2] = client
            return client


def _bearer(url: str, token: str) -> str:
    if not _SENDABLE.fullmatch(token):
        raise Stalled(
            f"{shown(url)}: cannot be asked for: the token holds characters HTTP forbids",
            hint="look at HF_TOKEN, or at the file that holds the token",
        )
    return f"Bearer {token}"


def _new_client(*, proxied: bool, http2: bool, read_seconds: float) -> httpx.Client:
    # Loading the library takes longer than a whole run that has nothing to ask for.
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpcore
    import httpx

    # Its own 64 KiB at a time cost three times the processor time that a megabyte does.
    httpcore.HTTP11Connection.READ_NUM_BYTES = _READ_BYTES
    for name in ("httpx", "httpcore", "hpack"):
        # Their own lines hold signed URLs.
        logging.getLogger(name).setLevel(logging.WARNING)
    agent = f"reconciler/{__version__}; python/{platform.python_version()}"
    try:
        return httpx.Client(
            headers={"User-Agent": f"{agent}; httpx/{httpx.__version__}", "Accept": "*/*"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            http2=http2,
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
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
        # Not chained: the library's text repeats the URL it does not like.
        raise Stalled(
            f"{where}: cannot be asked for: the URL holds characters HTTP forbids",
            hint="look at the URL",
        ) from None
    except httpx.HTTPError as error:
        why = legible(str(error), secret=secret) or type(error).__name__
        raise broken(f"{where}: {why}", hint=_LATER) from error
