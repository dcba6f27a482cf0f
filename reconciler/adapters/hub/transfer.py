"""Brings the bytes of one file from where they lie into a partial file, and proves them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial as bound
from pathlib import Path
from typing import Final, assert_never

from reconciler.adapters.base.http import Answer, HttpClient
from reconciler.adapters.base.urls import may_carry_token, origin_of, shown
from reconciler.adapters.hub.endpoint import Endpoint
from reconciler.adapters.hub.failures import Asked, hub_failure, link_failure, plain_failure
from reconciler.adapters.hub.partial import PartialFile, remove_partial
from reconciler.adapters.hub.patience import patiently
from reconciler.adapters.hub.ranges import HttpRanges, LocalRanges, OtherSize, Ranges
from reconciler.core.names import Sha256
from reconciler.core.ports import Clock, Digests, Progress
from reconciler.core.source import HubOrigin, LocalOrigin, Origin, UrlOrigin
from reconciler.errors import (
    DigestMismatch,
    FileMissing,
    Offline,
    ReconcilerError,
    TransferBroken,
)

# The hub's download hosts answer 400 to one request for a very large file; a bounded range always
# works, and a signed link never gets old enough to expire.
SEGMENT_BYTES: Final = 256 * 1024 * 1024
# A connection that broke after giving something is not asked again in a tight circle.
_BREATH_SECONDS: Final = 1.0
_CHANGED_HINT: Final = "look at what changed upstream; `reconcile update` locks what is there now"


class HttpTransfer:
    """Fetches over HTTP, or copies from this machine, behind the port `Transfer`.

    One stream per file, in ranges of at most `segment_bytes`. `token` as for the hub's metadata;
    it never goes to a plain URL. Safe to use from several threads, for one partial file each.
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
    ) -> None:
        """Raises `UsageError` where `endpoint` is no address of a hub. Asks nothing yet."""
        self._endpoint = Endpoint.parse(endpoint)
        self._token = token
        self._offline = offline
        self._http = http
        self._clock = clock
        self._segment_bytes = segment_bytes

    def fetch(
        self,
        origin: Origin,
        partial: Path,
        *,
        size_bytes: int,
        sha256: Sha256,
        progress: Progress,
    ) -> Digests:
        """Complete `partial` from `origin`, continuing what is there, and prove it by sha256.

        Wrong bytes are dropped and fetched once more from the start: what an interrupted run left
        may be damaged, and so may one transfer. Raises what the port names; also `Stalled` where
        the partial file cannot be written, or an address answers with a refusal.
        """
        about = _about(origin)
        ranges = self._ranges(origin, about, size_bytes)
        wrong: Sha256 | None = None
        while True:
            if not isinstance(origin, LocalOrigin) and _size_bytes(partial) != size_bytes:
                self._refuse_offline(about)
            found = self._complete(
                partial, ranges, about=about, size_bytes=size_bytes, progress=progress
            )
            if found.sha256 == sha256:
                return found
            remove_partial(partial)
            progress.advance(-found.size_bytes)
            if wrong is not None:
                raise _mismatch(about, sha256, wrong, found.sha256)
            wrong = found.sha256

    def measure(self, url: str) -> int:
        """Give the size in bytes of what lies at a plain URL, without fetching it.

        The first byte is asked for by GET: signed links and some servers refuse HEAD. Raises what
        the port names.
        """
        about = shown(url)
        self._refuse_offline(about)
        return patiently(bound(self._measure_once, url, about), clock=self._clock)

    def _measure_once(self, url: str, about: str) -> int:
        with self._http.open(url, headers={"Range": "bytes=0-0"}) as answer:
            if answer.status in {206, 416}:
                size = answer.headers.get("content-range", "").rpartition("/")[2]
            elif answer.status == 200:
                size = answer.headers.get("content-length", "")
            else:
                raise self._plain_failure(answer.read_failure(), url=url, about=about)
        if not (size.isascii() and size.isdecimal()):
            raise TransferBroken(
                f"{about}: the server does not say how large it is",
                hint="name a server that sends Content-Length",
            )
        return int(size)

    def _complete(
        self, partial: Path, ranges: Ranges, *, about: str, size_bytes: int, progress: Progress
    ) -> Digests:
        """Append to `partial` until it has `size_bytes`, and sync it."""
        with PartialFile(partial, progress=progress) as file:
            file.take_in(at_most_bytes=size_bytes)
            try:
                while file.size_bytes < size_bytes:
                    patiently(bound(self._advance, file, ranges, size_bytes), clock=self._clock)
            except OtherSize as error:
                file.start_over()
                remove_partial(partial)
                raise DigestMismatch(
                    f"{about}: upstream differs from the lock: {error}", hint=_CHANGED_HINT
                ) from error
            file.sync()
            return file.digests()

    def _advance(self, file: PartialFile, ranges: Ranges, size_bytes: int) -> None:
        """Make one request. One that broke is no failure as long as anything came of it."""
        before = file.size_bytes
        end = min(before + self._segment_bytes, size_bytes)
        try:
            ranges.fetch(before, end, file)
        except TransferBroken:
            if file.size_bytes <= before:
                raise
            if file.size_bytes < size_bytes:
                self._clock.sleep(_BREATH_SECONDS)

    def _ranges(self, origin: Origin, about: str, size_bytes: int) -> Ranges:
        match origin:
            case HubOrigin():
                return HttpRanges(
                    self._endpoint.file_url(origin),
                    about=about,
                    size_bytes=size_bytes,
                    http=self._http,
                    token=self._token,
                    failure=bound(self._hub_failure, origin=origin, about=about),
                )
            case UrlOrigin():
                return HttpRanges(
                    origin.url,
                    about=about,
                    size_bytes=size_bytes,
                    http=self._http,
                    token=_no_token,
                    failure=bound(self._plain_failure, url=origin.url, about=about),
                )
            case LocalOrigin():
                return LocalRanges(Path(origin.path), size_bytes=size_bytes)
            case _:
                assert_never(origin)

    def _hub_failure(self, answer: Answer, *, origin: HubOrigin, about: str) -> ReconcilerError:
        if not self._endpoint.owns(answer.url):
            return link_failure(answer, about)
        has_token, may_carry = self._token() is not None, may_carry_token(self._endpoint.base)
        return hub_failure(
            answer,
            Asked(
                about=about,
                page_url=self._endpoint.page_url(origin.repo),
                missing=FileMissing,
                token_sent=has_token and may_carry,
                token_held_back=has_token and not may_carry,
            ),
        )

    def _plain_failure(self, answer: Answer, *, url: str, about: str) -> ReconcilerError:
        if origin_of(answer.url) != origin_of(url):
            return link_failure(answer, about)
        return plain_failure(answer, about)

    def _refuse_offline(self, about: str) -> None:
        if self._offline:
            raise Offline(
                f"{about}: must be fetched, and --offline forbids it",
                hint="run once without --offline",
            )


def _about(origin: Origin) -> str:
    match origin:
        case HubOrigin():
            return f"{origin.repo}/{origin.path}"
        case UrlOrigin():
            return shown(origin.url)
        case LocalOrigin():
            return origin.path
        case _:
            assert_never(origin)


def _no_token() -> None:
    return None


def _size_bytes(partial: Path) -> int:
    try:
        return partial.stat().st_size
    except OSError:
        return 0


def _mismatch(about: str, wanted: Sha256, first: Sha256, second: Sha256) -> DigestMismatch:
    if first == second:
        return DigestMismatch(
            f"{about}: upstream differs from the lock: it has sha256 {first}, "
            f"the lock says {wanted}",
            hint=_CHANGED_HINT,
        )
    return DigestMismatch(
        f"{about}: corrupted in transfer, twice and each time otherwise: sha256 {first}, "
        f"then {second}, the lock says {wanted}",
        hint="look at the memory, the disk and the network of this machine, then run again",
    )
