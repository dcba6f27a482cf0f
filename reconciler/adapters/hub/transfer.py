"""Brings the bytes of one file from where they lie into a partial file, and proves them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial as bound
from pathlib import Path
from typing import Final

from reconciler.adapters.base.digests import BothDigests
from reconciler.adapters.base.files import translated, write_atomically
from reconciler.adapters.base.http import HttpClient
from reconciler.adapters.base.partial_record import Gathered
from reconciler.adapters.base.urls import shown
from reconciler.adapters.hub.crew import Crew
from reconciler.adapters.hub.endpoint import Endpoint
from reconciler.adapters.hub.origins import Origins, about, plain_or_link_failure
from reconciler.adapters.hub.partial import PartialFile, remove_partial
from reconciler.adapters.hub.patience import patiently
from reconciler.adapters.hub.seats import Seats
from reconciler.adapters.hub.sources import OtherSize, Source, local_chunks
from reconciler.core.names import Sha256
from reconciler.core.ports.clock import Clock
from reconciler.core.ports.digests import Digests
from reconciler.core.ports.reporting import Progress
from reconciler.core.ports.transfer import Brought, Piece, Stretch
from reconciler.core.source import LocalOrigin, Origin
from reconciler.errors import DigestMismatch, FileMissing, Interrupted, Offline, TransferBroken

# The hub's download hosts answer 400 to one request for a very large file; a bounded range always
# works.
SEGMENT_BYTES: Final = 256 * 1024 * 1024
# Less than a kill may cost anyway; threads, a record and room reserved would cost more.
WHOLE_BYTES: Final = 1024 * 1024
# What gets a throttled source's best, and is still polite.
MAX_CONNECTIONS: Final = 8
_CHANGED_HINT: Final = "look at what changed upstream; `reconcile update` locks what is there now"


class HttpTransfer:
    """Fetches over HTTP, or copies from this machine, behind the port `Transfer`.

    Ranges of at most `segment_bytes` over at most `max_connections` connections to one host, as
    many of them as help; files of up to `whole_bytes` in one piece, through memory. `token` as for
    the hub's metadata; it never goes to a plain URL.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        token: Callable[[], str | None],
        offline: bool,
        http: HttpClient,
        clock: Clock,
        segment_bytes: int = SEGMENT_BYTES,
        whole_bytes: int = WHOLE_BYTES,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        """Raises `UsageError` where `endpoint` is no address of a hub. Asks nothing yet."""
        self._origins = Origins(
            endpoint=Endpoint.parse(endpoint),
            token=token,
            http=http,
            clock=clock,
            most_connections=max_connections,
        )
        self._offline = offline
        self._http = http
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._whole_bytes = whole_bytes
        self._max_connections = max_connections
        self._guard = threading.Lock()
        self._seats: dict[str, Seats] = {}
        self._under_way: set[Crew | Source] = set()
        self._stopped = False

    def fetch(
        self,
        origin: Origin,
        partial: Path,
        *,
        size_bytes: int,
        sha256: Sha256,
        progress: Progress,
        known: Sequence[Stretch | Piece] = (),
    ) -> Brought:
        """Complete `partial` from `origin`, continuing what is there, and prove it by sha256.

        Wrong bytes are dropped and fetched from the start: once for what was there before or
        believed to be known, and once more for what was fetched. Raises what the port names; also
        `Stalled` where the partial file cannot be written, or an address answers with a refusal.
        """
        gathered = Gathered(sha256=sha256, size_bytes=size_bytes, origin=about(origin))
        source = self._origins.open(origin, size_bytes=size_bytes)
        wrong: Sha256 | None = None
        while True:
            if size_bytes <= self._whole_bytes and not known and not os.path.lexists(partial):
                found, was_there = self._fetch_whole(source, origin, partial, gathered), False
                progress.advance(size_bytes)
            else:
                with PartialFile(partial, gathered, progress=progress) as file:
                    self._write_known(file, known)
                    was_there = file.present_bytes > 0
                    self._complete(file, source, origin)
                    found = file.finish()
                    if found.sha256 != sha256:
                        # While it is ours: another process may be waiting to take it over.
                        remove_partial(partial)
            if found.sha256 == sha256:
                return Brought(digests=found, fetched_bytes=source.sent_bytes)
            progress.advance(-size_bytes)
            known = ()
            if was_there:
                continue
            if wrong is not None:
                raise _mismatch(about(origin), sha256, wrong, found.sha256)
            wrong = found.sha256

    def read(self, origin: Origin, start: int, end: int, *, size_bytes: int) -> bytes:
        """Give the bytes from `start` up to `end` of a file of `size_bytes`; a few megabytes.

        Raises what the port names.
        """
        return self._read(self._origins.open(origin, size_bytes=size_bytes), origin, start, end)

    def stop(self) -> None:
        """End every `fetch` under way, and to come, with `Interrupted`; what arrived is kept."""
        with self._guard:
            self._stopped = True
            under_way = tuple(self._under_way)
        for each in under_way:
            each.stop()

    def measure(self, url: str) -> int:
        """Give the size in bytes of what lies at a plain URL, without fetching it.

        The first byte is asked for by GET: signed links and some servers refuse HEAD. Raises what
        the port names.
        """
        named = shown(url)
        if self._offline:
            raise _offline(named)
        return patiently(bound(self._measure_once, url, named), clock=self._clock)

    def _measure_once(self, url: str, named: str) -> int:
        with self._http.open(url, headers={"Range": "bytes=0-0"}) as answer:
            if answer.status in {206, 416}:
                size = answer.headers.get("content-range", "").rpartition("/")[2]
            elif answer.status == 200:
                size = answer.headers.get("content-length", "")
            else:
                raise plain_or_link_failure(answer.read_failure(), url=url)
        if not (size.isascii() and size.isdecimal()):
            raise TransferBroken(
                f"{named}: the server does not say how large it is",
                hint="name a server that sends Content-Length",
            )
        return int(size)

    def _fetch_whole(
        self, source: Source, origin: Origin, partial: Path, gathered: Gathered
    ) -> Digests:
        """Fetch a small file in one piece, and write it if it is the right one."""
        running = BothDigests()
        data = self._read(source, origin, 0, gathered.size_bytes) if gathered.size_bytes else b""
        running.update(data)
        found = running.digests()
        if found.sha256 == gathered.sha256:
            with translated(partial, "writing"):
                partial.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(partial, data)
        return found

    def _read(self, source: Source, origin: Origin, start: int, end: int) -> bytes:
        self._refuse_offline(origin)
        self._refuse_stopped()

        def once() -> bytes:
            into = _Collected(start, end, self._refuse_stopped)
            try:
                source.read(start, end, into)
            except TransferBroken:
                self._refuse_stopped()
                raise
            return bytes(into.data)

        with self._seats_for(origin).first(), self._stoppable(source), _as_mismatch(origin):
            return patiently(once, clock=self._clock)

    def _complete(self, file: PartialFile, source: Source, origin: Origin) -> None:
        """Fetch what is missing of `file`."""
        if file.is_complete:
            return
        self._refuse_offline(origin)
        seats = self._seats_for(origin)
        crew = Crew(file, source, seats=seats, clock=self._clock, most_bytes=self._segment_bytes)
        with seats.first(), self._stoppable(crew), _as_mismatch(origin):
            try:
                while not file.is_complete:
                    patiently(crew.run, clock=self._clock)
            except OtherSize:
                # A wall between that answers for the server looks the same: no reason to give
                # away what has arrived.
                if not file.present_bytes:
                    remove_partial(file.path)
                raise

    @contextmanager
    def _stoppable(self, work: Crew | Source) -> Iterator[None]:
        with self._guard:
            self._refuse_stopped()
            self._under_way.add(work)
        try:
            yield
        finally:
            with self._guard:
                self._under_way.discard(work)

    def _refuse_stopped(self) -> None:
        if self._stopped:
            raise Interrupted("stopped")

    def _write_known(self, file: PartialFile, known: Sequence[Stretch | Piece]) -> None:
        """Write what is believed to be known, as far as it can be read."""
        for part in known:
            if isinstance(part, Piece):
                file.write(part.start, part.data)
                continue
            at = part.start
            with suppress(FileMissing):
                for chunk in local_chunks(part.path, part.source_start, part.length_bytes):
                    self._refuse_stopped()
                    file.write(at, chunk)
                    at += len(chunk)

    def _seats_for(self, origin: Origin) -> Seats:
        with self._guard:
            return self._seats.setdefault(self._origins.host(origin), Seats(self._max_connections))

    def _refuse_offline(self, origin: Origin) -> None:
        if self._offline and not isinstance(origin, LocalOrigin):
            raise _offline(about(origin))


