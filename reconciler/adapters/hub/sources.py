"""Where a file's bytes come from, an extent at a time: over HTTP, or from this machine."""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from reconciler.adapters.base.digests import CHUNK_BYTES
from reconciler.adapters.base.http import Answer, HttpClient, OpenAnswer
from reconciler.adapters.base.urls import origin_of
from reconciler.core.ports.clock import Clock
from reconciler.errors import FileMissing, ReconcilerError, Stalled, TransferBroken, Unreachable

_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19})")
# Of a link that was good before, these say that its time is over; the others are said of the file.
_LINK_OVER: Final = range(400, 500)
_NOT_OF_THE_LINK: Final = frozenset({408, 416, 425, 429})
# Slower than a modem for this long is a connection that hangs, though it may never be silent.
_STALL_SECONDS: Final = 20.0
_STALL_BYTES: Final = 20_000


class OtherSize(Stalled):
    """What lies there is not as long as it must be; never leaves this package."""


class Sink(Protocol):
    """Takes the bytes of one extent as they arrive."""

    def take(self, chunk: bytes | memoryview) -> bool:
        """Take the next bytes. False: no more are wanted.

        Raises what the place they go to raises.
        """

    def take_whole(self) -> bool:
        """Prepare for the whole file from its start instead; False where that is of no use."""


class Source(Protocol):
    """What a file is read from. Safe to use from several threads."""

    most_connections: int

    @property
    def sent_bytes(self) -> int:
        """How many bytes have come over the network so far."""

    def read(self, start: int, end: int, into: Sink) -> None:
        """Give the bytes from `start` up to `end`, which must be there, to `into`.

        Raises:
            OtherSize: the source has another length than it must have.
            TransferBroken, Unreachable, RateLimited: it may work later.
            Stalled: it never will.
        """

    def stop(self) -> None:
        """Break off what is waited for over the network; who reads it gets `TransferBroken`."""


class HttpSource:
    """A file of `size_bytes` at `url`, called `about` towards people.

    `failure` says what an answer of 400 and more means. Where `url` redirects to another host, that
    link is used for as long as it holds, so that the hub is asked once and not for each extent.
    """

    def __init__(
        self,
        url: str,
        *,
        about: str,
        size_bytes: int,
        most_connections: int,
        http: HttpClient,
        clock: Clock,
        token: Callable[[], str | None],
        failure: Callable[[Answer], ReconcilerError],
    ) -> None:
        self.most_connections = most_connections
        self._url = url
        self._about = about
        self._size_bytes = size_bytes
        self._http = http
        self._clock = clock
        self._token = token
        self._failure = failure
        self._guard = threading.Lock()
        self._link: str | None = None
        self._open_answers: set[OpenAnswer] = set()
        self._doubted_size_bytes: int | None = None
        self._sent_bytes = 0

    @property
    def sent_bytes(self) -> int:
        """As the protocol says."""
        return self._sent_bytes

    def read(self, start: int, end: int, into: Sink) -> None:
        """As the protocol says."""
        with self._ask(start, end) as answer:
            self._refuse_encoded(answer)
            if answer.status == 206:
                self._check_range(answer, start, end)
                self._pour(answer, end - start, into)
            elif answer.status == 200:
                self._check_length(answer)
                if not into.take_whole():
                    raise self._broken("the server sent the whole file instead of a part")
                self._pour(answer, self._size_bytes, into)
            elif answer.status == 416:
                self._explain_unsatisfiable(answer)
            else:
                raise self._failure(answer.read_failure())

    def stop(self) -> None:
        """As the protocol says."""
        with self._guard:
            # Held meanwhile: once an answer is done with, its connection may be another file's.
            for answer in self._open_answers:
                answer.abort()

    @contextmanager
    def _ask(self, start: int, end: int) -> Iterator[OpenAnswer]:
        """Ask for an extent: by the link, if there is one that holds, else from the beginning."""
        headers = {"Range": f"bytes={start}-{end - 1}"}
        with self._guard:
            link = self._link
        if link is not None:
            try:
                # It is signed: it needs no token, and must not see one.
                with self._http.open(link, headers=headers) as answer:
                    if answer.status not in _LINK_OVER or answer.status in _NOT_OF_THE_LINK:
                        with self._noted(answer):
                            yield answer
                        return
            except Unreachable:
                # The hub may know a host that is well.
                self._forget(link)
                raise
            self._forget(link)
        with self._http.open(self._url, headers=headers, token=self._token()) as answer:
            if answer.status == 206 and origin_of(answer.url) != origin_of(self._url):
                with self._guard:
                    self._link = answer.url
            with self._noted(answer):
                yield answer

    @contextmanager
    def _noted(self, answer: OpenAnswer) -> Iterator[None]:
        with self._guard:
            self._open_answers.add(answer)
        try:
            yield
        finally:
            with self._guard:
                self._open_answers.discard(answer)

    def _forget(self, link: str) -> None:
        with self._guard:
            # Another thread may have got a new one meanwhile.
            if self._link == link:
                self._link = None

    def _pour(self, answer: OpenAnswer, length_bytes: int, into: Sink) -> None:
        """Give the body to `into`, and insist that it has `length_bytes`."""
        got_bytes = counted_bytes = 0
        since = self._clock.monotonic()
        for chunk in answer.chunks():
            with self._guard:
                self._sent_bytes += len(chunk)
            got_bytes += len(chunk)
            surplus = max(got_bytes - length_bytes, 0)
            arrived = self._clock.monotonic()
            wanted = into.take(memoryview(chunk)[: len(chunk) - surplus])
            if surplus:
                raise self._broken("more bytes came than were asked for")
            if not wanted and got_bytes < length_bytes:
                return
            # A slow disk is not the network's fault.
            now = self._clock.monotonic()
            since += now - arrived
            if now - since >= _STALL_SECONDS:
                if got_bytes - counted_bytes < _STALL_BYTES:
                    raise self._broken("hardly anything came for too long")
                since, counted_bytes = now, got_bytes
        if got_bytes < length_bytes:
            raise TransferBroken(
                f"{self._about}: ended {length_bytes - got_bytes} bytes early",
                hint="run again: it continues where it stopped",
            )

    def _refuse_encoded(self, answer: OpenAnswer) -> None:
        encoding = answer.headers.get("content-encoding", "identity")
        if answer.status < 300 and encoding != "identity":
            raise self._broken("the server sent it compressed, though asked not to")

    def _check_range(self, answer: OpenAnswer, start: int, end: int) -> None:
        given = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        if given is None or given[1] is None or (int(given[1]), int(given[2])) != (start, end - 1):
            raise self._broken(
                f"the server sent other bytes than those asked for ({start} to {end - 1})"
            )
        self._check_size(int(given[3]))

    def _check_length(self, answer: OpenAnswer) -> None:
        length = answer.headers.get("content-length", "")
        if re.fullmatch(r"\d{1,19}", length):
            self._check_size(int(length))

    def _explain_unsatisfiable(self, answer: OpenAnswer) -> None:
        given = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        if given is not None:
            self._check_size(int(given[3]))
        raise self._broken("the server does not give a part that must be there")

    def _check_size(self, size_bytes: int) -> None:
        with self._guard:
            doubted, self._doubted_size_bytes = self._doubted_size_bytes, size_bytes
        if size_bytes == self._size_bytes:
            return
        told = _other_size(size_bytes, self._size_bytes)
        if size_bytes == doubted:
            raise OtherSize(told)
        # Said once it may be a proxy's mistake, not worth losing what has arrived; said again in
        # the next answer it is believed.
        raise TransferBroken(f"{self._about}: {told}", hint="run again")

    def _broken(self, why: str) -> TransferBroken:
        return TransferBroken(
            f"{self._about}: {why}",
            hint="run again; look for a proxy between that changes what passes",
        )


