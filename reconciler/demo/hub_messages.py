"""What goes in and out of the embedded hub: a request, and an answer that is not yet sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, unquote

from reconciler.demo.hub_repositories import Data, data_size_bytes

OriginName = Literal["hub", "cdn"]
# How a reader learns where a body ends: an announced length, marked chunks, or the closed
# connection.
Framing = Literal["length", "chunks", "close"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. Header names are in lower case; `target` is the path and query as sent."""

    method: str
    origin: OriginName
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def raw_path(self) -> str:
        """The path as sent, without the query."""
        return self.target.partition("?")[0]

    @property
    def path(self) -> str:
        """The path in plain characters, without the query."""
        return unquote(self.raw_path)

    @property
    def raw_query(self) -> str:
        """The query as sent."""
        return self.target.partition("?")[2]

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's values by name."""
        return parse_qs(self.raw_query)

    @property
    def token(self) -> str | None:
        """The bearer token, where one was sent."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None


@dataclass(slots=True, kw_only=True)
class LoggedRequest:
    """One line of the hub's log. It grows while the answer is under way.

    `status` is 0 until the answer begins, and `sent_bytes` counts the body's bytes alone. Both are
    up to date by the time the client has read what they tell of.
    """

    method: str
    origin: OriginName
    path: str
    query: str
    headers: Mapping[str, str]
    status: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Bytes `start` to `stop` of `data`, and what goes wrong while they are sent.

    Counts are of bytes of this body: after `cut_after_bytes` the connection is closed, after
    `stall_after_bytes` nothing comes until the stall is released. `flip_at` counts from the start
    of `data`. `extra_bytes` are sent on top of what was to be sent.
    """

    data: Data
    start: int
    stop: int
    framing: Framing = "length"
    cut_after_bytes: int | None = None
    reset: bool = False
    stall_after_bytes: int | None = None
    flip_at: int | None = None
    extra_bytes: int = 0
    bytes_per_second: float | None = None

    @property
    def length(self) -> int:
        """How many bytes are to be sent when nothing goes wrong."""
        return self.stop - self.start


def whole(data: Data) -> Body:
    """Give the body that is all of `data`."""
    return Body(data=data, start=0, stop=data_size_bytes(data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. `hang_up` and `stall_first` say what happens instead of, and before, sending."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=lambda: whole(b""))
    hang_up: bool = False
    stall_first: bool = False


def json_answer(
    content: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """Give an answer whose body is `content` as JSON."""
    return Answer(
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
        body=whole(json.dumps(content).encode()),
    )


def error_answer(
    status: int, message: str, *, code: str | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Give an answer that refuses, the way the hub words it in headers and body."""
    coded = {"X-Error-Code": code} if code else {}
    return json_answer(
        {"error": message},
        status=status,
        headers={**coded, "X-Error-Message": message, **(headers or {})},
    )


def redirect_answer(
    status: int, location: str, *, headers: Mapping[str, str] | None = None
) -> Answer:
    """Give an answer that leads to `location`, with the short text that goes with it."""
    return Answer(
        status=status,
        headers={"Content-Type": "text/plain", "Location": location, **(headers or {})},
        body=whole(f"Redirecting to {location}".encode()),
    )


def content_answer(
    request: Request, data: Data, *, etag: str, headers: Mapping[str, str]
) -> Answer:
    """Give `data`, or the one range of it that the request asks for.

    Ranges that cannot be met are answered with 416; several at once, or of an unknown unit, with
    the whole, as the standard allows.
    """
    size = data_size_bytes(data)
    common = {"Accept-Ranges": "bytes", "ETag": etag, **headers}
    asked = request.headers.get("range")
    unchanged = request.headers.get("if-range", etag) == etag
    span = _parse_range(asked, size) if asked and unchanged else None
    if span is None:
        return Answer(status=200, headers=common, body=whole(data))
    start, stop = span
    if start >= stop:
        return Answer(status=416, headers={**common, "Content-Range": f"bytes */{size}"})
    return Answer(
        status=206,
        headers={**common, "Content-Range": f"bytes {start}-{stop - 1}/{size}"},
        body=Body(data=data, start=start, stop=stop),
    )


def _parse_range(text: str, size: int) -> tuple[int, int] | None:
    """Give the half-open span asked for, empty where it cannot be met; None: ignore it."""
    unit, _, span = text.partition("=")
    first, dash, last = (part.strip() for part in span.partition("-"))
    if unit.strip() != "bytes" or not dash or not (first + last).isdecimal():
        return None
    if not first:
        return max(0, size - int(last)), size
    start = int(first)
    stop = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    return (start, stop) if start < size else (size, size)
