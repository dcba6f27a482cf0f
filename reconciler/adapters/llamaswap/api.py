"""llama-swap's own HTTP interface, as far as we need it.

It is small and near, so the standard library serves it: no client to import, no proxy that could
come between, no redirect that could carry our key elsewhere.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from reconciler.errors import ServerUnreachable, UsageError

# An answer this large is not llama-swap's: a thousand models take about one megabyte.
_MAX_ANSWER_BYTES = 16 * 1024 * 1024


class LlamaSwapServer:
    """llama-swap at one URL; implements the port `Server`.

    `api_key` is sent as a bearer token, to that URL alone. `timeout_seconds` bounds each wait for
    the server, and the whole of an answer's body.
    """

    def __init__(
        self, url: str, *, api_key: str | None = None, timeout_seconds: float = 5.0
    ) -> None:
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
        self._url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self._prefix}"
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds

    def is_healthy(self) -> bool:
        """Whether `/health` answers 200 now. Never raises: no answer is False."""
        try:
            status, _ = self._get("/health")
        except ServerUnreachable:
            return False
        return status == 200

    def model_ids(self) -> frozenset[str]:
        """Every ID that `/v1/models` lists, aliases left out. Raises `ServerUnreachable`.

        Where llama-swap lists aliases beside models (`includeAliasesInList`) they can be told apart
        since 2026 only; an older one's aliases are among the IDs.
        """
        return frozenset(
            entry["id"]
            for entry in self._models()
            if _llama_swap_meta(entry).get("type") != "alias"
        )

    def alias_ids(self) -> frozenset[str]:
        """Every alias `/v1/models` tells of in `meta.llamaswap.aliases`. Raises as `model_ids`."""
        aliases = (_llama_swap_meta(entry).get("aliases") for entry in self._models())
        return frozenset(
            alias
            for several in aliases
            if isinstance(several, list)
            for alias in several
            if isinstance(alias, str)
        )

    def version(self) -> str | None:
        """What `/api/version` says; None where it does not say. Never raises."""
        try:
            status, body = self._get("/api/version")
            answer = json.loads(body) if status == 200 else None
        except (ServerUnreachable, ValueError, RecursionError):
            return None
        version = answer.get("version") if isinstance(answer, dict) else None
        return version if isinstance(version, str) and version else None

    def _models(self) -> list[dict[str, Any]]:
        status, body = self._get("/v1/models")
        if status == 401:
            raise ServerUnreachable(
                f"llama-swap at {self._url} does not accept our API key"
                if self._api_key
                else f"llama-swap at {self._url} asks for an API key",
                hint="set RECONCILER_LLAMA_SWAP_API_KEY to one of the config's apiKeys",
            )
        try:
            answer = json.loads(body) if status == 200 else None
            entries = answer["data"] or [] if isinstance(answer, dict) else None
        except (ValueError, KeyError, RecursionError):
            entries = None
        if not isinstance(entries, list):
            raise self._unreachable(f"/v1/models is no list of models (status {status})")
        return [
            entry
            for entry in entries
            if isinstance(entry, dict) and isinstance(entry.get("id"), str)
        ]

    def _get(self, path: str) -> tuple[int, bytes]:
        """Ask once. Raises `ServerUnreachable` where no whole answer comes in time."""
        headers = {"Accept": "application/json", "Connection": "close"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        try:
            with self._connection() as connection:
                connection.request("GET", self._prefix + path, headers=headers)
                answer = connection.getresponse()
                return answer.status, self._read(answer)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        except ValueError:
            # The library's own message repeats the header, and with it the key.
            raise self._unreachable(
                "the URL or the API key holds signs HTTP cannot carry"
            ) from None

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        """Read the body whole; a socket's own time-out would let a trickle go on for ever."""
        deadline = time.monotonic() + self._timeout_seconds
        body = bytearray()
        while chunk := answer.read1(65536):
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                raise self._unreachable("the answer is too large to be llama-swap's")
            if time.monotonic() > deadline:
                raise self._unreachable("the answer takes too long")
        return bytes(body)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        make = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = make(self._host, self._port, timeout=self._timeout_seconds)
        try:
            yield connection
        finally:
            connection.close()

    def _unreachable(self, reason: str) -> ServerUnreachable:
        return ServerUnreachable(
            f"no answer from llama-swap at {self._url}: {reason}",
            hint="see that it runs and that this is its URL; RECONCILER_LLAMA_SWAP_URL sets it",
        )


def _no_url(url: str) -> UsageError:
    return UsageError(
        f"not a URL of a llama-swap server: {url!r}",
        hint="write it as http://127.0.0.1:8080, in RECONCILER_LLAMA_SWAP_URL",
    )


def _llama_swap_meta(entry: dict[str, Any]) -> dict[str, Any]:
    """Give what llama-swap itself says of one listed model."""
    meta = entry.get("meta")
    meta = meta.get("llamaswap") if isinstance(meta, dict) else None
    return meta if isinstance(meta, dict) else {}