class _Collected:
    """The bytes from `start` up to `end`, in memory: a sink; `may_go_on` raises what ends it."""

    def __init__(self, start: int, end: int, may_go_on: Callable[[], None]) -> None:
        self.data = bytearray()
        self._may_go_on = may_go_on
        self._start = self._at = start
        self._end = end

    def take(self, chunk: bytes | memoryview) -> bool:
        """Keep those of the next bytes that are wanted."""
        self._may_go_on()
        skipped = max(self._start - self._at, 0)
        self.data += chunk[skipped : max(self._end - self._at, 0)]
        self._at += len(chunk)
        return self._at < self._end

    def take_whole(self) -> bool:
        """Prepare for the file from its start."""
        self.data.clear()
        self._at = 0
        return True


@contextmanager
def _as_mismatch(origin: Origin) -> Iterator[None]:
    try:
        yield
    except OtherSize as error:
        raise DigestMismatch(
            f"{about(origin)}: upstream differs from the lock: {error}", hint=_CHANGED_HINT
        ) from error


def _offline(named: str) -> Offline:
    return Offline(
        f"{named}: must be fetched, and --offline forbids it", hint="run once without --offline"
    )


def _mismatch(named: str, wanted: Sha256, first: Sha256, second: Sha256) -> DigestMismatch:
    if first == second:
        return DigestMismatch(
            f"{named}: upstream differs from the lock: it has sha256 {first}, "
            f"the lock says {wanted}",
            hint=_CHANGED_HINT,
        )
    return DigestMismatch(
        f"{named}: corrupted in transfer, twice and each time otherwise: sha256 {first}, "
        f"then {second}, the lock says {wanted}",
        hint="run again, as it may have been replaced upstream meanwhile; if that does not help, "
        "look at the memory, the disk and the network of this machine",
    )
