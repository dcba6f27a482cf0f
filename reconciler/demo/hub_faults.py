"""Faults to order: what the embedded hub does wrong, on which request, and how often.

An effect changes one answer; a `Fault` says which answers. Effects on content wait for an answer
that carries content (200 or 206), so a fault meant for a file is not spent on the redirect to it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import assert_never

from reconciler.demo.hub_links import expired
from reconciler.demo.hub_messages import Answer, OriginName, Request, error_answer, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Close the connection after so many bytes of the body; `reset` does it the rude way."""

    after_bytes: int
    reset: bool = False


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection instead of answering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answer this instead. Without `body` it is the hub's usual error text."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipByte:
    """Invert the byte at this place of the file, in answers that carry it."""

    at_byte: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHeaders:
    """Replace headers of the answer, or remove those given as None."""

    headers: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class IgnoreRange:
    """Answer a range request with 200 and the whole file."""


@dataclass(frozen=True, slots=True)
class ExpiredLink:
    """Lead to a link whose time is over already: the second origin will answer 403."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Send so many bytes of the body and then nothing until released; None: not even headers."""

    after_bytes: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectTo:
    """Lead to this URL; None: back to the one that was asked for, for ever."""

    url: str | None
    status: int = 302


@dataclass(frozen=True, slots=True, kw_only=True)
class Oversize:
    """Send so many bytes more than there are, in chunks, with no length announced."""

    extra_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unannounced:
    """Send only so many bytes, with no length announced, and end as if that were all."""

    send_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """Send no faster than this."""

    bytes_per_second: float


Effect = (
    Cut
    | HangUp
    | Reply
    | FlipByte
    | SetHeaders
    | IgnoreRange
    | ExpiredLink
    | Stall
    | RedirectTo
    | Oversize
    | Unannounced
    | Slow
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One effect on the answers to some requests.

    `path` is a pattern (`*` also matches `/`) for the decoded path without its query; a file's path
    in its repository ends the path on both origins. `skip` lets so many answers pass first, and
    `times` is how many are spoiled then; None: all of them.
    """

    effect: Effect
    path: str = "*"
    origin: OriginName | None = None
    method: str | None = None
    times: int | None = 1
    skip: int = 0


class Faults:
    """The faults in force, in the order they were added. Safe to use from several threads.

    An answer gets the first fault that applies to it, so two faults on one path come in turn.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, *faults: Fault) -> None:
        """Put `faults` in force."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Put none in force any more."""
        with self._lock:
            self._faults.clear()

    def spoil(self, request: Request, answer: Answer) -> Answer:
        """Give the answer as it must go out, and count it against the fault that changed it."""
        with self._lock:
            effect = self._take(request, answer)
        return answer if effect is None else _apply(effect, request, answer)

    def _take(self, request: Request, answer: Answer) -> Effect | None:
        for index, fault in enumerate(self._faults):
            if not _matches(fault, request) or not _applies(fault.effect, request, answer):
                continue
            if fault.skip:
                self._faults[index] = replace(fault, skip=fault.skip - 1)
                continue
            if fault.times is not None:
                if fault.times <= 1:
                    del self._faults[index]
                else:
                    self._faults[index] = replace(fault, times=fault.times - 1)
            return fault.effect
        return None


def _matches(fault: Fault, request: Request) -> bool:
    return (
        fault.origin in (None, request.origin)
        and fault.method in (None, request.method)
        and fnmatchcase(request.path, fault.path)
    )


def _applies(effect: Effect, request: Request, answer: Answer) -> bool:
    has_content = answer.status in (200, 206) and request.method != "HEAD"
    match effect:
        case HangUp() | Reply() | SetHeaders() | RedirectTo():
            return True
        case Stall(after_bytes=None):
            return True
        case Cut() | Stall() | Oversize() | Unannounced() | Slow():
            return has_content
        case FlipByte(at_byte=at_byte):
            return has_content and answer.body.start <= at_byte < answer.body.stop
        case IgnoreRange():
            return has_content and answer.status == 206
        case ExpiredLink():
            return "Expires=" in answer.headers.get("Location", "")
        case _:
            assert_never(effect)


def _apply(effect: Effect, request: Request, answer: Answer) -> Answer:
    body = answer.body
    match effect:
        case Cut(after_bytes=after_bytes, reset=reset):
            return replace(answer, body=replace(body, cut_after_bytes=after_bytes, reset=reset))
        case HangUp():
            return replace(answer, hang_up=True)
        case Reply(status=status, headers=headers, body=None):
            return error_answer(status, f"status {status} by order", headers=headers)
        case Reply(status=status, headers=headers, body=content):
            return Answer(status=status, headers=headers, body=whole(content or b""))
        case FlipByte(at_byte=at_byte):
            return replace(answer, body=replace(body, flip_at=at_byte))
        case SetHeaders(headers=changes):
            changed: dict[str, str | None] = {**answer.headers, **changes}
            kept = {name: value for name, value in changed.items() if value is not None}
            return replace(answer, headers=kept)
        case IgnoreRange():
            headers = {k: v for k, v in answer.headers.items() if k != "Content-Range"}
            return replace(answer, status=200, headers=headers, body=whole(body.data))
        case ExpiredLink():
            location = expired(answer.headers["Location"])
            return replace(answer, headers={**answer.headers, "Location": location})
        case Stall(after_bytes=None):
            return replace(answer, stall_first=True)
        case Stall(after_bytes=after_bytes):
            return replace(answer, body=replace(body, stall_after_bytes=after_bytes))
        case RedirectTo(url=url, status=status):
            return Answer(status=status, headers={"Location": url or request.target})
        case Oversize(extra_bytes=extra_bytes):
            return replace(answer, body=replace(body, framing="chunks", extra_bytes=extra_bytes))
        case Unannounced(send_bytes=send_bytes):
            short = replace(body, framing="close", cut_after_bytes=send_bytes)
            return replace(answer, body=short)
        case Slow(bytes_per_second=bytes_per_second):
            return replace(answer, body=replace(body, bytes_per_second=bytes_per_second))
        case _:
            assert_never(effect)
