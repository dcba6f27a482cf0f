"""One range of bytes from where it lies into a partial file: over HTTP, or from this machine."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

from reconciler.adapters.base.digests import CHUNK_BYTES
from reconciler.adapters.base.http import Answer, HttpClient, OpenAnswer
from reconciler.adapters.hub.partial import PartialFile
from reconciler.errors import FileMissing, ReconcilerError, Stalled, TransferBroken

_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19})")


class OtherSize(Stalled):
    """What lies there is not as long as it must be; never leaves this package."""


class Ranges(Protocol):
    """What a transfer reads from."""

    def fetch(self, start: int, end: int, into: PartialFile) -> None:
        """Append the bytes from `start` up to `end` to `into`, which holds `start` bytes.

        What arrives before a failure stays. More than asked may be appended where the source gives
        only the whole, never more than its size; then `into` may be started over first.

        Raises:
            OtherSize: the source has another length than it must have.
            TransferBroken, Unreachable, RateLimited: it may work later.
            Stalled: it never will.
        """


class HttpRanges:
    """A file of `size_bytes` at `url`, called `about` towards people.

    `failure` says what an answer of 400 and more means. Each range is asked of `url` anew: where
    that redirects to a signed link, the link is never older than the request.
    """

    def __init__(
        self,
        url: str,
        *,
        about: str,
        size_bytes: int,
        http: HttpClient,
        token: Callable[[], str | None],
        failure: Callable[[Answer], ReconcilerError],
    ) -> None:
        self._url = url
        self._about = about
        self._size_bytes = size_bytes
        self._http = http
        self._token = token
        self._failure = failure
        self._doubted_size_bytes: int | None = None

    def fetch(self, start: int, end: int, into: PartialFile) -> None:
        """As the protocol says."""
        headers = {"Range": f"bytes={start}-{end - 1}"}
        with self._http.open(self._url, headers=headers, token=self._token()) as answer:
            self._refuse_encoded(answer)
            if answer.status == 206:
                self._check_range(answer, start, end)
                _fill(into, answer.chunks(), up_to=end, about=self._about)
            elif answer.status == 200:
                # The range was ignored, and the whole is on its way: take it from its start.
                self._check_length(answer)
                if into.size_bytes:
                    into.start_over()
                _fill(into, answer.chunks(), up_to=self._size_bytes, about=self._about)
            elif answer.status == 416:
                self._explain_unsatisfiable(answer)
            else:
                raise self._failure(answer.read_failure())

    def _refuse_encoded(self, answer: OpenAnswer) -> None:
        encoding = answer.headers.get("content-encoding", "identity")
        if answer.status < 300 and encoding != "identity":
            raise TransferBroken(
                f"{self._about}: the server sent it compressed, though asked not to",
                hint="look for a proxy between that changes what passes",
            )

    def _check_range(self, answer: OpenAnswer, start: int, end: int) -> None:
        given = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        if given is None or given[1] is None or (int(given[1]), int(given[2])) != (start, end - 1):
            raise TransferBroken(
                f"{self._about}: the server sent other bytes than those asked for "
                f"({start} to {end - 1})",
                hint="run again; look for a proxy between that changes what passes",
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
        raise TransferBroken(
            f"{self._about}: the server does not give a part that must be there",
            hint="run again; look for a proxy between that changes what passes",
        )

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes == self._size_bytes:
            self._doubted_size_bytes = None
            return
        told = _other_size(size_bytes, self._size_bytes)
        if size_bytes == self._doubted_size_bytes:
            raise OtherSize(told)
        # Said once it may be a proxy's mistake, not worth losing what has arrived; said again in
        # the next answer it is believed.
        self._doubted_size_bytes = size_bytes
        raise TransferBroken(f"{self._about}: {told}", hint="run again")


class LocalRanges:
    """The file of `size_bytes` at `path` on this machine; devices, pipes, sockets are refused."""

    def __init__(self, path: Path, *, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes

    def fetch(self, start: int, end: int, into: PartialFile) -> None:
        """As the protocol says; a missing or unreadable file is `FileMissing`."""
        try:
            # Looked at before it is opened: opening a device may already do something.
            _refuse_special(self._path, self._path.stat())
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise _unreadable(self._path, error) from error
        try:
            status = os.fstat(descriptor)
            _refuse_special(self._path, status)
            if status.st_size != self._size_bytes:
                raise OtherSize(_other_size(status.st_size, self._size_bytes))
            _fill(into, self._chunks(descriptor, start, end), up_to=end, about=str(self._path))
        finally:
            os.close(descriptor)

    def _chunks(self, descriptor: int, start: int, end: int) -> Iterable[bytes]:
        while start < end:
            try:
                chunk = os.pread(descriptor, min(CHUNK_BYTES, end - start), start)
            except OSError as error:
                raise _unreadable(self._path, error) from error
            if not chunk:
                return
            start += len(chunk)
            yield chunk


def _fill(into: PartialFile, chunks: Iterable[bytes], *, up_to: int, about: str) -> None:
    """Append `chunks` until `into` holds exactly `up_to` bytes, and insist that it then ends."""
    for chunk in chunks:
        room = up_to - into.size_bytes
        into.append(memoryview(chunk)[:room])
        if len(chunk) > room:
            raise TransferBroken(
                f"{about}: more bytes came than were asked for",
                hint="run again; look for a proxy between that changes what passes",
            )
    if into.size_bytes < up_to:
        raise TransferBroken(
            f"{about}: ended {up_to - into.size_bytes} bytes early",
            hint="run again: it continues where it stopped",
        )


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
