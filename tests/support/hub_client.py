"""What the hub's client needs around it in tests: its set-up, and counters."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

from reconciler.adapters.base.http import HttpClient
from reconciler.adapters.base.partial_record import record_path, recorded_extents
from reconciler.adapters.hub.metadata import HubMetadata
from reconciler.adapters.hub.metadata_cache import MetadataCache
from reconciler.adapters.hub.transfer import HttpTransfer
from reconciler.core.names import RelPath, RepoId, Sha256
from reconciler.core.ports.digests import Digests
from reconciler.core.ports.hub import Hub
from reconciler.core.ports.transfer import Transfer
from reconciler.core.source import HubOrigin, Origin
from reconciler.demo.hub_faults import Effect, Fault
from reconciler.demo.hub_messages import LoggedRequest
from reconciler.demo.hub_server import HubServer
from tests.support.fakes import FakeClock

REPO = RepoId("acme/models")
PATH = RelPath("deep er/model-Q4_K_M.gguf")
DATA = hashlib.shake_256(b"model").digest(300_000)
SHA256 = Sha256(hashlib.sha256(DATA).hexdigest())
BEARER = "hf_token1234"
TRIES = 5


def hub_metadata(
    endpoint: str,
    http: HttpClient,
    clock: FakeClock,
    *,
    token: str | None = None,
    offline: bool = False,
    cache: MetadataCache | None = None,
) -> Hub:
    """Give the hub's metadata as its client reads it."""
    return HubMetadata(
        endpoint=endpoint,
        token=lambda: token,
        offline=offline,
        http=http,
        clock=clock,
        cache=cache,
    )


class CountedProgress:
    """Adds up what it is told; `heard` is every call on its own, `skipped_bytes` is apart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.heard: list[int] = []
        self.skipped_bytes = 0

    @property
    def total_bytes(self) -> int:
        """All bytes done, those that were there before among them, those taken back not."""
        return self.skipped_bytes + sum(self.heard)

    def advance(self, count_bytes: int) -> None:
        """Add one call."""
        with self._lock:
            self.heard.append(count_bytes)

    def skip(self, count_bytes: int) -> None:
        """Add what was there before."""
        with self._lock:
            self.skipped_bytes += count_bytes


def asked_of(hub: HubServer, origin: str) -> list[LoggedRequest]:
    """Give the requests that one of the hub's origins got."""
    return [request for request in hub.requests if request.origin == origin]


class TransferSetup:
    """A hub with one file, and a transfer that reads from it."""

    def __init__(self, hub: HubServer, http: HttpClient, folder: Path, clock: FakeClock) -> None:
        self.hub = hub
        self.http = http
        self.clock = clock
        self.progress = CountedProgress()
        self.partial = folder / "partial" / "new" / "model.gguf.part"
        hub.add_token(BEARER)
        self.commit = hub.add_commit(REPO, {PATH: DATA})
        self.origin = HubOrigin(repo=REPO, commit=self.commit, path=PATH)

    def transfer(
        self,
        *,
        token: str | None = BEARER,
        offline: bool = False,
        segment_bytes: int = 1 << 28,
        whole_bytes: int = 0,
    ) -> Transfer:
        """A transfer from this hub, which takes no file for a small one unless told to."""
        return HttpTransfer(
            endpoint=self.hub.url,
            token=lambda: token,
            offline=offline,
            http=self.http,
            clock=self.clock,
            segment_bytes=segment_bytes,
            whole_bytes=whole_bytes,
        )

    def fetch(
        self,
        origin: Origin | None = None,
        *,
        data: bytes = DATA,
        transfer: Transfer | None = None,
    ) -> Digests:
        """Fetch `data` from `origin` into the partial file."""
        return (
            (transfer or self.transfer())
            .fetch(
                origin or self.origin,
                self.partial,
                size_bytes=len(data),
                sha256=Sha256(hashlib.sha256(data).hexdigest()),
                progress=self.progress,
            )
            .digests
        )

    def leave(self, data: bytes) -> None:
        """Put `data` where an interrupted run would have left it."""
        self.partial.parent.mkdir(parents=True)
        self.partial.write_bytes(data)

    def kept(self, data: bytes = DATA) -> bytes:
        """Give what the next run would take over of a partial file of `data`: its beginning."""
        sha256 = Sha256(hashlib.sha256(data).hexdigest())
        extents = recorded_extents(self.partial, sha256=sha256, size_bytes=len(data))
        assert extents is not None
        assert list(extents) in ([], [(0, extents.front)])
        return self.partial.read_bytes()[: extents.front]

    def spoil(self, effect: Effect, *, times: int | None = 1) -> None:
        """Spoil the answers that carry the file."""
        self.hub.faults.add(Fault(effect=effect, origin="cdn", times=times))

    def assert_fetched(self) -> None:
        """The bytes are there, right, and all counted as progress."""
        assert self.partial.read_bytes() == DATA
        assert not record_path(self.partial).exists()
        assert self.progress.total_bytes == len(DATA)

    @property
    def ranges(self) -> list[str]:
        """What was asked of the host that gives the bytes, in order."""
        return [request.headers.get("range", "") for request in asked_of(self.hub, "cdn")]