class LocalSource:
    """The file of `size_bytes` at `path` on this machine; devices, pipes, sockets are refused."""

    most_connections = 1
    sent_bytes = 0

    def __init__(self, path: Path, *, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes

    def read(self, start: int, end: int, into: Sink) -> None:
        """As the protocol says; a missing or unreadable file is `FileMissing`."""
        with _opened(self._path) as descriptor:
            found = os.fstat(descriptor).st_size
            if found != self._size_bytes:
                raise OtherSize(_other_size(found, self._size_bytes))
            while start < end:
                chunk = _read_at(descriptor, self._path, start, min(CHUNK_BYTES, end - start))
                if not chunk:
                    raise TransferBroken(
                        f"{self._path}: ended {end - start} bytes early",
                        hint="run again: it continues where it stopped",
                    )
                if not into.take(chunk):
                    return
                start += len(chunk)

    def stop(self) -> None:
        """As the protocol says: nothing here is waited for."""


def local_chunks(path: Path, start: int, length_bytes: int) -> Iterator[bytes]:
    """Give so many bytes of the file at `path` from `start` on, as far as there are any.

    Raises `FileMissing`.
    """
    with _opened(path) as descriptor:
        end = start + length_bytes
        while start < end:
            chunk = _read_at(descriptor, path, start, min(CHUNK_BYTES, end - start))
            if not chunk:
                return
            yield chunk
            start += len(chunk)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        # Looked at before it is opened: opening a device may already do something.
        _refuse_special(path, path.stat())
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        _refuse_special(path, os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def _read_at(descriptor: int, path: Path, start: int, length_bytes: int) -> bytes:
    try:
        return os.pread(descriptor, length_bytes, start)
    except OSError as error:
        raise _unreadable(path, error) from error


def _other_size(found: int, wanted: int) -> str:
    return f"it has {found} bytes, the lock says {wanted}"


def _refuse_special(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FileMissing(
            f"{path}: is not a regular file", hint="name a file, not a folder or device"
        )


def _unreadable(path: Path, error: OSError) -> FileMissing:
    return FileMissing(
        f"{path}: cannot be read: {error.strerror}",
        hint="look whether it is there, and whether you may read it",
    )
