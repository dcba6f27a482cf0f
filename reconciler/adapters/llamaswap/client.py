"""Requests to llama-swap, each bounded in time and size.

It is small and near, so the standard library serves it: no client to import, no proxy that could
come between, no redirect that could carry our key elsewhere.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from reconciler.errors import KeyRefused, ServerUnreachable, UsageError

# An answer this large is not llama-swap's: a thousand models take about one megabyte.
_MAX_ANSWER_BYTES = 16 * 1024 * 1024


class Client:
    """One URL, and the key that is sent to it alone as a bearer token.

    `timeout_seconds` bounds each wait for the server, and the whole of an answer's body.
    """

    def __init__(self, url: str, *, api_key: str | None, timeout_seconds: float) -> None:
        """Take the address; nothing is asked yet. Raises `UsageError` where it is no http URL."""
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError as error:
            raise _no_url(url) from error
        if parts.scheme not in ("http", "https") or not self._host:
            raise _no_url(url)
        self._secure = parts.scheme == "https"
        self._prefix = parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self._prefix}"
        self.api_key = api_key
        self._timeout_seconds = timeout_seconds

    def get(self, path: str, *, timeout_seconds: float | None = None) -> tuple[int, bytes]:
        """Ask once; gives status and body. Raises `ServerUnreachable` where no whole answer comes.

        `timeout_seconds` takes the place of the client's own, for what takes its time.
        """
        return self._ask("GET", path, None, timeout_seconds)

    def post(
        self, path: str, body: bytes, *, timeout_seconds: float | None = None
    ) -> tuple[int, bytes]:
        """Send JSON, else as `get`."""
        return self._ask("POST", path, body, timeout_seconds)

    def stream(self, path: str, *, timeout_seconds: float) -> Iterator[bytes]:
        """Give, piece by piece, an answer that need not end; nothing where its status is not 200.

        It ends where nothing comes for `timeout_seconds`, and about then in any case. Raises
        `ServerUnreachable` where the server does not begin to answer.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._answer("GET", path, None, timeout_seconds) as answer:
            while answer.status == 200 and time.monotonic() < deadline:
                try:
                    chunk = answer.read1(65536)
                except TimeoutError:
                    return
                if not chunk:
                    return
                yield chunk

    def unreachable(self, reason: str) -> ServerUnreachable:
        """Give the error that says so."""
        return ServerUnreachable(
            f"no answer from llama-swap at {self.url}: {reason}",
            hint="see that it runs and that this is its URL; RECONCILER_LLAMA_SWAP_URL sets it",
        )

    def refused_key(self) -> KeyRefused:
        """Give the error that a status 401 stands for."""
        return KeyRefused(
            f"llama-swap at {self.url} does not accept our API key"
            if self.api_key
            else f"llama-swap at {self.url} asks for an API key",
            hint="set RECONCILER_LLAMA_SWAP_API_KEY to one of the config's apiKeys",
            sent=bool(self.api_key),
        )

    def _ask(
        self, method: str, path: str, body: bytes | None, timeout_seconds: float | None
    ) -> tuple[int, bytes]:
        limit_seconds = timeout_seconds or self._timeout_seconds
        with self._answer(method, path, body, limit_seconds) as answer:
            return answer.status, self._read(answer, limit_seconds)

    @contextlib.contextmanager
    def _answer(
        self, method: str, path: str, body: bytes | None, timeout_seconds: float
    ) -> Iterator[http.client.HTTPResponse]:
        headers = {"Accept": "*/*", "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        make = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = make(self._host, self._port, timeout=timeout_seconds)
        try:
            connection.request(method, self._prefix + path, body=body, headers=headers)
            with connection.getresponse() as answer:
                yield answer
        except (OSError, http.client.HTTPException) as error:
            raise self.unreachable(str(error) or type(error).__name__) from error
        except ValueError:
            # The library's own message repeats the header, and with it the key.
            raise self.unreachable("the URL or the API key holds signs HTTP cannot carry") from None
        finally:
            connection.close()

    def _read(self, answer: http.client.HTTPResponse, limit_seconds: float) -> bytes:
        """Read the body whole; a socket's own time-out would let a trickle go on for ever."""
        deadline = time.monotonic() + limit_seconds
        body = bytearray()
        while chunk := answer.read1(65536):
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                raise self.unreachable("the answer is too large to be llama-swap's")
            if time.monotonic() > deadline:
                raise self.unreachable("the answer takes too long")
        return bytes(body)


def _no_url(url: str) -> UsageError:
    return UsageError(
        f"not a URL of a llama-swap server: {url!r}",
        hint="write it as http://127.0.0.1:8080, in RECONCILER_LLAMA_SWAP_URL",
    )
